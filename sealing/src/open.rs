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
use crate::header::Protected;
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

mod coverage;
pub(crate) mod entity;
mod section;
mod to_sign;

use crate::openpgp::text;

pub use to_sign::ToSign;
pub use to_sign::to_sign;

use coverage::Coverage;
use entity::Inner;
use section::Sections;

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
    let mut session = Session::new(message);
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
        session.compare(&found, &new, inner.as_ref());
        session.hear(&found, &new, inner.as_ref());
        let part = session.sections.of(&current, &found, limits);
        new.iter_mut().for_each(|layer| layer.part.clone_from(&part));
        Coverage::of(&current, &found, limits).limit(&mut new);
        session.decrypted |= new.iter().any(|layer| layer.state == LayerState::Opened);
        layers.append(&mut new);
        match inner.filter(|inner| !inner.stays) {
            None => session.done.push((found.path, found.kind)),
            Some(inner) => {
                session.put(&current, &found, inner, spill)?;
                session.sections.opened(&found.replaced_path, part);
                drop(found);
                current = mail::apply(message, &session.edits(), spill)?;
            }
        }
    }
    if session.look_into_signed(&current) {
        current = mail::apply(message, &session.edits(), spill)?;
    }
    let edits = session.edits();
    let message = (!edits.is_empty()).then_some(current);
    Ok(Opened { edits, message, layers, mismatches: session.mismatches(), gossip: session.gossip })
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
    /// Something encrypted was opened.
    decrypted: bool,
    /// The header fields that were protected with the content.
    protected: Option<Protected>,
    /// Fields outside that are not what a valid signature covers, although nothing was encrypted.
    mismatches: Vec<String>,
    /// Forms that were looked at and stay.
    done: Vec<(Vec<usize>, FormKind)>,
    sections: Sections,
    /// What the header of encrypted content gossips.
    gossip: Vec<Vec<u8>>,
}

impl<'m> Session<'m> {
    fn new(original: &'m Message) -> Session<'m> {
        Session {
            original,
            root: None,
            body: None,
            decrypted: false,
            protected: None,
            mismatches: Vec::new(),
            done: Vec::new(),
            sections: Sections::default(),
            gossip: Vec::new(),
        }
    }

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
            let inner = inner.undressed(spill)?;
            self.protected = inner.protected.or(self.protected.take());
            self.root = Some(inner.fields);
            self.body = Some(inner.content);
        } else {
            self.body = Some(within(current, found, &inner, spill)?);
        }
        // What stands there now was not looked at.
        self.done.retain(|(path, _)| !path.starts_with(&found.replaced_path));
        Ok(())
    }

    /// Compares the header with what is signed, where only that is known. What is signed stays as it is.
    fn compare(&mut self, found: &Found<'_>, layers: &[Layer], inner: Option<&Inner>) {
        let valid = !layers.is_empty()
            && layers.iter().all(|layer| layer.kind == LayerKind::Signed && layer.state == LayerState::Valid);
        if !valid || !found.path.is_empty() || self.root.is_some() {
            return;
        }
        let protected = match (&found.parts, inner) {
            (Parts::CmsSigned(signed, _) | Parts::Signed(signed, _), _) => Protected::of(signed.header()),
            (_, Some(inner)) => inner.protected.clone(),
            (_, None) => None,
        };
        self.mismatches = protected.map_or_else(Vec::new, |p| p.mismatches(self.original.header()));
    }

    /// Takes what stands in the header of the whole message as it was signed and encrypted in one, and nowhere else:
    /// around content that was signed before, whoever can encrypt to us could have put it.
    fn hear(&mut self, found: &Found<'_>, layers: &[Layer], inner: Option<&Inner>) {
        let any = |state| layers.iter().any(|layer| layer.state == state);
        let together = any(LayerState::Opened) && any(LayerState::Valid);
        if let (true, true, Some(inner)) = (together, found.path.is_empty(), inner) {
            self.gossip.clone_from(&inner.gossip);
        }
    }

    /// Takes the protected header fields from a signed part that came out of an encrypted one and stays as it
    /// is. Gives whether there are any.
    fn look_into_signed(&mut self, current: &Message) -> bool {
        let mut part = current.entity();
        while self.decrypted && self.protected.is_none() && part.content_type().is("multipart", "signed") {
            let children = part.children(&mail::Limits::default()).unwrap_or_default();
            let Some(signed) = children.into_iter().next() else { return false };
            self.protected = Protected::of(signed.header());
            part = signed;
        }
        part.depth() > 0 && self.protected.is_some()
    }

    /// Where the header of the message is not what was protected.
    fn mismatches(&self) -> Vec<String> {
        match &self.protected {
            Some(protected) if self.decrypted => protected.mismatches(self.original.header()),
            _ => self.mismatches.clone(),
        }
    }

    fn edits(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Some(fields) = &self.root {
            edits.extend(splice::replace_content_fields(self.original, fields));
        }
        if let Some(protected) = self.protected.as_ref().filter(|_| self.decrypted) {
            edits.extend(protected.edits(self.original.header()));
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
