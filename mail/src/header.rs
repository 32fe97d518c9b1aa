//! Header fields with their exact bytes (RFC 5322 section 2.2).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use memchr::memchr;

use crate::encoded_word;

/// One header field: a view of its bytes, folding and line end included.
///
/// A line that is no field (no colon, or no valid name before it, such as an mbox `From ` line) is
/// kept as a field with an empty name, so that every byte has a home.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    raw: &'a [u8],
    /// Offset of the colon, or `None` if this is no field.
    colon: Option<usize>,
}

impl<'a> Field<'a> {
    /// The name as written, without blanks before the colon; empty if this is no field.
    pub fn name(&self) -> &'a [u8] {
        let name = self.colon.and_then(|colon| self.raw.get(..colon)).unwrap_or_default();
        name.trim_ascii_end()
    }

    /// All bytes, from the name to the line end.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The bytes after the colon, folding kept, without the final line end.
    pub fn raw_value(&self) -> &'a [u8] {
        let start = self.colon.map_or(0, |colon| colon + 1);
        let value = self.raw.get(start..).unwrap_or_default();
        match value.strip_suffix(b"\n") {
            Some(value) => value.strip_suffix(b"\r").unwrap_or(value),
            None => value,
        }
    }

    /// The value on one line: line ends removed, blanks at both ends removed.
    pub fn unfolded(&self) -> Vec<u8> {
        unfold(self.raw_value()).trim_ascii().to_vec()
    }

    /// Whether the field has this name, ignoring ASCII case.
    pub fn is(&self, name: &str) -> bool {
        self.colon.is_some() && self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value for people: unfolded, encoded words decoded (RFC 2047), invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        encoded_word::decode(unfold(self.raw_value()).trim_ascii())
    }
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({}: {} bytes)", String::from_utf8_lossy(self.name()), self.raw.len())
    }
}

/// The header section: every byte before the blank line, cut into fields. Cloning is cheap.
#[derive(Clone, Default)]
pub struct HeaderSection {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    bytes: Vec<u8>,
    /// One for each field, in order, without gaps: a field ends where the next one starts.
    spans: Vec<Span>,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    /// Offset of the colon from `start`.
    colon: Option<usize>,
}

impl HeaderSection {
    /// The fields from top to bottom.
    pub fn fields(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + ExactSizeIterator {
        (0..self.count()).map(|index| self.get(index).unwrap_or(Field { raw: &[], colon: None }))
    }

    /// The field at `index`, counted from 0 at the top.
    pub fn get(&self, index: usize) -> Option<Field<'_>> {
        let span = self.inner.spans.get(index)?;
        let end = self.inner.spans.get(index + 1).map_or(self.inner.bytes.len(), |next| next.start);
        Some(Field { raw: self.inner.bytes.get(span.start..end)?, colon: span.colon })
    }

    /// The first field of this name and its index.
    pub fn find(&self, name: &str) -> Option<(usize, Field<'_>)> {
        self.find_all(name).next()
    }

    /// All fields of this name with their indexes, from top to bottom.
    pub fn find_all(&self, name: &str) -> impl Iterator<Item = (usize, Field<'_>)> {
        self.fields().enumerate().filter(move |(_, field)| field.is(name))
    }

    /// Number of fields.
    pub fn count(&self) -> usize {
        self.inner.spans.len()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.inner.bytes.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.inner.bytes.is_empty()
    }

    /// All bytes, without the blank line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// Cuts bytes that hold no blank line into fields.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        let mut spans = Vec::with_capacity(bytes.len() / 64);
        let mut rest = bytes.as_slice();
        let mut start = 0;
        while !rest.is_empty() {
            let (field, after) = rest.split_at_checked(field_end(rest)).unwrap_or((rest, &[]));
            spans.push(Span { start, colon: colon(field) });
            start += field.len();
            rest = after;
        }
        Self { inner: Arc::new(Inner { bytes, spans }) }
    }

    /// Lays out fields as a milter receives them: values with their leading blank, folds as LF.
    pub(crate) fn from_fields(fields: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut inner = Inner { bytes: Vec::with_capacity(2048), spans: Vec::with_capacity(32) };
        for (name, value) in fields {
            inner.spans.push(Span { start: inner.bytes.len(), colon: Some(name.len()) });
            inner.bytes.extend_from_slice(&name);
            inner.bytes.push(b':');
            push_with_crlf(&mut inner.bytes, &value);
            inner.bytes.extend_from_slice(b"\r\n");
        }
        Self { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for HeaderSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderSection({} fields, {} bytes)", self.count(), self.len())
    }
}

/// Appends `value` with every line end as CRLF.
pub(crate) fn push_with_crlf(out: &mut Vec<u8>, value: &[u8]) {
    for (number, line) in value.split(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            if out.last() == Some(&b'\r') {
                out.pop();
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(line);
    }
}

/// Length of the first line, line end included.
pub(crate) fn line_len(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// Length of the first field: its line and the folded lines after it.
fn field_end(bytes: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let rest = bytes.get(end..).unwrap_or_default();
        if rest.is_empty() || (end > 0 && !matches!(rest.first(), Some(b' ' | b'\t'))) {
            return end;
        }
        end += line_len(rest);
    }
}

/// Offset of the colon, if a field name stands before it: printable ASCII (RFC 5322 section 3.6.8), then
/// perhaps blanks (the obsolete form of section 4.5).
fn colon(field: &[u8]) -> Option<usize> {
    let name = field.iter().position(|byte| !matches!(byte, 33..=57 | 59..=126))?;
    let blanks = field.get(name..)?.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let at = name + blanks;
    (name > 0 && field.get(at) == Some(&b':')).then_some(at)
}

fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    for (number, line) in value.split(|byte| *byte == b'\n').enumerate() {
        if number > 0 && out.last() == Some(&b'\r') {
            out.pop();
        }
        out.extend_from_slice(line);
    }
    Cow::Owned(out)
}
