//! An MTA that obeys the milter actions holds the message that applying the edits gives.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mail::Body;
use mail::Edit;
use mail::Message;
use mail::MilterAction;
use mail::Spill;

const NAMES: [&str; 6] = ["A", "a", "Received", "Content-Type", "content-id", "MIME-Version"];

#[derive(Arbitrary, Debug)]
enum Change {
    Insert(u8, u8, Vec<u8>),
    Replace(u8, Vec<u8>),
    Remove(u8),
    Body(Vec<u8>),
    Wrap(Vec<u8>),
}

fn name(number: u8) -> &'static str {
    NAMES[usize::from(number) % NAMES.len()]
}

fn edit(change: Change) -> Edit {
    match change {
        Change::Insert(at, number, value) => {
            Edit::InsertField { index: at.into(), name: name(number).into(), value }
        }
        Change::Replace(at, value) => Edit::ReplaceField { index: at.into(), value },
        Change::Remove(at) => Edit::RemoveField { index: at.into() },
        Change::Body(bytes) => Edit::ReplaceBody(Body::from_vec(bytes)),
        Change::Wrap(content_type) => {
            Edit::Wrap { content_type, prologue: b"--b\r\n".to_vec(), epilogue: b"\r\n--b--\r\n".to_vec() }
        }
    }
}

/// The fields that an MTA holds, its own one on top, and the body.
fn obey(fields: &mut Vec<(Vec<u8>, Vec<u8>)>, body: &mut Body, action: MilterAction) {
    match action {
        MilterAction::InsertHeader { index, name, value } => {
            fields.insert(usize::try_from(index).unwrap(), (name.into_bytes(), value));
        }
        MilterAction::ChangeHeader { name, index, value } => {
            let nth = usize::try_from(index).unwrap() - 1;
            let same = |at: &usize| fields[*at].0.eq_ignore_ascii_case(name.as_bytes());
            let at = (1..fields.len()).filter(same).nth(nth).unwrap();
            match value {
                Some(value) => fields[at].1 = value,
                None => drop(fields.remove(at)),
            }
        }
        MilterAction::ReplaceBody(new) => *body = new,
    }
}

fuzz_target!(|input: (Vec<(u8, String)>, Vec<u8>, Vec<Change>)| {
    let (values, bytes, changes) = input;
    // A field as an MTA gives it: no NUL, no carriage return, folds are a line feed and a blank.
    let value = |text: String| text.replace(['\0', '\r'], "").replace('\n', "\n ").into_bytes();
    let shown: Vec<_> =
        values.into_iter().map(|(number, text)| (name(number).as_bytes().to_vec(), value(text))).collect();
    let mut body = Body::from_vec(bytes);
    let spill = Spill { limit: 32, ..Spill::default() };
    let message = Message::from_milter(shown.clone(), body.clone());
    let edits: Vec<Edit> = changes.into_iter().map(edit).collect();
    let Ok(applied) = mail::apply(&message, &edits, &spill) else {
        assert!(mail::milter_actions(&message, &edits, &spill).is_err());
        return;
    };
    let mut fields = vec![(b"Received".to_vec(), b" own".to_vec())];
    fields.extend(shown);
    for action in mail::milter_actions(&message, &edits, &spill).unwrap() {
        obey(&mut fields, &mut body, action);
    }
    let held = Message::from_milter(fields.drain(1..), body);
    assert_eq!(held.to_vec().unwrap(), applied.to_vec().unwrap());
});
