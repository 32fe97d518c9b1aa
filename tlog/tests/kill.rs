//! The writer of a log killed at any moment: what it said was sealed stays sealed, what was published stays
//! published, and the files are a log. The writer is this test program again, in a process of its own.

#![expect(clippy::unwrap_used, reason = "a failed assumption here is a failed test")]

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use tlog::checkpoint::SignedCheckpoint;
use tlog::key::Signer;
use tlog::tiles::Directory;
use tlog::tiles::Reader;
use tlog::tiles::TilesError;
use tlog::tiles::Writer;

const DIRECTORY: &str = "TLOG_TEST_DIRECTORY";

fn signer() -> Signer {
    Signer::from_seed("log.example", &[8; 32]).unwrap()
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// Not a test: what the test below starts and kills. It says each step once it is done.
#[test]
#[ignore = "started by the other test"]
fn writer_process() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let mut writer = Writer::open(Path::new(&directory), signer().verifier()).unwrap();
    if let Some(sealed) = writer.unpublished().cloned() {
        writer.publish(sealed.note()).unwrap();
    }
    for batch in 0.. {
        for _ in 0..1 + batch * 37 % 90 {
            writer.append(&entry(writer.size())).unwrap();
        }
        let sealed = writer.seal(&signer(), vec![]).unwrap();
        println!("\nsealed {}", sealed.checkpoint().size());
        writer.publish(sealed.note()).unwrap();
        println!("\npublished {}", sealed.checkpoint().size());
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_sealed() {
    let directory = tempfile::tempdir().unwrap();
    drop(Writer::create(directory.path(), &signer(), vec![]).unwrap());
    let (mut sealed, mut published) = (0, 0);
    for round in 0..25_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "writer_process"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // The moment differs from round to round: after so many steps and a number of idle turns.
        let mut steps = 1 + round * 7 % 12;
        for line in lines {
            let Some((step, size)) = line.split_once(' ') else { continue };
            match step {
                "sealed" => sealed = size.parse().unwrap(),
                "published" => published = size.parse().unwrap(),
                _ => continue,
            }
            steps = steps.saturating_sub(1);
            if steps == 0 {
                (0..round * 2000).for_each(|_| std::hint::spin_loop());
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());

        let signed = fs::read(directory.path().join("checkpoint")).unwrap();
        let signed = SignedCheckpoint::open(&signed, signer().verifier()).unwrap();
        assert!(signed.checkpoint().size() >= published);
        let reader = Reader::open(Directory::new(directory.path()), signed.checkpoint()).unwrap();
        let whole = reader.for_each(0..reader.size(), |index, bytes| {
            assert_eq!(bytes, entry(index));
            Ok::<_, TilesError>(())
        });
        whole.unwrap();
        let writer = Writer::open(directory.path(), signer().verifier()).unwrap();
        assert!(writer.size() >= sealed && sealed > 0);
        assert!(writer.reader().unwrap().continues(signed.checkpoint()).unwrap());
    }
}
