//! A log that somebody has seen longer than it is, and how it goes on when that was a mistake.

use super::*;

/// A log of five entries, with what it has published.
fn five() -> (World, KeyLog, Vec<u8>) {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..3), NOW).unwrap();
    assert_eq!(log.checkpoint().unwrap().checkpoint().size(), 5);
    let published = published(&world);
    (world, log, published)
}

fn published(world: &World) -> Vec<u8> {
    fs::read(world.directory().join("checkpoint")).unwrap()
}

fn is_refused<T: std::fmt::Debug>(result: Result<T, KeyLogError>, seen: u64) {
    assert!(
        matches!(result, Err(KeyLogError::RolledBack { size: 5, known }) if known == seen),
        "{seen}: {result:?}"
    );
}

fn absolve(world: &World) -> Result<Option<u64>, KeyLogError> {
    KeyLog::absolve(&world.directory(), world.signer().verifier())
}

#[test]
fn who_has_seen_no_more_than_there_is_stops_nothing() {
    let (world, mut log, _) = five();
    for known in [0, 4, 5] {
        log.outpaced(known).unwrap();
    }
    log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
    drop(log);
    assert_eq!(absolve(&world).unwrap(), None);
    world.open().refresh(NOW).unwrap();
}

#[test]
fn an_outpaced_log_signs_nothing_also_after_a_restart() {
    let (world, mut log, before) = five();
    let witness = Signer::from_seed("witness.example.net", &[7; 32]).unwrap();
    let note = log.checkpoint().unwrap().note().clone();
    is_refused(log.outpaced(6), 6);
    is_refused(log.append(&[set("alice@example.org", &["a"])], NOW).map(|_| ()), 6);
    is_refused(log.refresh(NOW).map(|_| ()), 6);
    is_refused(log.cosigned(&note), 6);
    let never = |_: &[u8]| -> Result<(u16, Vec<u8>), std::io::Error> { panic!("nobody is asked") };
    is_refused(log.witness(witness.verifier(), 0, never), 6);
    drop(log);
    for _ in 0..2 {
        is_refused(world.try_open(), 6);
    }
    assert_eq!(published(&world), before);
    // What was signed before can be read and proved all the same.
    assert_eq!(found(&world.look_up("user1@example.org")), Some(keys(&["a"])));
}

#[test]
fn an_absolved_log_goes_on_with_the_same_history() {
    let (world, mut log, _) = five();
    let earlier = log.checkpoint().unwrap().checkpoint().clone();
    is_refused(log.outpaced(900), 900);
    is_refused(log.outpaced(6), 6);
    assert!(matches!(absolve(&world), Err(KeyLogError::Tiles(TilesError::Locked))), "it is written to");
    drop(log);
    is_refused(world.try_open(), 900);
    assert_eq!(absolve(&world).unwrap(), Some(900), "the largest claim");
    assert_eq!(absolve(&world).unwrap(), None, "once is enough");
    let mut log = world.open();
    log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
    assert!(world.tiles().continues(&earlier).unwrap());
    world.audit().unwrap();
    // The next witness that knows more stops it again.
    assert!(matches!(log.outpaced(8), Err(KeyLogError::RolledBack { size: 7, known: 8 })));
}

#[test]
fn absolution_excuses_no_roll_back_that_the_second_place_knows() {
    let (world, log, _) = five();
    drop(log);
    let backup = world.back_up();
    let mut log = world.open();
    log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
    assert!(log.outpaced(8).is_err());
    drop(log);
    world.restore(&backup);
    assert_eq!(absolve(&world).unwrap(), None, "the copy was not stopped");
    is_refused(world.try_open(), 7);
}

#[test]
fn only_the_log_itself_is_absolved() {
    let (world, mut log, _) = five();
    is_refused(log.outpaced(6), 6);
    drop(log);
    let foreign = Signer::from_seed("foreign.example.net/log", &[9; 32]).unwrap();
    assert!(KeyLog::absolve(&world.directory(), foreign.verifier()).is_err());
    let nowhere = world.home.path().join("nowhere");
    assert!(KeyLog::absolve(&nowhere, world.signer().verifier()).is_err());
    assert!(!nowhere.exists());
    is_refused(world.try_open(), 6);
}
