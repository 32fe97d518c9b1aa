//! The power fails at every step.

use super::*;

const STEPS: [&str; 6] = ["prepared", "indexed", "appended", "sealed", "remembered", "committed"];

#[test]
fn a_crash_at_any_step_loses_nothing_that_was_signed() {
    for at in STEPS {
        let world = World::new();
        let mut log = world.open();
        log.append(&many(0..40), NOW).unwrap();
        log.append(&[set("erased@example.org", &["x"])], NOW).unwrap();
        let before = log.checkpoint().unwrap().checkpoint().clone();

        FAILS_AT.set(Some(at));
        let updates = [
            set("alice@example.org", &["new"]),
            erase("erased@example.org"),
            set("user3@example.org", &["b"]),
        ];
        assert!(matches!(log.append(&updates, NOW), Err(KeyLogError::Interrupted)), "{at}");
        FAILS_AT.set(None);
        // Not even the same process goes on: it cannot know how far it came.
        assert!(matches!(log.append(&updates, NOW), Err(KeyLogError::Interrupted)));
        // What readers see meanwhile holds together.
        world.check(&world.proof("alice@example.org"), "alice@example.org").unwrap();
        drop(log);

        let mut log = world.open();
        let signed = ["sealed", "remembered", "committed"].contains(&at);
        let size = log.checkpoint().unwrap().checkpoint().size();
        assert_eq!(size, if signed { before.size() + 4 } else { before.size() }, "{at}");
        assert_eq!(log.recovery().published, signed, "{at}");
        assert_eq!(log.recovery().indexed, if signed && at != "committed" { 4 } else { 0 }, "{at}");
        if signed {
            assert_eq!(
                found(&world.look_up("alice@example.org")),
                Some(keys(&["new"])),
                "its salt is there: {at}"
            );
            assert_eq!(world.look_up("erased@example.org").finding, Finding::Erased { sequence: 2 });
        } else {
            assert_eq!(world.look_up("alice@example.org").finding, Finding::Absent, "{at}");
        }
        // Whoever does not know whether it came through says it again.
        log.append(&updates, NOW).unwrap();
        assert_eq!(log.checkpoint().unwrap().checkpoint().size(), before.size() + 4, "{at}");
        assert_eq!(found(&world.look_up("user3@example.org")), Some(keys(&["b"])));
        assert!(world.tiles().continues(&before).unwrap());
        world.audit().unwrap();
    }
}

#[test]
fn a_crash_of_the_very_first_change_is_survived() {
    for at in STEPS {
        let world = World::new();
        FAILS_AT.set(Some(at));
        assert!(matches!(world.try_open(), Err(KeyLogError::Interrupted)), "{at}");
        FAILS_AT.set(None);
        let mut log = world.open();
        log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
        assert_eq!(found(&world.look_up("alice@example.org")), Some(keys(&["a"])), "{at}");
        world.audit().unwrap();
    }
}

#[test]
fn an_index_that_was_lost_is_built_again_from_the_tiles() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..600), NOW).unwrap();
    let proof = world.proof("user77@example.org");
    drop(log);
    fs::remove_file(world.directory().join("log.db")).unwrap();
    let mut log = world.open();
    assert_eq!(log.recovery().indexed, 602);
    let again = world.proof("user77@example.org");
    assert_eq!((again.root, &again.path, &again.end), (proof.root, &proof.path, &proof.end));
    // What opened the commitments was lost with it; it is said anew and can then be opened.
    assert_eq!(log.keys(&mailbox("user77@example.org")).unwrap(), None);
    assert!(matches!(world.look_up("user77@example.org").finding, Finding::Keys { keys: None, .. }));
    log.append(&[set("user77@example.org", &["a"])], NOW).unwrap();
    assert_eq!(found(&world.look_up("user77@example.org")), Some(keys(&["a"])));
}
