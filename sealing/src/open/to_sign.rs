//! What a domain's signature is put around (RFC 3183 section 5).

use mail::Message;
use mail::Spill;

use super::Keys;
use super::Session;
use crate::author::Author;
use crate::cms::Expansion;
use crate::forms;
use crate::recognise::FormKind;
use crate::result::LayerKind;
use crate::result::Limits;
use crate::result::OpenError;
use crate::result::Opened;
use crate::smime::step;

/// What a domain is to sign of a message.
#[derive(Clone, Debug)]
pub struct ToSign {
    /// The message without what RFC 3183 section 5 wants off: all encryption and signatures down to the outermost
    /// encryption, and the signature of a mailing list. What is inside stays as it is, however much of it was opened
    /// to be verified. `None`: nothing is to be taken off.
    pub message: Option<Message>,
    /// What the mailing list said whose signature was taken off, to be said again by the new outermost signature
    /// ([`Seal::expansion`](crate::smime::Seal::expansion)).
    pub expansion: Option<Expansion>,
    /// Something is encrypted inside still: the message must leave encrypted, whatever policy says.
    pub encrypted_inside: bool,
}

/// Takes off what must not stand inside of a domain signature. `opened` is what [`open`](super::open) gave for the
/// same message: the layers that tell whether it may be signed at all.
///
/// A signature that is not believed, or encryption that is not to a key of ours, stays with all that is in it; such a
/// message must not be signed (RFC 3183 section 3.2).
///
/// # Errors
/// As [`open`](super::open).
pub fn to_sign(
    message: &Message,
    opened: &Opened,
    keys: Keys<'_>,
    now: i64,
    spill: &Spill,
    limits: &Limits,
) -> Result<ToSign, OpenError> {
    let author = Author::of(message);
    let question = step::Question { keys: keys.smime, author: &author, now, limits, spill };
    let mut session = Session::new(message);
    let mut current = message.clone();
    let (mut base, mut expansion) = (None, None);
    let mut decrypted = 0;
    for _ in 0..limits.layers {
        let Some(found) = whole_form(&current, limits, spill)? else { break };
        let Some(peeled) = step::peel(&found.parts, found.kind, &question)? else { break };
        let lists = expansion.is_none() && peeled.expansion.is_some();
        session.decrypted |= peeled.decrypted;
        session.put(&current, &found, peeled.inner, spill)?;
        drop(found);
        current = mail::apply(message, &session.edits(), spill)?;
        if lists || peeled.decrypted {
            expansion = expansion.or(peeled.expansion);
            base = Some(current.clone());
        }
        if peeled.decrypted {
            decrypted = 1;
            break;
        }
    }
    let encrypted = opened.layers.iter().filter(|layer| layer.kind == LayerKind::Encrypted).count();
    Ok(ToSign { message: base, expansion, encrypted_inside: encrypted > decrypted })
}

/// The S/MIME form that is the whole message, if it is one that signs or encrypts.
fn whole_form<'m>(
    message: &'m Message,
    limits: &Limits,
    spill: &Spill,
) -> Result<Option<forms::Found<'m>>, OpenError> {
    let kinds = [FormKind::SmimeEncrypted, FormKind::SmimeOpaque, FormKind::SmimeSigned];
    match forms::find(message, limits, spill) {
        Ok(found) => {
            let whole = |found: &forms::Found<'_>| found.path.is_empty() && found.whole;
            Ok(found.into_iter().find(whole).filter(|found| kinds.contains(&found.kind)))
        }
        Err(mail::MimeError::Io(error)) => Err(OpenError::Io(error)),
        Err(_) => Ok(None),
    }
}
