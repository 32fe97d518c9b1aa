//! Certificates whose holder proved that a mailbox is his.

use super::Import;
use super::Store;
use super::StoreError;
use super::changes::unbind;
use super::rows;
use crate::intake;
use crate::record::Custody;
use crate::record::Origin;
use crate::record::Record;
use crate::record::Trust;
use crate::subject::Subject;

impl Store {
    /// Stores the certificate of somebody who proved to have both its key and this mailbox, as verified for this
    /// mailbox alone; merged with what is there.
    ///
    /// If the certificate is there with other subjects that nobody checked, these are taken from it: they must not
    /// be verified along with this one. One that is our own stays what it is, and one that is distrusted, too.
    ///
    /// # Errors
    /// If the input is not one certificate, or cannot be written.
    pub fn confirm(&self, bytes: &[u8], address: &Subject, now: i64) -> Result<Record, StoreError> {
        let mut certs = intake::read_certificates(bytes)?;
        let (Some(cert), true) = (certs.pop(), certs.is_empty()) else {
            return Err(StoreError::NotOne);
        };
        let fingerprint = cert.fingerprint().to_hex();
        let import = Import {
            bytes,
            subjects: Some(vec![address.clone()]),
            origin: Origin::Submitted,
            trust: Trust::Verified,
            custody: Custody::None,
            now,
        };
        self.write(|transaction| {
            let before = rows::load(transaction, &fingerprint)?;
            if before.as_ref().is_some_and(|before| before.trust == Trust::Distrusted) {
                return Err(StoreError::Distrusted(fingerprint.clone()));
            }
            rows::store(transaction, cert, &import)?;
            let unchecked = before.iter().filter(|before| before.trust.rank() > 0);
            for other in unchecked.flat_map(|before| &before.subjects).filter(|other| !other.same(address)) {
                unbind(transaction, &fingerprint, other)?;
            }
            // In two steps: a change of the origin alone would not tell whoever publishes.
            transaction.execute(
                "UPDATE certificate SET trust = 'accepted' WHERE fingerprint = ?1 AND trust != 'own'",
                [&fingerprint],
            )?;
            transaction.execute(
                "UPDATE certificate SET trust = 'verified', origin = 'submitted'
                 WHERE fingerprint = ?1 AND trust != 'own'",
                [&fingerprint],
            )?;
            let record = rows::load(transaction, &fingerprint)?;
            record.ok_or_else(|| StoreError::Unknown(fingerprint.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use sequoia_openpgp::Cert;
    use sequoia_openpgp::cert::CertBuilder;
    use sequoia_openpgp::serialize::SerializeInto;

    use super::*;
    use crate::record::Scheme;

    const NOW: i64 = 1_900_000_000;

    fn cert(user_ids: &[&str]) -> Cert {
        let made = crate::assess::system_time(NOW - 86_400);
        let builder = CertBuilder::new().set_creation_time(made).add_transport_encryption_subkey();
        let builder = user_ids.iter().fold(builder, |builder, id| builder.add_userid(*id));
        builder.generate().unwrap().0.strip_secret_key_material()
    }

    fn bytes(cert: &Cert) -> Vec<u8> {
        cert.to_vec().unwrap()
    }

    /// What is left of a certificate with one User ID only, as clients submit it.
    fn only(cert: &Cert, user_id: &str) -> Vec<u8> {
        let cert = cert.clone().retain_userids(|id| id.userid().value() == user_id.as_bytes());
        bytes(&cert)
    }

    fn subject(address: &str) -> Subject {
        Subject::address(address).unwrap()
    }

    fn known(store: &Store, cert: &Cert, trust: Trust, custody: Custody) {
        let import =
            Import { bytes: &bytes(cert), subjects: None, origin: Origin::Hkp, trust, custody, now: NOW };
        store.import(&import).unwrap();
    }

    const ALICE: &str = "alice@alpha.example";
    const BOSS: &str = "boss@alpha.example";

    #[test]
    fn a_confirmed_certificate_is_verified_for_its_mailbox() {
        let store = Store::open_in_memory().unwrap();
        let cert = cert(&[ALICE]);
        let record = store.confirm(&bytes(&cert), &subject(ALICE), NOW).unwrap();
        assert_eq!((record.trust, record.origin), (Trust::Verified, Origin::Submitted));
        assert_eq!(record.subjects, [subject(ALICE)]);
        let newest = store.journal().unwrap().newest;
        store.confirm(&bytes(&cert), &subject(ALICE), NOW).unwrap();
        assert!(store.journal().unwrap().newest > newest, "whoever publishes looks at it again");
    }

    #[test]
    fn what_nobody_checked_is_not_verified_along_with_it() {
        for trust in [Trust::Held, Trust::Accepted] {
            let store = Store::open_in_memory().unwrap();
            let cert = cert(&[ALICE, BOSS]);
            known(&store, &cert, trust, Custody::None);
            let record = store.confirm(&only(&cert, ALICE), &subject(ALICE), NOW).unwrap();
            assert_eq!((record.trust, record.origin), (Trust::Verified, Origin::Submitted), "{trust}");
            assert_eq!(record.subjects, [subject(ALICE)], "{trust}");
            // Nor does its User ID bring it back.
            known(&store, &cert, Trust::Held, Custody::None);
            assert!(store.bound(&subject(BOSS), Scheme::Openpgp).unwrap().is_empty(), "{trust}");
        }
    }

    #[test]
    fn what_the_administrator_said_stays() {
        let store = Store::open_in_memory().unwrap();
        let checked = cert(&[ALICE, BOSS]);
        known(&store, &checked, Trust::Verified, Custody::None);
        let record = store.confirm(&only(&checked, ALICE), &subject(ALICE), NOW).unwrap();
        assert_eq!(record.subjects.len(), 2, "{:?}", record.subjects);
        let own = cert(&[ALICE]);
        known(&store, &own, Trust::Own, Custody::Local);
        let record = store.confirm(&bytes(&own), &subject(ALICE), NOW).unwrap();
        assert_eq!((record.trust, record.origin), (Trust::Own, Origin::Hkp));
        let bad = cert(&[ALICE]);
        known(&store, &bad, Trust::Distrusted, Custody::None);
        let refused = store.confirm(&bytes(&bad), &subject(ALICE), NOW);
        assert!(matches!(refused, Err(StoreError::Distrusted(_))), "{refused:?}");
    }

    #[test]
    fn exactly_one_certificate_is_confirmed() {
        let store = Store::open_in_memory().unwrap();
        let both = [bytes(&cert(&[ALICE])), bytes(&cert(&[ALICE]))].concat();
        assert!(matches!(store.confirm(&both, &subject(ALICE), NOW), Err(StoreError::NotOne)));
        assert!(store.records().unwrap().is_empty());
    }
}
