//! The MIME entity that came out of an encrypted part.

use std::io;
use std::io::Read;

use mail::Body;
use mail::BodyWriter;
use mail::Message;
use mail::Spill;

use crate::header::Protected;
use crate::header::legacy_display;
use crate::parts;
use crate::result::MAX_GOSSIP;
use crate::splice;
use crate::splice::ContentField;
use crate::transfer::Base64Writer;

/// Where the header of decrypted content is looked for, in bytes: it is short, unless it is not.
const HEADER: [u64; 2] = [32 << 10, 4 << 20];

/// An entity that takes the place of a protected one.
pub(crate) struct Inner {
    pub(crate) fields: Vec<ContentField>,
    pub(crate) content: Body,
    /// Header fields that were protected with the content.
    pub(crate) protected: Option<Protected>,
    /// The protected entity stays where it is; only its header is wanted.
    pub(crate) stays: bool,
    /// Values of `Autocrypt-Gossip` in its header.
    pub(crate) gossip: Vec<Vec<u8>>,
}

impl Inner {
    /// An entity without protected header fields.
    pub(crate) fn new(fields: Vec<ContentField>, content: Body) -> Inner {
        Inner { fields, content, protected: None, stays: false, gossip: Vec::new() }
    }

    /// Reads decrypted content. Some senders encrypt a bare text without any header.
    pub(crate) fn read(content: &Body, spill: &Spill) -> io::Result<Inner> {
        let head = head_of(content, spill)?;
        let header = head.header();
        let proper = header.fields().all(|field| !field.name().is_empty());
        let fields = splice::content_fields(header);
        if fields.is_empty() && (!proper || header.is_empty() && !starts_with_blank_line(content)?) {
            return Ok(Inner::new(vec![text_plain()], content.clone()));
        }
        let start = head.len() - head.body().len();
        let inner = Inner::new(fields, content.slice(start..content.len()));
        Ok(Inner { protected: Protected::of(header), gossip: gossip(header), ..inner })
    }

    /// A bare CMS object, dressed as the entity that it would be in a message (RFC 8551 section 3.2).
    pub(crate) fn cms(object: &Body, spill: &Spill) -> io::Result<Inner> {
        let mut text = BodyWriter::new(spill);
        let mut writer = Base64Writer::new(&mut text);
        object.write_to(&mut writer)?;
        writer.finish()?;
        let fields = vec![
            ("Content-Type".into(), b" application/pkcs7-mime; name=\"smime.p7m\"".to_vec()),
            ("Content-Transfer-Encoding".into(), b" base64".to_vec()),
        ];
        Ok(Inner::new(fields, text.finish()?))
    }

    /// The entity as its author wrote it: without what header protection put into it.
    pub(crate) fn undressed(mut self, spill: &Spill) -> io::Result<Inner> {
        if self.protected.is_none() {
            return Ok(self);
        }
        let fields = self.fields.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone()));
        let message = Message::from_milter(fields, self.content.clone());
        if let Some(rest) = legacy_display::behind_part(&message) {
            let rest = Inner::read(&rest, spill)?;
            return Ok(Inner { protected: self.protected, ..rest });
        }
        let message = mail::apply(&message, &legacy_display::removal(&message, spill)?, spill)?;
        self.fields = splice::content_fields(message.header());
        self.content = message.body().clone();
        for (name, value) in &mut self.fields {
            if name.eq_ignore_ascii_case("Content-Type") {
                *value = parts::without_parameter(value, "hp");
            }
        }
        Ok(self)
    }
}

/// The start of the content, read as a message: its whole header and a piece of the body.
fn head_of(content: &Body, spill: &Spill) -> io::Result<Message> {
    let [short, long] = HEADER.map(|limit| content.reader(0..content.len()).take(limit));
    let head = Message::read(&mut { short }, spill)?;
    if head.body().is_empty() && content.len() > head.len() {
        return Message::read(&mut { long }, spill);
    }
    Ok(head)
}

fn gossip(header: &mail::HeaderSection) -> Vec<Vec<u8>> {
    header.find_all("Autocrypt-Gossip").take(MAX_GOSSIP).map(|(_, field)| field.unfolded()).collect()
}

fn starts_with_blank_line(content: &Body) -> io::Result<bool> {
    let head = content.read_range(0..content.len().min(2))?;
    Ok(head.starts_with(b"\r\n") || head.starts_with(b"\n"))
}

fn text_plain() -> ContentField {
    ("Content-Type".into(), b" text/plain; charset=utf-8".to_vec())
}
