//! Content-transfer-encodings that survive every road: nothing a relay may touch is left in them.

use std::io;
use std::io::Write;

use base64_simd::Out;
use base64_simd::STANDARD;

/// The longest line that is signed as it is (RFC 2045 section 6.7: 76 characters).
const LINE: usize = 76;

/// What was seen in a body while it passed by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// Bytes with the highest bit set.
    pub(crate) eight_bit: u64,
    /// All bytes.
    pub(crate) bytes: u64,
    /// NUL, or CR without LF.
    pub(crate) controls: bool,
    /// A line longer than 76 characters.
    pub(crate) long_line: bool,
    /// Blanks at a line's end.
    pub(crate) trailing_blank: bool,
    /// A line that starts with `From `.
    pub(crate) from_line: bool,
    /// Characters of the line so far, a CR that may end it left out.
    column: usize,
    /// The first of them.
    start: [u8; 5],
    /// The last of them.
    last: u8,
    /// The last byte was a CR.
    carriage_return: bool,
}

impl Survey {
    /// Whether transport may be expected to leave the bytes alone.
    pub(crate) fn is_safe(&self) -> bool {
        self.eight_bit == 0 && !self.controls && !self.long_line && !self.trailing_blank && !self.from_line
    }

    /// Whether the body is mostly not ASCII, so that base64 is the shorter form.
    pub(crate) fn prefers_base64(&self) -> bool {
        self.eight_bit.saturating_mul(6) > self.bytes
    }

    /// To be called at the end of the body.
    pub(crate) fn finish(mut self) -> Survey {
        self.controls |= self.carriage_return;
        self.line_end();
        self
    }

    /// A piece of a line, without its LF.
    fn piece(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        // The CR before this piece did not end the line.
        self.controls |= self.carriage_return;
        self.carriage_return = *last == b'\r';
        let text = piece.strip_suffix(b"\r").unwrap_or(piece);
        self.controls |= memchr::memchr(b'\r', text).is_some();
        if let Some(open) = self.start.get_mut(self.column.min(5)..) {
            for (slot, byte) in open.iter_mut().zip(text) {
                *slot = *byte;
            }
        }
        self.column += text.len();
        self.last = text.last().copied().unwrap_or(self.last);
    }

    fn line_end(&mut self) {
        self.long_line |= self.column > LINE;
        self.trailing_blank |= self.column > 0 && matches!(self.last, b' ' | b'\t');
        self.from_line |= self.column >= 5 && &self.start == b"From ";
        self.column = 0;
        self.carriage_return = false;
    }
}

impl Write for Survey {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        // Summed in bytes, up to what one can hold: the processor then adds many at once.
        let high_bits = |few: &[u8]| u64::from(few.iter().map(|byte| byte >> 7).sum::<u8>());
        self.eight_bit += bytes.chunks(usize::from(u8::MAX)).map(high_bits).sum::<u64>();
        self.controls |= memchr::memchr(0, bytes).is_some();
        let mut rest = bytes;
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(newline);
            self.piece(line);
            self.line_end();
            rest = after.get(1..).unwrap_or_default();
        }
        self.piece(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Turns every line end into CRLF.
pub(crate) struct CrlfWriter<W: Write> {
    inner: W,
    last: u8,
}

impl<W: Write> CrlfWriter<W> {
    pub(crate) fn new(inner: W) -> CrlfWriter<W> {
        CrlfWriter { inner, last: 0 }
    }

    pub(crate) fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for CrlfWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let before = newline.checked_sub(1).and_then(|at| bytes.get(at)).unwrap_or(&self.last);
            if *before != b'\r' {
                self.inner.write_all(bytes.get(written..newline).unwrap_or_default())?;
                self.inner.write_all(b"\r")?;
                written = newline;
            }
        }
        self.inner.write_all(bytes.get(written..).unwrap_or_default())?;
        self.last = bytes.last().copied().unwrap_or(self.last);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Base64 in lines of 76 characters (RFC 2045 section 6.8).
pub(crate) struct Base64Writer<W: Write> {
    inner: W,
    pending: Vec<u8>,
    encoded: Vec<u8>,
    lines: Vec<u8>,
}

impl<W: Write> Base64Writer<W> {
    const BYTES: usize = LINE / 4 * 3;
    const BATCH: usize = Self::BYTES * 256;

    pub(crate) fn new(inner: W) -> Base64Writer<W> {
        Base64Writer { inner, pending: Vec::new(), encoded: Vec::new(), lines: Vec::new() }
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.write_lines()?;
        Ok(self.inner)
    }

    fn write_lines(&mut self) -> io::Result<()> {
        self.encoded.resize(STANDARD.encoded_length(self.pending.len()), 0);
        let encoded = STANDARD.encode(&self.pending, Out::from_slice(&mut self.encoded));
        self.lines.clear();
        for line in encoded.chunks(LINE) {
            self.lines.extend_from_slice(line);
            self.lines.extend_from_slice(b"\r\n");
        }
        self.pending.clear();
        self.inner.write_all(&self.lines)
    }
}

impl<W: Write> Write for Base64Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = Self::BATCH - self.pending.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.pending.extend_from_slice(taken);
        if self.pending.len() == Self::BATCH {
            self.write_lines()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Quoted-printable for text (RFC 2045 section 6.7). Line ends become CRLF, a blank before one is
/// encoded, and so are `F` and `.` at the start of a line (`From ` is escaped by some mailboxes).
pub(crate) struct QuotedPrintableWriter<W: Write> {
    inner: W,
    column: usize,
    /// A blank or CR whose meaning depends on the next byte.
    held: Option<u8>,
}

impl<W: Write> QuotedPrintableWriter<W> {
    pub(crate) fn new(inner: W) -> QuotedPrintableWriter<W> {
        QuotedPrintableWriter { inner, column: 0, held: None }
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        if let Some(held) = self.held.take() {
            self.put(held, true)?;
        }
        Ok(self.inner)
    }

    fn step(&mut self, byte: u8) -> io::Result<()> {
        match (self.held.take(), byte) {
            (Some(b'\r'), b'\n') => return self.line_end(),
            (Some(b'\r'), _) => self.put(b'\r', true)?,
            (Some(blank), b'\r') => {
                // Still unknown whether a line ends here; encoding it is right either way.
                self.put(blank, true)?;
            }
            (Some(blank), b'\n') => {
                self.put(blank, true)?;
                return self.line_end();
            }
            (Some(blank), _) => self.put(blank, false)?,
            (None, b'\n') => return self.line_end(),
            (None, _) => (),
        }
        if matches!(byte, b' ' | b'\t' | b'\r') {
            self.held = Some(byte);
            return Ok(());
        }
        self.put(byte, !(0x21..=0x7e).contains(&byte) || byte == b'=')
    }

    /// How many of these bytes stand as they are on the line begun; the rest is for [`Self::step`].
    fn plain(&self, bytes: &[u8]) -> usize {
        if self.column == 0 || self.held.is_some() {
            return 0;
        }
        let room = (LINE - 1).saturating_sub(self.column);
        let stands = |byte: &&u8| matches!(byte, b'\t' | 0x20..=0x7e) && **byte != b'=';
        let plain = bytes.get(..bytes.iter().take(room).take_while(stands).count()).unwrap_or_default();
        // What follows decides about a blank at the end.
        plain.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1)
    }

    fn put(&mut self, byte: u8, encode: bool) -> io::Result<()> {
        let width = if encode { 3 } else { 1 };
        if self.column + width > LINE - 1 {
            self.inner.write_all(b"=\r\n")?;
            self.column = 0;
        }
        if encode || self.column == 0 && matches!(byte, b'F' | b'.') {
            self.inner.write_all(&[b'=', hex_digit(byte >> 4), hex_digit(byte & 0x0f)])?;
            self.column += 3;
        } else {
            self.inner.write_all(&[byte])?;
            self.column += 1;
        }
        Ok(())
    }

    fn line_end(&mut self) -> io::Result<()> {
        self.column = 0;
        self.inner.write_all(b"\r\n")
    }
}

impl<W: Write> Write for QuotedPrintableWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            let (plain, others) = rest.split_at(self.plain(rest));
            if plain.is_empty() {
                self.step(*byte)?;
                rest = after;
            } else {
                self.inner.write_all(plain)?;
                self.column += plain.len();
                rest = others;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn quoted(bytes: &[u8]) -> Vec<u8> {
        let mut writer = QuotedPrintableWriter::new(Vec::new());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn survey(bytes: &[u8]) -> Survey {
        let mut survey = Survey::default();
        survey.write_all(bytes).unwrap();
        survey.finish()
    }

    /// As plain as RFC 2045 section 6.7 describes it.
    fn unquoted(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if *byte != b'=' {
                out.push(*byte);
                rest = after;
            } else if let Some(after) = after.strip_prefix(b"\r\n") {
                rest = after;
            } else {
                out.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
                rest = &after[2..];
            }
        }
        out
    }

    #[test]
    fn quoted_printable_leaves_nothing_to_damage() {
        let text = "From Köln \r\n.\r\nFrom\ttab\t\r\na=b \r\n";
        assert_eq!(quoted(text.as_bytes()), b"=46rom K=C3=B6ln=20\r\n=2E\r\n=46rom\ttab=09\r\na=3Db=20\r\n");
        assert_eq!(quoted(b"end "), b"end=20");
        assert_eq!(quoted(b"a\rb\nc\r"), b"a=0Db\r\nc=0D");
    }

    proptest! {
        #[test]
        fn quoted_printable_is_safe_and_decodes_to_the_same_text(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'F'), 0x20_u8..0x7f], 0..400)
        ) {
            let encoded = quoted(&bytes);
            prop_assert!(survey(&encoded).is_safe());
            let mut bytewise = QuotedPrintableWriter::new(Vec::new());
            bytes.iter().for_each(|byte| bytewise.step(*byte).unwrap());
            prop_assert_eq!(&encoded, &bytewise.finish().unwrap());
            let mut canonical = CrlfWriter::new(Vec::new());
            canonical.write_all(&bytes).unwrap();
            prop_assert_eq!(unquoted(&encoded), canonical.inner);
        }
    }

    #[test]
    fn a_survey_sees_what_transport_might_change() {
        assert!(survey(b"plain\r\ntext\r\n").is_safe());
        assert!(survey(&[b'a'; 76]).is_safe());
        for unsafe_ in [
            &b"blank \r\n"[..],
            b"blank\t",
            b"\xc3\xa4",
            b"a\0b",
            b"a\rb",
            b"x\r\nFrom here\r\n",
            &[b'a'; 77],
        ] {
            assert!(!survey(unsafe_).is_safe(), "{unsafe_:?}");
        }
    }

    proptest! {
        #[test]
        fn a_survey_in_pieces_sees_what_a_plain_look_sees(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'x')], 0..300),
            cut in 1..40_usize,
        ) {
            let mut pieces = Survey::default();
            for piece in bytes.chunks(cut) {
                pieces.write_all(piece).unwrap();
            }
            let pieces = pieces.finish();
            let text: Vec<_> = bytes.iter().map(|byte| char::from(*byte)).collect::<String>()
                .split('\n').map(str::to_owned).collect();
            let (last, ended) = text.split_last().unwrap();
            let ended = ended.iter().map(|line| line.strip_suffix('\r').unwrap_or(line));
            let lines: Vec<_> = ended.chain([last.as_str()]).collect();
            let any = |test: fn(&str) -> bool| lines.iter().any(|line| test(line));
            prop_assert_eq!(pieces.controls, any(|line| line.contains(['\0', '\r'])));
            prop_assert_eq!(pieces.from_line, any(|line| line.starts_with("From ")));
            if !pieces.controls {
                prop_assert_eq!(pieces.long_line, any(|line| line.chars().count() > LINE));
                prop_assert_eq!(pieces.trailing_blank, any(|line| line.ends_with([' ', '\t'])));
            }
            prop_assert_eq!(pieces.eight_bit as usize, bytes.iter().filter(|byte| !byte.is_ascii()).count());
        }
    }

    #[test]
    fn base64_lines_have_76_characters() {
        let mut writer = Base64Writer::new(Vec::new());
        writer.write_all(&[0xff; 40_000]).unwrap();
        let text = writer.finish().unwrap();
        assert!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
        assert_eq!(text.iter().filter(|byte| **byte == b'/').count(), 40_000 / 3 * 4 + 1);
    }
}
