use std::path::PathBuf;

use tempfile::TempDir;
use tlog::key::Signer;

use super::*;
use crate::keyset::Kind;
use crate::vrf::VrfKey;
use crate::writer::Change;
use crate::writer::KeyLog;
use crate::writer::KeyUpdate;

const NOW: u64 = 1_800_000_000;
const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@alpha.example";

struct World {
    home: TempDir,
}

fn signer() -> Signer {
    Signer::from_seed("mx.alpha.example/keys", &[3; 32]).unwrap()
}

fn vrf() -> VrfKey {
    VrfKey::from_bytes(&[4; 32])
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).unwrap()
}

fn set(keys: &[&str]) -> KeySet {
    let mut set = KeySet::new();
    keys.iter().for_each(|key| assert!(set.add(Kind::OpenPgp, key.as_bytes())));
    set
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("log")).unwrap();
        Self { home }
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(&self.home.path().join("book"), &self.directory(), signer().verifier()).unwrap()
    }

    fn append(&self, address: &str, change: Change) {
        let memory = self.home.path().join("memory");
        let mut log = KeyLog::open(&self.directory(), &memory, signer(), vrf(), NOW).unwrap();
        log.append(&[KeyUpdate { mailbox: mailbox(address), change }], NOW).unwrap();
    }

    fn enter(&self, address: &str, keys: &[&str]) {
        let (mailbox, keys, names) = (mailbox(address), set(keys), keys.join(" "));
        let label = vrf().label(&mailbox);
        self.ledger()
            .enter(&[Entered { mailbox: &mailbox, label, keys: &keys, names: &names, appends: None }])
            .unwrap();
    }

    /// As the gateway does it.
    fn publish(&self, address: &str, keys: &[&str]) {
        self.enter(address, keys);
        self.append(address, Change::Keys(set(keys)));
    }

    fn watch(&self) -> Watched {
        self.ledger().watch(&self.directory(), signer().verifier()).unwrap()
    }
}

fn change(address: &str, before: &str, names: &str) -> OwnChange {
    OwnChange { mailbox: address.to_owned(), before: before.to_owned(), names: names.to_owned() }
}

#[test]
fn what_we_made_is_told_once_and_is_no_alarm() {
    let world = World::new();
    assert_eq!(world.watch(), Watched::default());
    world.publish(ALICE, &["a"]);
    world.publish(BOB, &["b"]);
    assert_eq!(world.watch().changes, [change(ALICE, "", "a"), change(BOB, "", "b")]);
    assert_eq!(world.watch(), Watched::default());
    // The same again, and two changes between two looks.
    world.publish(ALICE, &["a"]);
    assert_eq!(world.watch(), Watched::default());
    world.publish(ALICE, &["a", "c"]);
    world.publish(ALICE, &["c"]);
    assert_eq!(world.watch(), Watched { changes: vec![change(ALICE, "a", "c")], ..Watched::default() });
    // Erased: nobody is named any more.
    let label = vrf().label(&mailbox(ALICE));
    world.ledger().enter_erasure(&label).unwrap();
    world.append(ALICE, Change::Erase);
    assert_eq!(world.watch(), Watched::default());
    let book = fs::read(world.home.path().join("book")).unwrap();
    assert!(!book.windows(5).any(|window| window == b"alice"));
    world.publish(ALICE, &["new"]);
    assert_eq!(world.watch().changes, [change(ALICE, "", "new")]);
}

#[test]
fn what_was_entered_and_not_logged_is_no_alarm_and_no_news() {
    let world = World::new();
    world.publish(ALICE, &["a"]);
    world.watch();
    // The process died between the two; then something else changed first.
    world.enter(ALICE, &["b"]);
    assert_eq!(world.watch(), Watched::default());
    world.publish(ALICE, &["c"]);
    assert_eq!(world.watch().strange, [] as [String; 0]);
    world.publish(ALICE, &["b"]);
    assert_eq!(world.watch().strange, [] as [String; 0]);
}

#[test]
fn a_log_that_says_the_same_again_because_its_index_was_lost_is_no_alarm() {
    let world = World::new();
    world.publish(ALICE, &["a"]);
    world.watch();
    let first = LogReader::open(&world.directory()).unwrap().index().unwrap();
    fs::remove_file(world.directory().join("log.db")).unwrap();
    let (mailbox, keys) = (mailbox(ALICE), set(&["a"]));
    let entered = Entered {
        mailbox: &mailbox,
        label: vrf().label(&mailbox),
        keys: &keys,
        names: "a",
        appends: Some(true),
    };
    world.ledger().enter(&[entered]).unwrap();
    world.append(ALICE, Change::Keys(keys.clone()));
    assert_eq!(world.watch(), Watched::default());
    assert_ne!(LogReader::open(&world.directory()).unwrap().index().unwrap(), first);
    // Told again and not logged again: the next entry is not ours.
    world.ledger().enter(&[Entered { appends: Some(false), ..entered }]).unwrap();
    world.append(ALICE, Change::Keys(set(&["thief"])));
    assert_eq!(world.watch().strange.len(), 1);
}

#[test]
fn an_entry_that_is_not_ours_is_an_alarm_once_and_stays_counted() {
    let world = World::new();
    world.publish(ALICE, &["a"]);
    world.watch();
    // Whoever stole the key of the log.
    world.append(ALICE, Change::Keys(set(&["thief"])));
    let found = world.watch();
    assert!(found.strange[0].contains("a change of alice@alpha.example that we did not make"), "{found:?}");
    assert_eq!((found.strange.len(), found.strange_in_all, found.changes.len()), (1, 1, 0));
    assert_eq!(world.watch(), Watched { strange_in_all: 1, ..Watched::default() });
    world.append("nobody@alpha.example", Change::Keys(set(&["thief"])));
    assert!(world.watch().strange[0].contains("never published anything under this label"));
    world.append(ALICE, Change::Erase);
    assert_eq!(world.watch().strange.len(), 1);
}

#[test]
fn other_keys_in_the_place_of_ours_are_an_alarm() {
    let world = World::new();
    world.enter(ALICE, &["a"]);
    world.append(ALICE, Change::Keys(set(&["thief"])));
    let found = world.watch();
    assert!(found.strange[0].contains("other keys of alice@alpha.example"), "{found:?}");
    assert_eq!(found.changes, []);
}

#[test]
fn a_log_that_is_gone_rolled_back_or_signed_by_another_is_an_alarm() {
    let world = World::new();
    world.publish(ALICE, &["a"]);
    let old = fs::read(world.directory().join("checkpoint")).unwrap();
    world.publish(ALICE, &["b"]);
    world.watch();
    let new = fs::read(world.directory().join("checkpoint")).unwrap();
    fs::write(world.directory().join("checkpoint"), old).unwrap();
    assert!(world.watch().strange[0].contains("contradicts its own checkpoint"));
    fs::remove_file(world.directory().join("checkpoint")).unwrap();
    assert_eq!(world.watch().strange, ["the key log is gone"]);
    let text = String::from_utf8(new).unwrap().replace("mx.alpha", "mx.gamma");
    fs::write(world.directory().join("checkpoint"), text).unwrap();
    assert!(world.watch().strange[0].contains("is not ours"));
}

#[test]
fn a_new_book_adopts_what_the_log_says() {
    let world = World::new();
    world.append(ALICE, Change::Keys(set(&["a"])));
    assert_eq!(world.watch(), Watched::default());
    world.publish(ALICE, &["b"]);
    assert_eq!(world.watch(), Watched::default());
    world.publish(ALICE, &["c"]);
    assert_eq!(world.watch().changes, [change(ALICE, "b", "c")]);
}
