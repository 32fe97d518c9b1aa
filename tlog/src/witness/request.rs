//! What a log asks of a witness.

use std::fmt;

use super::MAX_BODY;
use crate::Hash;
use crate::encoding::base64;
use crate::encoding::from_decimal;
use crate::note::Note;
use crate::proof::path;

/// The body of a request: a checkpoint, and the proof that it continues an older one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddCheckpoint {
    /// The size of the older checkpoint.
    pub old: u64,
    /// The consistency proof (RFC 6962 section 2.1.2); empty if `old` is 0.
    pub proof: Vec<Hash>,
    /// The checkpoint with its signatures, none of them verified.
    pub checkpoint: Note,
}

impl AddCheckpoint {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is too large or not the form of a request.
    pub fn parse(body: &[u8]) -> Result<AddCheckpoint, NoRequest> {
        let text = str::from_utf8(body).ok().filter(|_| body.len() <= MAX_BODY).ok_or(NoRequest)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(NoRequest)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| from_decimal(line.strip_prefix("old ")?));
        Ok(AddCheckpoint {
            old: old.ok_or(NoRequest)?,
            proof: path(lines).ok_or(NoRequest)?,
            checkpoint: Note::parse(checkpoint.as_bytes()).map_err(|_| NoRequest)?,
        })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Not a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is no request to add a checkpoint")]
pub struct NoRequest;
