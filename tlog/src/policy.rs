//! Whom to believe (C2SP tlog-policy): which logs, which witnesses, and how many of them.

mod parse;

use crate::checkpoint::Checkpoint;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::SignedCheckpoint;
use crate::key::KeyError;
use crate::key::VerifierKey;
use crate::note::Note;
use crate::note::NoteError;

/// The largest policy that is read, in bytes.
pub const MAX_POLICY: usize = 1 << 20;

/// A checkpoint is valid if one of the logs signed it and enough witnesses cosigned it.
#[derive(Clone, Debug)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    /// In the order of their definition: members come before.
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A log that is trusted.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its key; the name of the key is the origin.
    pub key: VerifierKey,
    /// Where it can be reached.
    pub url: Option<String>,
}

/// A witness that is trusted.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its name within the policy: any bytes but spaces.
    pub name: Vec<u8>,
    /// Its key.
    pub key: VerifierKey,
    /// Where it takes checkpoints.
    pub url: Option<String>,
}

/// `threshold` of the members.
#[derive(Clone, Debug)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

/// By position among the witnesses or the groups.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Member {
    Group(usize),
    Witness(usize),
}

/// A checkpoint that fulfils a policy.
#[derive(Clone, Debug)]
pub struct Witnessed<'p> {
    /// The checkpoint; its log has signed it.
    pub checkpoint: SignedCheckpoint,
    /// Which witnesses cosigned it, and when they saw it, in seconds since 1970.
    pub cosignatures: Vec<(&'p Witness, u64)>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// The first line that is wrong, and why.
    pub fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
        parse::parse(bytes)
    }

    /// Adds a log that is known from elsewhere, to a policy that only names witnesses.
    ///
    /// # Errors
    /// If the key is not one for logs, or is there already.
    pub fn trust_log(&mut self, key: VerifierKey) -> Result<(), LineError> {
        self.add_log(Log { key, url: None })
    }

    /// The logs.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, also those that the quorum does not need.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Opens a checkpoint if a log of the policy signed it and a quorum of its witnesses cosigned it.
    /// Whether the times of the cosignatures are plausible is for the caller to say.
    ///
    /// # Errors
    /// If it is of another log, lacks cosignatures, or a signature of a known key is not valid.
    pub fn verify(&self, note: &Note) -> Result<Witnessed<'_>, PolicyError> {
        let origin = Checkpoint::parse(note.text())?.origin().to_owned();
        let logs: Vec<_> = self.logs.iter().map(|log| &log.key).filter(|key| key.name() == origin).collect();
        if logs.is_empty() {
            return Err(PolicyError::UnknownLog { origin });
        }
        let keys = logs.iter().copied().chain(self.witnesses.iter().map(|witness| &witness.key));
        let verified = note.verify(keys).map_err(CheckpointError::from)?;
        let log = verified.iter().find(|one| logs.contains(&one.key)).ok_or(NoteError::Unsigned);
        let checkpoint = SignedCheckpoint::verify(note.clone(), log.map_err(CheckpointError::from)?.key)?;
        let seen = |witness: &Witness| verified.iter().find(|one| *one.key == witness.key)?.stamp.time;
        let times: Vec<_> = self.witnesses.iter().map(seen).collect();
        if !self.is_quorum(&times) {
            let cosigned = times.iter().flatten().count();
            return Err(PolicyError::NoQuorum { cosigned, witnesses: times.len() });
        }
        let cosignatures = self.witnesses.iter().zip(times);
        let cosignatures = cosignatures.filter_map(|(witness, time)| Some((witness, time?))).collect();
        Ok(Witnessed { checkpoint, cosignatures })
    }

    /// Whether those witnesses are enough for which there is a time.
    fn is_quorum(&self, times: &[Option<u64>]) -> bool {
        let Some(quorum) = self.quorum else { return true };
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let seen = |member: &Member, groups: &[bool]| match member {
            Member::Group(index) => groups.get(*index) == Some(&true),
            Member::Witness(index) => times.get(*index).is_some_and(Option::is_some),
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| seen(member, &groups)).count();
            groups.push(count >= group.threshold);
        }
        seen(&quorum, &groups)
    }

    fn add_log(&mut self, log: Log) -> Result<(), LineError> {
        if log.key.algorithm() != crate::key::Algorithm::Ed25519 {
            return Err(LineError::Key(KeyError::Algorithm));
        }
        if self.logs.iter().any(|other| other.key.public() == log.key.public()) {
            return Err(LineError::Duplicate);
        }
        self.logs.push(log);
        Ok(())
    }
}

/// Why a policy cannot be used or is not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not a checkpoint, or not signed as it must be.
    #[error("the checkpoint is refused")]
    Checkpoint(#[from] CheckpointError),
    /// A line of the file is wrong.
    #[error("line {line} of the policy is wrong")]
    Line {
        /// Which, from 1.
        line: usize,
        /// Why.
        source: LineError,
    },
    /// Too few witnesses.
    #[error("{cosigned} of {witnesses} witnesses cosigned the checkpoint: that is no quorum")]
    NoQuorum {
        /// How many did.
        cosigned: usize,
        /// How many the policy knows.
        witnesses: usize,
    },
    /// The file does not say what is enough.
    #[error("the policy has no quorum line")]
    NoQuorumLine,
    /// More than [`MAX_POLICY`].
    #[error("the policy is larger than {MAX_POLICY} bytes")]
    TooLarge,
    /// The log is none of the policy's.
    #[error("the policy does not know the log {origin}")]
    UnknownLog {
        /// Which it is.
        origin: String,
    },
}

/// Why a line of a policy is wrong.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A control character other than tab.
    #[error("it has a control character")]
    Control,
    /// A key, a name or the quorum is there twice, or a member is in two groups.
    #[error("it says again what an earlier line says")]
    Duplicate,
    /// Not log, witness, group or quorum.
    #[error("it begins with none of log, witness, group, quorum")]
    Keyword,
    /// The key is refused.
    #[error("its key is refused")]
    Key(#[from] KeyError),
    /// A reserved name.
    #[error("the name none is reserved")]
    Reserved,
    /// Too many or too few words.
    #[error("it has too few words or too many")]
    Shape,
    /// Not any, all, or a number from 1 to the number of members.
    #[error("the threshold is none of any, all, or a number from 1 to the number of members")]
    Threshold,
    /// A name that no earlier line defines.
    #[error("it uses a name that no earlier line defines")]
    Unknown,
}

#[cfg(test)]
mod tests;
