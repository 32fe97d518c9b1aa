//! The Merkle tree over the leaves (RFC 6962 section 2.1) and its proofs.
//!
//! Proofs are first computed as ranges of leaves, then hashed: the geometry is pure, and whoever
//! holds the leaves can stream them.

use std::ops::Range;

use sha2::Digest;
use sha2::Sha256;

use crate::Hash;

/// The hash of a tree, built leaf by leaf in memory that grows with the logarithm of its size.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    /// Roots of the complete subtrees, the largest (leftmost) first.
    complete: Vec<Hash>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Appends the leaf with this leaf hash (SHA-256(0x00 || leaf)).
    pub fn push(&mut self, leaf_hash: Hash) {
        let mut hash = leaf_hash;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.complete.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.complete.push(hash);
        self.size += 1;
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle tree hash; that of the empty tree is SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        join(&self.complete)
    }
}

/// The hash of the tree whose complete subtrees, the largest first, have these roots.
pub(crate) fn join(subtrees: &[Hash]) -> Hash {
    let mut rightwards = subtrees.iter().rev();
    let Some(&last) = rightwards.next() else { return Sha256::digest([]).into() };
    rightwards.fold(last, |right, left| node_hash(left, &right))
}

/// The roots of the complete subtrees of which a tree consists, the largest first, from the nodes at
/// the right end of some levels, the highest level first.
pub(crate) fn subtrees<'e>(
    edges: impl IntoIterator<Item = &'e (impl AsRef<[Hash]> + ?Sized + 'e)>,
) -> Vec<Hash> {
    let mut subtrees = Vec::new();
    for edge in edges {
        let mut rest = edge.as_ref();
        while !rest.is_empty() {
            let (left, right) = rest.split_at(1 << rest.len().ilog2());
            subtrees.push(complete(left));
            rest = right;
        }
    }
    subtrees
}

/// The root over nodes of one level, as many as a power of two.
pub(crate) fn complete(nodes: &[Hash]) -> Hash {
    let mut tree = Tree::new();
    nodes.iter().for_each(|node| tree.push(*node));
    tree.root()
}

/// RFC 6962 section 2.1: the hash of an inner node is SHA-256(0x01 || left || right).
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The subtrees whose hashes are the inclusion proof of leaf `index` in the tree of `size` leaves
/// (RFC 6962 section 2.1.1), in order; none if there is no such leaf.
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The subtrees whose hashes prove that the tree of `new` leaves continues that of `old` leaves
/// (RFC 6962 section 2.1.2), in order; none if `old` is larger than `new`.
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    let mut ranges = Vec::new();
    if old == 0 || old == new {
        return Some(ranges);
    }
    let (mut start, mut end) = (0, new);
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    // The old tree itself need not be in the proof: the verifier has its root.
    if start > 0 {
        ranges.push(start..end);
    }
    ranges.reverse();
    Some(ranges)
}

/// Whether `proof` shows that the leaf with this hash is number `index` (from 0) of the tree with
/// `size` leaves and this `root` (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(leaf_hash: &Hash, index: u64, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of size and root `new` begins with the leaves of the tree of
/// size and root `old` (RFC 9162 section 2.1.4.2). Every tree continues the empty one.
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    if old.0 == 0 {
        return proof.is_empty() && *old.1 == Tree::new().root();
    }
    if old.0 == new.0 {
        return proof.is_empty() && old.1 == new.1;
    }
    if old.0 > new.0 {
        return false;
    }
    // A complete old tree is itself the first subtree, and the prover left it out.
    let known = old.0.is_power_of_two().then_some(old.1);
    let mut path = known.into_iter().chain(proof);
    let Some(first) = path.next() else { return false };
    let skip = (old.0 - 1).trailing_ones();
    let (mut at, mut last) = ((old.0 - 1) >> skip, (new.0 - 1) >> skip);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old.1 && new_hash == *new.1
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::leaf_hash;

    use proptest::prelude::*;

    /// RFC 6962 section 2.1, word by word.
    fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
            }
        }
    }

    /// RFC 6962 section 2.1.1, word by word.
    fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let mut k = 1;
        while k * 2 < leaves.len() {
            k *= 2;
        }
        let (mut path, other) = if m < k {
            (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
        } else {
            (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
        };
        path.push(other);
        path
    }

    /// RFC 6962 section 2.1.2, word by word.
    fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![naive_root(leaves)] };
        }
        let mut k = 1;
        while k * 2 < leaves.len() {
            k *= 2;
        }
        let (mut proof, other) = if m <= k {
            (naive_subproof(m, &leaves[..k], whole), naive_root(&leaves[k..]))
        } else {
            (naive_subproof(m - k, &leaves[k..], false), naive_root(&leaves[..k]))
        };
        proof.push(other);
        proof
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count as u64).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    fn hashed(ranges: Vec<Range<u64>>, leaves: &[Hash]) -> Vec<Hash> {
        ranges
            .into_iter()
            .map(|range| {
                let mut tree = Tree::new();
                leaves[range.start as usize..range.end as usize].iter().for_each(|leaf| tree.push(*leaf));
                tree.root()
            })
            .collect()
    }

    /// The eight leaves that Certificate Transparency's own tests use, and their root.
    #[test]
    fn root_of_the_certificate_transparency_reference_tree() {
        let data: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let mut tree = Tree::new();
        data.iter().for_each(|leaf| tree.push(leaf_hash(leaf)));
        let expected = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        let root: String = tree.root().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(root, expected);
    }

    #[test]
    fn every_small_tree_and_proof_is_that_of_the_naive_recursion() {
        let all = leaves(40);
        for size in 0..=all.len() {
            let mut tree = Tree::new();
            all[..size].iter().for_each(|leaf| tree.push(*leaf));
            let tree = tree.root();
            assert_eq!(tree, naive_root(&all[..size]));
            for index in 0..size {
                let proof = hashed(inclusion_ranges(index as u64, size as u64).unwrap(), &all);
                assert_eq!(proof, naive_path(index, &all[..size]));
                assert!(verify_inclusion(&all[index], index as u64, size as u64, &tree, &proof));
            }
            for old in 1..=size {
                let proof = hashed(consistency_ranges(old as u64, size as u64).unwrap(), &all);
                assert_eq!(proof, naive_subproof(old, &all[..size], true));
                let old_root = naive_root(&all[..old]);
                assert!(verify_consistency((old as u64, &old_root), (size as u64, &tree), &proof));
            }
        }
        assert_eq!(inclusion_ranges(40, 40), None);
        assert_eq!(consistency_ranges(41, 40), None);
        assert!(inclusion_ranges(u64::MAX - 1, u64::MAX).unwrap().len() <= 64);
    }

    proptest! {
        #[test]
        fn large_trees_prove_every_leaf_and_nothing_else(size in 1u64..700, pick in any::<u64>(), other in any::<u64>(), old in any::<u64>(), bit in any::<u64>()) {
            let all = leaves(size as usize);
            let root = naive_root(&all);
            let index = pick % size;
            let leaf = all[index as usize];
            let mut proof = hashed(inclusion_ranges(index, size).unwrap(), &all);
            prop_assert_eq!(&proof, &naive_path(index as usize, &all));
            prop_assert!(verify_inclusion(&leaf, index, size, &root, &proof));
            let wrong = other % (size + 3);
            prop_assert!(wrong == index || !verify_inclusion(&leaf, wrong, size, &root, &proof));
            if !proof.is_empty() {
                let at = bit as usize % proof.len();
                proof[at][bit as usize % 32] ^= 1;
                prop_assert!(!verify_inclusion(&leaf, index, size, &root, &proof));
                proof.pop();
                prop_assert!(!verify_inclusion(&leaf, index, size, &root, &proof));
            }

            let old = 1 + old % size;
            let old_root = naive_root(&all[..old as usize]);
            let mut proof = hashed(consistency_ranges(old, size).unwrap(), &all);
            prop_assert_eq!(&proof, &naive_subproof(old as usize, &all, true));
            prop_assert!(verify_consistency((old, &old_root), (size, &root), &proof));
            prop_assert!(old == size || !verify_consistency((old, &root), (size, &root), &proof));
            if !proof.is_empty() {
                let at = bit as usize % proof.len();
                proof[at][bit as usize % 32] ^= 1;
                prop_assert!(!verify_consistency((old, &old_root), (size, &root), &proof));
            }
        }
    }
}
