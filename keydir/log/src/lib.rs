//! The key log: every change of a published key, provable to anybody and without names.

mod hex;
pub mod mailbox;
pub mod vrf;

use std::fmt;

/// What a mailbox is called in the log: the first 32 bytes of the output of the verifiable random function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub [u8; 32]);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}
