//! The Legacy Display Element (RFC 9788 section 2.1.2): header fields that are hidden outside, said once more at
//! the top of the text, where software shows them that knows nothing of header protection.

use std::io;
use std::ops::Range;

use mail::Body;
use mail::BodyWriter;
use mail::Edit;
use mail::Entity;
use mail::Limits;
use mail::Message;
use mail::Spill;
use mail::TransferEncoding;

use super::HeaderProtection;
use super::fields::is_protected;
use super::fields::is_shown;
use super::tidy;
use crate::body_text;
use crate::body_text::Place;
use crate::body_text::Words;
use crate::parts;
use crate::parts::Replacement;

/// The parameter that marks a part that has one.
const PARAMETER: &str = "hp-legacy-display";

/// How it starts in HTML.
const DIV: &str = "<div class=\"header-protection-legacy-display\">";

/// The message with the element in each form of its text that can take it.
pub(super) fn add(message: &Message, how: HeaderProtection, spill: &Spill) -> io::Result<Message> {
    let Some(words) = words(message, how) else { return Ok(message.clone()) };
    let mut replacements = Vec::new();
    for part in parts::main_parts(message) {
        let raw = body_text::raw_content_type(&part);
        if let Some(mut replacement) = body_text::insert(part, &words, Place::Start, spill)? {
            let raw = replacement.content_type.unwrap_or(raw);
            replacement.content_type = Some(parts::with_parameter(&raw, PARAMETER, "1"));
            replacements.push(replacement);
        }
    }
    mail::apply(message, &parts::replace(message, &replacements, spill)?, spill)
}

/// What it says; `None` if nothing that people see is hidden.
fn words(message: &Message, how: HeaderProtection) -> Option<Words> {
    let mut lines = Vec::new();
    for field in message.header().fields().filter(|field| is_protected(field) && is_shown(field)) {
        let value = tidy(field.raw_value());
        if how.outside(&field, &value).as_ref() != Some(&value) {
            let text: String = field.text().chars().filter(|c| !c.is_control()).collect();
            lines.push(format!("{}: {text}", String::from_utf8_lossy(field.name())));
        }
    }
    let text = lines.join("\r\n");
    (!lines.is_empty()).then(|| Words {
        html: format!("{DIV}\r\n<pre>{}</pre>\r\n</div>", body_text::html_of(&text)),
        plain: format!("{text}\r\n\r\n"),
    })
}

/// The edits that take the element away where a part says that it has one. What is signed stays as it is.
pub(crate) fn removal(message: &Message, spill: &Spill) -> io::Result<Vec<Edit>> {
    let mut replacements = Vec::new();
    for part in parts::main_parts(message) {
        if part.content_type().param(PARAMETER) != Some("1") {
            continue;
        }
        if let Some(content) = without(&part, spill)? {
            let raw = body_text::raw_content_type(&part);
            let content_type = Some(parts::without_parameter(&raw, PARAMETER));
            replacements.push(Replacement { part, content_type, encoding: None, content });
        }
    }
    parts::replace(message, &replacements, spill)
}

/// The part that drafts before RFC 9788 put in front of the message for the same end; what follows it is the
/// message.
pub(crate) fn behind_part(message: &Message) -> Option<Body> {
    let root = message.entity();
    let content_type = root.content_type();
    if !content_type.is("multipart", "mixed") || content_type.param("protected-headers").is_none() {
        return None;
    }
    let children = root.children(&Limits::default()).ok()?;
    let [display, rest] = children.as_slice() else { return None };
    let kind = display.content_type();
    let displays = kind.is("text", "plain") || kind.is("text", "rfc822-headers");
    (displays && kind.param("protected-headers").is_some()).then(|| rest.raw())
}

/// The content of a part without the element; `None` if none is found.
fn without(part: &Entity<'_>, spill: &Spill) -> io::Result<Option<Body>> {
    /// The largest content that is searched.
    const LARGEST: u64 = 8 << 20;
    let html = part.content_type().is("text", "html");
    let encoding = part.transfer_encoding();
    if part.content().len() > LARGEST {
        return Ok(None);
    }
    let quoted = encoding == TransferEncoding::QuotedPrintable;
    if encoding.is_identity() || quoted {
        let content = part.content();
        if let Some(range) = find(&content.to_vec()?, html, quoted) {
            return cut(&content, range, spill).map(Some);
        }
    }
    let content = part.decoded(spill)?;
    let Some(range) = find(&content.to_vec()?, html, false) else { return Ok(None) };
    let content = cut(&content, range, spill)?;
    Ok(match encoding {
        TransferEncoding::Base64 => Some(body_text::base64(&content, &part.content(), spill)?),
        TransferEncoding::QuotedPrintable => Some(body_text::quoted_body(&content, spill)?),
        _ => None,
    })
}

fn cut(content: &Body, range: Range<usize>, spill: &Spill) -> io::Result<Body> {
    let mut out = BodyWriter::new(spill);
    content.slice(0..range.start as u64).write_to(&mut out)?;
    content.slice(range.end as u64..content.len()).write_to(&mut out)?;
    out.finish()
}

/// Where the element stands (RFC 9788 sections 4.5.3.2 and 4.5.3.3).
fn find(text: &[u8], html: bool, quoted: bool) -> Option<Range<usize>> {
    match (html, quoted) {
        (false, _) => find_lines(text, quoted),
        (true, false) => between(text, DIV.as_bytes(), b"</div>"),
        (true, true) => {
            let start = format!("=\r\n{}", DIV.replace('=', "=3D"));
            between(text, start.as_bytes(), b"\r\n</div>=\r\n")
        }
    }
}

fn between(text: &[u8], start: &[u8], end: &[u8]) -> Option<Range<usize>> {
    let at = memchr::memmem::find(text, start)?;
    let rest = text.get(at + start.len()..)?;
    let length = memchr::memmem::find(rest, end)?;
    Some(at..at + start.len() + length + end.len())
}

/// The lines before the first blank one, and that one, if the first line is a header field.
fn find_lines(text: &[u8], quoted: bool) -> Option<Range<usize>> {
    let colon = memchr::memchr(b':', text)?;
    let name = text.get(..colon)?;
    let in_name = |byte: &u8| {
        byte.is_ascii_alphabetic() || *byte == b'-' || quoted && (byte.is_ascii_digit() || *byte == b'=')
    };
    if name.is_empty() || !name.iter().all(in_name) {
        return None;
    }
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'\n', text.get(at..)?) {
        let line = text.get(at..at + length)?.trim_ascii_end();
        at += length + 1;
        if line.is_empty() {
            return Some(0..at);
        }
        if quoted && line.ends_with(b"=") {
            // A line that goes on is one that only decoding shows.
            return None;
        }
    }
    None
}
