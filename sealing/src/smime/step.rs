//! Opening one CMS object of a message.

use std::io;

use keydir::Answer;
use keydir::Certificate;
use keydir::Scheme;
use mail::Body;
use mail::BodyWriter;
use mail::Entity;
use mail::Message;
use mail::Spill;

use super::keys::Keys;
use super::trust;
use crate::author::Author;
use crate::cms;
use crate::cms::ContentKind;
use crate::cms::DecompressError;
use crate::cms::EnvelopeError;
use crate::cms::Expansion;
use crate::cms::RecipientId;
use crate::cms::Verified;
use crate::cms::VerifyError;
use crate::forms::Parts;
use crate::open::entity::Inner;
use crate::recognise::Form;
use crate::recognise::FormKind;
use crate::recognise::Protection;
use crate::recognise::recognise;
use crate::result::Binding;
use crate::result::Layer;
use crate::result::LayerKind;
use crate::result::LayerState;
use crate::result::Limits;
use crate::result::OpenError;
use crate::transfer::CrlfWriter;

/// Everything that a verdict depends on.
pub(crate) struct Question<'a> {
    pub(crate) keys: &'a (dyn Keys + 'a),
    pub(crate) author: &'a Author,
    /// Unix seconds.
    pub(crate) now: i64,
    pub(crate) limits: &'a Limits,
    pub(crate) spill: &'a Spill,
}

/// What opening one form gave: its layers, and what takes its place, if anything does.
pub(crate) type Step = (Vec<Layer>, Option<Inner>);

/// Opens a part that holds a CMS object with its content inside. `opened`: a layer around it was opened by
/// us, so that the recipient gets other bytes than those that arrived anyway.
pub(crate) fn object(
    part: &Entity<'_>,
    kind: FormKind,
    opened: bool,
    question: &Question<'_>,
) -> Result<Step, OpenError> {
    let object = part.decoded(question.spill)?;
    match kind {
        FormKind::SmimeCompressed => compressed(&object, question),
        FormKind::SmimeOpaque => opaque(&object, opened, question),
        _ => encrypted(&object, question),
    }
}

/// Verifies multipart/signed (RFC 8551 section 3.5.3). The signature of a gateway inside something that we
/// opened is taken off: it spoke to us, and the recipient gets what the author wrote.
pub(crate) fn clear_signed(
    signed: &Entity<'_>,
    signature: &Entity<'_>,
    opened: bool,
    question: &Question<'_>,
) -> Result<Step, OpenError> {
    /// A signature with its certificates and revocation lists.
    const LIMIT: u64 = 2 << 20;
    let object = signature.decoded(question.spill)?;
    if object.len() > LIMIT {
        let layer = layer(LayerKind::Signed, LayerState::Invalid).because("the signature part is too large");
        return Ok((vec![layer], None));
    }
    let object = object.to_vec()?;
    let raw = signed.raw();
    let mut layers = detached(&object, &raw, question)?;
    if layers.iter().any(|layer| layer.state == LayerState::Invalid) {
        // Signed with CRLF, stored with LF.
        let mut canonical = BodyWriter::new(question.spill);
        raw.write_to(&mut CrlfWriter::new(&mut canonical))?;
        let canonical = canonical.finish()?;
        if canonical.len() != raw.len() {
            layers = detached(&object, &canonical, question)?;
        }
    }
    let inner = match opened && is_gateways(&layers) {
        true => Some(Inner::read(&raw, question.spill)?),
        false => None,
    };
    Ok((layers, inner))
}

/// A signature around the whole message or the encryption of it, taken off.
pub(crate) struct Peeled {
    pub(crate) inner: Inner,
    /// It was encryption.
    pub(crate) decrypted: bool,
    /// What a mailing list agent says in the signature.
    pub(crate) expansion: Option<Expansion>,
}

/// Takes one layer off, whoever made it; `None` if that cannot be done, or if a signature is not believed.
pub(crate) fn peel(
    parts: &Parts<'_>,
    kind: FormKind,
    question: &Question<'_>,
) -> Result<Option<Peeled>, OpenError> {
    let verified = match (parts, kind) {
        (Parts::Cms(part), FormKind::SmimeEncrypted) => {
            let (_, inner) = encrypted(&part.decoded(question.spill)?, question)?;
            return Ok(inner.map(|inner| Peeled { inner, decrypted: true, expansion: None }));
        }
        (Parts::Cms(part), FormKind::SmimeOpaque) => {
            let object = part.decoded(question.spill)?;
            let verify = |known: &[Certificate]| {
                let mut reader = object.reader(0..object.len());
                cms::verify_opaque(&mut reader, known, question.spill, question.limits)
            };
            with_known(verify, question)?
        }
        (Parts::CmsSigned(signed, signature), _) => {
            let (object, raw) = (signature.decoded(question.spill)?.to_vec()?, signed.raw());
            let verify = |known: &[Certificate]| {
                cms::verify_detached(&object, &mut raw.reader(0..raw.len()), known, question.limits)
            };
            with_known(verify, question)?.map(|verified| Verified { content: Some(raw.clone()), ..verified })
        }
        _ => return Ok(None),
    };
    let Ok(verified) = verified else { return Ok(None) };
    let layers = trust::layers(&verified, question)?;
    let Some(content) = verified.content.as_ref().filter(|_| layers.iter().all(Layer::is_believed)) else {
        return Ok(None);
    };
    let expansion = trust::expansion(&verified, &layers);
    Ok(Some(Peeled { inner: inside(content, verified.inner, question.spill)?, decrypted: false, expansion }))
}

fn detached(signature: &[u8], content: &Body, question: &Question<'_>) -> Result<Vec<Layer>, OpenError> {
    let verify = |known: &[Certificate]| {
        let mut reader = content.reader(0..content.len());
        cms::verify_detached(signature, &mut reader, known, question.limits)
    };
    match with_known(verify, question)? {
        Ok(verified) => trust::layers(&verified, question),
        Err(error) => unverified(error),
    }
}

/// Opens SignedData with its content inside. It stays where the recipient's own software may want to verify
/// it; it is replaced by its content where we opened a layer around it, where it is the signature of a
/// gateway or of a mailing list around somebody else's, where it claims nothing, and where something is encrypted
/// inside (RFC 2634 section 1.1).
fn opaque(object: &Body, opened: bool, question: &Question<'_>) -> Result<Step, OpenError> {
    let verify = |known: &[Certificate]| {
        let mut reader = object.reader(0..object.len());
        cms::verify_opaque(&mut reader, known, question.spill, question.limits)
    };
    let verified = match with_known(verify, question)? {
        Ok(verified) => verified,
        Err(error) => return Ok((unverified(error)?, None)),
    };
    let layers = trust::layers(&verified, question)?;
    let Some(content) = &verified.content else { return Ok((layers, None)) };
    let inner = inside(content, verified.inner, question.spill)?;
    let claims = !verified.signers.is_empty();
    let valid = !layers.is_empty() && layers.iter().all(|layer| layer.state == LayerState::Valid);
    let list = layers.iter().any(|layer| layer.state == LayerState::List);
    let replace = (opened && valid && !question.keys.keeps_signatures())
        || is_gateways(&layers)
        || !claims
        || list && recognise(&as_message(&inner)).protection != Protection::None
        || leads_to_encrypted(&inner, question)?;
    Ok((layers, Some(Inner { stays: !replace, ..inner })))
}

/// Whether something encrypted is inside, maybe below more signatures.
fn leads_to_encrypted(inner: &Inner, question: &Question<'_>) -> Result<bool, OpenError> {
    let mut entity = as_message(inner);
    for _ in 0..question.limits.layers {
        let recognised = recognise(&entity);
        match recognised.protection {
            Protection::Encrypted | Protection::SignedAndEncrypted => return Ok(true),
            Protection::None => return Ok(false),
            Protection::Signed => {}
        }
        let whole = Form { kind: FormKind::SmimeOpaque, path: Vec::new() };
        if !recognised.forms.contains(&whole) {
            return Ok(false);
        }
        let object = entity.entity().decoded(question.spill)?;
        let mut reader = object.reader(0..object.len());
        let verified = match cms::verify_opaque(&mut reader, &[], question.spill, question.limits) {
            Ok(verified) => verified,
            Err(VerifyError::Io(error)) => return Err(OpenError::Io(error)),
            Err(_) => return Ok(false),
        };
        let Some(content) = &verified.content else { return Ok(false) };
        entity = as_message(&inside(content, verified.inner, question.spill)?);
    }
    Ok(false)
}

fn as_message(inner: &Inner) -> Message {
    let fields = inner.fields.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone()));
    Message::from_milter(fields, inner.content.clone())
}

/// Whether all signers are valid and speak for the author's domain.
fn is_gateways(layers: &[Layer]) -> bool {
    let gateways = |layer: &Layer| layer.state == LayerState::Valid && layer.binding == Some(Binding::Domain);
    !layers.is_empty() && layers.iter().all(gateways)
}

/// What is inside SignedData: a MIME entity, or another CMS object (RFC 3183 section 3.1.1 nests them bare).
fn inside(content: &Body, kind: ContentKind, spill: &Spill) -> io::Result<Inner> {
    match kind {
        ContentKind::SignedData
        | ContentKind::EnvelopedData
        | ContentKind::AuthEnvelopedData
        | ContentKind::CompressedData => Inner::cms(content, spill),
        ContentKind::Data | ContentKind::Other => Inner::read(content, spill),
    }
}

fn unverified(error: VerifyError) -> Result<Vec<Layer>, OpenError> {
    let (state, why) = match error {
        VerifyError::Io(error) => return Err(OpenError::Io(error)),
        error @ (VerifyError::TooLarge(_) | VerifyError::Unsupported(_)) => {
            (LayerState::Unsupported, error.to_string())
        }
        error => (LayerState::Invalid, error.to_string()),
    };
    Ok(vec![layer(LayerKind::Signed, state).because(why)])
}

/// Verifies, and again with the certificates we know if a signer brought none.
fn with_known(
    verify: impl Fn(&[Certificate]) -> Result<Verified, VerifyError>,
    question: &Question<'_>,
) -> Result<Result<Verified, VerifyError>, OpenError> {
    let verified = match verify(&[]) {
        Ok(verified) => verified,
        Err(error) => return Ok(Err(error)),
    };
    let mut known = Vec::new();
    for signer in verified.signers.iter().filter(|signer| signer.certificate.is_none()) {
        match question.keys.certificates(&signer.sid) {
            Answer::Found(found) => known.extend(found),
            Answer::None { .. } => {}
            Answer::CouldNotTell { why } => return Err(OpenError::Keys(why)),
        }
    }
    Ok(if known.is_empty() { Ok(verified) } else { verify(&known) })
}

/// Opens EnvelopedData or AuthEnvelopedData.
fn encrypted(object: &Body, question: &Question<'_>) -> Result<Step, OpenError> {
    let mut ours = false;
    let mut covered = true;
    let mut secrets = |named: &[RecipientId]| {
        let found = question.keys.secrets(named);
        if let Answer::Found(keys) = &found {
            ours = !keys.is_empty();
            match question.keys.cover(named) {
                Answer::Found(()) => {}
                Answer::None { why } => {
                    covered = false;
                    return Answer::None { why };
                }
                Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
            }
        }
        found
    };
    let mut reader = object.reader(0..object.len());
    let decrypted = cms::decrypt(&mut reader, &mut secrets, question.spill, question.limits);
    let (state, why) = match decrypted {
        Ok(decrypted) => {
            let mut layer = layer(LayerKind::Encrypted, LayerState::Opened);
            layer.malleable = !decrypted.authenticated;
            layer.decrypted_with = Some(decrypted.opened_with);
            let inner = inside(&decrypted.content, decrypted.inner, question.spill)?;
            return Ok((vec![layer], Some(inner)));
        }
        Err(EnvelopeError::Io(error)) => return Err(OpenError::Io(error)),
        Err(EnvelopeError::CouldNotTell(why)) => return Err(OpenError::Keys(why)),
        Err(EnvelopeError::NoKey { .. }) if ours && !covered => {
            (LayerState::NoKey, "encrypted to some of its recipients only".to_owned())
        }
        Err(error @ EnvelopeError::NoKey { .. }) => (LayerState::NoKey, error.to_string()),
        Err(error @ (EnvelopeError::Unsupported(_) | EnvelopeError::TooLarge(_))) => {
            (LayerState::Unsupported, error.to_string())
        }
        Err(error) => (LayerState::Damaged, error.to_string()),
    };
    let mut layer = layer(LayerKind::Encrypted, state).because(why);
    // Only EnvelopedData has ciphers that do not show changes. That one of them found nothing is told apart from other
    // damage: whoever is told of it again and again learns the content (RFC 3218).
    if state == LayerState::Damaged {
        let head = object.read_range(0..object.len().min(HEAD))?;
        layer.malleable = cms::peek(&head) == Some(ContentKind::EnvelopedData);
    }
    Ok((vec![layer], None))
}

/// So many octets tell the kind of a CMS object.
const HEAD: u64 = 32;

/// Unpacks CompressedData (RFC 3274). It protects nothing, so there is no layer unless it is damaged.
fn compressed(object: &Body, question: &Question<'_>) -> Result<Step, OpenError> {
    let mut reader = object.reader(0..object.len());
    match cms::decompress(&mut reader, question.spill, question.limits) {
        Ok(plain) => Ok((Vec::new(), Some(inside(&plain.content, plain.inner, question.spill)?))),
        Err(DecompressError::Io(error)) => Err(OpenError::Io(error)),
        Err(_) => Ok((Vec::new(), None)),
    }
}

/// A layer of S/MIME.
pub(crate) fn layer(kind: LayerKind, state: LayerState) -> Layer {
    Layer::of(Scheme::Smime, kind, state)
}
