//! Decides the road to each host of a next-hop, and keeps the decision by TTL.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use net::Clock;
use tokio::task::JoinSet;

use crate::decide;
use crate::dns::BadName;
use crate::dns::Dns;
use crate::dns::Health;
use crate::dns::a_labels;
use crate::flight::Flights;
use crate::next_hop::NextHop;
use crate::next_hop::Target;
use crate::road::Demand;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::shelf::Limit;
use crate::shelf::Shelf;
use crate::sts::StsCache;

/// So many decisions may be under way; each holds a few hundred kilobytes at most.
const DECISIONS_MAX: usize = 2048;
/// So many decisions are kept, of so many octets in all.
const ROUTES_MAX: Limit = Limit { entries: 100_000, octets: 256 * 1024 * 1024 };
/// How often [`Engine::keep_fresh`] looks for decisions about to expire.
const FRESHEN_INTERVAL: Duration = Duration::from_secs(5);
/// How often it looks for MTA-STS policies to renew.
const POLICIES_INTERVAL: Duration = Duration::from_secs(60);
/// A decision in use is renewed at least this long before it expires, seconds.
const LEAD_MIN: i64 = 5;
/// And at most this long.
const LEAD_MAX: i64 = 60;
/// So many decisions are renewed at once.
const FRESHEN_AT_ONCE: usize = 32;

/// The demands of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// For every domain that is not named.
    pub default: Demand,
    /// By next-hop or policy domain, lower-case A-labels; `.example.org` covers every name below example.org.
    pub domains: HashMap<String, Demand>,
}

impl Demands {
    /// Adds a demand for a domain, for `.domain` (every name below it) or for a next-hop in brackets.
    ///
    /// # Errors
    /// The pattern is none of these.
    pub fn add(&mut self, pattern: &str, demand: Demand) -> Result<(), BadName> {
        let key = match pattern.strip_prefix('.') {
            Some(parent) => format!(".{}", a_labels(parent)?),
            None => match NextHop::parse(pattern) {
                Ok(next_hop) => next_hop.to_string(),
                Err(_) => a_labels(pattern)?,
            },
        };
        self.domains.insert(key, demand);
        Ok(())
    }

    /// The demand for a next-hop: its own, else that of its domain, else that of the nearest parent, else the default.
    pub fn of(&self, next_hop: &NextHop) -> Demand {
        if self.domains.is_empty() {
            return self.default;
        }
        let domain = next_hop.domain();
        let exact = self.domains.get(&next_hop.to_string()).or_else(|| self.domains.get(&domain));
        let parents = domain.match_indices('.').filter_map(|(at, _)| self.domains.get(domain.get(at..)?));
        exact.into_iter().chain(parents).next().copied().unwrap_or(self.default)
    }
}

/// The decision engine. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dns: Dns,
    sts: StsCache,
    clock: Clock,
    demands: RwLock<Arc<Demands>>,
    routes: RwLock<Shelf<Kept>>,
    flights: Flights<Arc<Route>>,
}

/// A decision, and when it was made (Unix seconds).
#[derive(Debug)]
struct Kept {
    route: Arc<Route>,
    decided: i64,
}

impl Engine {
    /// An engine over `dns` and the policies of `sts`.
    pub fn new(dns: Dns, sts: StsCache, demands: Demands, clock: Clock) -> Self {
        let demands = RwLock::new(Arc::new(demands));
        let (routes, flights) = (RwLock::new(Shelf::new(ROUTES_MAX)), Flights::new(DECISIONS_MAX));
        Self { inner: Arc::new(Inner { dns, sts, clock, demands, routes, flights }) }
    }

    /// The road to `next_hop`: `domain`, `domain:port`, `[host]`, `[host]:port` or `[address]`.
    ///
    /// Answered from the cache where possible; concurrent questions for one next-hop share one decision, which is
    /// finished even if nobody waits for it any more.
    pub async fn route(&self, next_hop: &str) -> Arc<Route> {
        let next_hop = match self.parse(next_hop) {
            Ok(next_hop) => next_hop,
            Err(malformed) => return malformed,
        };
        if let Some(held) = self.held(&next_hop).await {
            return held;
        }
        let key = next_hop.to_string();
        match self.look(&key) {
            Some(route) => route,
            None => self.decide(next_hop, key).await,
        }
    }

    /// The answer that is in the cache, without any waiting. Nothing while the resolver does not validate.
    pub fn cached(&self, next_hop: &str) -> Option<Arc<Route>> {
        if matches!(*self.inner.dns.health().borrow(), Health::NotValidating { .. }) {
            return None;
        }
        // What is kept is kept under the only text that a next-hop has, and Postfix nearly always asks by that one.
        if let Some(route) = self.look(next_hop) {
            return Some(route);
        }
        self.look(&NextHop::parse(next_hop).ok()?.to_string())
    }

    /// Decides afresh, neither reading nor filling the cache of routes; for `query` and `test`.
    pub async fn route_afresh(&self, next_hop: &str) -> Arc<Route> {
        let next_hop = match self.parse(next_hop) {
            Ok(next_hop) => next_hop,
            Err(malformed) => return malformed,
        };
        let Inner { dns, sts, clock, .. } = &*self.inner;
        Arc::new(decide::decide(dns, sts, &next_hop, self.demands().of(&next_hop), clock.now()).await)
    }

    /// Renews decisions in use before they expire, and MTA-STS policies, for as long as the future is polled.
    pub async fn keep_fresh(&self) {
        let policies = async {
            let mut tick = tokio::time::interval(POLICIES_INTERVAL);
            loop {
                tick.tick().await;
                self.inner.sts.refresh().await;
            }
        };
        let routes = async {
            let mut tick = tokio::time::interval(FRESHEN_INTERVAL);
            loop {
                tick.tick().await;
                self.freshen().await;
            }
        };
        tokio::join!(policies, routes);
    }

    /// Replaces the demands, and forgets what was decided under the old ones.
    pub fn set_demands(&self, demands: Demands) {
        *self.inner.demands.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(demands);
        self.inner.routes.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many decisions are kept.
    pub fn len(&self) -> usize {
        self.inner.routes.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no decision is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stub, for those who look up something themselves.
    pub fn dns(&self) -> &Dns {
        &self.inner.dns
    }

    /// The MTA-STS policies.
    pub fn sts(&self) -> &StsCache {
        &self.inner.sts
    }

    fn demands(&self) -> Arc<Demands> {
        Arc::clone(&self.inner.demands.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn parse(&self, text: &str) -> Result<NextHop, Arc<Route>> {
        NextHop::parse(text).map_err(|error| {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
            let verdict = RouteVerdict::Malformed { why: error.to_string() };
            Arc::new(decide::without_hosts(shown, self.demands().default, verdict, self.inner.clock.now()))
        })
    }

    /// A temporary answer while the resolver is known not to validate, also for what is in the cache.
    async fn held(&self, next_hop: &NextHop) -> Option<Arc<Route>> {
        let Health::NotValidating { why } = self.inner.dns.health().borrow().clone() else { return None };
        let needs_dns = !matches!(next_hop.target, Target::Address(_));
        if !needs_dns || self.inner.dns.validates().await {
            return None;
        }
        Some(Arc::new(self.temporary(next_hop, why)))
    }

    fn temporary(&self, next_hop: &NextHop, why: String) -> Route {
        let demand = self.demands().of(next_hop);
        let verdict = RouteVerdict::Temporary { why };
        let mut route = decide::without_hosts(next_hop.to_string(), demand, verdict, self.inner.clock.now());
        route.domain = next_hop.domain();
        route
    }

    fn look(&self, key: &str) -> Option<Arc<Route>> {
        let now = self.inner.clock.now();
        let routes = self.inner.routes.read().unwrap_or_else(PoisonError::into_inner);
        let kept = routes.get(key, now).filter(|kept| kept.route.expires > now)?;
        Some(Arc::clone(&kept.route))
    }

    /// Decides in a task of its own and keeps the result.
    async fn decide(&self, next_hop: NextHop, key: String) -> Arc<Route> {
        let (this, hop) = (self.clone(), next_hop.clone());
        let work = || async move {
            let Inner { dns, sts, clock, .. } = &*this.inner;
            let demands = this.demands();
            let route = Arc::new(decide::decide(dns, sts, &hop, demands.of(&hop), clock.now()).await);
            // What was decided under demands that were replaced meanwhile is not kept.
            if Arc::ptr_eq(&demands, &this.demands()) {
                this.keep(hop.to_string(), &route);
            }
            route
        };
        match self.inner.flights.join(&key, work).await {
            Some(route) => route,
            None => Arc::new(self.temporary(&next_hop, "too many roads are being decided".to_owned())),
        }
    }

    fn keep(&self, key: String, route: &Arc<Route>) {
        let now = self.inner.clock.now();
        let mut routes = self.inner.routes.write().unwrap_or_else(PoisonError::into_inner);
        let before = routes.peek(&key).map(|(kept, _)| &kept.route).filter(|route| route.expires > now);
        // A renewal that failed does not take away what is still known to hold.
        if decide::is_doubtful(route) && before.is_some_and(|before| !decide::is_doubtful(before)) {
            return;
        }
        let octets = decide::octets(route);
        routes.put(key, Kept { route: Arc::clone(route), decided: now }, octets, now);
    }

    /// Renews what is in use and about to expire; forgets what has expired.
    async fn freshen(&self) {
        let now = self.inner.clock.now();
        let due: Vec<String> = {
            let mut routes = self.inner.routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.retain(|kept| kept.route.expires > now);
            routes
                .iter()
                .filter(|(_, kept, used)| kept.is_due(*used, now))
                .map(|(key, ..)| key.to_owned())
                .collect()
        };
        let mut under_way = JoinSet::new();
        for key in due {
            let Ok(next_hop) = NextHop::parse(&key) else { continue };
            if under_way.len() >= FRESHEN_AT_ONCE {
                under_way.join_next().await;
            }
            let this = self.clone();
            under_way.spawn(async move { this.decide(next_hop, key).await });
        }
        while under_way.join_next().await.is_some() {}
    }
}

impl Kept {
    /// In use is what was asked for again after the first quarter of its life: one message asks several times at
    /// once, and that alone is no reason to renew.
    fn is_due(&self, used: i64, now: i64) -> bool {
        let life = self.route.expires - self.decided;
        let lead = (life / 10).clamp(LEAD_MIN, LEAD_MAX);
        let in_use = used - self.decided >= life / 4;
        in_use && self.route.expires - now <= lead
    }
}

#[cfg(test)]
mod tests;
