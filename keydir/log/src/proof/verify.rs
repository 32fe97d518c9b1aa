//! Checks the answer to a look-up.

use tlog::checkpoint::Checkpoint;
use tlog::leaf_hash;
use tlog::merkle;
use tlog::policy::Policy;

use super::End;
use super::LookupProof;
use super::ProofError;
use crate::Label;
use crate::entry::State;
use crate::keyset::Commitment;
use crate::keyset::KeySet;
use crate::mailbox::Mailbox;
use crate::trie;
use crate::vrf::VrfPublic;

/// What is believed before a proof is checked.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The key of the log, and which witnesses must have cosigned.
    pub policy: &'a Policy,
    /// The key with which the log makes labels.
    pub vrf: &'a VrfPublic,
    /// The last checkpoint of this log that was seen.
    pub seen: Option<&'a Checkpoint>,
    /// What time it is, in seconds since 1970; with none, the age of the checkpoint is not asked.
    pub now: Option<u64>,
    /// How old a checkpoint may be, in seconds: by the earliest of its cosignatures, or without any by the
    /// clock of the log.
    pub max_age: u64,
    /// How far ahead of ours other clocks may be, in seconds.
    pub max_skew: u64,
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The label that the answer is of.
    pub label: Label,
    /// What the log says.
    pub finding: Finding,
    /// The checkpoint at which it says so; the next proof is checked against it.
    pub checkpoint: Checkpoint,
    /// How many of the witnesses have cosigned it.
    pub witnesses: usize,
    /// When the first of the witnesses saw the checkpoint, or without witnesses when the log says that it made
    /// it; in seconds since 1970.
    pub time: u64,
}

/// What the log says of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It was never in the log.
    Absent,
    /// Its data was erased.
    Erased {
        /// How many entries it has.
        sequence: u32,
    },
    /// It has the key set with this commitment.
    Keys {
        /// How many entries it has.
        sequence: u32,
        /// The commitment in the newest.
        commitment: Commitment,
        /// What was committed to, if the proof opens it.
        keys: Option<KeySet>,
    },
}

/// Checks the answer to a look-up of a mailbox: that the label is that of the mailbox, that the index says so
/// of the label, that the index is that of the checkpoint, and that the checkpoint is signed, cosigned,
/// fresh, and no other than the one that was seen.
///
/// # Errors
/// See [`ProofError`]. Whatever the error, nothing is known of the mailbox then.
pub fn verify_lookup(
    proof: &LookupProof,
    mailbox: &Mailbox,
    trust: &Trust<'_>,
) -> Result<Verdict, ProofError> {
    let vrf = proof.vrf.as_ref().ok_or(ProofError::Vrf)?;
    let label = trust.vrf.verify(mailbox, vrf).ok_or(ProofError::Vrf)?;
    proof.verify_label(&label, trust)
}

impl LookupProof {
    /// Checks the answer for a label of which is known whose it is.
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn verify_label(&self, label: &Label, trust: &Trust<'_>) -> Result<Verdict, ProofError> {
        if self.root.vrf != *trust.vrf.as_bytes() {
            return Err(ProofError::Vrf);
        }
        let witnessed = trust.policy.verify(&self.checkpoint)?;
        let checkpoint = witnessed.checkpoint.checkpoint();
        self.check_inclusion(checkpoint)?;
        let witnesses = witnessed.cosignatures.len();
        let times = witnessed.cosignatures.iter().map(|(_, time)| *time);
        let (first, last) = (times.clone().min(), times.max());
        let time = first.unwrap_or(self.root.time);
        check_time(time, last.unwrap_or(self.root.time), trust)?;
        check_seen(checkpoint, trust)?;
        let finding = self.finding(label)?;
        Ok(Verdict { label: *label, finding, checkpoint: checkpoint.clone(), witnesses, time })
    }

    /// The root of the index is the last leaf of the tree of the checkpoint.
    fn check_inclusion(&self, checkpoint: &Checkpoint) -> Result<(), ProofError> {
        let size = checkpoint.size();
        let last = size.checked_sub(1).ok_or(ProofError::Inclusion)?;
        let leaf = leaf_hash(&self.root.to_bytes());
        match merkle::verify_inclusion(&leaf, last, size, checkpoint.root(), &self.inclusion) {
            true => Ok(()),
            false => Err(ProofError::Inclusion),
        }
    }

    fn finding(&self, label: &Label) -> Result<Finding, ProofError> {
        let index = &self.root.index;
        let (newest, before) = match &self.end {
            End::Empty if *index == trie::empty_root() && self.path.0.is_empty() => {
                return Ok(Finding::Absent);
            }
            End::Other(other, value) if self.path.excludes(index, label, (other, value)) => {
                return Ok(Finding::Absent);
            }
            End::Present { newest, before } => (newest, before),
            _ => return Err(ProofError::Index),
        };
        if newest.label != *label || !self.path.shows(index, label, &newest.chain(before)) {
            return Err(ProofError::Index);
        }
        let sequence = newest.sequence;
        match (newest.state, &self.opening) {
            (State::Erased, None) => Ok(Finding::Erased { sequence }),
            (State::Keys(commitment), None) => Ok(Finding::Keys { sequence, commitment, keys: None }),
            (State::Keys(commitment), Some(opening)) if opening.commitment(label) == commitment => {
                Ok(Finding::Keys { sequence, commitment, keys: Some(opening.keys.clone()) })
            }
            _ => Err(ProofError::Opening),
        }
    }
}

fn check_time(first: u64, last: u64, trust: &Trust<'_>) -> Result<(), ProofError> {
    let Some(now) = trust.now else { return Ok(()) };
    if last > now.saturating_add(trust.max_skew) {
        Err(ProofError::Future)
    } else if now.saturating_sub(first) > trust.max_age {
        Err(ProofError::Stale)
    } else {
        Ok(())
    }
}

fn check_seen(checkpoint: &Checkpoint, trust: &Trust<'_>) -> Result<(), ProofError> {
    match trust.seen {
        Some(seen) if seen.origin() == checkpoint.origin() => {
            if seen.size() > checkpoint.size() {
                Err(ProofError::Stale)
            } else if seen.size() == checkpoint.size() && seen.root() != checkpoint.root() {
                Err(ProofError::SplitView)
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}
