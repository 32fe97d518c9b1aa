//! Whoever holds a secret key and signs with it.

use der::asn1::Any;
use der::asn1::Null;
use der::asn1::ObjectIdentifier;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::AuthorityError;
use crate::x509::oid;

/// A secret key somewhere else: in custody, in a token.
pub trait Signs: Send + Sync {
    /// The public half: SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// If the key cannot be had now.
    fn public_key(&self) -> Result<Vec<u8>, SignsError>;

    /// Signs. The signature has the form it has in a certificate: for ECDSA the SEQUENCE of both numbers
    /// (RFC 3279, 2.2.3).
    ///
    /// # Errors
    /// If the key cannot be had now or is of another kind.
    fn sign(&self, algorithm: SignatureAlgorithm, data: &[u8]) -> Result<Vec<u8>, SignsError>;
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key cannot be used")]
pub struct SignsError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SignsError {
    /// Wraps what the holder of the key said.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// How an authority signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256, for P-256.
    EcdsaSha256,
    /// ECDSA with SHA-384, for P-384.
    EcdsaSha384,
    /// ECDSA with SHA-512, for P-521.
    EcdsaSha512,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaSha256,
}

impl SignatureAlgorithm {
    /// The one for this public key.
    pub(super) fn of(key: &SubjectPublicKeyInfoOwned) -> Result<Self, AuthorityError> {
        let curve =
            || key.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        match key.algorithm.oid {
            oid::RSA => Ok(Self::RsaSha256),
            oid::ED25519 => Ok(Self::Ed25519),
            oid::EC => match curve() {
                Some(oid::P256) => Ok(Self::EcdsaSha256),
                Some(oid::P384) => Ok(Self::EcdsaSha384),
                Some(oid::P521) => Ok(Self::EcdsaSha512),
                _ => Err(AuthorityError::Invalid { what: "curve", value: format!("{:?}", curve()) }),
            },
            other => Err(AuthorityError::Invalid { what: "key of kind", value: other.to_string() }),
        }
    }

    pub(super) fn identifier(self) -> AlgorithmIdentifierOwned {
        let (oid, parameters) = match self {
            Self::RsaSha256 => ("1.2.840.113549.1.1.11", Some(Any::from(Null))),
            Self::EcdsaSha256 => ("1.2.840.10045.4.3.2", None),
            Self::EcdsaSha384 => ("1.2.840.10045.4.3.3", None),
            Self::EcdsaSha512 => ("1.2.840.10045.4.3.4", None),
            Self::Ed25519 => ("1.3.101.112", None),
        };
        AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap(oid), parameters }
    }
}
