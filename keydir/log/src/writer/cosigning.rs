//! What witnesses say of the log: their cosignatures, and that it is an old copy.

use std::path::Path;

use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::tiles;
use tlog::tiles::TilesError;
use tlog::witness;
use tlog::witness::AnswerError;
use tlog::witness::CosignError;

use super::Halt;
use super::KeyLog;
use super::KeyLogError;
use crate::database;
use crate::database::Database;

impl KeyLog {
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
}
