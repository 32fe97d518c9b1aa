use super::*;

use crate::key::Cosigner;
use crate::key::Signer;
use crate::merkle::Tree;
use crate::merkle::inclusion_ranges;

use proptest::prelude::*;

fn leaf(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

fn range_root(range: std::ops::Range<u64>) -> Hash {
    let mut tree = Tree::new();
    range.for_each(|index| tree.push(leaf_hash(&leaf(index))));
    tree.root()
}

/// A policy with one log and one witness, and a proof that fulfils it.
fn proof(index: u64, size: u64) -> (Policy, Proof) {
    let signer = Signer::from_seed("log.example", &[1; 32]).unwrap();
    let witness = Cosigner::from_seed("witness.example", &[2; 32]).unwrap();
    let policy = format!("log {}\nwitness w {}\nquorum w\n", signer.verifier(), witness.verifier());
    let checkpoint = Checkpoint::new("log.example", size, range_root(0..size), vec![]).unwrap();
    let mut checkpoint = checkpoint.sign(&signer).unwrap();
    checkpoint.add(witness.cosign(checkpoint.text(), 1_700_000_000).unwrap()).unwrap();
    let path = inclusion_ranges(index, size).unwrap().into_iter().map(range_root).collect();
    (Policy::parse(policy.as_bytes()).unwrap(), Proof { extra: None, index, path, checkpoint })
}

/// The example of C2SP tlog-proof, whose signatures are cut short there; the hashes are not.
#[test]
fn the_example_of_the_specification_is_read() {
    let text = "c2sp.org/tlog-proof@v1\nextra YWdl\nindex 73894\n\
        gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\nB95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\n\
        example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n\
        — example.com/fancylog hI2DJwAA\n— witness1.example mJirIklj\n";
    let proof = Proof::parse(text.as_bytes()).unwrap();
    assert_eq!((proof.index, proof.path.len()), (73_894, 2));
    assert_eq!(proof.extra.as_deref(), Some(b"age".as_slice()));
    assert_eq!(proof.checkpoint.signatures().len(), 2);
    assert_eq!(proof.to_string(), text);
}

#[test]
fn every_leaf_of_every_small_tree_is_proved_and_no_other() {
    for size in 1..20 {
        for index in 0..size {
            let (policy, proof) = proof(index, size);
            let proof = Proof::parse(proof.to_string().as_bytes()).unwrap();
            let witnessed = proof.verify(&leaf(index), &policy).unwrap();
            assert_eq!(witnessed.cosignatures[0].1, 1_700_000_000);
            assert!(matches!(proof.verify(&leaf(size), &policy), Err(ProofError::NotIncluded)));
            let other = Proof { index: (index + 1) % (size + 1), ..proof.clone() };
            assert!(matches!(other.verify(&leaf(index), &policy), Err(ProofError::NotIncluded)));
        }
    }
}

#[test]
fn the_checkpoint_must_fulfil_the_policy() {
    let (policy, proof) = proof(3, 9);
    let text = proof.to_string();
    let unwitnessed: String =
        text.lines().filter(|line| !line.contains("witness")).map(|line| format!("{line}\n")).collect();
    let refused = Proof::parse(unwitnessed.as_bytes()).unwrap();
    assert!(matches!(
        refused.verify(&leaf(3), &policy),
        Err(ProofError::Policy(PolicyError::NoQuorum { .. }))
    ));
    let grown = Proof::parse(text.replace("\n9\n", "\n10\n").as_bytes()).unwrap();
    assert!(matches!(grown.verify(&leaf(3), &policy), Err(ProofError::Policy(PolicyError::Checkpoint(_)))));
}

#[test]
fn what_is_not_a_proof_is_refused() {
    let text = proof(3, 9).1.to_string();
    let hash = base64(&[0; 32]);
    for wrong in [
        String::new(),
        text.replace("@v1", "@v2"),
        text.replace("index 3\n", ""),
        text.replace("index 3", "index 03"),
        text.replace("index 3", "index -3"),
        text.replace("index 3", "index  3"),
        text.replace("index 3", "index 3\nextra AAAA"),
        text.replace("index 3", "extra\nindex 3"),
        text.replace("index 3", "extra A\nindex 3"),
        text.replace("index 3", "extra AAAA\nextra AAAA\nindex 3"),
        text.replace("index 3", "index 3\nAAAA"),
        text.replace("index 3", "index 3\n\n"),
        text.replace("index 3", "index 3\r"),
        text.replace("index 3", &format!("index 3{}", format!("\n{hash}").repeat(MAX_PATH + 1))),
        format!("\n{text}"),
    ] {
        assert!(Proof::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
    }
    let (_, proof) = proof(3, 9);
    let large = Proof { extra: Some(vec![0; MAX_PROOF]), ..proof };
    assert!(matches!(Proof::parse(large.to_string().as_bytes()), Err(ProofError::TooLarge)));
}

proptest! {
    #[test]
    fn a_proof_is_read_as_it_was_written(extra: Option<Vec<u8>>, index in 0..=i64::MAX as u64, path in prop::collection::vec(any::<Hash>(), 0..=MAX_PATH)) {
        let (_, proof) = proof(0, 1);
        let proof = Proof { extra, index, path, ..proof };
        prop_assert_eq!(Proof::parse(proof.to_string().as_bytes()).unwrap(), proof);
    }

    #[test]
    fn no_changed_byte_of_what_is_proved_passes(at: prop::sample::Index, to in b' '..=b'~') {
        let (policy, proof) = proof(5, 11);
        let text = proof.to_string();
        let mut changed = text.clone().into_bytes();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != to);
        changed[at] = to;
        if let Ok(read) = Proof::parse(&changed) {
            prop_assert!(read.verify(&leaf(5), &policy).is_err());
        }
    }

    #[test]
    fn reading_never_panics(bytes: Vec<u8>, body in "[ -~\n]{0,100}") {
        let _ = Proof::parse(&bytes);
        let _ = Proof::parse(format!("{HEAD}\n{body}").as_bytes());
    }
}
