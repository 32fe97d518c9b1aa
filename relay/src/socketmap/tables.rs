//! The tables behind the names: `QUERY`, `QUERYwithTLSRPT`, `sts` and `transport`.

use std::fmt;
use std::sync::Arc;

use net::Clock;
use tokio::sync::watch;

use super::Answer;
use super::Request;
use super::Table;
use super::policy;
use super::policy::Asking;
use crate::dns::Health;
use crate::dns::a_labels;
use crate::engine::Engine;
use crate::lmtp::next_hop_for;
use crate::pledge::Pledges;
use crate::road::Demand;
use crate::road::Route;

/// Told of every answer about a road, on the way of the answer: must not wait.
pub type Asked = dyn Fn(&Arc<Route>, &Answer) + Send + Sync;

/// All tables of one engine.
pub struct PolicyTables {
    engine: Engine,
    health: watch::Receiver<Health>,
    clock: Clock,
    pledges: Option<Pledges>,
    transport: Option<TransportTable>,
    asked: Box<Asked>,
}

/// Which recipients the synchronous relay takes, and where it is.
#[derive(Clone)]
pub struct TransportTable {
    /// True for a domain, in lower-case A-labels, whose mail the MTA delivers by itself.
    pub local: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// The transport of master.cf that leads to the relay.
    pub transport: String,
    /// The port of the relay on the loopback addresses.
    pub port: u16,
}

/// A question about the road to a next-hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Postfix { tlsrpt: bool },
    Sendmail,
}

impl PolicyTables {
    /// Tables over `engine`; `asked` is told of every answer about a road.
    pub fn new(
        engine: Engine,
        clock: Clock,
        pledges: Option<Pledges>,
        transport: Option<TransportTable>,
        asked: Box<Asked>,
    ) -> Self {
        let health = engine.dns().health();
        Self { engine, health, clock, pledges, transport, asked }
    }

    /// The answers that need no route, or `None`.
    fn without_route(&self, request: Request<'_>) -> Result<Who, Answer> {
        let who = match request.map {
            "QUERY" => Who::Postfix { tlsrpt: false },
            "QUERYwithTLSRPT" => Who::Postfix { tlsrpt: true },
            "sts" => Who::Sendmail,
            "transport" => return Err(self.transport(request.key)),
            _ => {
                return Err(Answer::permanent(
                    "no such map here; there are QUERY, QUERYwithTLSRPT, sts, transport",
                ));
            }
        };
        // Postfix tries `.org` after `example.org`; a policy is for one domain.
        if request.key.is_empty() || request.key.starts_with('.') {
            return Err(Answer::NotFound);
        }
        Ok(who)
    }

    fn transport(&self, key: &str) -> Answer {
        let Some(transport) = &self.transport else {
            return Answer::permanent("the synchronous relay is not configured (lmtp_listen)");
        };
        // Postfix asks for the whole address and for `*`; that one would take local mail too.
        let domain = key.rsplit_once('@').map_or(key, |(_, domain)| domain).trim_end_matches('.');
        // Both forms of an international name are one domain.
        let domain = a_labels(domain).unwrap_or_else(|_| domain.to_lowercase());
        let whole = domain.starts_with('[') || domain.contains('.');
        if !whole
            || domain.starts_with('.')
            || domain.contains(char::is_whitespace)
            || (transport.local)(&domain)
        {
            return Answer::NotFound;
        }
        Answer::Ok(next_hop_for(&domain, &transport.transport, transport.port))
    }

    fn of_route(&self, who: Who, route: &Arc<Route>) -> Answer {
        let answer = match (who, self.distrust(route.demand)) {
            (_, Some(distrust)) => distrust,
            (Who::Postfix { tlsrpt }, None) => self.for_postfix(route, tlsrpt),
            (Who::Sendmail, None) => policy::for_sendmail(route),
        };
        (self.asked)(route, &answer);
        answer
    }

    fn for_postfix(&self, route: &Arc<Route>, tlsrpt: bool) -> Answer {
        let now = self.clock.now();
        match self.pledges.as_ref().filter(|pledges| pledges.holds(&route.domain)) {
            None => policy::for_postfix(route, Asking { now, tlsrpt, pledged: false }),
            Some(pledges) => policy::for_postfix(&pledges.keep(route), Asking { now, tlsrpt, pledged: true }),
        }
    }

    /// While the resolver does not validate, Postfix would silently take `dane` for `may`: then it gets no answer,
    /// not even one that is in the cache. What the configuration says needs no resolver.
    fn distrust(&self, demand: Demand) -> Option<Answer> {
        if matches!(demand, Demand::Encrypt | Demand::May | Demand::Off) {
            return None;
        }
        match &*self.health.borrow() {
            Health::NotValidating { why } | Health::Silent { why } => Some(Answer::temporary(why)),
            Health::Unknown | Health::Validating => None,
        }
    }
}

impl Table for PolicyTables {
    fn at_once(&self, request: Request<'_>) -> Option<Answer> {
        let who = match self.without_route(request) {
            Ok(who) => who,
            Err(answer) => return Some(answer),
        };
        self.engine.cached(request.key).map(|route| self.of_route(who, &route))
    }

    async fn look_up(&self, request: Request<'_>) -> Answer {
        match self.without_route(request) {
            Ok(who) => self.of_route(who, &self.engine.route(request.key).await),
            Err(answer) => answer,
        }
    }
}

impl fmt::Debug for PolicyTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyTables").field("transport", &self.transport.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
