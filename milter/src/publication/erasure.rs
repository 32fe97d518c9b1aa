//! Forgetting a mailbox: what strangers may see of it, what was learnt of it, and what opens its entries in the key log.
//! The log itself stays whole: a label and commitments that nobody can open any more.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use keydir::{Filter, Store, Subject};
use keylog::mailbox::Mailbox;
use keylog::writer::{Change, KeyLog, KeyLogError, KeyUpdate};
use program::chain;
use serde::Serialize;
use tlog::tiles::TilesError;

use super::log::Log;
use super::{PublicationRoom, SUBMISSIONS, submissions};
use crate::config::Config;
use crate::keyring::KeyRing;

/// How long the command waits for the daemon to finish with the log.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// What was erased.
#[derive(Debug, Default, Serialize)]
pub struct Erased {
    /// The address.
    pub address: String,
    /// Certificates that are gone from the store.
    pub removed: Vec<String>,
    /// Certificates that stand for somebody else as well, and stay for him.
    pub kept: Vec<String>,
    /// Those whose secret keys are still in custody.
    pub secrets: Vec<String>,
    /// Mailboxes withdrawn from the publication.
    pub withdrawn: usize,
    /// The key log had something of it, which nobody can open any more.
    pub logged: bool,
    /// Submitted certificates that were thrown away.
    pub submissions: usize,
}

/// Takes a mailbox out of the store. Secret keys are destroyed only if `secrets` says so: with them goes the mail that
/// was encrypted to them.
///
/// # Errors
/// In words: the store or the custody cannot be used.
pub fn forget_certificates(
    keys: &KeyRing,
    subject: &Subject,
    secrets: bool,
    now: i64,
    erased: &mut Erased,
) -> Result<(), String> {
    let store: &Store = &keys.store;
    let filter = Filter { subject: Some(subject.clone()), ..Filter::default() };
    let listed = store.list(&filter, now).map_err(|error| chain(&error))?;
    store.withdraw(subject).map_err(|error| chain(&error))?;
    let held = keys.custody.list().map_err(|error| chain(&error))?;
    for fingerprint in listed.into_iter().map(|listed| listed.record.fingerprint) {
        let left = store.get(&fingerprint).map_err(|error| chain(&error))?;
        if left.is_some_and(|record| !record.subjects.is_empty()) {
            erased.kept.push(fingerprint);
            continue;
        }
        if held.contains(&fingerprint) {
            match secrets {
                true => keys.custody.remove(&fingerprint).map_err(|error| chain(&error))?,
                false => erased.secrets.push(fingerprint.clone()),
            }
        }
        store.remove(&fingerprint).map_err(|error| chain(&error))?;
        erased.removed.push(fingerprint);
    }
    store.scrub().map_err(|error| chain(&error))
}

impl PublicationRoom {
    /// Withdraws a mailbox that has no certificates any more, and erases it in the key log. Blocking.
    ///
    /// # Errors
    /// In words: the publication or the log cannot be written; to be called again.
    pub fn erase(&self, config: &Config, address: &str, now: i64, erased: &mut Erased) -> Result<(), String> {
        erased.submissions = throw_away(&self.directory.join(SUBMISSIONS), address)?;
        let summary = self.refresh(config, now).map_err(|error| chain(&error))?;
        erased.withdrawn = summary.withdrawn;
        let (Some(log), Some(book)) = (&self.log, &self.book) else { return Ok(()) };
        let mailbox = Mailbox::parse(address).map_err(|error| error.to_string())?;
        let mut writer = open(log, now)?;
        let known = writer.keys(&mailbox).map_err(|error| chain(&error))?.is_some();
        if known {
            book.enter_erasure(&log.keys, &mailbox).map_err(|error| chain(&error))?;
            let update = KeyUpdate { mailbox, change: Change::Erase };
            writer.append(&[update], now.unsigned_abs()).map_err(|error| chain(&error))?;
        }
        erased.logged = known;
        Ok(())
    }
}

/// The daemon and a command take turns.
fn open(log: &Log, now: i64) -> Result<KeyLog, String> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let signer = log.keys.signer().map_err(|error| chain(&error))?;
        let vrf = keylog::vrf::VrfKey::from_bytes(&log.keys.vrf.to_bytes());
        match KeyLog::open(&log.directory, &log.memory, signer, vrf, now.unsigned_abs()) {
            Err(KeyLogError::Tiles(TilesError::Locked)) if Instant::now() < patience => sleep(PAUSE),
            other => return other.map_err(|error| chain(&error)),
        }
    }
}

/// What strangers submitted and the daemon did not look at yet, as far as it names the address.
fn throw_away(dir: &Path, address: &str) -> Result<usize, String> {
    let mut thrown = 0;
    let waiting =
        submissions::waiting(dir).map_err(|error| format!("cannot read {}: {error}", dir.display()))?;
    for path in waiting {
        let Ok(bytes) = submissions::read(&path) else { continue };
        let certificates = keydir::read_certificates(&bytes).unwrap_or_default();
        let names = certificates.iter().flat_map(|certificate| certificate.userids()).any(|uid| {
            let email = uid.userid().email().ok().flatten();
            email.is_some_and(|email| email.eq_ignore_ascii_case(address))
        });
        if names {
            fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
            thrown += 1;
        }
    }
    Ok(thrown)
}
