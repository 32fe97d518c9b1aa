//! Encrypting a stream, signed or not.

use std::io;
use std::io::BufWriter;
use std::io::Write;

use keydir::Usable;
use sequoia_openpgp as pgp;

use pgp::Packet;
use pgp::crypto::Password;
use pgp::crypto::SessionKey;
use pgp::packet::pkesk::PKESK3;
use pgp::packet::pkesk::PKESK6;
use pgp::serialize::Serialize;
use pgp::serialize::stream::LiteralWriter;
use pgp::serialize::stream::Message;
use pgp::serialize::stream::Signer;
use pgp::types::SymmetricAlgorithm;

use super::armor::ArmorWriter;
use super::armor::Kind;
use super::container::EncryptedWriter;
use super::partial::PartialBody;
use super::password;
use super::password::PasswordForm;
use super::seal::SealError;
use super::secret_cert::PreparedKey;
use super::time::system_time;

/// The most recipients that a signature names; each takes 35 of at most 65,535 octets.
const INTENDED: usize = 100;
/// The packet type of literal data.
const LITERAL: u8 = 11;
/// Plaintext is handed to the hash in pieces of this size.
const PIECE: usize = 64 * 1024;

/// How a stream is to be encrypted.
pub(crate) struct Encryption<'a> {
    /// Exactly the key of each that [`Usable::subkey`] names is encrypted to.
    pub(crate) recipients: &'a [&'a Usable],
    /// Who knows this password can open it too.
    pub(crate) password: Option<(&'a Password, PasswordForm)>,
    pub(crate) signer: Option<&'a PreparedKey>,
    /// SEIPDv2 with AES-256 and OCB; otherwise SEIPDv1 with AES-256.
    pub(crate) aead: bool,
    /// Write no key ids, so that recipients do not learn of each other.
    pub(crate) hide_recipients: bool,
    pub(crate) now: i64,
}

/// Encrypts what `plain` writes and writes it, armored, to `sink`. Nothing is compressed: that leaks
/// (CRIME) and costs more time than the cipher.
pub(crate) fn encrypt<W: Write + Send + Sync>(
    sink: W,
    how: &Encryption<'_>,
    plain: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<W, SealError> {
    // No checksum around SEIPDv2 (RFC 9580 section 6.1).
    let mut armor = ArmorWriter::new(sink, Kind::Message, !how.aead)?;
    let session_key = session_key()?;
    for usable in how.recipients {
        session_key_packet(usable, how, &session_key)?.serialize(&mut armor).map_err(SealError::Library)?;
    }
    if let Some((password, form)) = how.password {
        let packet = password::session_key_packet(password, form, &session_key)?;
        packet.serialize(&mut armor).map_err(SealError::Library)?;
    }
    let mut encrypted = EncryptedWriter::new(armor, &session_key, how.aead)?;
    let encrypted = match how.signer {
        None => {
            let mut literal = PartialBody::new(encrypted, LITERAL)?;
            // Binary, without a name and a date (RFC 9580 section 5.9).
            literal.write_all(&[b'b', 0, 0, 0, 0, 0])?;
            plain(&mut literal)?;
            literal.finish()?
        }
        Some(key) => {
            let message = signer(Message::new(&mut encrypted), key, how).map_err(SealError::Library)?;
            let mut literal = LiteralWriter::new(message).build().map_err(SealError::Library)?;
            let mut pieces = BufWriter::with_capacity(PIECE, &mut literal);
            plain(&mut pieces)?;
            pieces.flush()?;
            drop(pieces);
            literal.finalize().map_err(SealError::Library)?;
            encrypted
        }
    };
    Ok(encrypted.finish()?.finish()?)
}

/// A fresh key for AES-256, from the generator that is seeded already: Sequoia's would be seeded anew.
fn session_key() -> io::Result<SessionKey> {
    let mut octets = vec![0; 32];
    openssl::rand::rand_priv_bytes(&mut octets)?;
    Ok(SessionKey::from(octets))
}

/// The session key, encrypted to one recipient. The caller decides the format; what the certificate
/// announces was weighed before.
fn session_key_packet(
    usable: &Usable,
    how: &Encryption<'_>,
    session_key: &SessionKey,
) -> Result<Packet, SealError> {
    let wanted = usable.subkey();
    let key = usable
        .cert()
        .keys()
        .map(|ka| ka.key())
        .find(|key| key.fingerprint() == *wanted)
        .ok_or_else(|| SealError::NoSuchKey(wanted.clone()))?;
    if how.aead {
        let mut packet = PKESK6::for_recipient(session_key, key).map_err(SealError::Library)?;
        packet.set_recipient((!how.hide_recipients).then(|| key.fingerprint()));
        return Ok(Packet::from(packet));
    }
    let algorithm = SymmetricAlgorithm::AES256;
    let mut packet = PKESK3::for_recipient(algorithm, session_key, key).map_err(SealError::Library)?;
    packet.set_recipient((!how.hide_recipients).then(|| key.keyid()));
    Ok(Packet::from(packet))
}

fn signer<'a>(message: Message<'a>, key: &PreparedKey, how: &Encryption<'_>) -> pgp::Result<Message<'a>> {
    let mut signer =
        Signer::new(message, key.clone())?.hash_algo(key.hash())?.creation_time(system_time(how.now));
    // Binds the signature to its recipients, against surreptitious forwarding (RFC 9580 section 5.2.3.36);
    // where recipients must not learn of each other it would name them.
    if !how.hide_recipients && how.recipients.len() <= INTENDED {
        for usable in how.recipients {
            signer = signer.add_intended_recipient(usable.cert());
        }
    }
    signer.build()
}
