//! What can go wrong with the store.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::answer::Reason;
use crate::intake::IntakeError;
use crate::x509::CertificateError;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// An X.509 certificate was refused for what it is.
    #[error("certificate {fingerprint} is refused: {reason}")]
    Certificate {
        /// Its fingerprint.
        fingerprint: String,
        /// What is wrong with it.
        reason: Reason,
    },
    /// What lies in the store cannot be read back.
    #[error("the certificate store holds a damaged entry: {0}")]
    Corrupt(String),
    /// The database reported an error.
    #[error("the certificate store cannot be used")]
    Database(#[source] rusqlite::Error),
    /// The administrator distrusts the certificate.
    #[error("certificate {0} is distrusted")]
    Distrusted(String),
    /// Others than its owner can read or write the file.
    #[error("{}: mode {mode:04o} lets others in; it must be 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be opened or created.
    #[error("{}: cannot open the certificate store", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificates given were refused.
    #[error("the certificates were refused")]
    Intake(#[from] IntakeError),
    /// Another process holds a lock.
    #[error("the certificate store is locked by another process")]
    Locked(#[source] rusqlite::Error),
    /// The file was written by a newer version.
    #[error("the certificate store has schema {found}; this version knows {known}")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema this version knows.
        known: i64,
    },
    /// The certificate does not name whom it shall be bound to.
    #[error("certificate {fingerprint} is not made out to {wanted}")]
    NotMadeOutTo {
        /// Its fingerprint.
        fingerprint: String,
        /// The mailbox, or "any mailbox".
        wanted: String,
    },
    /// The signature given does not revoke the certificate.
    #[error("this is no revocation of {0}")]
    NotARevocation(String),
    /// The input holds no or several certificates where one is needed.
    #[error("the input is not exactly one certificate")]
    NotOne,
    /// The file or its directory is read-only.
    #[error("the certificate store is read-only")]
    ReadOnly(#[source] rusqlite::Error),
    /// The X.509 certificates given were refused.
    #[error("the certificates were refused")]
    X509(#[from] CertificateError),
    /// No certificate has this fingerprint.
    #[error("no certificate {0} in the store")]
    Unknown(String),
}

impl From<StoreError> for mail::Failure {
    /// Nothing that is wrong with our store is the sender's fault: always temporary.
    fn from(error: StoreError) -> Self {
        Self::temporary((7, 5), "the certificate directory cannot answer now").because(error)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(error),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(error),
            _ => Self::Database(error),
        }
    }
}
