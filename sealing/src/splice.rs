//! Putting another entity into the place of one, and nothing else.

use std::io;

use mail::Edit;
use mail::HeaderSection;
use mail::Message;

use crate::canonical::describes_content;

/// A Content-* field: name and raw value.
pub(crate) type ContentField = (String, Vec<u8>);

/// The Content-* fields of a header, fit to be written into another one.
pub(crate) fn content_fields(header: &HeaderSection) -> Vec<ContentField> {
    header
        .fields()
        .filter(describes_content)
        .filter_map(|field| {
            let name = String::from_utf8(field.name().to_vec()).ok()?;
            Some((name, harmless(field.raw_value())))
        })
        .collect()
}

/// The edits that make these the Content-* fields of the message: the Content-Type stands where it
/// stood, the others follow it.
pub(crate) fn replace_content_fields(message: &Message, fields: &[ContentField]) -> Vec<Edit> {
    let header = message.header();
    let place = header.find("Content-Type").map(|(index, _)| index);
    // Of several, which no standard allows, the first counts and none is lost.
    let type_at = fields.iter().position(|(name, _)| name.eq_ignore_ascii_case("Content-Type"));
    let new_type = type_at.and_then(|at| fields.get(at));
    let mut edits = Vec::new();
    for (index, _) in header.fields().enumerate().filter(|(_, field)| describes_content(field)) {
        match new_type {
            Some((_, value)) if Some(index) == place => {
                edits.push(Edit::ReplaceField { index, value: value.clone() });
            }
            _ => edits.push(Edit::RemoveField { index }),
        }
    }
    let end = header.count();
    if let (None, Some((name, value))) = (place, new_type) {
        edits.push(Edit::InsertField { index: end, name: name.clone(), value: value.clone() });
    }
    let index = place.map_or(end, |place| place + 1);
    for (_, (name, value)) in fields.iter().enumerate().filter(|(at, _)| Some(*at) != type_at) {
        edits.push(Edit::InsertField { index, name: name.clone(), value: value.clone() });
    }
    edits
}

/// The edits that add a MIME-Version, if there is none.
pub(crate) fn ensure_mime_version(message: &Message) -> Option<Edit> {
    let header = message.header();
    let missing = header.find("MIME-Version").is_none();
    let index = header.find("Content-Type").map_or(header.count(), |(index, _)| index);
    missing.then(|| Edit::InsertField { index, name: "MIME-Version".into(), value: b" 1.0".to_vec() })
}

/// A raw value without the bytes that would make it something else than one field's value.
pub(crate) fn harmless(value: &[u8]) -> Vec<u8> {
    let mut bytes = value.iter().copied().peekable();
    let mut out = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        match byte {
            0 => (),
            b'\r' if bytes.peek() != Some(&b'\n') => (),
            b'\n' if !matches!(bytes.peek(), Some(b' ' | b'\t')) => {
                if out.last() == Some(&b'\r') {
                    out.pop();
                }
            }
            _ => out.push(byte),
        }
    }
    out
}

/// A boundary that nobody can have put into the content.
pub(crate) fn boundary() -> io::Result<String> {
    let mut random = [0; 16];
    openssl::rand::rand_bytes(&mut random)?;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("=_{hex}"))
}
