//! Writing armor.

use std::io;
use std::io::Write;

use base64_simd::Out;
use base64_simd::STANDARD;

use super::Kind;
use super::checksum::Crc24;

/// 48 bytes make a line of 64 characters.
const LINE: usize = 48;
const BATCH: usize = LINE * 512;

/// Armors what is written to it. Line ends are CRLF, as mail needs them.
///
/// The checksum is written only where the standard wants one: never around SEIPDv2 or version 6
/// packets (RFC 9580 section 6.1).
pub struct ArmorWriter<W: Write> {
    inner: W,
    kind: Kind,
    checksum: Option<Crc24>,
    pending: Vec<u8>,
    base64: Vec<u8>,
    lines: Vec<u8>,
}

impl<W: Write> ArmorWriter<W> {
    /// Starts a block of this kind; `checksum` says whether CRC-24 is wanted at its end.
    ///
    /// # Errors
    /// Those of the inner writer.
    pub fn new(mut inner: W, kind: Kind, checksum: bool) -> io::Result<ArmorWriter<W>> {
        write!(inner, "-----BEGIN PGP {kind}-----\r\n\r\n")?;
        Ok(ArmorWriter {
            inner,
            kind,
            checksum: checksum.then(Crc24::new),
            pending: Vec::new(),
            base64: Vec::new(),
            lines: Vec::new(),
        })
    }

    /// Writes what is pending and the last lines; gives the inner writer back.
    ///
    /// # Errors
    /// Those of the inner writer.
    pub fn finish(mut self) -> io::Result<W> {
        let pending = std::mem::take(&mut self.pending);
        self.write_lines(&pending)?;
        if let Some(checksum) = self.checksum {
            write!(self.inner, "={}\r\n", STANDARD.encode_to_string(checksum.value()))?;
        }
        write!(self.inner, "-----END PGP {}-----\r\n", self.kind)?;
        Ok(self.inner)
    }

    fn write_lines(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.base64.resize(STANDARD.encoded_length(bytes.len()), 0);
        let encoded = STANDARD.encode(bytes, Out::from_slice(&mut self.base64));
        self.lines.clear();
        for line in encoded.chunks(LINE / 3 * 4) {
            self.lines.extend_from_slice(line);
            self.lines.extend_from_slice(b"\r\n");
        }
        self.inner.write_all(&self.lines)
    }
}

impl<W: Write> Write for ArmorWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        let mut rest = bytes;
        while self.pending.len() + rest.len() >= BATCH {
            if self.pending.is_empty() {
                let (batch, after) = rest.split_at(BATCH);
                self.write_lines(batch)?;
                rest = after;
            } else {
                let (fill, after) = rest.split_at(BATCH - self.pending.len());
                self.pending.extend_from_slice(fill);
                let mut pending = std::mem::take(&mut self.pending);
                self.write_lines(&pending)?;
                pending.clear();
                self.pending = pending;
                rest = after;
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
