//! Finding protected forms in a MIME tree.

use mail::ContentType;
use mail::Entity;
use mail::Message;
use mail::MimeError;
use mail::Spill;

use crate::openpgp::inline;
use crate::openpgp::inline::Inline;
use crate::recognise::FormKind;
use crate::result::Limits;

mod peek;

/// A protected form in a message.
pub(crate) struct Found<'m> {
    pub(crate) path: Vec<usize>,
    pub(crate) kind: FormKind,
    /// Whether the form is all of its entity. Text after inline armor, or a part whose first packet is
    /// not that of an encrypted message, make it less.
    pub(crate) whole: bool,
    /// Why the form may not be opened where it stands.
    pub(crate) barred: Option<&'static str>,
    /// The entity that opened content takes the place of, and its path.
    pub(crate) replaced: Entity<'m>,
    pub(crate) replaced_path: Vec<usize>,
    pub(crate) parts: Parts<'m>,
}

/// The pieces of a form.
pub(crate) enum Parts<'m> {
    /// The part that holds the OpenPGP message.
    Encrypted(Entity<'m>),
    /// The text part and what it holds.
    Inline(Entity<'m>, Inline),
    /// The part that holds a CMS object with everything in it.
    Cms(Entity<'m>),
    /// The part that is signed, byte by byte, and the part that holds the CMS signature.
    CmsSigned(Entity<'m>, Entity<'m>),
    /// The part that is signed, byte by byte, and the part that holds the signature.
    Signed(Entity<'m>, Entity<'m>),
}

/// All protected forms of a message, each before what is inside it.
pub(crate) fn find<'m>(
    message: &'m Message,
    limits: &Limits,
    spill: &Spill,
) -> Result<Vec<Found<'m>>, MimeError> {
    let mut search = Search { limits, spill, found: Vec::new() };
    let root = message.entity();
    search.entity(&root, Place { path: Vec::new(), barred: None, signed: None })?;
    Ok(search.found)
}

const BESIDE: &str = "an encrypted part beside parts other than plain text is not opened in place";

struct Search<'s, 'm> {
    limits: &'s Limits,
    spill: &'s Spill,
    found: Vec<Found<'m>>,
}

#[derive(Clone)]
struct Place<'m> {
    path: Vec<usize>,
    barred: Option<&'static str>,
    /// The multipart/signed directly around, if there is one, and its path.
    signed: Option<(Entity<'m>, Vec<usize>)>,
}

impl<'m> Place<'m> {
    fn child(&self, index: usize) -> Place<'m> {
        Place { path: [&self.path[..], &[index]].concat(), barred: self.barred, signed: None }
    }
}

impl<'m> Search<'_, 'm> {
    fn entity(&mut self, entity: &Entity<'m>, place: Place<'m>) -> Result<(), MimeError> {
        let content_type = entity.content_type();
        match (content_type.kind.as_str(), content_type.subtype.as_str()) {
            ("multipart", subtype) => {
                let children = entity.children(&self.limits.mime)?;
                match subtype {
                    "encrypted" => self.encrypted(entity, &content_type, &children, place),
                    "signed" => self.signed(entity, &content_type, &children, place)?,
                    _ => self.multipart(entity, subtype, &children, place)?,
                }
            }
            ("message", "rfc822" | "global") => {
                for child in entity.children(&self.limits.mime)? {
                    self.entity(&child, place.child(0))?;
                }
            }
            ("text", "plain") | ("application", "pgp") => self.text(entity, place)?,
            ("application", subtype) if is_cms(subtype, entity) => {
                if let Some(kind) = peek::cms(entity) {
                    self.push(kind, entity, place, Parts::Cms(entity.clone()));
                }
            }
            _ => (),
        }
        Ok(())
    }

    fn encrypted(
        &mut self,
        entity: &Entity<'m>,
        content_type: &ContentType,
        children: &[Entity<'m>],
        place: Place<'m>,
    ) {
        let named = content_type
            .param("protocol")
            .is_some_and(|p| p.eq_ignore_ascii_case("application/pgp-encrypted"));
        if let [control, payload] = children
            && (named || is_control(control))
        {
            self.push(FormKind::PgpMimeEncrypted, entity, place, Parts::Encrypted(payload.clone()));
        }
    }

    fn signed(
        &mut self,
        entity: &Entity<'m>,
        content_type: &ContentType,
        children: &[Entity<'m>],
        mut place: Place<'m>,
    ) -> Result<(), MimeError> {
        let [signed, signature] = children else { return Ok(()) };
        let protocol = content_type.param("protocol").map(str::to_ascii_lowercase);
        let signature_type = signature.content_type();
        if signature_type.is("application", "pgp-signature")
            || protocol.as_deref() == Some("application/pgp-signature")
        {
            let parts = Parts::Signed(signed.clone(), signature.clone());
            self.push(FormKind::PgpMimeSigned, entity, place.clone(), parts);
        } else if signature_type.kind == "application" && is_cms_signature(&signature_type.subtype, signature)
        {
            let parts = Parts::CmsSigned(signed.clone(), signature.clone());
            self.push(FormKind::SmimeSigned, entity, place.clone(), parts);
        }
        let around = place.signed.take().unwrap_or_else(|| (entity.clone(), place.path.clone()));
        let mut child = place.child(0);
        child.signed = Some(around);
        self.entity(signed, child)
    }

    /// Any other multipart: what mail systems made of a protected form, or parts side by side.
    fn multipart(
        &mut self,
        entity: &Entity<'m>,
        subtype: &str,
        children: &[Entity<'m>],
        place: Place<'m>,
    ) -> Result<(), MimeError> {
        if let Some(payload) = mangled_encrypted(children) {
            self.push(FormKind::PgpMimeEncrypted, entity, place, Parts::Encrypted(payload.clone()));
            return Ok(());
        }
        if let [signed, signature] = children
            && signature.content_type().is("application", "pgp-signature")
        {
            let parts = Parts::Signed(signed.clone(), signature.clone());
            self.push(FormKind::PgpMimeSigned, entity, place.clone(), parts);
        }
        // Counted once: a message may have many parts.
        let others = children.iter().filter(|child| !is_plain_text(child)).count();
        for (index, child) in children.iter().enumerate() {
            let mut inner = place.child(index);
            let plain_beside = subtype == "mixed" && others == usize::from(!is_plain_text(child));
            // Decrypted text must never stand where HTML of somebody else can enclose it (EFAIL).
            if !plain_beside {
                inner.barred = Some(BESIDE);
            }
            if place.signed.is_some() {
                inner.barred = Some("an encrypted part inside a signed multipart is not opened in place");
            }
            self.entity(child, inner)?;
        }
        Ok(())
    }

    fn text(&mut self, entity: &Entity<'m>, place: Place<'m>) -> Result<(), MimeError> {
        let Some(inline) = inline::find(entity, self.spill)? else { return Ok(()) };
        let encrypted = !inline.signed && peek::is_encrypted_message(entity);
        let kind = if encrypted { FormKind::PgpInlineEncrypted } else { FormKind::PgpInlineSigned };
        // Armor that is neither may be a signed message, or anything: opening it will tell.
        let whole = inline.encloses_all() && (encrypted || inline.signed);
        self.push(kind, entity, place, Parts::Inline(entity.clone(), inline));
        if let Some(found) = self.found.last_mut() {
            found.whole &= whole;
            // An armored text is a part of its own and stays plain text.
            if found.barred == Some(BESIDE) {
                found.barred = None;
            }
        }
        Ok(())
    }

    fn push(&mut self, kind: FormKind, entity: &Entity<'m>, place: Place<'m>, parts: Parts<'m>) {
        let whole = match &parts {
            Parts::Encrypted(payload) => peek::is_encrypted_message(payload),
            _ => true,
        };
        let (replaced, replaced_path) = match place.signed {
            Some(around) if kind.encrypts() => around,
            _ => (entity.clone(), place.path.clone()),
        };
        let barred = place.barred;
        self.found.push(Found { path: place.path, kind, whole, barred, replaced, replaced_path, parts });
    }
}

/// Whether a part may hold a CMS object (RFC 8551 section 3.2). Some relays make `octet-stream` of what they
/// do not know, and leave the name.
fn is_cms(subtype: &str, part: &Entity<'_>) -> bool {
    match subtype {
        "pkcs7-mime" | "x-pkcs7-mime" => true,
        "octet-stream" => has_extension(part, &[".p7m", ".p7z"]),
        _ => false,
    }
}

/// Whether the second part of multipart/signed is a CMS signature.
fn is_cms_signature(subtype: &str, part: &Entity<'_>) -> bool {
    match subtype {
        "pkcs7-signature" | "x-pkcs7-signature" => true,
        "octet-stream" => has_extension(part, &[".p7s"]),
        _ => false,
    }
}

fn has_extension(part: &Entity<'_>, extensions: &[&str]) -> bool {
    part.filename().is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        extensions.iter().any(|extension| name.ends_with(extension))
    })
}

/// The first part of multipart/encrypted.
fn is_control(part: &Entity<'_>) -> bool {
    part.content_type().is("application", "pgp-encrypted")
}

/// What Exchange and some gateways make of multipart/encrypted: multipart/mixed with an empty text, the
/// control part and the encrypted part as attachments. Gives the encrypted part.
fn mangled_encrypted<'e, 'm>(children: &'e [Entity<'m>]) -> Option<&'e Entity<'m>> {
    let parts = match children {
        [empty, rest @ ..] if rest.len() == 2 && is_plain_text(empty) && peek::is_blank(empty) => rest,
        [_, _] => children,
        _ => return None,
    };
    match parts {
        [control, payload] if is_control(control) && peek::is_encrypted_message(payload) => Some(payload),
        _ => None,
    }
}

/// Plain text to every reader: of two types some take the first, some the last.
fn is_plain_text(part: &Entity<'_>) -> bool {
    part.content_type().is("text", "plain") && part.header().find_all("Content-Type").count() <= 1
}
