//! Our reading of well-formed mail is that of mail-parser, a reader that shares no code with ours, and both
//! are what was written.
//!
//! Differences that are known and meant, and are therefore evened out or not generated here:
//!
//! - A fold is one blank for mail-parser; we keep every blank after it (RFC 5322 section 2.2.3). Runs
//!   of blanks are compared as one.
//! - A comment beside an address is its display name for mail-parser, nothing for us: `a@b (Name)`.
//! - mail-parser keeps the case of a domain; we give it in lower case.
//! - mail-parser reads `iso-8859-1` as such, we read windows-1252 as browsers do; they differ below 0xA0.
//! - mail-parser opens an embedded message in base64 or quoted-printable, we leave it closed: RFC 2046
//!   section 5.2.1 forbids the encoding, and an edit could not reach inside.
//! - A message whose whole content is another attached message, in a multipart, makes mail-parser 0.11.9
//!   lose its place (a failed assertion in debug builds, a wrong tree else); ours has a test of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed assumption is a failed test"
)]

use std::fmt::Write as _;

use mail::Limits;
use mail::Mailbox;
use mail::Message;
use mail::Spill;
use mail_parser::Address;
use mail_parser::MessageParser;
use mail_parser::MimeHeaders;
use mail_parser::PartType;
use proptest::prelude::*;
use proptest::sample::select;

/// What a reader says about one entity of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// `kind/subtype` in lower case.
    kind: String,
    filename: Option<String>,
    /// The decoded content: text in UTF-8; nothing for what has parts.
    content: Vec<u8>,
}

/// A display name and an address.
type Person = (Option<String>, String);

fn ours(bytes: &[u8]) -> Vec<Seen> {
    let message = Message::parse(bytes);
    let entities = message.entity().walk(&Limits::default()).unwrap();
    let see = |entity: &mail::Entity<'_>| {
        let content_type = entity.content_type();
        let decoded = entity.decoded(&Spill::default()).unwrap().to_vec().unwrap();
        let content = match content_type.kind.as_str() {
            "multipart" | "message" => Vec::new(),
            "text" => {
                let charset = content_type.param("charset").unwrap_or("utf-8");
                let encoding = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap();
                encoding.decode_without_bom_handling(&decoded).0.into_owned().into_bytes()
            }
            _ => decoded,
        };
        Seen { kind: content_type.to_string(), filename: entity.filename(), content }
    };
    entities.iter().map(see).collect()
}

fn theirs(bytes: &[u8]) -> Vec<Seen> {
    let message = MessageParser::default().parse(bytes).unwrap();
    let mut seen = Vec::new();
    below(&message, 0, &mut seen);
    seen
}

/// The tree of mail-parser, each entity before those below it.
fn below(message: &mail_parser::Message<'_>, part: usize, seen: &mut Vec<Seen>) {
    let part = &message.parts[part];
    let kind = part.content_type().map_or("text/plain".to_owned(), |kind| {
        format!("{}/{}", kind.c_type, kind.c_subtype.as_deref().unwrap_or_default()).to_lowercase()
    });
    let content = match &part.body {
        PartType::Text(text) | PartType::Html(text) => text.as_bytes().to_vec(),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.to_vec(),
        PartType::Message(_) | PartType::Multipart(_) => Vec::new(),
    };
    seen.push(Seen { kind, filename: part.attachment_name().map(str::to_owned), content });
    match &part.body {
        PartType::Multipart(parts) => parts.iter().for_each(|part| below(message, *part as usize, seen)),
        PartType::Message(inner) => below(inner, 0, seen),
        _ => {}
    }
}

fn people_of(mailboxes: &[Mailbox]) -> Vec<Person> {
    let person = |mailbox: &Mailbox| (mailbox.display.as_deref().map(blanks), mailbox.address.to_string());
    mailboxes.iter().map(person).collect()
}

fn people_of_theirs(address: Option<&Address<'_>>) -> Vec<Person> {
    let address = address.into_iter().flat_map(|address| address.iter());
    let person =
        |one: &mail_parser::Addr<'_>| (one.name().map(blanks), one.address().unwrap_or_default().to_owned());
    address.map(person).collect()
}

/// Runs of blanks as one.
fn blanks(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An entity as it is written, and what readers should see in it.
#[derive(Clone, Debug)]
struct Written {
    /// Header fields about the content, blank line, content.
    bytes: Vec<u8>,
    seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    None,
    Identity(&'static str),
    Base64,
    QuotedPrintable,
}

/// A leaf: type, charset, text or bytes, transfer encoding, filename.
fn leaf() -> impl Strategy<Value = Written> {
    let text = (select(vec!["plain", "html", "calendar", "x-odd"]), lines(), select(CHARSETS.to_vec()))
        .prop_map(|(subtype, text, charset)| ("text", subtype, charset, text, Vec::new()));
    let binary = (select(vec!["octet-stream", "pdf", "zip"]), prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(subtype, bytes)| ("application", subtype, "", String::new(), bytes));
    let transfer = select(vec![
        Transfer::None,
        Transfer::Identity("7bit"),
        Transfer::Identity("8BIT"),
        Transfer::Base64,
        Transfer::QuotedPrintable,
    ]);
    (prop_oneof![3 => text, 1 => binary], transfer, option_filename()).prop_map(
        |((kind, subtype, charset, text, bytes), transfer, filename)| {
            write_leaf((kind, subtype, charset), &text, &bytes, transfer, filename)
        },
    )
}

const CHARSETS: [&str; 4] = ["", "us-ascii", "utf-8", "ISO-8859-1"];

/// Lines of text without the last line end; nothing in them looks like a delimiter.
fn lines() -> impl Strategy<Value = String> {
    "([ -~]{0,20}[a-z,;:=?]?|[a-zäöüß =.]{0,30}x?)(\r\n[a-zäöü .=>\"-]{0,20}[a-zé]){0,4}"
        .prop_map(|text| text.replace("--", "==").replace("=_", "=="))
}

fn write_leaf(
    (kind, subtype, charset): (&str, &str, &str),
    text: &str,
    binary: &[u8],
    transfer: Transfer,
    filename: Option<(String, String)>,
) -> Written {
    let ascii = matches!(charset, "" | "us-ascii");
    let text: String = if ascii { text.chars().filter(char::is_ascii).collect() } else { text.to_owned() };
    let raw: Vec<u8> = match (kind, charset) {
        ("application", _) => binary.to_vec(),
        (_, "ISO-8859-1") => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
        _ => text.clone().into_bytes(),
    };
    // Binary data need an encoding.
    let transfer = if kind == "application" && transfer != Transfer::QuotedPrintable {
        Transfer::Base64
    } else {
        transfer
    };
    let (encoding, content) = match transfer {
        Transfer::None => (None, raw.clone()),
        Transfer::Identity(name) => (Some(name), raw.clone()),
        Transfer::Base64 => (Some("base64"), base64(&raw)),
        Transfer::QuotedPrintable => (Some("Quoted-Printable"), quoted_printable(&raw, kind == "text")),
    };
    let mut header = format!("Content-Type: {kind}/{subtype}");
    if !charset.is_empty() {
        let _ = write!(header, ";\r\n\tcharset=\"{charset}\"");
    }
    header.push_str("\r\n");
    if let Some((parameter, _)) = &filename {
        let _ = write!(header, "Content-Disposition: attachment;\r\n {parameter}\r\n");
    }
    if let Some(encoding) = encoding {
        let _ = write!(header, "Content-Transfer-Encoding: {encoding}\r\n");
    }
    let bytes = [header.as_bytes(), b"\r\n", &content].concat();
    let content = if kind == "text" { text.into_bytes() } else { raw };
    let filename = filename.map(|(_, name)| name);
    Written { bytes, seen: vec![Seen { kind: format!("{kind}/{subtype}"), filename, content }] }
}

/// A filename parameter in one of its notations, and the name it says.
fn option_filename() -> impl Strategy<Value = Option<(String, String)>> {
    let notations = vec![
        ("filename=plain.txt", "plain.txt"),
        ("filename=\"two words; and \\\"more\\\".txt\"", "two words; and \"more\".txt"),
        ("filename*=utf-8''%C3%9Cber%20sicht.pdf", "Über sicht.pdf"),
        ("filename*=iso-8859-1'de'%DCber.pdf", "Über.pdf"),
        ("filename*0=\"one \";\r\n filename*1=\"two.pdf\"", "one two.pdf"),
        ("filename*0*=utf-8''%C3%BC;\r\n filename*1*=%20x;\r\n filename*2=\".pdf\"", "ü x.pdf"),
        ("filename=\"=?utf-8?B?w5w=?=.pdf\"", "Ü.pdf"),
    ];
    let owned = |(parameter, name): (&str, &str)| (parameter.to_owned(), name.to_owned());
    prop::option::of(select(notations).prop_map(owned))
}

/// A leaf, or a multipart or an embedded message around such.
fn entity() -> impl Strategy<Value = Written> {
    leaf().prop_recursive(4, 16, 4, |inner| {
        let parts = prop::collection::vec(inner.clone(), 1..4);
        let multipart = (
            select(vec!["mixed", "alternative", "related", "x-odd"]),
            parts,
            "[a-z '()+_,./:?]{0,20}[a-z]",
            any::<[bool; 3]>(),
        )
            .prop_map(|(subtype, parts, boundary, odd)| multipart(subtype, &parts, &boundary, odd));
        let embedded = (subject(), inner).prop_map(|((written, _), inner)| {
            if inner.seen.first().is_some_and(|first| first.kind == "message/rfc822") {
                return inner;
            }
            let head = format!("Content-Type: message/rfc822\r\n\r\nSubject: {written}\r\n");
            let mut seen = vec![Seen { kind: "message/rfc822".to_owned(), ..Seen::default() }];
            seen.extend(inner.seen);
            Written { bytes: [head.as_bytes(), &inner.bytes].concat(), seen }
        });
        prop_oneof![3 => multipart, 1 => embedded]
    })
}

/// The boundary is made different from all those inside by its length.
fn multipart(
    subtype: &str,
    parts: &[Written],
    boundary: &str,
    [preamble, epilogue, blanks]: [bool; 3],
) -> Written {
    let inside = parts.iter().map(|part| part.bytes.len()).sum::<usize>();
    let boundary = format!("=_{inside}{boundary}");
    let mut bytes =
        format!("Content-Type: Multipart/{subtype};\r\n boundary=\"{boundary}\"\r\n\r\n").into_bytes();
    if preamble {
        bytes.extend_from_slice(b"This is a message in MIME format.\r\n");
    }
    for part in parts {
        let trail = if blanks { " \t" } else { "" };
        bytes.extend_from_slice(format!("--{boundary}{trail}\r\n").as_bytes());
        bytes.extend_from_slice(&part.bytes);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("--{boundary}--").as_bytes());
    if epilogue {
        bytes.extend_from_slice(b"\r\nNothing to see here.");
    }
    let mut seen = vec![Seen { kind: format!("multipart/{subtype}"), ..Seen::default() }];
    seen.extend(parts.iter().flat_map(|part| part.seen.clone()));
    Written { bytes, seen }
}

/// A Subject as it is written, and its text.
fn subject() -> impl Strategy<Value = (String, String)> {
    let word =
        prop_oneof!["[a-zA-Z0-9.,:!?*-]{1,12}".prop_map(|word| (word.clone(), word, false)), encoded_word(),];
    (prop::collection::vec(word, 1..8), select(vec![" ", "\r\n ", "\r\n\t"])).prop_map(|(words, blank)| {
        let written: Vec<&str> = words.iter().map(|(written, ..)| written.as_str()).collect();
        (written.join(blank), joined(&words))
    })
}

/// The text of words in a row: blanks between two encoded words say nothing (RFC 2047 section 6.2).
fn joined(words: &[(String, String, bool)]) -> String {
    let mut text = String::new();
    for (number, (_, word, encoded)) in words.iter().enumerate() {
        if number > 0 && !(*encoded && words[number - 1].2) {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// An encoded word, its text, and that it is one.
fn encoded_word() -> impl Strategy<Value = (String, String, bool)> {
    let text = "[a-zäöüÄß]{1,6}( [a-zé,.!?=_]{1,6}){0,2}";
    (text, select(vec!["utf-8", "ISO-8859-1", "UTF-8*de"]), any::<bool>()).prop_map(|(text, charset, b)| {
        let raw: Vec<u8> = match charset {
            "ISO-8859-1" => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
            _ => text.clone().into_bytes(),
        };
        let (letter, inside) = if b {
            ("B", String::from_utf8(base64(&raw)).unwrap().replace("\r\n", ""))
        } else {
            ("q", raw.iter().fold(String::new(), |out, byte| out + &q(*byte)))
        };
        (format!("=?{charset}?{letter}?{inside}?="), text, true)
    })
}

fn q(byte: u8) -> String {
    match byte {
        b' ' => "_".to_owned(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("={byte:02X}"),
    }
}

/// One mailbox as it is written, and the person.
fn mailbox() -> impl Strategy<Value = (String, Person)> {
    let address = "[a-z][a-z0-9]{0,4}([.+_-][a-z0-9]{1,4}){0,2}@([a-z0-9]{1,6}\\.){1,2}example";
    let display = prop_oneof![
        2 => Just((String::new(), None)),
        2 => "[A-Z][a-z]{1,8}( [A-Z][a-z]{1,8}){0,2}".prop_map(|name: String| (name.clone(), Some(name))),
        2 => "[A-Za-zü,;:<>@() .]{0,10}[a-z]".prop_map(|name: String| (format!("\"{name}\""), Some(blanks(&name)))),
        1 => Just(("\"a \\\"quoted\\\" name\"".to_owned(), Some("a \"quoted\" name".to_owned()))),
        2 => encoded_word().prop_map(|(written, text, _)| (written, Some(blanks(&text)))),
    ];
    (display, address, any::<bool>()).prop_map(|((written, name), address, brackets)| {
        let text = match (written.is_empty(), brackets) {
            (true, true) => format!("<{address}>"),
            (true, false) => address.clone(),
            (false, _) => format!("{written} <{address}>"),
        };
        (text, (name, address))
    })
}

/// An address list as it is written, with a group at times, and everybody in it.
fn people() -> impl Strategy<Value = (String, Vec<Person>)> {
    let mailboxes = prop::collection::vec(mailbox(), 1..6);
    (mailboxes, select(vec![", ", ",", ",\r\n ", " ,\r\n\t"]), prop::bool::weighted(0.2)).prop_map(
        |(mailboxes, comma, group)| {
            let written: Vec<String> = mailboxes.iter().map(|(written, _)| written.clone()).collect();
            let list = written.join(comma);
            let list = if group { format!("The team: {list};") } else { list };
            (list, mailboxes.into_iter().map(|(_, person)| person).collect())
        },
    )
}

/// Base64 in lines of 76 characters.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for (number, group) in bytes.chunks(3).enumerate() {
        if number > 0 && number % 19 == 0 {
            out.extend_from_slice(b"\r\n");
        }
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let sextet = (bits >> (18 - 6 * at)) & 63;
            out.push(if at > group.len() { b'=' } else { ALPHABET[sextet as usize] });
        }
    }
    out
}

/// Quoted-printable; line ends of text stay line ends.
fn quoted_printable(bytes: &[u8], text: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut column = 0;
    let mut at = 0;
    while at < bytes.len() {
        if text && bytes[at..].starts_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            (at, column) = (at + 2, 0);
            continue;
        }
        if column > 70 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        let ends_line = at + 1 == bytes.len() || bytes[at + 1..].starts_with(b"\r\n");
        match bytes[at] {
            b' ' if !ends_line => out.push(b' '),
            byte if byte.is_ascii_graphic() && byte != b'=' => out.push(byte),
            byte => out.extend_from_slice(format!("={byte:02X}").as_bytes()),
        }
        column += 3;
        at += 1;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_and_decoded_contents_are_read_alike(entity in entity(), (subject, _) in subject()) {
        let head = format!("Subject: {subject}\r\nMIME-Version: 1.0\r\n");
        let bytes = [head.as_bytes(), &entity.bytes].concat();
        prop_assert_eq!(ours(&bytes), entity.seen.clone(), "{}", String::from_utf8_lossy(&bytes));
        prop_assert_eq!(theirs(&bytes), entity.seen, "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn subjects_are_read_alike((written, text) in subject()) {
        let bytes = format!("From: a@b.example\r\nSubject: {written}\r\n\r\n");
        let (our, their) = (Message::parse(bytes.as_bytes()), MessageParser::default().parse(&bytes).unwrap());
        prop_assert_eq!(blanks(&our.subject()), blanks(&text), "{}", &bytes);
        prop_assert_eq!(blanks(their.subject().unwrap_or_default()), blanks(&text), "{}", &bytes);
    }

    #[test]
    fn addresses_are_read_alike(from in mailbox(), to in people(), cc in people()) {
        let ((from, author), (to, first), (cc, second)) = (from, to, cc);
        let bytes = format!("fRoM: {from}\r\nTo: {to}\r\nMessage-ID: <1@x>\r\nCC:{cc}\r\n\r\n");
        let (our, their) = (Message::parse(bytes.as_bytes()), MessageParser::default().parse(&bytes).unwrap());
        prop_assert_eq!(people_of(&our.from()), vec![author.clone()], "{}", &bytes);
        prop_assert_eq!(our.author().map(|one| one.address.to_string()), Some(author.1.clone()), "{}", &bytes);
        prop_assert_eq!(people_of_theirs(their.from()), vec![author], "{}", &bytes);
        prop_assert_eq!(people_of_theirs(their.to()), first.clone(), "{}", &bytes);
        prop_assert_eq!(people_of_theirs(their.cc()), second.clone(), "{}", &bytes);
        prop_assert_eq!(people_of(&our.to_and_cc()), [first, second].concat(), "{}", &bytes);
        prop_assert_eq!(our.message_id().unwrap(), format!("<{}>", their.message_id().unwrap()));
    }
}

#[test]
fn a_message_in_a_message_in_a_multipart_is_walked() {
    let bytes = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: a\r\nContent-Type: message/rfc822\r\n\r\nSubject: b\r\n\r\ninside\r\n--b\r\n\r\nlast\r\n--b--\r\n";
    let kinds: Vec<String> = ours(bytes).into_iter().map(|seen| seen.kind).collect();
    assert_eq!(kinds, ["multipart/mixed", "message/rfc822", "message/rfc822", "text/plain", "text/plain"]);
}
