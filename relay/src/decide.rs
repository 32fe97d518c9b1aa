//! The decision for one next-hop: MX, hosts, DANE, MTA-STS, and what the configuration demands.
//!
//! RFC 7672 section 2 (DANE), RFC 8461 sections 2 and 5 (MTA-STS), RFC 5321 section 5.1 and RFC 7505 (MX). DANE
//! goes first, per host; MTA-STS decides only where DANE does not bind.

mod roads;

use std::net::IpAddr;

use tokio::task::JoinSet;

use crate::dns::Dns;
use crate::dns::Lookup;
use crate::dns::Mx;
use crate::dns::Security;
use crate::explore::Binding;
use crate::explore::Explored;
use crate::explore::explore;
use crate::explore::word;
use crate::next_hop::NextHop;
use crate::next_hop::Target;
use crate::road::Demand;
use crate::road::Hop;
use crate::road::PolicyKind;
use crate::road::Road;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::road::Step;
use crate::road::Trouble;
use crate::road::TroubleKind;
use crate::sts::Discovered;
use crate::sts::Mode;
use crate::sts::StsCache;
use crate::sts::StsPolicy;

/// More MX hosts of one domain are not looked at; those of the lowest preference values are.
const HOSTS_MAX: usize = 20;
/// No decision is kept for less, seconds: one message asks several times.
const TTL_MIN: u32 = 5;
/// A decision in which something failed is kept for no more, seconds.
const TTL_DOUBTFUL: u32 = 15;
/// A decision without any look-up, seconds.
const TTL_STATIC: u32 = 3600;

/// Decides. Takes as long as its look-ups, which are bounded each.
pub(crate) async fn decide(dns: &Dns, sts: &StsCache, next_hop: &NextHop, demand: Demand, now: i64) -> Route {
    let mut decision = Decision::new(dns, next_hop, demand);
    let hosts = match &next_hop.target {
        Target::Address(address) => decision.literal(*address),
        Target::Host(host) => decision.host(host).await,
        Target::Domain(domain) => decision.domain(domain, sts).await,
    };
    decision.finish(hosts, now)
}

/// A route that says why there is none.
pub(crate) fn without_hosts(next_hop: String, demand: Demand, verdict: RouteVerdict, now: i64) -> Route {
    Route {
        domain: next_hop.clone(),
        next_hop,
        port: 25,
        kind: PolicyKind::None,
        demand,
        verdict,
        hosts: Vec::new(),
        mx_security: None,
        sts: None,
        troubles: Vec::new(),
        steps: Vec::new(),
        expires: now + i64::from(TTL_MIN),
    }
}

/// Whether a decision leans on a look-up that failed.
pub(crate) fn is_doubtful(route: &Route) -> bool {
    matches!(route.verdict, RouteVerdict::Temporary { .. })
        || route.hosts.iter().any(|hop| matches!(hop.road, Road::Unreachable { .. }))
}

/// About how much memory a decision takes. What strangers publish may be large: TLSA data, policies, texts.
pub(crate) fn octets(route: &Route) -> usize {
    let hosts: usize =
        route.hosts.iter().map(|hop| 256 + 32 * hop.addresses.len() + road_octets(&hop.road)).sum();
    let steps: usize = route.steps.iter().map(|step| 64 + step.text.len()).sum();
    let troubles: usize = route.troubles.iter().map(|trouble| 64 + trouble.why.len()).sum();
    512 + hosts + steps + troubles + route.sts.as_ref().map_or(0, StsPolicy::octets)
}

fn road_octets(road: &Road) -> usize {
    match road {
        Road::Dane { records, names, .. } => {
            records.iter().map(|record| 32 + record.data.len()).sum::<usize>() + 128 * names.len()
        }
        _ => 128,
    }
}

struct Decision<'a> {
    dns: &'a Dns,
    next_hop: &'a NextHop,
    demand: Demand,
    mx_security: Option<Security>,
    sts: Option<StsPolicy>,
    troubles: Vec<Trouble>,
    steps: Vec<Step>,
    ttl: u32,
}

/// A host to explore.
struct Candidate {
    host: String,
    preference: u16,
    /// Its name came from a secure answer, or from no answer at all.
    secure: bool,
    /// Reference names for DANE-TA besides the TLSA base domain (RFC 7672 section 3.2.2): if the MX answer is secure, the
    /// next-hop domain and what it is an alias of; without MX the host, since the base domain may be what it is an
    /// alias of; never another name of an MX host.
    names: Vec<String>,
}

impl Candidate {
    /// A next-hop that is itself the host.
    fn itself(host: &str) -> Self {
        Self { host: host.to_owned(), preference: 0, secure: true, names: vec![host.to_owned()] }
    }
}

impl<'a> Decision<'a> {
    fn new(dns: &'a Dns, next_hop: &'a NextHop, demand: Demand) -> Self {
        let (troubles, steps) = (Vec::new(), Vec::new());
        let mut decision =
            Self { dns, next_hop, demand, mx_security: None, sts: None, troubles, steps, ttl: TTL_STATIC };
        if demand != Demand::Dane {
            decision.say(format!("the configuration demands {}", demand_word(demand)));
        }
        decision
    }

    fn finish(mut self, outcome: Result<Vec<Hop>, RouteVerdict>, now: i64) -> Route {
        let (verdict, hosts) = match outcome {
            Ok(hosts) => (RouteVerdict::Hosts, hosts),
            Err(verdict) => (verdict, Vec::new()),
        };
        for hop in &hosts {
            self.steps.push(Step { host: Some(hop.host.clone()), text: format!("road: {}", hop.road) });
        }
        let next_hop = self.next_hop;
        let mut route = without_hosts(next_hop.to_string(), self.demand, verdict, now);
        let ttl = self.ttl.max(TTL_MIN);
        route.domain = next_hop.domain();
        route.port = next_hop.port;
        route.kind = kind(&hosts, self.sts.as_ref());
        route.hosts = hosts;
        route.mx_security = self.mx_security;
        route.sts = self.sts;
        route.troubles = self.troubles;
        route.steps = self.steps;
        route.expires = now + i64::from(if is_doubtful(&route) { ttl.min(TTL_DOUBTFUL) } else { ttl });
        route
    }

    fn literal(&mut self, address: IpAddr) -> Result<Vec<Hop>, RouteVerdict> {
        self.say("an address literal: neither DANE nor MTA-STS".to_owned());
        let host = address.to_string();
        let road = self.road(&host, Binding::Free, true, &[]);
        Ok(vec![Hop { host, preference: 0, addresses: vec![address], road, mx_secure: true }])
    }

    async fn host(&mut self, host: &str) -> Result<Vec<Hop>, RouteVerdict> {
        self.say("a host in brackets: no MX look-up, no MTA-STS".to_owned());
        let explored = self.explore_all(vec![Candidate::itself(host)]).await;
        self.hops(explored)
    }

    async fn domain(&mut self, domain: &str, sts: &StsCache) -> Result<Vec<Hop>, RouteVerdict> {
        // Begun early and given up if DANE decides everything; a fetch under way goes on into the cache.
        let mut policy = JoinSet::new();
        if matches!(self.demand, Demand::Dane | Demand::Sts) {
            let (sts, domain) = (sts.clone(), domain.to_owned());
            policy.spawn(async move { sts.policy(&domain).await });
        }
        let candidates = match self.candidates(domain).await {
            Ok(candidates) => candidates,
            Err(verdict) => {
                if self.may_be_forged()
                    && matches!(verdict, RouteVerdict::NoSuchDomain | RouteVerdict::NullMx)
                {
                    self.hear(&mut policy).await;
                }
                return Err(verdict);
            }
        };
        let explored = self.explore_all(candidates).await;
        let needed =
            |(candidate, explored): &(Candidate, Explored)| roads::needs_policy(candidate, &explored.binding);
        if self.may_be_forged() || explored.iter().any(needed) {
            self.hear(&mut policy).await;
        } else if self.demand == Demand::Dane {
            self.say("MTA-STS has no say: every host is decided without it".to_owned());
        }
        self.hops(explored)
    }

    /// Whoever forges an answer about MX, even that there is no domain, does not make its policy go away.
    fn may_be_forged(&self) -> bool {
        !self.mx_security.is_some_and(Security::is_secure)
    }

    /// Waits for the MTA-STS policy, if it is being asked for.
    async fn hear(&mut self, policy: &mut JoinSet<Discovered>) {
        let Some(Ok(discovered)) = policy.join_next().await else { return };
        discovered.steps.into_iter().for_each(|step| self.say(step));
        self.troubles.extend(discovered.troubles);
        self.ttl = self.ttl.min(discovered.ttl);
        self.sts = discovered.policy;
    }

    /// The hosts of a domain (RFC 5321 section 5.1).
    async fn candidates(&mut self, domain: &str) -> Result<Vec<Candidate>, RouteVerdict> {
        let found = self.dns.mx(domain).await;
        self.ttl = self.ttl.min(found.ttl);
        self.mx_security = found.lookup.security();
        let secure = found.canonical_security.is_secure();
        let mut names = vec![domain.to_owned()];
        if found.canonical != domain {
            self.say(format!(
                "{domain} is an alias of {} ({})",
                found.canonical,
                word(found.canonical_security)
            ));
            names.push(found.canonical);
        }
        match found.lookup {
            Lookup::Found { records, security } => {
                self.say(format!("MX: {} ({})", show(&records), word(security)));
                // RFC 7505 section 3: a null MX stands alone; beside others it is an error and names no host.
                let mut hosts: Vec<Mx> = records.into_iter().filter(|mx| mx.host != ".").collect();
                if hosts.is_empty() {
                    return Err(RouteVerdict::NullMx);
                }
                if hosts.len() > HOSTS_MAX {
                    self.say(format!("only the first {HOSTS_MAX} are looked at"));
                    hosts.truncate(HOSTS_MAX);
                }
                let names = if secure { names } else { Vec::new() };
                Ok(hosts
                    .into_iter()
                    .map(|mx| Candidate {
                        host: mx.host,
                        preference: mx.preference,
                        secure,
                        names: names.clone(),
                    })
                    .collect())
            }
            Lookup::None { security, nxdomain: true } => {
                self.say(format!("the domain does not exist ({})", word(security)));
                Err(RouteVerdict::NoSuchDomain)
            }
            Lookup::None { security, nxdomain: false } => {
                self.say(format!("no MX ({}): the domain itself is the host", word(security)));
                Ok(vec![Candidate::itself(domain)])
            }
            Lookup::Bogus { why } => {
                self.say(why.clone());
                self.troubles.push(Trouble {
                    kind: TroubleKind::DnssecInvalid,
                    host: None,
                    why: why.clone(),
                });
                Err(RouteVerdict::Temporary { why })
            }
            Lookup::Failed { why } => {
                self.say(why.clone());
                Err(RouteVerdict::Temporary { why })
            }
        }
    }

    async fn explore_all(&mut self, candidates: Vec<Candidate>) -> Vec<(Candidate, Explored)> {
        let dane = matches!(self.demand, Demand::Dane | Demand::DaneOnly);
        let mut under_way = JoinSet::new();
        for (index, candidate) in candidates.into_iter().enumerate() {
            let (dns, port) = (self.dns.clone(), self.next_hop.port);
            under_way.spawn(async move {
                let explored = explore(&dns, &candidate.host, port, dane).await;
                (index, candidate, explored)
            });
        }
        let mut done = Vec::new();
        while let Some(joined) = under_way.join_next().await {
            if let Ok(explored) = joined {
                done.push(explored);
            }
        }
        done.sort_by_key(|(index, ..)| *index);
        done.into_iter().map(|(_, candidate, explored)| (candidate, explored)).collect()
    }

    fn hops(&mut self, explored: Vec<(Candidate, Explored)>) -> Result<Vec<Hop>, RouteVerdict> {
        let nowhere =
            explored.iter().all(|(_, explored)| matches!(explored.binding, Binding::NoAddress { .. }));
        let mut hops = Vec::new();
        for (candidate, explored) in explored {
            self.ttl = self.ttl.min(explored.ttl);
            self.steps.extend(explored.steps);
            self.troubles.extend(explored.troubles);
            let road = self.road(&candidate.host, explored.binding, candidate.secure, &candidate.names);
            let Candidate { host, preference, secure: mx_secure, .. } = candidate;
            hops.push(Hop { host, preference, addresses: explored.addresses, road, mx_secure });
        }
        if nowhere {
            self.say("none of its hosts has an address".to_owned());
            return Err(RouteVerdict::NoSuchDomain);
        }
        Ok(hops)
    }

    fn say(&mut self, text: String) {
        self.steps.push(Step { host: None, text });
    }
}

fn kind(hosts: &[Hop], sts: Option<&StsPolicy>) -> PolicyKind {
    let dane = hosts.iter().any(|hop| matches!(hop.road, Road::Dane { .. } | Road::DaneUnusable { .. }));
    match sts.map(|policy| policy.mode) {
        _ if dane => PolicyKind::Dane,
        Some(Mode::Enforce) => PolicyKind::Sts,
        Some(Mode::Testing) => PolicyKind::StsTesting,
        Some(Mode::None) | None => PolicyKind::None,
    }
}

fn show(records: &[Mx]) -> String {
    let shown = records.iter().take(HOSTS_MAX).map(|mx| format!("{} {}", mx.preference, mx.host));
    shown.collect::<Vec<_>>().join(", ")
}

fn demand_word(demand: Demand) -> &'static str {
    match demand {
        Demand::Dane => "DANE, else MTA-STS, else opportunistic TLS",
        Demand::DaneOnly => "DANE only",
        Demand::Sts => "an enforced MTA-STS policy, without DANE",
        Demand::Encrypt => "TLS without authentication",
        Demand::May => "opportunistic TLS, whatever is published",
        Demand::Off => "no TLS",
    }
}
