//! The body parts that people read, and giving them another content. Every other byte stays where it is.

use std::io;
use std::io::Write;

use mail::Body;
use mail::BodyWriter;
use mail::Edit;
use mail::Entity;
use mail::Limits;
use mail::Message;
use mail::Spill;

use crate::splice;
use crate::transfer::CrlfWriter;

/// A part and what takes its place.
pub(crate) struct Replacement<'m> {
    pub(crate) part: Entity<'m>,
    /// Raw value of another Content-Type.
    pub(crate) content_type: Option<Vec<u8>>,
    /// Another transfer encoding.
    pub(crate) encoding: Option<&'static str>,
    /// The content as it is transferred.
    pub(crate) content: Body,
}

/// The parts that hold the text of the message, in their order: alternatives of each other. Nothing inside a
/// protected part or an attached message is among them.
pub(crate) fn main_parts(message: &Message) -> Vec<Entity<'_>> {
    let mut found = Vec::new();
    descend(message.entity(), &Limits::default(), &mut found);
    found
}

fn descend<'m>(part: Entity<'m>, limits: &Limits, found: &mut Vec<Entity<'m>>) {
    let content_type = part.content_type();
    let first = match (content_type.kind.as_str(), content_type.subtype.as_str()) {
        ("text", "plain" | "html") if part.disposition().as_deref() != Some("attachment") => {
            found.push(part);
            return;
        }
        ("multipart", "alternative") => usize::MAX,
        ("multipart", "mixed" | "related") => 1,
        _ => return,
    };
    // MIME that cannot be walked is left alone.
    let walked = part.transfer_encoding().is_identity();
    let children = if walked { part.children(limits).unwrap_or_default() } else { Vec::new() };
    for child in children.into_iter().take(first) {
        descend(child, limits, found);
    }
}

/// The edits that put the replacements, which stand in the order of the message, into their places.
pub(crate) fn replace(
    message: &Message,
    replacements: &[Replacement<'_>],
    spill: &Spill,
) -> io::Result<Vec<Edit>> {
    if let [root] = replacements
        && root.part.depth() == 0
    {
        return Ok(replace_root(message, root));
    }
    if replacements.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = BodyWriter::new(spill);
    let mut at = 0;
    for replacement in replacements {
        let range = replacement.part.raw_range();
        message.body().slice(at..range.start).write_to(&mut out)?;
        write_part(replacement, &mut out)?;
        at = range.end;
    }
    message.body().slice(at..message.body().len()).write_to(&mut out)?;
    Ok(vec![Edit::ReplaceBody(out.finish()?)])
}

fn replace_root(message: &Message, root: &Replacement<'_>) -> Vec<Edit> {
    let header = message.header();
    let mut edits = Vec::new();
    if root.content_type.is_some() || root.encoding.is_some() {
        edits.extend(splice::ensure_mime_version(message));
    }
    let encoding = root.encoding.map(|encoding| format!(" {encoding}").into_bytes());
    let changed = [("Content-Type", root.content_type.clone()), ("Content-Transfer-Encoding", encoding)];
    for (name, value) in changed {
        let Some(value) = value else { continue };
        edits.push(match header.find(name) {
            Some((index, _)) => Edit::ReplaceField { index, value },
            None => Edit::InsertField { index: header.count(), name: name.to_owned(), value },
        });
    }
    edits.push(Edit::ReplaceBody(root.content.clone()));
    edits
}

fn write_part(replacement: &Replacement<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut content_type = replacement.content_type.as_deref();
    let mut encoding = replacement.encoding;
    for field in replacement.part.header().fields() {
        if let Some(value) = content_type
            && field.is("Content-Type")
        {
            write_field(out, "Content-Type", value)?;
            content_type = None;
        } else if let Some(value) = encoding
            && field.is("Content-Transfer-Encoding")
        {
            write!(out, "Content-Transfer-Encoding: {value}\r\n")?;
            encoding = None;
        } else {
            out.write_all(field.raw())?;
            if !field.raw().ends_with(b"\n") {
                out.write_all(b"\r\n")?;
            }
        }
    }
    if let Some(value) = content_type {
        write_field(out, "Content-Type", value)?;
    }
    if let Some(value) = encoding {
        write!(out, "Content-Transfer-Encoding: {value}\r\n")?;
    }
    out.write_all(b"\r\n")?;
    replacement.content.write_to(out)
}

fn write_field(out: &mut dyn Write, name: &str, value: &[u8]) -> io::Result<()> {
    write!(out, "{name}:")?;
    CrlfWriter::new(&mut *out).write_all(value)?;
    out.write_all(b"\r\n")
}

/// A raw Content-Type with another parameter.
pub(crate) fn with_parameter(raw: &[u8], name: &str, value: &str) -> Vec<u8> {
    let mut raw = without_parameter(raw, name);
    let end =
        raw.iter().rposition(|byte| !byte.is_ascii_whitespace() && *byte != b';').map_or(0, |at| at + 1);
    raw.truncate(end);
    let line = raw.iter().rev().take_while(|byte| **byte != b'\n').count();
    let parameter = format!("{name}=\"{value}\"");
    let fold = if "Content-Type: ".len() + line + parameter.len() > 76 { ";\r\n " } else { "; " };
    raw.extend_from_slice(fold.as_bytes());
    raw.extend_from_slice(parameter.as_bytes());
    raw
}

/// A raw Content-Type without a parameter, the rest as it was.
pub(crate) fn without_parameter(raw: &[u8], name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for (number, piece) in split_parameters(raw).into_iter().enumerate() {
        let key = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
        let key = key.strip_prefix(b";").unwrap_or(key).trim_ascii();
        if number == 0 || !key.eq_ignore_ascii_case(name.as_bytes()) {
            out.extend_from_slice(piece);
        }
    }
    out
}

/// Cuts before every semicolon that stands in no quoted string.
fn split_parameters(raw: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in raw.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pieces.extend(raw.get(start..at));
                start = at;
            }
            _ => {}
        }
    }
    pieces.extend(raw.get(start..));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_comes_and_goes_without_a_trace() {
        for raw in
            [&b" text/plain"[..], b" text/plain; charset=\"a;b\"", b" multipart/mixed;\r\n\tboundary=\"x=y\""]
        {
            let with = with_parameter(raw, "hp", "cipher");
            assert!(with.ends_with(b"; hp=\"cipher\""), "{}", String::from_utf8_lossy(&with));
            assert_eq!(without_parameter(&with, "HP"), raw);
            assert_eq!(with_parameter(&with, "hp", "cipher"), with);
        }
        assert_eq!(with_parameter(b" text/plain; ", "hp", "clear"), b" text/plain; hp=\"clear\"");
    }

    #[test]
    fn the_text_of_a_message_is_neither_attached_nor_signed() {
        let find = |text: &str| {
            let message = Message::parse(text.as_bytes());
            main_parts(&message).iter().map(|part| part.content_type().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(find("Subject: x\n\nhello"), ["text/plain"]);
        let mixed = "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; boundary=a\n\n\
                     --a\n\nhello\n--a\nContent-Type: text/html\n\n<p>hello\n--a--\n--m\n\nattached\n--m--\n";
        assert_eq!(find(mixed), ["text/plain", "text/html"]);
        assert_eq!(find(&mixed.replace("multipart/mixed", "multipart/signed")), [""; 0]);
        assert_eq!(find("Content-Type: text/plain\nContent-Disposition: attachment\n\nx"), [""; 0]);
    }
}
