//! Delivery of one message to the hosts of one route, while somebody waits for the answer.
//!
//! The hosts are tried in order until one has the last word for each recipient. A host whose road cannot be
//! travelled as it must be is passed over like one that is down; nothing is ever sent over a lesser road than
//! the route says. Nothing is stored: what is not delivered at the end is somebody else's to try again.

mod config;
mod demand;
mod envelope;
mod fault;
mod features;
mod letter;
mod pool;
mod probe;
mod reply;
mod report;
mod round;
mod session;
mod transaction;
mod wire;

use std::future::Future;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mail::EnhancedCode;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tokio::time::timeout_at;

use self::fault::HopFault;
use self::pool::Pool;
use self::round::Round;
use self::session::Opening;
use self::session::Session;
use self::session::Target;
use self::transaction::Work;
use self::wire::Deadline;
use crate::dns::Security;
use crate::engine::Engine;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::tls::Tls;

pub use config::CourierConfig;
pub use config::Times;
pub use envelope::Envelope;
pub use envelope::Recipient;
pub use letter::Letter;
pub use letter::LetterWriter;
pub use pool::PoolConfig;
pub use probe::Probe;
pub use reply::Reply;
pub use report::Attempt;
pub use report::Outcome;
pub use report::Report;
pub use report::Via;

/// Somebody who knows the road to a domain.
pub trait Routes: Send + Sync + 'static {
    /// The road to `next_hop`, see [`Engine::route`].
    fn route(&self, next_hop: &str) -> impl Future<Output = Arc<Route>> + Send;

    /// Whether mail on this route was promised to somebody else than its sender, so that the sender's
    /// `TLS-Required: No` cannot set policies aside.
    fn is_promised(&self, route: &Route) -> bool {
        let _ = route;
        false
    }
}

impl Routes for Engine {
    async fn route(&self, next_hop: &str) -> Arc<Route> {
        Self::route(self, next_hop).await
    }
}

/// Delivers messages. Cheap to clone; clones share connections and limits.
#[derive(Clone, Debug)]
pub struct Courier {
    config: Arc<CourierConfig>,
    tls: Tls,
    pool: Pool,
    deliveries: Arc<Semaphore>,
}

/// Says that nobody waits for the answer any more. Clones share the word.
///
/// A delivery that has not reached the end of the content is then given up, because the client will hand the
/// message over again.
#[derive(Clone, Debug, Default)]
pub struct Abandon(Arc<AtomicBool>);

impl Abandon {
    /// Nobody waits any more.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether nobody waits any more.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Courier {
    /// A courier that authenticates by `tls`.
    pub fn new(config: CourierConfig, tls: Tls) -> Self {
        let pool = Pool::new(config.pool);
        let deliveries = Arc::new(Semaphore::new(config.deliveries));
        Self { config: Arc::new(config), tls, pool, deliveries }
    }

    /// Delivers `letter` to `recipients`, all of whom are reached by `route`.
    ///
    /// Takes no longer than [`Times::total`] from `begin`, when the client began to wait. Every recipient gets an outcome: the remote host's own reply, or
    /// ours with the reason.
    pub async fn deliver(
        &self,
        begin: Instant,
        route: Arc<Route>,
        envelope: &Envelope,
        recipients: &[Recipient],
        letter: &Letter,
        abandon: &Abandon,
    ) -> Report {
        let deadline = Deadline::at(begin + self.config.times.total);
        let work = Work { config: &self.config, envelope, letter, abandon, deadline };
        let waived = demand::is_waived(&route, work);
        let same_for_all = |reply: Reply, route: Arc<Route>| {
            let outcome = Outcome { reply, via: None };
            Report { outcomes: vec![outcome; recipients.len()], attempts: Vec::new(), waived, route }
        };
        if let Some(reply) = hopeless(&route, envelope) {
            return same_for_all(reply, route);
        }
        let Some(_permit) = self.permit(deadline).await else {
            let reply = Reply::own(451, EnhancedCode(4, 3, 2), "too many deliveries at this time");
            return same_for_all(reply, route);
        };
        let mut round = Round::new(recipients);
        'hosts: for hop in route.order(chance()) {
            let road = match demand::road(&route, hop, work) {
                Ok(road) => road,
                Err(fault) => {
                    round.pass_over(&hop.host, None, fault);
                    continue;
                }
            };
            for target in targets(&route, hop, &road) {
                if round.is_over(work) {
                    break 'hosts;
                }
                self.visit(hop, &target, work, &mut round).await;
            }
            if hop.addresses.is_empty() {
                round.pass_over(&hop.host, None, HopFault::temporary((4, 4), "the host has no address"));
            }
        }
        let (outcomes, attempts) = round.finish(deadline);
        Report { route, outcomes, attempts, waived }
    }

    async fn permit(&self, deadline: Deadline) -> Option<SemaphorePermit<'_>> {
        timeout_at(deadline.step(PATIENCE), self.deliveries.acquire()).await.ok()?.ok()
    }

    /// Offers the open recipients to one address.
    async fn visit(&self, hop: &Hop, target: &Target, work: Work<'_>, round: &mut Round<'_>) {
        if let Some(mut session) = self.pool.take(target) {
            if let Ok(answers) = work.transact(&mut session, &round.open_recipients()).await {
                round.note(target, &session, true);
                round.settle(target, &session, answers);
                return self.leave(target, session);
            }
            pool::end(session);
        }
        let opening = Opening { config: &self.config, tls: &self.tls, deadline: work.deadline };
        round.addresses += 1;
        let mut session = match opening.open(target).await {
            Ok(session) => session,
            Err(fault) => {
                return round.pass_over(&target.host, Some(target), demand::objection(hop, work, fault));
            }
        };
        round.note(target, &session, false);
        match work.transact(&mut session, &round.open_recipients()).await {
            Ok(answers) => round.settle(target, &session, answers),
            // Only a reused session can be stale.
            Err(stale) => tracing::debug!(?stale, "a fresh session was stale"),
        }
        self.leave(target, session);
    }

    /// Keeps a session that is ready for another message.
    fn leave(&self, target: &Target, session: Session) {
        if session.ready {
            self.pool.put(target.clone(), session);
        } else {
            pool::end(session);
        }
    }
}

/// The answer for a route on which no host may be tried.
fn hopeless(route: &Route, envelope: &Envelope) -> Option<Reply> {
    let domain = &route.domain;
    let temporary = |code, text: String| Reply::own(451, code, text);
    Some(match &route.verdict {
        RouteVerdict::Hosts if route.hosts.is_empty() => {
            temporary(EnhancedCode(4, 4, 4), format!("{domain}: no host to try"))
        }
        RouteVerdict::Hosts => return None,
        // RFC 7505 has this code.
        RouteVerdict::NullMx => {
            Reply::own(556, EnhancedCode(5, 1, 10), format!("{domain} takes no mail (null MX)"))
        }
        // A message that demands a proven road gets no bounce on the word of an answer that proves nothing.
        RouteVerdict::NoSuchDomain if envelope.require_tls && !is_secure(route) => {
            let text = format!("{domain} does not exist, says an answer that is not secure");
            temporary(EnhancedCode(4, 4, 4), text)
        }
        RouteVerdict::NoSuchDomain => Reply::own(
            550,
            EnhancedCode(5, 1, 2),
            format!("{domain}: no such domain, or it has no mail host"),
        ),
        RouteVerdict::Temporary { why } => temporary(EnhancedCode(4, 4, 3), format!("{domain}: {why}")),
        RouteVerdict::Malformed { why } => Reply::own(550, EnhancedCode(5, 1, 2), format!("{domain}: {why}")),
    })
}

fn is_secure(route: &Route) -> bool {
    route.mx_security.is_some_and(Security::is_secure)
}

fn targets<'a>(route: &'a Route, hop: &'a Hop, road: &'a Road) -> impl Iterator<Item = Target> + 'a {
    hop.addresses.iter().map(|address| Target {
        host: hop.host.clone(),
        address: *address,
        port: route.port,
        road: road.clone(),
        mx_secure: hop.mx_secure,
    })
}

/// A number that nobody foresees.
fn chance() -> u64 {
    RandomState::new().hash_one(())
}

/// How long a delivery waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
