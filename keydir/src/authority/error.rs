//! What can go wrong with the local authority.

use std::io;
use std::path::PathBuf;

use super::SignsError;
use crate::answer::Reason;
use crate::x509::AnchorsError;
use crate::x509::CertificateError;
use crate::x509::CrlError;

/// Why the local authority could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A root certificate was refused by the trust anchors.
    #[error("the root certificate cannot be an anchor")]
    Anchor(#[from] AnchorsError),
    /// What lies in the state file cannot be read back.
    #[error("the authority's state holds a damaged entry: {0}")]
    Corrupt(String),
    /// A revocation list was refused by the trust anchors.
    #[error("the revocation list cannot be used")]
    Crl(#[from] CrlError),
    /// The database reported an error.
    #[error("the authority's state cannot be used")]
    Database(#[from] rusqlite::Error),
    /// ASN.1 could not be written.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(String),
    /// There is an authority already.
    #[error("there is a certification authority already")]
    Exists,
    /// Others than its owner can read or write the state file.
    #[error("{}: mode {mode:04o} lets others in; it must be 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The state file cannot be opened or created.
    #[error("{}: cannot open the authority's state", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A name is no mailbox, domain or host, or a setting makes no sense.
    #[error("{what} {value:?} cannot be used")]
    Invalid {
        /// Which.
        what: &'static str,
        /// The value given.
        value: String,
    },
    /// The key of a new certificate could not be kept; nothing was issued.
    #[error("the new key cannot be put into custody")]
    Keeping(#[source] SignsError),
    /// The key given signs for another certificate.
    #[error("the key given is not the key of {0}")]
    KeyMismatch(String),
    /// The file was written by a newer version.
    #[error("the authority's state has schema {found}; this version knows {known}")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema this version knows.
        known: i64,
    },
    /// No authority was initialised, or all issuing certificates are revoked.
    #[error("there is no certification authority that could issue")]
    NoAuthority,
    /// The name lies outside of the domains of the authority.
    #[error("{0} lies outside of the domains of this authority")]
    OutsideDomains(String),
    /// What was made is not usable: the key is too weak or does not fit the profile.
    #[error("the certificate would be useless: {0}")]
    Unfit(Reason),
    /// No certificate has this fingerprint.
    #[error("no certificate {0} was issued here")]
    Unknown(String),
    /// The key cannot be used now.
    #[error("the authority's key cannot sign")]
    Signing(#[from] SignsError),
    /// What was made cannot be read back.
    #[error("the certificate that was made is malformed")]
    Made(#[from] CertificateError),
}

impl From<der::Error> for AuthorityError {
    fn from(error: der::Error) -> Self {
        Self::Encoding(error.to_string())
    }
}

impl From<openssl::error::ErrorStack> for AuthorityError {
    fn from(error: openssl::error::ErrorStack) -> Self {
        Self::Encoding(error.to_string())
    }
}
