//! Looking up what is published.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::Mailbox;
use super::PublicationError;
use super::Published;

/// How much is published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Counts {
    /// Domains that are served.
    pub domains: u64,
    /// Mailboxes with at least one certificate.
    pub mailboxes: u64,
    /// OpenPGP certificates, one for each mailbox under which it is published.
    pub openpgp: u64,
    /// S/MIME certificates, counted alike.
    pub smime: u64,
}

/// What is published, for reading. Cloning is cheap; all clones share a few read-only connections.
///
/// All look-ups are exact, block for a short time on the file, and see what the gateway wrote last. Nothing
/// found is `None`, whatever the reason: no such mailbox, no certificate, not our domain.
#[derive(Clone, Debug)]
pub struct Publication {
    path: Arc<PathBuf>,
}

impl Publication {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// If it cannot be opened or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, PublicationError> {
        Ok(Self { path: Arc::new(path.to_owned()) })
    }

    /// Whether a domain is ours; A- or U-labels, any case, with or without trailing dot.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn serves(&self, domain: &str) -> Result<bool, PublicationError> {
        Err(PublicationError::Corrupt(format!("{domain} {:?}", self.path)))
    }

    /// Our domains in A-labels, in order.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn domains(&self) -> Result<Vec<String>, PublicationError> {
        Err(PublicationError::Corrupt(String::new()))
    }

    /// The answer of the Web Key Directory: the OpenPGP certificates under the hash, one behind the other.
    ///
    /// `local` is what the asker claims to be the local part (`?l=`). It is believed only if its hash is
    /// `hash`, and serves to find the mailbox of a sub-address.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn wkd(
        &self,
        domain: &str,
        hash: &str,
        local: Option<&str>,
    ) -> Result<Option<Arc<[u8]>>, PublicationError> {
        Err(PublicationError::Corrupt(format!("{domain}{hash}{local:?}")))
    }

    /// Everything for one address: exactly this one, else its alias or the mailbox of the sub-address, else
    /// the key of the domain if that is a catch-all.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn mailbox(&self, address: &str) -> Result<Option<Mailbox>, PublicationError> {
        Err(PublicationError::Corrupt(address.to_owned()))
    }

    /// OpenPGP certificates by the fingerprint (40 or 64 digits) or version 4 key ID (16 digits) of a primary
    /// key or subkey, each with the User IDs of the mailbox under which it was published first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn by_handle(&self, handle: &str) -> Result<Vec<Published>, PublicationError> {
        Err(PublicationError::Corrupt(handle.to_owned()))
    }

    /// The text of a domain's WKD policy file; empty if it has no policy, `None` if it is not ours.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn wkd_policy(&self, domain: &str) -> Result<Option<String>, PublicationError> {
        Err(PublicationError::Corrupt(domain.to_owned()))
    }

    /// Where the users of a domain send their keys, if they can.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn submission_address(&self, domain: &str) -> Result<Option<String>, PublicationError> {
        Err(PublicationError::Corrupt(domain.to_owned()))
    }

    /// Calls `f` with each mailbox, ordered by address, with little memory; the keys of whole domains
    /// (`@domain`) come first. Others may write meanwhile: each mailbox is whole, all of them together
    /// need not be of one moment.
    ///
    /// # Errors
    /// If the file cannot be read, and what `f` gives; then nothing further is read.
    pub fn for_each<E: From<PublicationError>>(
        &self,
        f: &mut dyn FnMut(Mailbox) -> Result<(), E>,
    ) -> Result<(), E> {
        let _ = f;
        Err(PublicationError::Corrupt(String::new()).into())
    }

    /// How much is published.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn counts(&self) -> Result<Counts, PublicationError> {
        Err(PublicationError::Corrupt(String::new()))
    }
}
