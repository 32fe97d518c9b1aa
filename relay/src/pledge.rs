//! Pledges: domains to which mail was accepted on the promise that only an authenticated road is used.
//!
//! Between the promise and the delivery a domain may lose its TLSA records or its MTA-STS policy, by mistake or by
//! an attack; mail must then wait, not travel over a lesser road. A pledge holds as long as the MTA may keep the
//! message in its queue, and survives a restart.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use net::Clock;
use rusqlite::Connection;

use crate::delivery::Routes;
use crate::engine::Engine;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::sts::Mode;

/// How long a pledge holds, seconds: as long as Postfix keeps a message (`maximal_queue_lifetime`), and a day.
const HOLDS: i64 = 6 * 24 * 3600;
/// A pledge is written again when it is older than this, seconds.
const RENEWED: i64 = 3600;
/// How long to wait for somebody else's lock.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS pledge (domain TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT;";

/// The pledges of one gateway. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Pledges {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Mutex<Connection>,
    until: RwLock<HashMap<String, i64>>,
    clock: Clock,
}

/// Why a pledge cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the table of pledges cannot be used")]
pub struct PledgeError(#[from] rusqlite::Error);

impl Pledges {
    /// Opens the table in the SQLite file `path`, which is made if it is not there.
    ///
    /// # Errors
    /// The file is no database of ours, or cannot be written.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, PledgeError> {
        let database = Connection::open(path)?;
        database.busy_timeout(BUSY)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.pragma_update(None, "trusted_schema", "OFF")?;
        database.execute_batch(SCHEMA)?;
        database.execute("DELETE FROM pledge WHERE until < ?1", [clock.now()])?;
        let until = {
            let mut rows = database.prepare("SELECT domain, until FROM pledge")?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
        };
        let (database, until) = (Mutex::new(database), RwLock::new(until));
        Ok(Self { inner: Arc::new(Inner { database, until, clock }) })
    }

    /// Promises that mail to `domain` (lower-case A-labels) waits rather than take a lesser road. Durable when it
    /// returns. Blocking.
    ///
    /// # Errors
    /// It could not be written; the mail must not be accepted then.
    pub fn pledge(&self, domain: &str) -> Result<(), PledgeError> {
        let now = self.inner.clock.now();
        if self.until(domain).is_some_and(|until| until > now + HOLDS - RENEWED) {
            return Ok(());
        }
        let database = self.inner.database.lock().unwrap_or_else(PoisonError::into_inner);
        database
            .prepare_cached("INSERT INTO pledge (domain, until) VALUES (?1, ?2) ON CONFLICT (domain) DO UPDATE SET until = ?2")?
            .execute((domain, now + HOLDS))?;
        let mut known = self.inner.until.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, until| *until >= now);
        known.insert(domain.to_owned(), now + HOLDS);
        Ok(())
    }

    /// Whether mail that is promised an authenticated road may be under way to `domain`.
    pub fn holds(&self, domain: &str) -> bool {
        self.until(domain).is_some_and(|until| until >= self.inner.clock.now())
    }

    fn until(&self, domain: &str) -> Option<i64> {
        self.inner.until.read().unwrap_or_else(PoisonError::into_inner).get(domain).copied()
    }

    /// The route as it may be used: of a pledged domain, without the roads that authenticate nobody.
    pub fn keep(&self, route: &Arc<Route>) -> Arc<Route> {
        let lesser = |hop: &Hop| promise(route, hop) == Promise::Broken;
        if !self.holds(&route.domain) || !route.hosts.iter().any(lesser) {
            return route.clone();
        }
        let mut kept = Route::clone(route);
        for hop in kept.hosts.iter_mut().filter(|hop| lesser(hop)) {
            let why = "mail that was promised an authenticated road is under way to this domain, and this host can no \
                       longer be authenticated";
            hop.road = Road::Unreachable { why: why.to_owned() };
        }
        Arc::new(kept)
    }
}

/// The roads of an engine as pledges leave them: what the synchronous relay travels.
#[derive(Clone, Debug)]
pub struct KeptRoutes {
    /// Knows the roads.
    pub engine: Engine,
    /// What was promised.
    pub pledges: Option<Pledges>,
}

impl Routes for KeptRoutes {
    async fn route(&self, next_hop: &str) -> Arc<Route> {
        let route = self.engine.route(next_hop).await;
        self.pledges.as_ref().map_or_else(|| route.clone(), |pledges| pledges.keep(&route))
    }

    fn is_promised(&self, route: &Route) -> bool {
        self.pledges.as_ref().is_some_and(|pledges| pledges.holds(&route.domain))
    }
}

/// What a road makes of the promise that only authenticated hosts of the domain get the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Kept,
    /// The host is not used, now or ever.
    NotUsed,
    Unknown,
    Broken,
}

fn promise(route: &Route, hop: &Hop) -> Promise {
    let listed = || route.sts.as_ref().is_some_and(|sts| sts.mode == Mode::Enforce && sts.lists(&hop.host));
    match &hop.road {
        // Where the name of the host came from an insecure answer, DANE proves only that we reached that name.
        Road::Dane { .. } if hop.mx_secure || listed() => Promise::Kept,
        Road::Sts { testing: false, .. } => Promise::Kept,
        Road::StsMismatch { testing: false } => Promise::NotUsed,
        Road::Unreachable { .. } => Promise::Unknown,
        Road::Dane { .. }
        | Road::DaneUnusable { .. }
        | Road::Encrypted
        | Road::Opportunistic
        | Road::Cleartext
        | Road::Sts { testing: true, .. }
        | Road::StsMismatch { testing: true } => Promise::Broken,
    }
}

/// Whether every host of a route that may be used is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// All are; by what, for example `DANE`.
    By(String),
    /// Certainly not; why.
    No(Vec<String>),
    /// It cannot be told now; why.
    Unknown(String),
}

/// Whether mail over this route reaches nobody but authenticated hosts of the domain.
pub fn authentication(route: &Route) -> Authentication {
    match &route.verdict {
        RouteVerdict::Hosts => {}
        RouteVerdict::NullMx => return Authentication::No(vec![format!("{} takes no mail", route.domain)]),
        RouteVerdict::NoSuchDomain => {
            return Authentication::No(vec![format!("{} does not exist, or has no mail host", route.domain)]);
        }
        RouteVerdict::Malformed { why } => return Authentication::No(vec![why.clone()]),
        RouteVerdict::Temporary { why } => return Authentication::Unknown(why.clone()),
    }
    let of = |wanted| move |hop: &&Hop| promise(route, hop) == wanted;
    let broken: Vec<String> = route.hosts.iter().filter(of(Promise::Broken)).map(objection).collect();
    if !broken.is_empty() {
        return Authentication::No(broken);
    }
    if let Some(hop) = route.hosts.iter().find(of(Promise::Unknown)) {
        return Authentication::Unknown(objection(hop));
    }
    let kept = |dane| {
        route.hosts.iter().filter(of(Promise::Kept)).any(|hop| matches!(hop.road, Road::Dane { .. }) == dane)
    };
    match (kept(true), kept(false)) {
        (true, true) => Authentication::By("DANE and MTA-STS".to_owned()),
        (true, false) => Authentication::By("DANE".to_owned()),
        (false, true) => Authentication::By("MTA-STS".to_owned()),
        (false, false) => Authentication::No(vec![format!("no host of {} may be used", route.domain)]),
    }
}

fn objection(hop: &Hop) -> String {
    let why = match &hop.road {
        Road::Dane { .. } => "its name comes from an MX answer that is not secure",
        Road::DaneUnusable { .. } => "none of its TLSA records is usable",
        Road::Sts { .. } | Road::StsMismatch { .. } => "its MTA-STS policy is for testing only",
        Road::Encrypted | Road::Cleartext => "the configuration does not ask for authentication",
        Road::Unreachable { why } => why,
        Road::Opportunistic => "neither DANE nor MTA-STS",
    };
    format!("{}: {why}", hop.host)
}

#[cfg(test)]
mod tests;
