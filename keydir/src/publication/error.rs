//! What can go wrong with the publication.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Why the publication cannot be read or written. Never means that there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicationError {
    /// What lies in the file cannot be read back.
    #[error("the publication holds a damaged entry: {0}")]
    Corrupt(String),
    /// The database reported an error.
    #[error("the publication cannot be used")]
    Database(#[source] rusqlite::Error),
    /// The file cannot be opened or created.
    #[error("{}: cannot open the publication", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process holds a lock, or died while it wrote and the gateway must open the file first.
    #[error("the publication is locked or waits for the gateway to recover it")]
    Locked(#[source] rusqlite::Error),
    /// The key log did not take the changes; nothing of them became visible.
    #[error("the key log did not take the changes")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file was written by a newer version.
    #[error("the publication has schema {found}; this version knows {known}")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema this version knows.
        known: i64,
    },
    /// A rule that cannot be followed.
    #[error("the rules of the publication: {0}")]
    Rules(String),
    /// A certificate with secret key material was about to be published. Nothing was.
    #[error("certificate {0} holds SECRET KEY MATERIAL; nothing was published")]
    Secret(String),
    /// The callback that adds a User ID failed.
    #[error("cannot add the User ID {address} to certificate {fingerprint}")]
    Sign {
        /// The address.
        address: String,
        /// The certificate.
        fingerprint: String,
        /// What the callback said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The certificate store cannot be read.
    #[error("the certificate store cannot be read")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for PublicationError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::ReadOnly) => {
                Self::Locked(error)
            }
            _ => Self::Database(error),
        }
    }
}
