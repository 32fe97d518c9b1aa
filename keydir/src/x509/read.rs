//! Takes certificates out of the files they come in.

use openssl::pkcs7::Pkcs7;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;

use super::Certificate;
use super::CertificateError;

/// Largest input, bytes.
const MAX_INPUT: usize = 1 << 20;
/// Most certificates of one input.
const MAX_CERTIFICATES: usize = 1000;

impl Certificate {
    /// Reads all certificates of an input: PEM (several allowed, with text between them), one certificate
    /// in DER, or a PKCS#7 bag of certificates in DER or PEM.
    ///
    /// # Errors
    /// If any certificate is refused (see [`Certificate::from_der`]), there is none, the input is larger
    /// than 1 MiB, or it holds a secret key.
    pub fn read_all(input: &[u8]) -> Result<Vec<Self>, CertificateError> {
        limit("bytes", input.len(), MAX_INPUT)?;
        let start = input.trim_ascii_start();
        let found = match start.first() {
            Some(0x30) => read_der(start)?,
            _ => read_pem(input)?,
        };
        limit("certificates", found.len(), MAX_CERTIFICATES)?;
        if found.is_empty() { Err(CertificateError::Empty) } else { Ok(found) }
    }
}

fn read_der(der: &[u8]) -> Result<Vec<Certificate>, CertificateError> {
    let error = match Certificate::from_der(der) {
        Ok(certificate) => return Ok(vec![certificate]),
        Err(error) => error,
    };
    if Pkcs12::from_der(der).is_ok() || PKey::private_key_from_der(der).is_ok() {
        return Err(CertificateError::Secret);
    }
    match Pkcs7::from_der(der) {
        Ok(bag) => read_bag(&bag),
        Err(_) => Err(error),
    }
}

fn read_bag(bag: &Pkcs7) -> Result<Vec<Certificate>, CertificateError> {
    let certificates =
        bag.signed().and_then(|signed| signed.certificates()).ok_or(CertificateError::Empty)?;
    limit("certificates", certificates.len(), MAX_CERTIFICATES)?;
    let read = |x509: &openssl::x509::X509Ref| {
        let der = x509.to_der().map_err(|error| CertificateError::Malformed(error.to_string()))?;
        Certificate::from_der(&der)
    };
    certificates.iter().map(read).collect()
}

fn read_pem(input: &[u8]) -> Result<Vec<Certificate>, CertificateError> {
    const BEGIN: &str = "-----BEGIN ";
    let text = String::from_utf8_lossy(input);
    let mut found = Vec::new();
    let mut rest = &*text;
    while let Some((_, block)) = rest.split_once(BEGIN) {
        let (label, after) = block
            .split_once("-----")
            .ok_or_else(|| CertificateError::Malformed("a PEM line without end".to_owned()))?;
        if label.contains("PRIVATE KEY") || label == "PKCS12" {
            return Err(CertificateError::Secret);
        }
        let end = format!("-----END {label}-----");
        let (content, next) = after
            .split_once(&end)
            .ok_or_else(|| CertificateError::Malformed(format!("no END line of {label}")))?;
        let der = || {
            let content: String = content.chars().filter(|c| !c.is_whitespace()).collect();
            openssl::base64::decode_block(&content)
                .map_err(|_| CertificateError::Malformed(format!("the base64 of a {label}")))
        };
        match label {
            "CERTIFICATE" | "X509 CERTIFICATE" => found.push(Certificate::from_der(&der()?)?),
            "PKCS7" | "CMS" => found.extend(read_der(&der()?)?),
            other => return Err(CertificateError::NotACertificate(other.to_owned())),
        }
        limit("certificates", found.len(), MAX_CERTIFICATES)?;
        rest = next;
    }
    Ok(found)
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), CertificateError> {
    if found > limit { Err(CertificateError::TooLarge { what, found, limit }) } else { Ok(()) }
}
