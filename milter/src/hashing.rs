//! SHA-256 of what is written: digests of messages without holding them.

use std::io::{self, Write};

use mail::Message;
use sha2::{Digest, Sha256};

/// The digest of a whole message, header section included.
///
/// # Errors
/// The message could not be read.
pub fn digest(message: &Message) -> io::Result<[u8; 32]> {
    let mut hash = Hashing::default();
    message.write_to(&mut hash)?;
    Ok(hash.digest())
}

/// A writer that keeps the digest of its input only.
#[derive(Default)]
pub struct Hashing(Sha256);

impl Hashing {
    /// The digest of everything written.
    pub fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
