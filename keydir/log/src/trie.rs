//! The index of labels: a Merkle-Patricia trie, its root, and proofs of presence and absence.
//!
//! The tree depends on the set of labels and values only. A leaf's hash is SHA-256(0x00 || 0x20 || label ||
//! 0x20 || value); an inner node stands at the first bit B at which the labels below it differ, and its
//! hash is SHA-256(0x01 || varint(B) || left || right); the empty tree is SHA-256 of nothing. These are the
//! hashes and path proofs of the `mpt` package of torchwood, for keys and values of 32 bytes.
//!
//! Nothing here reads or writes: [`crate::index`] keeps the tree on disk.

use sha2::Digest;
use sha2::Sha256;
use tlog::Hash;

use crate::Label;

/// A subtree that is not empty: its root, and any one label below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subtree {
    pub(crate) label: Label,
    pub(crate) hash: Hash,
}

/// One step from a leaf to the root: the bit at which the node stands, and the hash of its other child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The bit of the label, from 0 for the highest of the first byte.
    pub bit: u8,
    /// The hash of the child that the label is not below.
    pub sibling: Hash,
}

/// The way from a leaf to the root. The bits strictly decrease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The hash of the leaf of a label.
pub fn leaf(label: &Label, value: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x00, 32]);
    hash.update(label.0);
    hash.update([32]);
    hash.update(value);
    hash.finalize().into()
}

/// The hash of the node at `bit` with these children.
pub fn node(bit: u8, left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0x01]);
    // An unsigned varint of at most two bytes: seven bits each, the lowest first.
    if bit < 0x80 {
        hash.update([bit])
    } else {
        hash.update([bit, 0x01])
    }
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// Whether this bit of the label is set.
pub fn bit_of(label: &Label, bit: u8) -> bool {
    label.0.get(usize::from(bit / 8)).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
}

/// The first bit at which two labels differ; none if they are the same.
pub fn first_difference(a: &Label, b: &Label) -> Option<u8> {
    let position = a.0.iter().zip(&b.0).position(|(a, b)| a != b)?;
    let differing = a.0.get(position)? ^ b.0.get(position)?;
    u8::try_from(position * 8 + differing.leading_zeros() as usize).ok()
}

/// The root of a tree of subtrees whose labels ascend, each of which has all labels of the tree below its
/// own root. With `of`, also the way from the subtree of that number to the root.
///
/// None if there are no subtrees.
pub(crate) fn join(subtrees: &[Subtree], of: Option<usize>) -> (Option<Subtree>, Path) {
    let mut path = Path::default();
    let root = join_part(subtrees, of, &mut path);
    (root, path)
}

fn join_part(subtrees: &[Subtree], of: Option<usize>, path: &mut Path) -> Option<Subtree> {
    let (first, last) = (subtrees.first()?, subtrees.last()?);
    let Some(bit) = first_difference(&first.label, &last.label) else { return Some(*first) };
    // Everything between agrees up to this bit, because the labels ascend.
    let middle = subtrees.partition_point(|subtree| !bit_of(&subtree.label, bit));
    let (left, right) = subtrees.split_at(middle);
    let (in_left, in_right) = match of {
        Some(number) if number < middle => (Some(number), None),
        Some(number) => (None, Some(number - middle)),
        None => (None, None),
    };
    let left = join_part(left, in_left, path)?;
    let right = join_part(right, in_right, path)?;
    if in_left.is_some() {
        path.0.push(Step { bit, sibling: right.hash });
    } else if in_right.is_some() {
        path.0.push(Step { bit, sibling: left.hash });
    }
    Some(Subtree { label: first.label, hash: node(bit, &left.hash, &right.hash) })
}

impl Path {
    /// The root that this path leads to from the leaf of `label`; none if its bits do not decrease.
    fn root(&self, label: &Label, value: &Hash) -> Option<Hash> {
        let mut hash = leaf(label, value);
        let mut below: Option<u8> = None;
        for step in &self.0 {
            if below.is_some_and(|below| step.bit >= below) {
                return None;
            }
            below = Some(step.bit);
            hash = match bit_of(label, step.bit) {
                false => node(step.bit, &hash, &step.sibling),
                true => node(step.bit, &step.sibling, &hash),
            };
        }
        Some(hash)
    }

    /// Whether it shows that the tree with this root has the label with this value.
    pub fn shows(&self, root: &Hash, label: &Label, value: &Hash) -> bool {
        self.root(label, value).as_ref() == Some(root)
    }

    /// Whether it shows that the tree with this root has no such label, since whoever looks for it in the
    /// tree ends at the leaf of `other`.
    ///
    /// It is not enough that the other label is there: `label` must take the same turn at every node.
    pub fn excludes(&self, root: &Hash, label: &Label, other: (&Label, &Hash)) -> bool {
        label != other.0
            && self.0.iter().all(|step| bit_of(label, step.bit) == bit_of(other.0, step.bit))
            && self.shows(root, other.0, other.1)
    }
}

#[cfg(test)]
mod tests;
