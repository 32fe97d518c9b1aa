use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::body::BodyWriter;
use crate::edit;

/// The tree as lines: indentation, type, and the raw bytes of everything that has no children.
fn tree(bytes: &[u8]) -> String {
    let memory = Message::parse(bytes);
    let spilled = Message::read(&mut &bytes[..], &Spill { limit: 0, ..Spill::default() }).unwrap();
    let (shown, from_file) = (show(&memory), show(&spilled));
    assert_eq!(shown, from_file);
    shown
}

fn show(message: &Message) -> String {
    let entities = message.entity().walk(&Limits::default()).unwrap();
    let mut out = String::new();
    for (index, entity) in entities.iter().enumerate() {
        let indent = "  ".repeat(entity.depth());
        let inner = entities.get(index + 1).is_some_and(|next| next.depth() > entity.depth());
        let raw =
            if inner { String::new() } else { entity.raw().to_vec().unwrap().escape_ascii().to_string() };
        out.push_str(&format!("{indent}{} [{raw}]\n", entity.content_type()));
    }
    let places = |entity: &Entity<'_>| (entity.depth(), entity.raw_range(), entity.content_range());
    let walked: Vec<_> = entities.iter().map(places).collect();
    let mut by_level = Vec::new();
    by_children(&message.entity(), &mut |entity| by_level.push(places(entity)));
    assert_eq!(walked, by_level);
    out
}

/// Walks level by level, which must find the same entities.
fn by_children(entity: &Entity<'_>, visit: &mut dyn FnMut(&Entity<'_>)) {
    visit(entity);
    for child in &entity.children(&Limits::default()).unwrap() {
        let (inside, around) = (child.raw_range(), entity.content_range());
        assert!(inside.start >= around.start && inside.end <= around.end && inside.start <= inside.end);
        let (content, raw) = (child.content_range(), child.raw_range());
        assert!(content.start >= raw.start && content.end == raw.end && content.start <= content.end);
        assert!(child.raw().to_vec().unwrap().starts_with(child.header().as_bytes()));
        by_children(child, visit);
    }
}

const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";

fn mixed(body: &str) -> String {
    tree(format!("{MIXED}{body}").as_bytes())
}

#[test]
fn raw_range_is_exactly_what_a_signature_covers() {
    let expected = "multipart/mixed []\n  text/html [Content-Type: text/html\\r\\n\\r\\none\\r\\n]\n  \
                    text/plain [\\r\\ntwo]\n";
    let body = "preamble\r\n--b\r\nContent-Type: text/html\r\n\r\none\r\n\r\n--b\r\n\r\ntwo\r\n--b--\r\nepilogue\r\n";
    assert_eq!(mixed(body), expected);
    let message = Message::parse(format!("{MIXED}{body}").as_bytes());
    let children = message.entity().children(&Limits::default()).unwrap();
    assert_eq!(children[0].content().to_vec().unwrap(), b"one\r\n");
    assert_eq!(children[1].content().to_vec().unwrap(), b"two");
}

#[test]
fn delimiters_are_recognised_in_every_form_and_nothing_else() {
    for (body, parts) in [
        ("--b\r\n\r\nx\r\n--b--", vec!["\\r\\nx"]),
        ("--b\n\nx\n--b--\n", vec!["\\nx"]),
        ("--b \t \r\n\r\nx\r\n--b-- \r\n", vec!["\\r\\nx"]),
        (
            "--b\r\n\r\nx\r\n--bc\r\n--b-\r\n--b---\r\n -- b\r\n--b c\r\n--b--",
            vec!["\\r\\nx\\r\\n--bc\\r\\n--b-\\r\\n--b---\\r\\n -- b\\r\\n--b c"],
        ),
        ("--b\r\n\r\nx --b\r\n--b", vec!["\\r\\nx --b", ""]),
        ("--b\r\n\r\nx\r\n", vec!["\\r\\nx\\r\\n"]),
        ("--b\r\n--b\r\n\r\n--b\r\nA: 1\r\n--b--", vec!["", "", "A: 1"]),
        ("--b\r\nA: 1\r\n\r\n--b--", vec!["A: 1\\r\\n"]),
        ("--b--\r\n--b\r\n\r\nx\r\n", vec![]),
        ("--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\nepilogue\r\n--b--", vec!["\\r\\nx"]),
        ("", vec![]),
        ("--b", vec![""]),
        ("--B\r\n\r\nx", vec![]),
        ("\r\n--b\r\n\r\n\r\n\r\n--b--", vec!["\\r\\n\\r\\n"]),
        ("--b\r\n\r\nx\r\r\n--b--", vec!["\\r\\nx\\r"]),
    ] {
        let children: String = parts.iter().map(|raw| format!("  text/plain [{raw}]\n")).collect();
        let root = if parts.is_empty() { body.as_bytes().escape_ascii().to_string() } else { String::new() };
        assert_eq!(mixed(body), format!("multipart/mixed [{root}]\n{children}"), "{body:?}");
    }
}

#[test]
fn a_boundary_that_begins_another_does_not_end_it() {
    let body = "--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n\
                --bb\r\n\r\n1\r\n--bb\r\n\r\n2\r\n--bb--\r\n--b\r\n\r\n3\r\n--b--\r\n";
    let expected = "multipart/mixed []\n  multipart/alternative []\n    text/plain [\\r\\n1]\n    \
                    text/plain [\\r\\n2]\n  text/plain [\\r\\n3]\n";
    assert_eq!(mixed(body), expected);
}

#[test]
fn an_outer_delimiter_ends_an_unfinished_inner_multipart() {
    let body = "--b\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\n1\r\n--b\r\n\r\n--i\r\n--b--";
    let expected = "multipart/mixed []\n  multipart/alternative []\n    text/plain [\\r\\n1]\n  \
                    text/plain [\\r\\n--i]\n";
    assert_eq!(mixed(body), expected);
}

#[test]
fn of_two_equal_boundaries_the_outer_one_counts() {
    let body = "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n";
    let expected = "multipart/mixed []\n  multipart/mixed [Content-Type: multipart/mixed; boundary=b\\r\\n]\n  \
                    text/plain [\\r\\nx]\n";
    assert_eq!(mixed(body), expected);
}

#[test]
fn a_multipart_without_a_usable_boundary_has_no_parts() {
    for parameter in ["", "; boundary=", "; boundary=\"  \"", &format!("; boundary={}", "x".repeat(999))] {
        let message = format!("Content-Type: multipart/mixed{parameter}\r\n\r\n--\r\n\r\nx\r\n----\r\n");
        let message = Message::parse(message.as_bytes());
        assert!(message.entity().children(&Limits::default()).unwrap().is_empty());
    }
    let longest = "x".repeat(998);
    let message =
        format!("Content-Type: multipart/mixed; boundary={longest}\r\n\r\n--{longest}\r\n\r\nx\r\n");
    assert_eq!(Message::parse(message.as_bytes()).entity().children(&Limits::default()).unwrap().len(), 1);
    let quoted = "Content-Type: multipart/mixed; boundary=\"a b \"\r\n\r\n--a b\r\n\r\nx\r\n--a b--";
    assert_eq!(Message::parse(quoted.as_bytes()).entity().children(&Limits::default()).unwrap().len(), 1);
}

#[test]
fn embedded_messages_and_digests_are_opened() {
    let body = "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\
                Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: deep\r\n\r\ntext\r\n--d--\r\n\
                --b--\r\n";
    let expected = "multipart/mixed []\n  message/rfc822 []\n    multipart/digest []\n      message/rfc822 []\n        \
                    text/plain [Subject: deep\\r\\n\\r\\ntext]\n";
    assert_eq!(mixed(body), expected);
    let encoded = "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n--b--";
    assert_eq!(mixed(encoded).lines().count(), 2);
    let root = tree(b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext");
    assert_eq!(root, "message/rfc822 []\n  text/plain [Subject: in\\r\\n\\r\\ntext]\n");
}

#[test]
fn what_an_entity_says_about_itself() {
    let message = Message::parse(
        b"Content-Type: application/pdf; name=\"=?utf-8?Q?gr=C3=BCn.pdf?=\"\r\n\
          Content-Disposition: ATTACHMENT; filename*=utf-8''gr%C3%BCner.pdf\r\n\
          Content-Transfer-Encoding: (x) BASE64 (y)\r\n\r\naGVsbG8=\r\n",
    );
    let entity = message.entity();
    assert!(entity.content_type().is("Application", "PDF"));
    assert_eq!(entity.disposition().as_deref(), Some("attachment"));
    assert_eq!(entity.filename().as_deref(), Some("grüner.pdf"));
    assert_eq!(entity.decoded(&Spill::default()).unwrap().to_vec().unwrap(), b"hello");
    assert_eq!(format!("{entity:?}"), "Entity(application/pdf at 0..10, depth 0)");
    let plain = Message::parse(b"Content-Type: a/b; name=\"=?utf-8?Q?gr=C3=BCn.pdf?=\"\r\n\r\n");
    assert_eq!(plain.entity().filename().as_deref(), Some("grün.pdf"));
    assert_eq!(Message::parse(b"").entity().filename(), None);
}

#[test]
fn limits_are_errors_and_not_silence() {
    let nested = |depth: usize| {
        let mut text = String::new();
        for level in 0..depth {
            text.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=b{level}x\r\n\r\n--b{level}x\r\n"
            ));
        }
        Message::parse(text.as_bytes())
    };
    let limits = Limits::default();
    assert_eq!(nested(32).entity().walk(&limits).unwrap().len(), 33);
    assert!(matches!(nested(33).entity().walk(&limits), Err(MimeError::TooDeep(32))));

    let many = |count: usize| Message::parse(format!("{MIXED}{}", "--b\r\n".repeat(count)).as_bytes());
    assert_eq!(many(1000).entity().walk(&limits).unwrap().len(), 1001);
    assert!(matches!(many(1001).entity().walk(&limits), Err(MimeError::TooManyParts(1000))));

    let narrow = Limits { header_bytes: 10, ..limits };
    for (header, fits) in [("A: 12345\r\n", true), ("A: 123456\r\n", false), ("A: 1\n\nB: 123456789\n", true)]
    {
        let message = Message::parse(format!("{MIXED}--b\r\n{header}\r\n").as_bytes());
        assert_eq!(message.entity().walk(&narrow).is_ok(), fits, "{header:?}");
    }
    let two = Message::parse(format!("{MIXED}--b\r\nA: 1\r\n\r\n--b\r\nA: 1\r\n\r\n").as_bytes());
    assert!(matches!(two.entity().walk(&narrow), Err(MimeError::HeaderTooLong(10))));
    let endless = Message::parse(format!("{MIXED}--b\r\n{}", "x".repeat(200_000)).as_bytes());
    assert!(matches!(endless.entity().walk(&narrow), Err(MimeError::HeaderTooLong(10))));
}

#[test]
fn lines_longer_than_the_buffer_are_cut_where_they_end() {
    let long = "x".repeat(200_000);
    let dashes = format!("--b{}", " ".repeat(200_000));
    let near = format!("--b{}c", " ".repeat(200_000));
    for pad in [65_500, 65_530, 65_534, 65_535, 65_536, 65_537] {
        let start = "y".repeat(pad);
        let body = format!(
            "{start}\r\n--b\r\nA: {long}\r\n\r\n{long}\r\n{near}\r\n{dashes}\r\n\r\nend\r\n--b--\r\n"
        );
        let bytes = format!("{MIXED}{body}").into_bytes();
        let message = Message::read(&mut &bytes[..], &Spill { limit: 0, ..Spill::default() }).unwrap();
        let children = message.entity().children(&Limits::default()).unwrap();
        assert_eq!(children.len(), 2);
        assert_eq!(children[0].content().to_vec().unwrap(), format!("{long}\r\n{near}").into_bytes());
        assert_eq!(children[0].header().get(0).unwrap().unfolded(), long.as_bytes());
        assert_eq!(children[1].content().to_vec().unwrap(), b"end");
    }
}

#[test]
fn a_large_body_of_tiny_lines_is_walked_in_linear_time() {
    let mut writer = BodyWriter::new(&Spill { limit: 1000, ..Spill::default() });
    for _ in 0..100 {
        writer.write_all(&b"--b x\n--\n\n".repeat(2_000)).unwrap();
    }
    let head = Message::parse(MIXED.as_bytes());
    let body = [edit::Edit::ReplaceBody(writer.finish().unwrap())];
    let message = edit::apply(&head, &body, &Spill::default()).unwrap();
    assert_eq!(message.entity().walk(&Limits::default()).unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_body_is_walked_alike_from_memory_and_file(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "--b", "--b--", "--bb", "--i", "--i--", "", "\r", "x", "A: 1", "\0", "--b ", "--",
                "Content-Type: multipart/mixed; boundary=i", "Content-Type: multipart/digest; boundary=bb",
                "Content-Type: message/rfc822", "Content-Type: multipart/mixed; boundary=b",
            ]),
            0..30,
        ),
        crlf in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let body: String = lines.iter().map(|line| format!("{line}{end}")).collect();
        let _ = mixed(&body);
        let _ = mixed(body.strip_suffix(end).unwrap_or_default());
    }
}
