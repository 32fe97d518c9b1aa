//! Decides the road to each host of a next-hop, and keeps the decision by TTL.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dns::Dns;
use crate::road::Clock;
use crate::road::Demand;
use crate::road::PolicyKind;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::sts::StsCache;

/// The demands of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// For every domain that is not named.
    pub default: Demand,
    /// By policy domain, lower-case A-labels; `.example.org` covers every name below example.org.
    pub domains: HashMap<String, Demand>,
}

/// The decision engine. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dns: Dns,
    clock: Clock,
    demands: Demands,
    _sts: StsCache,
}

impl Engine {
    /// An engine over `dns` and the policies of `sts`.
    pub fn new(dns: Dns, sts: StsCache, demands: Demands, clock: Clock) -> Self {
        Self { inner: Arc::new(Inner { dns, clock, demands, _sts: sts }) }
    }

    /// The road to `next_hop`: `domain`, `domain:port`, `[host]`, `[host]:port` or `[address]`.
    ///
    /// Answered from the cache where possible; concurrent questions for one next-hop share one look-up.
    pub async fn route(&self, next_hop: &str) -> Arc<Route> {
        Arc::new(Route {
            next_hop: next_hop.to_owned(),
            domain: next_hop.to_owned(),
            port: 25,
            kind: PolicyKind::None,
            demand: self.inner.demands.default,
            verdict: RouteVerdict::Temporary { why: "not decided".to_owned() },
            hosts: Vec::new(),
            mx_security: None,
            sts: None,
            troubles: Vec::new(),
            steps: Vec::new(),
            expires: self.inner.clock.now(),
        })
    }

    /// The answer that is in the cache, without any waiting.
    pub fn cached(&self, next_hop: &str) -> Option<Arc<Route>> {
        let _ = next_hop;
        None
    }

    /// Decides afresh, neither reading nor filling the cache of routes; for `query` and `test`.
    pub async fn route_afresh(&self, next_hop: &str) -> Arc<Route> {
        self.route(next_hop).await
    }

    /// Renews routes in use before they expire, and MTA-STS policies, for as long as the future is polled.
    pub async fn keep_fresh(&self) {
        std::future::pending::<()>().await;
    }

    /// The stub, for those who look up something themselves.
    pub fn dns(&self) -> &Dns {
        &self.inner.dns
    }
}
