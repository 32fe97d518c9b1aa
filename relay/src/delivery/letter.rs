//! The content of one message on its way through, clean enough to be sent by DATA or BDAT.

use std::io;
use std::io::Write;

use mail::Body;
use mail::BodyWriter;
use mail::Spill;
use memchr::memchr2;
use memchr::memmem;

/// The content of one message.
///
/// There is one way to build it, [`LetterWriter`], which leaves no CR or LF that is not part of a line end: no
/// host can see an end of message where we see none ("SMTP smuggling"). It ends with a line end.
#[derive(Clone, Debug)]
pub struct Letter {
    body: Body,
    eight_bit: bool,
    eight_bit_header: bool,
    tls_required_no: bool,
    require_tls: bool,
}

impl Letter {
    /// The bytes.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Number of bytes, as for SIZE (RFC 1870).
    pub fn len(&self) -> u64 {
        self.body.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// There is an octet above 127.
    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// There is an octet above 127 in the header section.
    pub fn has_eight_bit_header(&self) -> bool {
        self.eight_bit_header
    }

    /// The originator waives the recipient domain's TLS policies: exactly one field `TLS-Required: No`
    /// (RFC 8689 section 3).
    pub fn waives_tls(&self) -> bool {
        self.tls_required_no
    }

    /// REQUIRETLS was asked for before the message came through something that cannot say so: the field
    /// `Require-TLS-ESMTP: yes`, which Postfix 3.11 and later put there.
    pub fn requires_tls(&self) -> bool {
        self.require_tls
    }

    /// The same letter, held to the recipients' policies whatever its header says.
    #[must_use]
    pub fn without_waiver(self) -> Self {
        Self { tls_required_no: false, ..self }
    }
}

/// Collects a [`Letter`], above a limit on disk.
#[derive(Debug)]
pub struct LetterWriter {
    body: BodyWriter,
    /// The last byte was a CR, which has not been written yet.
    held: bool,
    /// The last two bytes written were a line end, or nothing was written.
    fresh: bool,
    eight_bit: bool,
    header: Option<HeaderScan>,
    eight_bit_header: bool,
    tls_required: TlsRequired,
    require_tls: bool,
}

/// The field of the header section that is being read, unfolded.
#[derive(Debug, Default)]
struct HeaderScan {
    /// Its first bytes; more than that no field has that we look for.
    text: Vec<u8>,
    long: bool,
    /// In the middle of a line.
    inside: bool,
}

/// What the fields `TLS-Required` said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsRequired {
    Absent,
    No,
    /// Repeated or with another value: to be ignored (RFC 8689 section 3).
    Void,
}

impl LetterWriter {
    /// A writer that holds nothing yet.
    pub fn new(spill: &Spill) -> Self {
        Self {
            body: BodyWriter::new(spill),
            held: false,
            fresh: true,
            eight_bit: false,
            header: Some(HeaderScan::default()),
            eight_bit_header: false,
            tls_required: TlsRequired::Absent,
            require_tls: false,
        }
    }

    /// Number of bytes so far.
    pub fn len(&self) -> u64 {
        self.body.len()
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Takes more of the content, dot-stuffing already removed.
    ///
    /// A CR or LF that stands alone becomes a blank, as Postfix has it (`cleanup_replace_stray_cr_lf`).
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.held {
                let (text, taken) =
                    if bytes.first() == Some(&b'\n') { (&b"\r\n"[..], 1) } else { (&b" "[..], 0) };
                self.held = false;
                self.put(text)?;
                bytes = bytes.get(taken..).unwrap_or_default();
                continue;
            }
            let plain = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
            let (text, rest) = bytes.split_at(plain);
            self.put(text)?;
            bytes = match rest.split_first() {
                None => rest,
                Some((b'\r', [b'\n', after @ ..])) => {
                    self.put(b"\r\n")?;
                    after
                }
                Some((b'\r', after)) => {
                    self.held = true;
                    after
                }
                Some((_, after)) => {
                    self.put(b" ")?;
                    after
                }
            };
        }
        Ok(())
    }

    /// The letter, with a line end at its end.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn finish(mut self) -> io::Result<Letter> {
        if std::mem::take(&mut self.held) {
            self.put(b" ")?;
        }
        if !self.fresh {
            self.put(b"\r\n")?;
        }
        if let Some(last) = self.header.take() {
            self.judge(&last);
        }
        Ok(Letter {
            body: self.body.finish()?,
            eight_bit: self.eight_bit,
            eight_bit_header: self.eight_bit_header,
            tls_required_no: self.tls_required == TlsRequired::No,
            require_tls: self.require_tls,
        })
    }

    /// Writes a piece without line end, or one line end.
    fn put(&mut self, piece: &[u8]) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let eight_bit = !piece.is_ascii();
        self.eight_bit |= eight_bit;
        self.eight_bit_header |= eight_bit && self.header.is_some();
        self.fresh = piece == b"\r\n";
        self.scan(piece);
        self.body.write_all(piece)
    }

    fn scan(&mut self, piece: &[u8]) {
        let Some(scan) = &mut self.header else { return };
        if piece == b"\r\n" {
            if !std::mem::take(&mut scan.inside)
                && let Some(last) = self.header.take()
            {
                self.judge(&last);
            }
            return;
        }
        let begins = !scan.inside && !piece.starts_with(b" ") && !piece.starts_with(b"\t");
        let done = begins.then(|| std::mem::take(scan));
        let room = FIELD.saturating_sub(scan.text.len());
        scan.long |= piece.len() > room;
        scan.text.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        scan.inside = true;
        if let Some(done) = done {
            self.judge(&done);
        }
    }

    fn judge(&mut self, read: &HeaderScan) {
        if let Some(value) = field(&read.text, b"require-tls-esmtp") {
            // One that asks for more than it need is no harm.
            self.require_tls |= !read.long && value.trim_ascii().eq_ignore_ascii_case(b"yes");
        } else if let Some(value) = field(&read.text, b"tls-required") {
            let no = !read.long && value.trim_ascii().eq_ignore_ascii_case(b"no");
            let first = self.tls_required == TlsRequired::Absent;
            self.tls_required = if no && first { TlsRequired::No } else { TlsRequired::Void };
        }
    }
}

/// The value of a field, if the text is one of this name.
fn field<'a>(text: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (name, value) = text.split_at(colon);
    name.trim_ascii_end().eq_ignore_ascii_case(wanted).then(|| value.get(1..).unwrap_or_default())
}

/// Turns content into what follows DATA: lines that begin with a dot get another one (RFC 5321 section 4.5.2).
#[derive(Debug)]
pub(super) struct Stuffing {
    /// At the begin of a line.
    fresh: bool,
}

impl Stuffing {
    pub(super) fn new() -> Self {
        Self { fresh: true }
    }

    /// Appends `content`, stuffed, to `out`. The content is a letter's: no LF without a CR.
    pub(super) fn stuff(&mut self, content: &[u8], out: &mut Vec<u8>) {
        if self.fresh && content.first() == Some(&b'.') {
            out.push(b'.');
        }
        let mut done = 0;
        for end in memmem::find_iter(content, b"\n.") {
            out.extend_from_slice(content.get(done..=end).unwrap_or_default());
            out.push(b'.');
            done = end + 1;
        }
        out.extend_from_slice(content.get(done..).unwrap_or_default());
        if let Some(last) = content.last() {
            self.fresh = *last == b'\n';
        }
    }
}

/// Bytes of a header field that are looked at.
const FIELD: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(pieces: &[&[u8]]) -> Letter {
        let mut writer = LetterWriter::new(&Spill::default());
        for piece in pieces {
            writer.write(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    fn bytes(pieces: &[&[u8]]) -> Vec<u8> {
        letter(pieces).body().to_vec().unwrap()
    }

    #[test]
    fn stray_line_ends_become_blanks() {
        assert_eq!(bytes(&[b"a\r\n.\nb\r\n"]), b"a\r\n. b\r\n");
        assert_eq!(bytes(&[b"a\n.\r\nb\r.\r\nc"]), b"a .\r\nb .\r\nc\r\n");
        assert_eq!(bytes(&[b"a\r\r\nb\r\n"]), b"a \r\nb\r\n");
        assert_eq!(bytes(&[b"a\r", b"\nb\r", b"", b"c\r"]), b"a\r\nb c \r\n");
        assert_eq!(bytes(&[b"\n\r\n"]), b" \r\n");
        assert_eq!(bytes(&[]), b"");
    }

    #[test]
    fn tls_required_counts_once_in_the_header_only() {
        for (text, waived) in [
            ("TLS-Required: No\r\n\r\n", true),
            ("From: a\r\ntls-required:no \r\nTo: b\r\n\r\nx\r\n", true),
            ("TLS-Required: Yes\r\n\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: x\r\n\r\n", false),
            ("X-TLS-Required: No\r\n\r\n", false),
            (" TLS-Required: No\r\n\r\n", false),
            ("Subject: x\r\n\r\nTLS-Required: No\r\n", false),
            ("TLS-Required: No, never\r\n\r\n", false),
            // A field may be folded (RFC 5322 section 2.2.3).
            ("TLS-Required:\r\n\tNo\r\nSubject: x\r\n\r\n", true),
            ("TLS-Required: No\r\n more\r\n\r\n", false),
            ("Subject: x\r\n TLS-Required: No\r\n\r\n", false),
            ("Subject: x\r\nTLS-Required: No", true),
        ] {
            assert_eq!(letter(&[text.as_bytes()]).waives_tls(), waived, "{text:?}");
            let bytewise: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(letter(&bytewise).waives_tls(), waived, "{text:?}");
        }
        let long = format!("TLS-Required: No{}x\r\n\r\n", " ".repeat(300));
        assert!(!letter(&[long.as_bytes()]).waives_tls());
    }

    #[test]
    fn require_tls_esmtp_counts_in_the_header_only() {
        for (text, required) in [
            ("Require-TLS-ESMTP: yes\r\n\r\n", true),
            ("From: a\r\nrequire-tls-esmtp:YES\r\n\r\n", true),
            ("Require-TLS-ESMTP: no\r\nRequire-TLS-ESMTP: yes\r\n\r\n", true),
            ("Require-TLS-ESMTP: no\r\n\r\n", false),
            ("Subject: x\r\n\r\nRequire-TLS-ESMTP: yes\r\n", false),
        ] {
            assert_eq!(letter(&[text.as_bytes()]).requires_tls(), required, "{text:?}");
        }
    }

    #[test]
    fn eight_bit_is_seen_where_it_is() {
        let body = letter(&[b"Subject: x\r\n\r\n", "é\r\n".as_bytes()]);
        assert!(body.is_eight_bit() && !body.has_eight_bit_header());
        let header = letter(&["Subject: é\r\n\r\n".as_bytes()]);
        assert!(header.is_eight_bit() && header.has_eight_bit_header());
        assert!(!letter(&[b"Subject: x\r\n\r\ny\r\n"]).is_eight_bit());
    }

    proptest! {
        /// What a host reads by RFC 5321, or by the loosest reading of line ends, ends where we end.
        #[test]
        fn nothing_in_a_letter_ends_it(content: Vec<u8>, cut in 0usize..64) {
            let (front, back) = content.split_at(cut.min(content.len()));
            let clean = bytes(&[front, back]);
            let mut wire = Vec::new();
            let mut stuffing = Stuffing::new();
            for piece in clean.chunks(7) {
                stuffing.stuff(piece, &mut wire);
            }
            for line in wire.split(|byte| matches!(byte, b'\r' | b'\n')) {
                prop_assert_ne!(line, b".");
            }
            // Undoing the stuffing gives the letter back.
            let text = wire.strip_suffix(b"\r\n").unwrap_or(&wire);
            let lines: Vec<Vec<u8>> = text
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_prefix(b".").unwrap_or(line).to_vec())
                .collect();
            let undone = lines.join(&b'\n');
            prop_assert_eq!(undone, clean.strip_suffix(b"\r\n").unwrap_or(&clean));
        }
    }
}
