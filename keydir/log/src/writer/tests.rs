use super::*;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use tlog::policy::Policy;
use tlog::tiles::Directory;
use tlog::tiles::Reader;
use tlog::tiles::Source;
use tlog::tiles::TilesError;

use crate::audit::AuditError;
use crate::audit::audit;
use crate::keyset::Kind;
use crate::monitor;
use crate::proof::Finding;
use crate::proof::LookupProof;
use crate::proof::ProofError;
use crate::proof::Trust;
use crate::proof::Verdict;
use crate::proof::verify_lookup;
use crate::reader::LogReader;

mod crash;
mod hostile;
mod outpaced;

const ORIGIN: &str = "keys.example.org/log";
const NOW: u64 = 1_800_000_000;

thread_local! {
    /// The step at which the current test wants the power to fail.
    static FAILS_AT: RefCell<Option<&'static str>> = const { RefCell::new(None) };
}

pub(super) fn step(name: &str) -> Result<(), KeyLogError> {
    match FAILS_AT.with_borrow(|at| *at == Some(name)) {
        true => Err(KeyLogError::Interrupted),
        false => Ok(()),
    }
}

/// A log in a temporary directory with the keys to open it again.
struct World {
    home: TempDir,
    seed: [u8; 32],
    vrf: [u8; 32],
}

impl World {
    fn new() -> World {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("log")).unwrap();
        World { home, seed: [3; 32], vrf: [4; 32] }
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn memory(&self) -> PathBuf {
        self.home.path().join("remembered")
    }

    fn signer(&self) -> Signer {
        Signer::from_seed(ORIGIN, &self.seed).unwrap()
    }

    fn try_open(&self) -> Result<KeyLog, KeyLogError> {
        KeyLog::open(&self.directory(), &self.memory(), self.signer(), VrfKey::from_bytes(&self.vrf), NOW)
    }

    fn open(&self) -> KeyLog {
        self.try_open().unwrap()
    }

    fn reader(&self) -> LogReader {
        LogReader::open(&self.directory()).unwrap()
    }

    fn policy(&self) -> Policy {
        Policy::parse(format!("log {}\nquorum none\n", self.signer().verifier()).as_bytes()).unwrap()
    }

    fn proof(&self, address: &str) -> LookupProof {
        let key = VrfKey::from_bytes(&self.vrf);
        let (label, vrf) = key.prove(&mailbox(address));
        let proof = self.reader().prove(&label, Some(vrf)).unwrap();
        let read = LookupProof::from_bytes(&proof.to_bytes()).unwrap();
        assert_eq!(read, proof);
        read
    }

    fn look_up(&self, address: &str) -> Verdict {
        self.check(&self.proof(address), address).unwrap()
    }

    fn check(&self, proof: &LookupProof, address: &str) -> Result<Verdict, ProofError> {
        let (policy, key) = (self.policy(), VrfKey::from_bytes(&self.vrf));
        verify_lookup(proof, &mailbox(address), &trust(&policy, &key))
    }

    fn tiles(&self) -> Reader<Directory> {
        let source = Directory::new(self.directory());
        let bytes = source.fetch("checkpoint", 100_000).unwrap().unwrap();
        let signed = SignedCheckpoint::open(&bytes, self.signer().verifier()).unwrap();
        Reader::open(source, signed.checkpoint()).unwrap()
    }

    fn audit(&self) -> Result<crate::audit::Audited, AuditError> {
        audit(Directory::new(self.directory()), &self.policy(), None, &mut |_| {}, &mut |_, _| {})
    }

    /// A copy of the log as a backup would have it.
    fn back_up(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&self.directory(), copy.path());
        copy
    }

    fn restore(&self, backup: &TempDir) {
        fs::remove_dir_all(self.directory()).unwrap();
        fs::create_dir(self.directory()).unwrap();
        copy_tree(backup.path(), &self.directory());
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn trust<'a>(policy: &'a Policy, key: &'a VrfKey) -> Trust<'a> {
    Trust { policy, vrf: key.public(), seen: None, now: Some(NOW), max_age: 86_400, max_skew: 300 }
}

fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).unwrap()
}

fn keys(certificates: &[&str]) -> KeySet {
    let mut set = KeySet::new();
    certificates.iter().for_each(|certificate| assert!(set.add(Kind::OpenPgp, certificate.as_bytes())));
    set
}

fn set(address: &str, certificates: &[&str]) -> KeyUpdate {
    KeyUpdate { mailbox: mailbox(address), change: Change::Keys(keys(certificates)) }
}

fn erase(address: &str) -> KeyUpdate {
    KeyUpdate { mailbox: mailbox(address), change: Change::Erase }
}

fn many(numbers: std::ops::Range<u32>) -> Vec<KeyUpdate> {
    numbers.map(|n| set(&format!("user{n}@example.org"), &["a"])).collect()
}

fn found(verdict: &Verdict) -> Option<KeySet> {
    match &verdict.finding {
        Finding::Keys { keys, .. } => keys.clone(),
        _ => None,
    }
}

#[test]
fn a_new_log_proves_that_nobody_is_in_it() {
    let world = World::new();
    let log = world.open();
    assert_eq!(log.checkpoint().unwrap().checkpoint().size(), 1);
    assert_eq!(world.look_up("alice@example.org").finding, Finding::Absent);
    assert_eq!(world.audit().unwrap().root.labels, 0);
}

#[test]
fn presence_newest_and_absence_are_proved() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..300), NOW).unwrap();
    log.append(&[set("alice@example.org", &["old"])], NOW).unwrap();
    log.append(&[set("Alice@Example.ORG", &["new", "revoked"]), set("user7@example.org", &[])], NOW + 1)
        .unwrap();
    let verdict = world.look_up("alice@example.org");
    assert_eq!(found(&verdict), Some(keys(&["new", "revoked"])));
    assert!(matches!(verdict.finding, Finding::Keys { sequence: 2, .. }));
    assert_eq!(
        found(&world.look_up("user7@example.org")),
        Some(KeySet::new()),
        "no certificate, and that is logged"
    );
    assert_eq!(found(&world.look_up("user8@example.org")), Some(keys(&["a"])));
    for nobody in ["bob@example.org", "alice@example.com", "user300@example.org"] {
        assert_eq!(world.look_up(nobody).finding, Finding::Absent);
    }
    let audited = world.audit().unwrap();
    assert_eq!((audited.root.labels, audited.steps_back), (301, 0));
}

#[test]
fn what_is_known_already_adds_no_entry() {
    let world = World::new();
    let mut log = world.open();
    let size = |log: &KeyLog| log.checkpoint().unwrap().checkpoint().size();
    log.append(&[set("alice@example.org", &["a"])], NOW).unwrap();
    assert_eq!(size(&log), 3);
    log.append(&[set("alice@example.org", &["a"]), erase("nobody@example.org")], NOW).unwrap();
    assert_eq!(size(&log), 3);
    log.refresh(NOW + 60).unwrap();
    assert_eq!(size(&log), 4);
    assert_eq!(world.look_up("alice@example.org").time, NOW + 60);
    assert_eq!(log.keys(&mailbox("alice@example.org")).unwrap(), Some(keys(&["a"])));
    assert_eq!(log.keys(&mailbox("nobody@example.org")).unwrap(), None);
}

#[test]
fn the_same_mailbox_twice_at_once_is_refused() {
    let world = World::new();
    let mut log = world.open();
    let twice = [set("alice@example.org", &["a"]), set("ALICE@example.org.", &["b"])];
    assert!(matches!(log.append(&twice, NOW), Err(KeyLogError::Duplicate)));
    log.append(&twice[..1], NOW).unwrap();
}

#[test]
fn a_history_is_whole() {
    let world = World::new();
    let mut log = world.open();
    for content in ["one", "two", "three"] {
        log.append(&many(0..3), NOW).unwrap();
        log.append(&[set("alice@example.org", &[content])], NOW).unwrap();
    }
    let label = log.vrf().label(&mailbox("alice@example.org"));
    let history = world.reader().history(&label, None).unwrap().unwrap();
    assert!(history.is_whole());
    let contents: Vec<_> =
        history.entries.iter().map(|(_, _, opening)| opening.clone().unwrap().keys).collect();
    assert_eq!(contents, [keys(&["one"]), keys(&["two"]), keys(&["three"])]);
    let mut shortened = history.clone();
    shortened.entries.remove(1);
    assert!(!shortened.is_whole());
    let mut shortened = history;
    shortened.entries.remove(0);
    assert!(!shortened.is_whole());
    assert_eq!(world.reader().history(&Label([1; 32]), None).unwrap(), None);
}

#[test]
fn erasure_deletes_what_opens_and_leaves_every_proof_valid() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..20), NOW).unwrap();
    log.append(&[set("alice@example.org", &["one"])], NOW).unwrap();
    log.append(&[set("alice@example.org", &["two"])], NOW).unwrap();
    let label = log.vrf().label(&mailbox("alice@example.org"));
    let salts: Vec<[u8; 32]> = openings(&world, &label);
    assert_eq!(salts.len(), 2);
    let before = world.proof("alice@example.org");
    log.append(&[erase("alice@example.org")], NOW).unwrap();
    assert_eq!(world.look_up("alice@example.org").finding, Finding::Erased { sequence: 3 });
    assert_eq!(openings(&world, &label), Vec::<[u8; 32]>::new());
    drop(log);
    for file in
        fs::read_dir(world.directory()).unwrap().filter_map(Result::ok).filter(|file| file.path().is_file())
    {
        let bytes = fs::read(file.path()).unwrap();
        for salt in &salts {
            assert!(!bytes.windows(32).any(|window| window == salt), "a salt is left in {file:?}");
        }
    }
    // The old proof is as valid as it ever was, and the log audits.
    assert!(world.check(&before, "alice@example.org").is_ok());
    world.audit().unwrap();
    let history = world.reader().history(&label, None).unwrap().unwrap();
    assert!(history.is_whole() && history.entries.iter().all(|(_, _, opening)| opening.is_none()));
}

fn openings(world: &World, label: &Label) -> Vec<[u8; 32]> {
    let history = world.reader().history(label, None).unwrap().unwrap();
    history.entries.iter().filter_map(|(_, _, opening)| Some(*opening.as_ref()?.salt.as_bytes())).collect()
}

#[test]
fn a_mailbox_that_was_erased_may_come_back() {
    let world = World::new();
    let mut log = world.open();
    log.append(&[set("alice@example.org", &["old"])], NOW).unwrap();
    log.append(&[erase("alice@example.org")], NOW).unwrap();
    log.append(&[set("alice@example.org", &["new"])], NOW).unwrap();
    assert!(matches!(world.look_up("alice@example.org").finding, Finding::Keys { sequence: 3, .. }));
    log.append(&[erase("alice@example.org")], NOW).unwrap();
    log.append(&[erase("alice@example.org")], NOW).unwrap();
    assert_eq!(world.look_up("alice@example.org").finding, Finding::Erased { sequence: 4 });
    world.audit().unwrap();
}

#[test]
fn the_owner_of_a_mailbox_sees_every_change() {
    let world = World::new();
    let mut log = world.open();
    log.append(&[set("alice@example.org", &["one"]), set("bob@example.org", &["x"])], NOW).unwrap();
    let label = log.vrf().label(&mailbox("alice@example.org"));
    let seen = log.checkpoint().unwrap().checkpoint().clone();
    log.append(&many(0..300), NOW).unwrap();
    log.append(&[set("alice@example.org", &["two"])], NOW + 5).unwrap();
    log.append(&[erase("alice@example.org"), set("bob@example.org", &["y"])], NOW + 9).unwrap();
    let labels = HashSet::from([label]);
    let all = monitor::changes(&world.tiles(), None, &labels).unwrap();
    assert_eq!(all.iter().map(|it| it.time).collect::<Vec<_>>(), [NOW, NOW + 5, NOW + 9]);
    let new = monitor::changes(&world.tiles(), Some(&seen), &labels).unwrap();
    assert_eq!(new, all[1..]);
    assert_eq!(new[1].update.state, LabelState::Erased);
}

#[test]
fn an_audit_goes_on_where_the_last_one_ended() {
    let world = World::new();
    let mut log = world.open();
    let state = world.home.path().join("audited");
    log.append(&many(0..200), NOW).unwrap();
    let run = |seen: &mut dyn FnMut(u64, &Update)| {
        let mut last = None;
        let mut progress = |at| last = Some(at);
        let audited =
            audit(Directory::new(world.directory()), &world.policy(), Some(&state), &mut progress, seen)
                .unwrap();
        assert_eq!(last.unwrap().done, last.unwrap().size);
        audited
    };
    assert_eq!(run(&mut |_, _| {}).before, 0);
    log.append(&many(200..500), NOW).unwrap();
    log.append(&[set("user3@example.org", &["b"])], NOW - 7).unwrap();
    let mut new = Vec::new();
    let audited = run(&mut |number, _| new.push(number));
    assert_eq!((audited.before, audited.steps_back, new.len()), (202, 1, 301));
    assert_eq!(run(&mut |_, _| panic!("nothing is new")).before, 505);
}

#[test]
fn foreign_tools_read_the_proof_of_the_root() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..77), NOW).unwrap();
    let proof = world.proof("user5@example.org");
    let text = proof.to_tlog_proof().unwrap().to_string();
    let read = tlog::proof::Proof::parse(text.as_bytes()).unwrap();
    read.verify(&proof.root.to_bytes(), &world.policy()).unwrap();
    assert!(read.verify(&proof.root.to_bytes()[1..], &world.policy()).is_err());
}

#[test]
fn who_reads_while_it_is_written_sees_one_moment() {
    let world = World::new();
    let mut log = world.open();
    log.append(&many(0..100), NOW).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (reader, key, policy) =
                        (world.reader(), VrfKey::from_bytes(&world.vrf), world.policy());
                    let user = mailbox("user7@example.org");
                    let (label, vrf) = key.prove(&user);
                    let (mut last, mut proofs) = (0, 0);
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let proof = reader.prove(&label, Some(vrf)).unwrap();
                        let verdict = verify_lookup(&proof, &user, &trust(&policy, &key)).unwrap();
                        assert!(verdict.checkpoint.size() >= last, "it never goes back");
                        assert!(found(&verdict).is_some());
                        (last, proofs) = (verdict.checkpoint.size(), proofs + 1);
                    }
                    proofs
                })
            })
            .collect();
        for round in 0..20 {
            log.append(&[set("user7@example.org", &[&round.to_string()])], NOW).unwrap();
            log.append(&many(100 * round..100 * round + 50), NOW).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for thread in reading {
            assert!(thread.join().unwrap() > 0);
        }
    });
    world.audit().unwrap();
}
