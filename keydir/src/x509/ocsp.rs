//! Asking an OCSP responder (RFC 6960) and judging its answer. Sending the question is the caller's task.

use der::Decode;
use der::Encode;
use der::asn1::OctetString;
use openssl::hash::MessageDigest;
use openssl::ocsp::OcspCertId;
use openssl::ocsp::OcspCertStatus;
use openssl::ocsp::OcspFlag;
use openssl::ocsp::OcspRequest;
use openssl::ocsp::OcspResponse;
use openssl::ocsp::OcspResponseStatus;
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::verify::X509VerifyParam;
use x509_cert::ext::Extension;

use super::Certificate;
use super::crl::reason_text;

/// Largest answer that is read, bytes.
const MAX_RESPONSE: usize = 64 << 10;
/// How far the responder's clock may be off, seconds.
const SKEW: i64 = 300;
/// How long an answer without nextUpdate counts, seconds.
const DEFAULT_LIFE: i64 = 3600;
/// Octets of a nonce (RFC 9654: 32 recommended).
const NONCE: usize = 32;

/// What a responder says about one certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OcspStatus {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// Since when, Unix seconds.
        when: i64,
        /// The reason in words.
        why: String,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// A valid answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OcspAnswer {
    /// What it says.
    pub status: OcspStatus,
    /// Last moment at which it may be used, Unix seconds.
    pub until: i64,
    /// Whether the answer repeats our nonce, so that it is not an old one.
    pub fresh: bool,
}

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OcspError {
    /// Not an OCSP response, or larger than 64 KiB.
    #[error("the OCSP response is malformed: {0}")]
    Malformed(String),
    /// The nonce is another one: the answer belongs to another question.
    #[error("the OCSP response answers another question")]
    Nonce,
    /// The certificate asked for is not in the answer.
    #[error("the OCSP response is silent about the certificate")]
    NotMentioned,
    /// The responder refused.
    #[error("the OCSP responder refused with status {0}")]
    Refused(i32),
    /// Too old, or from the future.
    #[error("the OCSP response is not valid now")]
    Stale,
    /// Not signed by the issuer of the certificate nor by its delegate.
    #[error("the OCSP response is not signed by the issuer or its delegate: {0}")]
    Signature(String),
}

impl From<openssl::error::ErrorStack> for OcspError {
    fn from(error: openssl::error::ErrorStack) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<der::Error> for OcspError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A question about one certificate.
#[derive(Clone, Debug)]
pub struct OcspQuestion {
    certificate: Certificate,
    issuer: Certificate,
    nonce: Vec<u8>,
    request: Vec<u8>,
}

impl OcspQuestion {
    /// Makes the question about a certificate of this issuer, with a fresh nonce.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn new(certificate: &Certificate, issuer: &Certificate) -> Result<Self, OcspError> {
        let mut nonce = vec![0; NONCE];
        openssl::rand::rand_bytes(&mut nonce)?;
        Self::with_nonce(certificate, issuer, &nonce)
    }

    /// The question as it was asked before, to judge an answer that was kept.
    ///
    /// # Errors
    /// If the cryptographic library fails.
    pub fn with_nonce(
        certificate: &Certificate,
        issuer: &Certificate,
        nonce: &[u8],
    ) -> Result<Self, OcspError> {
        let nonce = nonce.to_vec();
        let mut plain = OcspRequest::new()?;
        plain.add_id(cert_id(certificate, issuer)?)?;
        let mut request = x509_ocsp::OcspRequest::from_der(&plain.to_der()?)?;
        request.tbs_request.request_extensions = Some(vec![Extension {
            extn_id: super::oid::OCSP_NONCE,
            critical: false,
            extn_value: OctetString::new(OctetString::new(nonce.as_slice())?.to_der()?)?,
        }]);
        let request = request.to_der()?;
        Ok(Self { certificate: certificate.clone(), issuer: issuer.clone(), nonce, request })
    }

    /// What makes this question another one than all others: 32 octets.
    pub fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// The request in DER: POST it with the media type `application/ocsp-request`.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The responders that the certificate names (authorityInfoAccess).
    pub fn responders(&self) -> Vec<String> {
        self.certificate.ocsp_urls()
    }

    /// Fingerprint of the certificate asked about.
    pub fn fingerprint(&self) -> String {
        self.certificate.fingerprint()
    }

    /// Judges the response (media type `application/ocsp-response`) at `now` (Unix seconds): it must be
    /// signed by the issuer or by a responder the issuer certified for that, speak about this
    /// certificate, and be valid now. A nonce, if there is one, must be ours.
    ///
    /// # Errors
    /// If it does not count. Then nothing is known; it is not "good".
    pub fn judge(&self, response: &[u8], now: i64) -> Result<OcspAnswer, OcspError> {
        if response.len() > MAX_RESPONSE {
            return Err(OcspError::Malformed(format!("{} bytes", response.len())));
        }
        let parsed = OcspResponse::from_der(response)?;
        if parsed.status() != OcspResponseStatus::SUCCESSFUL {
            return Err(OcspError::Refused(parsed.status().as_raw()));
        }
        let basic = parsed.basic()?;
        self.check_signature(&basic, now)?;
        let fresh = self.check_nonce(response)?;
        let id = cert_id(&self.certificate, &self.issuer)?;
        let status = basic.find_status(&id).ok_or(OcspError::NotMentioned)?;
        let this_update = unix_general(status.this_update);
        let until = status.next_update().map_or(this_update + DEFAULT_LIFE, unix_general);
        if this_update > now + SKEW || until < now - SKEW {
            return Err(OcspError::Stale);
        }
        let status = match status.status {
            OcspCertStatus::GOOD => OcspStatus::Good,
            OcspCertStatus::REVOKED => OcspStatus::Revoked {
                when: status.revocation_time.map_or(0, unix_general),
                why: reason_text(Some(status.reason.as_raw())).to_owned(),
            },
            _ => OcspStatus::Unknown,
        };
        Ok(OcspAnswer { status, until, fresh })
    }

    fn check_signature(
        &self,
        basic: &openssl::ocsp::OcspBasicResponseRef,
        now: i64,
    ) -> Result<(), OcspError> {
        let mut store = X509StoreBuilder::new()?;
        store.add_cert(self.issuer.x509().to_owned())?;
        let mut parameters = X509VerifyParam::new()?;
        parameters.set_time(now);
        parameters.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        store.set_param(&parameters)?;
        let mut known = Stack::<X509>::new()?;
        known.push(self.issuer.x509().to_owned())?;
        basic
            .verify(&known, &store.build(), OcspFlag::NO_EXPLICIT)
            .map_err(|error| OcspError::Signature(error.to_string()))
    }

    fn check_nonce(&self, response: &[u8]) -> Result<bool, OcspError> {
        let response = x509_ocsp::OcspResponse::from_der(response)?;
        let bytes = response.response_bytes.ok_or(OcspError::NotMentioned)?;
        let basic = x509_ocsp::BasicOcspResponse::from_der(bytes.response.as_bytes())?;
        match basic.nonce() {
            None => Ok(false),
            Some(nonce) if nonce.0.as_bytes() == self.nonce => Ok(true),
            Some(_) => Err(OcspError::Nonce),
        }
    }
}

fn cert_id(certificate: &Certificate, issuer: &Certificate) -> Result<OcspCertId, OcspError> {
    // RFC 5019 demands SHA-1 here; it is a name, not a protection.
    Ok(OcspCertId::from_cert(MessageDigest::sha1(), certificate.x509(), issuer.x509())?)
}

/// The Unix time of a GeneralizedTime, 0 if it cannot be read.
fn unix_general(time: &openssl::asn1::Asn1GeneralizedTimeRef) -> i64 {
    let text = time.to_string();
    openssl::asn1::Asn1Time::from_str_x509(&text)
        .map_or_else(|_| parse_printed(&text), |time| super::unix(&time))
}

/// Reads the form in which OpenSSL prints times: `Nov 21 11:15:42 2026 GMT`.
fn parse_printed(text: &str) -> i64 {
    let text: Vec<&str> = text.split_whitespace().collect();
    let [month, day, clock, year, ..] = text.as_slice() else { return 0 };
    let clock = clock.split('.').next().unwrap_or_default();
    let text = format!("{year} {month} {day:0>2} {clock} +0000");
    jiff::Timestamp::strptime("%Y %b %d %H:%M:%S %z", &text).map_or(0, jiff::Timestamp::as_second)
}
