//! Watches the log for changes of mailboxes that one knows.
//!
//! Whoever owns a mailbox looks whether every change of it in the log is one he has made. This needs the
//! tiles only, and no trust in the index: every entry since the last look is read.

use std::collections::HashSet;

use thiserror::Error;
use tlog::checkpoint::Checkpoint;
use tlog::tiles::Reader;
use tlog::tiles::Source;
use tlog::tiles::TilesError;

use crate::Label;
use crate::entry::Entry;
use crate::entry::Update;

/// A change of a mailbox that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The number of the entry.
    pub number: u64,
    /// The entry.
    pub update: Update,
    /// When the log says that it made the checkpoint with this entry, in seconds since 1970.
    pub time: u64,
}

/// Why the log cannot be watched.
#[derive(Debug, Error)]
pub enum MonitorError {
    /// The log is not a continuation of the checkpoint that was seen last.
    #[error("the log contradicts the checkpoint of {size} entries that was seen before")]
    Forked {
        /// Its size.
        size: u64,
    },
    /// A leaf is no entry of a key log.
    #[error("leaf {number} is not an entry of a key log")]
    NotAnEntry {
        /// Its number.
        number: u64,
    },
    /// A tile cannot be read, or is not that of the checkpoint.
    #[error("the tiles of the log do not belong to its checkpoint")]
    Tiles(#[from] TilesError),
}

/// Every change of these labels since a checkpoint, or since the beginning, in the order of the log.
///
/// # Errors
/// See [`MonitorError`]; [`MonitorError::Forked`] is an alarm.
pub fn changes<S: Source>(
    reader: &Reader<S>,
    since: Option<&Checkpoint>,
    labels: &HashSet<Label>,
) -> Result<Vec<Sighting>, MonitorError> {
    let from = match since {
        Some(seen) if seen.size() > reader.size() || !reader.continues(seen)? => {
            return Err(MonitorError::Forked { size: seen.size() });
        }
        Some(seen) => seen.size(),
        None => 0,
    };
    let mut sightings: Vec<Sighting> = Vec::new();
    let mut dated = 0;
    reader.for_each(from..reader.size(), |number, bytes| {
        match Entry::from_bytes(bytes).ok_or(MonitorError::NotAnEntry { number })? {
            Entry::Update(update) if labels.contains(&update.label) => {
                sightings.push(Sighting { number, update, time: 0 });
            }
            Entry::Update(_) => {}
            Entry::Root(root) => {
                sightings.iter_mut().skip(dated).for_each(|sighting| sighting.time = root.time);
                dated = sightings.len();
            }
        }
        Ok::<(), MonitorError>(())
    })?;
    Ok(sightings)
}
