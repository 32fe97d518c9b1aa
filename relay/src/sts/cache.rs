//! Policies kept by `max_age`, in memory and on disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::dns::Dns;
use crate::road::Clock;

/// How policies are fetched and kept.
#[derive(Clone, Debug)]
pub struct StsConfig {
    /// Where policies are kept; without it they live in memory only and a restart forgets them.
    pub directory: Option<PathBuf>,
    /// How long one fetch may take in all.
    pub timeout: Duration,
    /// How many policies are kept.
    pub capacity: usize,
    /// For tests: connect here instead of to the policy host's port 443.
    pub connect_to: Option<SocketAddr>,
}

impl Default for StsConfig {
    fn default() -> Self {
        Self { directory: None, timeout: Duration::from_secs(10), capacity: 50_000, connect_to: None }
    }
}

/// The policies that are known. Cheap to share in an `Arc`.
#[derive(Debug)]
pub struct StsCache {
    config: StsConfig,
    clock: Clock,
    dns: Dns,
}

impl StsCache {
    /// Opens the cache, reading what is on disk; damaged or expired files are removed.
    pub fn open(config: StsConfig, dns: Dns, clock: Clock) -> Self {
        Self { config, clock, dns }
    }
}
