//! The MIME tree of a message, walked when somebody asks (RFC 2045, RFC 2046).

use std::fmt;
use std::io;
use std::ops::Range;

use crate::body::Body;
use crate::body::Spill;
use crate::content_type;
use crate::content_type::ContentType;
use crate::encoded_word;
use crate::header::HeaderSection;
use crate::message::Message;
use crate::scan;
use crate::scan::Limits;
use crate::scan::MimeError;
use crate::scan::Node;
use crate::transfer::TransferEncoding;

/// A message or a part of it: a header and the bytes it describes.
///
/// The exact bytes are reachable through [`Entity::raw_range`] and [`Entity::content_range`], both
/// offsets in the body of the message; signatures are verified over those, never over something put
/// together again.
#[derive(Clone)]
pub struct Entity<'m> {
    body: &'m Body,
    header: HeaderSection,
    raw: Range<u64>,
    content: Range<u64>,
    depth: usize,
    in_digest: bool,
}

impl<'m> Entity<'m> {
    pub(crate) fn root(message: &'m Message) -> Self {
        let (body, all) = (message.body(), 0..message.body().len());
        let header = message.header().clone();
        Self { body, header, raw: all.clone(), content: all, depth: 0, in_digest: false }
    }

    /// The header of this entity.
    pub fn header(&self) -> &HeaderSection {
        &self.header
    }

    /// The body of the message; all ranges are offsets in it.
    pub fn body(&self) -> &'m Body {
        self.body
    }

    /// How many levels below the message this entity is; the message itself is 0.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The bytes after the blank line.
    pub fn content_range(&self) -> Range<u64> {
        self.content.clone()
    }

    /// Header, blank line and content: exactly what a signature over this part covers (RFC 1847
    /// section 2.1). The line end before the next delimiter is not in it. The header of the message
    /// itself is not in its body, so for the root this is the content.
    pub fn raw_range(&self) -> Range<u64> {
        self.raw.clone()
    }

    /// The bytes after the blank line, shared.
    pub fn content(&self) -> Body {
        self.body.slice(self.content.clone())
    }

    /// The bytes of [`Entity::raw_range`], shared.
    pub fn raw(&self) -> Body {
        self.body.slice(self.raw.clone())
    }

    /// The Content-Type, or the default of the place: `text/plain`, in a digest `message/rfc822`.
    pub fn content_type(&self) -> ContentType {
        type_of(&self.header, self.in_digest)
    }

    /// The Content-Transfer-Encoding; 7bit if there is none (RFC 2045 section 6.1).
    pub fn transfer_encoding(&self) -> TransferEncoding {
        encoding_of(&self.header)
    }

    /// The disposition in lower case, such as `attachment` (RFC 2183).
    pub fn disposition(&self) -> Option<String> {
        let (_, field) = self.header.find("Content-Disposition")?;
        Some(content_type::parse_parameters(&field.unfolded()).0.to_ascii_lowercase())
    }

    /// The file name from Content-Disposition, else the name from Content-Type, decoded for people. It
    /// may hold anything, path separators included.
    pub fn filename(&self) -> Option<String> {
        let disposition = self.header.find("Content-Disposition");
        let params = disposition.map(|(_, field)| content_type::parse_parameters(&field.unfolded()).1);
        let from_disposition = params.as_deref().and_then(|params| content_type::find(params, "filename"));
        let content_type = self.content_type();
        let name = from_disposition.or_else(|| content_type.param("name"))?;
        Some(encoded_word::decode(name.as_bytes()))
    }

    /// The entities directly below: the parts of a multipart, or the message in a `message/rfc822`
    /// that is not encoded. A multipart without a usable boundary has none.
    ///
    /// # Errors
    /// A limit is exceeded, or the temporary file cannot be read.
    pub fn children(&self, limits: &Limits) -> Result<Vec<Entity<'m>>, MimeError> {
        self.scan(1, limits)
    }

    /// This entity and everything below it, each before its children, in one pass over the bytes.
    ///
    /// # Errors
    /// A limit is exceeded, or the temporary file cannot be read.
    pub fn walk(&self, limits: &Limits) -> Result<Vec<Entity<'m>>, MimeError> {
        let mut entities = vec![self.clone()];
        entities.append(&mut self.scan(usize::MAX, limits)?);
        Ok(entities)
    }

    /// The content with its transfer encoding undone, tolerantly.
    ///
    /// # Errors
    /// A temporary file cannot be read or written.
    pub fn decoded(&self, spill: &Spill) -> io::Result<Body> {
        self.transfer_encoding().decode(&self.content(), spill)
    }

    fn scan(&self, levels: usize, limits: &Limits) -> Result<Vec<Entity<'m>>, MimeError> {
        let kind = Kind::of(&self.header, self.in_digest);
        let nodes = scan::scan(self.body, self.content.clone(), &kind, self.depth, levels, limits)?;
        Ok(nodes.into_iter().map(|node| self.below(node)).collect())
    }

    fn below(&self, node: Node) -> Self {
        let Node { header, raw, content, depth, in_digest } = node;
        Self { body: self.body, header, raw, content, depth, in_digest }
    }
}

/// Shows type and place, never the content.
impl fmt::Debug for Entity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entity({} at {:?}, depth {})", self.content_type(), self.raw, self.depth)
    }
}

/// What may be below an entity.
pub(crate) enum Kind {
    Leaf,
    /// An embedded message.
    Message,
    Multipart {
        boundary: Vec<u8>,
        digest: bool,
    },
}

impl Kind {
    pub(crate) fn of(header: &HeaderSection, in_digest: bool) -> Self {
        let content_type = type_of(header, in_digest);
        match (content_type.kind.as_str(), content_type.subtype.as_str()) {
            ("multipart", subtype) => {
                let boundary =
                    scan::trim_blanks(content_type.param("boundary").unwrap_or_default().as_bytes());
                if boundary.is_empty() || boundary.len() > scan::BOUNDARY_LEN {
                    return Self::Leaf;
                }
                Self::Multipart { boundary: boundary.to_vec(), digest: subtype == "digest" }
            }
            ("message", "rfc822" | "global") if encoding_of(header).is_identity() => Self::Message,
            _ => Self::Leaf,
        }
    }
}

fn type_of(header: &HeaderSection, in_digest: bool) -> ContentType {
    match header.find("Content-Type") {
        Some((_, field)) => ContentType::parse(&field.unfolded()),
        None if in_digest => ContentType::of("message", "rfc822"),
        None => ContentType::of("text", "plain"),
    }
}

fn encoding_of(header: &HeaderSection) -> TransferEncoding {
    match header.find("Content-Transfer-Encoding") {
        Some((_, field)) => TransferEncoding::from_name(&content_type::parse_parameters(&field.unfolded()).0),
        None => TransferEncoding::SevenBit,
    }
}

#[cfg(test)]
mod tests;
