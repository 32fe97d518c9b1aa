//! Checkpoints (C2SP tlog-checkpoint): what a log says of its tree, as the text of a signed note.

use std::fmt;

use crate::Hash;
use crate::encoding::base64;
use crate::encoding::from_decimal;
use crate::encoding::hash_from_base64;
use crate::key::Signer;
use crate::key::VerifierKey;
use crate::note::Note;
use crate::note::NoteError;

/// The size and the root of a log's tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint from its parts. `extensions` are opaque lines; C2SP advises against them, because
    /// monitors cannot audit them.
    ///
    /// # Errors
    /// If the origin or an extension is empty or more than a line, or the size is beyond 2^63 - 1.
    pub fn new(
        origin: impl Into<String>,
        size: u64,
        root: Hash,
        extensions: Vec<String>,
    ) -> Result<Checkpoint, CheckpointError> {
        let origin = origin.into();
        let fits = is_line(&origin) && extensions.iter().all(|line| is_line(line));
        if !fits || size > i64::MAX as u64 {
            return Err(CheckpointError::Malformed);
        }
        Ok(Checkpoint { origin, size, root, extensions })
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// If it is not the form of a checkpoint.
    pub fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Malformed)?;
        let mut lines = lines.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Malformed);
        let origin = line()?;
        let size = from_decimal(line()?).ok_or(CheckpointError::Malformed)?;
        let root = hash_from_base64(line()?).ok_or(CheckpointError::Malformed)?;
        Checkpoint::new(origin, size, root, lines.map(str::to_owned).collect())
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The opaque lines after the root.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Signs it. Who signs two checkpoints of which neither continues the other has broken the log for
    /// ever: [`crate::tiles::Writer::seal`] is the careful way.
    ///
    /// # Errors
    /// If the key has another name than the log, or OpenSSL fails.
    pub fn sign(&self, signer: &Signer) -> Result<Note, CheckpointError> {
        if signer.verifier().name() != self.origin {
            return Err(CheckpointError::Origin { found: self.origin.clone() });
        }
        let mut note = Note::new(self.to_string())?;
        note.sign(signer)?;
        Ok(note)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, base64(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A checkpoint that its log has signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a checkpoint and verifies that the log with this key has signed it. The name of the key is
    /// the origin of the log.
    ///
    /// # Errors
    /// If it is malformed, of another log, or not signed with the key.
    pub fn open(bytes: &[u8], log: &VerifierKey) -> Result<SignedCheckpoint, CheckpointError> {
        SignedCheckpoint::verify(Note::parse(bytes)?, log)
    }

    /// The same of a note that was already read.
    ///
    /// # Errors
    /// If it is no checkpoint, of another log, or not signed with the key.
    pub fn verify(note: Note, log: &VerifierKey) -> Result<SignedCheckpoint, CheckpointError> {
        note.verify([log])?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != log.name() {
            return Err(CheckpointError::Origin { found: checkpoint.origin });
        }
        Ok(SignedCheckpoint { checkpoint, note })
    }

    /// What was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note with all its signatures, those of others unverified.
    pub fn note(&self) -> &Note {
        &self.note
    }
}

/// Why a checkpoint is refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not the form of a checkpoint.
    #[error("this is no checkpoint")]
    Malformed,
    /// Not a signed note, or not signed as it must be.
    #[error("the signed note is refused")]
    Note(#[from] NoteError),
    /// The checkpoint of another log than the key's.
    #[error("the checkpoint is of the log {found}, which is not the name of the key")]
    Origin {
        /// The origin in the checkpoint.
        found: String,
    },
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte >= b' ')
}

#[cfg(test)]
mod tests;
