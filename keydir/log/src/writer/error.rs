//! Why a key log cannot be written.

use std::path::PathBuf;

use thiserror::Error;
use tlog::tiles::TilesError;

use crate::index::IndexError;
use crate::replay::ReplayError;

/// Why a key log cannot be written.
#[derive(Debug, Error)]
pub enum KeyLogError {
    /// The same mailbox twice in one call.
    #[error("a mailbox is changed twice at once")]
    Duplicate,
    /// There is a log, but the second place remembers none: perhaps it is the wrong place.
    #[error("{path} does not remember the log, which has {size} entries")]
    Forgotten {
        /// The second place.
        path: PathBuf,
        /// How many entries the log has.
        size: u64,
    },
    /// What stands in the second place is no checkpoint of this log.
    #[error("{path} is not a checkpoint that this log has signed")]
    ForeignMemory {
        /// The second place.
        path: PathBuf,
    },
    /// The log contradicts a checkpoint that it has signed.
    #[error("the log contradicts the checkpoint of size {size} that it has signed")]
    Forked {
        /// The size of that checkpoint.
        size: u64,
    },
    /// The index cannot be used.
    #[error("the index of the key log cannot be used")]
    Index(#[from] IndexError),
    /// An earlier call failed halfway; open the log anew.
    #[error("an earlier change of the key log failed; it has to be opened anew")]
    Interrupted,
    /// The second place cannot be used.
    #[error("cannot use {path}")]
    Memory {
        /// The second place.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No random numbers.
    #[error("no salt can be made")]
    Random(#[from] openssl::error::ErrorStack),
    /// The entries of the log contradict each other.
    #[error("the key log is damaged")]
    Replay(#[from] ReplayError),
    /// The log was put back to an earlier state, as by a restore from a backup. Nothing is signed any
    /// more: that would be a second history.
    #[error("the key log was rolled back: it has {size} entries, but a checkpoint of {known} was signed")]
    RolledBack {
        /// How many entries there are.
        size: u64,
        /// How many there were.
        known: u64,
    },
    /// The tiles cannot be read or written; also when another process writes to the log.
    #[error("the files of the key log cannot be used")]
    Tiles(#[from] TilesError),
    /// A witness did not cosign.
    #[error("the witness {name} did not cosign the checkpoint")]
    Witness {
        /// Its name.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log was begun with another VRF key.
    #[error("the log was begun with another VRF key")]
    WrongVrfKey,
}
