//! The key log of the gateway: every change of what is published stands in it before anybody can see the change.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

use keydir::Change as Published;
use keydir::Scheme;
use keylog::keyset::{KeySet, Kind};
use keylog::mailbox::{Mailbox, MailboxError};
use keylog::reader::{LogReader, ReadError};
use keylog::vrf::VrfKey;
use keylog::writer::{Change, KeyLog, KeyLogError};
use program::Exit;
use sealing::custody::MasterKey;
use tlog::key::{KeyError, Signer};
use tlog::tiles::TilesError;

use super::ca_files::put;
use crate::config::GatewayConfig;

/// A checkpoint older than this is signed again although nothing has changed, seconds. Verifiers take one of a day.
const STALE: u64 = 6 * 3600;
/// How long one writer waits for another.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// What the keys of the log are derived for.
const SIGNER_PURPOSE: &str = "gatepost key log 1";
const VRF_PURPOSE: &str = "gatepost key log labels 1";
/// The file with the public keys, beside the checkpoint.
const KEYS: &str = "keys.json";
/// The local part of what stands for all addresses of a domain without certificates of their own. Not that of RFC 3183,
/// which is a mailbox with certificates of its own.
const ALL: &str = "*";

/// The keys of the log: derived from the master key, so that there is nothing more to keep.
pub struct LogKeys {
    /// The log's name, which stands in every checkpoint.
    pub origin: String,
    signer: zeroize::Zeroizing<[u8; 32]>,
    /// Makes labels of mailboxes.
    pub vrf: VrfKey,
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKeys").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl LogKeys {
    /// Derives them.
    ///
    /// # Errors
    /// The library failed.
    pub fn derive(master: &MasterKey, gateway: &GatewayConfig) -> Result<Self, Exit> {
        let derive = |purpose| {
            master
                .derive(purpose)
                .map_err(|error| Exit::unavailable("cannot derive the keys of the key log", error))
        };
        Ok(Self {
            origin: format!("{}/keys", gateway.name),
            signer: derive(SIGNER_PURPOSE)?,
            vrf: VrfKey::from_bytes(&*derive(VRF_PURPOSE)?),
        })
    }

    /// Signs checkpoints.
    ///
    /// # Errors
    /// The origin is no name that a key can have.
    pub fn signer(&self) -> Result<Signer, KeyError> {
        Signer::from_seed(&self.origin, &self.signer)
    }

    /// What verifies the log, for everybody.
    fn document(&self) -> Result<String, KeyError> {
        let vrf: String = self.vrf.public().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let keys = serde_json::json!({
            "origin": self.origin,
            "log_key": self.signer()?.verifier().to_string(),
            "vrf_key": vrf,
        });
        Ok(format!("{keys}\n"))
    }

    /// Keys that everybody knows.
    #[cfg(test)]
    pub(super) fn scripted(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            signer: zeroize::Zeroizing::new([1; 32]),
            vrf: VrfKey::from_bytes(&[2; 32]),
        }
    }

    fn vrf(&self) -> VrfKey {
        VrfKey::from_bytes(&self.vrf.to_bytes())
    }
}

/// Where the log is.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) directory: PathBuf,
    /// The last checkpoint, in another directory: a log that was put back to an earlier state is found out.
    pub(super) memory: PathBuf,
    pub(super) keys: LogKeys,
}

/// Why the log did not take a change.
#[derive(Debug, thiserror::Error)]
pub enum LogTrouble {
    /// The file with the public keys.
    #[error("the keys of the key log cannot be written")]
    File(#[from] std::io::Error),
    /// Its key.
    #[error("the key of the key log cannot be used")]
    Key(#[from] KeyError),
    /// The log.
    #[error("the key log cannot be written")]
    Log(#[source] KeyLogError),
    /// Its index.
    #[error("the key log cannot be read")]
    Read(#[from] ReadError),
    /// Something is published for what is no mailbox.
    #[error("{mailbox} has no label")]
    Mailbox {
        /// The text.
        mailbox: String,
        /// What is wrong.
        source: MailboxError,
    },
    /// It is an older copy of itself. Not to be repaired by us.
    #[error(
        "the key log signs nothing any more, for that would be a second history. Stop the gateway and bring its \
         directory back as it was last; if that is lost, begin a log with a new name; if it was a witness that erred, run \
         `gatepost keys log --resume`. See \"Roll-back\" in docs/key-log.md"
    )]
    RolledBack(#[source] KeyLogError),
    /// More certificates than a key set holds.
    #[error("{0} has too many certificates for the key log")]
    TooMany(String),
}

impl From<KeyLogError> for LogTrouble {
    fn from(error: KeyLogError) -> Self {
        match error {
            KeyLogError::RolledBack { .. } | KeyLogError::Forked { .. } => Self::RolledBack(error),
            error => Self::Log(error),
        }
    }
}

impl Log {
    /// One refresh. The log is opened when there is something to write, and closed at the end: the daemon and a
    /// command take turns.
    pub(super) fn session(&self, now: i64) -> Session<'_> {
        Session { log: self, open: None, now: now.unsigned_abs() }
    }
}

/// The log during one refresh.
pub(super) struct Session<'l> {
    log: &'l Log,
    open: Option<KeyLog>,
    now: u64,
}

impl Session<'_> {
    /// The keys of the log.
    pub(super) fn keys(&self) -> &LogKeys {
        &self.log.keys
    }

    /// Tells this log from another one, and from one whose index was lost and what opens its entries with it. The log is
    /// begun, or its index built again, if it has to be.
    pub(super) fn identity(&mut self) -> Result<String, LogTrouble> {
        let index = |directory: &Path| LogReader::open(directory).and_then(|reader| reader.index());
        let known = index(&self.log.directory).ok().filter(|index| *index != 0);
        let index = match known {
            Some(index) => index,
            None => {
                self.log()?;
                index(&self.log.directory)?
            }
        };
        Ok(format!("{} {index}", self.log.keys.origin))
    }

    /// What the log says of a mailbox and can still open.
    pub(super) fn says(&mut self, mailbox: &Mailbox) -> Result<Option<KeySet>, LogTrouble> {
        Ok(self.log()?.keys(mailbox)?)
    }

    /// Writes down what is about to be published, and gives each mailbox the proof of its label.
    pub(super) fn append(&mut self, changes: &mut [Published]) -> Result<(), LogTrouble> {
        let mut updates = Vec::with_capacity(changes.len());
        for change in changes {
            let (label, proof) = self.log.keys.vrf.prove(&mailbox(&change.mailbox)?);
            change.label_proof = Some(proof.0.to_vec());
            updates.push((label, Change::Keys(key_set(change)?)));
        }
        let updates: Vec<_> = updates.iter().map(|(label, change)| (*label, change)).collect();
        let now = self.now;
        self.log()?.append_labelled(&updates, now)?;
        Ok(())
    }

    /// The log exists from the first refresh on, so that it proves absence too, and says now and then that nothing
    /// has changed, so that its proofs do not look stale; beside it lie its keys.
    pub(super) fn finish(mut self) -> Result<(), LogTrouble> {
        let now = self.now;
        match signed_at(&self.log.directory.join("checkpoint")) {
            None => drop(self.log()?),
            Some(at) if now.abs_diff(at) > STALE => drop(self.log()?.refresh(now)?),
            Some(_) => {}
        }
        let keys = self.log.keys.document()?;
        Ok(put(&self.log.directory.join(KEYS), keys.as_bytes())?)
    }

    /// The daemon and a command take turns.
    pub(super) fn wait_for_log(&self) -> Result<KeyLog, LogTrouble> {
        let Log { directory, memory, keys } = self.log;
        let patience = Instant::now() + PATIENCE;
        loop {
            match KeyLog::open(directory, memory, keys.signer()?, keys.vrf(), self.now) {
                Err(KeyLogError::Tiles(TilesError::Locked)) if Instant::now() < patience => sleep(PAUSE),
                other => return Ok(other?),
            }
        }
    }

    fn log(&mut self) -> Result<&mut KeyLog, LogTrouble> {
        if self.open.is_none() {
            self.open = Some(self.wait_for_log()?);
        }
        // Just opened, if it was not.
        self.open.as_mut().ok_or(LogTrouble::Log(KeyLogError::Interrupted))
    }
}

/// When a file was written, Unix seconds; nothing if there is none.
fn signed_at(path: &Path) -> Option<u64> {
    let written = fs::metadata(path).and_then(|about| about.modified()).ok()?;
    written.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Under which name a logged mailbox is published.
pub(super) fn published(mailbox: &str) -> String {
    match mailbox.strip_prefix(ALL) {
        Some(domain) if domain.starts_with('@') => domain.to_owned(),
        _ => mailbox.to_owned(),
    }
}

/// The mailbox under which a change is logged.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, LogTrouble> {
    let whole = match text.strip_prefix('@') {
        Some(domain) => format!("{ALL}@{domain}"),
        None => text.to_owned(),
    };
    Mailbox::parse(&whole).map_err(|source| LogTrouble::Mailbox { mailbox: whole, source })
}

fn key_set(change: &Published) -> Result<KeySet, LogTrouble> {
    let mut set = KeySet::new();
    for published in &change.certificates {
        let kind = match published.scheme {
            Scheme::Openpgp => Kind::OpenPgp,
            Scheme::Smime => Kind::Smime,
        };
        if !set.add(kind, &published.bytes) {
            return Err(LogTrouble::TooMany(change.mailbox.clone()));
        }
    }
    Ok(set)
}
