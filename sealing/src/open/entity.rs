//! The MIME entity that came out of an encrypted part.

use std::io;
use std::io::Read;

use mail::Body;
use mail::BodyWriter;
use mail::ContentType;
use mail::Message;
use mail::Spill;

use crate::splice;
use crate::splice::ContentField;
use crate::transfer::Base64Writer;

/// Where the header of decrypted content is looked for, in bytes: it is short, unless it is not.
const HEADER: [u64; 2] = [32 << 10, 4 << 20];

/// An entity that takes the place of a protected one.
pub(crate) struct Inner {
    pub(crate) fields: Vec<ContentField>,
    pub(crate) content: Body,
    /// A Subject that the sender encrypted with the content (RFC 9788), raw.
    pub(crate) subject: Option<Vec<u8>>,
}

impl Inner {
    /// Reads decrypted content. Some senders encrypt a bare text without any header.
    pub(crate) fn read(content: &Body, spill: &Spill) -> io::Result<Inner> {
        let head = head_of(content, spill)?;
        let header = head.header();
        let proper = header.fields().all(|field| !field.name().is_empty());
        let fields = splice::content_fields(header);
        if fields.is_empty() && (!proper || header.is_empty() && !starts_with_blank_line(content)?) {
            return Ok(Inner { fields: vec![text_plain()], content: content.clone(), subject: None });
        }
        let start = head.len() - head.body().len();
        let subject = protected_subject(&head);
        Ok(Inner { fields, content: content.slice(start..content.len()), subject })
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
        Ok(Inner { fields, content: text.finish()?, subject: None })
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

/// The Subject of an entity that says its header fields are protected: by `hp` (RFC 9788 section 2.1) or
/// by `protected-headers` of the drafts before it, which Thunderbird writes.
fn protected_subject(head: &Message) -> Option<Vec<u8>> {
    let (_, field) = head.header().find("Content-Type")?;
    let content_type = ContentType::parse(&field.unfolded());
    let protected = content_type.param("hp") == Some("cipher")
        || content_type.param("protected-headers").is_some_and(|version| version.starts_with('v'));
    let (_, subject) = head.header().find("Subject").filter(|_| protected)?;
    let value = splice::harmless(subject.raw_value());
    (!value.is_empty()).then_some(value)
}

fn starts_with_blank_line(content: &Body) -> io::Result<bool> {
    let head = content.read_range(0..content.len().min(2))?;
    Ok(head.starts_with(b"\r\n") || head.starts_with(b"\n"))
}

fn text_plain() -> ContentField {
    ("Content-Type".into(), b" text/plain; charset=utf-8".to_vec())
}
