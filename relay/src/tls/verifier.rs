//! The certificate check of one handshake.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use rustls::CertificateError;
use rustls::DigitallySignedStruct;
use rustls::Error;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::UnixTime;
use sha2::Digest;
use sha2::Sha256;
use webpki::RawPublicKeyEntity;

use super::Matched;
use super::SessionFailure;
use super::TlsFault;
use crate::dane;
use crate::dns::Tlsa;

/// What the certificate must satisfy.
#[derive(Debug)]
pub(super) enum Check {
    /// One of the records.
    Dane { records: Vec<Tlsa>, names: Vec<String> },
    /// The web PKI, for the name; a tolerant check only notes what it finds.
    Web { web: Option<Arc<WebPkiServerVerifier>>, name: String, tolerant: bool },
    /// Nothing.
    Nothing,
}

/// Checks one certificate and remembers what came of it. Used for one handshake only.
#[derive(Debug)]
pub(super) struct RoadVerifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
    finding: Mutex<Finding>,
}

#[derive(Debug, Default)]
struct Finding {
    matched: Option<Matched>,
    fault: Option<TlsFault>,
}

impl RoadVerifier {
    pub(super) fn new(check: Check, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { check, algorithms, finding: Mutex::default() }
    }

    /// After a handshake that succeeded.
    pub(super) fn outcome(&self) -> (Matched, Option<TlsFault>) {
        let mut finding = self.finding();
        (finding.matched.take().unwrap_or(Matched::Unauthenticated), finding.fault.take())
    }

    /// After a handshake that failed: our own reason, if it was us who ended it.
    pub(super) fn fault(&self) -> Option<TlsFault> {
        self.finding().fault.take()
    }

    fn finding(&self) -> MutexGuard<'_, Finding> {
        // Nothing panics while it is held, and a half-written finding could only refuse.
        self.finding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Matched, TlsFault> {
        match &self.check {
            Check::Dane { records, names } => {
                let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
                let Tlsa { usage, selector, matching, .. } =
                    dane::verify(records, names, chain, now).map_err(TlsFault::Dane)?;
                Ok(Matched::Tlsa { usage, selector, matching })
            }
            Check::Web { web, name, .. } => by_web(web.as_deref(), name, chain, now),
            Check::Nothing => Ok(Matched::Unauthenticated),
        }
    }

    /// Whether the peer's identity matters: if not, neither does a signature that proves it.
    fn binding(&self) -> bool {
        !matches!(self.check, Check::Nothing)
    }

    fn tolerant(&self) -> bool {
        matches!(self.check, Check::Web { tolerant: true, .. })
    }

    /// A handshake signature that does not hold ends the handshake, unless the check is a tolerant one.
    fn conclude(
        &self,
        verdict: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verdict {
            Err(error) if self.tolerant() => {
                let mut finding = self.finding();
                finding.matched = None;
                let fault = TlsFault::Handshake(std::io::Error::other(error));
                finding.fault.get_or_insert(fault);
                Ok(HandshakeSignatureValid::assertion())
            }
            verdict => verdict,
        }
    }

    /// RFC 5246 section 7.4.3; the key is read without judging the certificate around it.
    fn verify_tls12(&self, message: &[u8], key: &[u8], signed: &DigitallySignedStruct) -> Result<(), Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
        let algorithms = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (_, algorithms) = algorithms.ok_or_else(bad)?;
        let key = SubjectPublicKeyInfoDer::from(key);
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| bad())?;
        let valid = algorithms
            .iter()
            .any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
        if valid { Ok(()) } else { Err(bad()) }
    }
}

impl ServerCertVerifier for RoadVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut chain = Vec::with_capacity(1 + intermediates.len());
        chain.push(end_entity.clone());
        chain.extend(intermediates.iter().cloned());
        let verdict = self.judge(&chain, now);
        let mut finding = self.finding();
        match verdict {
            Ok(matched) => finding.matched = Some(matched),
            Err(fault) => {
                finding.fault = Some(fault);
                if !self.tolerant() {
                    return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.binding() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let key = dane::public_key_info(certificate).unwrap_or_default();
        let verdict = self.verify_tls12(message, key, signed);
        self.conclude(verdict.map(|()| HandshakeSignatureValid::assertion()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.binding() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let key = SubjectPublicKeyInfoDer::from(dane::public_key_info(certificate).unwrap_or_default());
        self.conclude(verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        if !self.binding() {
            // For hosts that can do no better; their signature proves nothing to us anyway.
            schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        }
        schemes
    }
}

fn by_web(
    web: Option<&WebPkiServerVerifier>,
    name: &str,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Matched, TlsFault> {
    let fault = |why: String, kind| TlsFault::Web { name: name.to_owned(), why, kind };
    let Some(web) = web else {
        let why = "this system has no root certificates".to_owned();
        return Err(fault(why, SessionFailure::CertificateNotTrusted));
    };
    let Ok(host) = ServerName::try_from(name.to_owned()) else {
        return Err(fault("it is no host name".to_owned(), SessionFailure::CertificateHostMismatch));
    };
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(fault("none was sent".to_owned(), SessionFailure::ValidationFailure));
    };
    match web.verify_server_cert(leaf, intermediates, &host, &[], now) {
        Ok(_) => Ok(Matched::WebPki { name: name.to_owned() }),
        Err(error) => {
            let (why, kind) = explain(&error);
            Err(fault(why, kind))
        }
    }
}

/// The verifier's reason in one short sentence, and its name in TLS reports.
fn explain(error: &Error) -> (String, SessionFailure) {
    use CertificateError as Reason;
    let Error::InvalidCertificate(reason) = error else {
        return (error.to_string(), SessionFailure::ValidationFailure);
    };
    match reason {
        Reason::Expired | Reason::ExpiredContext { .. } => {
            ("it has expired".to_owned(), SessionFailure::CertificateExpired)
        }
        Reason::NotValidYet | Reason::NotValidYetContext { .. } => {
            ("it is not valid yet".to_owned(), SessionFailure::CertificateExpired)
        }
        Reason::NotValidForName | Reason::NotValidForNameContext { .. } => {
            ("it is for another host".to_owned(), SessionFailure::CertificateHostMismatch)
        }
        Reason::UnknownIssuer => {
            ("no trusted authority issued it".to_owned(), SessionFailure::CertificateNotTrusted)
        }
        other => (format!("{other:?}"), SessionFailure::CertificateNotTrusted),
    }
}

/// Lower-case hex of the SHA-256 digest.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
