//! Opening a message, layer by layer.

use mail::Body;
use mail::BodyWriter;
use mail::Edit;
use mail::Message;
use mail::Spill;

use crate::author::Author;
use crate::forms;
use crate::forms::Found;
use crate::forms::Parts;
use crate::openpgp;
use crate::openpgp::armor;
use crate::openpgp::armor::Dearmor;
use crate::openpgp::decrypt;
use crate::openpgp::decrypt::Decrypted;
use crate::openpgp::verify;
use crate::openpgp::verify::Question;
use crate::recognise::FormKind;
use crate::result::Layer;
use crate::result::LayerKind;
use crate::result::LayerState;
use crate::result::Limits;
use crate::result::OpenError;
use crate::result::Opened;
use crate::smime;
use crate::splice;
use crate::splice::ContentField;

pub(crate) mod entity;
use crate::openpgp::text;

use entity::Inner;

/// Where the keys for opening a message come from.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// For OpenPGP.
    pub openpgp: &'a dyn openpgp::Keys,
    /// For S/MIME.
    pub smime: &'a dyn smime::Keys,
}

/// Opens every layer of a message that a key of ours opens, outermost first, and verifies every
/// signature on the way against the message's From.
///
/// A layer that is encrypted to other keys, damaged or not supported stays as it is, and everything
/// inside it. A message nothing of which was opened is not changed. Signed parts are never changed.
///
/// # Errors
/// [`OpenError`] if a key look-up or a temporary file failed: the message must wait. What is wrong with
/// the message itself is told by the layers, never by an error.
pub fn open(
    message: &Message,
    keys: Keys<'_>,
    now: i64,
    spill: &Spill,
    limits: &Limits,
) -> Result<Opened, OpenError> {
    let author = Author::of(message);
    let questions = Questions {
        openpgp: verify::Question { keys: keys.openpgp, author: author.clone(), now, limits, spill },
        smime: smime::step::Question { keys: keys.smime, author: &author, now, limits, spill },
    };
    let question = &questions.openpgp;
    let mut session = Session { original: message, root: None, body: None, subject: None, done: Vec::new() };
    let mut steps = 0;
    let mut current = message.clone();
    let mut layers = Vec::new();
    // MIME that cannot be walked within the limits holds no form that we would open.
    while let Some(found) = session.next(&current, question)? {
        steps += 1;
        if layers.len() >= limits.layers || steps > 2 * limits.layers {
            layers.push(layer(found.kind, LayerState::Unsupported, "too many layers"));
            break;
        }
        let opened = layers.iter().any(|layer: &Layer| layer.state == LayerState::Opened);
        let (mut new, inner) = step(&found, opened, &questions)?;
        layers.append(&mut new);
        match inner {
            None => session.done.push((found.path, found.kind)),
            Some(inner) => {
                session.put(&current, &found, inner, spill)?;
                drop(found);
                current = mail::apply(message, &session.edits(), spill)?;
            }
        }
    }
    let edits = session.edits();
    let message = (!edits.is_empty()).then_some(current);
    Ok(Opened { edits, message, layers })
}

/// Handles one form: the layers it has, and what takes its place, if anything does.
fn step(
    found: &Found<'_>,
    opened: bool,
    questions: &Questions<'_>,
) -> Result<(Vec<Layer>, Option<Inner>), OpenError> {
    let question = &questions.openpgp;
    if let Some(why) = found.barred.filter(|_| found.kind.encrypts()) {
        return Ok((vec![layer(found.kind, LayerState::Unsupported, why)], None));
    }
    match &found.parts {
        Parts::Cms(part) => smime::step::object(part, found.kind, opened, &questions.smime),
        Parts::CmsSigned(signed, signature) => {
            smime::step::clear_signed(signed, signature, opened, &questions.smime)
        }
        Parts::Encrypted(payload) => {
            let decrypted = decrypt::decrypt(&payload.decoded(question.spill)?, question)?;
            Ok(match accept(decrypted) {
                (layers, Some(content)) => (layers, Some(Inner::read(&content, question.spill)?)),
                (layers, None) => (layers, None),
            })
        }
        Parts::Signed(signed, signature) => {
            let signature = signature.decoded(question.spill)?;
            let layer = match detached_signature(&signature)? {
                Ok(signature) => verify::verify_detached(&signature, &signed.raw(), question)?,
                Err(why) => layer(found.kind, LayerState::Invalid, why),
            };
            Ok((vec![layer], None))
        }
        Parts::Inline(_, inline) if inline.signed => Ok((vec![text::verify(inline, question)?], None)),
        Parts::Inline(part, inline) => {
            let decrypted = decrypt::decrypt(&inline.block(), question)?;
            Ok(match decrypted {
                // A signed message that is not encrypted is readable by everybody: it stays.
                Decrypted { layers, .. } if layers.iter().all(|layer| layer.kind == LayerKind::Signed) => {
                    (layers, None)
                }
                Decrypted { layers, content: Some(content) } => {
                    (layers, Some(text::entity(part, &content, &inline.rest(), question.spill)?))
                }
                Decrypted { layers, content: None } => (layers, None),
            })
        }
    }
}

/// What each standard asks.
struct Questions<'a> {
    openpgp: verify::Question<'a>,
    smime: smime::step::Question<'a>,
}

/// In a part that claims to be encrypted, content that is not encrypted is not used.
fn accept(decrypted: Decrypted) -> (Vec<Layer>, Option<Body>) {
    let first = decrypted.layers.first().map(|layer| layer.kind);
    match (first, decrypted.content) {
        (Some(LayerKind::Encrypted), content) => (decrypted.layers, content),
        _ => {
            let why = "the part that should be encrypted is not";
            (vec![layer(FormKind::PgpMimeEncrypted, LayerState::Damaged, why)], None)
        }
    }
}

/// The packets of a signature part, at most 1 MiB; what is wrong with them, if they cannot be read.
fn detached_signature(part: &Body) -> Result<Result<Vec<u8>, String>, OpenError> {
    const LIMIT: u64 = 1 << 20;
    if part.len() > 2 * LIMIT {
        return Ok(Err("the signature part is too large".into()));
    }
    let text = part.to_vec()?;
    let mut kind = Dearmor::new(&text[..]);
    Ok(match kind.kind().and_then(|kind| Ok((kind, armor::dearmor(&text, LIMIT)?.1))) {
        Ok((armor::Kind::Signature | armor::Kind::Message, packets)) => Ok(packets),
        Ok((other, _)) => Err(format!("the signature part holds a PGP {other}")),
        Err(error) => Err(format!("the signature part cannot be read: {error}")),
    })
}

fn layer(kind: FormKind, state: LayerState, why: impl Into<String>) -> Layer {
    let does = if kind.encrypts() { LayerKind::Encrypted } else { LayerKind::Signed };
    Layer::of(kind.scheme(), does, state).because(why)
}

/// What was changed so far, told as changes to the original message.
struct Session<'m> {
    original: &'m Message,
    /// The Content-* fields of the message, once they are others.
    root: Option<Vec<ContentField>>,
    body: Option<Body>,
    /// The subject that was encrypted with the content.
    subject: Option<Vec<u8>>,
    /// Forms that were looked at and stay.
    done: Vec<(Vec<usize>, FormKind)>,
}

impl Session<'_> {
    /// The outermost form that was not looked at yet, nor stands inside one that stays closed.
    fn next<'c>(
        &self,
        current: &'c Message,
        question: &Question<'_>,
    ) -> Result<Option<Found<'c>>, OpenError> {
        let found = match forms::find(current, question.limits, question.spill) {
            Ok(found) => found,
            Err(mail::MimeError::Io(error)) => return Err(OpenError::Io(error)),
            Err(_) => return Ok(None),
        };
        let seen = |found: &Found<'_>| {
            self.done.iter().any(|(path, kind)| *path == found.path && *kind == found.kind)
        };
        Ok(found.into_iter().find(|found| !seen(found)))
    }

    /// Puts the opened entity in the place of the protected one.
    fn put(
        &mut self,
        current: &Message,
        found: &Found<'_>,
        inner: Inner,
        spill: &Spill,
    ) -> Result<(), OpenError> {
        if found.replaced_path.is_empty() {
            self.subject = inner.subject.clone().or(self.subject.take());
            self.root = Some(inner.fields);
            self.body = Some(inner.content);
        } else {
            self.body = Some(within(current, found, &inner, spill)?);
        }
        // What stands there now was not looked at.
        self.done.retain(|(path, _)| !path.starts_with(&found.replaced_path));
        Ok(())
    }

    fn edits(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Some(fields) = &self.root {
            edits.extend(splice::replace_content_fields(self.original, fields));
        }
        if let Some(value) = self.subject.clone() {
            let header = self.original.header();
            edits.push(match header.find("Subject") {
                Some((index, _)) => Edit::ReplaceField { index, value },
                None => Edit::InsertField { index: header.count(), name: "Subject".into(), value },
            });
        }
        edits.extend(self.body.clone().map(Edit::ReplaceBody));
        edits
    }
}

/// The message's body with one entity in it replaced.
fn within(current: &Message, found: &Found<'_>, inner: &Inner, spill: &Spill) -> Result<Body, OpenError> {
    use std::io::Write as _;

    let body = current.body();
    let raw = found.replaced.raw_range();
    let mut out = BodyWriter::new(spill);
    body.slice(0..raw.start).write_to(&mut out)?;
    for field in found.replaced.header().fields().filter(|field| !crate::canonical::describes_content(field))
    {
        out.write_all(field.raw())?;
    }
    for (name, value) in &inner.fields {
        write!(out, "{name}:")?;
        out.write_all(value)?;
        out.write_all(b"\r\n")?;
    }
    out.write_all(b"\r\n")?;
    inner.content.write_to(&mut out)?;
    body.slice(raw.end..body.len()).write_to(&mut out)?;
    Ok(out.finish()?)
}
