use super::*;

use proptest::prelude::*;
use tlog::key::Signer;

use crate::entry::State;
use crate::keyset::Commitment;
use crate::keyset::Kind;

fn example(end: End, vrf: bool, steps: u8, with_opening: bool) -> LookupProof {
    let signer = Signer::from_seed("keys.example.org/log", &[3; 32]).unwrap();
    let checkpoint = Checkpoint::new("keys.example.org/log", 9, [5; 32], Vec::new()).unwrap();
    let step = |number: u8| Step { bit: 200 - number, sibling: [number; 32] };
    let mut keys = KeySet::new();
    assert!(keys.add(Kind::Smime, b"x") && keys.add(Kind::OpenPgp, b"y"));
    LookupProof {
        vrf: vrf.then_some(VrfProof([7; 80])),
        end,
        path: Path((0..steps).map(step).collect()),
        root: Root { time: 1, labels: 2, index: [3; 32], vrf: [4; 32] },
        inclusion: vec![[6; 32]; usize::from(steps)],
        checkpoint: checkpoint.sign(&signer).unwrap(),
        opening: with_opening.then(|| Opening { salt: Salt::from_bytes([8; 32]), keys }),
    }
}

fn ends() -> [End; 3] {
    let state = State::Keys(Commitment([2; 32]));
    let newest = Update { label: Label([1; 32]), sequence: 2, previous: Some(3), state };
    [End::Empty, End::Other(Label([9; 32]), [1; 32]), End::Present { newest, before: [4; 32] }]
}

#[test]
fn a_proof_that_is_too_large_is_not_read() {
    let mut bytes = example(ends()[0], true, 0, false).to_bytes();
    bytes.resize(MAX_PROOF + 1, b'\n');
    assert!(matches!(LookupProof::from_bytes(&bytes), Err(ProofError::Malformed)));
}

proptest! {
    #[test]
    fn a_proof_is_read_as_it_was_written(end in 0usize..3, vrf: bool, steps in 0u8..40, with_opening: bool) {
        let proof = example(ends()[end], vrf, steps, with_opening);
        prop_assert_eq!(LookupProof::from_bytes(&proof.to_bytes()).unwrap(), proof);
    }

    /// Whatever is read has this one encoding, and nothing makes the reader fail otherwise.
    #[test]
    fn a_proof_has_one_encoding(end in 0usize..3, vrf: bool, steps in 0u8..4, with_opening: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in any::<prop::sample::Index>()) {
        let mut bytes = example(ends()[end], vrf, steps, with_opening).to_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for input in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(proof) = LookupProof::from_bytes(input) {
                prop_assert_eq!(proof.to_bytes(), input);
            }
        }
    }

    #[test]
    fn bytes_of_any_kind_are_read_without_harm(bytes: Vec<u8>, flags in 0u8..16) {
        let _ = LookupProof::from_bytes(&bytes);
        let _ = LookupProof::from_bytes(&[&MAGIC[..], &[flags], &bytes].concat());
        if let Some(entry) = Entry::from_bytes(&bytes) {
            prop_assert_eq!(entry.to_bytes(), bytes);
        }
    }
}
