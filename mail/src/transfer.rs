//! Content-Transfer-Encoding: what it says and how to undo it (RFC 2045 section 6).

use std::io;
use std::io::BufRead;
use std::io::Write;

use crate::body::Body;
use crate::body::BodyReader;
use crate::body::BodyWriter;
use crate::body::Spill;
use crate::encoded_word::hex_pair;

/// How the bytes of an entity were made fit for transport.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TransferEncoding {
    /// Short lines of US-ASCII, as they are; the default.
    SevenBit,
    /// Short lines of any bytes, as they are.
    EightBit,
    /// Any bytes, as they are.
    Binary,
    /// Section 6.8.
    Base64,
    /// Section 6.7.
    QuotedPrintable,
    /// A name we do not know, in lower case. The bytes stay as they are.
    Other(String),
}

impl TransferEncoding {
    pub(crate) fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "" | "7bit" => Self::SevenBit,
            "8bit" => Self::EightBit,
            "binary" => Self::Binary,
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether the bytes are as they are, so that they may hold lines of other entities.
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }

    /// Undoes the encoding, tolerantly: what does not belong to it is skipped (base64) or kept as it
    /// is (quoted-printable). Bytes that need no decoding are shared, not copied.
    ///
    /// # Errors
    /// The content cannot be read or the temporary file cannot be written.
    pub fn decode(&self, content: &Body, spill: &Spill) -> io::Result<Body> {
        let mut out = BodyWriter::new(spill);
        let mut reader = content.reader(0..content.len());
        match self {
            Self::Base64 => {
                let mut decoder = Base64::default();
                each_chunk(&mut reader, |chunk, decoded| decoder.push(chunk, decoded), &mut out)?;
                let mut last = Vec::new();
                decoder.flush(&mut last);
                out.write_all(&last)?;
            }
            Self::QuotedPrintable => {
                let mut decoder = QuotedPrintable::default();
                each_chunk(&mut reader, |chunk, decoded| decoder.push(chunk, decoded), &mut out)?;
                let mut last = Vec::new();
                decoder.finish(&mut last);
                out.write_all(&last)?;
            }
            _ => return Ok(content.clone()),
        }
        out.finish()
    }
}

/// Feeds the content to `decode` in pieces of bounded size.
fn each_chunk(
    reader: &mut BodyReader,
    mut decode: impl FnMut(&[u8], &mut Vec<u8>),
    out: &mut BodyWriter,
) -> io::Result<()> {
    let mut decoded = Vec::new();
    loop {
        let chunk = reader.fill_buf()?;
        let chunk = chunk.get(..CHUNK).unwrap_or(chunk);
        if chunk.is_empty() {
            return Ok(());
        }
        let taken = chunk.len();
        decoded.clear();
        decode(chunk, &mut decoded);
        reader.consume(taken);
        out.write_all(&decoded)?;
    }
}

/// Decodes base64 in memory, tolerantly.
pub(crate) fn base64_to_vec(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut decoder = Base64::default();
    decoder.push(text, &mut out);
    decoder.flush(&mut out);
    out
}

/// A base64 stream. Padding ends a group, not the stream: senders concatenate encoded pieces.
#[derive(Default)]
struct Base64 {
    /// Characters of the alphabet that are not decoded yet.
    pending: Vec<u8>,
}

impl Base64 {
    /// Takes a chunk as if it held nothing but lines of digits, which nearly all do; then looks closer.
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let known = self.pending.len();
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.pending.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            rest = after.get(1..).unwrap_or_default();
        }
        self.pending.extend_from_slice(rest);
        if !self.decode_groups(out) {
            self.pending.truncate(known);
            self.push_each(chunk, out);
        }
    }

    fn push_each(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        for &byte in chunk {
            match byte {
                b'=' => self.flush(out),
                _ if is_digit(&byte) => self.pending.push(byte),
                _ => {}
            }
        }
        self.decode_groups(out);
    }

    /// Decodes whole groups of four characters; false, and nothing is decoded, if not all are digits.
    fn decode_groups(&mut self, out: &mut Vec<u8>) -> bool {
        let whole = self.pending.len() / 4 * 4;
        let (groups, rest) = self.pending.split_at(whole);
        let start = out.len();
        out.resize(start + whole / 4 * 3, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let decoded = base64_simd::STANDARD_NO_PAD.decode(groups, base64_simd::Out::from_slice(room));
        if decoded.is_err() || !rest.iter().all(is_digit) {
            out.truncate(start);
            return false;
        }
        self.pending.drain(..whole);
        true
    }

    /// Decodes everything, the last group too. Its bits beyond a whole byte should be zero but often
    /// are not; they are dropped. A single character says nothing.
    fn flush(&mut self, out: &mut Vec<u8>) {
        self.decode_groups(out);
        match *self.pending.as_slice() {
            [first, second] => out.push(sextet(first) << 2 | sextet(second) >> 4),
            [first, second, third] => {
                out.push(sextet(first) << 2 | sextet(second) >> 4);
                out.push(sextet(second) << 4 | sextet(third) >> 2);
            }
            _ => {}
        }
        self.pending.clear();
    }
}

/// Whether the character stands for six bits.
fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/')
}

/// The six bits that a character of the alphabet stands for.
fn sextet(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    }
}

/// A quoted-printable stream.
#[derive(Default)]
struct QuotedPrintable {
    /// Bytes whose meaning depends on what follows: `=`, `=X`, or blanks that may end the line.
    pending: Vec<u8>,
}

impl QuotedPrintable {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            if self.pending.is_empty() {
                let special = |byte: &u8| matches!(byte, b'=' | b' ' | b'\t' | b'\r' | b'\n');
                let plain = rest.iter().position(special).unwrap_or(rest.len());
                if let Some((text, after)) = rest.split_at_checked(plain).filter(|_| plain > 0) {
                    out.extend_from_slice(text);
                    rest = after;
                    continue;
                }
            }
            self.byte(byte, out);
            rest = after;
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        let escape = self.pending.first() == Some(&b'=');
        match (self.pending.as_slice(), byte) {
            ([b'=', high], low) if !high.is_ascii_whitespace() => match hex_pair(*high, low) {
                Some(decoded) => {
                    out.push(decoded);
                    self.pending.clear();
                }
                None => self.give_up(byte, out),
            },
            ([b'='], byte) if byte.is_ascii_hexdigit() => self.pending.push(byte),
            // A soft line break, perhaps with blanks before the line end (rule 5).
            (_, b'\n') if escape => self.pending.clear(),
            (_, b'\n') => {
                let end: &[u8] = if self.pending.last() == Some(&b'\r') { b"\r\n" } else { b"\n" };
                out.extend_from_slice(end);
                self.pending.clear();
            }
            (pending, b' ' | b'\t' | b'\r' | b'=')
                if pending.len() < PENDING && (byte != b'=' || pending.is_empty()) =>
            {
                self.pending.push(byte);
            }
            ([], byte) => out.push(byte),
            _ => self.give_up(byte, out),
        }
    }

    /// What was pending means itself after all.
    fn give_up(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.append(&mut self.pending);
        self.byte(byte, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.pending.first() != Some(&b'=') || self.pending.len() == 2 {
            out.append(&mut self.pending);
        }
        self.pending.clear();
    }
}

/// Bytes decoded at once.
const CHUNK: usize = 64 * 1024;

/// Blanks at a line end beyond this many are kept.
const PENDING: usize = 4096;

#[cfg(test)]
mod tests;
