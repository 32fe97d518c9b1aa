//! Odd mail: what other people's parsers stumble over goes through the gateway and comes out whole.
//!
//! The messages of `odd` are made here; those of Python's own test suite are extra, where a Python with
//! tests is installed. Each goes three ways through `gatepost filter`: inbound and untouched; outbound,
//! sealed to a domain and opened there again; outbound and signed.

use std::path::PathBuf;
use std::process::Command;

use mail_parser::MessageParser;
use mail_parser::MimeHeaders;
use mail_parser::PartType;
use tests::Gatepost;
use tests::GatepostPlan;

mod odd;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";

/// The fields that a gateway may add.
const ADDED: [&[u8]; 2] = [b"x-gatepost-result", b"authentication-results"];

/// Messages with more levels or parts than are walked.
const BEYOND_LIMITS: [&str; 2] = ["sixty levels", "a thousand and one parts"];

/// A text in it holds the delimiters of the multiparts around it, with a blank behind: readers differ about where
/// the text ends, and so about what has to be made safe before it is signed.
const AMBIGUOUS: [&str; 1] = ["msg_38.txt"];

/// All messages with their names.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut corpus = odd::messages();
    assert!(corpus.len() >= 60, "{}", corpus.len());
    corpus.extend(of_python());
    corpus
}

/// The messages of Python's `test.test_email`; none if there is no such Python.
fn of_python() -> Vec<(String, Vec<u8>)> {
    let script = "import test.test_email as t; print(t.__path__[0])";
    let ran =
        tests::run(Command::new("sh").args(["-c", "python3 -c \"$0\" 2>/dev/null || true", script]), b"");
    let dir = PathBuf::from(ran.text().trim()).join("data");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        println!("no tests of Python on this machine: its messages are left out");
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt" || extension == "eml"));
    paths.sort();
    println!("{} messages of Python's tests in {}", paths.len(), dir.display());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// The header fields with their line ends, and the body behind the empty line.
fn split(message: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut fields: Vec<&[u8]> = Vec::new();
    let mut start = 0;
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let end = start + line.len();
        if line == b"\n" || line == b"\r\n" {
            return (fields, &message[end..]);
        }
        match fields.last_mut() {
            Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                *field = &message[start - field.len()..end];
            }
            _ => fields.push(line),
        }
        start = end;
    }
    (fields, b"")
}

fn name_of(field: &[u8]) -> Vec<u8> {
    field.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii().to_ascii_lowercase()
}

fn is_content(field: &&[u8]) -> bool {
    name_of(field).starts_with(b"content-")
}

/// Without the fields that a gateway may add on top.
fn without_results(message: &[u8]) -> &[u8] {
    let mut rest = message;
    loop {
        let (fields, _) = split(rest);
        match fields.first() {
            Some(field) if ADDED.contains(&name_of(field).as_slice()) => rest = &rest[field.len()..],
            _ => return rest,
        }
    }
}

fn show(message: &[u8]) -> String {
    message.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n").chars().take(4000).collect()
}

#[test]
fn odd_mail_that_arrives_is_delivered_byte_for_byte() {
    let beta = GatepostPlan::new("beta.example").prepare();
    beta.generate(&["--domain", "beta.example"]);
    for (name, message) in corpus() {
        let trial = beta.filter(ALICE, &[BOB], &[], &message);
        assert_eq!(trial.only().action, "pass", "{name}");
        let delivered = &trial.only().message;
        assert_eq!(show(without_results(delivered)), show(&message), "{name}");
        assert!(without_results(delivered) == message, "{name}");
    }
}

#[test]
fn odd_mail_is_the_same_after_sealing_and_opening() {
    let alpha = GatepostPlan::new("alpha.example").policy("[policy]\nencrypt = \"required\"").prepare();
    let beta = GatepostPlan::new("beta.example").prepare();
    beta.generate(&["--domain", "beta.example"]);
    alpha.import(&["--domain", "beta.example"], &beta.export(&["--domain", "beta.example"]));
    let mut faults = Vec::new();
    for (name, message) in corpus() {
        let trial = alpha.filter_ours(ALICE, &[BOB], &message);
        let sealed = trial.only();
        assert_eq!(sealed.action, "encrypt", "{name}");
        let trial = beta.filter(ALICE, &[BOB], &[], &sealed.message);
        let opened = trial.only();
        assert_eq!(opened.action, "open", "{name}: {}", show(&sealed.message));
        faults.extend(
            difference(&message, without_results(&opened.message)).map(|what| format!("{name}: {what}")),
        );
    }
    assert!(faults.is_empty(), "{} messages changed:\n{}", faults.len(), faults.join("\n"));
}

/// What differs in the header fields, in order, and in the body. Fields about the content may stand apart from the
/// others.
fn difference(before: &[u8], after: &[u8]) -> Option<String> {
    let both = |what: &str| Some(format!("{what}\n{}\n--- became ---\n{}", show(before), show(after)));
    let ((fields, body), (new_fields, new_body)) = (split(before), split(after));
    if body != new_body {
        return both("the body");
    }
    for about_content in [true, false] {
        let select = |fields: &[&[u8]]| -> Vec<String> {
            // Mail without a single CRLF does not come from an MTA; fields that were moved have it then.
            let of_kind = fields.iter().filter(|field| is_content(field) == about_content);
            of_kind
                .map(|field| field.trim_ascii_end().escape_ascii().to_string().replace("\\r\\n", "\\n"))
                .collect()
        };
        let (old, mut new) = (select(&fields), select(&new_fields));
        // What a sealed message must say and the original left to the reader (RFC 2045 sections 4 and 5.2).
        new.retain(|field| {
            let implied = ["MIME-Version: 1.0", "Content-Type: text/plain"].contains(&field.as_str());
            old.contains(field) || !implied
        });
        if new != old {
            return both(&format!("{old:?}\n{new:?}"));
        }
    }
    None
}

#[test]
fn odd_mail_that_is_signed_says_the_same_and_its_signature_holds() {
    let alpha = GatepostPlan::new("alpha.example").policy("[policy]\nsign = \"always\"").prepare();
    let beta = GatepostPlan::new("beta.example").prepare();
    alpha.generate(&["--domain", "alpha.example"]);
    beta.import(&["--domain", "alpha.example"], &alpha.export(&["--domain", "alpha.example"]));
    let mut faults = Vec::new();
    for (name, message) in corpus() {
        let message = by_alice(&message);
        let trial = alpha.filter_ours(ALICE, &[BOB], &message);
        let signed = trial.only();
        if signed.action == "pass" {
            assert!(signed.message == message && is_protected(&message), "{name}: {}", show(&signed.message));
            continue;
        }
        assert_eq!(signed.action, "sign", "{name}");
        let verified = verified(&beta, &signed.message);
        // A tree beyond the limits is not looked into, and nothing is claimed about it.
        let claimed = if BEYOND_LIMITS.contains(&name.as_str()) { "" } else { "openpgp=pass" };
        assert!(verified.contains(claimed), "{name}: {verified}\n{}", show(&signed.message));
        let (inside, outside) = (content(signed_part(&signed.message)), content(&message));
        if inside != outside && !AMBIGUOUS.contains(&name.as_str()) {
            faults.push(format!("{name}:\n{inside:?}\n{outside:?}\n{}", show(&signed.message)));
        }
    }
    assert!(faults.is_empty(), "{} messages changed:\n{}", faults.len(), faults.join("\n"));
}

/// The same message with one author: ours.
fn by_alice(message: &[u8]) -> Vec<u8> {
    let (fields, _) = split(message);
    let mut changed = format!("From: {ALICE}\r\n").into_bytes();
    let mut rest = message;
    for field in fields {
        if name_of(field) == b"from" {
            changed.extend_from_slice(b"X-");
        }
        // A line that is no field would end the header for some readers.
        if field.contains(&b':') && !field.starts_with(b"From ") && !field.starts_with(b" ") {
            changed.extend_from_slice(field);
        }
        rest = &rest[field.len()..];
    }
    changed.extend_from_slice(rest);
    changed
}

/// Signed by its author already.
fn is_protected(message: &[u8]) -> bool {
    let text = String::from_utf8_lossy(message).to_ascii_lowercase();
    text.contains("multipart/signed")
        || text.contains("-----begin pgp signed message-----")
        || text.contains("pkcs7")
}

fn verified(beta: &Gatepost, message: &[u8]) -> String {
    let trial = beta.filter(ALICE, &[BOB], &[], message);
    let (fields, _) = split(&trial.only().message);
    let result = fields.iter().find(|field| name_of(field) == b"authentication-results");
    result.map(|field| String::from_utf8_lossy(field).into_owned()).unwrap_or_default()
}

/// The first part of a multipart/signed: what the signature covers.
fn signed_part(message: &[u8]) -> &[u8] {
    let find = |from: usize, needle: &[u8]| {
        message[from..].windows(needle.len()).position(|window| window == needle).map(|at| from + at)
    };
    let at = find(0, b"boundary=\"").unwrap() + 10;
    let boundary = &message[at..find(at, b"\"").unwrap()];
    let delimiter = [b"--", boundary].concat();
    let first = find(at + boundary.len(), &delimiter).unwrap() + delimiter.len() + 2;
    &message[first..find(first, &delimiter).unwrap() - 2]
}

/// What mail-parser finds in a message: type and decoded content of each part, line ends as LF. It fails assertions
/// of its own on some messages; that is nothing found.
fn content(message: &[u8]) -> Vec<String> {
    let parsed = std::panic::catch_unwind(|| MessageParser::default().parse(message));
    let Ok(Some(message)) = parsed else { return Vec::new() };
    message
        .parts
        .iter()
        .map(|part| {
            let kind = part
                .content_type()
                .map(|kind| format!("{}/{}", kind.c_type, kind.c_subtype.as_deref().unwrap_or_default()))
                .unwrap_or_else(|| "text/plain".to_owned());
            let text = match &part.body {
                PartType::Text(text) | PartType::Html(text) => text.as_bytes().to_vec(),
                PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.to_vec(),
                PartType::Message(message) => content(message.raw_message()).join("\n").into_bytes(),
                PartType::Multipart(parts) => format!("{} parts", parts.len()).into_bytes(),
            };
            let text = text.escape_ascii().to_string().replace("\\r\\n", "\\n");
            format!("{}: {}", kind.to_ascii_lowercase(), text.trim_end_matches("\\n"))
        })
        .collect()
}
