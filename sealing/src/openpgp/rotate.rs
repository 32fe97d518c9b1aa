//! Encryption subkeys that live for an epoch: what is read today cannot be read by a key stolen next month.
//!
//! OpenPGP has no forward secrecy of its own. A certificate whose encryption subkeys are replaced every week, and
//! whose old secret halves are destroyed, comes as near to it as clients in use allow. [`rotate`] makes the public
//! side of it: the subkey of the next epoch, and a short life for subkeys that would outlive it.

use std::time::Duration;

use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::Fingerprint;
use pgp::Packet;
use pgp::cert::CipherSuite;
use pgp::cert::KeyBuilder;
use pgp::cert::SubkeyBuilder;
use pgp::cert::ValidCert;
use pgp::crypto::mpi;
use pgp::packet::Key;
use pgp::packet::key::PublicParts;
use pgp::packet::key::UnspecifiedRole;
use pgp::policy::StandardPolicy;
use pgp::types::Curve;
use pgp::types::KeyFlags;
use pgp::types::RevocationStatus;

use super::secret_cert::SecretCert;
use super::time::system_time;
use super::time::unix_seconds;

/// Time in equal pieces, counted from 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    length: i64,
}

impl Epochs {
    /// Epochs of so many seconds; at least one minute.
    #[must_use]
    pub fn new(length: Duration) -> Epochs {
        Epochs { length: i64::try_from(length.as_secs()).unwrap_or(i64::MAX / 4).max(60) }
    }

    /// The end of the epoch in which `now` lies, Unix seconds.
    #[must_use]
    pub fn end(self, now: i64) -> i64 {
        now.div_euclid(self.length).saturating_add(1).saturating_mul(self.length)
    }

    /// The end of the epoch after that: how long the newest subkey lives.
    #[must_use]
    pub fn next_end(self, now: i64) -> i64 {
        self.end(now).saturating_add(self.length)
    }
}

/// What [`rotate`] made. First the secrets must be in custody, then the certificate may be published.
#[derive(Debug)]
pub struct Rotated {
    /// The certificate without secrets: with the new subkey, and no encryption subkey that lives longer.
    pub certificate: Cert,
    /// The secret halves that are to be destroyed some time after `until`, below the primary's public half.
    pub secrets: Cert,
    /// Subkeys whose secret half must not stay anywhere else: those that lived longer before.
    pub moved: Vec<Fingerprint>,
    /// When all of these subkeys expire, Unix seconds.
    pub until: i64,
}

/// Why the subkeys of a certificate cannot be rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The certificate is not valid now.
    #[error("certificate {fingerprint} cannot be rotated: {why}")]
    NotValid {
        /// The certificate.
        fingerprint: Fingerprint,
        /// "expired", "revoked", …
        why: String,
    },
    /// Mail is encrypted to the primary key itself, which cannot be replaced.
    #[error("certificate {0} cannot be rotated: its primary key encrypts")]
    PrimaryEncrypts(Fingerprint),
    /// The cryptographic library refused, or the primary's secret half is not there.
    #[error("certificate {fingerprint} cannot be rotated")]
    Library {
        /// The certificate.
        fingerprint: Fingerprint,
        /// What it said.
        #[source]
        source: anyhow::Error,
    },
}

/// Makes the encryption subkey of the next epoch, if there is none yet, and shortens the life of those that would
/// outlive it. Nothing if all is as it should be at `now` (Unix seconds).
///
/// A subkey is made in one epoch and lives to the end of the next, so two are published at any time: whoever
/// fetched the certificate an epoch ago can still write.
///
/// # Errors
/// [`RotateError`]; then nothing was made.
pub fn rotate(
    secret: &SecretCert,
    published: &Cert,
    epochs: Epochs,
    now: i64,
) -> Result<Option<Rotated>, RotateError> {
    let fingerprint = secret.fingerprint();
    let library = |source| RotateError::Library { fingerprint: fingerprint.clone(), source };
    let cert = secret.secret().clone().merge_public(published.clone()).map_err(library)?;
    let policy = StandardPolicy::at(system_time(now));
    let valid = check(&cert, &policy, now)?;
    let until = epochs.next_end(now);
    let mut packets = Vec::new();
    let mut moved = Vec::new();
    let mut ready = false;
    let out: Vec<_> = encryption_subkeys(&check(published, &policy, now)?)
        .iter()
        .map(|subkey| (subkey.key().fingerprint(), subkey.key_expiration_time().map(unix_seconds)))
        .collect();
    for subkey in encryption_subkeys(&valid) {
        let end = subkey.key_expiration_time().map(unix_seconds);
        // Only a subkey that is published so and whose secret half is at hand spares a new one.
        let out = out.contains(&(subkey.key().fingerprint(), end));
        ready |= out && end == Some(until) && subkey.key().has_secret();
        // The clock went back: what was bound later than now counts again when it is right.
        let bound_later = subkey
            .bundle()
            .self_signatures()
            .any(|binding| binding.signature_creation_time().is_some_and(|made| made > system_time(now)));
        if !bound_later && end.is_none_or(|end| end > until) {
            let key = subkey.key().fingerprint();
            packets.extend(shortened(subkey, until, now).map_err(library)?);
            moved.push(key);
        }
    }
    if ready && packets.is_empty() {
        return Ok(None);
    }
    if !ready {
        packets.extend(new_subkey(valid, until, now).map_err(library)?);
    }
    made(cert, packets, moved, until).map(Some).map_err(library)
}

fn check<'c>(cert: &'c Cert, policy: &'c StandardPolicy<'c>, now: i64) -> Result<ValidCert<'c>, RotateError> {
    let fail = |why: String| RotateError::NotValid { fingerprint: cert.fingerprint(), why };
    let valid = cert.with_policy(policy, system_time(now)).map_err(|error| fail(error.to_string()))?;
    valid.alive().map_err(|error| fail(error.to_string()))?;
    if let RevocationStatus::Revoked(_) = valid.revocation_status() {
        return Err(fail("the certificate is revoked".to_owned()));
    }
    let primary = valid.primary_key();
    if primary.for_transport_encryption() || primary.for_storage_encryption() {
        return Err(RotateError::PrimaryEncrypts(cert.fingerprint()));
    }
    Ok(valid)
}

type Subkey<'c> = pgp::cert::amalgamation::key::ValidSubordinateKeyAmalgamation<'c, PublicParts>;

/// The subkeys that mail can be encrypted to now.
fn encryption_subkeys<'c>(valid: &ValidCert<'c>) -> Vec<Subkey<'c>> {
    let keys = valid.keys().subkeys().alive().revoked(false);
    keys.for_transport_encryption().for_storage_encryption().collect()
}

/// The subkey with a new binding signature by which it expires at `until`.
fn shortened(subkey: Subkey<'_>, until: i64, now: i64) -> anyhow::Result<Vec<Packet>> {
    SubkeyBuilder::from(subkey)
        .set_signature_creation_time(system_time(now))?
        .set_key_expiration_time(system_time(until))?
        .attach()
}

fn new_subkey(valid: ValidCert<'_>, until: i64, now: i64) -> anyhow::Result<Vec<Packet>> {
    let suite = suite_of(valid.primary_key().key());
    KeyBuilder::new(KeyFlags::empty().set_transport_encryption())
        .set_cipher_suite(suite)
        .set_creation_time(system_time(now))
        .subkey(valid)?
        .set_key_expiration_time(system_time(until))?
        .attach()
}

/// Subkeys are of the primary's kind: who can verify the one can encrypt to the other.
fn suite_of(primary: &Key<PublicParts, pgp::packet::key::PrimaryRole>) -> CipherSuite {
    match primary.mpis() {
        mpi::PublicKey::RSA { n, .. } if n.bits() > 3072 => CipherSuite::RSA4k,
        mpi::PublicKey::RSA { n, .. } if n.bits() > 2048 => CipherSuite::RSA3k,
        mpi::PublicKey::RSA { .. } => CipherSuite::RSA2k,
        mpi::PublicKey::ECDSA { curve: Curve::NistP256, .. } => CipherSuite::P256,
        mpi::PublicKey::ECDSA { curve: Curve::NistP384, .. } => CipherSuite::P384,
        mpi::PublicKey::ECDSA { curve: Curve::NistP521, .. } => CipherSuite::P521,
        _ => CipherSuite::Cv25519,
    }
}

fn made(cert: Cert, packets: Vec<Packet>, moved: Vec<Fingerprint>, until: i64) -> anyhow::Result<Rotated> {
    let whole = cert.insert_packets(packets.clone())?.0;
    let secret_half = |fingerprint: &Fingerprint| {
        let key = whole.keys().subkeys().secret().find(|key| key.key().fingerprint() == *fingerprint);
        key.map(|key| Packet::SecretSubkey(key.key().clone()))
    };
    let certificate = whole.clone().strip_secret_key_material();
    let mut below = vec![Packet::PublicKey(certificate.primary_key().key().clone())];
    for packet in packets {
        below.push(match packet {
            // What was shortened came without its secret half.
            Packet::PublicSubkey(key) => secret_half(&key.fingerprint()).unwrap_or(Packet::PublicSubkey(key)),
            other => other,
        });
    }
    let secrets = Cert::from_packets(below.into_iter())?;
    Ok(Rotated { certificate, secrets, moved, until })
}

/// The certificate with the secret halves of these keys taken out.
pub(crate) fn without_secrets(cert: Cert, of: &[Fingerprint]) -> anyhow::Result<Cert> {
    let listed = |key: &Key<PublicParts, UnspecifiedRole>| of.contains(&key.fingerprint());
    let packets = cert.into_tsk().into_packets().map(|packet| match packet {
        Packet::SecretSubkey(key) if listed(key.parts_as_public().role_as_unspecified()) => {
            Packet::PublicSubkey(key.take_secret().0)
        }
        other => other,
    });
    Cert::from_packets(packets.collect::<Vec<_>>().into_iter())
}

#[cfg(test)]
mod tests;
