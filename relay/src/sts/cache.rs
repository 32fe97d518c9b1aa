//! Policies kept by `max_age`, in memory and on disk (RFC 8461 sections 3.3 and 5.1).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use net::Clock;
use rustls::RootCertStore;

use super::discovery::Discovered;
use super::discovery::announced;
use super::disk;
use super::disk::Kept;
use super::fetch::FetchError;
use super::fetch::Fetcher;
use super::policy::Mode;
use super::policy::StsPolicy;
use crate::dns::Dns;
use crate::flight::Flights;
use crate::road::Trouble;
use crate::road::TroubleKind;
use crate::shelf::Limit;
use crate::shelf::Shelf;

/// RFC 8461 section 3.3: "limit further attempts to a period of five minutes or longer per version ID".
const PAUSE_AFTER_FAILURE: i64 = 300;
/// RFC 8461 section 3.3: "a suggested refresh frequency is once per day".
const REFRESH_AFTER: i64 = 86_400;
/// Policies of domains that nobody wrote to for so long are left to expire, seconds.
const UNUSED_AFTER: i64 = 30 * 86_400;
/// So many policies are renewed by one call of [`StsCache::refresh`].
const REFRESH_MOST: usize = 50;
/// So many fetches may be under way.
const FETCHES_MAX: usize = 256;
/// The policies in memory may take so many octets; strangers write them.
const OCTETS_MAX: usize = 64 * 1024 * 1024;

/// How policies are fetched and kept.
#[derive(Clone, Debug)]
pub struct StsConfig {
    /// Where policies are kept; without it they live in memory only and a restart forgets them.
    pub directory: Option<PathBuf>,
    /// How long one fetch may take in all.
    pub timeout: Duration,
    /// How many policies are kept.
    pub capacity: usize,
    /// The authorities that policy hosts are authenticated by; without them the system's bundle.
    pub roots: Option<Arc<RootCertStore>>,
    /// For tests: connect here instead of to the policy host's port 443.
    pub connect_to: Option<SocketAddr>,
}

impl Default for StsConfig {
    /// In memory, ten seconds, 50,000 policies, the system's bundle.
    fn default() -> Self {
        Self {
            directory: None,
            timeout: Duration::from_secs(10),
            capacity: 50_000,
            roots: None,
            connect_to: None,
        }
    }
}

/// The policies that are known. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct StsCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: StsConfig,
    clock: Clock,
    dns: Dns,
    fetcher: Fetcher,
    known: Mutex<Shelf<Known>>,
    flights: Flights<Result<StsPolicy, Failure>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    kept: Option<Kept>,
    failure: Option<Failure>,
}

impl Known {
    fn octets(&self) -> usize {
        let policy = self.kept.as_ref().map_or(0, |kept| kept.policy.octets());
        512 + policy + self.failure.as_ref().map_or(0, |failure| failure.why.len())
    }
}

/// A fetch that failed, remembered so that it is not repeated at once.
#[derive(Clone, Debug)]
struct Failure {
    id: String,
    at: i64,
    kind: TroubleKind,
    why: String,
}

impl StsCache {
    /// Opens the cache, reading what is on disk; damaged or expired files are removed.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn open(config: StsConfig, dns: Dns, clock: Clock) -> io::Result<Self> {
        let now = clock.now();
        let fetcher = Fetcher::new(dns.clone(), config.roots.clone(), config.timeout, config.connect_to)?;
        let mut known = Shelf::new(Limit { entries: config.capacity, octets: OCTETS_MAX });
        if let Some(directory) = &config.directory {
            for mut kept in disk::load(directory, now, config.capacity)? {
                // A clock that was ahead must not keep a policy for ever.
                kept.fetched = kept.fetched.min(now);
                let domain = kept.domain.clone();
                let one = Known { kept: Some(kept), failure: None };
                let octets = one.octets();
                known.put(domain, one, octets, now);
            }
        }
        let (known, flights) = (Mutex::new(known), Flights::new(FETCHES_MAX));
        Ok(Self { inner: Arc::new(Inner { config, clock, dns, fetcher, known, flights }) })
    }

    /// The policy of `domain` (lower-case A-labels): from the cache if the TXT record still says the same `id`,
    /// else fetched. A cached policy stays in force whatever else fails, until it expires.
    pub async fn policy(&self, domain: &str) -> Discovered {
        let txt = self.inner.dns.txt(&format!("_mta-sts.{domain}")).await;
        let mut found = Discovered { ttl: txt.ttl, ..Discovered::default() };
        let kept = self.kept(domain);
        match announced(&txt.lookup, &mut found) {
            Some(id) if kept.as_ref().is_some_and(|kept| kept.policy.id == id) => {
                found.say("the policy of that id is in the cache".to_owned());
                found.take(kept, self.inner.clock.now());
            }
            Some(id) => match self.fetch(domain, &id).await {
                Ok(policy) => {
                    found.say(format!("fetched https://mta-sts.{domain}/.well-known/mta-sts.txt"));
                    found.ttl = found.ttl.min(policy.max_age);
                    found.policy = Some(policy);
                }
                Err(failure) => {
                    found.say(format!("the policy cannot be fetched: {}", failure.why));
                    found.troubles.push(Trouble { kind: failure.kind, host: None, why: failure.why });
                    found.keep(kept, self.inner.clock.now());
                }
            },
            None => found.keep(kept, self.inner.clock.now()),
        }
        found.conclude();
        found
    }

    /// Renews policies in use that are older than a day or half their life. Call it once a minute.
    ///
    /// The state of the TXT record does not matter (RFC 8461 section 10.2): whoever can suppress it must not be able to
    /// make a policy expire.
    pub async fn refresh(&self) {
        let due = self.due();
        for (domain, id) in due {
            let txt = self.inner.dns.txt(&format!("_mta-sts.{domain}")).await;
            let id = announced(&txt.lookup, &mut Discovered::default()).unwrap_or(id);
            if let Err(failure) = self.fetch(&domain, &id).await {
                self.postpone(&domain, &failure.why);
            }
        }
    }

    /// The cached policies with the time each was fetched (Unix seconds), by domain.
    pub fn list(&self) -> Vec<(String, StsPolicy, i64)> {
        let now = self.inner.clock.now();
        let known = self.lock();
        let kept =
            known.iter().filter_map(|(_, known, _)| known.kept.as_ref()).filter(|kept| kept.expires() > now);
        let mut list: Vec<_> =
            kept.map(|kept| (kept.domain.clone(), kept.policy.clone(), kept.fetched)).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    /// The cached policy, if it is in force.
    fn kept(&self, domain: &str) -> Option<Kept> {
        let now = self.inner.clock.now();
        self.lock().get(domain, now)?.kept.clone().filter(|kept| kept.expires() > now)
    }

    async fn fetch(&self, domain: &str, id: &str) -> Result<StsPolicy, Failure> {
        let now = self.inner.clock.now();
        let failed = self.lock().peek(domain).and_then(|(known, _)| known.failure.clone());
        if let Some(failure) =
            failed.filter(|failed| failed.id == id && now < failed.at + PAUSE_AFTER_FAILURE)
        {
            return Err(failure);
        }
        let (this, owned, wanted) = (self.clone(), domain.to_owned(), id.to_owned());
        let work = || async move {
            let result = this.inner.fetcher.fetch(&owned, &wanted).await;
            this.remember(&owned, &wanted, result).await
        };
        let busy = || Failure {
            id: id.to_owned(),
            at: now,
            kind: TroubleKind::StsPolicyFetchError,
            why: "too many policies are being fetched".to_owned(),
        };
        self.inner.flights.join(&format!("{domain} {id}"), work).await.unwrap_or_else(|| Err(busy()))
    }

    async fn remember(
        &self,
        domain: &str,
        id: &str,
        result: Result<StsPolicy, FetchError>,
    ) -> Result<StsPolicy, Failure> {
        let now = self.inner.clock.now();
        match result {
            Ok(policy) => {
                let kept = Kept { domain: domain.to_owned(), fetched: now, policy: policy.clone() };
                self.note(domain, |known| *known = Known { kept: Some(kept.clone()), failure: None });
                self.write(kept).await;
                Ok(policy)
            }
            Err(error) => {
                let (kind, why) = (error.kind(), with_sources(&error));
                let failure = Failure { id: id.to_owned(), at: now, kind, why };
                self.note(domain, |known| known.failure = Some(failure.clone()));
                Err(failure)
            }
        }
    }

    fn note(&self, domain: &str, change: impl FnOnce(&mut Known)) {
        let now = self.inner.clock.now();
        let mut shelf = self.lock();
        let (mut known, used) =
            shelf.peek(domain).map_or_else(Default::default, |(known, used)| (known.clone(), used));
        change(&mut known);
        let octets = known.octets();
        // A renewal is no use: what nobody writes to any more is to grow old.
        let gone = shelf.put(domain.to_owned(), known, octets, if used == 0 { now } else { used });
        drop(shelf);
        let Some(directory) = &self.inner.config.directory else { return };
        for domain in gone {
            // A file that stays is read again at the next start, no harm.
            let _ = disk::remove(directory, &domain);
        }
    }

    async fn write(&self, kept: Kept) {
        let Some(directory) = self.inner.config.directory.clone() else { return };
        let written = tokio::task::spawn_blocking(move || disk::save(&directory, &kept)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!("an MTA-STS policy cannot be kept on disk: {error}");
        }
    }

    /// Domains whose policy should be renewed, with its id.
    fn due(&self) -> Vec<(String, String)> {
        let now = self.inner.clock.now();
        let known = self.lock();
        let due = known.iter().filter_map(|(domain, known, used)| {
            let kept = known.kept.as_ref()?;
            let age = now - kept.fetched;
            let old = age >= REFRESH_AFTER.min(i64::from(kept.policy.max_age) / 2);
            let tried = known.failure.as_ref().is_some_and(|failure| now < failure.at + PAUSE_AFTER_FAILURE);
            let due = kept.expires() > now && old && !tried && now - used < UNUSED_AFTER;
            due.then(|| (domain.to_owned(), kept.policy.id.clone()))
        });
        due.take(REFRESH_MOST).collect()
    }

    fn postpone(&self, domain: &str, why: &str) {
        let now = self.inner.clock.now();
        let kind = TroubleKind::StsPolicyFetchError;
        let mode = self.lock().peek(domain).and_then(|(known, _)| Some(known.kept.as_ref()?.policy.mode));
        // RFC 8461 section 3.3: "SHOULD alert administrators ... unless the cached policy mode is "none"."
        if mode.is_some_and(|mode| mode != Mode::None) {
            tracing::warn!("the MTA-STS policy of {domain} cannot be renewed: {why}");
        }
        self.note(domain, |known| {
            let id = known.kept.as_ref().map(|kept| kept.policy.id.clone()).unwrap_or_default();
            known.failure.get_or_insert_with(|| Failure { id, at: now, kind, why: why.to_owned() }).at = now;
        });
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<Known>> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error and all its causes in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
