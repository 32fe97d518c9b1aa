//! What all doors share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use keydir::{Mailbox, Publication, PublicationError};
use net::Clock;
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::counters::Counters;
use crate::gate::Gate;
use crate::limits::Limits;
use crate::log::KeyLog;
use crate::wkd::Recall;

/// The state of the sidecar: what is published, the configuration in force, limits, counters and the clock.
///
/// Every door gets an `Arc` of it.
#[derive(Debug)]
pub struct Directory {
    /// What the gateway published.
    pub publication: Publication,
    /// The log of what is published.
    pub key_log: KeyLog,
    /// The gateway, for what only it can do.
    pub gate: Gate,
    /// Who may ask how often.
    pub limits: Limits,
    /// What was answered.
    pub counters: Counters,
    /// The time.
    pub clock: Clock,
    /// What was looked up in the Web Key Directory since the publication last changed.
    pub recall: Recall,
    config: ArcSwap<Config>,
}

/// The database in the publication directory.
const DATABASE: &str = "publication.db";

impl Directory {
    /// Opens the publication.
    ///
    /// # Errors
    /// It is not there yet, or was written by a newer version.
    pub fn open(config: Config, clock: Clock) -> Result<Arc<Self>, PublicationError> {
        let database = config.publication.join(DATABASE);
        let publication = Publication::open(&database)?;
        Ok(Arc::new(Self {
            publication,
            key_log: KeyLog::new(&config.publication),
            gate: Gate::new(&config.publication),
            limits: Limits::new(config.limits),
            counters: Counters::default(),
            clock,
            recall: Recall::new(&database),
            config: ArcSwap::from_pointee(config),
        }))
    }

    /// Reads the publication on a thread that may wait for the gateway to finish writing; requests that need no
    /// reading go on meanwhile.
    ///
    /// # Errors
    /// What `read` gives, or that it ended abnormally.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, PublicationError> + Send + 'static,
    ) -> Result<T, PublicationError> {
        let ended = |_| PublicationError::Corrupt("reading it ended abnormally".to_owned());
        spawn_blocking(read).await.map_err(ended)?
    }

    /// Everything for one address, as [`Publication::mailbox`], without holding up other requests.
    ///
    /// # Errors
    /// As [`Directory::read`].
    pub async fn mailbox(&self, address: &str) -> Result<Option<Mailbox>, PublicationError> {
        let (publication, address) = (self.publication.clone(), address.to_owned());
        self.read(move || publication.mailbox(&address)).await
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts another configuration in force.
    pub fn set_config(&self, config: Config) {
        self.limits.set(config.limits);
        self.config.store(Arc::new(config));
    }
}
