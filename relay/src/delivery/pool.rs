//! Connections kept for the next message to the same host over the same road.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::session::Session;
use super::session::Target;

/// How many connections are kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Idle connections in all; 0 keeps none.
    pub idle: usize,
    /// Idle connections to one host.
    pub idle_per_host: usize,
    /// How long one stays idle.
    pub idle_time: Duration,
    /// Messages over one connection.
    pub uses: u32,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { idle: 128, idle_per_host: 10, idle_time: Duration::from_secs(5), uses: 50 }
    }
}

/// Idle sessions. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    config: PoolConfig,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    idle: Vec<(Target, Session)>,
    /// Somebody looks after those that become old.
    watched: bool,
}

impl Pool {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self { config, shelf: Arc::default() }
    }

    /// A session to exactly this target: another road, or other records on it, need another handshake.
    pub(super) fn take(&self, target: &Target) -> Option<Session> {
        let mut shelf = self.shelf();
        let found =
            shelf.idle.iter().rposition(|(kept, session)| kept == target && self.is_young(session))?;
        Some(shelf.idle.swap_remove(found).1)
    }

    /// Keeps a session for the next message, or ends it.
    pub(super) fn put(&self, target: Target, mut session: Session) {
        session.since = Instant::now();
        let usable = session.used < self.config.uses && session.wire.is_quiet();
        let mut shelf = self.shelf();
        let alike = shelf.idle.iter().filter(|(kept, _)| *kept == target).count();
        if !usable || shelf.idle.len() >= self.config.idle || alike >= self.config.idle_per_host {
            drop(shelf);
            return end(session);
        }
        shelf.idle.push((target, session));
        if !shelf.watched {
            shelf.watched = true;
            tokio::spawn(self.clone().watch());
        }
    }

    /// Ends what is idle for too long, until nothing is idle.
    async fn watch(self) {
        loop {
            tokio::time::sleep(self.config.idle_time / 2 + Duration::from_millis(10)).await;
            let mut shelf = self.shelf();
            let old: Vec<_> = shelf.idle.extract_if(.., |(_, session)| !self.is_young(session)).collect();
            shelf.watched = !shelf.idle.is_empty();
            let done = !shelf.watched;
            drop(shelf);
            old.into_iter().for_each(|(_, session)| end(session));
            if done {
                return;
            }
        }
    }

    fn is_young(&self, session: &Session) -> bool {
        session.since.elapsed() < self.config.idle_time
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // It is whole between any two statements.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says goodbye in the background.
pub(super) fn end(session: Session) {
    tokio::spawn(session.quit(Instant::now() + GOODBYE));
}

const GOODBYE: Duration = Duration::from_secs(5);
