//! One change of the log, from what is planned to what is published, in an order that survives a crash.

use tlog::checkpoint::SignedCheckpoint;
use tlog::key::Signer;
use tlog::tiles;

use super::Halt;
use super::KeyLog;
use super::KeyLogError;
use crate::database;
use crate::entry::Root;
use crate::entry::State as LabelState;
use crate::entry::Update;
use crate::index::Index;
use crate::index::IndexError;
use crate::keyset::Opening;
use crate::memory::Remembered;

/// An entry that is about to be appended.
pub(super) struct Planned {
    pub(super) number: u64,
    pub(super) update: Update,
    pub(super) opening: Option<Opening>,
}

impl KeyLog {
    /// Takes all five steps; while it is at it, and for ever if it fails, nothing else is done.
    pub(super) fn commit(&mut self, planned: Vec<Planned>, now: u64) -> Result<(), KeyLogError> {
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

    pub(super) fn write_state(&self, sealed: &SignedCheckpoint, root: Root) -> Result<(), KeyLogError> {
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

/// A test ends the process here, as a loss of power would; nobody else does.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests interrupt here")]
fn step(_: &str) -> Result<(), KeyLogError> {
    Ok(())
}

#[cfg(test)]
use super::tests::step;
