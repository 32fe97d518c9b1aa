//! Sealing a message: S/MIME (RFC 8551).

use std::io;
use std::io::Write;

use keydir::Certificate;
use mail::BodyWriter;
use mail::Edit;
use mail::Message;
use mail::Spill;

use super::domain;
use crate::cms;
use crate::cms::ContentCipher;
use crate::cms::ContentKind;
use crate::cms::EnvelopeError;
use crate::cms::Expansion;
use crate::cms::KeyTransport;
use crate::cms::Recipient;
use crate::cms::SecretKey;
use crate::cms::SignError;
use crate::cms::SignatureType;
use crate::header;
use crate::header::HeaderProtection;
use crate::recognise::Protection;
use crate::recognise::recognise;
use crate::rope::Rope;
use crate::splice;
use crate::transfer::Base64Writer;

/// How a signature is carried (RFC 8551 section 3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignedForm {
    /// multipart/signed: everybody can read it.
    #[default]
    Clear,
    /// SignedData with the content inside: no relay changes it, and only S/MIME software shows it.
    Opaque,
}

/// How a domain signature is nested (RFC 3183).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nesting {
    /// Directly over the message, as ordinary clients show it.
    #[default]
    Flat,
    /// By encapsulation, around the author's signature or an empty layer (RFC 3183 sections 3.1.1, 3.1.2).
    Rfc3183,
}

/// Who signs, and how.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Certificate and secret key.
    pub identity: &'a SecretKey,
    /// Certificates to send along, the issuer's first; no root.
    pub chain: &'a [Certificate],
    /// The certificate to which answers are to be encrypted, if it is another one; it is sent along.
    pub encryption: Option<&'a Certificate>,
    /// What kind of signature it is (RFC 3183 section 3.2); `None` for a user's own.
    pub signature_type: Option<SignatureType>,
    /// How it is carried.
    pub form: SignedForm,
    /// How it is nested; strict nesting is always opaque.
    pub nesting: Nesting,
    /// Sign with RSA-PSS (RFC 4056) where the key is an RSA key; otherwise with PKCS#1 v1.5.
    pub pss: bool,
}

impl<'a> Signer<'a> {
    fn spec(&self, now: i64) -> cms::Signer<'a> {
        cms::Signer {
            identity: self.identity,
            chain: self.chain,
            signature_type: self.signature_type,
            encryption: self.encryption,
            expansion: None,
            pss: self.pss,
            now,
        }
    }
}

/// How a message is to be sealed.
#[derive(Clone, Copy)]
pub struct Seal<'a> {
    /// Encrypt to these certificates, to each in its way; empty: do not encrypt.
    pub recipients: &'a [(Certificate, KeyTransport)],
    /// Content encryption.
    pub cipher: ContentCipher,
    /// Sign as this one, inside the encryption.
    pub signer: Option<Signer<'a>>,
    /// How the header section is protected. That of mail which its author signed is not: nothing can be added
    /// to what was signed.
    pub header: HeaderProtection,
    /// What a mailing list said around the message, to be said again in a signature around everything (RFC 3183
    /// section 5); counts with a domain signature by [`Nesting::Rfc3183`] only.
    pub expansion: Option<&'a Expansion>,
    /// Encrypt the whole message, every byte of it, instead of its content; outside stays what a mailbox needs
    /// to show and sort it. There is no signature then.
    pub whole: bool,
    /// Unix seconds; the time of the signature.
    pub now: i64,
}

/// Why a message was not sealed. Nothing of it may be sent in clear because of this.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The message is encrypted, or was to be signed only and is signed already.
    #[error("the message is already {0}")]
    AlreadyProtected(&'static str),
    /// The message could not be encrypted.
    #[error("the message could not be encrypted")]
    Encrypt(#[source] EnvelopeError),
    /// A temporary file could not be read or written, or the system gave no random bytes.
    #[error("local error while the message was sealed")]
    Io(#[from] io::Error),
    /// Neither recipients nor a signer were given.
    #[error("neither recipients nor a signer were given")]
    NothingToDo,
    /// The message could not be signed.
    #[error("the message could not be signed")]
    Sign(#[source] SignError),
}

impl From<SealError> for mail::Failure {
    fn from(error: SealError) -> mail::Failure {
        mail::Failure::temporary((7, 5), "the message could not be protected").because(error)
    }
}

/// Seals a message and gives the changes that do so. Header fields other than Content-* and MIME-Version are
/// changed only as far as [`Seal::header`] and [`Seal::whole`] say.
///
/// Mail that its author signed is encrypted as it is; only a domain signature by [`Nesting::Rfc3183`] is
/// put around it. Such a signature is also put around what is encrypted, if it leaves encrypted then (RFC 3183
/// section 5).
///
/// # Errors
/// [`SealError`]; the message must then not leave.
pub fn seal(message: &Message, spec: &Seal<'_>, spill: &Spill) -> Result<Vec<Edit>, SealError> {
    let encrypted = !spec.recipients.is_empty();
    let strict = encrypted && spec.signer.is_some_and(|signer| signer.nesting == Nesting::Rfc3183);
    let signed = match recognise(message).protection {
        Protection::None => false,
        Protection::Encrypted if strict => false,
        Protection::Signed => true,
        Protection::SignedAndEncrypted if strict => true,
        Protection::Encrypted | Protection::SignedAndEncrypted => {
            return Err(SealError::AlreadyProtected("encrypted"));
        }
    };
    let around = |signer: &Signer<'_>| !spec.whole && (!signed || signer.nesting == Nesting::Rfc3183);
    let signer = spec.signer.filter(around);
    let (payload, outside) = header::payload(message, signed, spec.whole, spec.header, encrypted, spill)?;
    let part = match (spec.recipients.is_empty(), signer) {
        (true, None) if signed => return Err(SealError::AlreadyProtected("signed")),
        (true, None) => return Err(SealError::NothingToDo),
        (true, Some(signer)) => {
            let entity = Rope::collect(spill, |out| payload.write_canonical(spill, out))?;
            sign(entity, signed, &signer, spec.now, spill)?
        }
        (false, None) => encrypt(&payload.exact(spill)?, spec, spill)?,
        (false, Some(signer)) => {
            // Nobody changes what is encrypted, so its bytes need no armour, only the line ends of MIME.
            let entity = payload.exact(spill)?.with_crlf(spill)?;
            let signed = sign(entity, signed, &signer, spec.now, spill)?;
            encrypt(&signed.into_rope(), spec, spill)?
        }
    };
    let part = match (signer, spec.expansion) {
        (Some(signer), Some(expansion)) if signer.nesting == Nesting::Rfc3183 => {
            say_again(part, expansion, &signer, spec.now, spill)?
        }
        _ => part,
    };
    let mut edits = Vec::from_iter(splice::ensure_mime_version(message));
    edits.extend(splice::replace_content_fields(message, &part.fields));
    edits.extend(outside);
    edits.push(Edit::ReplaceBody(part.body.into_body(spill)?));
    Ok(edits)
}

/// How many bytes a message of `message_len` bytes will have at most once it is sealed. Good to a few percent
/// for real mail.
#[must_use]
pub fn sealed_size_estimate(message_len: u64, recipients: usize, signed: bool) -> u64 {
    /// Header, structures, a signature with its certificates.
    const FIXED: u64 = 8 << 10;
    /// One recipient with an RSA-4096 key.
    const RECIPIENT: u64 = 1 << 10;
    let entity = if signed { message_len.saturating_mul(138) / 100 } else { message_len };
    // 57 bytes become a line of 78.
    let body = if recipients == 0 && !signed { entity } else { entity.saturating_mul(1370) / 1000 };
    body.saturating_add(FIXED).saturating_add(RECIPIENT.saturating_mul(recipients as u64))
}

/// A MIME entity: its Content-* fields and its content.
pub(super) struct Part {
    pub(super) fields: Vec<splice::ContentField>,
    pub(super) body: Rope,
}

impl Part {
    /// The part that carries a CMS object (RFC 8551 section 3.2).
    pub(super) fn cms(kind: &str, object: Rope) -> Part {
        let content_type = format!(" application/pkcs7-mime; smime-type={kind};\r\n name=\"smime.p7m\"");
        let fields = vec![
            ("Content-Type".to_owned(), content_type.into_bytes()),
            ("Content-Transfer-Encoding".to_owned(), b" base64".to_vec()),
            ("Content-Disposition".to_owned(), b" attachment; filename=\"smime.p7m\"".to_vec()),
            ("Content-Description".to_owned(), b" S/MIME Cryptographic Message".to_vec()),
        ];
        Part { fields, body: object }
    }

    /// The entity as it is written into another one.
    pub(super) fn into_rope(self) -> Rope {
        let mut head = Vec::new();
        for (name, value) in &self.fields {
            head.extend_from_slice(name.as_bytes());
            head.push(b':');
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        self.body.after(head)
    }
}

/// Signs an entity.
fn sign(entity: Rope, signed: bool, signer: &Signer<'_>, now: i64, spill: &Spill) -> Result<Part, SealError> {
    let spec = signer.spec(now);
    match (signer.nesting, signer.form) {
        (Nesting::Rfc3183, _) if signed => opaque(&entity, &spec, spill),
        (Nesting::Rfc3183, _) => {
            let inner = domain::empty_layer(&entity, spill)?;
            opaque(&inner.into_rope(), &spec, spill)
        }
        (Nesting::Flat, SignedForm::Opaque) => opaque(&entity, &spec, spill),
        (Nesting::Flat, SignedForm::Clear) => clear(entity, &spec),
    }
}

/// The signature around everything that says again what a mailing list said (RFC 3183 section 5, step 4). It has no
/// type of its own: the next list would copy it into a signature that is not the domain's.
fn say_again(
    part: Part,
    expansion: &Expansion,
    signer: &Signer<'_>,
    now: i64,
    spill: &Spill,
) -> Result<Part, SealError> {
    let spec = cms::Signer { signature_type: None, expansion: Some(expansion), ..signer.spec(now) };
    opaque(&part.into_rope(), &spec, spill)
}

/// RFC 8551 section 3.5.2.
fn opaque(entity: &Rope, spec: &cms::Signer<'_>, spill: &Spill) -> Result<Part, SealError> {
    let object = base64(spill, |out| {
        cms::sign_opaque(out, spec, |content| entity.write_to(content)).map_err(SealError::Sign)
    })?;
    Ok(Part::cms("signed-data", object))
}

/// RFC 8551 section 3.5.3.
fn clear(entity: Rope, spec: &cms::Signer<'_>) -> Result<Part, SealError> {
    let signature = cms::sign_detached(spec, |content| entity.write_to(content)).map_err(SealError::Sign)?;
    let boundary = splice::boundary()?;
    let mut tail = Vec::new();
    // The line end before a delimiter belongs to the delimiter and is not signed.
    write!(
        tail,
        "\r\n--{boundary}\r\n\
         Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"smime.p7s\"\r\n\
         Content-Description: S/MIME Cryptographic Signature\r\n\
         \r\n"
    )?;
    let mut writer = Base64Writer::new(&mut tail);
    writer.write_all(&signature)?;
    writer.finish()?;
    write!(tail, "--{boundary}--\r\n")?;
    let micalg = cms::micalg(spec).map_err(SealError::Sign)?;
    let content_type = format!(
        " multipart/signed; micalg={micalg};\r\n protocol=\"application/pkcs7-signature\";\r\n boundary=\"{boundary}\""
    );
    let fields = vec![("Content-Type".to_owned(), content_type.into_bytes())];
    let body = entity.after(format!("--{boundary}\r\n").into_bytes()).before(tail);
    Ok(Part { fields, body })
}

/// RFC 8551 sections 3.3 and 3.4.
fn encrypt(entity: &Rope, spec: &Seal<'_>, spill: &Spill) -> Result<Part, SealError> {
    let recipients = distinct(spec.recipients);
    let object = base64(spill, |out| {
        let plain = |plain: &mut dyn Write| entity.write_to(plain);
        cms::encrypt(out, &recipients, spec.cipher, ContentKind::Data, entity.len(), plain)
            .map_err(SealError::Encrypt)
    })?;
    let kind = match spec.cipher {
        ContentCipher::Aes256Gcm => "authEnveloped-data",
        ContentCipher::Aes256Cbc => "enveloped-data",
    };
    Ok(Part::cms(kind, object))
}

/// Each certificate once: recipients of one domain may share its certificate.
fn distinct(recipients: &[(Certificate, KeyTransport)]) -> Vec<Recipient<'_>> {
    let mut distinct: Vec<Recipient<'_>> = Vec::with_capacity(recipients.len());
    for (certificate, transport) in recipients {
        if !distinct.iter().any(|known| known.certificate.der() == certificate.der()) {
            distinct.push(Recipient { certificate, transport: *transport });
        }
    }
    distinct
}

/// Writes a CMS object as lines of base64.
pub(super) fn base64(
    spill: &Spill,
    write: impl FnOnce(&mut dyn Write) -> Result<(), SealError>,
) -> Result<Rope, SealError> {
    let mut out = BodyWriter::new(spill);
    let mut writer = Base64Writer::new(&mut out);
    write(&mut writer)?;
    writer.finish()?;
    Ok(Rope::new([out.finish()?]))
}
