//! One X.509 certificate.

use std::fmt;
use std::sync::Arc;

use der::Decode;
use der::Reader;
use der::SliceReader;
use der::Tag;
use der::asn1::AnyRef;
use der::asn1::ObjectIdentifier;
use openssl::sha::sha256;
use openssl::x509::X509;
use openssl::x509::X509Ref;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::names;
use super::names::Names;
use super::recent;
use super::usage::Usage;

/// Largest certificate that is read, bytes. Post-quantum ones have about 20,000.
pub(super) const MAX_BYTES: usize = 64 << 10;

/// Why bytes are not accepted as a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A name holds characters that make it look like another one.
    #[error("a name in the certificate holds a NUL, a control or an invisible character: {0:?}")]
    DeceptiveName(String),
    /// The same extension twice (RFC 5280, 4.2).
    #[error("the certificate holds the extension {0} twice")]
    DuplicateExtension(String),
    /// The input holds no certificate.
    #[error("the input holds no X.509 certificate")]
    Empty,
    /// The bytes are no certificate in DER (X.690, 10).
    #[error("the certificate is malformed or not in DER: {0}")]
    Malformed(String),
    /// The input is a certificate with more behind it, or holds something that is no certificate.
    #[error("the input holds something that is no certificate: {0}")]
    NotACertificate(String),
    /// The input holds secret key material.
    #[error("the input holds secret key material; import it as a key, or give only the certificate")]
    Secret,
    /// A limit was exceeded.
    #[error("{what}: {found}, at most {limit} are accepted")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many there were.
        found: usize,
        /// How many are accepted.
        limit: usize,
    },
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// One X.509 certificate, parsed strictly. Cloning is cheap.
///
/// Holding one says nothing about its validity: ask [`Certificate::may_encrypt`],
/// [`Certificate::may_sign`] and [`Anchors::verify`](crate::Anchors::verify).
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

pub(super) struct Parsed {
    der: Vec<u8>,
    x509: X509,
    pub(super) tbs: x509_cert::TbsCertificate,
    issuer: Vec<u8>,
    serial: Vec<u8>,
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    digest: [u8; 32],
    names: Names,
    pub(super) usage: Usage,
    not_before: i64,
    not_after: i64,
}

impl Certificate {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// If it is not DER (BER with indefinite lengths is refused), larger than 64 KiB, has an extension
    /// twice, or a name with NUL, control or invisible characters.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let digest = sha256(der);
        if let Some(known) = recent::find(&digest) {
            return Ok(known);
        }
        let certificate = Self::parse(der, digest)?;
        recent::keep(digest, &certificate);
        Ok(certificate)
    }

    fn parse(der: &[u8], digest: [u8; 32]) -> Result<Self, CertificateError> {
        if der.len() > MAX_BYTES {
            let (what, found) = ("bytes of one certificate", der.len());
            return Err(CertificateError::TooLarge { what, found, limit: MAX_BYTES });
        }
        let parsed = x509_cert::Certificate::from_der(der)?;
        if parsed.signature_algorithm != parsed.tbs_certificate.signature {
            return Err(CertificateError::Malformed("two different signature algorithms".to_owned()));
        }
        let x509 = X509::from_der(der).map_err(|error| CertificateError::Malformed(error.to_string()))?;
        let tbs = parsed.tbs_certificate;
        check_extensions(&tbs)?;
        let [serial, issuer, subject] = spans(der)?;
        let serial = AnyRef::from_der(serial)?.value().to_vec();
        let names = names::read(&tbs)?;
        let usage = Usage::read(&tbs)?;
        let key_id = tbs.get::<SubjectKeyIdentifier>()?.map(|(_, id)| id.0.into_bytes());
        Ok(Self(Arc::new(Parsed {
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
            serial,
            key_id,
            authority_key_id: authority_key_id(&tbs),
            digest,
            names,
            usage,
            not_before: seconds(tbs.validity.not_before),
            not_after: seconds(tbs.validity.not_after),
            der: der.to_vec(),
            x509,
            tbs,
        })))
    }

    /// The bytes it was read from.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The certificate as OpenSSL sees it.
    pub fn x509(&self) -> &X509Ref {
        &self.0.x509
    }

    /// SHA-256 over the DER encoding, 64 upper-case hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        hex(&self.0.digest)
    }

    /// The issuer's Name, DER with its header, exactly as in the certificate.
    pub fn issuer_der(&self) -> &[u8] {
        &self.0.issuer
    }

    /// The content octets of the serial number's INTEGER.
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// The subject's Name, DER with its header, exactly as in the certificate.
    pub fn subject_der(&self) -> &[u8] {
        &self.0.subject
    }

    /// The subject key identifier (RFC 5280, 4.2.1.2).
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.key_id.as_deref()
    }

    /// The key identifier of whose key signed it, as it says itself (RFC 5280, 4.2.1.1).
    pub(super) fn authority_key_id(&self) -> Option<&[u8]> {
        self.0.authority_key_id.as_deref()
    }

    /// The addresses it is made out to: rfc822Name, SmtpUTF8Mailbox (RFC 9598) and the subject's
    /// emailAddress, with the domain in A-labels and lower case. Each of them counts; a name that is no
    /// plain mailbox is left out.
    pub fn addresses(&self) -> &[String] {
        &self.0.names.addresses
    }

    /// The common names of the subject, in their order.
    pub fn common_names(&self) -> &[String] {
        &self.0.names.common_names
    }

    /// The host names it is made out to, in lower case.
    pub fn dns_names(&self) -> &[String] {
        &self.0.names.dns_names
    }

    /// Whether it may issue certificates (basicConstraints, or a self-issued version 1 certificate).
    pub fn is_ca(&self) -> bool {
        let v1_root = self.0.tbs.version == x509_cert::Version::V1 && self.0.issuer == self.0.subject;
        v1_root
            || matches!(self.0.tbs.get::<BasicConstraints>(), Ok(Some((_, constraints))) if constraints.ca)
    }

    /// Whether its key made the signature on another certificate. Says nothing about names, dates or trust.
    pub(crate) fn signed(&self, other: &Self) -> bool {
        self.0.x509.public_key().is_ok_and(|key| other.0.x509.verify(&key).unwrap_or(false))
    }

    /// First second of validity, Unix time.
    pub fn not_before(&self) -> i64 {
        self.0.not_before
    }

    /// Last second of validity, Unix time.
    pub fn not_after(&self) -> i64 {
        self.0.not_after
    }

    /// Where it says that revocation lists of its issuer are (RFC 5280, 4.2.1.13); http and https only.
    pub fn crl_urls(&self) -> Vec<String> {
        let Some(points) = self.0.x509.crl_distribution_points() else { return Vec::new() };
        let names = points.iter().filter_map(|point| point.distpoint()?.fullname());
        let urls = names.flat_map(|names| names.iter().filter_map(|name| name.uri().map(str::to_owned)));
        urls.filter(|url| url.starts_with("http://") || url.starts_with("https://")).collect()
    }

    /// Where it says that an OCSP responder of its issuer is (RFC 5280, 4.2.2.1); http and https only.
    pub fn ocsp_urls(&self) -> Vec<String> {
        let Ok(urls) = self.0.x509.ocsp_responders() else { return Vec::new() };
        let urls = urls.iter().map(|url| url.to_string());
        urls.filter(|url| url.starts_with("http://") || url.starts_with("https://")).collect()
    }

    /// The certificate in PEM (RFC 7468).
    pub fn pem(&self) -> String {
        let pem = self.0.x509.to_pem().unwrap_or_default();
        String::from_utf8(pem).unwrap_or_default()
    }

    /// Its key as it stands in the certificate.
    pub(crate) fn public_key_info(&self) -> Result<SubjectPublicKeyInfoOwned, CertificateError> {
        Ok(self.0.tbs.subject_public_key_info.clone())
    }

    pub(super) fn parsed(&self) -> &Parsed {
        &self.0
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("fingerprint", &self.fingerprint())
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.digest == other.0.digest
    }
}

impl Eq for Certificate {}

/// The look-up handle of an issuer's Name (DER) and serial number (INTEGER content octets).
pub(crate) fn issuer_serial_handle(issuer: &[u8], serial: &[u8]) -> String {
    hex(&sha256(&[issuer, serial].concat()))
}

/// Upper-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

fn digit(value: u8) -> char {
    char::from(if value < 10 { b'0' + value } else { b'A' + value - 10 })
}

/// Serial number, issuer and subject of a certificate as they lie in it, each with its header.
///
/// Written again by a library they may differ: the order of a SET that was not sorted, for example.
fn spans(der: &[u8]) -> Result<[&[u8]; 3], CertificateError> {
    let inside = |tlv| -> der::Result<SliceReader<'_>> { SliceReader::new(AnyRef::from_der(tlv)?.value()) };
    let mut certificate = inside(der)?;
    let mut tbs = inside(certificate.tlv_bytes()?)?;
    if tbs.peek_tag()? != Tag::Integer {
        tbs.tlv_bytes()?; // version
    }
    let serial = tbs.tlv_bytes()?;
    tbs.tlv_bytes()?; // signature
    let issuer = tbs.tlv_bytes()?;
    tbs.tlv_bytes()?; // validity
    let subject = tbs.tlv_bytes()?;
    Ok([serial, issuer, subject])
}

fn authority_key_id(tbs: &x509_cert::TbsCertificate) -> Option<Vec<u8>> {
    // One that cannot be read names nobody.
    let (_, names) = tbs.get::<AuthorityKeyIdentifier>().ok()??;
    names.key_identifier.map(|id| id.into_bytes())
}

fn check_extensions(tbs: &x509_cert::TbsCertificate) -> Result<(), CertificateError> {
    let mut seen: Vec<ObjectIdentifier> = Vec::new();
    for extension in tbs.extensions.as_deref().unwrap_or_default() {
        if seen.contains(&extension.extn_id) {
            return Err(CertificateError::DuplicateExtension(extension.extn_id.to_string()));
        }
        seen.push(extension.extn_id);
    }
    tbs.get::<BasicConstraints>()?;
    Ok(())
}

fn seconds(time: x509_cert::time::Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}
