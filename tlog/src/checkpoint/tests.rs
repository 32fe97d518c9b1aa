use super::*;

use proptest::prelude::*;

/// The example at the head of C2SP tlog-checkpoint.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

#[test]
fn the_example_of_the_specification_is_read() {
    let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size(), 20_852_163);
    assert_eq!(checkpoint.root()[..3], [0x0a, 0xc5, 0x18]);
    assert!(checkpoint.extensions().is_empty());
    assert_eq!(checkpoint.to_string(), note.text());
}

#[test]
fn what_is_not_a_checkpoint_is_refused() {
    let root = base64(&[0; 32]);
    for wrong in [
        String::new(),
        "\n".into(),
        "o\n".into(),
        "o\n1\n".into(),
        format!("o\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n1 \n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n9223372036854775808\n{root}\n"),
        format!("o\n1\n{root}\n\n"),
        format!("o\n1\n{root}\nx\n\ny\n"),
        format!("o\n1\n{root} \n"),
        format!("o\n1\n{}\n", base64(&[0; 31])),
        format!("o\n1\n{}\n", base64(&[0; 33])),
        format!("o\n1\n{}\n", root.trim_end_matches('=')),
    ] {
        assert!(matches!(Checkpoint::parse(&wrong), Err(CheckpointError::Malformed)), "{wrong:?}");
    }
    let hash = [0; 32];
    assert!(Checkpoint::new("", 1, hash, vec![]).is_err());
    assert!(Checkpoint::new("a\nb", 1, hash, vec![]).is_err());
    assert!(Checkpoint::new("a", 1, hash, vec![String::new()]).is_err());
    assert!(Checkpoint::new("a", 1, hash, vec!["x\ny".into()]).is_err());
    assert!(Checkpoint::new("a", 1 << 63, hash, vec![]).is_err());
}

#[test]
fn only_its_own_log_signs_a_checkpoint() {
    let signer = Signer::generate("log.example/one").unwrap();
    let own = Checkpoint::new("log.example/one", 3, [1; 32], vec!["more".into()]).unwrap();
    let bytes = own.sign(&signer).unwrap().to_string();
    let opened = SignedCheckpoint::open(bytes.as_bytes(), signer.verifier()).unwrap();
    assert_eq!(opened.checkpoint(), &own);

    let other = Checkpoint::new("log.example/two", 3, [1; 32], vec![]).unwrap();
    assert!(matches!(other.sign(&signer), Err(CheckpointError::Origin { .. })));
    let mut note = Note::new(other.to_string()).unwrap();
    note.sign(&signer).unwrap();
    let refused = SignedCheckpoint::verify(note, signer.verifier());
    assert!(matches!(refused, Err(CheckpointError::Origin { found }) if found == "log.example/two"));
    let stranger = Signer::generate("log.example/one").unwrap();
    let refused = SignedCheckpoint::open(bytes.as_bytes(), stranger.verifier());
    assert!(matches!(refused, Err(CheckpointError::Note(NoteError::Unsigned))));
}

proptest! {
    #[test]
    fn a_checkpoint_is_read_as_it_was_written(origin in "[^\\p{Cc}]{1,20}", size in 0..=i64::MAX as u64, root: Hash, extensions in prop::collection::vec("[^\\p{Cc}]{1,20}", 0..3)) {
        let checkpoint = Checkpoint::new(origin, size, root, extensions).unwrap();
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_string()).unwrap(), checkpoint);
    }

    #[test]
    fn what_is_read_is_written_the_same(text in "[a-z]{0,2}\n(0|[0-9]{1,3})\n[A-Za-z0-9+/]{42}[A-Z]=\n([a-z]{0,2}\n){0,2}") {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
    }
}
