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
        Self { idle: 64, idle_per_host: 4, idle_time: Duration::from_secs(5), uses: 50 }
    }
}

/// Idle sessions. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    config: PoolConfig,
    idle: Arc<Mutex<Vec<(Target, Session)>>>,
}

impl Pool {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self { config, idle: Arc::default() }
    }

    /// A session to exactly this target: another road, or other records on it, need another handshake.
    pub(super) fn take(&self, target: &Target) -> Option<Session> {
        let mut idle = self.idle();
        let found = idle.iter().rposition(|(kept, session)| kept == target && self.is_young(session))?;
        Some(idle.swap_remove(found).1)
    }

    /// Keeps a session for the next message, or ends it.
    pub(super) fn put(&self, target: Target, mut session: Session) {
        session.since = Instant::now();
        let usable = session.used < self.config.uses && session.wire.is_quiet();
        let refused = {
            let mut idle = self.idle();
            let alike = idle.iter().filter(|(kept, _)| *kept == target).count();
            if usable && idle.len() < self.config.idle && alike < self.config.idle_per_host {
                idle.push((target, session));
                None
            } else {
                Some(session)
            }
        };
        match refused {
            Some(session) => end(session),
            None => self.sweep_later(),
        }
    }

    /// Ends what is idle for too long, a moment after it became so.
    fn sweep_later(&self) {
        let pool = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pool.config.idle_time + Duration::from_millis(10)).await;
            let mut old = Vec::new();
            {
                let mut idle = pool.idle();
                let mut kept = Vec::with_capacity(idle.len());
                for (target, session) in idle.drain(..) {
                    if pool.is_young(&session) { kept.push((target, session)) } else { old.push(session) }
                }
                *idle = kept;
            }
            old.into_iter().for_each(end);
        });
    }

    fn is_young(&self, session: &Session) -> bool {
        session.since.elapsed() < self.config.idle_time
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Target, Session)>> {
        // The list is whole between any two statements.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says goodbye in the background.
pub(super) fn end(session: Session) {
    tokio::spawn(session.quit(Instant::now() + GOODBYE));
}

const GOODBYE: Duration = Duration::from_secs(5);
