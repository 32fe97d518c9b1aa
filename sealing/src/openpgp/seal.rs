//! Sealing a message: PGP/MIME (RFC 3156).

use std::io;
use std::io::Write;

use keydir::Usable;
use mail::Body;
use mail::BodyWriter;
use mail::Edit;
use mail::Message;
use mail::Spill;
use sequoia_openpgp::Fingerprint;

use super::encrypt::Encryption;
use super::encrypt::encrypt;
use super::secret_cert::PreparedKey;
use super::secret_cert::SecretCert;
use super::secret_cert::SecretCertError;
use super::sign::micalg;
use super::sign::sign_detached;
use crate::canonical::Payload;
use crate::header;
use crate::header::HeaderProtection;
use crate::recognise::Protection;
use crate::recognise::recognise;
use crate::splice;

/// How a message is to be sealed.
#[derive(Clone, Copy)]
pub struct Seal<'a> {
    /// Encrypt to these certificates, with exactly the key that each names; empty: do not encrypt.
    pub recipients: &'a [Usable],
    /// Sign with this certificate's newest signing key.
    pub signer: Option<&'a SecretCert>,
    /// Use SEIPDv2 (AES-256, OCB) if every recipient announces it; SEIPDv1 (AES-256) otherwise.
    pub aead: bool,
    /// Leave the recipients' key ids out of the message.
    pub hide_recipients: bool,
    /// How the header section is protected. That of mail which its author signed is not: nothing can be added
    /// to what was signed.
    pub header: HeaderProtection,
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
    /// A temporary file could not be read or written, or the system gave no random bytes.
    #[error("local error while the message was sealed")]
    Io(#[from] io::Error),
    /// The cryptographic library refused.
    #[error("the cryptographic library refused to seal the message")]
    Library(#[source] anyhow::Error),
    /// Neither recipients nor a signer were given.
    #[error("neither recipients nor a signer were given")]
    NothingToDo,
    /// The certificate does not hold the key it was to be used with.
    #[error("the certificate does not hold the key {0}")]
    NoSuchKey(Fingerprint),
    /// The signer cannot sign.
    #[error("the message cannot be signed")]
    Signer(#[from] SecretCertError),
}

impl From<SealError> for mail::Failure {
    fn from(error: SealError) -> mail::Failure {
        mail::Failure::temporary((7, 5), "the message could not be protected").because(error)
    }
}

/// Seals a message and gives the changes that do so. Header fields other than Content-* and MIME-Version are
/// changed only as far as [`Seal::header`] and [`Seal::whole`] say.
///
/// Mail that its author signed is encrypted as it is, without another signature.
///
/// # Errors
/// [`SealError`]; the message must then not leave.
pub fn seal(message: &Message, spec: &Seal<'_>, spill: &Spill) -> Result<Vec<Edit>, SealError> {
    let signed = match recognise(message).protection {
        Protection::None => false,
        Protection::Signed => true,
        Protection::Encrypted | Protection::SignedAndEncrypted => {
            return Err(SealError::AlreadyProtected("encrypted"));
        }
    };
    let encrypted = !spec.recipients.is_empty();
    let signer = match spec.signer {
        Some(signer) if !signed && !spec.whole => Some(signer.signing_key(spec.now)?),
        _ => None,
    };
    let (payload, outside) = header::payload(message, signed, spec.whole, spec.header, encrypted, spill)?;
    let boundary = splice::boundary()?;
    let (content_type, body) = match (spec.recipients, signer) {
        ([], None) if signed => return Err(SealError::AlreadyProtected("signed")),
        ([], None) => return Err(SealError::NothingToDo),
        ([], Some(key)) => {
            let content_type = signed_type(micalg(key), &boundary);
            (content_type, signed_body(&payload, key, spec.now, &boundary, spill)?)
        }
        (recipients, signer) => {
            let recipients = distinct(recipients);
            let how = Encryption {
                recipients: &recipients,
                password: None,
                signer,
                aead: spec.aead && recipients.iter().all(|usable| usable.aead()),
                hide_recipients: spec.hide_recipients,
                now: spec.now,
            };
            let content_type = format!(
                " multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n boundary=\"{boundary}\""
            );
            (content_type, encrypted_body(&payload, &how, &boundary, spill)?)
        }
    };
    let fields = [("Content-Type".to_owned(), content_type.into_bytes())];
    let mut edits = Vec::from_iter(splice::ensure_mime_version(message));
    edits.extend(splice::replace_content_fields(message, &fields));
    edits.extend(outside);
    edits.push(Edit::ReplaceBody(body));
    Ok(edits)
}

fn signed_type(micalg: &str, boundary: &str) -> String {
    format!(
        " multipart/signed; micalg={micalg};\r\n protocol=\"application/pgp-signature\";\r\n boundary=\"{boundary}\""
    )
}

/// How many bytes a message of `message_len` bytes will have at most once it is sealed: armor, packets,
/// MIME around them, and re-encoding if it is signed. Good to a few percent for real mail.
#[must_use]
pub fn sealed_size_estimate(message_len: u64, recipients: usize, signed: bool) -> u64 {
    /// Parts, header, packets that do not grow with the message.
    const FIXED: u64 = 2048;
    /// A session key packet for RSA-4096 and its armor.
    const RECIPIENT: u64 = 760;
    // 8bit text becomes base64 or quoted-printable: at most 4/3 and line ends.
    let entity = if signed { message_len.saturating_mul(138) / 100 } else { message_len };
    let body = match recipients {
        0 => entity,
        // 48 bytes become a line of 66.
        _ => entity.saturating_mul(1376) / 1000,
    };
    body.saturating_add(FIXED).saturating_add(RECIPIENT.saturating_mul(recipients as u64))
}

/// Each key once: recipients of one domain may share its certificate.
fn distinct(recipients: &[Usable]) -> Vec<&Usable> {
    let mut distinct: Vec<&Usable> = Vec::with_capacity(recipients.len());
    for usable in recipients {
        if !distinct.iter().any(|known| known.subkey() == usable.subkey()) {
            distinct.push(usable);
        }
    }
    distinct
}

/// Section 4 of RFC 3156; with a signature section 6.2.
fn encrypted_body(
    payload: &Payload,
    how: &Encryption<'_>,
    boundary: &str,
    spill: &Spill,
) -> Result<Body, SealError> {
    let mut out = BodyWriter::new(spill);
    write!(
        out,
        "--{boundary}\r\n\
         Content-Type: application/pgp-encrypted\r\n\
         Content-Description: PGP/MIME version identification\r\n\
         \r\n\
         Version: 1\r\n\
         \r\n\
         --{boundary}\r\n\
         Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\n\
         Content-Description: OpenPGP encrypted message\r\n\
         Content-Disposition: inline; filename=\"encrypted.asc\"\r\n\
         \r\n"
    )?;
    let signed = how.signer.is_some();
    let mut out = encrypt(out, how, |plain| {
        if signed { payload.write_canonical(spill, plain) } else { payload.write_exact(plain) }
    })?;
    write!(out, "\r\n--{boundary}--\r\n")?;
    Ok(out.finish()?)
}

/// Section 5 of RFC 3156.
fn signed_body(
    payload: &Payload,
    key: &PreparedKey,
    now: i64,
    boundary: &str,
    spill: &Spill,
) -> Result<Body, SealError> {
    let mut out = BodyWriter::new(spill);
    write!(out, "--{boundary}\r\n")?;
    let signature = sign_detached(key, now, &mut out, |data| payload.write_canonical(spill, data))?;
    // The line end before a delimiter belongs to the delimiter and is not signed.
    write!(
        out,
        "\r\n--{boundary}\r\n\
         Content-Type: application/pgp-signature; name=\"signature.asc\"\r\n\
         Content-Description: OpenPGP digital signature\r\n\
         Content-Disposition: attachment; filename=\"signature.asc\"\r\n\
         \r\n"
    )?;
    out.write_all(&signature)?;
    write!(out, "\r\n--{boundary}--\r\n")?;
    Ok(out.finish()?)
}
