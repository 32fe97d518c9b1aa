//! Inline PGP: a text that is an armored message, or a cleartext-signed one.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;

use mail::Body;
use mail::Entity;
use mail::Spill;

/// Bytes of a text that may stand before its first line that is not blank.
const HEAD: u64 = 16 * 1024;
/// The longest line that is looked at as a line.
const LINE: u64 = 64 * 1024;

/// A text with armor that starts at its first line.
#[derive(Clone)]
pub(crate) struct Inline {
    /// Cleartext-signed rather than an armored message.
    pub(crate) signed: bool,
    /// The text, its transfer encoding undone.
    pub(crate) text: Body,
    /// Where the armor ends in it, after the last line's end.
    pub(crate) end: u64,
    /// Whether something other than white space follows.
    pub(crate) more: bool,
}

impl Inline {
    /// Whether the armor is all there is.
    pub(crate) fn encloses_all(&self) -> bool {
        !self.more
    }

    /// The armored block.
    pub(crate) fn block(&self) -> Body {
        self.text.slice(0..self.end)
    }

    /// What follows it.
    pub(crate) fn rest(&self) -> Body {
        self.text.slice(self.end..self.text.len())
    }
}

const MESSAGE: (&[u8], &[u8]) = (b"-----BEGIN PGP MESSAGE-----", b"-----END PGP MESSAGE-----");
const CLEARTEXT: (&[u8], &[u8]) = (b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----END PGP SIGNATURE-----");

/// Recognises a text part whose first line that is not blank begins armor, at the start of the line, and
/// in which the armor's last line stands. Quoted or mentioned armor is a text like any other.
pub(crate) fn find(part: &Entity<'_>, spill: &Spill) -> io::Result<Option<Inline>> {
    let content = part.content();
    let head = content.slice(0..content.len().min(HEAD));
    let head = part.transfer_encoding().decode(&head, spill)?.to_vec()?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    // A blank at the start of the line would make it something else than armor.
    let first = head.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let first = first.unwrap_or_default().trim_ascii_end();
    let (signed, last) = match [MESSAGE, CLEARTEXT].into_iter().find(|(begin, _)| *begin == first) {
        Some((begin, end)) => (begin == CLEARTEXT.0, end),
        None => return Ok(None),
    };
    let text = part.decoded(spill)?;
    let Some((end, more)) = end_of(&text, last)? else { return Ok(None) };
    Ok(Some(Inline { signed, text, end, more }))
}

/// The offset after the first line that is `last`, and whether anything follows but white space.
fn end_of(text: &Body, last: &[u8]) -> io::Result<Option<(u64, bool)>> {
    let mut reader = BufReader::with_capacity(LINE as usize, text.reader(0..text.len()));
    let (mut at, mut end, mut start_of_line) = (0, None, true);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(end.map(|end| (end, false)));
        }
        at += read;
        match end {
            Some(end) if !line.trim_ascii().is_empty() => return Ok(Some((end, true))),
            None if start_of_line && line.trim_ascii_end() == last => end = Some(at),
            _ => (),
        }
        start_of_line = line.ends_with(b"\n");
    }
}
