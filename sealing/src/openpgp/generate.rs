//! New keys.

use std::time::Duration;

use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::cert::CertBuilder;
use pgp::cert::CipherSuite;
use pgp::packet::Signature;
use pgp::types::Features;

use super::time::system_time;

/// The OpenPGP version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyVersion {
    /// Version 4 (RFC 4880): every OpenPGP program reads it.
    V4,
    /// Version 6 (RFC 9580): GnuPG cannot read it.
    V6,
}

/// The algorithms of a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySuite {
    /// Ed25519 and X25519.
    Curve25519,
    /// ECDSA and ECDH over NIST P-256.
    P256,
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
    /// RSA with a modulus of 4096 bits.
    Rsa4096,
}

/// What to generate.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// User IDs such as `Alice <alice@alpha.example>`, the first one being the primary.
    pub user_ids: Vec<String>,
    /// Key version.
    pub version: KeyVersion,
    /// Algorithms.
    pub suite: KeySuite,
    /// Days until the key expires; `None` for a key that does not.
    pub valid_days: Option<u32>,
    /// Creation time, Unix seconds.
    pub now: i64,
    /// Announce only what GnuPG 2.2 can read (SEIPDv1), for version 4 keys. Without it the certificate
    /// also announces SEIPDv2, and senders will use it.
    pub features_for_gpg22: bool,
}

impl GenerateOptions {
    /// A version 4 key of Curve25519 that everybody can encrypt to, valid for three years.
    #[must_use]
    pub fn new(user_ids: Vec<String>, now: i64) -> GenerateOptions {
        GenerateOptions {
            user_ids,
            version: KeyVersion::V4,
            suite: KeySuite::Curve25519,
            valid_days: Some(3 * 365),
            now,
            features_for_gpg22: true,
        }
    }
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The cryptographic library refused.
    #[error("no key was generated")]
    Library(#[source] anyhow::Error),
    /// A key without a User ID belongs to nobody.
    #[error("a key needs at least one User ID")]
    NoUserId,
}

/// Makes a certificate with its secret keys and a revocation of it, to be kept apart.
///
/// The primary key certifies and signs; one subkey is for the encryption of mail.
///
/// # Errors
/// [`GenerateError`] if there is no User ID or the library fails.
pub fn generate(options: &GenerateOptions) -> Result<(Cert, Signature), GenerateError> {
    if options.user_ids.iter().all(|user_id| user_id.trim().is_empty()) {
        return Err(GenerateError::NoUserId);
    }
    let profile = match options.version {
        KeyVersion::V4 => pgp::Profile::RFC4880,
        KeyVersion::V6 => pgp::Profile::RFC9580,
    };
    let only_v1 = options.version == KeyVersion::V4 && options.features_for_gpg22;
    let features = if only_v1 { Features::empty().set_seipdv1() } else { Features::sequoia() };
    let validity = options.valid_days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
    let mut builder = CertBuilder::new()
        .set_profile(profile)
        .map_err(GenerateError::Library)?
        .set_cipher_suite(cipher_suite(options.suite))
        .set_features(features)
        .map_err(GenerateError::Library)?
        .set_creation_time(system_time(options.now))
        .set_validity_period(validity)
        .set_primary_key_flags(pgp::types::KeyFlags::empty().set_certification().set_signing())
        .add_transport_encryption_subkey();
    for user_id in options.user_ids.iter().filter(|user_id| !user_id.trim().is_empty()) {
        builder = builder.add_userid(user_id.trim());
    }
    builder.generate().map_err(GenerateError::Library)
}

fn cipher_suite(suite: KeySuite) -> CipherSuite {
    match suite {
        KeySuite::Curve25519 => CipherSuite::Cv25519,
        KeySuite::P256 => CipherSuite::P256,
        KeySuite::Rsa2048 => CipherSuite::RSA2k,
        KeySuite::Rsa3072 => CipherSuite::RSA3k,
        KeySuite::Rsa4096 => CipherSuite::RSA4k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use pgp::cert::Preferences;
    use pgp::policy::StandardPolicy;

    const NOW: i64 = 1_780_000_000;

    #[test]
    fn a_key_for_gpg22_announces_only_seipdv1() {
        let policy = StandardPolicy::new();
        for (version, gpg, seipdv2) in
            [(KeyVersion::V4, true, false), (KeyVersion::V4, false, true), (KeyVersion::V6, true, true)]
        {
            let options = GenerateOptions {
                version,
                features_for_gpg22: gpg,
                ..GenerateOptions::new(vec!["Alice <alice@alpha.example>".into()], NOW)
            };
            let (cert, _) = generate(&options).unwrap();
            let valid = cert.with_policy(&policy, system_time(NOW)).unwrap();
            assert_eq!(valid.features().unwrap().supports_seipdv2(), seipdv2);
            assert_eq!(valid.keys().for_transport_encryption().count(), 1);
            assert_eq!(valid.keys().for_storage_encryption().count(), 0);
            assert_eq!(valid.keys().for_signing().count(), 1);
        }
    }

    #[test]
    fn a_key_needs_a_user_id() {
        let options = GenerateOptions::new(vec![" ".into()], NOW);
        assert!(matches!(generate(&options), Err(GenerateError::NoUserId)));
    }
}
