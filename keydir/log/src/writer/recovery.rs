//! What has to be found out, and put right, before anything is signed again.

use std::path::Path;

use tlog::key::Signer;
use tlog::tiles;
use tlog::tiles::Directory;
use tlog::tiles::Reader;

use super::KeyLog;
use super::KeyLogError;
use super::recall;
use crate::database;
use crate::entry::Entry;
use crate::entry::State as LabelState;
use crate::entry::Update;
use crate::index::IndexError;
use crate::memory::Memory;
use crate::memory::Remembered;
use crate::replay::Replay;
use crate::replay::ReplayError;

impl KeyLog {
    /// Refuses a log that was rolled back or contradicts itself, and completes a change that a crash has
    /// left half done.
    pub(super) fn recover(&mut self, memory: &Path) -> Result<(), KeyLogError> {
        self.hold_against_memory(memory)?;
        if let Some(known) = self.database.halted()? {
            return Err(KeyLogError::RolledBack { size: self.tiles.size(), known });
        }
        let state = self.database.state()?;
        let (size, indexed) = (self.tiles.size(), state.as_ref().map_or(0, |state| state.size));
        if indexed > size {
            return Err(KeyLogError::RolledBack { size, known: indexed });
        }
        if let Some(state) = &state
            && self.tiles.reader()?.root_at(state.size)? != state.tree
        {
            return Err(KeyLogError::Forked { size: state.size });
        }
        if indexed < size {
            self.roll_forward(state)?;
        }
        self.database.forget_from(size)?;
        if self.database.state()?.is_some_and(|state| state.root.vrf != *self.vrf.public().as_bytes()) {
            return Err(KeyLogError::WrongVrfKey);
        }
        if let Some(unpublished) = self.tiles.unpublished() {
            let note = unpublished.note().clone();
            self.tiles.publish(&note)?;
            self.recovery.published = true;
        }
        Ok(())
    }

    fn hold_against_memory(&mut self, path: &Path) -> Result<(), KeyLogError> {
        let size = self.tiles.size();
        let known = match recall(path, &self.signer.0)? {
            Remembered::Checkpoint(known) => known,
            Remembered::Nothing if size == 0 => return self.remember(),
            Remembered::Nothing => return Err(KeyLogError::Forgotten { path: path.into(), size }),
            Remembered::Something => return Err(KeyLogError::ForeignMemory { path: path.into() }),
        };
        let known = known.checkpoint();
        if known.size() > size {
            return Err(KeyLogError::RolledBack { size, known: known.size() });
        }
        if !self.tiles.reader()?.continues(known)? {
            return Err(KeyLogError::Forked { size: known.size() });
        }
        self.remember()
    }

    fn remember(&self) -> Result<(), KeyLogError> {
        match self.tiles.sealed() {
            Some(sealed) => self.memory.remember(sealed).map_err(|source| self.memory_failed(source)),
            None => Ok(()),
        }
    }

    /// Applies to the index what the log has and it has not. Also builds an index that was lost.
    fn roll_forward(&mut self, state: Option<database::State>) -> Result<(), KeyLogError> {
        let Some(sealed) = self.tiles.sealed().cloned() else { return Ok(()) };
        let from = state.as_ref().map_or(0, |state| state.size);
        let transaction = self.database.0.unchecked_transaction().map_err(IndexError::from)?;
        let mut replay = Replay::after(&self.database.0, state.map(|state| state.root));
        let reader = self.tiles.reader()?;
        reader.for_each(from..reader.size(), |number, bytes| {
            if let Entry::Update(Update { state: LabelState::Erased, previous: Some(previous), .. }) =
                replay.push(number, bytes)?
            {
                self.database.forget(previous)?;
            }
            Ok::<(), KeyLogError>(())
        })?;
        let last = reader.size().saturating_sub(1);
        let root = *replay.at_root().ok_or(ReplayError::NotAnEntry { number: last })?;
        self.write_state(&sealed, root)?;
        transaction.commit().map_err(IndexError::from)?;
        self.recovery.indexed = reader.size() - from;
        Ok(())
    }

    /// Makes the second place remember the log in this directory as it is. Only who knows that nobody has
    /// seen a later checkpoint may do this: after this, a roll-back is history.
    ///
    /// # Errors
    /// If there is no sound log with this key in the directory, or the second place remembers one already.
    pub fn adopt(directory: &Path, memory: &Path, signer: &Signer) -> Result<(), KeyLogError> {
        if !matches!(recall(memory, signer)?, Remembered::Nothing) {
            return Err(KeyLogError::ForeignMemory { path: memory.into() });
        }
        let writer = tiles::Writer::open(directory, signer.verifier())?;
        let Some(sealed) = writer.sealed() else { return Ok(()) };
        Reader::open(Directory::new(directory), sealed.checkpoint())?;
        let failed = |source| KeyLogError::Memory { path: memory.into(), source };
        Memory::at(memory).remember(sealed).map_err(failed)
    }
}
