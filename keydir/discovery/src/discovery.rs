//! The door to this room.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keydir::Scheme;
use net::Clock;
use net::dns::Dns;
use net::flight::Flights;
use net::https::Https;
use rustls::RootCertStore;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::config::Place;
use crate::config::Source;
use crate::config::SourceKind;
use crate::engine::Engine;
use crate::engine::Question;
use crate::engine::could_not_tell;
use crate::found::Found;
use crate::found::Issuers;
use crate::found::LogVerifier;
use crate::found::Outcome;
use crate::shelf::RedisShelf;
use crate::shelf::Shelf;
use crate::shelf::SqliteShelf;
use crate::source::Asked;
use crate::source::Messenger;
use crate::trace::Trace;

/// [`Discovery::tend`] refreshes what ends before this time has passed, seconds.
const AHEAD: i64 = 30 * 60;
/// At most so many answers at one time.
const TENDED_MAX: usize = 256;

/// Why discovery cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// The place for answers and sightings cannot be opened.
    #[error("cannot open the memory of discovery: {0}")]
    Place(String),
    /// TLS cannot be used.
    #[error("TLS cannot be used")]
    Tls(#[source] rustls::Error),
}

/// Finds certificates of strangers. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Discovery {
    engine: Arc<Engine>,
}

impl Discovery {
    /// Opens the memory and gets ready; nothing is sent.
    ///
    /// `roots` are the authorities trusted for HTTPS and LDAP; without them the system's (`SSL_CERT_FILE` is
    /// honoured). `verifier` understands the proofs of key logs; without one no change counts as announced.
    /// `issuers` knows authorities; without them a new S/MIME certificate succeeds an old one only if it holds the
    /// same key.
    ///
    /// # Errors
    /// Two sources have one name, a URL cannot be used, or the place cannot be opened.
    pub fn open(
        config: Config,
        dns: Dns,
        roots: Option<Arc<RootCertStore>>,
        clock: Clock,
        verifier: Option<Arc<dyn LogVerifier>>,
        issuers: Option<Arc<dyn Issuers>>,
    ) -> Result<Self, OpenError> {
        check(&config.sources)?;
        let https = Https::new(dns, roots, config.reach.clone()).map_err(OpenError::Tls)?;
        let most = config.lifetimes.most;
        let shelf: Result<Arc<dyn Shelf>, String> = match &config.place {
            Place::Memory => SqliteShelf::in_memory(most).map(|shelf| Arc::new(shelf) as _),
            Place::Sqlite(path) => SqliteShelf::open(path, most).map(|shelf| Arc::new(shelf) as _),
            Place::Redis { url, prefix } => RedisShelf::new(url, prefix).map(|shelf| Arc::new(shelf) as _),
        };
        let engine = Engine {
            messenger: Messenger::new(https),
            shelf: shelf.map_err(OpenError::Place)?,
            verifier,
            issuers,
            flights: Flights::new(config.concurrent),
            fetches: Flights::new(config.refreshing),
            refreshing: Arc::new(Semaphore::new(config.refreshing)),
            config,
            clock,
        };
        Ok(Self { engine: Arc::new(engine) })
    }

    /// Looks for a certificate to encrypt to `address` (local@domain), for at most `deadline`.
    ///
    /// One look-up per address and kind runs at a time; all who ask share it, and it goes on when they have gone, so
    /// that the next one finds its answer. Never fails: what goes wrong is [`Outcome::CouldNotTell`].
    pub async fn find(&self, address: &str, scheme: Scheme, deadline: Duration) -> Found {
        let trace = || Trace::new(address, scheme, self.engine.clock.now());
        let Some(asked) = Asked::new(address) else { return unaskable(trace()) };
        let question = Question { asked, scheme };
        let key = format!("{scheme} {}", question.asked.whole);
        let engine = Arc::clone(&self.engine);
        let work = || async move { Arc::new(engine.look_up(question).await) };
        match tokio::time::timeout(deadline, self.engine.flights.join(&key, work)).await {
            Ok(Some(found)) => Found::clone(&found),
            Ok(None) => could_not_tell(trace(), "too many look-ups are under way".to_owned()),
            Err(_) => {
                let seconds = deadline.as_secs_f32();
                could_not_tell(trace(), format!("no answer within {seconds} s; the look-up goes on"))
            }
        }
    }

    /// Judges a certificate that came with verified mail (signature, Autocrypt) as if a source had offered it, and
    /// remembers it if it passes. The rule is [`trust::Rules::harvested`](crate::trust::Rules::harvested).
    ///
    /// `certificate` is OpenPGP, binary or armored, or X.509 in DER. The caller has verified the mail and the chain.
    pub async fn harvest(&self, address: &str, scheme: Scheme, certificate: &[u8]) -> Found {
        let trace = Trace::new(address, scheme, self.engine.clock.now());
        let Some(asked) = Asked::new(address) else { return unaskable(trace) };
        self.engine.harvest(&Question { asked, scheme }, certificate, trace).await
    }

    /// The administrator's word: from now on this certificate is the one that is used for the address, and nothing is
    /// held for it any more. To be called also for certificates that he imports.
    ///
    /// # Errors
    /// In words: it is no certificate that encrypts to the mailbox today, it was revoked, or it cannot be written
    /// down.
    pub async fn approve(&self, address: &str, scheme: Scheme, certificate: &[u8]) -> Result<(), String> {
        let asked = Asked::new(address).ok_or_else(|| format!("{address} is no address"))?;
        self.engine.approve(&Question { asked, scheme }, certificate).await
    }

    /// Forgets an address: what was seen for it, what is held, and what sources said of it.
    ///
    /// # Errors
    /// In words: the memory cannot be written.
    pub async fn forget(&self, address: &str) -> Result<(), String> {
        let asked = Asked::new(address).ok_or_else(|| format!("{address} is no address"))?;
        for scheme in [Scheme::Openpgp, Scheme::Smime] {
            let question = Question { asked: asked.clone(), scheme };
            let keys: Vec<String> =
                self.engine.config.sources.iter().map(|source| question.key(source)).collect();
            let forgotten = self.engine.shelf.forget(&question.who(), &keys).await;
            forgotten.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Keeps the memory small and refreshes what is used and about to end; to be called every few minutes.
    ///
    /// # Errors
    /// In words: the memory cannot be read or written.
    pub async fn tend(&self) -> Result<(), String> {
        let engine = &self.engine;
        let now = engine.clock.now();
        engine.shelf.purge(now).await.map_err(|error| error.to_string())?;
        let due = engine.shelf.due(now.saturating_add(AHEAD), TENDED_MAX).await;
        for key in due.map_err(|error| error.to_string())? {
            engine.refresh(&key).await;
        }
        Ok(())
    }
}

fn unaskable(mut trace: Trace) -> Found {
    let why = "no certificate can name such an address".to_owned();
    trace.conclusion = format!("none: {why}");
    Found { outcome: Outcome::None { why: vec![why] }, revoked: Vec::new(), trace }
}

/// Finds what could never work.
fn check(sources: &[Source]) -> Result<(), OpenError> {
    let mut names = BTreeSet::new();
    for source in sources {
        let wrong = |what: &str| Err(OpenError::Config(format!("the source {:?} {what}", source.name)));
        if source.name.is_empty() || source.name.contains(char::is_whitespace) {
            return wrong("needs a name without spaces");
        }
        if !names.insert(&source.name) {
            return wrong("is there twice");
        }
        let (url, schemes): (_, &[&str]) = match &source.kind {
            SourceKind::Wkd | SourceKind::Dane => continue,
            SourceKind::Peer(url) | SourceKind::Vks(url) => (url, &["https"]),
            SourceKind::Hkp(url) => (url, &["https", "http"]),
            SourceKind::Ldap(directory) => (&directory.url, &["ldap", "ldaps"]),
        };
        if !schemes.contains(&url.scheme()) || url.host().is_none() {
            return wrong(&format!("needs a URL that begins with {}://", schemes.join(":// or ")));
        }
    }
    Ok(())
}
