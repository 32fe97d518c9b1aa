//! Proofs to keep (C2SP tlog-proof): that an entry is in a log whose checkpoint the world has seen.
//! Such a file needs no network and no log to be verified, only a [`Policy`].

use std::fmt;

use crate::Hash;
use crate::checkpoint::Checkpoint;
use crate::encoding::base64;
use crate::encoding::from_base64;
use crate::encoding::from_decimal;
use crate::encoding::hash_from_base64;
use crate::leaf_hash;
use crate::merkle::verify_inclusion;
use crate::note::Note;
use crate::note::NoteError;
use crate::policy::Policy;
use crate::policy::PolicyError;
use crate::policy::Witnessed;

/// The largest proof that is read, in bytes.
pub const MAX_PROOF: usize = 4_000_000;

const HEAD: &str = "c2sp.org/tlog-proof@v1";

/// No tree that can be written needs a longer path.
pub(crate) const MAX_PATH: usize = 63;

/// That an entry is in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// Whatever the application keeps beside it. Nothing proves this.
    pub extra: Option<Vec<u8>>,
    /// Which entry, from 0.
    pub index: u64,
    /// The hashes from the sibling of the leaf up (RFC 6962 section 2.1.1).
    pub path: Vec<Hash>,
    /// The checkpoint with its cosignatures, none of them verified.
    pub checkpoint: Note,
}

impl Proof {
    /// Reads a proof without believing it.
    ///
    /// # Errors
    /// If it is too large or not the form of a proof.
    pub fn parse(bytes: &[u8]) -> Result<Proof, ProofError> {
        if bytes.len() > MAX_PROOF {
            return Err(ProofError::TooLarge);
        }
        let text = str::from_utf8(bytes).map_err(|_| ProofError::Malformed)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofError::Malformed)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEAD) {
            return Err(ProofError::Malformed);
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(|line| line.get(6..).and_then(from_base64).ok_or(ProofError::Malformed));
        let index = lines.next().and_then(|line| from_decimal(line.strip_prefix("index ")?));
        let path = path(lines).ok_or(ProofError::Malformed)?;
        let checkpoint = Note::parse(checkpoint.as_bytes())?;
        Checkpoint::parse(checkpoint.text()).map_err(|_| ProofError::Malformed)?;
        let (extra, index) = (extra.transpose()?, index.ok_or(ProofError::Malformed)?);
        Ok(Proof { extra, index, path, checkpoint })
    }

    /// Verifies that this entry is in the log, and that the checkpoint fulfils the policy.
    ///
    /// # Errors
    /// If the entry is another, or the checkpoint is refused.
    pub fn verify<'p>(&self, entry: &[u8], policy: &'p Policy) -> Result<Witnessed<'p>, ProofError> {
        self.verify_leaf(&leaf_hash(entry), policy)
    }

    /// The same for a leaf of which only the hash is known.
    ///
    /// # Errors
    /// If the leaf is another, or the checkpoint is refused.
    pub fn verify_leaf<'p>(&self, leaf: &Hash, policy: &'p Policy) -> Result<Witnessed<'p>, ProofError> {
        let witnessed = policy.verify(&self.checkpoint)?;
        let checkpoint = witnessed.checkpoint.checkpoint();
        let included = verify_inclusion(leaf, self.index, checkpoint.size(), checkpoint.root(), &self.path);
        if included { Ok(witnessed) } else { Err(ProofError::NotIncluded) }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads hashes, one to a line.
pub(crate) fn path<'t>(lines: impl Iterator<Item = &'t str>) -> Option<Vec<Hash>> {
    let path: Vec<_> = lines.take(MAX_PATH + 1).map(hash_from_base64).collect::<Option<_>>()?;
    (path.len() <= MAX_PATH).then_some(path)
}

/// Why a proof is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Not the form of a proof.
    #[error("this is no tlog-proof")]
    Malformed,
    /// The checkpoint within is not a note.
    #[error("the checkpoint in the proof is refused")]
    Note(#[from] NoteError),
    /// The hashes lead to another root.
    #[error("the entry is not the one that the proof is about")]
    NotIncluded,
    /// The checkpoint does not fulfil the policy.
    #[error("the checkpoint in the proof does not fulfil the policy")]
    Policy(#[from] PolicyError),
    /// More than [`MAX_PROOF`].
    #[error("the proof is larger than {MAX_PROOF} bytes")]
    TooLarge,
}

#[cfg(test)]
mod tests;
