//! Transparency logs in the formats of C2SP: tree, proofs, tiles, checkpoints, witnesses.
//!
//! This crate knows neither mail nor keys: it takes hashes and bytes. The notary and the key log build on it.

pub mod checkpoint;
mod encoding;
mod files;
pub mod key;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tiles;
pub mod witness;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// RFC 6962 section 2.1: the hash of a leaf is SHA-256(0x00 || leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    hash.update([0]);
    hash.update(leaf);
    hash.finalize().into()
}
