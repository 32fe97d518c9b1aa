//! Certificates and keys from PEM files, as far as TLSA records depend on them.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem;
use rustls::pki_types::pem::PemObject;
use sha2::Digest;
use sha2::Sha256;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::dane;
use crate::dns::Tlsa;

/// The SHA-256 digest of a public key: the data of a TLSA record 3 1 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

/// The certificate of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Of its public key.
    pub key: Key,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// DNS names it is for, as written.
    pub names: Vec<String>,
    /// The certificate itself.
    pub der: Vec<u8>,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// No certificate in the PEM text.
    #[error("there is no certificate in PEM form")]
    Pem(#[source] pem::Error),
    /// No X.509 certificate.
    #[error("the certificate cannot be read")]
    Malformed,
}

impl Key {
    /// From a PEM text with a certificate or, where the certificate is not made yet, a public key.
    ///
    /// # Errors
    /// [`BadCertificate`] if it has neither.
    pub fn from_pem(text: &[u8]) -> Result<Self, BadCertificate> {
        match SubjectPublicKeyInfoDer::from_pem_slice(text) {
            Ok(key) => Ok(Self::of(&key)),
            Err(_) => Certificate::from_pem(text).map(|certificate| certificate.key),
        }
    }

    fn of(public_key_info: &[u8]) -> Self {
        Self(Sha256::digest(public_key_info).into())
    }

    /// The record 3 1 1, which RFC 7672 section 3.1 recommends.
    pub fn tlsa(&self) -> Tlsa {
        Tlsa { usage: 3, selector: 1, matching: 1, data: self.0.to_vec() }
    }
}

impl std::fmt::Display for Key {
    /// As lower-case hexadecimal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({self})")
    }
}

impl Certificate {
    /// The first certificate of a PEM text; the others of a chain file do not matter for 3 1 1.
    ///
    /// # Errors
    /// [`BadCertificate`].
    pub fn from_pem(text: &[u8]) -> Result<Self, BadCertificate> {
        let der = CertificateDer::from_pem_slice(text).map_err(BadCertificate::Pem)?;
        let key = dane::public_key_info(&der).map(Key::of).ok_or(BadCertificate::Malformed)?;
        let (_, fields) = X509Certificate::from_der(&der).map_err(|_| BadCertificate::Malformed)?;
        let alternatives = fields.subject_alternative_name().ok().flatten();
        let names = alternatives.into_iter().flat_map(|found| &found.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let validity = fields.validity();
        Ok(Self {
            key,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            names: names.collect(),
            der: der.to_vec(),
        })
    }

    /// Whether it is for this host (RFC 8461 section 4.2).
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| dane::covers(name, host))
    }
}
