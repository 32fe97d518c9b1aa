//! Encrypting a stream, signed or not.

use std::io;
use std::io::BufWriter;
use std::io::Write;

use keydir::Usable;
use sequoia_openpgp as pgp;

use pgp::KeyHandle;
use pgp::serialize::stream::Encryptor;
use pgp::serialize::stream::LiteralWriter;
use pgp::serialize::stream::Message;
use pgp::serialize::stream::Recipient;
use pgp::serialize::stream::Signer;
use pgp::types::AEADAlgorithm;
use pgp::types::Features;
use pgp::types::SymmetricAlgorithm;

use super::armor::ArmorWriter;
use super::armor::Kind;
use super::seal::SealError;
use super::secret_cert::PreparedKey;
use super::time::system_time;

/// The most recipients that a signature names; each takes 35 of at most 65,535 octets.
const INTENDED: usize = 100;
/// Plaintext is handed to the cipher in pieces of this size.
const PIECE: usize = 64 * 1024;

/// How a stream is to be encrypted.
pub(crate) struct Encryption<'a> {
    /// Exactly the key of each that [`Usable::subkey`] names is encrypted to.
    pub(crate) recipients: &'a [&'a Usable],
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
    let recipients =
        how.recipients.iter().map(|usable| recipient(usable, how)).collect::<Result<Vec<_>, _>>()?;
    // No checksum around SEIPDv2 (RFC 9580 section 6.1).
    let mut armor = ArmorWriter::new(sink, Kind::Message, !how.aead)?;
    let encryptor = Encryptor::for_recipients(Message::new(&mut armor), recipients)
        .symmetric_algo(SymmetricAlgorithm::AES256);
    let encryptor = if how.aead { encryptor.aead_algo(AEADAlgorithm::OCB) } else { encryptor };
    let mut message = encryptor.build().map_err(SealError::Library)?;
    if let Some(key) = how.signer {
        message = signer(message, key, how).map_err(SealError::Library)?;
    }
    let mut literal = LiteralWriter::new(message).build().map_err(SealError::Library)?;
    let mut pieces = BufWriter::with_capacity(PIECE, &mut literal);
    plain(&mut pieces)?;
    pieces.flush()?;
    drop(pieces);
    literal.finalize().map_err(SealError::Library)?;
    Ok(armor.finish()?)
}

fn recipient<'a>(usable: &'a Usable, how: &Encryption<'_>) -> Result<Recipient<'a>, SealError> {
    let wanted = usable.subkey();
    let key = usable
        .cert()
        .keys()
        .map(|ka| ka.key())
        .find(|key| key.fingerprint() == *wanted)
        .ok_or_else(|| SealError::NoSuchKey(wanted.clone()))?;
    let handle = match (how.hide_recipients, how.aead) {
        (true, _) => None,
        (false, true) => Some(KeyHandle::Fingerprint(key.fingerprint())),
        (false, false) => Some(KeyHandle::KeyID(key.keyid())),
    };
    // The caller decides the format; the certificate's own announcement was weighed before.
    let features = if how.aead { Features::empty().set_seipdv2() } else { Features::empty().set_seipdv1() };
    Ok(Recipient::new(features, handle, key))
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
