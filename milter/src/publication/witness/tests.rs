use tlog::checkpoint::Checkpoint;
use tlog::key::Signer;
use tlog::merkle::Tree;
use tlog::witness::AddCheckpoint;

use super::*;

const NOW: i64 = 1_700_000_000;

/// As the key of a gateway: from the number of the directory.
fn cosigner_of(directory: &Path) -> Cosigner {
    let seed = tlog::leaf_hash(number(directory).unwrap().as_bytes());
    Cosigner::from_seed("mx.alpha.example/witness", &seed).unwrap()
}

fn first(log: &Signer) -> String {
    let checkpoint = Checkpoint::new(log.verifier().name(), 0, Tree::new().root(), Vec::new()).unwrap();
    AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: checkpoint.sign(log).unwrap() }.to_string()
}

#[test]
fn a_lost_memory_is_another_key() {
    let state = tempfile::tempdir().unwrap();
    let (kept, lost) = (state.path().join("kept"), state.path().join("lost"));
    let key = |directory: &Path| cosigner_of(directory).verifier().to_string();
    assert_eq!(key(&kept), key(&kept));
    let before = key(&lost);
    fs::remove_dir_all(&lost).unwrap();
    assert_ne!(key(&lost), before);
    fs::write(kept.join(NUMBER), "7\n").unwrap();
    assert!(number(&kept).is_err());
}

#[test]
fn only_the_logs_of_partners_are_cosigned() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("witness");
    let (partner, stranger) = (
        Signer::generate("mx.beta.example/keys").unwrap(),
        Signer::generate("mx.evil.example/keys").unwrap(),
    );
    let logs = [partner.verifier().clone()];
    let room = WitnessRoom::open_in(&directory, cosigner_of(&directory), &logs).unwrap();
    let answer = room.add_checkpoint(first(&partner).as_bytes(), NOW);
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(room.add_checkpoint(first(&stranger).as_bytes(), NOW), Answer::UnknownLog);
    assert_eq!(room.add_checkpoint(b"nonsense", NOW), Answer::Malformed);
    // What was remembered is found again, and by nobody with another number.
    drop(room);
    let room = WitnessRoom::open_in(&directory, cosigner_of(&directory), &logs).unwrap();
    assert_eq!(room.witness.size("mx.beta.example/keys"), Some(0));
    drop(room);
    fs::remove_file(directory.join(NUMBER)).unwrap();
    let other = WitnessRoom::open_in(&directory, cosigner_of(&directory), &logs);
    assert!(matches!(other, Err(WitnessError::OtherKey)));
}
