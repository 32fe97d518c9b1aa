//! The promise of the notary against real faults: a killed process, a full disk, files that turn
//! read-only. Each runs the writer in a process of its own, which is this test program again.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed assumption here is a failed test")]

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use notary::AppendError;
use notary::Entry;
use notary::Notary;
use notary::OpenError;
use notary::Options;
use notary::Reader;
use notary::system_clock;
use serde_json::json;
use zeroize::Zeroizing;

const KEY: [u8; 32] = [7; 32];
const DATABASE: &str = "NOTARY_TEST_DATABASE";

fn options(path: &Path) -> Options {
    Options {
        path: path.to_owned(),
        origin: "faults.example".into(),
        key: Zeroizing::new(KEY),
        software: "fault test".into(),
        clock: system_clock,
    }
}

fn entry(number: u64, size: usize) -> Entry {
    Entry {
        txid: format!("tx-{number}"),
        event: "screened".into(),
        committed: vec![("rcpt".into(), b"bob@beta.example".to_vec())],
        private: json!({"subject": "x".repeat(size)}).into(),
        lookup: vec![("queue-id".into(), format!("Q{number}"))],
        ..Entry::default()
    }
}

/// This program again, running one of the ignored tests below.
fn program(role: &str, database: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", role, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(DATABASE, database).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

fn database() -> std::path::PathBuf {
    std::env::var_os(DATABASE).expect("run by another test only").into()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "run by every_receipt_survives_kill_9"]
fn appends_for_ever() {
    let notary = Notary::open(options(&database())).unwrap();
    let pid = u64::from(std::process::id());
    thread::scope(|scope| {
        for writer in 0..8 {
            let notary = &notary;
            scope.spawn(move || {
                for number in 0.. {
                    let txid = pid * 1_000_000 + writer * 100_000 + number;
                    let receipt = notary.append(entry(txid, 100)).wait().unwrap();
                    let hash: String = receipt.leaf_hash.iter().map(|byte| format!("{byte:02x}")).collect();
                    say(&format!("receipt {} {hash} tx-{txid}", receipt.seq));
                }
            });
        }
    });
}

#[test]
fn every_receipt_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notary.sqlite");
    let mut receipts = Vec::new();
    let runs = 6;
    for run in 0..runs {
        let mut child = program("appends_for_ever", &path).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // Killed after a number of receipts that differs from run to run, in the middle of others.
        while seen < 40 + run * 37 {
            let line = lines.next().unwrap().unwrap();
            seen += usize::from(collect(&line, &mut receipts));
        }
        child.kill().unwrap();
        for line in lines {
            collect(&line.unwrap(), &mut receipts);
        }
        child.wait().unwrap();
    }
    let reader = Reader::open(&path, Some(&KEY)).unwrap();
    for (seq, hash, txid) in &receipts {
        let story = reader.story(*seq).unwrap().unwrap_or_else(|| panic!("receipt {seq} has no leaf"));
        let found: String = story.leaf_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&found, &story.txid), (hash, txid));
    }
    drop(reader);
    let notary = Notary::open(options(&path)).unwrap();
    let found = notary.verify().unwrap();
    assert_eq!(found.faults, []);
    assert_eq!((found.epochs, found.unclean), (runs as u64 + 1, runs as u64));
    assert!(found.size as usize >= receipts.len());
}

fn collect(line: &str, receipts: &mut Vec<(u64, String, String)>) -> bool {
    // The test harness writes to the same stream, so a receipt may stand behind its words.
    let Some((_, receipt)) = line.split_once("receipt ") else { return false };
    let mut words = receipt.split(' ').map(str::to_owned);
    let (Some(seq), Some(hash), Some(txid)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    receipts.push((seq.parse().unwrap(), hash, txid));
    true
}

#[test]
#[ignore = "run by a_full_disk_defers_and_recovers"]
fn fills_the_disk() {
    let path = database();
    let ballast = path.with_file_name("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let notary = Notary::open(options(&path)).unwrap();
    let mut recorded = 1;
    let refused = loop {
        match notary.append(entry(recorded, 20_000)).wait() {
            Ok(receipt) => assert_eq!(receipt.seq, recorded),
            Err(error) => break error,
        }
        recorded += 1;
    };
    assert!(matches!(refused, AppendError::Storage(_)), "{refused:?}");
    for number in 0..20 {
        assert!(notary.append(entry(number, 200_000)).wait().is_err());
    }
    assert_eq!(notary.verify().unwrap().faults, [], "while the disk is full");
    fs::remove_file(&ballast).unwrap();
    for number in 0..10 {
        let receipt = notary.append(entry(number, 1000)).wait().unwrap();
        assert_eq!(receipt.seq, recorded + number, "no gap, and nothing of what was refused");
    }
    notary.close().unwrap();
    let found = Reader::open(&path, Some(&KEY)).unwrap().verify().unwrap();
    assert_eq!((found.faults.as_slice(), found.size), (&[][..], recorded + 11));
    say("all as promised");
}

#[test]
fn a_full_disk_defers_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let inner = program("fills_the_disk", &directory.path().join("notary.sqlite"));
    // A small file system of its own, in a mount namespace that ends with the process.
    let script = r#"mount --make-rprivate / && mount -t tmpfs -o size=4m tmpfs "$0" || exit 42; exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(directory.path());
    command.arg(inner.get_program()).args(inner.get_args());
    command.env(DATABASE, directory.path().join("notary.sqlite")).stdout(Stdio::piped());
    let output = command.output().unwrap();
    let mounted = String::from_utf8_lossy(&output.stdout).contains("running");
    assert!(mounted, "this test mounts a tmpfs as root: {}", String::from_utf8_lossy(&output.stderr));
    succeeded(output.status.success(), &String::from_utf8_lossy(&output.stdout));
}

fn succeeded(success: bool, out: &str) {
    assert!(success && out.contains("all as promised"), "{out}");
}

#[test]
#[ignore = "run by a_file_size_limit_defers_and_recovers"]
fn meets_a_limit() {
    let notary = Notary::open(options(&database())).unwrap();
    say("opened");
    let mut recorded = 1;
    while notary.append(entry(recorded, 20_000)).wait().is_ok() {
        recorded += 1;
    }
    say("refused");
    // The limit is lifted from outside.
    let receipt = loop {
        if let Ok(receipt) = notary.append(entry(recorded, 20_000)).wait() {
            break receipt;
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(receipt.seq, recorded);
    assert_eq!(notary.verify().unwrap().faults, []);
    say("all as promised");
}

/// A write that the system cuts short in the middle of a batch (EFBIG).
#[test]
fn a_file_size_limit_defers_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let inner = program("meets_a_limit", &directory.path().join("notary.sqlite"));
    let mut command = Command::new("env");
    command.args(["--ignore-signal=XFSZ"]).arg(inner.get_program()).args(inner.get_args());
    command.env(DATABASE, directory.path().join("notary.sqlite")).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut out, "opened");
    limit(&child, "1500000");
    wait_for(&mut out, "refused");
    limit(&child, "unlimited");
    wait_for(&mut out, "all as promised");
    assert!(child.wait().unwrap().success());
}

fn wait_for(out: &mut impl BufRead, word: &str) {
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "ended without `{word}`");
    }
}

fn limit(child: &Child, bytes: &str) {
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", child.id()))
        .arg(format!("--fsize={bytes}:unlimited"))
        .status()
        .unwrap();
    assert!(status.success());
}

/// Files that turn immutable under an open writer, as a file system does that goes read-only.
#[test]
fn files_that_turn_read_only_defer_and_recover() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("notary.sqlite");
    let notary = Notary::open(options(&path)).unwrap();
    assert_eq!(notary.append(entry(1, 10)).wait().unwrap().seq, 1);
    // Not the index of the write-ahead log: a write to a mapped file that turned immutable is a
    // SIGBUS, and the process is gone before it can answer anything.
    let files = ["", "-wal"].map(|end| format!("{}{end}", path.display()));
    let chattr = |flag| Command::new("chattr").arg(flag).args(&files).output().unwrap().status.success();
    assert!(
        chattr("+i"),
        "this test makes files immutable: it needs root, and a target directory on ext4, xfs or btrfs"
    );
    let outcomes: Vec<_> = (2..6).map(|number| notary.append(entry(number, 10)).wait()).collect();
    assert!(chattr("-i"));
    for outcome in outcomes {
        assert!(matches!(outcome, Err(AppendError::Storage(_))), "{outcome:?}");
    }
    assert_eq!(notary.append(entry(9, 10)).wait().unwrap().seq, 2);
    assert_eq!(notary.verify().unwrap().faults, []);
}

#[test]
#[ignore = "run by a_read_only_file_is_refused_at_the_start"]
fn opens_twice() {
    let path = database();
    let refused = Notary::open(options(&path)).map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Storage(_) | OpenError::Append(_)), "{refused:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let notary = Notary::open(options(&path)).unwrap();
    notary.append(entry(1, 10)).wait().unwrap();
    assert_eq!(notary.verify().unwrap().faults, []);
    say("all as promised");
}

#[test]
fn a_read_only_file_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notary.sqlite");
    drop(Notary::open(options(&path)).unwrap());
    let root =
        fs::metadata("/proc/self").map(|process| std::os::unix::fs::MetadataExt::uid(&process)).unwrap() == 0;
    let mut command = program("opens_twice", &path);
    if root {
        // Root may write to everything, so the child is somebody else, who owns the files.
        let nobody = 65534;
        std::os::unix::fs::chown(directory.path(), Some(nobody), Some(nobody)).unwrap();
        for file in fs::read_dir(directory.path()).unwrap() {
            std::os::unix::fs::chown(file.unwrap().path(), Some(nobody), Some(nobody)).unwrap();
        }
        let copy = directory.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let mut own = Command::new(copy);
        own.args(command.get_args()).env(DATABASE, &path).uid(nobody).gid(nobody);
        own.stdout(Stdio::piped()).stderr(Stdio::inherit());
        command = own;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let output = command.output().unwrap();
    succeeded(output.status.success(), &String::from_utf8_lossy(&output.stdout));
}
