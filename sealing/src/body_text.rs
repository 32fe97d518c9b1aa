//! Putting words into a body part so that nothing else in it changes, whatever its charset and transfer encoding.

use std::io;
use std::io::Write;

use mail::Body;
use mail::BodyWriter;
use mail::Entity;
use mail::Spill;
use mail::TransferEncoding;

use crate::parts;
use crate::parts::Replacement;
use crate::transfer::Base64Writer;
use crate::transfer::QuotedPrintableWriter;
use crate::transfer::Survey;

/// The largest HTML that is searched for its body.
const HTML: u64 = 8 << 20;

/// The longest line that SMTP carries (RFC 5321 section 4.5.3.1.6), with room.
const LINE: usize = 990;

/// Where the words go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the text.
    Start,
    /// After it.
    End,
}

/// The words in the two forms that mail has. Lines end with CRLF.
pub(crate) struct Words {
    pub(crate) plain: String,
    /// In ASCII: what is not is written as character references.
    pub(crate) html: String,
}

/// The part with the words in it; `None` where that cannot be done without harm to it.
pub(crate) fn insert<'m>(
    part: Entity<'m>,
    words: &Words,
    place: Place,
    spill: &Spill,
) -> io::Result<Option<Replacement<'m>>> {
    let encoding = part.transfer_encoding();
    if matches!(encoding, TransferEncoding::Other(_)) {
        return Ok(None);
    }
    let html = part.content_type().is("text", "html");
    let encoded = if html { encode_html(&words.html, &part) } else { encode(&words.plain, &part, spill)? };
    let Some((bytes, charset)) = encoded else { return Ok(None) };
    if bytes.split(|byte| *byte == b'\n').any(|line| line.len() > LINE) && encoding.is_identity() {
        return Ok(None);
    }
    let becomes_quoted = encoding == TransferEncoding::SevenBit && !bytes.is_ascii();
    let content = match encoding {
        TransferEncoding::Base64 => {
            let put = put(&part.decoded(spill)?, &bytes, html, place, false, spill)?;
            put.map(|content| base64(&content, &part.content(), spill)).transpose()?
        }
        TransferEncoding::QuotedPrintable => {
            put(&part.content(), &quoted(&bytes)?, html, place, true, spill)?
        }
        _ if becomes_quoted => {
            let content = quoted_body(&part.content(), spill)?;
            put(&content, &quoted(&bytes)?, html, place, true, spill)?
        }
        _ => put(&part.content(), &bytes, html, place, false, spill)?,
    };
    let Some(content) = content else { return Ok(None) };
    let raw = raw_content_type(&part);
    Ok(Some(Replacement {
        content_type: charset.map(|charset| parts::with_parameter(&raw, "charset", charset)),
        encoding: becomes_quoted.then_some("quoted-printable"),
        content,
        part,
    }))
}

/// The part's Content-Type as it is written, or the default one.
pub(crate) fn raw_content_type(part: &Entity<'_>) -> Vec<u8> {
    let field = part.header().find("Content-Type");
    field.map_or_else(|| b" text/plain".to_vec(), |(_, field)| field.raw_value().to_vec())
}

/// Plain text as HTML that every charset can carry.
pub(crate) fn html_of(text: &str) -> String {
    use std::fmt::Write as _;

    let mut html = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        // Writing to a string cannot fail.
        let _ = match character {
            '&' => html.write_str("&amp;"),
            '<' => html.write_str("&lt;"),
            '>' => html.write_str("&gt;"),
            '"' => html.write_str("&quot;"),
            '\r' | '\n' | '\t' | ' '..='~' => html.write_char(character),
            _ if character.is_control() => Ok(()),
            _ => write!(html, "&#{};", u32::from(character)),
        };
    }
    html
}

/// Bytes, and the charset that the part must then name, if it is another one.
type Encoded = (Vec<u8>, Option<&'static str>);

/// HTML in ASCII, if that is part of the charset.
fn encode_html(words: &str, part: &Entity<'_>) -> Option<Encoded> {
    let content_type = part.content_type();
    ascii_compatible(content_type.param("charset")).then(|| (words.into(), None))
}

/// Plain words in the charset of the part, and the charset it must then name, if it is another one: ASCII
/// is UTF-8 as well.
fn encode(words: &str, part: &Entity<'_>, spill: &Spill) -> io::Result<Option<Encoded>> {
    let content_type = part.content_type();
    let charset = content_type.param("charset").unwrap_or("us-ascii").to_ascii_lowercase();
    if words.is_ascii() {
        return Ok(ascii_compatible(Some(&charset)).then(|| (words.into(), None)));
    }
    Ok(match charset.as_str() {
        "utf-8" | "utf8" => Some((words.into(), None)),
        "iso-8859-1" | "latin1" | "windows-1252" => {
            let byte = |c: char| u8::try_from(c).ok().filter(|byte| !(0x80..0xa0).contains(byte));
            words.chars().map(byte).collect::<Option<Vec<u8>>>().map(|bytes| (bytes, None))
        }
        "us-ascii" | "ascii" => {
            let mut survey = Survey::default();
            part.decoded(spill)?.write_to(&mut survey)?;
            (survey.eight_bit == 0).then(|| (words.into(), Some("utf-8")))
        }
        _ => None,
    })
}

/// Whether ASCII words mean the same in this charset.
fn ascii_compatible(charset: Option<&str>) -> bool {
    const STARTS: [&str; 11] = [
        "us-ascii",
        "ascii",
        "utf-8",
        "utf8",
        "iso-8859-",
        "latin",
        "windows-125",
        "koi8-",
        "euc-",
        "gb",
        "big5",
    ];
    let charset = charset.unwrap_or("us-ascii").to_ascii_lowercase();
    STARTS.iter().any(|start| charset.starts_with(start))
}

/// Puts bytes into the content as it is transferred.
fn put(
    content: &Body,
    words: &[u8],
    html: bool,
    place: Place,
    quoted: bool,
    spill: &Spill,
) -> io::Result<Option<Body>> {
    let (at, before, after): (u64, &[u8], &[u8]) = if html {
        if content.len() > HTML {
            return Ok(None);
        }
        let text = content.to_vec()?;
        let at = match place {
            Place::Start => body_start(&text),
            Place::End => Some(body_end(&text)),
        };
        let Some(at) = at else { return Ok(None) };
        let soft: &[u8] = if quoted { b"=\r\n" } else { b"" };
        (at as u64, soft, soft)
    } else {
        match place {
            Place::Start => (0, b"", b""),
            Place::End => (content.len(), line_end(content, quoted)?, b""),
        }
    };
    let mut out = BodyWriter::new(spill);
    content.slice(0..at).write_to(&mut out)?;
    out.write_all(before)?;
    out.write_all(words)?;
    out.write_all(after)?;
    content.slice(at..content.len()).write_to(&mut out)?;
    out.finish().map(Some)
}

/// What ends the last line of a text, if nothing does.
fn line_end(content: &Body, quoted: bool) -> io::Result<&'static [u8]> {
    let end = content.read_range(content.len().saturating_sub(3)..content.len())?;
    Ok(match end.as_slice() {
        [] => b"",
        [.., b'='] if quoted => b"\r\n\r\n",
        [.., b'=', b'\r', b'\n'] | [.., b'=', b'\n'] if quoted => b"\r\n",
        [.., b'\n'] => b"",
        _ => b"\r\n",
    })
}

/// Right behind the tag that opens the body of an HTML document, or the start of a piece of HTML.
fn body_start(html: &[u8]) -> Option<usize> {
    let lower = html.to_ascii_lowercase();
    let Some(tag) = find_tag(&lower, b"<body") else {
        let document = [&b"<html"[..], b"<head", b"<!doctype"];
        return document.iter().all(|tag| memchr::memmem::find(&lower, tag).is_none()).then_some(0);
    };
    let mut quote = None;
    for (at, byte) in html.iter().enumerate().skip(tag) {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

fn find_tag(lower: &[u8], tag: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(lower, tag).find(|at| {
        let next = lower.get(at + tag.len());
        matches!(next, Some(b'>' | b' ' | b'\t' | b'\r' | b'\n' | b'='))
    })
}

/// Before the tag that closes the body, or the end.
fn body_end(html: &[u8]) -> usize {
    let lower = html.to_ascii_lowercase();
    let find = |tag: &[u8]| memchr::memmem::rfind(&lower, tag);
    find(b"</body").or_else(|| find(b"</html")).unwrap_or(html.len())
}

/// Content in base64, its last line ended if that of `old` is, in whose place it will stand.
pub(crate) fn base64(content: &Body, old: &Body, spill: &Spill) -> io::Result<Body> {
    let mut writer = Base64Writer::new(BodyWriter::new(spill));
    content.write_to(&mut writer)?;
    let new = writer.finish()?.finish()?;
    let ended = old.read_range(old.len().saturating_sub(1)..old.len())? == b"\n";
    Ok(if ended { new } else { new.slice(0..new.len().saturating_sub(2)) })
}

pub(crate) fn quoted_body(content: &Body, spill: &Spill) -> io::Result<Body> {
    let mut writer = QuotedPrintableWriter::new(BodyWriter::new(spill));
    content.write_to(&mut writer)?;
    writer.finish()?.finish()
}

fn quoted(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = QuotedPrintableWriter::new(Vec::new());
    writer.write_all(bytes)?;
    writer.finish()
}
