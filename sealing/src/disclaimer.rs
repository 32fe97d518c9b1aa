//! Texts that a domain puts under the mail that leaves it.
//!
//! They are added before a message is sealed. Nothing that is signed is changed: such mail goes into a new
//! multipart, byte for byte, with the text beside it. What is encrypted stays as it is.

use std::io;
use std::io::Write;

use mail::Edit;
use mail::Entity;
use mail::Limits;
use mail::Message;
use mail::Spill;

use crate::body_text;
use crate::body_text::Place;
use crate::body_text::Words;
use crate::parts;
use crate::recognise::Protection;
use crate::recognise::recognise;
use crate::splice;
use crate::transfer::QuotedPrintableWriter;

/// The edits that put a text under the words of a message, in each form that they have; `html` is the form for
/// HTML, made from `text` if there is none. `None` if the message is encrypted, or if the text stands somewhere in
/// it already, quoted perhaps: it is said once in a thread.
///
/// Where the text cannot be put without harm (a charset that has no letters for it, no text at all, a
/// signature), the message becomes the first part of a multipart/mixed, unchanged, and the text the second.
///
/// # Errors
/// A temporary file cannot be read or written, or the system gave no random bytes.
pub fn add(
    message: &Message,
    text: &str,
    html: Option<&str>,
    spill: &Spill,
) -> io::Result<Option<Vec<Edit>>> {
    let signed = match recognise(message).protection {
        Protection::Encrypted | Protection::SignedAndEncrypted => return Ok(None),
        Protection::Signed => true,
        Protection::None => false,
    };
    // Encrypted in a way that we do not know is encrypted as well.
    if message.entity().content_type().is("multipart", "encrypted") || stands_in(message, text, html, spill)?
    {
        return Ok(None);
    }
    if !signed && let Some(edits) = put_under(message, &words(text, html), spill)? {
        return Ok(Some(edits));
    }
    let mut edits = Vec::from_iter(splice::ensure_mime_version(message));
    edits.push(wrap(text)?);
    Ok(Some(edits))
}

/// The edits for every form of the text; `None` if one of them cannot take it.
fn put_under(message: &Message, words: &Words, spill: &Spill) -> io::Result<Option<Vec<Edit>>> {
    let mut replacements = Vec::new();
    for part in parts::main_parts(message) {
        match body_text::insert(part, words, Place::End, spill)? {
            Some(replacement) => replacements.push(replacement),
            None => return Ok(None),
        }
    }
    if replacements.is_empty() {
        return Ok(None);
    }
    parts::replace(message, &replacements, spill).map(Some)
}

fn words(text: &str, html: Option<&str>) -> Words {
    let text = lines(text);
    let html = match html {
        Some(html) => html.chars().map(ascii_html).collect::<String>(),
        None => format!("<p>{}</p>", body_text::html_of(&text).replace("\r\n", "<br>\r\n")),
    };
    Words { html: format!("\r\n{}\r\n", lines(&html)), plain: format!("\r\n{text}\r\n") }
}

/// Lines that end with CRLF, without blanks at their ends, the last one without an end.
fn lines(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\r\n")
}

fn ascii_html(character: char) -> String {
    if character.is_ascii() { character.to_string() } else { format!("&#{};", u32::from(character)) }
}

/// The message and the text side by side.
fn wrap(text: &str) -> io::Result<Edit> {
    let mut random = [0; 16];
    openssl::rand::rand_bytes(&mut random)?;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let boundary = format!("=_{hex}");
    let mut epilogue = format!(
        "\r\n--{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\
         Content-Disposition: inline\r\n\
         \r\n"
    )
    .into_bytes();
    let mut writer = QuotedPrintableWriter::new(&mut epilogue);
    writer.write_all(lines(text).as_bytes())?;
    writer.finish()?;
    epilogue.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Ok(Edit::Wrap {
        content_type: format!(" multipart/mixed;\r\n boundary=\"{boundary}\"").into_bytes(),
        prologue: format!("--{boundary}\r\n").into_bytes(),
        epilogue,
    })
}

/// Whether one of the texts of a message holds the disclaimer already, however it is quoted and folded.
fn stands_in(message: &Message, text: &str, html: Option<&str>, spill: &Spill) -> io::Result<bool> {
    let wanted = [letters(text), html.map(|html| letters(&visible(html))).unwrap_or_default()];
    let wanted: Vec<&String> = wanted.iter().filter(|wanted| !wanted.is_empty()).collect();
    let mut attached = usize::MAX;
    // What cannot be walked is not searched, and will be wrapped.
    for part in message.entity().walk(&Limits::default()).unwrap_or_default() {
        if part.depth() > attached {
            continue;
        }
        attached = usize::MAX;
        let kind = part.content_type();
        if kind.kind == "message" {
            attached = part.depth();
        } else if kind.kind == "text" && part.disposition().as_deref() != Some("attachment") {
            let shown = text_of(&part, spill)?;
            let shown = letters(&if kind.subtype == "html" { visible(&shown) } else { shown });
            if wanted.iter().any(|wanted| shown.contains(wanted.as_str())) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The text of a part, as far as it is searched.
fn text_of(part: &Entity<'_>, spill: &Spill) -> io::Result<String> {
    const SEARCHED: u64 = 8 << 20;
    let content = part.decoded(spill)?;
    let bytes = content.read_range(0..content.len().min(SEARCHED))?;
    let charset = part.content_type().param("charset").unwrap_or_default().to_ascii_lowercase();
    Ok(match charset.as_str() {
        "iso-8859-1" | "latin1" | "windows-1252" => bytes.into_iter().map(char::from).collect(),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// What quoting, folding and re-wrapping leave of a text: its letters and digits, or all that can be seen if
/// it has none.
fn letters(text: &str) -> String {
    let kept: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if kept.is_empty() { text.split_whitespace().collect() } else { kept }
}

/// The text of HTML: tags are gone, character references are characters.
fn visible(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    // Behind the last `>` there are no more tags.
    let (tagged, last) = html.split_at(html.rfind('>').map_or(0, |at| at + 1));
    let mut rest = tagged;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        refer(before, &mut out);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    refer(rest, &mut out);
    refer(last, &mut out);
    out
}

/// Adds a text with its character references resolved; those that are not known are left out.
fn refer(text: &str, out: &mut String) {
    /// The longest reference that is understood.
    const LONGEST: usize = 10;
    let mut pieces = text.split('&');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        match piece.char_indices().take(LONGEST).find(|(_, c)| *c == ';') {
            Some((end, _)) => {
                let (name, after) = piece.split_at(end);
                out.extend(character(name));
                out.push_str(after);
            }
            None => out.push_str(piece),
        }
    }
}

/// The character that a reference names.
fn character(reference: &str) -> Option<char> {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match reference.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(digits) => number(digits, 16),
            None => number(digits, 10),
        },
        None => match reference {
            "auml" => Some('ä'),
            "ouml" => Some('ö'),
            "uuml" => Some('ü'),
            "Auml" => Some('Ä'),
            "Ouml" => Some('Ö'),
            "Uuml" => Some('Ü'),
            "szlig" => Some('ß'),
            "eacute" => Some('é'),
            "egrave" => Some('è'),
            "agrave" => Some('à'),
            "ccedil" => Some('ç'),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests;
