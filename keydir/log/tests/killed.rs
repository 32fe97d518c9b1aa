//! A writer that is killed with SIGKILL, at whatever moment, has lost nothing that it has confirmed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed assumption in a test is a failed test"
)]

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use keylog::audit::audit;
use keylog::keyset::KeySet;
use keylog::keyset::Kind;
use keylog::mailbox::Mailbox;
use keylog::proof::Finding;
use keylog::proof::Trust;
use keylog::proof::verify_lookup;
use keylog::reader::LogReader;
use keylog::vrf::VrfKey;
use keylog::writer::Change;
use keylog::writer::KeyLog;
use keylog::writer::KeyUpdate;
use tlog::key::Signer;
use tlog::policy::Policy;
use tlog::tiles::Directory;

const NOW: u64 = 1_800_000_000;
/// Tells this program that it is the one to be killed, and where it shall write.
const VICTIM: &str = "KEYLOG_VICTIM";
const NAME: &str = "what_was_confirmed_is_there_after_a_kill";

fn signer() -> Signer {
    Signer::from_seed("keys.example.org/log", &[3; 32]).unwrap()
}

fn open(home: &Path) -> KeyLog {
    KeyLog::open(&home.join("log"), &home.join("second"), signer(), VrfKey::from_bytes(&[4; 32]), NOW)
        .unwrap()
}

fn mailbox(number: u32) -> Mailbox {
    Mailbox::parse(&format!("user{number}@example.org")).unwrap()
}

fn keys(round: u32) -> KeySet {
    let mut keys = KeySet::new();
    assert!(keys.add(Kind::OpenPgp, &round.to_be_bytes()));
    keys
}

/// Five mailboxes change again and again; each round that is done is confirmed on standard output.
fn write_until_killed(home: &Path) -> ! {
    let mut log = open(home);
    let first = log.keys(&mailbox(0)).unwrap().map_or(0, |_| log.checkpoint().unwrap().checkpoint().size());
    for round in u32::try_from(first).unwrap() + 1.. {
        let updates: Vec<KeyUpdate> = (0..5)
            .map(|number| KeyUpdate { mailbox: mailbox(number), change: Change::Keys(keys(round)) })
            .collect();
        log.append(&updates, NOW).unwrap();
        println!("\nconfirmed {round} {}", log.checkpoint().unwrap().checkpoint().size());
    }
    unreachable!("nobody has killed us")
}

fn victim(home: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(VICTIM, home).stdout(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn what_was_confirmed_is_there_after_a_kill() {
    if let Some(home) = std::env::var_os(VICTIM) {
        write_until_killed(Path::new(&home));
    }
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("log")).unwrap();
    let policy = format!("log {}\nquorum none\n", signer().verifier());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let mut recovered = 0;
    for turn in 0..12u64 {
        let mut child = victim(home.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let killer = thread::spawn(move || {
            // The moments are spread over the steps of a round.
            thread::sleep(Duration::from_millis(120 + 37 * turn));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let confirmed: Vec<(u32, u64)> = lines
            .map_while(Result::ok)
            .filter_map(|line| {
                let (round, size) = line.strip_prefix("confirmed ")?.split_once(' ')?;
                Some((round.parse().ok()?, size.parse().ok()?))
            })
            .collect();
        killer.join().unwrap();

        let log = open(home.path());
        recovered += u32::from(log.recovery() != keylog::writer::Recovery::default());
        audit(Directory::new(home.path().join("log")), &policy, None, &mut |_| {}, &mut |_, _| {}).unwrap();
        let Some((round, size)) = confirmed.last() else { continue };
        assert!(log.checkpoint().unwrap().checkpoint().size() >= *size);
        let reader = LogReader::open(&home.path().join("log")).unwrap();
        let trust = Trust {
            policy: &policy,
            vrf: log.vrf().public(),
            seen: None,
            now: Some(NOW),
            max_age: 0,
            max_skew: 0,
        };
        for number in 0..5 {
            let (label, vrf) = log.vrf().prove(&mailbox(number));
            let proof = reader.prove(&label, Some(vrf)).unwrap();
            let verdict = verify_lookup(&proof, &mailbox(number), &trust).unwrap();
            let Finding::Keys { keys: Some(found), .. } = verdict.finding else { panic!("{verdict:?}") };
            // That round, or the next one, which was signed and not confirmed any more.
            assert!(found == keys(*round) || found == keys(round + 1), "turn {turn}");
        }
    }
    println!("{recovered} of 12 kills left something to complete");
}
