//! The entries of the log, in their one binary form.

use sha2::Digest;
use sha2::Sha256;
use tlog::Hash;

use crate::Label;
use crate::keyset::Commitment;

/// The first byte of every entry.
const VERSION: u8 = 1;

/// One leaf of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The state of the index after all entries before this one; the last leaf of every checkpoint.
    Root(Root),
    /// A change of one mailbox.
    Update(Update),
}

/// A change of one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// Which mailbox, without saying so.
    pub label: Label,
    /// How many entries this label has with this one: 1 for the first.
    pub sequence: u32,
    /// The number of the entry before this one of the same label.
    pub previous: Option<u64>,
    /// What it is from now on.
    pub state: State,
}

/// What the log says of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its data was erased: older commitments cannot be opened any more, and there is nothing new.
    Erased,
    /// It has the committed set of certificates, which may be empty.
    Keys(Commitment),
}

/// The state of the index after all entries before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// When it was made by the clock of the log, in seconds since 1970.
    pub time: u64,
    /// How many labels the index has.
    pub labels: u64,
    /// The root of the index.
    pub index: Hash,
    /// The public key with which labels are made.
    pub vrf: [u8; 32],
}

impl Entry {
    /// The bytes of the leaf.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Entry::Update(update) => update.to_bytes(),
            Entry::Root(root) => root.to_bytes().to_vec(),
        }
    }

    /// Reads a leaf; none if it is not the one encoding of an entry.
    pub fn from_bytes(bytes: &[u8]) -> Option<Entry> {
        let mut rest = bytes;
        if take::<1>(&mut rest)? != [VERSION] {
            return None;
        }
        let entry = match take::<1>(&mut rest)? {
            [0] => Entry::Root(Root {
                time: u64::from_be_bytes(take(&mut rest)?),
                labels: u64::from_be_bytes(take(&mut rest)?),
                index: take(&mut rest)?,
                vrf: take(&mut rest)?,
            }),
            [kind @ (1 | 2)] => {
                let label = Label(take(&mut rest)?);
                let sequence = u32::from_be_bytes(take(&mut rest)?);
                let previous = u64::from_be_bytes(take(&mut rest)?);
                let previous = match (sequence, previous) {
                    (0, _) => return None,
                    (1, u64::MAX) => None,
                    (1, _) | (_, u64::MAX) => return None,
                    (_, previous) => Some(previous),
                };
                let state = if kind == 1 { State::Keys(Commitment(take(&mut rest)?)) } else { State::Erased };
                Entry::Update(Update { label, sequence, previous, state })
            }
            _ => return None,
        };
        rest.is_empty().then_some(entry)
    }
}

impl Update {
    /// Version, kind (1 keys, 2 erased), label, sequence, number of the previous entry of the label or all
    /// bits set, and for keys the commitment. Numbers are big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = if matches!(self.state, State::Keys(_)) { 1 } else { 2 };
        let mut bytes = Vec::with_capacity(78);
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(&self.label.0);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.previous.unwrap_or(u64::MAX).to_be_bytes());
        if let State::Keys(commitment) = &self.state {
            bytes.extend_from_slice(&commitment.0);
        }
        bytes
    }

    /// The value of the label in the index after this entry: SHA-256(0x02 || value before || leaf hash of
    /// the entry), where the value before the first entry is 32 zero bytes.
    pub fn chain(&self, before: &Hash) -> Hash {
        let mut hash = Sha256::new();
        hash.update([0x02]);
        hash.update(before);
        hash.update(tlog::leaf_hash(&self.to_bytes()));
        hash.finalize().into()
    }
}

impl Root {
    /// Version, kind 0, time, number of labels, root of the index, public key. Numbers are big-endian.
    pub fn to_bytes(&self) -> [u8; Root::LENGTH] {
        let mut bytes = [0; Root::LENGTH];
        let parts: [&[u8]; 5] =
            [&[VERSION, 0], &self.time.to_be_bytes(), &self.labels.to_be_bytes(), &self.index, &self.vrf];
        bytes.iter_mut().zip(parts.concat()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// How many bytes its entry has.
    pub const LENGTH: usize = 82;
}

/// The value of a label before its first entry.
pub const NO_CHAIN: Hash = [0; 32];

/// Takes the next bytes off the front.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Entry> {
        let label = Label([7; 32]);
        let keys = State::Keys(Commitment([8; 32]));
        vec![
            Entry::Update(Update { label, sequence: 1, previous: None, state: keys }),
            Entry::Update(Update { label, sequence: 2, previous: Some(0), state: State::Erased }),
            Entry::Update(Update { label, sequence: 3, previous: Some(1 << 40), state: keys }),
            Entry::Root(Root { time: 1_800_000_000, labels: 3, index: [9; 32], vrf: [10; 32] }),
        ]
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let lengths = [78, 46, 78, Root::LENGTH];
        for (entry, length) in examples().into_iter().zip(lengths) {
            assert_eq!(entry.to_bytes().len(), length);
            assert_eq!(Entry::from_bytes(&entry.to_bytes()), Some(entry));
        }
    }

    #[test]
    fn there_is_no_other_form_of_an_entry() {
        for entry in examples() {
            let bytes = entry.to_bytes();
            for end in 0..bytes.len() {
                assert_eq!(Entry::from_bytes(&bytes[..end]), None);
            }
            assert_eq!(Entry::from_bytes(&[&bytes[..], &[0]].concat()), None);
            let mut version = bytes.clone();
            version[0] = 2;
            let mut kind = bytes.clone();
            kind[1] = 3;
            assert_eq!((Entry::from_bytes(&version), Entry::from_bytes(&kind)), (None, None));
        }
        // A first entry with a predecessor, a later one without, and a sequence of 0.
        for (at, byte) in [(37, 0), (37, 2)] {
            let mut bytes = examples()[0].to_bytes();
            bytes[at] = byte;
            assert_eq!(Entry::from_bytes(&bytes), None);
        }
        let mut bytes = examples()[0].to_bytes();
        bytes[38..46].fill(0);
        assert_eq!(Entry::from_bytes(&bytes), None);
    }
}
