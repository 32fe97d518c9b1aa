//! Reading BER (X.690 section 8) as a stream.
//!
//! [`BerReader`] is a pull parser: the caller says what it expects. Content goes through [`Octets`] in
//! whatever pieces it was cut into; all other elements come as values of limited size. Nothing is
//! allocated because a length field says so: memory grows only with octets that really arrived.

use std::fmt;
use std::io;
use std::io::BufRead;

mod octets;
#[cfg(test)]
mod tests;

pub(crate) use octets::Octets;

/// The identifier of an element without the bit that says "constructed".
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u8);

impl Tag {
    pub(crate) const INTEGER: Tag = Tag(0x02);
    pub(crate) const BIT_STRING: Tag = Tag(0x03);
    pub(crate) const OCTET_STRING: Tag = Tag(0x04);
    pub(crate) const NULL: Tag = Tag(0x05);
    pub(crate) const OBJECT_ID: Tag = Tag(0x06);
    pub(crate) const UTC_TIME: Tag = Tag(0x17);
    pub(crate) const GENERALIZED_TIME: Tag = Tag(0x18);
    pub(crate) const SEQUENCE: Tag = Tag(0x10);
    pub(crate) const SET: Tag = Tag(0x11);

    /// `[number]`, 30 at most.
    pub(crate) const fn context(number: u8) -> Tag {
        Tag(0x80 | (number & 0x1f))
    }

    /// The identifier octet of a primitive element with this tag.
    pub(crate) const fn primitive(self) -> u8 {
        self.0
    }

    /// The identifier octet of a constructed element with this tag.
    pub(crate) const fn constructed(self) -> u8 {
        self.0 | CONSTRUCTED
    }

    fn is_universal(self) -> bool {
        self.0 & 0xc0 == 0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0 & 0x1f;
        match self.0 >> 6 {
            0 => write!(f, "universal {number}"),
            1 => write!(f, "application {number}"),
            2 => write!(f, "[{number}]"),
            _ => write!(f, "private {number}"),
        }
    }
}

/// Why BER could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BerError {
    /// The source failed, which says nothing about its content.
    #[error("the source could not be read")]
    Io(#[source] io::Error),
    /// Not what the syntax allows.
    #[error("{0}")]
    Malformed(&'static str),
    /// Elements inside elements beyond the limit.
    #[error("elements are nested too deeply")]
    TooDeep,
    /// More octets than the limit for this kind of element, or for all that is not content.
    #[error("structure is too large")]
    TooLarge,
    /// The source ended inside an element.
    #[error("the data ends in the middle")]
    Truncated,
    /// Another element than the syntax asks for.
    #[error("found {found} where {wanted} belongs")]
    Unexpected {
        /// What the caller asked for.
        wanted: Tag,
        /// What is there: a tag, or "the end".
        found: String,
    },
}

impl From<BerError> for io::Error {
    fn from(error: BerError) -> io::Error {
        match error {
            BerError::Io(error) => error,
            BerError::Truncated => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

impl From<io::Error> for BerError {
    /// Gives back a [`BerError`] that travelled inside an [`io::Error`].
    fn from(error: io::Error) -> BerError {
        match error.downcast::<BerError>() {
            Ok(inner) => inner,
            Err(error) => BerError::Io(error),
        }
    }
}

/// How much a [`BerReader`] accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BerLimits {
    /// Elements inside elements.
    pub(crate) depth: usize,
    /// Octets of everything that does not go through [`Octets`].
    pub(crate) structure: u64,
}

impl Default for BerLimits {
    /// 32 levels, 1 MiB.
    fn default() -> BerLimits {
        BerLimits { depth: 32, structure: 1 << 20 }
    }
}

/// A pull parser over a source. A plain slice is a source, too.
pub(crate) struct BerReader<R> {
    input: R,
    /// Octets taken from the source.
    position: u64,
    /// The constructed elements that were entered, outermost first.
    open: Vec<Frame>,
    /// The header of the next element, if it was looked at already.
    next: Option<Header>,
    /// What is left of [`BerLimits::structure`].
    structure: u64,
    depth: usize,
}

/// A constructed element that was entered.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Where the innermost element with a definite length ends, this one or one around it.
    bound: Option<u64>,
    indefinite: bool,
    /// The end-of-contents octets were seen.
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    tag: Tag,
    constructed: bool,
    /// `None`: indefinite.
    length: Option<u64>,
}

impl<R: BufRead> BerReader<R> {
    /// Starts in front of the outermost element.
    pub(crate) fn new(input: R, limits: BerLimits) -> BerReader<R> {
        BerReader {
            input,
            position: 0,
            open: Vec::new(),
            next: None,
            structure: limits.structure,
            depth: limits.depth,
        }
    }

    /// The tag of the next element; `None` at the end of the element that was entered last, or of the
    /// source if none is open.
    pub(crate) fn peek(&mut self) -> Result<Option<Tag>, BerError> {
        Ok(self.header()?.map(|header| header.tag))
    }

    /// Whether the next element has this tag; takes nothing.
    pub(crate) fn at(&mut self, tag: Tag) -> Result<bool, BerError> {
        Ok(self.peek()? == Some(tag))
    }

    /// Enters the next element, which must be constructed and have this tag.
    pub(crate) fn enter(&mut self, tag: Tag) -> Result<(), BerError> {
        let header = self.expect(tag)?;
        if !header.constructed {
            return Err(BerError::Malformed("an element with parts is marked primitive"));
        }
        self.push(header)
    }

    /// Enters the next element if it has this tag; says whether it did.
    pub(crate) fn enter_if(&mut self, tag: Tag) -> Result<bool, BerError> {
        let there = self.at(tag)?;
        if there {
            self.enter(tag)?;
        }
        Ok(there)
    }

    /// Leaves the element that was entered last; nothing may be left in it.
    pub(crate) fn leave(&mut self) -> Result<(), BerError> {
        match self.header()? {
            Some(_) => Err(BerError::Malformed("an element has more parts than its syntax allows")),
            None => {
                self.open.pop();
                Ok(())
            }
        }
    }

    /// Leaves the element that was entered last, skipping what is left in it.
    pub(crate) fn leave_rest(&mut self) -> Result<(), BerError> {
        while self.header()?.is_some() {
            self.skip()?;
        }
        self.leave()
    }

    /// The content octets of the next element, which must be primitive and have this tag.
    pub(crate) fn primitive(&mut self, tag: Tag) -> Result<Vec<u8>, BerError> {
        let header = self.expect(tag)?;
        let mut content = Vec::new();
        self.take_primitive(header, &mut content)?;
        Ok(content)
    }

    /// The octets of an OCTET STRING with this tag, cut into pieces or not, as a value.
    pub(crate) fn octet_string(&mut self, tag: Tag) -> Result<Vec<u8>, BerError> {
        let header = self.expect(tag)?;
        let mut content = Vec::new();
        self.take_octets(header, &mut content)?;
        Ok(content)
    }

    /// The octets of an OCTET STRING with this tag as a stream; they do not count as structure. The
    /// stream must be read to its end before anything else is read.
    pub(crate) fn octets(&mut self, tag: Tag) -> Result<Octets<'_, R>, BerError> {
        let header = self.expect(tag)?;
        Octets::new(self, header)
    }

    /// An INTEGER that is not negative and small: versions, counts.
    pub(crate) fn small_integer(&mut self) -> Result<u32, BerError> {
        let content = self.primitive(Tag::INTEGER)?;
        match content.as_slice() {
            [] => Err(BerError::Malformed("an INTEGER has no octets")),
            [first, ..] if first & 0x80 != 0 => Err(BerError::Malformed("an INTEGER is negative")),
            octets if octets.iter().rev().skip(4).any(|octet| *octet != 0) => Err(BerError::TooLarge),
            octets => Ok(octets.iter().fold(0, |value, octet| (value << 8) | u32::from(*octet))),
        }
    }

    /// The next element as a whole with definite lengths; OCTET STRINGs that were cut into pieces are
    /// put together. What is DER comes back octet by octet.
    pub(crate) fn element(&mut self) -> Result<Vec<u8>, BerError> {
        let header = self.take_header()?;
        let mut out = Vec::new();
        self.copy(header, &mut out)?;
        Ok(out)
    }

    /// Skips the next element.
    pub(crate) fn skip(&mut self) -> Result<(), BerError> {
        let header = self.take_header()?;
        if !header.constructed {
            return self.take_primitive(header, &mut Vec::new());
        }
        self.push(header)?;
        self.leave_rest()
    }

    fn copy(&mut self, header: Header, out: &mut Vec<u8>) -> Result<(), BerError> {
        let mut content = Vec::new();
        let mut identifier = header.tag.primitive();
        if header.tag == Tag::OCTET_STRING {
            self.take_octets(header, &mut content)?;
        } else if !header.constructed {
            self.take_primitive(header, &mut content)?;
        } else {
            identifier = header.tag.constructed();
            self.push(header)?;
            while self.header()?.is_some() {
                let inner = self.take_header()?;
                self.copy(inner, &mut content)?;
            }
            self.leave()?;
        }
        out.push(identifier);
        push_length(out, content.len() as u64);
        out.extend_from_slice(&content);
        Ok(())
    }

    fn take_primitive(&mut self, header: Header, out: &mut Vec<u8>) -> Result<(), BerError> {
        let (false, Some(length)) = (header.constructed, header.length) else {
            return Err(BerError::Malformed("a simple element is marked constructed"));
        };
        self.charge(length)?;
        let mut left = length;
        while left > 0 {
            let chunk = fill(&mut self.input)?;
            let taken = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            out.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.advance(taken);
            left -= taken as u64;
        }
        Ok(())
    }

    fn take_octets(&mut self, header: Header, out: &mut Vec<u8>) -> Result<(), BerError> {
        if !header.constructed {
            return self.take_primitive(header, out);
        }
        let mut octets = Octets::new(self, header)?;
        loop {
            let chunk = octets.chunk()?;
            if chunk.is_empty() {
                return Ok(());
            }
            let taken = chunk.len();
            out.extend_from_slice(chunk);
            octets.charge(taken as u64)?;
            octets.advance(taken);
        }
    }

    /// Takes octets from the budget of everything that is not content.
    fn charge(&mut self, octets: u64) -> Result<(), BerError> {
        self.structure = self.structure.checked_sub(octets).ok_or(BerError::TooLarge)?;
        Ok(())
    }

    fn expect(&mut self, wanted: Tag) -> Result<Header, BerError> {
        match self.header()? {
            Some(header) if header.tag == wanted => self.take_header(),
            Some(header) => Err(BerError::Unexpected { wanted, found: header.tag.to_string() }),
            None => Err(BerError::Unexpected { wanted, found: "the end".into() }),
        }
    }

    fn take_header(&mut self) -> Result<Header, BerError> {
        let header = self.header()?.ok_or(BerError::Malformed("an element is missing"))?;
        self.next = None;
        self.charge(2)?;
        Ok(header)
    }

    fn push(&mut self, header: Header) -> Result<(), BerError> {
        if self.open.len() >= self.depth {
            return Err(BerError::TooDeep);
        }
        let bound = match header.length {
            Some(length) => Some(self.position.checked_add(length).ok_or(LIE)?),
            None => self.bound(),
        };
        self.open.push(Frame { bound, indefinite: header.length.is_none(), ended: false });
        Ok(())
    }

    fn bound(&self) -> Option<u64> {
        self.open.last().and_then(|frame| frame.bound)
    }

    /// The header of the next element here; `None` at the end of the enclosing element.
    fn header(&mut self) -> Result<Option<Header>, BerError> {
        if self.next.is_some() {
            return Ok(self.next);
        }
        match self.open.last() {
            None if self.input.fill_buf().map_err(BerError::from)?.is_empty() => return Ok(None),
            Some(frame) if frame.ended => return Ok(None),
            Some(frame) if !frame.indefinite && Some(self.position) == frame.bound => return Ok(None),
            _ => (),
        }
        let header = self.read_header()?;
        if header.tag == Tag(0) {
            return self.end_of_contents(header);
        }
        self.next = Some(header);
        Ok(self.next)
    }

    fn end_of_contents(&mut self, header: Header) -> Result<Option<Header>, BerError> {
        match self.open.last_mut() {
            Some(frame) if frame.indefinite && !header.constructed && header.length == Some(0) => {
                frame.ended = true;
                Ok(None)
            }
            _ => Err(BerError::Malformed("end of contents where nothing ends")),
        }
    }

    fn read_header(&mut self) -> Result<Header, BerError> {
        let identifier = self.octet()?;
        if identifier & 0x1f == 0x1f {
            return Err(BerError::Malformed("a tag number above 30"));
        }
        let (tag, constructed) = (Tag(identifier & !CONSTRUCTED), identifier & CONSTRUCTED != 0);
        let length = self.read_length()?;
        if length.is_none() && !constructed {
            return Err(BerError::Malformed("a simple element without a length"));
        }
        check_form(tag, constructed)?;
        if let Some(length) = length {
            let end = self.position.checked_add(length).ok_or(LIE)?;
            if self.bound().is_some_and(|bound| end > bound) {
                return Err(LIE);
            }
        }
        Ok(Header { tag, constructed, length })
    }

    fn read_length(&mut self) -> Result<Option<u64>, BerError> {
        let first = self.octet()?;
        match first {
            0x80 => Ok(None),
            0xff => Err(BerError::Malformed("a reserved length octet")),
            short if short < 0x80 => Ok(Some(u64::from(short))),
            long => {
                let mut length = 0_u64;
                for _ in 0..long & 0x7f {
                    if length >> 56 != 0 {
                        return Err(LIE);
                    }
                    length = (length << 8) | u64::from(self.octet()?);
                }
                Ok(Some(length))
            }
        }
    }

    fn octet(&mut self) -> Result<u8, BerError> {
        if self.bound().is_some_and(|bound| self.position >= bound) {
            return Err(LIE);
        }
        let octet = fill(&mut self.input)?.first().copied().ok_or(BerError::Truncated)?;
        self.advance(1);
        Ok(octet)
    }

    fn advance(&mut self, octets: usize) {
        self.input.consume(octets);
        self.position += octets as u64;
    }
}

/// Appends a length in its shortest form (X.690 section 10.1).
pub(crate) fn push_length(out: &mut Vec<u8>, length: u64) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let skip = length.leading_zeros() / 8;
            out.push(0x80 | (8 - skip) as u8);
            out.extend(length.to_be_bytes().into_iter().skip(skip as usize));
        }
    }
}

/// X.690 section 8: SEQUENCE and SET have parts, other universal types have none. Strings in pieces are
/// accepted only for OCTET STRING, which is where mail programs cut.
fn check_form(tag: Tag, constructed: bool) -> Result<(), BerError> {
    let has_parts = [Tag::SEQUENCE, Tag::SET].contains(&tag);
    match tag.is_universal() && tag != Tag::OCTET_STRING && has_parts != constructed {
        true => Err(BerError::Malformed("a form that its type does not have")),
        false => Ok(()),
    }
}

/// What the source has at hand; the data must not end here.
fn fill<R: BufRead>(input: &mut R) -> Result<&[u8], BerError> {
    let chunk = input.fill_buf().map_err(BerError::from)?;
    if chunk.is_empty() { Err(BerError::Truncated) } else { Ok(chunk) }
}

const CONSTRUCTED: u8 = 0x20;
const LIE: BerError = BerError::Malformed("an element reaches past the element around it");
