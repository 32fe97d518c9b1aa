//! Builds the index again from the entries of the log, and holds every root in the log against it.

use rusqlite::Connection;
use thiserror::Error;
use tlog::Hash;

use crate::entry::Entry;
use crate::entry::Root;
use crate::entry::Update;
use crate::index::Index;
use crate::index::IndexError;

/// So many updates are applied at once.
const BATCH: usize = 1 << 16;

/// Why a log is not what it claims to be.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The index could not be built, or an entry does not continue its label.
    #[error("the index of the log cannot be rebuilt")]
    Index(#[from] IndexError),
    /// A leaf is no entry of a key log.
    #[error("leaf {number} is not an entry of a key log")]
    NotAnEntry {
        /// Its number.
        number: u64,
    },
    /// The log claims another index than that of its entries.
    #[error("the root in entry {number} is not that of the entries before it")]
    WrongRoot {
        /// The number of the entry with the root.
        number: u64,
    },
    /// The function that makes labels has another key than before.
    #[error("entry {number} names another VRF key than the entries before it")]
    WrongVrfKey {
        /// The number of the entry with the root.
        number: u64,
    },
}

/// An index that follows the log entry by entry.
pub(crate) struct Replay<'c> {
    index: Index<'c>,
    labels: u64,
    root: Option<Root>,
    /// The root of the index if nothing was applied since.
    current: Option<Hash>,
    batch: Vec<(u64, Update)>,
    /// How often the clock of the log went back.
    pub(crate) steps_back: u64,
}

impl Replay<'_> {
    /// Goes on after `root`, the last entry that this index has seen; with none, from the beginning.
    pub(crate) fn after(connection: &Connection, root: Option<Root>) -> Replay<'_> {
        let labels = root.map_or(0, |root| root.labels);
        let current = root.map(|root| root.index);
        Replay { index: Index(connection), labels, root, current, batch: Vec::new(), steps_back: 0 }
    }

    /// Takes the next entry.
    pub(crate) fn push(&mut self, number: u64, bytes: &[u8]) -> Result<Entry, ReplayError> {
        let entry = Entry::from_bytes(bytes).ok_or(ReplayError::NotAnEntry { number })?;
        match &entry {
            Entry::Update(update) => {
                self.batch.push((number, *update));
                if self.batch.len() >= BATCH {
                    self.flush()?;
                }
            }
            Entry::Root(root) => self.check(number, root)?,
        }
        Ok(entry)
    }

    /// The last root, if nothing came after it.
    pub(crate) fn at_root(&self) -> Option<&Root> {
        self.root.as_ref().filter(|_| self.batch.is_empty() && self.current.is_some())
    }

    fn check(&mut self, number: u64, root: &Root) -> Result<(), ReplayError> {
        let index = match self.current {
            Some(current) if self.batch.is_empty() => current,
            _ => self.flush()?,
        };
        if index != root.index || self.labels != root.labels {
            return Err(ReplayError::WrongRoot { number });
        }
        if let Some(before) = &self.root {
            if before.vrf != root.vrf {
                return Err(ReplayError::WrongVrfKey { number });
            }
            self.steps_back += u64::from(root.time < before.time);
        }
        self.current = Some(index);
        self.root = Some(*root);
        Ok(())
    }

    fn flush(&mut self) -> Result<Hash, ReplayError> {
        let (labels, root) = self.index.apply(self.labels, &self.batch)?;
        self.labels = labels;
        self.batch.clear();
        self.current = None;
        Ok(root)
    }
}
