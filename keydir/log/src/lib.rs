//! The key log: every change of a published key, provable to anybody and without names.

pub mod audit;
mod database;
pub mod entry;
mod hex;
pub mod index;
pub mod keyset;
pub mod ledger;
pub mod mailbox;
mod memory;
pub mod monitor;
pub mod proof;
pub mod reader;
pub mod replay;
pub mod trie;
pub mod vrf;
pub mod writer;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What a mailbox is called in the log: the first 32 bytes of the output of the verifiable random function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub [u8; 32]);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl FromStr for Label {
    type Err = NoLabel;

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Label, NoLabel> {
        hex::decode(text).and_then(|bytes| bytes.try_into().ok()).map(Label).ok_or(NoLabel)
    }
}

/// Not a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a label has 64 hexadecimal digits")]
pub struct NoLabel;
