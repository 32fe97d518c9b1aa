//! What was found out about the layers of a message, and the limits within which it was looked for.

use std::fmt;

use keydir::Scheme;
use mail::Message;

use crate::cms::Capabilities;
use crate::cms::RecipientId;

/// For whom a certificate may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// For the whole domain of the address: the certificate of its gateway.
    Domain,
    /// For this very address.
    User,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// It hides the content.
    Encrypted,
    /// It proves who wrote the content.
    Signed,
}

/// What became of a layer. No state claims more than was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// Encrypted to a key of ours, but damaged or not protected against changes: nothing was used.
    Damaged,
    /// Signature that does not hold: altered content, a key that was expired or revoked, a weak digest.
    Invalid,
    /// Signature that holds, by a trusted certificate of a mailing list agent that expanded the message (RFC 2634
    /// section 4). It says nothing about the only address in From.
    List,
    /// Encrypted to keys that are not ours.
    NoKey,
    /// Decrypted, and its integrity was checked.
    Opened,
    /// Signed with a certificate we do not have.
    UnknownSigner,
    /// Signature that holds, by a certificate that speaks for the only address in From, over a part of the message. What
    /// stands beside it can be anybody's.
    Part,
    /// A form, algorithm or size that we do not open.
    Unsupported,
    /// Signature that holds over the whole message, by a certificate that speaks for the only address in From.
    Valid,
    /// Signature that holds, but by somebody else than the only address in From.
    WrongSigner,
}

/// One cryptographic layer, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The standard that the layer follows.
    pub scheme: Scheme,
    /// Encryption or signature.
    pub kind: LayerKind,
    /// What became of it.
    pub state: LayerState,
    /// Signer: fingerprint of the certificate, or of the key if the certificate is unknown; upper-case
    /// hexadecimal.
    pub signer: Option<String>,
    /// It is a signature in a message that the message brings along (message/rfc822), and none on the message itself.
    pub attached: bool,
    /// The From address for which a valid signer speaks.
    pub signer_subject: Option<String>,
    /// How the signer is bound to that address.
    pub binding: Option<Binding>,
    /// When the signature says it was made, Unix seconds.
    pub signed_at: Option<i64>,
    /// Fingerprint of our certificate that opened the layer.
    pub decrypted_with: Option<String>,
    /// What a valid signer announced in the signature.
    pub announced: Option<Announced>,
    /// Certificates to encrypt to that came with a valid signature of S/MIME, the one its signer prefers first.
    pub brought: Vec<Brought>,
    /// The part of the message that holds the layer, as RFC 7281 section 3.2.1 names it: `2`, or `1/2` inside of
    /// what was opened.
    pub part: Option<String>,
    /// The reason for a state that is neither `Opened` nor `Valid`, in plain words.
    pub why: Option<String>,
    /// The layer was opened, or could not be, and its encryption does not show whether anybody changed the content: CBC
    /// (RFC 8551 section 6, known as EFAIL). Only a valid signature inside, on all of it, does.
    pub malleable: bool,
}

/// A certificate to encrypt to that came with a valid signature. It speaks for the author as the signer's does, and it
/// chains to an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// The certificate.
    pub certificate: keydir::Certificate,
    /// The authorities above it, without the anchor.
    pub above: Vec<keydir::Certificate>,
}

/// What a signer of S/MIME says to be able to read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// What he can read beyond what everybody can (RFC 8551 section 2.5.2).
    pub capabilities: Capabilities,
    /// The certificate to encrypt to (RFC 8551 section 2.5.3); `None`: any of his.
    pub certificate: Option<RecipientId>,
}

impl Layer {
    /// A layer of OpenPGP.
    pub(crate) fn new(kind: LayerKind, state: LayerState) -> Layer {
        Layer::of(Scheme::Openpgp, kind, state)
    }

    pub(crate) fn of(scheme: Scheme, kind: LayerKind, state: LayerState) -> Layer {
        Layer {
            scheme,
            kind,
            state,
            signer: None,
            signer_subject: None,
            binding: None,
            signed_at: None,
            decrypted_with: None,
            attached: false,
            announced: None,
            brought: Vec::new(),
            part: None,
            why: None,
            malleable: false,
        }
    }

    /// A signature that holds, by a trusted certificate, of somebody who may stand around the message.
    pub(crate) fn is_believed(&self) -> bool {
        self.kind == LayerKind::Signed && matches!(self.state, LayerState::Valid | LayerState::List)
    }

    pub(crate) fn because(mut self, why: impl Into<String>) -> Layer {
        self.why = Some(why.into());
        self
    }
}

impl fmt::Display for LayerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LayerState::Damaged => "damaged",
            LayerState::Invalid => "invalid",
            LayerState::List => "mailing list",
            LayerState::NoKey => "no key",
            LayerState::Opened => "opened",
            LayerState::Part => "valid for a part",
            LayerState::UnknownSigner => "unknown signer",
            LayerState::Unsupported => "unsupported",
            LayerState::Valid => "valid",
            LayerState::WrongSigner => "wrong signer",
        })
    }
}

/// How far opening a message may go.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Layers looked at in one message.
    pub layers: usize,
    /// Bytes that come out of one layer.
    pub opened_bytes: u64,
    /// How many times larger than its ciphertext a compressed layer may become.
    pub ratio: u64,
    /// Limits of the MIME walk.
    pub mime: mail::Limits,
}

impl Default for Limits {
    /// 16 layers, 256 MiB, 200 times.
    fn default() -> Limits {
        Limits { layers: 16, opened_bytes: 256 << 20, ratio: 200, mime: mail::Limits::default() }
    }
}

/// Why a message could not be looked at; not its fault, and worth another try.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A temporary file could not be read or written.
    #[error("a temporary file failed while a message was opened")]
    Io(#[from] std::io::Error),
    /// A key look-up failed; there may be a key.
    #[error("key look-up failed: {0}")]
    Keys(String),
}

impl From<OpenError> for mail::Failure {
    fn from(error: OpenError) -> mail::Failure {
        let (code, text) = match error {
            OpenError::Io(_) => ((3, 0), "local error while opening the message"),
            OpenError::Keys(_) => ((7, 0), "key directory not available"),
        };
        mail::Failure::temporary(code, text).because(error)
    }
}

/// What opening a message gave.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The changes that put the opened content in the place of the protected; empty if nothing was opened.
    pub edits: Vec<mail::Edit>,
    /// The message with the changes made; `None` if nothing was opened.
    pub message: Option<Message>,
    /// All layers, the outermost first.
    pub layers: Vec<Layer>,
    /// Names of header fields that are not what the sender protected (RFC 9788): changed on the road, or added.
    /// Of an encrypted message the protected ones are shown, but never an author whose address is another one.
    pub mismatches: Vec<String>,
    /// Raw values of `Autocrypt-Gossip` fields from the header of what was signed and encrypted in one; at most
    /// [`MAX_GOSSIP`].
    pub gossip: Vec<Vec<u8>>,
}

/// So many gossip fields of one message are looked at.
pub const MAX_GOSSIP: usize = 32;
