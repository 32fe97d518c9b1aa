//! Detached signatures for multipart/signed.

use std::io;
use std::io::BufWriter;
use std::io::Write;

use sequoia_openpgp as pgp;

use pgp::serialize::stream::Message;
use pgp::serialize::stream::Signer;
use pgp::types::HashAlgorithm;

use super::armor::Kind;
use super::armor::armor;
use super::seal::SealError;
use super::secret_cert::PreparedKey;
use super::time::system_time;

const PIECE: usize = 64 * 1024;

/// Copies what `data` writes to `copy` and gives the armored signature over exactly these bytes.
pub(crate) fn sign_detached(
    key: &PreparedKey,
    now: i64,
    copy: &mut (dyn Write + Send + Sync),
    data: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Vec<u8>, SealError> {
    let mut signature = Vec::new();
    let mut signer = detached(&mut signature, key, now).map_err(SealError::Library)?;
    let mut both = BufWriter::with_capacity(PIECE, Both(&mut signer, copy));
    data(&mut both)?;
    both.flush()?;
    drop(both);
    signer.finalize().map_err(SealError::Library)?;
    Ok(armor(&signature, Kind::Signature)?)
}

/// The value of the `micalg` parameter (RFC 3156 section 5).
pub(crate) fn micalg(key: &PreparedKey) -> &'static str {
    match key.hash() {
        HashAlgorithm::SHA256 => "pgp-sha256",
        _ => "pgp-sha512",
    }
}

fn detached<'a>(sink: &'a mut Vec<u8>, key: &PreparedKey, now: i64) -> pgp::Result<Message<'a>> {
    Signer::new(Message::new(sink), key.clone())?
        .detached()
        .hash_algo(key.hash())?
        .creation_time(system_time(now))
        .build()
}

/// Writes everything twice.
struct Both<'a, 'm>(&'a mut Message<'m>, &'a mut (dyn Write + Send + Sync));

impl Write for Both<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}
