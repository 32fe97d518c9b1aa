//! Password messages: for recipients without any key (RFC 9580 section 5.3).
//!
//! The whole message, header section and all, is encrypted with a password and attached to a cover that says
//! in plain words how to open it: `gpg -d` asks for the password and gives the message.

use std::io;
use std::io::Write;

use mail::BodyWriter;
use mail::Edit;
use mail::Message;
use mail::Spill;
use openssl::rand::rand_bytes;
use sequoia_openpgp as pgp;

use pgp::Packet;
use pgp::crypto::Password;
use pgp::crypto::S2K;
use pgp::crypto::SessionKey;
use pgp::packet::SKESK;
use pgp::packet::skesk::SKESK4;
use pgp::packet::skesk::SKESK6;
use pgp::types::AEADAlgorithm;
use pgp::types::HashAlgorithm;
use pgp::types::SymmetricAlgorithm;

use super::encrypt::Encryption;
use super::encrypt::encrypt;
use super::seal::SealError;
use super::secret_cert::SecretCert;
use crate::splice;
use crate::transfer::QuotedPrintableWriter;

/// The largest count that the iterated form can carry: it makes guessing dear (RFC 9580 section 3.7.1.3).
const ITERATED_OCTETS: u32 = 0x3e0_0000;
/// Argon2 with the second recommendation of RFC 9106 section 4: three passes, four lanes, 64 MiB.
const ARGON2: (u8, u8, u8) = (3, 4, 16);

/// How the key is derived from the password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordForm {
    /// Iterated and salted S2K, SEIPDv1: GnuPG opens it.
    #[default]
    Iterated,
    /// Argon2, SEIPDv2 (AES-256, OCB): stronger, and GnuPG cannot open it.
    Argon2,
}

/// How a message is to be put behind a password.
pub struct PasswordSeal<'a> {
    /// The password.
    pub password: &'a str,
    /// How the key is derived from it.
    pub form: PasswordForm,
    /// Sign inside with this certificate's newest signing key.
    pub signer: Option<&'a SecretCert>,
    /// What stands in front of the attachment, for people; lines end with LF.
    pub cover: &'a str,
    /// Unix seconds.
    pub now: i64,
}

/// Puts a message behind a password and gives the changes that do so. The header section outside stays, but
/// for the fields that describe the content.
///
/// # Errors
/// [`SealError`]; the message must then not leave.
pub fn seal_with_password(
    message: &Message,
    spec: &PasswordSeal<'_>,
    spill: &Spill,
) -> Result<Vec<Edit>, SealError> {
    let signer = spec.signer.map(|signer| signer.signing_key(spec.now)).transpose()?;
    let password = Password::from(spec.password);
    let how = Encryption {
        recipients: &[],
        password: Some((&password, spec.form)),
        signer,
        aead: spec.form == PasswordForm::Argon2,
        hide_recipients: false,
        now: spec.now,
    };
    let boundary = splice::boundary()?;
    let mut out = BodyWriter::new(spill);
    write!(
        out,
        "--{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\
         \r\n"
    )?;
    let mut cover = QuotedPrintableWriter::new(&mut out);
    cover.write_all(spec.cover.as_bytes())?;
    cover.finish()?;
    write!(
        out,
        "\r\n--{boundary}\r\n\
         Content-Type: application/octet-stream; name=\"message.eml.asc\"\r\n\
         Content-Description: OpenPGP message, encrypted with a password\r\n\
         Content-Disposition: attachment; filename=\"message.eml.asc\"\r\n\
         \r\n"
    )?;
    let mut out = encrypt(out, &how, |plain| message.write_to(plain))?;
    write!(out, "\r\n--{boundary}--\r\n")?;
    let content_type = format!(" multipart/mixed; boundary=\"{boundary}\"");
    let fields = [("Content-Type".to_owned(), content_type.into_bytes())];
    let mut edits = Vec::from_iter(splice::ensure_mime_version(message));
    edits.extend(splice::replace_content_fields(message, &fields));
    edits.push(Edit::ReplaceBody(out.finish()?));
    Ok(edits)
}

/// The session key, encrypted with the password.
pub(super) fn session_key_packet(
    password: &Password,
    form: PasswordForm,
    session_key: &SessionKey,
) -> Result<Packet, SealError> {
    let aes = SymmetricAlgorithm::AES256;
    let packet = match form {
        PasswordForm::Iterated => {
            let s2k =
                S2K::new_iterated(HashAlgorithm::SHA256, ITERATED_OCTETS).map_err(SealError::Library)?;
            let made = SKESK4::with_password(aes, aes, s2k, session_key, password);
            SKESK::from(made.map_err(SealError::Library)?)
        }
        PasswordForm::Argon2 => {
            let mut salt = [0; 16];
            rand_bytes(&mut salt).map_err(io::Error::from)?;
            let (t, p, m) = ARGON2;
            let s2k = S2K::Argon2 { salt, t, p, m };
            let made = SKESK6::with_password(aes, aes, AEADAlgorithm::OCB, s2k, session_key, password);
            SKESK::from(made.map_err(SealError::Library)?)
        }
    };
    Ok(Packet::from(packet))
}
