//! Asking the authorities of others what they revoked: revocation lists (RFC 5280) and OCSP (RFC 6960), by plain
//! HTTP, kept on disk until they are due again.
//!
//! Only for certificates from which a way leads to one of our trust anchors, so that nobody can make us ask where
//! he likes by sending a message. What was fetched is judged and kept by [`Anchors`]; here is only the way to it.

pub mod fetch;
mod shelf;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keydir::{Anchors, Certificate, OcspQuestion};
use program::chain;
use tokio::runtime::{Builder, Handle};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, timeout_at};

use self::fetch::FetchError;
use self::shelf::Shelf;
use crate::gateway::Gateway;

/// How long all look-ups for one message may take together.
pub const MESSAGE_TIME: Duration = Duration::from_secs(3);
/// How long one look-up may take that no message waits for.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// A source that did not answer is not asked again for so long.
const REST: Duration = Duration::from_secs(30);
/// How often it is looked what is due.
const PAUSE: Duration = Duration::from_secs(60);
/// Fetched so long before it expires, seconds.
const AHEAD: i64 = 600;
/// Most sources and certificates that are remembered.
const REMEMBERED: usize = 1000;
/// Most URLs of one kind of one certificate that are asked.
const URLS: usize = 3;

/// Where what is known about revocations comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// `revocation = "fetch"`: it is fetched, and a signature counts only if that could be done.
    pub fetch: bool,
    /// Whether sources may have private addresses.
    pub private_hosts: bool,
}

/// What is fetched, and what was.
#[derive(Debug)]
pub struct RevocationRoom {
    shelf: Shelf,
    /// Sources that failed, and when they may be asked again.
    resting: Mutex<HashMap<String, Instant>>,
    /// Certificates that were asked about, with their issuers, by fingerprint.
    seen: Mutex<HashMap<String, (Certificate, Certificate)>>,
}

/// What is needed for one look-up.
struct Errand<'a> {
    anchors: &'a Anchors,
    certificate: &'a Certificate,
    issuer: &'a Certificate,
    /// Unix seconds.
    now: i64,
    /// What is kept on disk must be valid at this moment, Unix seconds.
    needed: i64,
    private_hosts: bool,
}

impl RevocationRoom {
    /// Keeps what is fetched below the state directory.
    pub fn new(state: &Path) -> Self {
        Self {
            shelf: Shelf::new(state.join("revocation")),
            resting: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Fetches what is not known about a chain (the anchor last) until the deadline. What could not be fetched stays
    /// unknown. Blocking; not for threads that drive others' tasks.
    pub fn look_up(
        &self,
        anchors: &Anchors,
        path: &[Certificate],
        settings: Revocation,
        now: i64,
        deadline: Instant,
    ) {
        let work = async {
            for pair in path.windows(2) {
                let [certificate, issuer] = pair else { continue };
                self.remember(certificate, issuer);
                let private_hosts = settings.private_hosts;
                let errand = Errand { anchors, certificate, issuer, now, needed: now, private_hosts };
                if !anchors.knows_about(certificate, issuer, now) {
                    self.run(&errand, deadline).await;
                }
            }
        };
        match Handle::try_current() {
            Ok(handle) => handle.block_on(work),
            // A command, without a runtime.
            Err(_) => match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(work),
                Err(error) => tracing::error!("cannot look up revocations: {error}"),
            },
        }
    }

    /// Asks the sources of a certificate until one answers: for a person's the responder first, for an authority's
    /// the list, which serves for many.
    async fn run(&self, errand: &Errand<'_>, deadline: Instant) {
        let certificate = errand.certificate;
        let responders = certificate.ocsp_urls().into_iter().take(URLS).map(Source::Responder);
        let lists = certificate.crl_urls().into_iter().take(URLS).map(Source::List);
        let sources: Vec<Source> = match certificate.is_ca() {
            true => lists.chain(responders).collect(),
            false => responders.chain(lists).collect(),
        };
        if sources.iter().any(|source| self.recall(errand, source)) {
            return;
        }
        for source in sources.iter().filter(|source| !self.rests(source.url())) {
            match timeout_at(deadline, self.ask(errand, source)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => self.rest(source.url(), &chain(&error)),
                Err(_) => self.rest(source.url(), "no answer in time"),
            }
        }
    }

    /// Learns what was fetched before, if it is still valid.
    fn recall(&self, errand: &Errand<'_>, source: &Source) -> bool {
        let Errand { anchors, certificate, issuer, needed, .. } = *errand;
        let Some(kept) = self.shelf.read(&source.name(certificate)) else { return false };
        match source {
            Source::List(url) => anchors.learn_crl(url, &kept, certificate, issuer, needed).is_ok(),
            Source::Responder(_) => kept.split_at_checked(shelf::NONCE).is_some_and(|(nonce, response)| {
                let question = OcspQuestion::with_nonce(certificate, issuer, nonce);
                question.is_ok_and(|question| anchors.learn(&question, response, needed).is_ok())
            }),
        }
    }

    async fn ask(&self, errand: &Errand<'_>, source: &Source) -> Result<(), FetchError> {
        let Errand { anchors, certificate, issuer, now, private_hosts, .. } = *errand;
        let name = source.name(certificate);
        match source {
            Source::List(url) => {
                let list = fetch::list(url, private_hosts).await?;
                anchors.learn_crl(url, &list, certificate, issuer, now)?;
                self.shelf.write(&name, &[&list]);
            }
            Source::Responder(url) => {
                let question = OcspQuestion::new(certificate, issuer)?;
                let response = fetch::status(url, question.request(), private_hosts).await?;
                anchors.learn(&question, &response, now)?;
                self.shelf.write(&name, &[question.nonce(), &response]);
            }
        }
        tracing::info!("fetched {} for {}", source.url(), certificate.fingerprint());
        Ok(())
    }

    /// Fetches anew what expires soon: of the authorities that are known and of the signers that were seen.
    async fn refresh(&self, anchors: &Anchors, settings: Revocation, now: i64) {
        for authority in anchors.intermediates() {
            if let Ok(path) = anchors.path(authority, &[], now) {
                for pair in path.windows(2) {
                    let [certificate, issuer] = pair else { continue };
                    self.remember(certificate, issuer);
                }
            }
        }
        let seen: Vec<_> = lock(&self.seen).values().cloned().collect();
        for (certificate, issuer) in &seen {
            let needed = now.saturating_add(AHEAD);
            let private_hosts = settings.private_hosts;
            let errand = Errand { anchors, certificate, issuer, now, needed, private_hosts };
            if !anchors.knows_about(certificate, issuer, needed) {
                self.run(&errand, Instant::now() + FETCH_TIME).await;
            }
        }
        self.shelf.tidy();
    }

    fn remember(&self, certificate: &Certificate, issuer: &Certificate) {
        let mut seen = lock(&self.seen);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(certificate.fingerprint(), (certificate.clone(), issuer.clone()));
    }

    fn rests(&self, url: &str) -> bool {
        lock(&self.resting).get(url).is_some_and(|until| Instant::now() < *until)
    }

    fn rest(&self, url: &str, why: &str) {
        tracing::warn!("cannot fetch {url}: {why}");
        let mut resting = lock(&self.resting);
        if resting.len() >= REMEMBERED {
            resting.clear();
        }
        resting.insert(url.to_owned(), Instant::now() + REST);
    }
}

/// Where something about a certificate can be had.
#[derive(Debug)]
enum Source {
    List(String),
    Responder(String),
}

impl Source {
    fn url(&self) -> &str {
        match self {
            Self::List(url) | Self::Responder(url) => url,
        }
    }

    /// The file in which its answer is kept.
    fn name(&self, certificate: &Certificate) -> String {
        match self {
            Self::List(url) => shelf::name(url, "crl"),
            Self::Responder(_) => shelf::name(&certificate.fingerprint(), "ocsp"),
        }
    }
}

/// Fetches what is due until the process ends, if the configuration says so.
pub async fn look_after(gateway: Arc<Gateway>) {
    let mut tick = interval(PAUSE);
    loop {
        tick.tick().await;
        let settings = gateway.config().smime.revocation;
        if !settings.fetch {
            continue;
        }
        let (gateway, runtime) = (gateway.clone(), Handle::current());
        // Long lists take their time to be read and verified.
        let round = spawn_blocking(move || {
            let anchors = gateway.keys().anchors.load_full();
            runtime.block_on(gateway.keys().revocation.refresh(&anchors, settings, gateway.now()));
        });
        if round.await.is_err() {
            tracing::error!("fetching revocations ended abnormally");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one insertion; a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
