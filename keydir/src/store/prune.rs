//! Encryption subkeys whose time is long over leave a certificate of ours again: one that gets a new one every week
//! would grow for ever.

use sequoia_openpgp::Cert;
use sequoia_openpgp::KeyHandle;

use super::Store;
use super::StoreError;
use super::canonical_handle;
use super::parse;
use super::rows;
use crate::assess;

/// So many subkeys are kept whatever they are.
const MANY: usize = 20;
/// Seconds.
const MONTH: i64 = 30 * 86_400;

impl Store {
    /// Drops the encryption subkeys of a certificate that expired before `before` (Unix seconds); gives how many.
    /// Subkeys that sign stay: old signatures are verified with them.
    ///
    /// # Errors
    /// If the certificate is unknown or the database cannot be written.
    pub fn drop_expired_subkeys(
        &self,
        fingerprint: &str,
        before: i64,
        now: i64,
    ) -> Result<usize, StoreError> {
        let fingerprint = canonical_handle(fingerprint);
        self.write(|transaction| {
            let mut record = rows::load(transaction, &fingerprint)?
                .ok_or_else(|| StoreError::Unknown(fingerprint.clone()))?;
            let cert = parse(&record)?;
            let over = expired(&cert, before, now);
            if over.is_empty() {
                return Ok(0);
            }
            let cert = cert.retain_subkeys(|key| !over.contains(&key.key().key_handle()));
            for handle in &over {
                rows::remove_component(transaction, &handle.to_hex(), &fingerprint)?;
                let key_id = sequoia_openpgp::KeyID::from(handle);
                rows::remove_component(transaction, &key_id.to_hex(), &fingerprint)?;
            }
            rows::save(transaction, &mut record, &cert, now)?;
            Ok(over.len())
        })
    }
}

/// The same for certificates of others, whose holders rotate too: once there are many subkeys, those that expired a month
/// ago go.
pub(super) fn trimmed(cert: Cert, now: i64) -> Cert {
    if cert.keys().subkeys().count() <= MANY {
        return cert;
    }
    let over = expired(&cert, now - MONTH, now);
    cert.retain_subkeys(|key| !over.contains(&key.key().key_handle()))
}

/// The subkeys that only encrypt and expired before `before`.
fn expired(cert: &Cert, before: i64, now: i64) -> Vec<KeyHandle> {
    let time = assess::system_time(now);
    let policy = assess::lenient_policy(time);
    let Ok(valid) = cert.with_policy(&policy, time) else { return Vec::new() };
    let over = |end: Option<std::time::SystemTime>| end.is_some_and(|end| assess::unix(end) < before);
    let keys = valid.keys().subkeys();
    let only_encrypt = keys.filter(|key| {
        key.key_flags().is_some_and(|flags| {
            (flags.for_transport_encryption() || flags.for_storage_encryption())
                && !flags.for_signing()
                && !flags.for_authentication()
                && !flags.for_certification()
        })
    });
    only_encrypt.filter(|key| over(key.key_expiration_time())).map(|key| key.key().key_handle()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sequoia_openpgp::cert::CertBuilder;
    use sequoia_openpgp::cert::KeyBuilder;
    use sequoia_openpgp::types::KeyFlags;

    use super::*;

    use crate::answer::Answer;
    use crate::record::Custody;
    use crate::record::Origin;
    use crate::record::Scheme;
    use crate::record::Trust;
    use crate::store::Import;
    use crate::subject::Purpose;
    use crate::subject::Subject;

    const NOW: i64 = 1_782_864_000;
    const DAY: i64 = 86_400;

    #[test]
    fn a_partner_who_rotates_for_years_is_not_refused() {
        let made = |day: i64| assess::system_time(NOW + day * DAY);
        let policy = assess::lenient_policy(made(0));
        let (mut cert, _) = CertBuilder::new()
            .add_userid("<bob@beta.example>")
            .set_creation_time(made(-1))
            .generate()
            .unwrap();
        let store = Store::open_in_memory().unwrap();
        for week in 0..130 {
            let day = 7 * week;
            let valid = cert.with_policy(&policy, made(day)).unwrap();
            cert = KeyBuilder::new(KeyFlags::empty().set_transport_encryption())
                .set_creation_time(made(day))
                .subkey(valid)
                .unwrap()
                .set_key_validity_period(Duration::from_secs(14 * DAY as u64))
                .unwrap()
                .attach_cert()
                .unwrap();
            // What the partner publishes: the two newest.
            let mut seen = 0;
            let count = cert.keys().subkeys().count();
            cert = cert.retain_subkeys(|_| {
                seen += 1;
                seen > count.saturating_sub(2)
            });
            let bytes = crate::armored(&cert.clone().strip_secret_key_material());
            let import = Import {
                bytes: bytes.as_bytes(),
                subjects: None,
                origin: Origin::Wkd,
                trust: Trust::Accepted,
                custody: Custody::None,
                now: NOW + day * DAY,
            };
            store.import(&import).unwrap_or_else(|error| panic!("week {week}: {error}"));
        }
    }

    #[test]
    fn only_encryption_subkeys_that_ended_long_ago_go() {
        let created = assess::system_time(NOW - 30 * DAY);
        let (mut cert, _) = CertBuilder::new()
            .add_userid("<alice@alpha.example>")
            .set_creation_time(created)
            .add_signing_subkey()
            .generate()
            .unwrap();
        let policy = assess::lenient_policy(assess::system_time(NOW));
        let mut handles = Vec::new();
        for (start, days) in [(30, 10), (25, 10), (3, 10)] {
            let made = assess::system_time(NOW - start * DAY);
            let valid = cert.with_policy(&policy, made).unwrap();
            let builder = KeyBuilder::new(KeyFlags::empty().set_transport_encryption())
                .set_creation_time(made)
                .subkey(valid)
                .unwrap()
                .set_key_validity_period(Duration::from_secs(days * DAY as u64))
                .unwrap();
            handles.push(builder.key().fingerprint().to_hex());
            cert = builder.attach_cert().unwrap();
        }
        let store = Store::open_in_memory().unwrap();
        let bytes = crate::armored(&cert.strip_secret_key_material());
        let import = Import {
            bytes: bytes.as_bytes(),
            subjects: None,
            origin: Origin::Generated,
            trust: Trust::Own,
            custody: Custody::Local,
            now: NOW,
        };
        let fingerprint = store.import(&import).unwrap().remove(0).fingerprint;
        assert_eq!(store.drop_expired_subkeys(&fingerprint, NOW - 17 * DAY, NOW).unwrap(), 1);
        assert_eq!(store.drop_expired_subkeys(&fingerprint, NOW - 17 * DAY, NOW).unwrap(), 0);
        assert!(matches!(store.by_handle(&handles[0]), Answer::None { .. }));
        assert!(matches!(store.by_handle(&handles[1]), Answer::Found(_)));
        let subject = Subject::address("alice@alpha.example").unwrap();
        let usable = store.find(&subject, Scheme::Openpgp, Purpose::Encrypt, NOW).found().unwrap();
        assert_eq!(usable.subkey().to_hex(), handles[2]);
        assert!(store.find(&subject, Scheme::Openpgp, Purpose::Sign, NOW).found().is_some());
        assert!(matches!(store.drop_expired_subkeys("00", NOW, NOW), Err(StoreError::Unknown(_))));
    }
}
