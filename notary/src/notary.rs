//! The notary as its callers see it.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use zeroize::Zeroizing;

use crate::entry::Entry;
use crate::error::AppendError;
use crate::error::OpenError;
use crate::error::ReadError;
use crate::pending::Pending;
use crate::query::Reader;
use crate::query::Story;
use crate::verify::Verification;

/// What a notary is opened with.
#[derive(Clone)]
pub struct Options {
    /// The SQLite file; made if it is not there. Its directory must exist.
    pub path: PathBuf,
    /// The name of this log, for example `mx1.example.org/gatepost`. Stands in every leaf.
    pub origin: String,
    /// The notary's secret key. Whoever has it can read every private record.
    pub key: Zeroizing<[u8; 32]>,
    /// Name and version of the software that writes, for the leaf that opens this run.
    pub software: String,
    /// The time in microseconds since 1970-01-01T00:00Z; [`system_clock`] unless in a test.
    pub clock: fn() -> i64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.path).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The system's clock: microseconds since 1970-01-01T00:00Z.
pub fn system_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// What the notary did in this run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Leaves in the log, those of former runs included.
    pub size: u64,
    /// Entries that got a receipt.
    pub recorded: u64,
    /// Entries that were refused because of the disk.
    pub failed: u64,
    /// Transactions committed; `recorded / batches` is how many entries shared one synchronisation.
    pub batches: u64,
}

/// The one writer of a log.
///
/// Can be shared between threads; every method takes `&self`.
pub struct Notary {}

impl Notary {
    /// Opens the log, takes its lock and records the start of this run.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(_options: Options) -> Result<Notary, OpenError> {
        Ok(Notary {})
    }

    /// Records an entry. The receipt comes when it is on disk, together with everything else that
    /// waited at the same time.
    ///
    /// # Errors
    /// The pending value gives [`AppendError`]: then nothing of the entry is in the log.
    pub fn append(&self, _entry: Entry) -> Pending {
        Pending::new().1
    }

    /// Destroys the private half of a record, its key and what it can be found by, and records
    /// that this was done on whose `authority` (no personal data: it stands in the leaf in clear).
    /// `operator` and why go into the private half of the new record.
    ///
    /// # Errors
    /// [`AppendError::NothingToErase`] if there is no such record.
    pub fn erase(&self, _seq: u64, _authority: &str, _private: serde_json::Value) -> Pending {
        Pending::new().1
    }

    /// As [`Reader::find`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn find(&self, _kind: &str, _value: &str) -> Result<Vec<Story>, ReadError> {
        Ok(Vec::new())
    }

    /// As [`Reader::verify`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn verify(&self) -> Result<Verification, ReadError> {
        Ok(Verification::default())
    }

    /// A new reader of this log, with the key.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn reader(&self) -> Result<Reader, OpenError> {
        Ok(Reader {})
    }

    /// What was done so far in this run.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// Records everything that waits, then the end of this run, and closes the file. Appends after
    /// it are refused. Without this call the next run records that this one ended uncleanly.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn close(&self) -> Result<(), AppendError> {
        Ok(())
    }
}
