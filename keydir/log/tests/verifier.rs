//! A verifier that was written from docs/key-log.md, in another language and without this code, accepts what we
//! write and refuses everything that was tampered with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed assumption in a test is a failed test"
)]

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use keylog::Label;
use keylog::entry::Entry;
use keylog::entry::NO_CHAIN;
use keylog::entry::Root;
use keylog::entry::State;
use keylog::entry::Update;
use keylog::keyset::Commitment;
use keylog::keyset::KeySet;
use keylog::keyset::Kind;
use keylog::mailbox::Mailbox;
use keylog::reader::LogReader;
use keylog::trie;
use keylog::vrf::VrfKey;
use keylog::writer::Change;
use keylog::writer::KeyLog;
use keylog::writer::KeyUpdate;
use tempfile::TempDir;
use tlog::key::Cosigner;
use tlog::key::Signer;
use tlog::tiles;
use tlog::witness::Witness;

const ORIGIN: &str = "keys.example.org/log";
const NOW: u64 = 1_800_000_000;
const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/verifiers/keylog.py");

/// A log that one witness has cosigned: 700 mailboxes, of which some have changed and one was erased.
struct World {
    home: TempDir,
    witness: String,
}

impl World {
    fn new() -> World {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("log");
        let state = home.path().join("witness");
        fs::create_dir(&directory).unwrap();
        fs::create_dir(&state).unwrap();
        let cosigner = Cosigner::generate("witness.example.net").unwrap();
        let key = cosigner.verifier().clone();
        Witness::create(&state, &key).unwrap();
        let witness = Witness::open(&state, cosigner, [signer().verifier().clone()]).unwrap();
        let mut log = KeyLog::open(&directory, &home.path().join("second"), signer(), vrf(), NOW).unwrap();
        let users = (0..700).map(|n| set(&format!("user{n}@example.org"), &[b"a"]));
        log.append(&users.collect::<Vec<_>>(), NOW).unwrap();
        fs::copy(directory.join("checkpoint"), home.path().join("old")).unwrap();
        log.append(&[set("alice@bücher.example", &[b"old"]), set("erased@example.org", &[b"x"])], NOW)
            .unwrap();
        let mailbox = Mailbox::parse("erased@example.org").unwrap();
        let change =
            [set("alice@bücher.example", &[b"1", b"2"]), KeyUpdate { mailbox, change: Change::Erase }];
        log.append(&change, NOW + 1).unwrap();
        log.witness(&key, 0, |body| {
            let answer = witness.add_checkpoint(body, NOW + 2);
            Ok::<_, std::io::Error>((answer.status(), answer.body().into_bytes()))
        })
        .unwrap();
        World { home, witness: key.to_string() }
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn proof(&self, address: &str) -> Vec<u8> {
        let (label, vrf) = vrf().prove(&Mailbox::parse(address).unwrap());
        LogReader::open(&self.directory()).unwrap().prove(&label, Some(vrf)).unwrap().to_bytes()
    }

    fn audit(&self, directory: &Path) -> Output {
        let witness = ["--witness", &self.witness, "--quorum", "1"];
        verify(&[&["audit", directory.to_str().unwrap(), &log_key()], &witness[..]].concat())
    }

    fn look_up(&self, proof: &[u8], mailbox: &str, more: &[&str]) -> Output {
        let file = self.home.path().join("proof");
        fs::write(&file, proof).unwrap();
        let (log, vrf) = (log_key(), vrf_key());
        let words = ["lookup", file.to_str().unwrap(), mailbox, &log, &vrf];
        verify(&[&words[..], &["--witness", &self.witness], more].concat())
    }
}

fn signer() -> Signer {
    Signer::from_seed(ORIGIN, &[3; 32]).unwrap()
}

fn vrf() -> VrfKey {
    VrfKey::from_bytes(&[4; 32])
}

fn log_key() -> String {
    signer().verifier().to_string()
}

fn vrf_key() -> String {
    Label(*vrf().public().as_bytes()).to_string()
}

fn set(address: &str, certificates: &[&[u8]]) -> KeyUpdate {
    let mut keys = KeySet::new();
    certificates.iter().for_each(|certificate| assert!(keys.add(Kind::OpenPgp, certificate)));
    KeyUpdate { mailbox: Mailbox::parse(address).unwrap(), change: Change::Keys(keys) }
}

fn verify(words: &[&str]) -> Output {
    // Debian's, which ./setup gives the library.
    Command::new("/usr/bin/python3").arg(VERIFIER).args(words).output().expect("/usr/bin/python3 is needed")
}

#[track_caller]
fn accepted(output: &Output, expected: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim_end() == expected, "{out}{err}");
}

/// It was the verifier that refused, not Python that failed.
#[track_caller]
fn refused(output: &Output, what: &str) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let one_line = err.starts_with("keylog.py: ") && err.lines().count() == 1;
    assert!(output.status.code() == Some(1) && one_line, "{what}: {err}");
    err
}

#[test]
fn what_we_write_is_accepted() {
    let world = World::new();
    accepted(&world.audit(&world.directory()), "size 708 labels 702 updates 704 witnesses 1");
    let quorum = ["--quorum", "1", "--expect"];
    let look_up = |address, mailbox, expected| {
        world.look_up(&world.proof(address), mailbox, &[&quorum[..], &[expected]].concat())
    };
    let alice = look_up("Alice@Bücher.example", "alice@xn--bcher-kva.example", "keys");
    accepted(&alice, "keys certificates 2 size 708 witnesses 1");
    let user = look_up("user5@example.org", "user5@example.org", "keys");
    accepted(&user, "keys certificates 1 size 708 witnesses 1");
    let erased = look_up("erased@example.org", "erased@example.org", "erased");
    accepted(&erased, "erased certificates 0 size 708 witnesses 1");
    for nobody in ["bob@example.org", "user5@example.com", "user700@example.org"] {
        accepted(&look_up(nobody, nobody, "absent"), "absent certificates 0 size 708 witnesses 1");
    }
    let (directory, old) = (world.directory(), world.home.path().join("old"));
    let words = ["consistent", directory.to_str().unwrap(), &log_key(), old.to_str().unwrap()];
    accepted(&verify(&words), "size 702 to 708");
}

#[test]
fn an_empty_log_is_accepted() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("log");
    fs::create_dir(&directory).unwrap();
    KeyLog::open(&directory, &home.path().join("second"), signer(), vrf(), NOW).unwrap();
    let (label, proof) = vrf().prove(&Mailbox::parse("a@example.org").unwrap());
    let proof = LogReader::open(&directory).unwrap().prove(&label, Some(proof)).unwrap();
    fs::write(home.path().join("proof"), proof.to_bytes()).unwrap();
    let file = home.path().join("proof");
    let words = ["lookup", file.to_str().unwrap(), "a@example.org", &log_key(), &vrf_key()];
    accepted(&verify(&words), "absent certificates 0 size 1 witnesses 0");
    accepted(
        &verify(&["audit", directory.to_str().unwrap(), &log_key()]),
        "size 1 labels 0 updates 0 witnesses 0",
    );
}

#[test]
fn tampered_files_are_refused() {
    let world = World::new();
    let files = [
        "checkpoint",
        "tile/0/000",
        "tile/0/002.p/196",
        "tile/1/000.p/2",
        "tile/entries/001",
        "tile/entries/002.p/196",
    ];
    for file in files {
        let original = fs::read(world.directory().join(file)).unwrap();
        for at in [0, original.len() / 3, original.len() / 2, original.len() - 2] {
            let mut changed = original.clone();
            changed[at] ^= 1;
            fs::write(world.directory().join(file), &changed).unwrap();
            refused(&world.audit(&world.directory()), &format!("{file}, byte {at}"));
        }
        fs::write(world.directory().join(file), &original[..original.len() - 1]).unwrap();
        refused(&world.audit(&world.directory()), &format!("{file}, cut short"));
        fs::remove_file(world.directory().join(file)).unwrap();
        refused(&world.audit(&world.directory()), &format!("{file}, missing"));
        fs::write(world.directory().join(file), &original).unwrap();
    }
    // Every line of the checkpoint.
    let original = fs::read_to_string(world.directory().join("checkpoint")).unwrap();
    let mut lines: Vec<&str> = original.split('\n').collect();
    for (at, other) in
        [(0, "keys.example.org/gol"), (1, "707"), (2, "lRSyQNbQkaEL90H1kkqbKNVWPl2Xwbk2tdL8tGRPS8s=")]
    {
        let before = std::mem::replace(&mut lines[at], other);
        fs::write(world.directory().join("checkpoint"), lines.join("\n")).unwrap();
        refused(&world.audit(&world.directory()), other);
        lines[at] = before;
    }
    let cosignature = lines.remove(lines.len() - 2);
    assert!(cosignature.contains("witness.example.net"));
    fs::write(world.directory().join("checkpoint"), lines.join("\n")).unwrap();
    assert!(
        refused(&world.audit(&world.directory()), "no cosignature").contains("0 witnesses have cosigned")
    );
    fs::write(world.directory().join("checkpoint"), &original).unwrap();
    accepted(&world.audit(&world.directory()), "size 708 labels 702 updates 704 witnesses 1");
}

#[test]
fn tampered_proofs_are_refused() {
    let world = World::new();
    let absent = world.proof("bob@example.org");
    let present = world.proof("user5@example.org");
    for (proof, mailbox) in [(&absent, "bob@example.org"), (&present, "user5@example.org")] {
        let quorum = ["--quorum", "1"];
        for at in (0..proof.len()).step_by(29) {
            let mut changed = proof.clone();
            changed[at] ^= 1;
            refused(&world.look_up(&changed, mailbox, &quorum), &format!("{mailbox}, byte {at}"));
        }
        refused(&world.look_up(&proof[..proof.len() - 1], mailbox, &quorum), "cut short");
        refused(&world.look_up(proof, "carol@example.org", &quorum), "another mailbox");
        refused(&world.look_up(proof, mailbox, &["--quorum", "2"]), "two of one witness");
    }
    let none = world.look_up(&present, "user5@example.org", &["--expect", "absent"]);
    assert!(refused(&none, "present").contains("the log says keys"));
}

/// Logs that their holder has signed although they are wrong.
#[test]
fn logs_that_contradict_themselves_are_refused() {
    let label = Label([1; 32]);
    let vrf = *vrf().public().as_bytes();
    let update = |sequence, previous, content| Update {
        label,
        sequence,
        previous,
        state: State::Keys(Commitment([content; 32])),
    };
    let root = |labels, index| Entry::Root(Root { time: NOW, labels, index, vrf });
    let genesis = root(0, trie::empty_root());
    let (one, other) = (update(1, None, 1), update(1, None, 2));
    let value = one.chain(&NO_CHAIN);
    let right = root(1, trie::leaf(&label, &value));
    let two = update(2, Some(1), 3);
    let after_two = root(1, trie::leaf(&label, &two.chain(&value)));
    let foreign = Entry::Root(Root { time: NOW, labels: 1, index: trie::leaf(&label, &value), vrf: [9; 32] });
    let (one, other) = (Entry::Update(one), Entry::Update(other));
    let next = |previous, sequence| Entry::Update(update(sequence, Some(previous), 3));
    let cases: [(&str, &[&Entry]); 10] = [
        ("", &[&genesis, &one, &right, &next(1, 2), &after_two]),
        ("the last entry is not a root", &[&genesis, &one]),
        ("the first entry is not a root", &[&one, &right]),
        ("has not the next sequence", &[&genesis, &one, &other, &right]),
        ("has not the next sequence", &[&genesis, &one, &next(1, 3), &after_two]),
        ("does not name the entry before it", &[&genesis, &one, &right, &next(2, 2), &after_two]),
        ("names another VRF key", &[&genesis, &one, &foreign]),
        ("has a wrong index root", &[&genesis, &other, &right]),
        ("has a wrong index root", &[&genesis, &one, &right, &next(1, 2), &right]),
        ("counts other labels", &[&genesis, &one, &root(2, trie::leaf(&label, &value))]),
    ];
    for (expected, entries) in cases {
        let home = tempfile::tempdir().unwrap();
        let mut writer = tiles::Writer::create(home.path(), &signer(), Vec::new()).unwrap();
        entries.iter().for_each(|entry| assert!(writer.append(&entry.to_bytes()).is_ok()));
        let sealed = writer.seal(&signer(), Vec::new()).unwrap();
        writer.publish(sealed.note()).unwrap();
        let output = verify(&["audit", home.path().to_str().unwrap(), &log_key()]);
        if expected.is_empty() {
            accepted(&output, "size 5 labels 1 updates 2 witnesses 0");
        } else {
            let said = refused(&output, expected);
            assert!(said.contains(expected), "{said}");
        }
    }
}

/// RFC 9381 appendix B.3, example 16: the verifier's own function is that of the standard.
#[test]
fn the_verifier_knows_the_function_of_rfc_9381() {
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let proof = "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f\
                 26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12\
                 68a1b0db10836d9826a528ca76567805";
    let label = "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff";
    accepted(&verify(&["vrf", public, "", proof]), label);
    let identity = format!("01{}", "00".repeat(31));
    let not_canonical = format!("ee{}7f", "ff".repeat(30));
    for key in [identity, not_canonical] {
        refused(&verify(&["vrf", &key, "", proof]), &key);
    }
}
