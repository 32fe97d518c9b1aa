//! Writes the log.

use std::path::Path;
use std::path::PathBuf;

use thiserror::Error;
use tlog::checkpoint::SignedCheckpoint;
use tlog::key::Signer;
use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::tiles;
use tlog::tiles::TilesError;
use tlog::witness;
use tlog::witness::AnswerError;
use tlog::witness::CosignError;

use crate::Label;
use crate::database;
use crate::database::Database;
use crate::entry::Entry;
use crate::entry::Root;
use crate::entry::State as LabelState;
use crate::entry::Update;
use crate::index::Index;
use crate::index::IndexError;
use crate::keyset::KeySet;
use crate::keyset::Opening;
use crate::keyset::Salt;
use crate::mailbox::Mailbox;
use crate::memory::Memory;
use crate::memory::Remembered;
use crate::replay::Replay;
use crate::replay::ReplayError;
use crate::vrf::VrfKey;

mod recovery;

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

/// Why a key log cannot be written.
#[derive(Debug, Error)]
pub enum KeyLogError {
    /// The same mailbox twice in one call.
    #[error("a mailbox is changed twice at once")]
    Duplicate,
    /// There is a log, but the second place remembers none: perhaps it is the wrong place.
    #[error("{path} does not remember the log, which has {size} entries")]
    Forgotten {
        /// The second place.
        path: PathBuf,
        /// How many entries the log has.
        size: u64,
    },
    /// What stands in the second place is no checkpoint of this log.
    #[error("{path} is not a checkpoint that this log has signed")]
    ForeignMemory {
        /// The second place.
        path: PathBuf,
    },
    /// The log contradicts a checkpoint that it has signed.
    #[error("the log contradicts the checkpoint of size {size} that it has signed")]
    Forked {
        /// The size of that checkpoint.
        size: u64,
    },
    /// The index cannot be used.
    #[error("the index of the key log cannot be used")]
    Index(#[from] IndexError),
    /// An earlier call failed halfway; open the log anew.
    #[error("an earlier change of the key log failed; it has to be opened anew")]
    Interrupted,
    /// The second place cannot be used.
    #[error("cannot use {path}")]
    Memory {
        /// The second place.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No random numbers.
    #[error("no salt can be made")]
    Random(#[from] openssl::error::ErrorStack),
    /// The entries of the log contradict each other.
    #[error("the key log is damaged")]
    Replay(#[from] ReplayError),
    /// The log was put back to an earlier state, as by a restore from a backup. Nothing is signed any
    /// more: that would be a second history.
    #[error("the key log was rolled back: it has {size} entries, but a checkpoint of {known} was signed")]
    RolledBack {
        /// How many entries there are.
        size: u64,
        /// How many there were.
        known: u64,
    },
    /// The tiles cannot be read or written; also when another process writes to the log.
    #[error("the files of the key log cannot be used")]
    Tiles(#[from] TilesError),
    /// A witness did not cosign.
    #[error("the witness {name} did not cosign the checkpoint")]
    Witness {
        /// Its name.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log was begun with another VRF key.
    #[error("the log was begun with another VRF key")]
    WrongVrfKey,
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

    /// Publishes the last checkpoint with the cosignatures that witnesses have given since.
    ///
    /// # Errors
    /// If the note is not that checkpoint, or cannot be written.
    pub fn cosigned(&mut self, note: &Note) -> Result<(), KeyLogError> {
        self.ready()?;
        self.tiles.publish(note)?;
        if let Some(mut state) = self.database.state()? {
            state.checkpoint = note.to_string();
            self.database.set_state(&state)?;
        }
        Ok(())
    }

    /// Has a witness cosign the last checkpoint, and adds the cosignature to what is published. `send` posts a
    /// body to the witness's `add-checkpoint` and returns status and body of the answer; `held` is the size
    /// that it is believed to hold.
    ///
    /// # Errors
    /// [`KeyLogError::RolledBack`] if the witness has seen more entries than there are (its 409), and from
    /// then on for everything, also after a restart: this log is an old copy. [`KeyLogError::Witness`] if
    /// the witness refuses or cannot be asked.
    pub fn witness<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        witness: &VerifierKey,
        held: u64,
        send: impl FnMut(&[u8]) -> Result<(u16, Vec<u8>), E>,
    ) -> Result<(), KeyLogError> {
        let mut note = self.signed()?.note().clone();
        if let Some(published) = self.tiles.published().filter(|it| it.note().text() == note.text()) {
            note = published.note().clone();
        }
        let reader = self.tiles.reader()?;
        match witness::cosign(self.signed()?, witness, held, &reader, send) {
            Ok(signature) => {
                note.add(signature).map_err(|error| TilesError::Sign(error.into()))?;
                self.cosigned(&note)
            }
            Err(CosignError::Answer(AnswerError::Ahead { known, .. })) => self.outpaced(known),
            Err(error) => Err(KeyLogError::Witness { name: witness.name().into(), source: Box::new(error) }),
        }
    }

    /// A witness that was asked while the log was closed says that it has seen `known` entries. If that is more
    /// than there are this log is an old copy, and signs nothing from then on, also after a restart.
    ///
    /// # Errors
    /// [`KeyLogError::RolledBack`] if it is more.
    pub fn outpaced(&mut self, known: u64) -> Result<(), KeyLogError> {
        let size = self.tiles.size();
        if known <= size {
            return Ok(());
        }
        self.halted = Some(Halt::RolledBack { size, known });
        self.database.halt(known)?;
        Err(KeyLogError::RolledBack { size, known })
    }

    /// Lets a log go on that a witness's answer has stopped. Only who found out that the witness erred, or lied,
    /// may do this: no answer of that kind is signed. Gives how many entries the witness claimed to have seen.
    ///
    /// # Errors
    /// If the log is written to, or its database cannot be.
    pub fn absolve(directory: &Path, log: &VerifierKey) -> Result<Option<u64>, KeyLogError> {
        let _locked = tiles::Writer::open(directory, log)?;
        let database = Database::open(&directory.join(database::FILE))?;
        let known = database.halted()?;
        database.resume()?;
        Ok(known)
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

    fn commit(&mut self, planned: Vec<Planned>, now: u64) -> Result<(), KeyLogError> {
        self.ready()?;
        self.undisputed()?;
        self.halted = Some(Halt::Interrupted);
        self.prepare(&planned)?;
        let before = self.database.state()?;
        let transaction = self.database.0.unchecked_transaction().map_err(IndexError::from)?;
        let updates: Vec<(u64, Update)> = planned.iter().map(|entry| (entry.number, entry.update)).collect();
        let labels = before.map_or(0, |state| state.labels);
        let (labels, index) = Index(&self.database.0).apply(labels, &updates)?;
        let root = Root { time: now, labels, index, vrf: *self.vrf.public().as_bytes() };
        step("indexed")?;
        let sealed = seal(&mut self.tiles, &self.signer.0, &updates, root)?;
        step("sealed")?;
        self.memory.remember(&sealed).map_err(|source| self.memory_failed(source))?;
        step("remembered")?;
        for entry in &planned {
            if let (LabelState::Erased, Some(previous)) = (entry.update.state, entry.update.previous) {
                self.database.forget(previous)?;
            }
        }
        self.write_state(&sealed, root)?;
        transaction.commit().map_err(IndexError::from)?;
        step("committed")?;
        self.tiles.publish(sealed.note())?;
        self.halted = None;
        Ok(())
    }

    /// Commits what opens the entries before they are signed: a signed commitment can always be opened.
    fn prepare(&self, planned: &[Planned]) -> Result<(), KeyLogError> {
        if planned.iter().any(|entry| entry.opening.is_some()) {
            let transaction = self.database.0.unchecked_transaction().map_err(IndexError::from)?;
            for Planned { number, update, opening } in planned {
                if let Some(opening) = opening {
                    self.database.add_opening(*number, update.previous, opening)?;
                }
            }
            transaction.commit().map_err(IndexError::from)?;
        }
        step("prepared")
    }

    fn write_state(&self, sealed: &SignedCheckpoint, root: Root) -> Result<(), KeyLogError> {
        let (size, tree) = (sealed.checkpoint().size(), *sealed.checkpoint().root());
        let inclusion = self.tiles.reader()?.inclusion(size.saturating_sub(1), size)?;
        let checkpoint = sealed.note().to_string();
        self.database.set_state(&database::State {
            size,
            labels: root.labels,
            tree,
            root,
            inclusion,
            checkpoint,
        })?;
        Ok(())
    }

    /// Whether the second place still remembers what we signed last: another writer, on a copy of the
    /// directory, would have changed that.
    fn undisputed(&self) -> Result<(), KeyLogError> {
        let (Some(sealed), size) = (self.tiles.sealed(), self.tiles.size()) else { return Ok(()) };
        if size == 0 {
            return Ok(());
        }
        match self.memory.recall(self.signer.0.verifier()).map_err(|source| self.memory_failed(source))? {
            Remembered::Checkpoint(known) if known.checkpoint() == sealed.checkpoint() => Ok(()),
            Remembered::Checkpoint(known) => {
                Err(KeyLogError::RolledBack { size, known: known.checkpoint().size() })
            }
            Remembered::Nothing => Err(KeyLogError::Forgotten { path: self.memory.path().into(), size }),
            Remembered::Something => Err(KeyLogError::ForeignMemory { path: self.memory.path().into() }),
        }
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

/// An entry that is about to be appended.
struct Planned {
    number: u64,
    update: Update,
    opening: Option<Opening>,
}

/// Writes the entries and signs the checkpoint.
fn seal(
    tiles: &mut tiles::Writer,
    signer: &Signer,
    updates: &[(u64, Update)],
    root: Root,
) -> Result<SignedCheckpoint, KeyLogError> {
    let earlier = tiles.sealed().map(|sealed| sealed.checkpoint().clone());
    for (number, update) in updates {
        if tiles.append(&update.to_bytes())? != *number {
            return Err(KeyLogError::Interrupted);
        }
    }
    tiles.append(&root.to_bytes())?;
    step("appended")?;
    let sealed = tiles.seal(signer, Vec::new())?;
    // The tiles are as they were opened unless somebody else wrote to them meanwhile.
    match earlier {
        Some(earlier) if !tiles.reader()?.continues(&earlier)? => {
            Err(KeyLogError::Forked { size: earlier.size() })
        }
        _ => Ok(sealed),
    }
}

fn recall(memory: &Path, signer: &Signer) -> Result<Remembered, KeyLogError> {
    let failed = |source| KeyLogError::Memory { path: memory.into(), source };
    Memory::at(memory).recall(signer.verifier()).map_err(failed)
}

/// A test ends the process here, as a loss of power would; nobody else does.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests interrupt here")]
fn step(_: &str) -> Result<(), KeyLogError> {
    Ok(())
}

#[cfg(test)]
use tests::step;

#[cfg(test)]
mod tests;
