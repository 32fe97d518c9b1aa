use super::*;

use crate::key::Cosigner;

use proptest::prelude::*;

const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
/// From the documentation of golang.org/x/mod/sumdb/note.
const SIGNED: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SKEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

fn peter() -> VerifierKey {
    VKEY.parse().unwrap()
}

#[test]
fn the_note_of_the_reference_implementation() {
    let mut note = Note::new(TEXT).unwrap();
    note.sign(&Signer::parse(SKEY).unwrap()).unwrap();
    assert_eq!(note.to_string(), SIGNED);
    let note = Note::parse(SIGNED.as_bytes()).unwrap();
    assert_eq!(note.text(), TEXT);
    assert_eq!(note.verify([&peter()]).unwrap().len(), 1);
}

/// The example at the head of C2SP signed-note: its text has an empty line.
#[test]
fn the_example_of_the_specification_is_read() {
    let example = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let note = Note::parse(example.as_bytes()).unwrap();
    assert!(note.text().ends_with(":\n\ned è subito sera.\n"));
    assert_eq!(note.signatures()[0].name(), "quasimodo.example/salvatore");
    assert_eq!(note.signatures()[0].id(), 0x367b_a04b);
    assert_eq!(note.to_string(), example);
}

#[test]
fn what_is_not_a_note_is_refused() {
    let signature = SIGNED.lines().last().unwrap();
    for wrong in [
        String::new(),
        "\n".into(),
        "\n\n".into(),
        TEXT.into(),
        format!("{TEXT}\n"),
        format!("{TEXT}{signature}\n"),
        format!("\n{signature}\n"),
        format!("{TEXT}\n{signature}"),
        format!("{TEXT}\n{signature}\n\n"),
        format!("{TEXT}\n{signature} \n"),
        format!("{TEXT}\n {signature}\n"),
        format!("{TEXT}\n{signature}\ntrailing\n"),
        format!("{TEXT}\n{}\n", signature.replace('—', "-")),
        format!("{TEXT}\n{}\n", signature.replace("Peter", "Peter ")),
        format!("{TEXT}\n{}\n", signature.replace("Peter", "Pet+er")),
        format!("{TEXT}\n{}\n", signature.replace("M=", "M")),
        format!("{TEXT}\n{}\n", signature.replace("M=", "N=")),
        format!("{TEXT}\n— PeterNeumann x08goA==\n").replace("goA==", "gow=="),
        format!("{TEXT}\n— PeterNeumann \n"),
        format!("{TEXT}\n—  x08go/ZJkuBS\n"),
        SIGNED.replace("problem,", "problem,\r"),
        SIGNED.replace("problem,", "problem,\t"),
        SIGNED.replace("problem,", "problem,\0"),
    ] {
        assert!(matches!(Note::parse(wrong.as_bytes()), Err(NoteError::Malformed)), "{wrong:?}");
    }
    let mut invalid = SIGNED.as_bytes().to_vec();
    invalid[3] = 0xff;
    assert!(matches!(Note::parse(&invalid), Err(NoteError::Malformed)));
    for wrong in ["", "no newline", "bell \x07\n"] {
        assert!(matches!(Note::new(wrong), Err(NoteError::Malformed)), "{wrong:?}");
    }
}

#[test]
fn signatures_of_others_say_nothing() {
    let others = [Signer::generate("PeterNeumann").unwrap(), Signer::generate("somebody").unwrap()];
    let mut note = Note::new(TEXT).unwrap();
    others.iter().for_each(|other| note.sign(other).unwrap());
    assert!(matches!(note.verify([&peter()]), Err(NoteError::Unsigned)));
    note.sign(&Signer::parse(SKEY).unwrap()).unwrap();
    assert_eq!(note.verify([&peter()]).unwrap()[0].key, &peter());
    assert_eq!(note.verify(others.iter().map(Signer::verifier)).unwrap().len(), 2);
    assert!(matches!(note.verify([]), Err(NoteError::Unsigned)));
}

#[test]
fn a_known_key_with_a_bad_signature_spoils_the_note() {
    let mut note = Note::new(TEXT).unwrap();
    let good = Signer::generate("good").unwrap();
    note.sign(&good).unwrap();
    let mut forged = Note::parse(SIGNED.as_bytes()).unwrap().signatures()[0].clone();
    forged.bytes[0] ^= 1;
    note.add(forged).unwrap();
    assert!(note.verify([good.verifier()]).is_ok());
    assert!(
        matches!(note.verify([good.verifier(), &peter()]), Err(NoteError::BadSignature { name }) if name == "PeterNeumann")
    );
    // Also after a valid one of the same key.
    let line = note.signatures()[1].to_string();
    let twice = format!("{SIGNED}{line}\n");
    let twice = Note::parse(twice.as_bytes()).unwrap();
    assert!(matches!(twice.verify([&peter()]), Err(NoteError::BadSignature { .. })));
}

#[test]
fn a_key_counts_once_however_often_it_signs() {
    let line = SIGNED.lines().last().unwrap();
    let note = Note::parse(format!("{SIGNED}{line}\n{line}\n").as_bytes()).unwrap();
    assert_eq!(note.signatures().len(), 3);
    assert_eq!(note.verify([&peter()]).unwrap().len(), 1);
    assert_eq!(note.verify([&peter(), &peter()]).unwrap().len(), 1);
}

#[test]
fn a_newer_signature_takes_the_place_of_the_older() {
    let mut note = Note::parse(SIGNED.as_bytes()).unwrap();
    note.sign(&Signer::parse(SKEY).unwrap()).unwrap();
    assert_eq!(note.to_string(), SIGNED);
    let witness = Cosigner::generate("w").unwrap();
    for time in [1, 2] {
        note.add(witness.cosign(note.text(), time).unwrap()).unwrap();
    }
    let verified = note.verify([witness.verifier()]).unwrap();
    assert_eq!(verified.iter().map(|one| one.stamp.time).collect::<Vec<_>>(), [Some(2)]);
}

#[test]
fn limits() {
    let line = SIGNED.lines().last().unwrap();
    let many = |count| format!("{TEXT}\n{}", format!("{line}\n").repeat(count));
    assert!(Note::parse(many(MAX_SIGNATURES).as_bytes()).is_ok());
    assert!(matches!(Note::parse(many(MAX_SIGNATURES + 1).as_bytes()), Err(NoteError::TooManySignatures)));
    let long = format!("{}{SIGNED}", "x\n".repeat(MAX_NOTE / 2));
    assert!(matches!(Note::parse(long.as_bytes()), Err(NoteError::TooLarge)));
    assert!(matches!(Note::new("x\n".repeat(MAX_NOTE)), Err(NoteError::TooLarge)));
}

proptest! {
    #[test]
    fn reading_never_panics_and_keeps_every_byte(bytes: Vec<u8>, text in "[a-z\n]{0,20}", lines in "(— [a-z+]{1,3} [A-Za-z0-9+/]{8}\n|\n|x\n){0,4}") {
        let _ = Note::parse(&bytes);
        let whole = format!("{text}\n\n{lines}");
        if let Ok(note) = Note::parse(whole.as_bytes()) {
            prop_assert_eq!(note.to_string(), whole);
        }
    }

    #[test]
    fn one_changed_byte_is_noticed(at in 0..TEXT.len() - 1, to in b' '..b'~') {
        let mut changed = SIGNED.as_bytes().to_vec();
        prop_assume!(changed[at] != to);
        changed[at] = to;
        let verdict = Note::parse(&changed).unwrap();
        let verdict = verdict.verify([&peter()]).map(|verified| verified.len());
        let noticed = matches!(verdict, Err(NoteError::BadSignature { .. }));
        prop_assert!(noticed);
    }
}
