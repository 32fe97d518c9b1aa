//! EnvelopedData (RFC 5652 section 6) and AuthEnvelopedData (RFC 5083): content that only recipients read.

use std::fmt;
use std::io;

use keydir::Certificate;
use mail::Body;
use openssl::error::ErrorStack;

use super::ber::BerError;
use super::content_info::ContentKind;
use super::oid;

mod content_cipher;
mod decrypt;
mod encrypt;
mod key_agreement;
mod key_transport;
mod recipient;

pub use decrypt::decrypt;
pub use encrypt::encrypt;
pub use encrypt::encrypted_len;
pub use recipient::RecipientId;
pub(crate) use recipient::issuer_serial_der;

/// How a content key is encrypted for a certificate with an RSA key. Others have one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTransport {
    /// RSAES-OAEP with SHA-256 and MGF1 with SHA-256 (RFC 4055); few mail programs read it.
    Oaep,
    /// RSAES-PKCS1-v1_5; everybody reads it.
    Pkcs1v15,
}

/// How content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCipher {
    /// AES-256 in CBC mode, in EnvelopedData: no protection against changes; everybody reads it.
    Aes256Cbc,
    /// AES-256 in GCM mode, in AuthEnvelopedData (RFC 5084).
    Aes256Gcm,
}

/// Somebody who is to read the content.
#[derive(Clone, Copy)]
pub struct Recipient<'a> {
    /// The certificate to encrypt to. Whether it *may* be used is the key directory's question.
    pub certificate: &'a Certificate,
    /// What to do if its key is an RSA key.
    pub transport: KeyTransport,
}

/// How the content of an opened message was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherSeen {
    /// AES-128 in GCM mode.
    Aes128Gcm,
    /// AES-192 in GCM mode.
    Aes192Gcm,
    /// AES-256 in GCM mode.
    Aes256Gcm,
    /// A block cipher in CBC mode, by its name: nothing protects the content against changes (EFAIL).
    Cbc(&'static str),
}

impl fmt::Display for CipherSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CipherSeen::Aes128Gcm => f.write_str("AES-128-GCM"),
            CipherSeen::Aes192Gcm => f.write_str("AES-192-GCM"),
            CipherSeen::Aes256Gcm => f.write_str("AES-256-GCM"),
            CipherSeen::Cbc(name) => write!(f, "{name}-CBC"),
        }
    }
}

/// What decrypting gave.
#[derive(Clone, Debug)]
pub struct Decrypted {
    /// The content.
    pub content: Body,
    /// What the content says it is.
    pub inner: ContentKind,
    /// How it was encrypted.
    pub cipher: CipherSeen,
    /// Whether nobody without the content key can have changed the content. That says nothing about who
    /// wrote it.
    pub authenticated: bool,
    /// Everybody for whom the message names a key.
    pub recipients: Vec<RecipientId>,
    /// Fingerprint of the certificate whose key opened it.
    pub opened_with: String,
}

/// Why content was not encrypted or decrypted. No plaintext comes with any of these.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The key look-up failed: there may be a key. Worth another try.
    #[error("key look-up failed: {0}")]
    CouldNotTell(String),
    /// The message is not whole, was changed, or does not belong to the key it names.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A file, the sink or the library failed; not the message's fault. Worth another try.
    #[error("local error in encryption or decryption")]
    Io(#[from] io::Error),
    /// Encrypted, but not for a key of ours.
    #[error("encrypted to keys that are not ours")]
    NoKey {
        /// Everybody for whom the message names a key.
        recipients: Vec<RecipientId>,
    },
    /// Larger than the limits allow.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// An algorithm or a form that is not supported.
    #[error("not supported: {0}")]
    Unsupported(String),
}

impl EnvelopeError {
    /// The one reason for everything that goes wrong once a key was found. Who could tell a wrong padding
    /// from a wrong key could decrypt with our key (RFC 3218).
    pub(crate) fn undecipherable() -> EnvelopeError {
        EnvelopeError::Damaged("the content cannot be decrypted with our key, or was changed".into())
    }
}

impl From<BerError> for EnvelopeError {
    fn from(error: BerError) -> EnvelopeError {
        match error {
            // A source that decodes a transfer encoding says in this way that it is damaged.
            BerError::Io(error) if is_damage(&error) => EnvelopeError::Damaged(error.to_string()),
            BerError::Io(error) => EnvelopeError::Io(error),
            BerError::TooLarge => EnvelopeError::TooLarge("structure beside the content"),
            other => EnvelopeError::Damaged(other.to_string()),
        }
    }
}

impl From<ErrorStack> for EnvelopeError {
    fn from(error: ErrorStack) -> EnvelopeError {
        EnvelopeError::Io(error.into())
    }
}

/// Whether an error of a source means that the data is wrong, not the source.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Why one recipient's content key was not found, or could not be made.
#[derive(Debug)]
pub(crate) enum Refusal {
    Library(ErrorStack),
    Unsupported(String),
    Wrong,
}

impl Refusal {
    fn unsupported(what: &str, oid: &[u8]) -> Refusal {
        Refusal::Unsupported(format!("{what} {}", oid::dotted(oid)))
    }
}

impl From<ErrorStack> for Refusal {
    fn from(error: ErrorStack) -> Refusal {
        Refusal::Library(error)
    }
}

impl From<Refusal> for EnvelopeError {
    fn from(refusal: Refusal) -> EnvelopeError {
        match refusal {
            Refusal::Library(error) => error.into(),
            Refusal::Unsupported(why) => EnvelopeError::Unsupported(why),
            Refusal::Wrong => EnvelopeError::undecipherable(),
        }
    }
}
