//! What the publication of many mailboxes costs, for one number of them: store, publication, updates, look-ups.
//!
//! Prints one JSON object: `mailboxes`; `store_seconds` (certificates checked and put into the store, one core) and
//! `publish_seconds` (the publication made of the whole store); `rss_mb` (the most this process ever had),
//! `store_mb` and `disk_mb` (the publication); `unchanged_ms` (brought up to date when nothing is new) and
//! `update_ms` (one certificate replaced; the median of several, disk included); `found_us` and `absent_us` (a look-up
//! of the Web Key Directory). Each mailbox has a certificate of its own, of Ed25519 and X25519; all are made of the
//! same two keys with another time of creation, because making keys is not what is measured. Build it with
//! `--release`.
//!
//! Usage: `publication_bench DIRECTORY MAILBOXES`; the directory decides which disk is measured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::convert::Infallible;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
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
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::key::Key4;
use sequoia_openpgp::packet::key::PrimaryRole;
use sequoia_openpgp::packet::key::SecretParts;
use sequoia_openpgp::packet::key::SubordinateRole;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::serialize::Serialize;
use sequoia_openpgp::types::Curve;
use sequoia_openpgp::types::KeyFlags;
use sequoia_openpgp::types::SignatureType;

/// Certificates of one import.
const BATCH: usize = 500;
/// Look-ups of either kind.
const LOOK_UPS: usize = 10_000;
const DOMAIN: &str = "gate.example";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, mailboxes] = &arguments[..] else {
        eprintln!("usage: publication_bench DIRECTORY MAILBOXES");
        return ExitCode::from(64);
    };
    measure(directory, mailboxes.parse().expect("a number of mailboxes"));
    ExitCode::SUCCESS
}

fn measure(directory: &str, mailboxes: usize) {
    let home = tempfile::tempdir_in(directory).unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let press = Press::new(now);
    let store = Store::open(&home.path().join("store.db")).unwrap();
    let storing = fill(&store, &press, mailboxes);

    let path = home.path().join("publication.db");
    let mut publisher = Publisher::open(&path).unwrap();
    publisher.on_progress(|done, todo| eprint!("\r{done} of {todo} published"));
    let publishing = refresh(&mut publisher, &store, now, mailboxes);
    eprintln!();
    let unchanged = refresh(&mut publisher, &store, now, 0);
    let mut updates: Vec<Duration> = (0..7)
        .map(|turn| {
            import(&store, &press.certificate(&format!("user{turn}"), mailboxes + turn), now);
            refresh(&mut publisher, &store, now, 1)
        })
        .collect();
    updates.sort();

    let publication = Publication::open(&path).unwrap();
    let [found, absent] = ["user", "nobody"].map(|prefix| look_up(&publication, prefix, mailboxes));
    println!(
        "{{\"name\": \"publication\", \"mailboxes\": {mailboxes}, \"store_seconds\": {:.3}, \"publish_seconds\": {:.3}, \
         \"rss_mb\": {:.1}, \"store_mb\": {:.1}, \"disk_mb\": {:.1}, \"unchanged_ms\": {:.3}, \"update_ms\": {:.3}, \
         \"found_us\": {:.2}, \"absent_us\": {:.2}}}",
        storing.as_secs_f64(),
        publishing.as_secs_f64(),
        most_memory(),
        megabytes(&home.path().join("store.db")),
        megabytes(&path),
        unchanged.as_secs_f64() * 1e3,
        updates[updates.len() / 2].as_secs_f64() * 1e3,
        found.as_secs_f64() * 1e6,
        absent.as_secs_f64() * 1e6,
    );
}

/// Makes a certificate for each mailbox and stores it; the time that storing took.
fn fill(store: &Store, press: &Press, mailboxes: usize) -> Duration {
    let mut storing = Duration::ZERO;
    let (made, ready) = mpsc::sync_channel(2);
    thread::scope(|scope| {
        scope.spawn(move || {
            for first in (0..mailboxes).step_by(BATCH) {
                let numbers = first..(first + BATCH).min(mailboxes);
                let last = numbers.end;
                let bytes: Vec<u8> =
                    numbers.flat_map(|n| press.certificate(&format!("user{n}"), n)).collect();
                made.send((last, bytes)).unwrap();
            }
        });
        for (last, bytes) in ready {
            let begin = Instant::now();
            import(store, &bytes, press.now);
            storing += begin.elapsed();
            eprint!("\r{last} of {mailboxes} stored");
        }
    });
    eprintln!();
    storing
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

/// Brings the publication up to date, in which so many mailboxes change; the time that it took.
fn refresh(publisher: &mut Publisher, store: &Store, now: i64, changes: usize) -> Duration {
    let rules = PublicationRules {
        domains: [DOMAIN.to_owned()].into(),
        openpgp: true,
        smime: true,
        ..PublicationRules::default()
    };
    let mut commit = |changes: &mut [Change]| -> Result<(), Infallible> {
        black_box(changes);
        Ok(())
    };
    let begin = Instant::now();
    let summary = publisher.refresh(store, &rules, now, &mut commit).unwrap();
    assert_eq!(summary.changed, changes);
    begin.elapsed()
}

/// The time for one look-up of mailboxes whose name begins so: `user` there is, `nobody` there is not.
fn look_up(publication: &Publication, prefix: &str, mailboxes: usize) -> Duration {
    let hashes: Vec<String> =
        (0..LOOK_UPS).map(|n| keydir::wkd_hash(&format!("{prefix}{}", n * 7919 % mailboxes))).collect();
    let begin = Instant::now();
    for hash in &hashes {
        let found = publication.wkd(DOMAIN, hash, None).unwrap();
        assert_eq!(found.is_some(), prefix == "user");
    }
    begin.elapsed() / u32::try_from(LOOK_UPS).unwrap()
}

/// Two keys, of which certificates are made quickly.
struct Press {
    primary: Key4<SecretParts, PrimaryRole>,
    subkey: Key4<SecretParts, SubordinateRole>,
    now: i64,
}

impl Press {
    fn new(now: i64) -> Self {
        Self {
            primary: Key4::generate_ecc(true, Curve::Ed25519).unwrap(),
            subkey: Key4::generate_ecc(false, Curve::Cv25519).unwrap(),
            now,
        }
    }

    /// The certificate of this local part; another `number` is another certificate.
    fn certificate(&self, local: &str, number: usize) -> Vec<u8> {
        let age = 86_400 + u64::try_from(number).unwrap();
        let created = UNIX_EPOCH + Duration::from_secs(self.now.cast_unsigned() - age);
        let (mut primary, mut subkey) = (self.primary.clone(), self.subkey.clone());
        primary.set_creation_time(created).unwrap();
        subkey.set_creation_time(created).unwrap();
        let key = sequoia_openpgp::packet::Key::from(primary);
        let subkey = sequoia_openpgp::packet::Key::from(subkey);
        let mut signer = key.clone().into_keypair().unwrap();
        let cert = Cert::try_from(vec![Packet::from(key.clone().take_secret().0)]).unwrap();
        let userid = UserID::from(format!("{local}@{DOMAIN}"));
        let claims = SignatureBuilder::new(SignatureType::PositiveCertification)
            .set_signature_creation_time(created)
            .unwrap()
            .set_key_flags(KeyFlags::empty().set_certification().set_signing())
            .unwrap();
        let claims = userid.bind(&mut signer, &cert, claims).unwrap();
        let encrypts = SignatureBuilder::new(SignatureType::SubkeyBinding)
            .set_signature_creation_time(created)
            .unwrap()
            .set_key_flags(KeyFlags::empty().set_transport_encryption())
            .unwrap();
        let encrypts = subkey.bind(&mut signer, &cert, encrypts).unwrap();
        let packets = [
            Packet::from(key.take_secret().0),
            Packet::from(userid),
            Packet::from(claims),
            Packet::from(subkey.take_secret().0),
            Packet::from(encrypts),
        ];
        let mut bytes = Vec::new();
        for packet in &packets {
            packet.serialize(&mut bytes).unwrap();
        }
        bytes
    }
}

/// The most memory that this process had, megabytes.
fn most_memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
}

fn megabytes(path: &Path) -> f64 {
    fs::metadata(path).unwrap().len() as f64 / 1e6
}
