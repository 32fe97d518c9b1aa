//! A certificate together with its secret keys, ready for use.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::Fingerprint;
use pgp::KeyHandle;
use pgp::crypto::KeyPair;
use pgp::crypto::SessionKey;
use pgp::crypto::mpi;
use pgp::packet::Key;
use pgp::packet::key::PublicParts;
use pgp::packet::key::UnspecifiedRole;
use pgp::policy::StandardPolicy;
use pgp::serialize::SerializeInto;
use pgp::types::HashAlgorithm;
use zeroize::Zeroizing;

use super::rsa::RsaKey;
use super::time::system_time;

/// Why a certificate cannot serve as a secret one.
#[derive(Debug, thiserror::Error)]
pub enum SecretCertError {
    /// No secret key, or all of them under a passphrase.
    #[error("certificate {0} holds no secret key that can be used without a passphrase")]
    NoSecret(Fingerprint),
    /// No key that may sign at this time.
    #[error("certificate {fingerprint} cannot sign: {why}")]
    CannotSign {
        /// The certificate.
        fingerprint: Fingerprint,
        /// The reason, such as "expired".
        why: String,
    },
}

/// A certificate with secret keys in memory.
///
/// The costly part of each key (RSA parameters) is computed once, when the value is made. Secret
/// numbers are overwritten when the last copy goes; nothing of them is printed by `Debug`.
pub struct SecretCert {
    public: Arc<Cert>,
    secret: Cert,
    keys: Vec<PreparedKey>,
}

impl SecretCert {
    /// Prepares a certificate that holds secret keys.
    ///
    /// # Errors
    /// [`SecretCertError::NoSecret`] if none of its keys can be used without a passphrase.
    pub fn new(secret: Cert) -> Result<SecretCert, SecretCertError> {
        let keys: Vec<_> = secret
            .keys()
            .unencrypted_secret()
            .filter_map(|ka| ka.key().clone().into_keypair().ok())
            .map(PreparedKey::new)
            .collect();
        if keys.is_empty() {
            return Err(SecretCertError::NoSecret(secret.fingerprint()));
        }
        let public = Arc::new(secret.clone().strip_secret_key_material());
        Ok(SecretCert { public, secret, keys })
    }

    /// The certificate without its secrets.
    #[must_use]
    pub fn cert(&self) -> &Arc<Cert> {
        &self.public
    }

    /// Fingerprint of the primary key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint()
    }

    /// With its secrets, for what makes new keys of it.
    pub(crate) fn secret(&self) -> &Cert {
        &self.secret
    }

    /// The transferable secret key (RFC 9580 section 10.2), for custody and export only.
    ///
    /// # Errors
    /// Those of Sequoia's serialiser; none are known for a certificate that was parsed.
    pub fn to_secret_bytes(&self) -> pgp::Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self.secret.as_tsk().to_vec()?))
    }

    /// The newest key that may sign data at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`SecretCertError::CannotSign`] with the reason.
    pub fn signing_key(&self, now: i64) -> Result<&PreparedKey, SecretCertError> {
        let time = system_time(now);
        let policy = StandardPolicy::at(time);
        let fail = |why: String| SecretCertError::CannotSign { fingerprint: self.public.fingerprint(), why };
        let valid = self.public.with_policy(&policy, time).map_err(|error| fail(error.to_string()))?;
        valid.alive().map_err(|error| fail(error.to_string()))?;
        if let pgp::types::RevocationStatus::Revoked(_) = valid.revocation_status() {
            return Err(fail("the certificate is revoked".into()));
        }
        let candidates = valid.keys().supported().alive().revoked(false).for_signing();
        let newest = candidates
            .filter_map(|ka| Some((ka.key().creation_time(), self.key(&ka.key().fingerprint())?)))
            .max_by_key(|(created, _): &(SystemTime, _)| *created);
        newest.map(|(_, key)| key).ok_or_else(|| fail("no valid signing key with its secret half".into()))
    }

    /// The keys that one of these handles names; all of them for a hidden recipient.
    ///
    /// Expired and revoked keys are among them: mail that was encrypted to them earlier must still open.
    pub fn decryption_keys(&self, handle: Option<&KeyHandle>) -> impl Iterator<Item = &PreparedKey> {
        self.keys.iter().filter(move |key| {
            key.public().pk_algo().for_encryption()
                && handle.is_none_or(|handle| key.public().key_handle().aliases(handle))
        })
    }

    fn key(&self, fingerprint: &Fingerprint) -> Option<&PreparedKey> {
        self.keys.iter().find(|key| key.public().fingerprint() == *fingerprint)
    }
}

impl fmt::Debug for SecretCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretCert").field(&self.public.fingerprint()).finish()
    }
}

/// One secret key, as a signer and decryptor for Sequoia.
#[derive(Clone)]
pub struct PreparedKey(Secret);

#[derive(Clone)]
enum Secret {
    /// Everything but RSA: Sequoia's own operations are as fast as they can be.
    Pair(Box<KeyPair>),
    /// RSA with the Chinese remainder theorem.
    Rsa(Box<RsaKey>),
}

impl PreparedKey {
    fn new(pair: KeyPair) -> PreparedKey {
        PreparedKey(match RsaKey::new(pair.public(), pair.secret()) {
            Some(rsa) => Secret::Rsa(Box::new(rsa)),
            None => Secret::Pair(Box::new(pair)),
        })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        match &self.0 {
            Secret::Pair(pair) => pair.public(),
            Secret::Rsa(rsa) => pgp::crypto::Signer::public(rsa.as_ref()),
        }
    }

    /// The digest to sign with: as strong as the key, SHA-512 wherever it is no waste.
    pub(crate) fn hash(&self) -> HashAlgorithm {
        match self.public().mpis() {
            mpi::PublicKey::ECDSA { curve: pgp::types::Curve::NistP256, .. } => HashAlgorithm::SHA256,
            _ => HashAlgorithm::SHA512,
        }
    }
}

impl pgp::crypto::Signer for PreparedKey {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        self.public()
    }

    fn acceptable_hashes(&self) -> &[HashAlgorithm] {
        match &self.0 {
            Secret::Pair(pair) => pair.acceptable_hashes(),
            Secret::Rsa(rsa) => rsa.acceptable_hashes(),
        }
    }

    fn sign(&mut self, algorithm: HashAlgorithm, digest: &[u8]) -> pgp::Result<mpi::Signature> {
        match &mut self.0 {
            Secret::Pair(pair) => pair.sign(algorithm, digest),
            Secret::Rsa(rsa) => rsa.sign(algorithm, digest),
        }
    }
}

impl pgp::crypto::Decryptor for PreparedKey {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        self.public()
    }

    fn decrypt(&mut self, ciphertext: &mpi::Ciphertext, length: Option<usize>) -> pgp::Result<SessionKey> {
        match &mut self.0 {
            Secret::Pair(pair) => pair.decrypt(ciphertext, length),
            Secret::Rsa(rsa) => rsa.decrypt(ciphertext, length),
        }
    }
}
