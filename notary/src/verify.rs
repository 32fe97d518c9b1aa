//! Recomputing the log.

use std::collections::BTreeMap;

/// The outcome of recomputing the whole log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verification {
    /// How many leaves the log holds.
    pub size: u64,
    /// The Merkle tree hash over them (RFC 6962 section 2.1).
    pub root: [u8; 32],
    /// How many leaves there are of each event.
    pub events: BTreeMap<String, u64>,
    /// How many runs of the software wrote to the log.
    pub epochs: u64,
    /// How many of them ended without saying so; the running one is not counted.
    pub unclean: u64,
    /// How many private records were opened and their commitments recomputed.
    pub opened: u64,
    /// How many private records were erased.
    pub erased: u64,
    /// What does not fit together, in order of the leaves.
    pub faults: Vec<Fault>,
}

/// One thing in the log that does not fit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The leaf where it shows.
    pub seq: u64,
    /// What is wrong, in words.
    pub what: String,
}
