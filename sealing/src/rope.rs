//! Bodies one behind the other, as if they were one: what is put around a content does not copy it.

use std::io;
use std::io::Write;

use mail::Body;
use mail::BodyWriter;
use mail::Spill;

use crate::transfer::CrlfWriter;

/// Bytes in pieces that are shared with others.
pub(crate) struct Rope {
    pieces: Vec<Body>,
}

impl Rope {
    pub(crate) fn new(pieces: impl Into<Vec<Body>>) -> Rope {
        Rope { pieces: pieces.into() }
    }

    /// Collects what `write` writes.
    pub(crate) fn collect(
        spill: &Spill,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Rope> {
        let mut out = BodyWriter::new(spill);
        write(&mut out)?;
        Ok(Rope::new([out.finish()?]))
    }

    /// The same with these bytes in front.
    pub(crate) fn after(mut self, head: Vec<u8>) -> Rope {
        self.pieces.insert(0, head.into());
        self
    }

    /// The same with these bytes behind.
    pub(crate) fn before(mut self, tail: Vec<u8>) -> Rope {
        self.pieces.push(tail.into());
        self
    }

    pub(crate) fn len(&self) -> u64 {
        self.pieces.iter().map(Body::len).sum()
    }

    pub(crate) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| piece.write_to(out))
    }

    /// With CRLF at every line's end; nothing is copied if it is so already, as it is in mail that came by
    /// SMTP.
    pub(crate) fn with_crlf(self, spill: &Spill) -> io::Result<Rope> {
        let mut length = CrlfWriter::new(Length(0));
        self.write_to(&mut length)?;
        if length.into_inner().0 == self.len() {
            return Ok(self);
        }
        Rope::collect(spill, |out| self.write_to(&mut CrlfWriter::new(out)))
    }

    /// All of it in one body.
    pub(crate) fn into_body(mut self, spill: &Spill) -> io::Result<Body> {
        match (self.pieces.pop(), self.pieces.is_empty()) {
            (Some(only), true) => Ok(only),
            (last, _) => {
                let mut out = BodyWriter::new(spill);
                self.write_to(&mut out)?;
                last.map_or(Ok(()), |last| last.write_to(&mut out))?;
                out.finish()
            }
        }
    }
}

/// Counts bytes.
struct Length(u64);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(rope: &Rope) -> Vec<u8> {
        let mut bytes = Vec::new();
        rope.write_to(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, rope.len());
        bytes
    }

    fn rope(pieces: &[&[u8]]) -> Rope {
        Rope::new(pieces.iter().map(|piece| Body::from(piece.to_vec())).collect::<Vec<_>>())
    }

    #[test]
    fn pieces_are_read_as_one() {
        let whole = rope(&[b"b", b"", b"c"]).after(b"a".to_vec()).before(b"d".to_vec());
        assert_eq!(bytes(&whole), b"abcd");
        assert_eq!(whole.into_body(&Spill::default()).unwrap().to_vec().unwrap(), b"abcd");
        assert_eq!(rope(&[]).into_body(&Spill::default()).unwrap().len(), 0);
    }

    #[test]
    fn line_ends_become_crlf_across_pieces() {
        for (pieces, expected) in [
            (&[&b"a\r"[..], b"\nb\r\n"][..], &b"a\r\nb\r\n"[..]),
            (&[b"a\nb", b"\n"], b"a\r\nb\r\n"),
            (&[b"a\r\n", b"\n\r"], b"a\r\n\r\n\r"),
        ] {
            assert_eq!(bytes(&rope(pieces).with_crlf(&Spill::default()).unwrap()), expected);
        }
    }

    #[test]
    fn what_has_crlf_is_shared() {
        let shared = rope(&[b"a\r\n", b"b\r\n"]).with_crlf(&Spill::default()).unwrap();
        assert_eq!(shared.pieces.len(), 2);
    }
}
