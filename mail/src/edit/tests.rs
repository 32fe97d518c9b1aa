use proptest::prelude::*;

use super::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What an MTA holds, and how it obeys a milter (milter protocol version 6, as Postfix 3.7 does it in
/// cleanup_milter.c after measurements of Sendmail 8.13): on top stands its own Received field, which
/// the milter does not see. Insertions count it; changes skip whatever field is on top.
struct Mta {
    fields: Fields,
    body: Body,
}

impl Mta {
    fn new(shown: &Fields, body: &Body) -> Self {
        let own = (b"Received".to_vec(), b" by the MTA itself".to_vec());
        let fields = std::iter::once(own).chain(shown.iter().cloned()).collect();
        Self { fields, body: body.clone() }
    }

    fn obey(&mut self, action: &MilterAction) {
        match action {
            MilterAction::InsertHeader { index, name, value } => {
                assert!(!value.contains(&b'\r') && !value.contains(&0));
                let index = usize::try_from(*index).unwrap();
                self.fields.insert(index, (name.clone().into_bytes(), value.clone()));
            }
            MilterAction::ChangeHeader { name, index, value } => {
                let same = |(_, (field, _)): &(usize, &(Vec<u8>, Vec<u8>))| {
                    field.eq_ignore_ascii_case(name.as_bytes())
                };
                let nth = usize::try_from(*index).unwrap().checked_sub(1).unwrap();
                let (position, _) = self.fields.iter().enumerate().skip(1).filter(same).nth(nth).unwrap();
                match value {
                    None => drop(self.fields.remove(position)),
                    // An empty value deletes: that is how the protocol says it.
                    Some(value) => {
                        assert!(!value.is_empty() && !value.contains(&b'\r') && !value.contains(&0));
                        self.fields[position] = (name.clone().into_bytes(), value.clone());
                    }
                }
            }
            MilterAction::ReplaceBody(body) => self.body = body.clone(),
        }
    }

    fn message(mut self) -> Vec<u8> {
        assert_eq!(self.fields.remove(0).1, b" by the MTA itself");
        Message::from_milter(self.fields, self.body).to_vec().unwrap()
    }
}

/// Both ways, compared; gives the message.
fn both_ways(fields: &Fields, body: &Body, edits: &[Edit]) -> Vec<u8> {
    let spill = Spill { limit: 20, ..Spill::default() };
    let message = Message::from_milter(fields.clone(), body.clone());
    let applied = apply(&message, edits, &spill).unwrap().to_vec().unwrap();
    let mut mta = Mta::new(fields, body);
    for action in milter_actions(&message, edits, &spill).unwrap() {
        mta.obey(&action);
    }
    assert_eq!(mta.message().escape_ascii().to_string(), applied.escape_ascii().to_string());
    applied
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn insert(index: usize, name: &str, value: &str) -> Edit {
    Edit::InsertField { index, name: name.into(), value: value.into() }
}

fn replace(index: usize, value: &str) -> Edit {
    Edit::ReplaceField { index, value: value.into() }
}

fn wrap(content_type: &str, prologue: &str, epilogue: &str) -> Edit {
    Edit::Wrap { content_type: content_type.into(), prologue: prologue.into(), epilogue: epilogue.into() }
}

#[test]
fn indexes_always_mean_the_original_fields() {
    let original = fields(&[("A", " 1"), ("B", " 2"), ("a", " 3"), ("B", " 4")]);
    let edits = [
        Edit::RemoveField { index: 0 },
        insert(0, "A", " new\r\n fold"),
        replace(2, " three"),
        insert(4, "Z", " last"),
        insert(2, "a", " before a"),
        insert(2, "B", " second before a"),
        Edit::RemoveField { index: 3 },
        insert(4, "Z", " very last"),
    ];
    let message = both_ways(&original, &Body::from_vec(b"body".to_vec()), &edits);
    let expected = "A: new\r\n fold\r\nB: 2\r\na: before a\r\nB: second before a\r\na: three\r\n\
                    Z: last\r\nZ: very last\r\n\r\nbody";
    assert_eq!(String::from_utf8(message).unwrap(), expected);
}

#[test]
fn the_last_edit_of_a_field_or_body_counts() {
    let original = fields(&[("A", " 1"), ("B", " 2")]);
    let edits = [
        Edit::RemoveField { index: 0 },
        replace(0, " kept"),
        replace(1, " x"),
        Edit::RemoveField { index: 1 },
        Edit::ReplaceBody(Body::from_vec(b"one".to_vec())),
        Edit::ReplaceBody(Body::from_vec(b"two".to_vec())),
    ];
    assert_eq!(both_ways(&original, &Body::empty(), &edits), b"A: kept\r\n\r\ntwo");
}

#[test]
fn an_empty_value_is_no_deletion() {
    let original = fields(&[("A", " 1"), ("A", " 2"), ("B", " 3")]);
    assert_eq!(both_ways(&original, &Body::empty(), &[replace(1, "")]), b"A: 1\r\nA:\r\nB: 3\r\n\r\n");
}

#[test]
fn no_edit_is_no_action_and_keeps_every_byte() {
    for bytes in [&b"A: 1\nB: 2\r\n\nx\n"[..], b"junk", b"", b"A: 1", b"\r\nbody"] {
        let message = Message::parse(bytes);
        assert_eq!(apply(&message, &[], &Spill::default()).unwrap().to_vec().unwrap(), bytes);
        assert!(milter_actions(&message, &[], &Spill::default()).unwrap().is_empty());
    }
}

#[test]
fn edits_of_odd_messages_touch_nothing_else() {
    let spill = Spill::default();
    for (bytes, edit, expected) in [
        (&b"A: 1\nB: 2\n\nx"[..], replace(0, " x"), &b"A: x\r\nB: 2\n\nx"[..]),
        (b"A: 1", insert(1, "B", " 2"), b"A: 1\r\nB: 2\r\n"),
        (b"A: 1", Edit::ReplaceBody(Body::from_vec(b"x".to_vec())), b"A: 1\r\n\r\nx"),
        (b"", Edit::ReplaceBody(Body::from_vec(b"x".to_vec())), b"\r\nx"),
        (b"junk\nA : 1\n\n", replace(1, " x"), b"junk\nA: x\r\n\n"),
        (b"junk\nA: 1\n\n", Edit::RemoveField { index: 0 }, b"A: 1\n\n"),
        (b"A: 1\nB: 2", Edit::RemoveField { index: 0 }, b"B: 2"),
    ] {
        let edited = apply(&Message::parse(bytes), &[edit], &spill).unwrap().to_vec().unwrap();
        assert_eq!(edited.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[test]
fn wrap_moves_what_describes_the_body_and_the_body() {
    let original = fields(&[
        ("From", " a@x.example"),
        ("Content-Type", " text/plain;\n charset=utf-8"),
        ("Subject", " s"),
        ("content-transfer-encoding", " 8bit"),
    ]);
    let edits = [wrap(" multipart/mixed; boundary=b", "--b\r\n", "\r\n--b--\r\n")];
    let message = both_ways(&original, &Body::from_vec(b"text".to_vec()), &edits);
    let expected = "From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
                    Subject: s\r\n\r\n--b\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n\
                    content-transfer-encoding: 8bit\r\n\r\ntext\r\n--b--\r\n";
    assert_eq!(String::from_utf8(message).unwrap(), expected);
}

#[test]
fn wraps_go_around_each_other_and_around_the_other_edits() {
    let original = fields(&[("mime-version", " 1.0"), ("Content-ID", " <1>")]);
    let edits = [
        wrap(" a/b", "<1>\r\n", "</1>"),
        wrap(" c/d", "<2>\r\n", "</2>"),
        insert(0, "Content-Type", " x/y"),
        Edit::ReplaceBody(Body::from_vec(b"new".to_vec())),
    ];
    let message = both_ways(&original, &Body::from_vec(b"old".to_vec()), &edits);
    let expected = "Content-Type: c/d\r\nmime-version: 1.0\r\n\r\n\
                    <2>\r\nContent-Type: a/b\r\n\r\n\
                    <1>\r\nContent-Type: x/y\r\nContent-ID: <1>\r\n\r\nnew</1></2>";
    assert_eq!(String::from_utf8(message).unwrap(), expected);
}

#[test]
fn what_could_forge_a_field_is_refused() {
    let message = Message::parse(b"A: 1\r\njunk\r\n\r\n");
    let refused = [
        insert(0, "", " x"),
        insert(0, "A b", " x"),
        insert(0, "A:b", " x"),
        insert(0, "Ä", " x"),
        insert(3, "A", " x"),
        insert(0, "A", " x\r\nBcc: y"),
        insert(0, "A", " x\n"),
        insert(0, "A", " x\ry"),
        insert(0, "A", " x\0y"),
        replace(0, " x\r\n\r\nbody"),
        replace(1, " junk has no name"),
        replace(2, " not there"),
        Edit::RemoveField { index: 2 },
        wrap(" a/b\r\nBcc: y", "", ""),
        wrap("", "", ""),
        wrap(" ", "", ""),
    ];
    for edit in refused {
        let error = apply(&message, std::slice::from_ref(&edit), &Spill::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{edit:?}");
        assert!(milter_actions(&message, &[edit], &Spill::default()).is_err());
    }
    let remove_junk = [Edit::RemoveField { index: 1 }];
    assert!(milter_actions(&message, &remove_junk, &Spill::default()).is_err());
}

fn name() -> impl Strategy<Value = String> {
    let names = ["A", "a", "B", "Content-Type", "content-ID", "MIME-Version", "Received", "Subject"];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn value(fold: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-z0-9 ]{1,5}".prop_map(String::into_bytes),
        Just(fold.as_bytes().to_vec()),
        Just(b"\xff\xe4".to_vec()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn edit(count: usize) -> impl Strategy<Value = Edit> {
    let body = prop::collection::vec(any::<u8>(), 0..40).prop_map(Body::from_vec);
    let insertion = (0..=count, name(), value("\r\n\t"));
    let insertion = insertion.prop_map(|(index, name, value)| Edit::InsertField { index, name, value });
    let wrapping = value("\r\n ").prop_map(|content_type| Edit::Wrap {
        content_type: [b" a/b".to_vec(), content_type].concat(),
        prologue: b"--b\r\n".to_vec(),
        epilogue: b"\r\n--b--\r\n".to_vec(),
    });
    let anywhere = prop_oneof![4 => insertion, 1 => body.prop_map(Edit::ReplaceBody), 1 => wrapping].boxed();
    if count == 0 {
        return anywhere;
    }
    let replacement = (0..count, value("\r\n "));
    let replacement = replacement.prop_map(|(index, value)| Edit::ReplaceField { index, value });
    let removal = (0..count).prop_map(|index| Edit::RemoveField { index });
    prop_oneof![6 => anywhere, 3 => replacement, 3 => removal].boxed()
}

fn case() -> impl Strategy<Value = (Fields, Vec<u8>, Vec<Edit>)> {
    let field = (name().prop_map(String::into_bytes), value("\n "));
    let body = prop::collection::vec(any::<u8>(), 0..60);
    (prop::collection::vec(field, 0..10), body).prop_flat_map(|(fields, body)| {
        let edits = prop::collection::vec(edit(fields.len()), 0..10);
        (Just(fields), Just(body), edits)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_mta_that_obeys_the_actions_holds_the_applied_message((fields, body, edits) in case()) {
        let message = both_ways(&fields, &Body::from_vec(body), &edits);
        prop_assert_eq!(Message::parse(&message).to_vec().unwrap(), message);
    }
}
