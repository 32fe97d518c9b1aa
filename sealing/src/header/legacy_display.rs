//! The Legacy Display Element (RFC 9788 section 2.1.2): header fields that are hidden outside, said once more at
//! the top of the text, where software shows them that knows nothing of header protection.

use std::io;

use mail::Message;
use mail::Spill;

use super::HeaderProtection;
use super::fields::is_protected;
use super::fields::is_shown;
use super::tidy;
use crate::body_text;
use crate::body_text::Place;
use crate::body_text::Words;
use crate::parts;

/// The parameter that marks a part that has one.
pub(super) const PARAMETER: &str = "hp-legacy-display";

/// How it starts in HTML.
pub(super) const DIV: &str = "<div class=\"header-protection-legacy-display\">";

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
