//! ASCII armor (RFC 9580 section 6), at the speed of SIMD base64.
//!
//! Reading is tolerant where the standard asks for it: the checksum is optional and never decides
//! anything (section 6.1), header lines are skipped, line ends and trailing blanks do not matter.
//! It is strict where tolerance would hide damage: armor without its last line is an error.

mod checksum;
mod read;
mod write;

pub use read::Dearmor;
pub use write::ArmorWriter;

use std::fmt;
use std::io;
use std::io::Read as _;
use std::io::Write as _;

/// What an armored block says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An encrypted, signed or compressed message.
    Message,
    /// A private key block.
    PrivateKey,
    /// A public key block.
    PublicKey,
    /// A detached signature.
    Signature,
}

impl Kind {
    /// The kind named by an armor header line, with trailing blanks removed, such as
    /// `-----BEGIN PGP MESSAGE-----`.
    #[must_use]
    pub fn from_begin_line(line: &[u8]) -> Option<Kind> {
        let label = line.strip_prefix(b"-----BEGIN PGP ")?.strip_suffix(b"-----")?;
        match label {
            b"MESSAGE" => Some(Kind::Message),
            b"PRIVATE KEY BLOCK" => Some(Kind::PrivateKey),
            b"PUBLIC KEY BLOCK" => Some(Kind::PublicKey),
            b"SIGNATURE" => Some(Kind::Signature),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Message => "MESSAGE",
            Kind::PrivateKey => "PRIVATE KEY BLOCK",
            Kind::PublicKey => "PUBLIC KEY BLOCK",
            Kind::Signature => "SIGNATURE",
        })
    }
}

/// Armors `bytes` in memory, with checksum and CRLF line ends.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn armor(bytes: &[u8], kind: Kind) -> io::Result<Vec<u8>> {
    let mut writer = ArmorWriter::new(Vec::new(), kind, true)?;
    writer.write_all(bytes)?;
    writer.finish()
}

/// Removes the armor of the first block in `bytes`; at most `limit` bytes come out.
///
/// # Errors
/// `InvalidData` if there is no block, or its base64 is not base64; `UnexpectedEof` if its last line is
/// missing; `FileTooLarge` above the limit.
pub fn dearmor(bytes: &[u8], limit: u64) -> io::Result<(Kind, Vec<u8>)> {
    let mut reader = Dearmor::new(bytes);
    let kind = reader.kind()?;
    let mut out = Vec::new();
    reader.by_ref().take(limit).read_to_end(&mut out)?;
    if reader.read(&mut [0])? > 0 {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "armored data above the limit"));
    }
    Ok((kind, out))
}

#[cfg(test)]
mod tests;
