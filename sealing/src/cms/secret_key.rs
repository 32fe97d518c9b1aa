//! A certificate of ours together with its secret key.

use std::fmt;

use keydir::Certificate;
use openssl::pkey::PKey;
use openssl::pkey::Private;

/// A certificate and its secret key. The key is wiped when the last copy goes (by the library that holds
/// it), and no trait shows it.
pub struct SecretKey {
    pub(crate) certificate: Certificate,
    pub(crate) key: PKey<Private>,
}

impl SecretKey {
    /// Puts a certificate and its key together.
    ///
    /// # Errors
    /// [`SecretKeyError`] if they do not belong together.
    pub fn new(certificate: Certificate, key: PKey<Private>) -> Result<SecretKey, SecretKeyError> {
        let public = certificate.x509().public_key().map_err(|_| SecretKeyError::Unreadable)?;
        match public.public_eq(&key) {
            true => Ok(SecretKey { certificate, key }),
            false => Err(SecretKeyError::Mismatch),
        }
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The secret key.
    pub fn key(&self) -> &PKey<Private> {
        &self.key
    }
}

/// Shows whose key it is, never the key.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.certificate.fingerprint())
    }
}

/// Why certificate and key do not make a [`SecretKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// The key is another one than the certificate names.
    #[error("the secret key does not belong to the certificate")]
    Mismatch,
    /// The library does not know the kind of key in the certificate.
    #[error("the public key in the certificate cannot be read")]
    Unreadable,
}
