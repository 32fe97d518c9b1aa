//! Reads a policy file line by line.

use std::collections::HashMap;
use std::collections::HashSet;

use super::Group;
use super::LineError;
use super::Log;
use super::MAX_POLICY;
use super::Member;
use super::Policy;
use super::PolicyError;
use super::Witness;
use crate::encoding::from_decimal;
use crate::key::Algorithm;
use crate::key::KeyError;
use crate::key::VerifierKey;

pub(super) fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
    if bytes.len() > MAX_POLICY {
        return Err(PolicyError::TooLarge);
    }
    let policy = Policy { logs: Vec::new(), witnesses: Vec::new(), groups: Vec::new(), quorum: None };
    let mut draft = Draft { policy, names: HashMap::new(), members: HashSet::new(), quorum_seen: false };
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        draft.line(line).map_err(|source| PolicyError::Line { line: number + 1, source })?;
    }
    if draft.quorum_seen { Ok(draft.policy) } else { Err(PolicyError::NoQuorumLine) }
}

/// What the lines so far say.
struct Draft<'f> {
    policy: Policy,
    /// Witnesses and groups share their names.
    names: HashMap<&'f [u8], Member>,
    /// Names that are in a group: each may be in one only.
    members: HashSet<&'f [u8]>,
    quorum_seen: bool,
}

impl<'f> Draft<'f> {
    fn line(&mut self, line: &'f [u8]) -> Result<(), LineError> {
        if line.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(LineError::Control);
        }
        let words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let words: Vec<_> = words.collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key, url @ ..] => {
                self.policy.add_log(Log { key: verifier(key)?, url: optional_url(url)? })
            }
            [b"witness", name, key, url @ ..] => self.witness(name, key, url),
            [b"group", name, threshold, members @ ..] => self.group(name, threshold, members),
            [b"quorum", name] => self.quorum(name),
            [b"log" | b"witness" | b"group" | b"quorum", ..] => Err(LineError::Shape),
            _ => Err(LineError::Keyword),
        }
    }

    fn witness(&mut self, name: &'f [u8], key: &[u8], url: &[&[u8]]) -> Result<(), LineError> {
        let witness = Witness { name: name.to_vec(), key: verifier(key)?, url: optional_url(url)? };
        if witness.key.algorithm() != Algorithm::CosignatureV1 {
            return Err(LineError::Key(KeyError::Algorithm));
        }
        if self.policy.witnesses.iter().any(|other| other.key.public() == witness.key.public()) {
            return Err(LineError::Duplicate);
        }
        self.define(name, Member::Witness(self.policy.witnesses.len()))?;
        self.policy.witnesses.push(witness);
        Ok(())
    }

    fn group(&mut self, name: &'f [u8], threshold: &[u8], names: &[&'f [u8]]) -> Result<(), LineError> {
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            members.push(*self.names.get(name).ok_or(LineError::Unknown)?);
            if !self.members.insert(name) {
                return Err(LineError::Duplicate);
            }
        }
        let threshold = match threshold {
            b"any" => Some(1),
            b"all" => Some(members.len()),
            number => {
                str::from_utf8(number).ok().and_then(from_decimal).and_then(|k| usize::try_from(k).ok())
            }
        };
        let threshold = threshold.filter(|k| (1..=members.len()).contains(k)).ok_or(LineError::Threshold)?;
        self.define(name, Member::Group(self.policy.groups.len()))?;
        self.policy.groups.push(Group { threshold, members });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), LineError> {
        if std::mem::replace(&mut self.quorum_seen, true) {
            return Err(LineError::Duplicate);
        }
        self.policy.quorum = match name {
            b"none" => None,
            name => Some(*self.names.get(name).ok_or(LineError::Unknown)?),
        };
        Ok(())
    }

    fn define(&mut self, name: &'f [u8], member: Member) -> Result<(), LineError> {
        match name {
            b"none" => Err(LineError::Reserved),
            name => self.names.insert(name, member).map_or(Ok(()), |_| Err(LineError::Duplicate)),
        }
    }
}

fn verifier(word: &[u8]) -> Result<VerifierKey, LineError> {
    Ok(str::from_utf8(word).map_err(|_| KeyError::Form)?.parse()?)
}

fn optional_url(words: &[&[u8]]) -> Result<Option<String>, LineError> {
    match words {
        [] => Ok(None),
        [url] => Ok(Some(String::from_utf8_lossy(url).into_owned())),
        _ => Err(LineError::Shape),
    }
}
