//! What others, or the administrator by mistake, may try.

use super::*;

use tlog::key::Cosigner;
use tlog::witness::Witness;

use crate::entry::Entry;
use crate::entry::NO_CHAIN;
use crate::entry::Root;
use crate::proof::End;
use crate::replay::ReplayError;
use crate::trie;

#[test]
fn two_writers_are_refused() {
    let world = World::new();
    let _first = world.open();
    assert!(matches!(world.try_open(), Err(KeyLogError::Tiles(TilesError::Locked))));
}

#[test]
fn two_writers_on_copies_are_found_by_the_second_place() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..3), NOW).unwrap();
    let copy = world.back_up();
    let vrf = VrfKey::from_bytes(&world.vrf);
    let mut other = KeyLog::open(copy.path(), &world.memory(), world.signer(), vrf, NOW).unwrap();
    log.append(&[set("alice@example.org", &["here"])], NOW).unwrap();
    let refused = other.append(&[set("alice@example.org", &["there"])], NOW);
    assert!(matches!(refused, Err(KeyLogError::RolledBack { size: 5, known: 7 })), "{refused:?}");
    log.append(&[set("alice@example.org", &["again"])], NOW).unwrap();
}

#[test]
fn a_log_from_a_backup_is_refused() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..3), NOW).unwrap();
    let backup = world.back_up();
    log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
    let after = world.back_up();
    drop(log);
    world.restore(&backup);
    assert!(matches!(world.try_open(), Err(KeyLogError::RolledBack { size: 5, known: 7 })));
    // The tiles from the backup and the database of later.
    fs::copy(after.path().join("log.db"), world.directory().join("log.db")).unwrap();
    fs::remove_file(world.memory()).unwrap();
    assert!(matches!(world.try_open(), Err(KeyLogError::Forgotten { size: 5, .. })));
    KeyLog::adopt(&world.directory(), &world.memory(), &world.signer()).unwrap();
    assert!(matches!(world.try_open(), Err(KeyLogError::RolledBack { size: 5, known: 7 })));
    // An empty directory is one from before the first backup.
    world.restore(&after);
    drop(world.open());
    fs::remove_dir_all(world.directory()).unwrap();
    fs::create_dir(world.directory()).unwrap();
    assert!(matches!(world.try_open(), Err(KeyLogError::RolledBack { size: 0, known: 7 })));
    world.restore(&after);
    world.open().append(&[set("alice@example.org", &["b"])], NOW).unwrap();
}

#[test]
fn another_history_is_refused_although_it_is_longer() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..3), NOW).unwrap();
    let remembered = fs::read(world.memory()).unwrap();
    drop(log);
    fs::remove_dir_all(world.directory()).unwrap();
    fs::create_dir(world.directory()).unwrap();
    fs::remove_file(world.memory()).unwrap();
    world.open().append(&many(10..20), NOW).unwrap();
    fs::write(world.memory(), remembered).unwrap();
    assert!(matches!(world.try_open(), Err(KeyLogError::Forked { size: 5 })));
}

#[test]
fn a_second_place_with_something_else_is_refused() {
    let world = World::new();
    drop(world.open());
    fs::write(world.memory(), "nothing\n").unwrap();
    assert!(matches!(world.try_open(), Err(KeyLogError::ForeignMemory { .. })));
    let refused = KeyLog::adopt(&world.directory(), &world.memory(), &world.signer());
    assert!(matches!(refused, Err(KeyLogError::ForeignMemory { .. })));
}

#[test]
fn another_vrf_key_is_refused() {
    let mut world = World::new();
    world.open().append(&many(0..3), NOW).unwrap();
    world.vrf = [5; 32];
    assert!(matches!(world.try_open(), Err(KeyLogError::WrongVrfKey)));
}

#[test]
fn a_witness_that_has_seen_more_stops_the_log_for_good() {
    let world = World::new();
    let cosigner = Cosigner::generate("witness.example.net").unwrap();
    let key = cosigner.verifier().clone();
    let policy = format!("log {}\nwitness w {key}\nquorum w\n", world.signer().verifier());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let state = world.home.path().join("witness");
    fs::create_dir(&state).unwrap();
    Witness::create(&state, &key).unwrap();
    let witness = Witness::open(&state, cosigner, vec![world.signer().verifier().clone()]).unwrap();
    let send = |body: &[u8]| {
        let answer = witness.add_checkpoint(body, NOW);
        Ok::<_, std::io::Error>((answer.status(), answer.body().into_bytes()))
    };
    let mut log = world.open();
    log.append(&many(0..3), NOW).unwrap();
    let (user, vrf) = (mailbox("user1@example.org"), VrfKey::from_bytes(&world.vrf));
    let refused = verify_lookup(&world.proof("user1@example.org"), &user, &trust(&policy, &vrf));
    assert!(matches!(refused, Err(ProofError::Checkpoint(_))), "one of one witness is demanded");
    log.witness(&key, 0, send).unwrap();
    let verdict = verify_lookup(&world.proof("user1@example.org"), &user, &trust(&policy, &vrf)).unwrap();
    assert_eq!((verdict.witnesses, verdict.time), (1, NOW));

    let (backup, remembered) = (world.back_up(), fs::read(world.memory()).unwrap());
    log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
    log.witness(&key, 0, send).unwrap();
    drop(log);
    // Both places are put back: only the witness knows.
    world.restore(&backup);
    fs::write(world.memory(), remembered).unwrap();
    let mut log = world.open();
    log.refresh(NOW + 1).unwrap();
    let known = |error| matches!(error, KeyLogError::RolledBack { size: 6, known: 7 });
    assert!(known(log.witness(&key, 0, send).unwrap_err()));
    assert!(known(log.append(&[set("bob@example.org", &["b"])], NOW).unwrap_err()));
    drop(log);
    assert!(known(world.try_open().unwrap_err()));
}

#[test]
fn a_split_view_is_seen_by_whoever_knows_a_checkpoint() {
    let (here, there) = (World::new(), World::new());
    here.open().append(&[set("alice@example.org", &["true"])], NOW).unwrap();
    there.open().append(&[set("alice@example.org", &["false"])], NOW).unwrap();
    let seen = here.look_up("alice@example.org").checkpoint;
    let forged = there.proof("alice@example.org");
    let (policy, vrf) = (here.policy(), VrfKey::from_bytes(&here.vrf));
    let trust = Trust { seen: Some(&seen), ..trust(&policy, &vrf) };
    let check = |proof| verify_lookup(proof, &mailbox("alice@example.org"), &trust);
    assert!(matches!(check(&forged), Err(ProofError::SplitView)));
    check(&here.proof("alice@example.org")).unwrap();
    // Longer is no better: the checkpoint has to be a continuation, and the tiles show that it is not.
    there.open().append(&many(0..9), NOW).unwrap();
    assert!(!there.tiles().continues(&seen).unwrap());
    let watched = monitor::changes(&there.tiles(), Some(&seen), &HashSet::new());
    assert!(matches!(watched, Err(monitor::MonitorError::Forked { size: 3 })));
    let state = here.home.path().join("audited");
    let run = |world: &World| {
        audit(Directory::new(world.directory()), &policy, Some(&state), &mut |_| {}, &mut |_, _| {})
    };
    run(&here).unwrap();
    assert!(matches!(run(&there), Err(AuditError::Forked { size: 3 })));
}

#[test]
fn stale_and_future_checkpoints_are_refused() {
    let world = World::new();
    let mut log = world.open();
    log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
    let (old, seen) = (world.proof("alice@example.org"), log.checkpoint().unwrap().checkpoint().clone());
    log.append(&[set("alice@example.org", &["b"])], NOW).unwrap();
    let new = log.checkpoint().unwrap().checkpoint().clone();
    let (policy, vrf) = (world.policy(), VrfKey::from_bytes(&world.vrf));
    let check = |now, seen| {
        let trust = Trust { now, seen, ..trust(&policy, &vrf) };
        verify_lookup(&old, &mailbox("alice@example.org"), &trust)
    };
    check(Some(NOW + 86_400), Some(&seen)).unwrap();
    assert!(matches!(check(Some(NOW + 86_401), None), Err(ProofError::Stale)));
    assert!(matches!(check(Some(NOW), Some(&new)), Err(ProofError::Stale)));
    check(Some(NOW - 300), None).unwrap();
    assert!(matches!(check(Some(NOW - 301), None), Err(ProofError::Future)));
    check(None, None).unwrap();
}

#[test]
fn a_clock_that_goes_back_stops_nothing_and_is_counted() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..3), NOW + 1_000_000).unwrap();
    log.append(&many(3..6), NOW).unwrap();
    log.append(&many(6..9), 0).unwrap();
    assert_eq!(world.audit().unwrap().steps_back, 2);
}

#[test]
fn absence_is_not_forged_by_a_proof_of_another_label() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..200), NOW).unwrap();
    let genuine = world.proof("user1@example.org");
    let (label, vrf) = log.vrf().prove(&mailbox("user1@example.org"));
    let reader = world.reader();
    // The proof of every other label, said to be the place where the search for this one ends.
    for n in 2..200 {
        let other = log.vrf().label(&mailbox(&format!("user{n}@example.org")));
        let proof = reader.prove(&other, Some(vrf)).unwrap();
        let End::Present { newest, before } = proof.end else { panic!("it is there") };
        let end = End::Other(other, newest.chain(&before));
        let forged = LookupProof { end, opening: None, ..proof.clone() };
        assert!(matches!(world.check(&forged, "user1@example.org"), Err(ProofError::Index)));
        assert!(matches!(world.check(&proof, "user1@example.org"), Err(ProofError::Index)));
        // Its path cut off where the two part, so that the rest looks like one subtree with a longer prefix.
        let parts = trie::first_difference(&label, &other).unwrap();
        let mut cut = forged.clone();
        cut.path.0.retain(|step| step.bit < parts);
        assert!(matches!(world.check(&cut, "user1@example.org"), Err(ProofError::Index)));
        let mut cut = forged;
        cut.path.0.retain(|step| step.bit != parts);
        assert!(matches!(world.check(&cut, "user1@example.org"), Err(ProofError::Index)));
    }
    let End::Present { newest, before } = genuine.end else { panic!("it is there") };
    let itself =
        LookupProof { end: End::Other(label, newest.chain(&before)), opening: None, ..genuine.clone() };
    assert!(matches!(world.check(&itself, "user1@example.org"), Err(ProofError::Index)));
    let empty = LookupProof { end: End::Empty, opening: None, path: trie::Path::default(), ..genuine };
    assert!(matches!(world.check(&empty, "user1@example.org"), Err(ProofError::Index)));
}

#[test]
fn an_older_entry_is_not_shown_as_the_newest() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..20), NOW).unwrap();
    log.append(&[set("alice@example.org", &["old"])], NOW).unwrap();
    let old = world.proof("alice@example.org");
    log.append(&[set("alice@example.org", &["new"])], NOW).unwrap();
    let new = world.proof("alice@example.org");
    let check = |forged| world.check(&forged, "alice@example.org");
    let forged = LookupProof { end: old.end, opening: old.opening.clone(), ..new.clone() };
    assert!(matches!(check(forged), Err(ProofError::Index)));
    let End::Present { newest, .. } = new.end else { panic!("it is there") };
    let forged = LookupProof { end: End::Present { newest, before: NO_CHAIN }, ..new.clone() };
    assert!(matches!(check(forged), Err(ProofError::Index)));
    let forged = LookupProof { opening: old.opening.clone(), ..new.clone() };
    assert!(matches!(check(forged), Err(ProofError::Opening)));
    let forged = LookupProof { root: old.root, ..new.clone() };
    assert!(matches!(check(forged), Err(ProofError::Inclusion)));
    let forged = LookupProof { checkpoint: old.checkpoint.clone(), ..new };
    assert!(matches!(check(forged), Err(ProofError::Inclusion)));
}

#[test]
fn another_mailbox_or_another_vrf_key_is_refused() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..20), NOW).unwrap();
    let proof = world.proof("user1@example.org");
    assert!(matches!(world.check(&proof, "user2@example.org"), Err(ProofError::Vrf)));
    let without = LookupProof { vrf: None, ..proof };
    assert!(matches!(world.check(&without, "user1@example.org"), Err(ProofError::Vrf)));
    // A key of somebody else makes another label, of which the log knows nothing: no proof of absence.
    let foreign = VrfKey::from_bytes(&[9; 32]);
    let (label, vrf) = foreign.prove(&mailbox("user1@example.org"));
    let absent = world.reader().prove(&label, Some(vrf)).unwrap();
    assert!(matches!(world.check(&absent, "user1@example.org"), Err(ProofError::Vrf)));
    let policy = world.policy();
    let refused = verify_lookup(&absent, &mailbox("user1@example.org"), &trust(&policy, &foreign));
    assert!(matches!(refused, Err(ProofError::Vrf)), "the log names its key in every root");
}

#[test]
fn no_changed_byte_of_a_proof_is_accepted() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..40), NOW).unwrap();
    let bytes = world.proof("user1@example.org").to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let Ok(proof) = LookupProof::from_bytes(&changed) else { continue };
        assert!(world.check(&proof, "user1@example.org").is_err(), "byte {at} of {}", bytes.len());
    }
    for end in 0..bytes.len() {
        let read = LookupProof::from_bytes(&bytes[..end]);
        assert!(read.is_err() || world.check(&read.unwrap(), "user1@example.org").is_err());
    }
}

#[test]
fn a_log_with_a_wrong_root_does_not_audit() {
    let world = World::new();
    let signer = world.signer();
    let mut tiles = tiles::Writer::create(&world.directory(), &signer, Vec::new()).unwrap();
    let label = Label([1; 32]);
    let update = Update { label, sequence: 1, previous: None, state: LabelState::Erased };
    let root = |labels, index| Entry::Root(Root { time: NOW, labels, index, vrf: [4; 32] }).to_bytes();
    let mut publish = |entry: &[u8]| {
        tiles.append(entry).unwrap();
        let sealed = tiles.seal(&signer, Vec::new()).unwrap();
        tiles.publish(sealed.note()).unwrap();
    };
    publish(&root(0, trie::empty_root()));
    world.audit().unwrap();
    publish(&update.to_bytes());
    assert!(matches!(world.audit(), Err(AuditError::NoRoot)));
    let one = trie::leaf(&label, &update.chain(&NO_CHAIN));
    publish(&root(1, one));
    world.audit().unwrap();
    publish(&root(2, one));
    assert!(matches!(world.audit(), Err(AuditError::Replay(ReplayError::WrongRoot { number: 3 }))));
}
