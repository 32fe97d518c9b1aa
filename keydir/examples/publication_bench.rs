//! How long the publication of many mailboxes takes: `cargo run --release --example publication_bench -- 100000`.
//!
//! Makes so many certificates of one mailbox each (Ed25519 and X25519), stores and publishes them, changes one
//! and publishes again, and looks mailboxes up. Prints one line for each; nothing is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::convert::Infallible;
use std::fs;
use std::hint::black_box;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use keydir::Change;
use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::Publication;
use keydir::PublicationRules;
use keydir::Publisher;
use keydir::Store;
use keydir::Trust;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::KeyFlags;

/// Certificates of one import.
const BATCH: usize = 500;

fn main() {
    let count: usize = std::env::args().nth(1).map_or(10_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store.db")).unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let (making, storing) = fill(&store, count, now);
    println!("{count} certificates made in {making:.1?}, stored in {storing:.1?}");

    let path = directory.path().join("publication.db");
    let mut publisher = Publisher::open(&path).unwrap();
    publisher.on_progress(|done, todo| eprint!("\r{done} of {todo}"));
    let rules = PublicationRules {
        domains: ["gate.example".to_owned()].into(),
        openpgp: true,
        smime: true,
        ..PublicationRules::default()
    };
    let mut commit = |changes: &mut [Change]| -> Result<(), Infallible> {
        black_box(changes);
        Ok(())
    };
    let begin = Instant::now();
    let summary = publisher.refresh(&store, &rules, now, &mut commit).unwrap();
    let (took, size) = (begin.elapsed(), fs::metadata(&path).unwrap().len());
    eprintln!();
    println!("{} published in {took:.1?}; {} MB; {}", summary.mailboxes, size >> 20, memory());

    let begin = Instant::now();
    assert_eq!(publisher.refresh(&store, &rules, now, &mut commit).unwrap().examined, 0);
    println!("nothing changed: {:.1?}", begin.elapsed());
    import(&store, &certificate("user0", now), now);
    let begin = Instant::now();
    assert_eq!(publisher.refresh(&store, &rules, now, &mut commit).unwrap().changed, 1);
    println!("one changed: {:.1?}", begin.elapsed());

    let publication = Publication::open(&path).unwrap();
    for (what, prefix) in [("there", "user"), ("not there", "nobody")] {
        let hashes: Vec<String> =
            (0..10_000).map(|n| keydir::wkd_hash(&format!("{prefix}{}", n * 7919 % count))).collect();
        let begin = Instant::now();
        for hash in &hashes {
            let found = publication.wkd("gate.example", hash, None).unwrap();
            assert_eq!(found.is_some(), prefix == "user");
        }
        println!("one look-up of what is {what}: {:.1?}", begin.elapsed() / 10_000);
    }
}

/// Makes and stores certificates; gives the time for each.
fn fill(store: &Store, count: usize, now: i64) -> (Duration, Duration) {
    let (mut making, mut storing) = (Duration::ZERO, Duration::ZERO);
    for first in (0..count).step_by(BATCH) {
        let begin = Instant::now();
        let last = (first + BATCH).min(count);
        let middle = first + (last - first) / 2;
        let make = |range: std::ops::Range<usize>| -> Vec<u8> {
            range.flat_map(|n| certificate(&format!("user{n}"), now)).collect()
        };
        let bytes = std::thread::scope(|scope| {
            let half = scope.spawn(|| make(first..middle));
            let mut rest = make(middle..last);
            rest.extend(half.join().unwrap());
            rest
        });
        making += begin.elapsed();
        let begin = Instant::now();
        import(store, &bytes, now);
        storing += begin.elapsed();
        eprint!("\r{last} of {count}");
    }
    eprintln!();
    (making, storing)
}

fn certificate(local: &str, now: i64) -> Vec<u8> {
    let created = UNIX_EPOCH + Duration::from_secs(now.cast_unsigned() - 86_400);
    let builder = CertBuilder::new()
        .set_creation_time(created)
        .add_userid(format!("{local}@gate.example"))
        .add_subkey(KeyFlags::empty().set_transport_encryption(), None, None);
    let (cert, _) = builder.generate().unwrap();
    cert.strip_secret_key_material().to_vec().unwrap()
}

fn import(store: &Store, bytes: &[u8], now: i64) {
    let import = Import {
        bytes,
        subjects: None,
        origin: Origin::Generated,
        trust: Trust::Own,
        custody: Custody::Local,
        now,
    };
    store.import(&import).unwrap();
}

/// The most memory that this process had.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
