//! Cuts a multipart body into entities in one pass over its lines (RFC 2046 section 5.1).
//!
//! Memory is bounded by [`Limits`] whatever the size of the body: lines are looked at through a fixed
//! buffer, and only part headers and possible delimiter lines are kept. Time is linear in the size.

use std::io;
use std::io::BufRead;
use std::ops::Range;

use memchr::memchr;

use crate::body::Body;
use crate::body::BodyReader;
use crate::header::HeaderSection;
use crate::mime::Kind;

/// How much of a MIME tree is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Levels below the message.
    pub depth: usize,
    /// Entities below the one that is walked.
    pub parts: usize,
    /// Bytes in all headers of these entities together.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, parts: 1000, header_bytes: 4 * 1024 * 1024 }
    }
}

/// Why a MIME tree could not be walked to its end.
#[derive(Debug, thiserror::Error)]
pub enum MimeError {
    /// The headers of the parts exceed [`Limits::header_bytes`].
    #[error("headers of MIME parts exceed {0} bytes")]
    HeaderTooLong(usize),
    /// The temporary file cannot be read.
    #[error("body cannot be read")]
    Io(#[from] io::Error),
    /// The tree exceeds [`Limits::depth`].
    #[error("MIME parts are nested deeper than {0} levels")]
    TooDeep(usize),
    /// The tree exceeds [`Limits::parts`].
    #[error("more than {0} MIME parts")]
    TooManyParts(usize),
}

/// One entity that was found; all offsets are offsets in the body.
pub(crate) struct Node {
    pub(crate) header: HeaderSection,
    pub(crate) raw: Range<u64>,
    pub(crate) content: Range<u64>,
    pub(crate) depth: usize,
    /// Whether the entity stands in a `multipart/digest`, whose parts are messages by default.
    pub(crate) in_digest: bool,
}

/// Finds the entities below one whose content is `range`, in the order they start.
///
/// `levels` says how many levels to open below it; a deeper entity is not looked into.
pub(crate) fn scan(
    body: &Body,
    range: Range<u64>,
    kind: &Kind,
    depth: usize,
    levels: usize,
    limits: &Limits,
) -> Result<Vec<Node>, MimeError> {
    let mut walk = Walk {
        limits,
        deepest: depth.saturating_add(levels),
        nodes: Vec::new(),
        levels: Vec::new(),
        reading: None,
        header: Vec::new(),
        header_bytes: 0,
    };
    let mut lines = Lines::new(body, range.clone());
    walk.open(kind, range.start, depth)?;
    let mut line_end = 0;
    while !walk.levels.is_empty() {
        let keep = walk.reading.map_or(0, |_| limits.header_bytes.saturating_add(1));
        let Some(line) = lines.advance(keep)? else { break };
        match walk.delimiter(&lines.head, &line) {
            Some((level, last)) => walk.delimit(level, last, &line, line_end)?,
            None if walk.reading.is_some() => walk.header_line(&lines.head, &line)?,
            None => {}
        }
        line_end = line.line_end;
    }
    walk.close_above(0, range.end);
    Ok(walk.nodes)
}

/// Something open that has entities below it.
struct Level {
    /// The boundary of a multipart; none for an embedded message, or after the close delimiter.
    boundary: Option<Vec<u8>>,
    /// Whether this is an embedded message; no bytes are no message.
    embedded: bool,
    in_digest: bool,
    depth: usize,
    /// The entity that is open now.
    part: Option<usize>,
}

struct Walk<'l> {
    limits: &'l Limits,
    deepest: usize,
    nodes: Vec<Node>,
    /// Outermost first. A delimiter of an outer one ends everything inside.
    levels: Vec<Level>,
    /// The entity whose header is being read, and its header so far.
    reading: Option<usize>,
    header: Vec<u8>,
    header_bytes: usize,
}

impl Walk<'_> {
    /// Opens the content of an entity, if there are entities in it.
    fn open(&mut self, kind: &Kind, start: u64, depth: usize) -> Result<(), MimeError> {
        if depth >= self.deepest {
            return Ok(());
        }
        let (boundary, in_digest) = match kind {
            Kind::Leaf => return Ok(()),
            Kind::Message => (None, false),
            Kind::Multipart { boundary, digest } => (Some(boundary.clone()), *digest),
        };
        let embedded = boundary.is_none();
        self.levels.push(Level { boundary, embedded, in_digest, depth: depth + 1, part: None });
        if embedded { self.begin(start) } else { Ok(()) }
    }

    /// Begins an entity at the innermost level.
    fn begin(&mut self, start: u64) -> Result<(), MimeError> {
        let index = self.nodes.len();
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        if level.depth > self.limits.depth {
            return Err(MimeError::TooDeep(self.limits.depth));
        }
        if index >= self.limits.parts {
            return Err(MimeError::TooManyParts(self.limits.parts));
        }
        level.part = Some(index);
        let (depth, in_digest) = (level.depth, level.in_digest);
        let header = HeaderSection::default();
        self.nodes.push(Node { header, raw: start..start, content: start..start, depth, in_digest });
        self.reading = Some(index);
        Ok(())
    }

    /// Which level this line delimits, and whether it is the last delimiter there.
    fn delimiter(&self, head: &[u8], line: &Line) -> Option<(usize, bool)> {
        let rest = head.strip_prefix(b"--").filter(|_| line.blank_tail)?;
        let rest = trim_blanks(strip_line_end(rest));
        self.levels.iter().enumerate().find_map(|(index, level)| {
            let tail = rest.strip_prefix(level.boundary.as_deref()?)?;
            (tail.is_empty() || tail == b"--").then_some((index, !tail.is_empty()))
        })
    }

    fn delimit(&mut self, index: usize, last: bool, line: &Line, line_end: u64) -> Result<(), MimeError> {
        // The line end before a delimiter belongs to the delimiter.
        self.close_above(index, line.start.saturating_sub(line_end));
        if last {
            if let Some(level) = self.levels.last_mut() {
                level.boundary = None;
            }
            return Ok(());
        }
        self.begin(line.end)
    }

    /// Ends the entities of this level and of all levels inside; the level itself stays open.
    fn close_above(&mut self, index: usize, end: u64) {
        // Innermost first, so that an entity that turns out to be empty is still the last one.
        for level in self.levels.get_mut(index..).unwrap_or_default().iter_mut().rev() {
            let Some(part) = level.part.take() else { continue };
            let Some(node) = self.nodes.get_mut(part) else { continue };
            node.raw = node.raw.start.min(end)..end;
            node.content = node.content.start.min(end)..end;
            if self.reading == Some(part) {
                self.reading = None;
                let mut header = std::mem::take(&mut self.header);
                header.truncate(usize::try_from(end - node.raw.start).unwrap_or(usize::MAX));
                node.header = HeaderSection::from_bytes(header);
                node.content = end..end;
            }
            if level.embedded && node.raw.is_empty() {
                self.nodes.truncate(part);
            }
        }
        self.levels.truncate(index + 1);
    }

    fn header_line(&mut self, head: &[u8], line: &Line) -> Result<(), MimeError> {
        if !matches!(head, b"\n" | b"\r\n") {
            self.header_bytes = self.header_bytes.saturating_add(head.len());
            if self.header_bytes > self.limits.header_bytes {
                return Err(MimeError::HeaderTooLong(self.limits.header_bytes));
            }
            self.header.extend_from_slice(head);
            return Ok(());
        }
        let Some(node) = self.reading.take().and_then(|index| self.nodes.get_mut(index)) else {
            return Ok(());
        };
        node.header = HeaderSection::from_bytes(std::mem::take(&mut self.header));
        node.content.start = line.end;
        let (kind, depth) = (Kind::of(&node.header, node.in_digest), node.depth);
        self.open(&kind, line.end, depth)
    }
}

/// Where one line is.
struct Line {
    start: u64,
    /// After the line end.
    end: u64,
    /// Bytes of the line end: 0 (at the end of the content), 1 or 2.
    line_end: u64,
    /// Whether whatever was not kept of the line is blank.
    blank_tail: bool,
}

/// Reads lines through a fixed buffer.
struct Lines {
    reader: BodyReader,
    /// Offset of the reader's first byte in the body.
    base: u64,
    /// The start of the line, if the caller wanted it or the line may be a delimiter.
    head: Vec<u8>,
}

impl Lines {
    fn new(body: &Body, range: Range<u64>) -> Self {
        Self { base: range.start, reader: body.reader(range), head: Vec::new() }
    }

    /// Goes over one line and keeps up to `keep` bytes of it, or enough to recognise a delimiter.
    fn advance(&mut self, keep: usize) -> io::Result<Option<Line>> {
        self.head.clear();
        let start = self.reader.position();
        let (mut keep, mut blank_tail, mut before_last) = (keep, true, 0);
        loop {
            let at_start = self.reader.position() == start;
            let chunk = self.reader.fill_buf()?;
            let end = memchr(b'\n', chunk);
            let part = end.and_then(|at| chunk.get(..=at)).unwrap_or(chunk);
            if at_start && part.first() == Some(&b'-') {
                keep = keep.max(DELIMITER_LEN);
            }
            if keep > 0 {
                let room = keep - self.head.len();
                let (kept, rest) = part.split_at_checked(room).unwrap_or((part, &[]));
                self.head.extend_from_slice(kept);
                blank_tail &= rest.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
            }
            let len = part.len();
            let carriage_return = match len {
                0 => false,
                1 => before_last == b'\r',
                _ => part.get(len - 2) == Some(&b'\r'),
            };
            before_last = part.last().copied().unwrap_or(0);
            self.reader.consume(len);
            let position = self.reader.position();
            if end.is_none() && len > 0 {
                continue;
            }
            if position == start {
                return Ok(None);
            }
            let line_end = if end.is_none() { 0 } else { 1 + u64::from(carriage_return) };
            let (start, end) = (self.base + start, self.base + position);
            return Ok(Some(Line { start, end, line_end, blank_tail }));
        }
    }
}

fn strip_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Removes the blanks that a relay may have added (RFC 2046 section 5.1.1, transport padding).
pub(crate) fn trim_blanks(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

/// The longest boundary that is looked for. SMTP carries lines of 998 bytes (RFC 5321 section 4.5.3.1.6).
pub(crate) const BOUNDARY_LEN: usize = 998;

/// Two hyphens, the boundary, two hyphens, and a line end.
const DELIMITER_LEN: usize = BOUNDARY_LEN + 6;
