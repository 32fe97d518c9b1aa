//! The answer to a look-up, as bytes that anybody can check without the log.

use thiserror::Error;
use tlog::Hash;
use tlog::checkpoint::Checkpoint;
use tlog::note::Note;
use tlog::policy::PolicyError;

use crate::Label;
use crate::entry::Entry;
use crate::entry::Root;
use crate::entry::Update;
use crate::entry::take;
use crate::keyset::KeySet;
use crate::keyset::Opening;
use crate::keyset::Salt;
use crate::trie::Path;
use crate::trie::Step;
use crate::vrf::VrfProof;

mod verify;

pub use verify::Finding;
pub use verify::Trust;
pub use verify::Verdict;
pub use verify::verify_lookup;

/// The first bytes of an encoded proof.
const MAGIC: [u8; 4] = *b"GKL1";

/// The largest proof that is read.
pub const MAX_PROOF: usize = 65_536;

const WITH_VRF: u8 = 1;
const PRESENT: u8 = 2;
const NOT_EMPTY: u8 = 4;
const WITH_OPENING: u8 = 8;

/// What the log says of one label at one checkpoint, with all that is needed to check it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupProof {
    /// That the label is that of the mailbox; who asks by label does without.
    pub vrf: Option<VrfProof>,
    /// What the search for the label in the index ends at.
    pub end: End,
    /// From there to the root of the index.
    pub path: Path,
    /// The last entry of the log, which has the root of the index.
    pub root: Root,
    /// That it is the last leaf of the tree of the checkpoint.
    pub inclusion: Vec<Hash>,
    /// The checkpoint with all its signatures.
    pub checkpoint: Note,
    /// What opens the commitment in the newest entry.
    pub opening: Option<Opening>,
}

/// Where the search for a label ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is no label at all.
    Empty,
    /// At another label, with this value. So the label that was sought is not there.
    Other(Label, Hash),
    /// At the label itself.
    Present {
        /// Its newest entry.
        newest: Update,
        /// The value of the label before that entry.
        before: Hash,
    },
}

/// Why a proof is refused.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The checkpoint is not signed and cosigned as it must be.
    #[error("the checkpoint of the proof is refused")]
    Checkpoint(#[from] PolicyError),
    /// The newest entry is not at the label, or the label is not absent.
    #[error("the proof is of another label, or the index says something else")]
    Index,
    /// The root of the index is not the last entry of the log.
    #[error("the index of the proof is not that of the checkpoint")]
    Inclusion,
    /// Not the form of a proof.
    #[error("this is no proof of a look-up")]
    Malformed,
    /// The opening is not that of the commitment.
    #[error("the key set in the proof is not the one that the log commits to")]
    Opening,
    /// The checkpoint is of another tree than one of the same size that is known.
    #[error("the log shows different histories to different people")]
    SplitView,
    /// The checkpoint is older than allowed, or than one that is known.
    #[error("the checkpoint of the proof is stale")]
    Stale,
    /// The checkpoint is from the future.
    #[error("the checkpoint of the proof is from the future, or the clock is wrong")]
    Future,
    /// It is not shown that the label is that of the mailbox.
    #[error("the label of the proof is not that of the mailbox")]
    Vrf,
}

impl LookupProof {
    /// The encoding that docs/key-log.md describes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(self.flags());
        bytes.extend(self.vrf.iter().flat_map(|proof| proof.0));
        match &self.end {
            End::Empty => {}
            End::Other(label, value) => bytes.extend_from_slice(&[label.0, *value].concat()),
            End::Present { newest, before } => {
                let entry = newest.to_bytes();
                bytes.push(u8::try_from(entry.len()).unwrap_or(u8::MAX));
                bytes.extend_from_slice(&entry);
                bytes.extend_from_slice(before);
            }
        }
        bytes.extend_from_slice(&u16::try_from(self.path.0.len()).unwrap_or(u16::MAX).to_be_bytes());
        for step in &self.path.0 {
            bytes.push(step.bit);
            bytes.extend_from_slice(&step.sibling);
        }
        bytes.extend_from_slice(&self.root.to_bytes());
        bytes.push(u8::try_from(self.inclusion.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(self.inclusion.as_flattened());
        if let Some(opening) = &self.opening {
            bytes.extend_from_slice(opening.salt.as_bytes());
            bytes.extend_from_slice(&opening.keys.to_bytes());
        }
        bytes.extend_from_slice(self.checkpoint.to_string().as_bytes());
        bytes
    }

    /// Reads a proof without believing it.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<LookupProof, ProofError> {
        if bytes.len() > MAX_PROOF {
            return Err(ProofError::Malformed);
        }
        decode(bytes).ok_or(ProofError::Malformed)
    }

    /// The part of it that needs nothing of ours: that the entry with the root of the index is in the log, as a
    /// file in the format of C2SP tlog-proof. The entry is `self.root.to_bytes()`.
    pub fn to_tlog_proof(&self) -> Option<tlog::proof::Proof> {
        let size = Checkpoint::parse(self.checkpoint.text()).ok()?.size();
        let (path, checkpoint) = (self.inclusion.clone(), self.checkpoint.clone());
        Some(tlog::proof::Proof { extra: None, index: size.checked_sub(1)?, path, checkpoint })
    }

    fn flags(&self) -> u8 {
        let vrf = if self.vrf.is_some() { WITH_VRF } else { 0 };
        let opening = if self.opening.is_some() { WITH_OPENING } else { 0 };
        let end = match self.end {
            End::Empty => 0,
            End::Other(..) => NOT_EMPTY,
            End::Present { .. } => NOT_EMPTY | PRESENT,
        };
        vrf | opening | end
    }
}

fn decode(bytes: &[u8]) -> Option<LookupProof> {
    let mut rest = bytes;
    if take(&mut rest)? != MAGIC {
        return None;
    }
    let [flags] = take(&mut rest)?;
    let vrf = match flags & WITH_VRF {
        0 => None,
        _ => Some(VrfProof(take(&mut rest)?)),
    };
    let end = decode_end(flags, &mut rest)?;
    let steps = u16::from_be_bytes(take(&mut rest)?);
    let mut path = Path::default();
    for _ in 0..steps {
        let [bit] = take(&mut rest)?;
        path.0.push(Step { bit, sibling: take(&mut rest)? });
    }
    let Entry::Root(root) = Entry::from_bytes(&take::<{ Root::LENGTH }>(&mut rest)?)? else { return None };
    let [count] = take(&mut rest)?;
    let inclusion = (0..count).map(|_| take(&mut rest)).collect::<Option<Vec<Hash>>>()?;
    let opening = match flags & WITH_OPENING {
        0 => None,
        _ => {
            let salt = Salt::from_bytes(take(&mut rest)?);
            let length = 1 + 33 * usize::from(*rest.first()?);
            let (keys, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(Opening { salt, keys: KeySet::from_bytes(keys)? })
        }
    };
    let proof = LookupProof { vrf, end, path, root, inclusion, checkpoint: Note::parse(rest).ok()?, opening };
    (proof.flags() == flags).then_some(proof)
}

fn decode_end(flags: u8, rest: &mut &[u8]) -> Option<End> {
    match flags & (PRESENT | NOT_EMPTY) {
        0 => Some(End::Empty),
        NOT_EMPTY => Some(End::Other(Label(take(rest)?), take(rest)?)),
        PRESENT => None,
        _ => {
            let [length] = take(rest)?;
            let (entry, after) = rest.split_at_checked(usize::from(length))?;
            *rest = after;
            let Entry::Update(newest) = Entry::from_bytes(entry)? else { return None };
            Some(End::Present { newest, before: take(rest)? })
        }
    }
}

#[cfg(test)]
mod tests;
