//! Transparency logs in the formats of C2SP: tree, proofs, tiles, checkpoints, witnesses.
//!
//! This crate knows neither mail nor what the entries mean: it takes hashes and bytes. The notary and the
//! key log build on it.
//!
//! | module | format | what for |
//! |---|---|---|
//! | [`merkle`] | RFC 6962 section 2.1 | roots, and whether a proof is right |
//! | [`key`], [`note`] | signed-note | a text and who signed it |
//! | [`checkpoint`] | tlog-checkpoint | what a log says of its tree |
//! | [`tiles`] | tlog-tiles | the log as static files: one writer, any reader |
//! | [`key`], [`policy`] | tlog-cosignature, tlog-policy | which logs and how many witnesses to believe |
//! | [`witness`] | tlog-witness | to obtain cosignatures, and to give them |
//! | [`proof`] | tlog-proof | a file that proves an entry without a network |
//!
//! A log is written by [`tiles::Writer`], cosigned with [`witness::cosign`], published by the writer again,
//! and read by [`tiles::Reader`]. Keys are Ed25519 only. Not here: ML-DSA-44 cosignatures, pruning, and
//! HTTP, which callers bring along.
//!
//! Everything that is read has a limit and one form only: what is read and written again is the same bytes.
//! Nothing is trusted because of where it came from. A reader checks every tile up to the root, a policy
//! every signature of a key that it knows, a writer what it finds on disk.

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

pub use files::FilesError;

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
