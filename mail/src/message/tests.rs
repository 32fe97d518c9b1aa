use proptest::prelude::*;

use super::*;

fn tiny() -> Spill {
    Spill { limit: 3, ..Spill::default() }
}

/// A reader that gives one, two, three ... bytes at a time.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let len = self.1.min(out.len());
        let out = &mut out[..len];
        self.0.read(out)
    }
}

/// Parsing, and reading in pieces with a spilled body, give the same message, and the same bytes back.
fn assert_identity(bytes: &[u8]) -> Message {
    let parsed = Message::parse(bytes);
    assert_eq!(parsed.to_vec().unwrap(), bytes);
    assert_eq!(parsed.len(), bytes.len() as u64);
    for reader in [&mut Dribble(bytes, 0) as &mut dyn Read, &mut &bytes[..]] {
        let read = Message::read(reader, &tiny()).unwrap();
        assert_eq!(read.header().as_bytes(), parsed.header().as_bytes());
        assert_eq!(read.separator, parsed.separator);
        assert_eq!(read.to_vec().unwrap(), bytes);
    }
    let joined: Vec<u8> = parsed.header().fields().flat_map(|field| field.raw().to_vec()).collect();
    assert_eq!(joined, parsed.header().as_bytes());
    parsed
}

/// Text that looks like mail often enough to reach every branch.
fn mailish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\0".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\t".to_vec()),
        Just(b":".to_vec()),
        Just(b"Subject: hello".to_vec()),
        Just(b"Content-Type: multipart/mixed; boundary=b".to_vec()),
        Just(b"--b".to_vec()),
        Just(b"--b--".to_vec()),
        Just(b"From a@b Mon Sep 17".to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        assert_identity(&bytes);
    }

    #[test]
    fn anything_like_mail_survives(bytes in mailish()) {
        let message = assert_identity(&bytes);
        let _ = (message.from(), message.to_and_cc(), message.sender(), message.message_id(), message.subject());
        for field in message.header().fields() {
            prop_assert!(field.name().is_empty() || field.raw().starts_with(field.name()));
            let _ = (field.text(), field.unfolded());
        }
    }
}

#[test]
fn odd_messages_survive() {
    let long_line = [b"Subject: ".to_vec(), vec![b'x'; 100_000], b"\r\n\r\nbody".to_vec()].concat();
    let long_folds = [b"To: a@b".to_vec(), b",\r\n c@d".repeat(20_000), b"\r\n\r\n".to_vec()].concat();
    let odd: &[&[u8]] = &[
        b"",
        b"\n",
        b"\r\n",
        b"\r",
        b"\r\r\n",
        b"\0",
        b"Subject: no line end",
        b"Subject: no blank line\r\n",
        b"Subject: lf\n\nbody\nbody",
        b"Subject: bare cr\rTo: x\r\n\r\nbody\rbody",
        b"Subject: nul \0 here\r\n\r\n\0\0",
        b"Subject: 8bit \xff\xfe\r\n\r\n\x80",
        b"\r\nbody at once",
        b"\nbody at once",
        b" folded first line\r\nSubject: x\r\n\r\nbody",
        b"From alice@alpha.example Mon Sep 17 00:00:00 2001\nSubject: mbox\n\nbody\n",
        b"no field at all\r\nSubject: x\r\n\r\nbody",
        b"Subject: mixed\nTo: x\r\n \n\r\nbody",
        b": no name\r\n\r\n",
        b"Subject : old\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n--a--\r\n--a",
        &long_line,
        &long_folds,
    ];
    for bytes in odd {
        assert_identity(bytes);
    }
}

#[test]
fn header_section_ends_at_the_first_empty_line_of_either_kind() {
    for (bytes, body) in [
        (&b"A: 1\r\n\r\nbody"[..], &b"body"[..]),
        (b"A: 1\n\nbody", b"body"),
        (b"A: 1\r\n\nbody\n\n", b"body\n\n"),
        (b"A: 1\r\n \r\n\r\nbody", b"body"),
        (b"A: 1\r\n\r\r\n\r\nbody", b"body"),
        (b"A: 1\r\n", b""),
    ] {
        assert_eq!(assert_identity(bytes).body().in_memory(), Some(body));
    }
}

#[test]
fn lines_that_are_no_field_keep_their_place() {
    let message =
        Message::parse(b"From a@b Mon\r\n folded\r\nA: 1\r\njunk\r\n: x\r\nB\t: 2\r\nC d: 3\r\n\r\n");
    let names: Vec<&[u8]> = message.header().fields().map(|field| field.name()).collect();
    assert_eq!(names, [&b""[..], b"A", b"", b"", b"B", b""]);
    let (index, field) = message.header().find("b").unwrap();
    assert_eq!((index, field.raw_value()), (4, &b" 2"[..]));
    assert!(message.header().find("").is_none());
    assert_eq!(message.header().get(0).unwrap().raw(), b"From a@b Mon\r\n folded\r\n");
    assert_eq!(message.header().get(6).map(|field| field.raw()), None);
}

#[test]
fn a_field_shows_its_value_raw_unfolded_and_decoded() {
    let message = Message::parse(b"Subject: =?utf-8?Q?gr=C3=BCn?=\r\n\t and\n  blue \r\n\r\n");
    let (_, field) = message.header().find("SUBJECT").unwrap();
    assert_eq!(field.raw_value(), b" =?utf-8?Q?gr=C3=BCn?=\r\n\t and\n  blue ");
    assert_eq!(field.unfolded(), b"=?utf-8?Q?gr=C3=BCn?=\t and  blue");
    assert_eq!(message.subject(), "grün  and  blue");
    assert_eq!(format!("{field:?}"), "Field(Subject: 47 bytes)");
}

#[test]
fn an_endless_header_section_is_cut_alike_however_it_arrives() {
    let lines = b"X: 1234567\r\n".repeat(HEADER_LIMIT / 12 + 10);
    let one_line = vec![b'x'; HEADER_LIMIT + 10];
    let blank_just_in_time =
        [vec![b'x'; HEADER_LIMIT - 1], b"\n".to_vec(), b"\r\n".to_vec(), b"body".to_vec()].concat();
    for bytes in [&lines, &one_line, &blank_just_in_time] {
        let parsed = Message::parse(bytes);
        assert!(parsed.header().len() <= HEADER_LIMIT);
        assert!(!parsed.body().is_empty());
        let read = Message::read(&mut &bytes[..], &tiny()).unwrap();
        assert_eq!(read.header().len(), parsed.header().len());
        assert!(read.to_vec().unwrap() == *bytes && parsed.to_vec().unwrap() == *bytes);
    }
    assert_eq!(Message::parse(&blank_just_in_time).body().in_memory(), Some(&b"body"[..]));
    assert_eq!(Message::parse(&one_line).header().len(), 0);
}

#[test]
fn milter_values_keep_their_leading_blank_and_get_crlf() {
    let fields = [("Subject", " one\n\ttwo"), ("To", "bob@beta.example"), ("X", " a\r\n b"), ("Empty", "")];
    let fields = fields.map(|(name, value)| (name.into(), value.into()));
    let message = Message::from_milter(fields, Body::from_vec(b"body\r\n".to_vec()));
    let expected = b"Subject: one\r\n\ttwo\r\nTo:bob@beta.example\r\nX: a\r\n b\r\nEmpty:\r\n\r\nbody\r\n";
    assert_eq!(message.to_vec().unwrap(), expected);
    assert_identity(expected);
    assert_eq!(message.header().count(), 4);
    assert_eq!(message.header().get(0).unwrap().raw_value(), b" one\r\n\ttwo");
    let empty = Message::from_milter([], Body::empty());
    assert_eq!(empty.to_vec().unwrap(), b"\r\n");
}

#[test]
fn people_and_ids_are_found() {
    let message = Message::parse(
        b"From: Alice <alice@Alpha.Example>\r\nfrom: mallory@evil.example\r\nSender: ops@alpha.example\r\n\
          To: bob@beta.example, \"C, D\"\r\n <cd@gamma.example>\r\nCc: e@delta.example\r\n\
          Message-Id: (x)\r\n <1@alpha.example>\r\n\r\n",
    );
    let shown = |boxes: Vec<Mailbox>| boxes.iter().map(|m| m.address.to_string()).collect::<Vec<_>>();
    assert_eq!(shown(message.from()), ["alice@alpha.example", "mallory@evil.example"]);
    assert_eq!(message.sender().unwrap().address.to_string(), "ops@alpha.example");
    assert_eq!(shown(message.to_and_cc()), ["bob@beta.example", "cd@gamma.example", "e@delta.example"]);
    assert_eq!(message.message_id().unwrap(), "<1@alpha.example>");
    assert_eq!(Message::parse(b"Message-ID: bare@x\r\n\r\n").message_id().unwrap(), "bare@x");
    assert_eq!(Message::parse(b"").message_id(), None);
}

#[test]
fn an_author_in_doubt_is_no_author() {
    let author = |from: &str| {
        let message = Message::parse(format!("{from}\r\n\r\n").as_bytes());
        message.author().map(|author| author.address.to_string())
    };
    let alice = Some("alice@alpha.example".to_owned());
    assert_eq!(author("From: Alice <alice@alpha.example>"), alice);
    assert_eq!(author("From : \"mallory@evil.example\" <alice@alpha.example>"), alice);
    for from in [
        "To: alice@alpha.example",
        "From: alice@alpha.example\r\nFrom: alice@alpha.example",
        "From: alice@alpha.example, mallory@evil.example",
        "From: alice@alpha.example <mallory@evil.example>",
        "From: <alice@alpha.example> <mallory@evil.example>",
        "From: alice@alpha.example\0",
        "From: friends:;",
        "From:",
    ] {
        assert_eq!(author(from), None, "{from}");
    }
}

#[test]
fn debug_shows_no_content() {
    let message = Message::parse(b"Subject: secret\r\n\r\nsecret");
    assert!(!format!("{message:?}").contains("secret"));
    assert!(!format!("{:?}", message.entity()).contains("secret"));
}
