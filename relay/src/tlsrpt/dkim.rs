//! Signs reports. Those "sent via SMTP MUST contain a valid" DKIM "signature by the reporting domain" (RFC 8460
//! section 3).

use std::fmt;

use mail_auth::common::crypto::DkimKey;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::crypto::RsaKey;
use mail_auth::common::crypto::Sha256;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_auth::dkim::Done;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroize;

use super::ledger::LedgerError;

/// Fields that are signed; From twice, so that none can be added (RFC 6376 section 8.15).
const FIELDS: [&str; 12] = [
    "From",
    "From",
    "To",
    "Date",
    "Subject",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Auto-Submitted",
    "TLS-Required",
    "TLS-Report-Domain",
    "TLS-Report-Submitter",
];

/// A DKIM key with its place in DNS. The whole body is signed; there is no `l=`.
pub struct Signer {
    signer: DkimSigner<DkimKey, Done>,
    domain: String,
    selector: String,
    public: Public,
}

/// What the TXT record of a key has.
struct Public {
    algorithm: &'static str,
    key: Vec<u8>,
}

/// Why a DKIM key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// No private key in the PEM text.
    #[error("the DKIM key is no private key in PEM form")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// Neither RSA nor Ed25519, or broken.
    #[error("the DKIM key is neither an RSA nor an Ed25519 key that can be used: {0}")]
    Key(String),
}

impl Signer {
    /// With a private key in PEM form: RSA (PKCS #1 or #8) or Ed25519 (PKCS #8).
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn from_pem(pem: &[u8], domain: &str, selector: &str) -> Result<Self, BadKey> {
        let mut der = PrivateKeyDer::from_pem_slice(pem).map_err(BadKey::Pem)?;
        let read = read(&der);
        der.zeroize();
        let (key, public) = read.map_err(|error| BadKey::Key(error.to_string()))?;
        let signer = DkimSigner::from_key(key).domain(domain).selector(selector).headers(FIELDS);
        Ok(Self { signer, domain: domain.to_owned(), selector: selector.to_owned(), public })
    }

    /// The signing domain (`d=`).
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Where the public key must be published.
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// What must be published there. "The DKIM TXT record SHOULD contain the appropriate service type
    /// declaration, "s=tlsrpt"" (RFC 8460 section 3); `email` is kept for verifiers that know no other.
    pub fn record_text(&self) -> String {
        let Public { algorithm, key } = &self.public;
        format!("v=DKIM1; k={algorithm}; s=email:tlsrpt; p={}", base64_simd::STANDARD.encode_to_string(key))
    }

    /// The message with a DKIM-Signature field before it.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let signature = self.signer.sign(message).map_err(|error| LedgerError::Sign(error.to_string()))?;
        let mut signed = signature.to_header().into_bytes();
        signed.extend_from_slice(message);
        Ok(signed)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("record", &self.record_name()).finish_non_exhaustive()
    }
}

/// The key and what is public of it.
fn read(der: &PrivateKeyDer<'_>) -> mail_auth::Result<(DkimKey, Public)> {
    let borrowed = match der {
        PrivateKeyDer::Pkcs8(pkcs8) if is_ed25519(pkcs8.secret_pkcs8_der()) => {
            let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(pkcs8.secret_pkcs8_der())?;
            let public = Public { algorithm: "ed25519", key: key.public_key() };
            return Ok((DkimKey::Ed25519(key), public));
        }
        PrivateKeyDer::Pkcs1(pkcs1) => PrivateKeyDer::Pkcs1(pkcs1.secret_pkcs1_der().into()),
        other => PrivateKeyDer::Pkcs8(other.secret_der().into()),
    };
    let key = RsaKey::<Sha256>::from_key_der(borrowed)?;
    let public = Public { algorithm: "rsa", key: rsa_public_key_info(&key.public_key()) };
    Ok((DkimKey::Rsa(key), public))
}

/// RFC 8410 section 3: the object identifier 1.3.101.112 as the algorithm of a PKCS #8 key. Within an RSA key it
/// could only be found by chance, in the first octets never.
fn is_ed25519(pkcs8: &[u8]) -> bool {
    pkcs8.get(..16).is_some_and(|head| head.windows(5).any(|octets| octets == [0x06, 0x03, 0x2b, 0x65, 0x70]))
}

/// RFC 3279 section 2.3.1: the bare key of PKCS #1 as a SubjectPublicKeyInfo, which is what verifiers read.
fn rsa_public_key_info(bare: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = element(0x03, &[&[0], bare].concat());
    element(0x30, &[RSA_ENCRYPTION.as_slice(), &bits].concat())
}

/// One DER element (X.690 section 8.1) of at most 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let head = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), content].concat()
}
