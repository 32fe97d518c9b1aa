//! What all doors share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use keydir::{Publication, PublicationError};

use crate::clock::Clock;
use crate::config::Config;
use crate::counters::Counters;
use crate::limits::Limits;

/// The state of the sidecar: what is published, the configuration in force, limits, counters and the clock.
///
/// Every door gets an `Arc` of it.
#[derive(Debug)]
pub struct Directory {
    /// What the gateway published.
    pub publication: Publication,
    /// Who may ask how often.
    pub limits: Limits,
    /// What was answered.
    pub counters: Counters,
    /// The time.
    pub clock: Clock,
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
        let publication = Publication::open(&config.publication.join(DATABASE))?;
        Ok(Arc::new(Self {
            publication,
            limits: Limits::new(config.limits),
            counters: Counters::default(),
            clock,
            config: ArcSwap::from_pointee(config),
        }))
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
