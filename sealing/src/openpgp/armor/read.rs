//! Reading armor.

use std::io;
use std::io::Read;

use base64_simd::Out;
use base64_simd::STANDARD;

use super::Kind;

/// Bytes taken from the source at a time.
const CHUNK: usize = 48 * 1024;
/// The same where only the start is wanted: a message may have many parts that are looked at.
const GLANCE: usize = 1024;
/// The longest line that may stand before the data (text, armor headers), in bytes.
const HEADER_LINE: usize = 4096;
/// The most bytes that may stand before the data.
const PREAMBLE: usize = 64 * 1024;

/// Gives the binary content of the first armored block of a source.
///
/// Text before the block is skipped (at most 64 KiB), text after it is not looked at. A source that
/// does not start with printable text but with an OpenPGP packet is passed through as it is.
pub struct Dearmor<R> {
    source: R,
    chunk: usize,
    state: State,
    kind: Option<Kind>,
    skipped: usize,
    /// Bytes from the source not yet looked at: `raw[raw_at..]`.
    raw: Vec<u8>,
    raw_at: usize,
    /// Base64 characters without line ends.
    digits: Vec<u8>,
    /// Decoded bytes not yet given out: `plain[plain_at..]`.
    plain: Vec<u8>,
    plain_at: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nothing read yet.
    Fresh,
    /// Before the line `-----BEGIN`.
    Preamble,
    /// After it, before the blank line.
    Headers,
    /// In the data, at the start of a line.
    LineStart,
    /// In the data, inside a line.
    InLine,
    /// Inside the line that starts with `=`: the checksum, which decides nothing.
    Checksum,
    /// Inside the line that starts with `-`.
    End,
    Done,
    Binary,
}

impl<R: Read> Dearmor<R> {
    /// Wraps a source; nothing is read yet.
    pub fn new(source: R) -> Dearmor<R> {
        Dearmor::with_chunk(source, CHUNK)
    }

    /// Wraps a source of which only the start will be read.
    pub(crate) fn glancing(source: R) -> Dearmor<R> {
        Dearmor::with_chunk(source, GLANCE)
    }

    fn with_chunk(source: R, chunk: usize) -> Dearmor<R> {
        Dearmor {
            source,
            chunk,
            state: State::Fresh,
            kind: None,
            skipped: 0,
            raw: Vec::new(),
            raw_at: 0,
            digits: Vec::new(),
            plain: Vec::new(),
            plain_at: 0,
        }
    }

    /// Reads as far as the armor header line and says what it announces; a binary source counts as
    /// [`Kind::Message`].
    ///
    /// # Errors
    /// `InvalidData` if there is no armored block, and those of the source.
    pub fn kind(&mut self) -> io::Result<Kind> {
        while self.kind.is_none() {
            self.fill()?;
        }
        self.kind.ok_or_else(|| invalid("no armored block"))
    }

    /// Does one step: takes a chunk and moves on as far as it leads.
    fn fill(&mut self) -> io::Result<()> {
        let eof = self.take_chunk()?;
        if self.state == State::Fresh {
            self.begin();
        }
        if self.state == State::Binary {
            self.plain = self.raw.split_off(self.raw_at);
            (self.plain_at, self.raw_at) = (0, self.raw.len());
            self.state = if eof { State::Done } else { State::Binary };
            return Ok(());
        }
        while matches!(self.state, State::Preamble | State::Headers) {
            if !self.header_line(eof)? {
                break;
            }
        }
        if matches!(self.state, State::LineStart | State::InLine | State::Checksum | State::End) {
            self.data();
        }
        if eof && !matches!(self.state, State::Done | State::End) {
            return Err(match self.state {
                State::Fresh | State::Preamble => invalid("no armored block"),
                _ => io::Error::new(io::ErrorKind::UnexpectedEof, "the armor's last line is missing"),
            });
        }
        if eof || self.state == State::End {
            self.state = State::Done;
        }
        self.decode()
    }

    /// Appends a chunk to `raw`; true at the end of the source.
    fn take_chunk(&mut self) -> io::Result<bool> {
        self.raw.drain(..self.raw_at);
        self.raw_at = 0;
        let before = self.raw.len();
        (&mut self.source).take(self.chunk as u64).read_to_end(&mut self.raw)?;
        Ok(self.raw.len() - before < self.chunk)
    }

    fn begin(&mut self) {
        self.state = State::Preamble;
        // The first octet of a packet has its highest bit set (RFC 9580 section 4.2), text has not;
        // a byte order mark does not start a message: EF would be an old-format private packet.
        if self.raw.first().is_some_and(|first| first & 0x80 != 0) && !self.raw.starts_with(b"\xef\xbb\xbf") {
            self.state = State::Binary;
            self.kind = Some(Kind::Message);
        }
    }

    /// Looks at one line before the data; false if it is not complete yet.
    fn header_line(&mut self, eof: bool) -> io::Result<bool> {
        let rest = self.raw.get(self.raw_at..).unwrap_or_default();
        let (line, length) = match memchr::memchr(b'\n', rest) {
            Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
            None if eof && !rest.is_empty() => (rest, rest.len()),
            None if rest.len() > HEADER_LINE => {
                return Err(invalid("a line before the armored data is too long"));
            }
            None => return Ok(false),
        };
        let line = line.trim_ascii_end();
        let mut consumed = length;
        if self.state == State::Preamble {
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            if let Some(kind) = Kind::from_begin_line(line) {
                (self.kind, self.state) = (Some(kind), State::Headers);
            }
        } else if line.is_empty() {
            self.state = State::LineStart;
        } else if !line.contains(&b':') {
            // No blank line: somebody removed it, the data starts here.
            (self.state, consumed) = (State::LineStart, 0);
        }
        self.skipped += consumed;
        if length > HEADER_LINE && consumed > 0 || self.skipped > PREAMBLE {
            return Err(invalid("too much text before the armored data"));
        }
        self.raw_at += consumed;
        Ok(true)
    }

    /// Collects base64 characters from `raw` up to the end of the block.
    fn data(&mut self) {
        while let Some(rest) = self.raw.get(self.raw_at..).filter(|rest| !rest.is_empty()) {
            if self.state == State::LineStart {
                self.state = match rest.first() {
                    Some(b'=') => State::Checksum,
                    Some(b'-') => State::End,
                    _ => State::InLine,
                };
            }
            if self.state == State::End {
                return;
            }
            let newline = memchr::memchr(b'\n', rest);
            let line = rest.get(..newline.unwrap_or(rest.len())).unwrap_or_default();
            if self.state == State::InLine {
                append_digits(&mut self.digits, line);
            }
            self.raw_at += line.len() + usize::from(newline.is_some());
            if newline.is_some() {
                self.state = State::LineStart;
            }
        }
    }

    /// Decodes as many characters as make whole groups.
    fn decode(&mut self) -> io::Result<()> {
        let whole = if self.state == State::Done { self.digits.len() } else { self.digits.len() / 4 * 4 };
        // Padding may still be followed by more of itself: keep the last group until the end is seen.
        let keep = if self.state == State::Done { 0 } else { 4.min(whole) };
        let ready = self.digits.get(..whole - keep).unwrap_or_default();
        self.plain.resize(ready.len() / 4 * 3 + 3, 0);
        let length = STANDARD
            .decode(ready, Out::from_slice(&mut self.plain))
            .map_err(|_| invalid("the armored data are not base64"))?
            .len();
        self.plain.truncate(length);
        self.plain_at = 0;
        self.digits.drain(..whole - keep);
        Ok(())
    }
}

impl<R: Read> Read for Dearmor<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let mut ready = self.plain.get(self.plain_at..).unwrap_or_default();
            if !ready.is_empty() {
                let length = ready.read(out)?;
                self.plain_at += length;
                return Ok(length);
            }
            if self.state == State::Done {
                return Ok(0);
            }
            self.fill()?;
        }
    }
}

/// Appends a line's characters without the blanks that transport may have added.
fn append_digits(digits: &mut Vec<u8>, line: &[u8]) {
    let line = line.trim_ascii_end();
    // No early exit: so it takes many bytes at a time.
    if line.iter().fold(false, |blank, byte| blank | matches!(byte, b' ' | b'\t' | b'\r')) {
        digits.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
    } else {
        digits.extend_from_slice(line);
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
