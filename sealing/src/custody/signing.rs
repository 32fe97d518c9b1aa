//! Keys of the local certification authority: made here, kept in custody, lent to `keydir`.

use keydir::SignatureAlgorithm;
use keydir::Signs;
use keydir::SignsError;
use openssl::ec::EcGroup;
use openssl::ec::EcKey;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::Id;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::sign::Signer;

use super::CustodyError;
use crate::cms::SecretKey;

/// A kind of key that can be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Ed25519: signatures only.
    Ed25519,
    /// P-256: signs and encrypts.
    P256,
    /// P-384: signs and encrypts; for authorities.
    P384,
    /// RSA with 3072 bits: signs and encrypts, and everybody can read it.
    Rsa3072,
    /// RSA with 4096 bits; for authorities.
    Rsa4096,
    /// X25519: encryption only.
    X25519,
}

/// Makes a new secret key.
///
/// # Errors
/// If the library cannot.
pub fn generate_key(kind: KeyKind) -> Result<PKey<Private>, CustodyError> {
    let curve = |nid| PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(nid)?)?);
    let made = match kind {
        KeyKind::Ed25519 => PKey::generate_ed25519(),
        KeyKind::X25519 => PKey::generate_x25519(),
        KeyKind::P256 => curve(Nid::X9_62_PRIME256V1),
        KeyKind::P384 => curve(Nid::SECP384R1),
        KeyKind::Rsa3072 => Rsa::generate(3072).and_then(PKey::from_rsa),
        KeyKind::Rsa4096 => Rsa::generate(4096).and_then(PKey::from_rsa),
    };
    made.map_err(|error| CustodyError::Crypto(error.into()))
}

/// A secret key that signs certificates, revocation lists and OCSP responses.
pub struct SigningKey(PKey<Private>);

impl SigningKey {
    /// Lends a key that was just made.
    pub fn new(key: PKey<Private>) -> Self {
        Self(key)
    }
}

impl From<&SecretKey> for SigningKey {
    /// Lends a key from custody ([`Custody::get_smime`](super::Custody::get_smime)).
    fn from(key: &SecretKey) -> Self {
        Self(key.key().clone())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl Signs for SigningKey {
    fn public_key(&self) -> Result<Vec<u8>, SignsError> {
        self.0.public_key_to_der().map_err(SignsError::new)
    }

    fn sign(&self, algorithm: SignatureAlgorithm, data: &[u8]) -> Result<Vec<u8>, SignsError> {
        let (digest, id) = match algorithm {
            SignatureAlgorithm::EcdsaSha256 => (Some(MessageDigest::sha256()), Id::EC),
            SignatureAlgorithm::EcdsaSha384 => (Some(MessageDigest::sha384()), Id::EC),
            SignatureAlgorithm::EcdsaSha512 => (Some(MessageDigest::sha512()), Id::EC),
            SignatureAlgorithm::Ed25519 => (None, Id::ED25519),
            SignatureAlgorithm::RsaSha256 => (Some(MessageDigest::sha256()), Id::RSA),
        };
        if self.0.id() != id {
            return Err(SignsError::new(format!("the key is none for {algorithm:?}")));
        }
        let signed = || match digest {
            Some(digest) => Signer::new(digest, &self.0)?.sign_oneshot_to_vec(data),
            None => Signer::new_without_digest(&self.0)?.sign_oneshot_to_vec(data),
        };
        signed().map_err(SignsError::new)
    }
}
