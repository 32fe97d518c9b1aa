//! Errors at the border of the notary.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::EntryError;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The first leaf of this run could not be written.
    #[error("cannot record the start of this run")]
    Append(#[source] AppendError),
    /// Keys could not be derived or tested.
    #[error("cryptographic library failed")]
    Crypto(#[from] openssl::error::ErrorStack),
    /// The file or its lock cannot be used.
    #[error("cannot open the notary database {}", path.display())]
    File {
        /// The file that was tried.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file was written by a newer version of this software.
    #[error("the notary database has format {0}, newer than this software understands")]
    Format(i64),
    /// Another process writes to this log.
    #[error("the notary database {} is in use by another writer{}", path.display(), holder(*.pid))]
    InUse {
        /// The database.
        path: PathBuf,
        /// The process that holds the lock, if it said so.
        pid: Option<u32>,
    },
    /// The log in the file is a different one.
    #[error("the notary database belongs to log `{found}`, not to `{expected}`")]
    Origin {
        /// The origin in the file.
        found: String,
        /// The origin asked for.
        expected: String,
    },
    /// SQLite refused.
    #[error("the notary database cannot be used")]
    Storage(#[from] rusqlite::Error),
    /// The writer thread could not be started.
    #[error("cannot start the notary's writer")]
    Thread(#[source] io::Error),
    /// The key is not the one this log was written with.
    #[error("the notary key does not fit this database")]
    WrongKey,
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Why an entry has no receipt. Everything but [`AppendError::Entry`] is temporary: the message
/// must wait.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The notary was closed.
    #[error("the notary is closed")]
    Closed,
    /// The cryptographic library failed.
    #[error("the notary could not encrypt the record")]
    Crypto(#[source] Arc<openssl::error::ErrorStack>),
    /// The entry can never be recorded as it is.
    #[error("the entry cannot be recorded")]
    Entry(#[from] EntryError),
    /// There is no entry with this index, or it is already erased.
    #[error("there is no record {0} to erase")]
    NothingToErase(u64),
    /// The file under the notary's path is not the one it wrote to before.
    #[error("the notary database was removed or replaced")]
    Replaced,
    /// SQLite could not commit the batch; nothing of it is in the log.
    #[error("the notary database refused the record")]
    Storage(#[source] Arc<rusqlite::Error>),
}

impl AppendError {
    /// Whether the same entry may succeed later.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, AppendError::Entry(_) | AppendError::NothingToErase(_))
    }
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        AppendError::Storage(Arc::new(error))
    }
}

impl From<openssl::error::ErrorStack> for AppendError {
    fn from(error: openssl::error::ErrorStack) -> Self {
        AppendError::Crypto(Arc::new(error))
    }
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The cryptographic library failed.
    #[error("the notary could not decrypt a record")]
    Crypto(#[from] openssl::error::ErrorStack),
    /// The leaf with this index is not in the form a leaf has.
    #[error("leaf {0} is damaged")]
    Damaged(u64),
    /// The question needs the notary key, and the reader was opened without.
    #[error("this needs the notary key")]
    NeedsKey,
    /// An index or size lies beyond the end of the log.
    #[error("the log holds only {0} leaves")]
    OutOfRange(u64),
    /// SQLite refused.
    #[error("the notary database cannot be read")]
    Storage(#[from] rusqlite::Error),
}
