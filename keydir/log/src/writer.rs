//! Writes the log.

use std::path::Path;

use tlog::checkpoint::SignedCheckpoint;
use tlog::key::Signer;
use tlog::tiles;

use crate::Label;
use crate::database;
use crate::database::Database;
use crate::entry::State as LabelState;
use crate::entry::Update;
use crate::index::Index;
use crate::keyset::KeySet;
use crate::keyset::Opening;
use crate::keyset::Salt;
use crate::mailbox::Mailbox;
use crate::memory::Memory;
use crate::memory::Remembered;
use crate::vrf::VrfKey;

mod commit;
mod cosigning;
mod error;
mod recovery;

pub use error::KeyLogError;

use commit::Planned;

/// What becomes of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What opens its commitments is deleted, and the log says so.
    Erase,
    /// It has these certificates from now on.
    Keys(KeySet),
}

/// A change of one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUpdate {
    /// Whose.
    pub mailbox: Mailbox,
    /// What.
    pub change: Change,
}

/// What [`KeyLog::open`] had to do after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// So many entries of the log were missing in the index.
    pub indexed: u64,
    /// A signed checkpoint had not been published.
    pub published: bool,
}

/// The one writer of a key log.
///
/// In its directory are the static files of C2SP tlog-tiles, and `log.db` with the index and with what
/// opens the commitments. The order of every change, so that a crash at any point loses nothing that was
/// signed and never leads to a second history:
///
/// 1. salts and key sets are committed to the database under the numbers that the entries will have;
/// 2. entries and tiles are written, the checkpoint is signed and synced (`.sealed`);
/// 3. the checkpoint is remembered in the second place;
/// 4. the index is committed; from now on proofs speak of the new checkpoint;
/// 5. the checkpoint is published.
#[derive(Debug)]
pub struct KeyLog {
    tiles: tiles::Writer,
    database: Database,
    memory: Memory,
    signer: Secret,
    vrf: VrfKey,
    recovery: Recovery,
    /// Set while a change is half done, and for ever once a roll-back is found.
    halted: Option<Halt>,
}

struct Secret(Signer);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.0.verifier())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    Interrupted,
    RolledBack { size: u64, known: u64 },
}

impl KeyLog {
    /// Opens the log in a directory, or begins one there. `memory` is the second place: a file that is not
    /// in the directory, and best on another disk or at least in no backup that has the directory.
    ///
    /// # Errors
    /// See [`KeyLogError`]; above all [`KeyLogError::RolledBack`].
    pub fn open(
        directory: &Path,
        memory: &Path,
        signer: Signer,
        vrf: VrfKey,
        now: u64,
    ) -> Result<KeyLog, KeyLogError> {
        let fresh = !directory.join(".sealed").exists() && !directory.join("checkpoint").exists();
        if fresh && let Remembered::Checkpoint(known) = recall(memory, &signer)? {
            return Err(KeyLogError::RolledBack { size: 0, known: known.checkpoint().size() });
        }
        let tiles = match fresh {
            true => tiles::Writer::create(directory, &signer, Vec::new())?,
            false => tiles::Writer::open(directory, signer.verifier())?,
        };
        let database = Database::open(&directory.join(database::FILE))?;
        let mut log = KeyLog {
            tiles,
            database,
            memory: Memory::at(memory),
            signer: Secret(signer),
            vrf,
            recovery: Recovery::default(),
            halted: None,
        };
        log.recover(memory)?;
        if log.tiles.size() == 0 {
            log.commit(Vec::new(), now)?;
        }
        Ok(log)
    }

    /// What had to be done after a crash.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// The checkpoint that was signed last.
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.tiles.sealed()
    }

    /// The key with which labels are made.
    pub fn vrf(&self) -> &VrfKey {
        &self.vrf
    }

    /// What the log says of a mailbox and can still be opened: its key set; none if it was never in the log,
    /// is erased, or cannot be opened any more.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn keys(&self, mailbox: &Mailbox) -> Result<Option<KeySet>, KeyLogError> {
        self.keys_of(&self.vrf.label(mailbox))
    }

    /// Appends what has changed, signs and publishes a new checkpoint. What the log already says adds no
    /// entry, so a caller that does not know whether it came through may repeat a call; if nothing is
    /// left, nothing is signed.
    ///
    /// # Errors
    /// See [`KeyLogError`]. After [`KeyLogError::Interrupted`] open the log anew: what was signed is there.
    pub fn append(&mut self, updates: &[KeyUpdate], now: u64) -> Result<&SignedCheckpoint, KeyLogError> {
        let labelled: Vec<(Label, &Change)> =
            updates.iter().map(|update| (self.vrf.label(&update.mailbox), &update.change)).collect();
        self.append_labelled(&labelled, now)
    }

    /// The same where the caller has computed the labels, as with several threads.
    ///
    /// # Errors
    /// As [`KeyLog::append`].
    pub fn append_labelled(
        &mut self,
        updates: &[(Label, &Change)],
        now: u64,
    ) -> Result<&SignedCheckpoint, KeyLogError> {
        let mut labels: Vec<&Label> = updates.iter().map(|(label, _)| label).collect();
        labels.sort_unstable();
        if labels.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(KeyLogError::Duplicate);
        }
        let mut planned = Vec::new();
        for (label, change) in updates {
            planned.extend(self.plan(label, change, planned.len() as u64)?);
        }
        if !planned.is_empty() {
            self.commit(planned, now)?;
        }
        self.signed()
    }

    /// Signs a new checkpoint although nothing has changed, so that proofs do not look stale.
    ///
    /// # Errors
    /// As [`KeyLog::append`].
    pub fn refresh(&mut self, now: u64) -> Result<&SignedCheckpoint, KeyLogError> {
        self.commit(Vec::new(), now)?;
        self.signed()
    }

    fn keys_of(&self, label: &Label) -> Result<Option<KeySet>, KeyLogError> {
        let Some(newest) = Index(&self.database.0).newest(label)? else { return Ok(None) };
        let LabelState::Keys(commitment) = newest.update.state else { return Ok(None) };
        let opening = self.database.opening(newest.number)?;
        Ok(opening.filter(|opening| opening.commitment(label) == commitment).map(|opening| opening.keys))
    }

    /// The entry for a change, which will be number `ahead` of those to come; none if there is nothing to say.
    fn plan(&self, label: &Label, change: &Change, ahead: u64) -> Result<Option<Planned>, KeyLogError> {
        let newest = Index(&self.database.0).newest(label)?;
        let (state, opening) = match change {
            Change::Erase => match newest.map(|newest| newest.update.state) {
                None | Some(LabelState::Erased) => return Ok(None),
                Some(LabelState::Keys(_)) => (LabelState::Erased, None),
            },
            Change::Keys(keys) => {
                if newest.is_some() && self.keys_of(label)?.as_ref() == Some(keys) {
                    return Ok(None);
                }
                let opening = Opening { salt: Salt::generate()?, keys: keys.clone() };
                (LabelState::Keys(opening.commitment(label)), Some(opening))
            }
        };
        let previous = newest.map(|newest| newest.number);
        let sequence = newest.map_or(0, |newest| newest.update.sequence).saturating_add(1);
        let update = Update { label: *label, sequence, previous, state };
        Ok(Some(Planned { number: self.tiles.size() + ahead, update, opening }))
    }

    fn ready(&self) -> Result<(), KeyLogError> {
        match self.halted {
            None => Ok(()),
            Some(Halt::Interrupted) => Err(KeyLogError::Interrupted),
            Some(Halt::RolledBack { size, known }) => Err(KeyLogError::RolledBack { size, known }),
        }
    }

    fn signed(&self) -> Result<&SignedCheckpoint, KeyLogError> {
        self.ready()?;
        self.tiles.sealed().ok_or(KeyLogError::Interrupted)
    }

    fn memory_failed(&self, source: std::io::Error) -> KeyLogError {
        KeyLogError::Memory { path: self.memory.path().into(), source }
    }
}

fn recall(memory: &Path, signer: &Signer) -> Result<Remembered, KeyLogError> {
    let failed = |source| KeyLogError::Memory { path: memory.into(), source };
    Memory::at(memory).recall(signer.verifier()).map_err(failed)
}

#[cfg(test)]
mod tests;
