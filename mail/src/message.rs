//! A whole message: header section, blank line, body (RFC 5322 section 2.1).

use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;

use memchr::memchr;

use crate::address;
use crate::address::Mailbox;
use crate::body::Body;
use crate::body::BodyWriter;
use crate::body::Spill;
use crate::header::HeaderSection;
use crate::mime::Entity;

/// A message as bytes, with spans laid over them. Cloning shares the bytes.
///
/// The header section ends at the first empty line. It also ends after 4 MiB, at a line start: what
/// follows then counts as body, so that memory is bounded whatever arrives.
#[derive(Clone)]
pub struct Message {
    header: HeaderSection,
    separator: Separator,
    body: Body,
}

/// The line between header section and body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Separator {
    None,
    Lf,
    CrLf,
}

impl Separator {
    pub(crate) fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

impl Message {
    /// Reads a message from memory. Every byte string is a message, and writing it gives the same bytes.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut search = HeaderEnd::default();
        let end = search.advance(bytes).unwrap_or_else(|| search.at_end_of_input(bytes.len()));
        let (header, rest) = bytes.split_at_checked(end.header).unwrap_or((bytes, &[]));
        let body = rest.get(end.separator.as_bytes().len()..).unwrap_or_default();
        Self {
            header: HeaderSection::from_bytes(header.to_vec()),
            separator: end.separator,
            body: Body::from_vec(body.to_vec()),
        }
    }

    /// Reads a message from a stream; gives what [`Message::parse`] gives, with a body that may spill.
    ///
    /// # Errors
    /// The stream cannot be read or the temporary file cannot be written.
    pub fn read(reader: &mut dyn Read, spill: &Spill) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut chunk = vec![0; CHUNK];
        let mut search = HeaderEnd::default();
        let end = loop {
            let read = read_some(reader, &mut chunk)?;
            if read == 0 {
                break search.at_end_of_input(bytes.len());
            }
            bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if let Some(end) = search.advance(&bytes) {
                break end;
            }
        };
        let mut body = BodyWriter::new(spill);
        body.write_all(bytes.get(end.header + end.separator.as_bytes().len()..).unwrap_or_default())?;
        bytes.truncate(end.header);
        loop {
            let read = read_some(reader, &mut chunk)?;
            if read == 0 {
                break;
            }
            body.write_all(chunk.get(..read).unwrap_or_default())?;
        }
        let header = HeaderSection::from_bytes(bytes);
        Ok(Self { header, separator: end.separator, body: body.finish()? })
    }

    /// Puts together what a milter was given: for each field its name and its value with the leading
    /// blank kept (`SMFIP_HDR_LEADSPC`) and folds as LF, and the body. Lines end with CRLF.
    pub fn from_milter(fields: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>, body: Body) -> Self {
        Self { header: HeaderSection::from_fields(fields), separator: Separator::CrLf, body }
    }

    pub(crate) fn from_parts(header: Vec<u8>, separator: Separator, body: Body) -> Self {
        Self { header: HeaderSection::from_bytes(header), separator, body }
    }

    /// Writes every byte.
    ///
    /// # Errors
    /// The temporary file cannot be read, or `out` refuses.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.header.as_bytes())?;
        out.write_all(self.separator.as_bytes())?;
        self.body.write_to(out)
    }

    /// All bytes in memory.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        (self.header.len() + self.separator.as_bytes().len()) as u64 + self.body.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The header section.
    pub fn header(&self) -> &HeaderSection {
        &self.header
    }

    /// Everything after the blank line.
    pub fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn separator(&self) -> Separator {
        self.separator
    }

    /// The message as a MIME entity, the root of the tree.
    pub fn entity(&self) -> Entity<'_> {
        Entity::root(self)
    }

    /// The mailboxes of every From field. More than one field or mailbox makes the author ambiguous.
    pub fn from(&self) -> Vec<Mailbox> {
        self.mailboxes("From")
    }

    /// The author, if there can be no doubt who it is: one From field with one mailbox, well-formed.
    /// A claim about the author, such as whose signature is valid, is bound to this or to nobody.
    pub fn author(&self) -> Option<Mailbox> {
        let mut fields = self.header.find_all("From");
        let (Some((_, field)), None) = (fields.next(), fields.next()) else { return None };
        let mut list = address::parse_list(&field.unfolded());
        let author = list.mailboxes.pop()?;
        (!list.malformed && list.mailboxes.is_empty()).then_some(author)
    }

    /// The mailbox of the first Sender field.
    pub fn sender(&self) -> Option<Mailbox> {
        self.mailboxes("Sender").into_iter().next()
    }

    /// The mailboxes of every To and Cc field: the recipients that everybody may see.
    pub fn to_and_cc(&self) -> Vec<Mailbox> {
        let mut mailboxes = self.mailboxes("To");
        mailboxes.append(&mut self.mailboxes("Cc"));
        mailboxes
    }

    /// The first Message-ID, with its angle brackets (RFC 5322 section 3.6.4).
    pub fn message_id(&self) -> Option<String> {
        let (_, field) = self.header.find("Message-ID")?;
        let value = String::from_utf8_lossy(&field.unfolded()).into_owned();
        let id = match (value.find('<'), value.find('>')) {
            (Some(start), Some(end)) if start < end => value.get(start..=end)?,
            _ => value.split_whitespace().next()?,
        };
        Some(id.to_owned())
    }

    /// The first Subject, decoded (RFC 2047); empty if there is none.
    pub fn subject(&self) -> String {
        self.header.find("Subject").map(|(_, field)| field.text()).unwrap_or_default()
    }

    fn mailboxes(&self, name: &str) -> Vec<Mailbox> {
        let fields = self.header.find_all(name);
        fields.flat_map(|(_, field)| address::parse_list(&field.unfolded()).mailboxes).collect()
    }
}

/// Shows lengths, never the content.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("header", &self.header).field("body", &self.body).finish()
    }
}

/// Where the header section ends, and with which blank line.
struct End {
    header: usize,
    separator: Separator,
}

/// Finds the end of the header section in bytes that arrive piece by piece.
#[derive(Default)]
struct HeaderEnd {
    /// Start of the line under examination.
    line: usize,
    /// Everything before this holds no line end that belongs to the line.
    searched: usize,
}

impl HeaderEnd {
    /// Looks at `bytes`, which begin with all the bytes of the last call.
    fn advance(&mut self, bytes: &[u8]) -> Option<End> {
        while let Some(found) = memchr(b'\n', bytes.get(self.searched..)?) {
            let next = self.searched + found + 1;
            match bytes.get(self.line..next) {
                Some(b"\n") => return Some(End { header: self.line, separator: Separator::Lf }),
                Some(b"\r\n") => return Some(End { header: self.line, separator: Separator::CrLf }),
                _ if next > HEADER_LIMIT => return Some(self.cut()),
                _ => (self.line, self.searched) = (next, next),
            }
        }
        self.searched = bytes.len();
        // Two more bytes could still be a blank line that starts within the limit.
        (self.searched > HEADER_LIMIT + 2).then(|| self.cut())
    }

    fn cut(&self) -> End {
        End { header: self.line, separator: Separator::None }
    }

    fn at_end_of_input(&self, len: usize) -> End {
        if len > HEADER_LIMIT { self.cut() } else { End { header: len, separator: Separator::None } }
    }
}

fn read_some(reader: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A header section longer than this is cut. Postfix accepts 100 kB in one field, Sendmail 32 kB in all.
const HEADER_LIMIT: usize = 4 * 1024 * 1024;

/// Bytes read from a stream at once.
const CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests;
