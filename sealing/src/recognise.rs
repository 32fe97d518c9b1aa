//! How a message is protected, by its structure alone.
//!
//! Words in a subject and armor quoted in a text protect nothing. A part counts as encrypted only if
//! its first packet is that of an encrypted message, and a whole message only if its outermost entity
//! is such a form: a message with an encrypted part beside a clear one is not protected.

use keydir::Scheme;
use mail::Message;
use mail::Spill;

use crate::forms;
use crate::forms::Found;
use crate::result::Limits;

/// How a whole message is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The whole content is encrypted. Whether it is also signed inside cannot be seen.
    Encrypted,
    /// Not, or only in parts.
    None,
    /// The whole content is signed and readable by everybody.
    Signed,
    /// Signed on the outside, encrypted inside.
    SignedAndEncrypted,
}

/// A protected form, wherever in the message it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormKind {
    /// multipart/encrypted of RFC 3156 section 4, or what Exchange makes of it.
    PgpMimeEncrypted,
    /// multipart/signed of RFC 3156 section 5, or what Outlook makes of it.
    PgpMimeSigned,
    /// A text that is one armored message.
    PgpInlineEncrypted,
    /// A text that is signed in the cleartext signature framework (RFC 9580 section 7).
    PgpInlineSigned,
    /// CMS CompressedData (RFC 8551 section 3.6), which protects nothing.
    SmimeCompressed,
    /// CMS EnvelopedData or AuthEnvelopedData (RFC 8551 sections 3.3, 3.4).
    SmimeEncrypted,
    /// CMS SignedData with its content inside (RFC 8551 section 3.5.2).
    SmimeOpaque,
    /// multipart/signed with a CMS signature (RFC 8551 section 3.5.3).
    SmimeSigned,
}

impl FormKind {
    /// The standard that the form follows.
    pub fn scheme(self) -> Scheme {
        match self {
            FormKind::PgpMimeEncrypted
            | FormKind::PgpMimeSigned
            | FormKind::PgpInlineEncrypted
            | FormKind::PgpInlineSigned => Scheme::Openpgp,
            FormKind::SmimeCompressed
            | FormKind::SmimeEncrypted
            | FormKind::SmimeOpaque
            | FormKind::SmimeSigned => Scheme::Smime,
        }
    }

    pub(crate) fn encrypts(self) -> bool {
        matches!(self, FormKind::PgpMimeEncrypted | FormKind::PgpInlineEncrypted | FormKind::SmimeEncrypted)
    }
}

/// A protected form and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is.
    pub kind: FormKind,
    /// Indexes of the parts that lead to it from the message, empty for the message itself.
    pub path: Vec<usize>,
}

/// What the structure of a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// How the message as a whole is protected.
    pub protection: Protection,
    /// Every protected form in it, the outermost first.
    pub forms: Vec<Form>,
}

/// Recognises the protected forms of a message. MIME that cannot be walked within the default
/// [`Limits`] holds none.
#[must_use]
pub fn recognise(message: &Message) -> Recognised {
    let found = forms::find(message, &Limits::default(), &Spill::default()).unwrap_or_default();
    let protection = protection(&found);
    let forms = found.into_iter().map(|found| Form { kind: found.kind, path: found.path }).collect();
    Recognised { protection, forms }
}

/// Only a form at the root protects the whole; a signature there may have the encryption right inside.
fn protection(found: &[Found<'_>]) -> Protection {
    let Some(root) = found.iter().find(|found| found.path.is_empty() && found.whole) else {
        return Protection::None;
    };
    if root.kind.encrypts() {
        return Protection::Encrypted;
    }
    if root.kind == FormKind::SmimeCompressed {
        return Protection::None;
    }
    let inside = found.iter().any(|found| found.path == [0] && found.whole && found.kind.encrypts());
    if inside { Protection::SignedAndEncrypted } else { Protection::Signed }
}
