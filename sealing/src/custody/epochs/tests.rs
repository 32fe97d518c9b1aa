use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::*;

use crate::custody::MasterKey;
use crate::custody::MasterSource;
use crate::openpgp::Epochs;
use crate::openpgp::GenerateOptions;
use crate::openpgp::generate;
use crate::openpgp::rotate;

/// A while after the key was made.
const NOW: i64 = MADE + 3600;
const MADE: i64 = 1_780_000_000;
const DAY: i64 = 86_400;

struct Place {
    dir: tempfile::TempDir,
    fingerprint: String,
    published: Cert,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        MasterKey::generate_file(&dir.path().join("master")).unwrap();
        let options = GenerateOptions::new(vec!["<alice@alpha.example>".to_owned()], MADE);
        let (cert, _) = generate(&options).unwrap();
        let place = Self {
            dir,
            fingerprint: cert.fingerprint().to_hex(),
            published: cert.clone().strip_secret_key_material(),
        };
        place.custody().put_openpgp(&cert).unwrap();
        place
    }

    fn custody(&self) -> Custody {
        let master = MasterSource::File(self.dir.path().join("master"));
        Custody::open(&self.dir.path().join("keys"), master).unwrap()
    }

    /// One day is an epoch here.
    fn rotate(&mut self, custody: &Custody, now: i64) -> bool {
        self.rotate_each(custody, 1, now)
    }

    fn rotate_each(&mut self, custody: &Custody, days: i64, now: i64) -> bool {
        let secret = custody.get(&self.fingerprint).unwrap();
        let epochs = Epochs::new(Duration::from_secs((days * DAY) as u64));
        let Some(rotated) = rotate(&secret, &self.published, epochs, now).unwrap() else { return false };
        custody.put_epoch(&rotated).unwrap();
        self.published = rotated.certificate;
        true
    }

    /// Ends of the subkeys whose secret half can be had.
    fn secret_ends(&self, custody: &Custody) -> usize {
        let secret = custody.get(&self.fingerprint).unwrap();
        secret.secret().keys().subkeys().secret().count()
    }

    /// Every file, by name.
    fn disk(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for dir in ["keys", "keys/epochs"] {
            for entry in fs::read_dir(self.dir.path().join(dir)).into_iter().flatten().flatten() {
                if entry.path().is_file() {
                    files.insert(entry.path(), fs::read(entry.path()).unwrap());
                }
            }
        }
        files
    }
}

#[test]
fn secrets_of_an_epoch_end_with_its_key_whatever_else_was_copied() {
    let mut place = Place::new();
    let custody = place.custody();
    assert!(place.rotate(&custody, NOW));
    let first = Epochs::new(Duration::from_secs(DAY as u64)).next_end(NOW);
    assert_eq!(custody.epochs().unwrap(), [first]);
    assert_eq!(place.secret_ends(&custody), 2);
    // A backup of the keys as usual: without the directory of epochs.
    let backup: Vec<_> = place.disk().into_iter().filter(|(path, _)| !path.ends_with("epochs")).collect();
    let backup: Vec<_> =
        backup.into_iter().filter(|(path, _)| path.extension() != Some("kek".as_ref())).collect();

    assert!(!place.rotate(&custody, NOW + 60));
    assert!(place.rotate(&custody, NOW + DAY));
    assert_eq!(place.secret_ends(&custody), 3);
    assert_eq!(custody.destroy_epochs(first).unwrap(), [] as [i64; 0]);
    assert_eq!(custody.destroy_epochs(first + 1).unwrap(), [first]);
    // Another process and this one see it at once.
    for custody in [&custody, &place.custody()] {
        assert_eq!(place.secret_ends(custody), 1);
        assert_eq!(custody.epochs().unwrap(), [first + DAY]);
    }
    // The backup and the master key together give nothing back but what signs.
    for (path, content) in backup {
        fs::write(path, content).unwrap();
    }
    assert_eq!(place.secret_ends(&place.custody()), 1);
}

#[test]
fn what_lived_longer_is_taken_out_of_its_old_file() {
    let mut place = Place::new();
    let custody = place.custody();
    assert_eq!(place.secret_ends(&custody), 1);
    place.rotate(&custody, NOW);
    let master = custody.master().unwrap();
    let base = custody.read(&place.fingerprint, &master).unwrap();
    assert_eq!(base.keys().subkeys().secret().count(), 0);
    assert!(base.primary_key().key().has_secret());
}

#[test]
fn a_rotation_that_was_cut_short_is_completed_by_the_next() {
    let mut place = Place::new();
    let custody = place.custody();
    let before = place.published.clone();
    place.rotate(&custody, NOW);
    // The secrets are down, the certificate was never published.
    place.published = before;
    assert!(place.rotate(&custody, NOW + 1));
    // The first one's subkey is there too; it costs nothing.
    assert_eq!(place.secret_ends(&custody), 3);
    let until = custody.epochs().unwrap();
    assert_eq!(until.len(), 1);
}

#[test]
fn a_key_of_an_epoch_that_cannot_be_opened_is_an_error_not_a_destroyed_one() {
    let mut place = Place::new();
    let custody = place.custody();
    place.rotate(&custody, NOW);
    let until = custody.epochs().unwrap()[0];
    let kek = custody.kek_path(until);
    let mut content = fs::read(&kek).unwrap();
    *content.last_mut().unwrap() ^= 1;
    files::write(&kek, &content).unwrap();
    assert!(matches!(custody.get(&place.fingerprint), Err(CustodyError::Damaged { .. })));
}

#[test]
fn a_removed_key_leaves_nothing_in_any_epoch() {
    let mut place = Place::new();
    let custody = place.custody();
    place.rotate(&custody, NOW);
    custody.remove(&place.fingerprint).unwrap();
    let left: Vec<_> =
        place.disk().into_keys().filter(|path| path.extension() == Some("epoch".as_ref())).collect();
    assert_eq!(left, [] as [PathBuf; 0]);
}

#[test]
fn shorter_epochs_hold_for_the_secrets_that_are_there() {
    let mut place = Place::new();
    let custody = place.custody();
    assert!(place.rotate_each(&custody, 30, NOW));
    assert!(place.rotate_each(&custody, 1, NOW + 60));
    let short = Epochs::new(Duration::from_secs(DAY as u64)).next_end(NOW + 60);
    let all = custody.epochs().unwrap();
    assert_eq!((all.len(), all[0]), (2, short));
    assert!(place.secret_ends(&custody) >= 2, "they are not lost");
    custody.destroy_epochs(short + 1).unwrap();
    for custody in [&custody, &place.custody()] {
        assert_eq!(place.secret_ends(custody), 0, "their certificate says that they ended");
    }
}

/// A hard link shows what is left on the disk of a file that was replaced.
#[test]
fn what_was_taken_out_is_not_left_on_the_disk() {
    let mut place = Place::new();
    let custody = place.custody();
    let key = place.dir.path().join(format!("keys/{}.key", place.fingerprint));
    let (left, before) = (place.dir.path().join("left"), fs::read(&key).unwrap());
    fs::hard_link(&key, &left).unwrap();
    assert!(place.rotate(&custody, NOW));
    let after = fs::read(&left).unwrap();
    assert_eq!(after.len(), before.len());
    assert_ne!(after, before);
    fs::write(&key, after).unwrap();
    assert!(place.custody().get(&place.fingerprint).is_err());
}

#[test]
fn a_destruction_that_was_cut_short_is_completed_by_the_next() {
    let mut place = Place::new();
    let custody = place.custody();
    assert!(place.rotate(&custody, NOW));
    let until = custody.epochs().unwrap()[0];
    let kek = place.dir.path().join(format!("keys/epochs/{until}.kek"));
    fs::write(&kek, vec![0x55; fs::read(&kek).unwrap().len()]).unwrap();
    let after = place.custody();
    assert!(after.get(&place.fingerprint).is_err(), "nobody says that there are no secrets");
    assert_eq!(after.destroy_epochs(until + 1).unwrap(), [until]);
    assert_eq!(place.secret_ends(&after), 0);
    assert!(place.rotate(&after, until + 60));
    assert_eq!(place.secret_ends(&after), 1);
}

#[test]
fn a_gateway_that_was_off_for_a_month_goes_on() {
    let mut place = Place::new();
    let custody = place.custody();
    assert!(place.rotate(&custody, NOW));
    let later = NOW + 40 * DAY;
    assert_eq!(custody.destroy_epochs(later - 5 * DAY).unwrap().len(), 1);
    assert_eq!(place.secret_ends(&custody), 0);
    assert!(place.rotate(&custody, later));
    assert_eq!(place.secret_ends(&custody), 1);
    assert!(!place.rotate(&custody, later + 60));
}

/// It went back before the epoch in which subkeys were shortened: what is published then counts, and stays readable.
#[test]
fn a_clock_that_goes_back_loses_nothing() {
    let mut place = Place::new();
    let custody = place.custody();
    let then = NOW + 10 * DAY;
    assert!(place.rotate(&custody, then));
    let fingerprint = place.fingerprint.clone();
    let secrets = |custody: &Custody| -> Vec<Fingerprint> {
        let secret = custody.get(&fingerprint).unwrap();
        secret.secret().keys().subkeys().secret().map(|key| key.key().fingerprint()).collect()
    };
    let before = secrets(&custody);
    for back in [NOW + DAY, NOW + 3 * DAY, then - DAY, then - 60] {
        place.rotate(&custody, back);
    }
    assert!(!place.rotate(&custody, then + 60), "what was made then is there");
    // What is published to live until the end of the next epoch can be read until then.
    custody.destroy_epochs(then).unwrap();
    let after = secrets(&custody);
    assert!(before.iter().all(|key| after.contains(key)), "{before:?} {after:?} {:?}", custody.epochs());
}

/// Killed while a file was written: what was written of it does not outlive the key.
#[test]
fn what_a_crash_left_of_a_file_is_destroyed_too() {
    let place = Place::new();
    let custody = place.custody();
    let [keys, epochs] = ["keys", "keys/epochs"].map(|dir| place.dir.path().join(dir));
    fs::create_dir(&epochs).unwrap();
    let left = [keys.join(".new-a"), epochs.join(".new-b")];
    let key = fs::read(keys.join(format!("{}.key", place.fingerprint))).unwrap();
    let linked = place.dir.path().join("left");
    for path in &left {
        fs::write(path, &key).unwrap();
    }
    fs::hard_link(&left[0], &linked).unwrap();
    custody.destroy_epochs(NOW).unwrap();
    assert!(left.iter().all(|path| !path.exists()));
    assert_ne!(fs::read(&linked).unwrap(), key);
    fs::write(&left[0], &key).unwrap();
    let whole = place.dir.path().join("whole");
    fs::hard_link(keys.join(format!("{}.key", place.fingerprint)), &whole).unwrap();
    custody.remove(&place.fingerprint).unwrap();
    assert!(!left[0].exists());
    assert_ne!(fs::read(&whole).unwrap(), key);
}
