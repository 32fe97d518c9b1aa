use super::*;

use crate::key::Cosigner;
use crate::key::Signer;

use proptest::prelude::*;

fn log(name: &str) -> Signer {
    Signer::from_seed(name, &[name.len() as u8; 32]).unwrap()
}

fn witness(number: u8) -> Cosigner {
    Cosigner::from_seed(&format!("witness.example/{number}"), &[100 + number; 32]).unwrap()
}

/// The example of C2SP tlog-policy, "Example policy", with keys: X1 to X3 are 1 to 3, Y1 to Y3 are 4 to 6.
fn example() -> String {
    let key = |number| witness(number).verifier().to_string();
    format!(
        "# Two of X and one of Y\nlog {}  https://log.example/\n\n\
         witness X1 {}\nwitness X2 {}\twitness.example/2\n witness X3 {}\ngroup X-witnesses 2 X1 X2 X3\n\n\
         witness Y1 {}\nwitness Y2 {}\nwitness Y3 {}\ngroup Y-witnesses any Y1 Y2 Y3\n\n\
         group X-and-Y all X-witnesses Y-witnesses\n  # enough:\nquorum X-and-Y\n",
        log("log.example").verifier(),
        key(1),
        key(2),
        key(3),
        key(4),
        key(5),
        key(6)
    )
}

fn checkpoint(signer: &Signer, witnesses: &[u8]) -> Note {
    let checkpoint = Checkpoint::new(signer.verifier().name(), 7, [7; 32], vec![]).unwrap();
    let mut note = checkpoint.sign(signer).unwrap();
    for number in witnesses {
        let cosignature = witness(*number).cosign(note.text(), 1000 + u64::from(*number)).unwrap();
        note.add(cosignature).unwrap();
    }
    note
}

#[test]
fn the_example_of_the_specification() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
    assert_eq!(policy.logs()[0].url.as_deref(), Some("https://log.example/"));
    assert_eq!(policy.witnesses()[1].url.as_deref(), Some("witness.example/2"));
    let log = log("log.example");
    for (witnesses, enough) in [
        (&[1, 2, 4][..], true),
        (&[1, 3, 6], true),
        (&[1, 2, 3, 4, 5, 6], true),
        (&[], false),
        (&[1, 2, 3], false),
        (&[1, 4, 5, 6], false),
        (&[4, 5, 6], false),
        (&[1, 9, 4], false),
    ] {
        let note = checkpoint(&log, witnesses);
        match policy.verify(&note) {
            Ok(witnessed) => {
                assert!(enough, "{witnesses:?}");
                let seen: Vec<_> = witnessed.cosignatures.iter().map(|(_, time)| *time).collect();
                assert_eq!(
                    seen,
                    witnesses.iter().map(|number| 1000 + u64::from(*number)).collect::<Vec<_>>()
                );
                assert_eq!(witnessed.checkpoint.checkpoint().size(), 7);
            }
            Err(PolicyError::NoQuorum { .. }) => assert!(!enough, "{witnesses:?}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn without_the_log_no_witness_helps() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let mut note = Note::new(checkpoint(&log("log.example"), &[]).text()).unwrap();
    for number in 1..=6 {
        note.add(witness(number).cosign(note.text(), 1).unwrap()).unwrap();
    }
    let refused = policy.verify(&note);
    assert!(matches!(refused, Err(PolicyError::Checkpoint(CheckpointError::Note(NoteError::Unsigned)))));
    let other = checkpoint(&log("other.example"), &[1, 2, 4]);
    assert!(
        matches!(policy.verify(&other), Err(PolicyError::UnknownLog { origin }) if origin == "other.example")
    );
    // Another log's key under this origin.
    let impostor = Signer::generate("log.example").unwrap();
    assert!(policy.verify(&checkpoint(&impostor, &[1, 2, 4])).is_err());
}

#[test]
fn a_bad_cosignature_of_a_known_witness_is_not_passed_over() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let mut note = checkpoint(&log("log.example"), &[1, 2, 4]);
    note.add(witness(5).cosign("another\n", 1).unwrap()).unwrap();
    let refused = policy.verify(&note);
    assert!(matches!(
        refused,
        Err(PolicyError::Checkpoint(CheckpointError::Note(NoteError::BadSignature { .. })))
    ));
}

#[test]
fn a_policy_may_leave_logs_and_witnesses_out() {
    let mut policy = Policy::parse(b"quorum none").unwrap();
    let log = log("log.example");
    let note = checkpoint(&log, &[]);
    assert!(matches!(policy.verify(&note), Err(PolicyError::UnknownLog { .. })));
    policy.trust_log(log.verifier().clone()).unwrap();
    assert!(policy.verify(&note).is_ok());
    assert!(matches!(policy.trust_log(log.verifier().clone()), Err(LineError::Duplicate)));
    assert!(matches!(policy.trust_log(witness(1).verifier().clone()), Err(LineError::Key(_))));
}

#[test]
fn the_rules_of_the_specification() {
    let one = witness(1).verifier().to_string();
    let two = witness(2).verifier().to_string();
    let log = log("log.example").verifier().to_string();
    let renamed = Cosigner::from_seed("other", &[101; 32]).unwrap().verifier().to_string();
    let mut moved = Signer::from_seed("moved.example", &[11; 32]).unwrap().verifier().to_string();
    assert_eq!(log.len(), "log.example".len() + 1 + 8 + 1 + 44);
    let wrong = |text: &str| match Policy::parse(text.as_bytes()) {
        Err(PolicyError::Line { line, source }) => (line, source),
        other => panic!("{text}: {other:?}"),
    };
    use LineError::*;
    let two_witnesses = format!("witness a {one}\nwitness b {two}\n");
    assert!(matches!(wrong("quorum nobody\n"), (1, Unknown)));
    assert!(matches!(wrong("quorum none\n\nquorum none\n"), (3, Duplicate)));
    assert!(matches!(wrong("quorum none none\n"), (1, Shape)));
    assert!(matches!(wrong("Quorum none\n"), (1, Keyword)));
    assert!(matches!(wrong("quorum none\r\n"), (1, Control)));
    assert!(matches!(wrong("quorum none\x7f\n"), (1, Control)));
    assert!(matches!(wrong("log\n"), (1, Shape)));
    assert!(matches!(wrong("log x\n"), (1, Key(KeyError::Form))));
    assert!(matches!(wrong(&format!("log {one}\n")), (1, Key(KeyError::Algorithm))));
    assert!(matches!(wrong(&format!("log {log} u v\n")), (1, Shape)));
    assert!(matches!(wrong(&format!("log {log}\nlog {log} u\n")), (2, Duplicate)));
    assert!(matches!(wrong(&format!("log {log}\nlog {moved}\n")), (2, Duplicate)));
    moved = Signer::from_seed("log.example", &[9; 32]).unwrap().verifier().to_string();
    assert!(Policy::parse(format!("log {log}\nlog {moved}\nquorum none\n").as_bytes()).is_ok());
    assert!(matches!(wrong(&format!("witness a {log}\n")), (1, Key(KeyError::Algorithm))));
    assert!(matches!(wrong(&format!("witness none {one}\n")), (1, Reserved)));
    assert!(matches!(wrong(&format!("witness a {one}\nwitness a {two}\n")), (2, Duplicate)));
    assert!(matches!(wrong(&format!("witness a {one}\nwitness b {renamed}\n")), (2, Duplicate)));
    assert!(matches!(wrong(&format!("group g any a\nwitness a {one}\n")), (1, Unknown)));
    assert!(matches!(wrong(&format!("{two_witnesses}group g any a none\n")), (3, Unknown)));
    assert!(matches!(wrong(&format!("{two_witnesses}group g any g\n")), (3, Unknown)));
    assert!(matches!(wrong(&format!("{two_witnesses}group a any b\n")), (3, Duplicate)));
    assert!(matches!(wrong(&format!("{two_witnesses}group g any a a\n")), (3, Duplicate)));
    assert!(matches!(wrong(&format!("{two_witnesses}group g any a\ngroup h any a\n")), (4, Duplicate)));
    for threshold in ["0", "3", "01", "-1", "some", "99999999999999999999"] {
        assert!(matches!(wrong(&format!("{two_witnesses}group g {threshold} a b\n")), (3, Threshold)));
    }
    for no_members in ["any", "all", "0", "1"] {
        assert!(matches!(wrong(&format!("group g {no_members}\n")), (1, Threshold)));
    }
    assert!(matches!(Policy::parse(two_witnesses.as_bytes()), Err(PolicyError::NoQuorumLine)));
    assert!(matches!(Policy::parse(&vec![b'#'; MAX_POLICY + 1]), Err(PolicyError::TooLarge)));
}

/// C2SP tlog-policy, "Character set": names are bytes.
#[test]
fn names_are_bytes() {
    let one = witness(1).verifier().to_string();
    let text = [b"witness \xe2\x84\xaa ", one.as_bytes(), b"\n# \xff\nquorum \xe2\x84\xaa\n"].concat();
    assert_eq!(Policy::parse(&text).unwrap().witnesses()[0].name, "\u{212a}".as_bytes());
    let text = [b"witness \xff ", one.as_bytes(), b"\nquorum K\n"].concat();
    assert!(matches!(Policy::parse(&text), Err(PolicyError::Line { line: 2, source: LineError::Unknown })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn k_of_n(n in 1u8..8, k in 1u8..8, seen in 0u8..=255) {
        let k = 1 + k % n;
        let names: Vec<_> = (0..n).map(|number| format!("w{number}")).collect();
        let mut text = format!("log {}\n", log("log.example").verifier());
        for (number, name) in (0..).zip(&names) {
            text += &format!("witness {name} {}\n", witness(number).verifier());
        }
        text += &format!("group all-of-them {k} {}\nquorum all-of-them\n", names.join(" "));
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let cosigned: Vec<u8> = (0..n).filter(|number| seen >> number & 1 == 1).collect();
        let verdict = policy.verify(&checkpoint(&log("log.example"), &cosigned));
        prop_assert_eq!(verdict.is_ok(), cosigned.len() >= usize::from(k));
    }

    #[test]
    fn reading_never_panics(bytes: Vec<u8>, lines in prop::collection::vec("(log|witness|group|quorum|#)( (any|all|none|1|2|a|b|c)){0,4}", 0..6)) {
        let _ = Policy::parse(&bytes);
        let _ = Policy::parse(lines.join("\n").as_bytes());
    }
}
