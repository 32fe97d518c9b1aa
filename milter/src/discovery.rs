//! Certificates of strangers, looked for while their message arrives: between the store, which knows whom we know,
//! and the sources, which know the rest.

pub mod config;
mod learn;
pub mod partner_log;
pub mod tasks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::discovery::{Candidate, Discovery, Found, HELD_FOR, Held, Issuers, LogVerifier, Outcome};
use futures_util::future::join_all;
use keydir::{Authority, Certificate, Custody, Import, Origin, Record, Scheme, Subject, Trust};
use net::Clock;
use net::dns::Dns;
use policy::{KeyAnswer, KeyFacts, KeyKind};
use program::{Exit, chain};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use self::config::DiscoveryConfig;
use self::partner_log::PartnerLogs;
use crate::config::Config;
use crate::keyring::{KeyRing, Lookup};
use crate::relay::room::{dns, dns_of};
use crate::transaction::domain_of;

/// So many imports are remembered, so that the same certificate is not written again for each message.
const REMEMBERED: usize = 10_000;
/// So many holds may wait to be told.
const UNTOLD: usize = 100;

/// Finds what the store does not have.
#[derive(Debug)]
pub struct DiscoveryRoom {
    discovery: Discovery,
    keys: Arc<KeyRing>,
    deadline: Duration,
    /// What was stored under which fingerprint for whom.
    stored: Mutex<HashMap<(String, Subject), Stored>>,
    held: mpsc::Sender<Hold>,
    barn: learn::Barn,
    clock: Clock,
}

/// What was stored of a certificate.
#[derive(Debug, PartialEq, Eq)]
struct Stored {
    digest: [u8; 32],
    /// What it was worth.
    trust: Trust,
}

/// Certificates that are held, to be told.
pub type Holds = mpsc::Receiver<Hold>;

/// A certificate that is held, to be told to somebody.
#[derive(Clone, Debug)]
pub struct Hold {
    /// For whom it was looked for.
    pub subject: Subject,
    /// The one on offer, upper-case hexadecimal.
    pub new: String,
    /// Where it came from.
    pub origin: Origin,
    /// The one that was used until now.
    pub old: Option<String>,
    /// Why it is held.
    pub why: String,
}

impl DiscoveryRoom {
    /// Opens the room, if it is configured, and gives what will tell of certificates that are held. Must be called
    /// within a runtime.
    ///
    /// # Errors
    /// The memory of discovery or the trust anchors of its resolver cannot be read.
    pub fn open(
        config: &Config,
        keys: Arc<KeyRing>,
        clock: Clock,
    ) -> Result<Option<(Arc<Self>, Holds)>, Exit> {
        let Some(section) = &config.discovery else { return Ok(None) };
        let dns = resolver(config, section)?;
        let logs = PartnerLogs { logs: section.logs.clone(), clock: clock.clone() };
        let verifier = Arc::new(logs) as Arc<dyn LogVerifier>;
        let issuers = Arc::new(KnownIssuers(keys.clone())) as Arc<dyn Issuers>;
        let (time, sources) = (clock.clone(), section.sources.clone());
        let discovery = Discovery::open(sources, dns, None, time, Some(verifier), Some(issuers))
            .map_err(|error| Exit::unavailable("cannot look for certificates of strangers", error))?;
        let (held, told) = mpsc::channel(UNTOLD);
        let stored = Mutex::default();
        let barn = learn::Barn::default();
        let room = Self { discovery, keys, deadline: section.deadline, stored, held, barn, clock };
        Ok(Some((Arc::new(room), told)))
    }

    /// The sources, for commands and tasks.
    pub fn sources(&self) -> &Discovery {
        &self.discovery
    }

    /// Asks the sources only; nothing is stored.
    pub async fn ask(&self, address: &str, scheme: Scheme) -> Found {
        self.discovery.find(address, scheme, self.deadline).await
    }

    /// Completes what the store said about a recipient: asks the sources for the kinds that it does not have, or has
    /// only because a source gave them before. What the administrator gave is never asked for.
    pub async fn complete(&self, address: &str, lookup: Lookup, now: i64) -> Lookup {
        let mut asked = Vec::new();
        for facts in &lookup.facts {
            let known = self.known(&lookup, facts);
            let Some((name, subject, scheme)) = wanted(address, facts.kind, known) else { continue };
            asked.push(async move {
                let found = self.discovery.find(&name, scheme, self.deadline).await;
                (facts.kind, subject, found)
            });
        }
        let answers = join_all(asked).await;
        let mut lookup = lookup;
        for (kind, subject, found) in answers {
            self.take(&mut lookup, kind, subject, found, now).await;
        }
        lookup
    }

    /// What the store found for a kind.
    fn known<'l>(&self, lookup: &'l Lookup, facts: &KeyFacts) -> Known<'l> {
        match &facts.answer {
            KeyAnswer::Found { fingerprint, .. } => {
                let key = lookup.found.iter().find(|key| key.fingerprint() == fingerprint);
                key.map_or(Known::Nothing, |key| Known::Record(key.record()))
            }
            KeyAnswer::None { .. } => Known::Nothing,
            KeyAnswer::CouldNotTell { .. } | KeyAnswer::GivenUp { .. } => Known::Unknown,
        }
    }

    /// Puts what the sources said in the place of what the store said.
    async fn take(&self, lookup: &mut Lookup, kind: KeyKind, subject: Subject, found: Found, now: i64) {
        for revoked in &found.revoked {
            // The revocation is what counts; who is revoked may not be known to us at all.
            if let Err(why) = self.merge(revoked.clone(), now).await {
                tracing::warn!("a revocation was not stored: {why}");
            }
        }
        self.keys.telemetry.discovered(&found.outcome);
        let used = found.trace.seen.iter().any(|seen| seen.last > 0 && !seen.revoked);
        let answer = match found.outcome {
            Outcome::Found(candidate) => {
                match self.store(&candidate, subject.clone(), Trust::Accepted, now).await {
                    Ok(_) => None,
                    Err(why) => Some(KeyAnswer::CouldNotTell { why }),
                }
            }
            // What was used until now is still good: its holder may have moved, but did not revoke it.
            Outcome::None { why } => match self.has(lookup, kind) {
                true => return,
                false => Some(KeyAnswer::None { why }),
            },
            Outcome::Held(held) => {
                self.hold(&held, &subject, now).await;
                match (self.has(lookup, kind), &held.old) {
                    (true, _) => return,
                    (false, Some(_)) => Some(KeyAnswer::CouldNotTell { why: held.why.clone() }),
                    (false, None) => Some(KeyAnswer::None {
                        why: vec![format!("{}: held for approval: {}", held.new.fingerprint, held.why)],
                    }),
                }
            }
            Outcome::CouldNotTell { given_up: Some(since), why } => {
                let hours = now.saturating_sub(since) / 3600;
                let why = format!("no answer for {hours} hours: {why}");
                if self.has(lookup, kind) {
                    tracing::warn!("{subject}: {why}; what was found before is used on");
                    return;
                }
                Some(match used {
                    // Who had a certificate is not taken for somebody who never had one.
                    true => KeyAnswer::CouldNotTell { why },
                    false => {
                        tracing::warn!("{subject}: {why}; mail that need not be encrypted goes on without");
                        KeyAnswer::GivenUp { why }
                    }
                })
            }
            Outcome::CouldNotTell { why, .. } => Some(KeyAnswer::CouldNotTell { why }),
        };
        let fresh = match answer {
            Some(answer) => Lookup { facts: vec![KeyFacts { kind, answer }], found: Vec::new() },
            None => self.ask_store(subject, kind, now).await,
        };
        replace(lookup, kind, fresh);
    }

    fn has(&self, lookup: &Lookup, kind: KeyKind) -> bool {
        lookup.facts.iter().any(|facts| facts.kind == kind && matches!(facts.answer, KeyAnswer::Found { .. }))
    }

    async fn ask_store(&self, subject: Subject, kind: KeyKind, now: i64) -> Lookup {
        let keys = self.keys.clone();
        let asked = spawn_blocking(move || keys.encryption_to(subject, kind, now)).await;
        asked.unwrap_or_else(|_| Lookup::failed(&[kind], "the look-up ended abnormally"))
    }

    /// Keeps a candidate in the store, bound to whom it was looked for and to nobody else. Gives whether it was written.
    async fn store(
        &self,
        candidate: &Candidate,
        subject: Subject,
        trust: Trust,
        now: i64,
    ) -> Result<bool, String> {
        let key = (candidate.fingerprint.clone(), subject.clone());
        let new = Stored { digest: openssl::sha::sha256(&candidate.bytes), trust };
        if self.remembered().get(&key) == Some(&new) {
            return Ok(false);
        }
        let (keys, bytes) = (self.keys.clone(), candidate.bytes.clone());
        let (scheme, origin) = (candidate.scheme, candidate.origin);
        let stored = spawn_blocking(move || import(&keys, scheme, &bytes, Some(subject), origin, trust, now));
        stored.await.map_err(|_| "storing the certificate ended abnormally".to_owned())??;
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, new);
        Ok(true)
    }

    /// Adds what is new, a revocation above all, to a certificate that the store has.
    async fn merge(&self, bytes: Arc<[u8]>, now: i64) -> Result<(), String> {
        let keys = self.keys.clone();
        let merged = spawn_blocking(move || {
            let certificates = keydir::read_certificates(&bytes).map_err(|error| chain(&error))?;
            for certificate in certificates {
                let fingerprint = certificate.fingerprint().to_hex();
                let Some(record) = keys.store.get(&fingerprint).map_err(|error| chain(&error))? else {
                    continue;
                };
                let armored = keydir::armored(&certificate);
                let import = Import {
                    bytes: armored.as_bytes(),
                    subjects: Some(Vec::new()),
                    origin: record.origin,
                    trust: record.trust,
                    custody: Custody::None,
                    now,
                };
                keys.store.import(&import).map_err(|error| chain(&error))?;
            }
            Ok(())
        });
        merged.await.map_err(|_| "it ended abnormally".to_owned())?
    }

    /// Removes what is held in the store and nobody approved for long.
    pub async fn expire_held(&self) {
        let (keys, before) = (self.keys.clone(), self.clock.now().saturating_sub(HELD_FOR));
        match spawn_blocking(move || keys.store.expire_held(before)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => {
                // They are written again if they are offered again.
                self.remembered().clear();
                tracing::info!("{count} certificates that were held and never approved were removed");
            }
            Ok(Err(error)) => {
                tracing::warn!("certificates that were held for long were not removed: {}", chain(&error));
            }
            Err(_) => tracing::warn!("removing certificates that were held for long ended abnormally"),
        }
    }

    /// Keeps what is held where the administrator finds it, and has it told.
    async fn hold(&self, held: &Held, subject: &Subject, now: i64) {
        let new = &held.new;
        if let Err(why) = self.store(new, subject.clone(), Trust::Held, now).await {
            tracing::warn!("the certificate {} is held but was not stored: {why}", new.fingerprint);
        }
        if !held.news {
            return;
        }
        tracing::warn!(
            "held: certificate {} ({}), {}. To use it: gatepost keys trust {} accepted",
            new.fingerprint,
            new.origin,
            held.why,
            new.fingerprint
        );
        let hold = Hold {
            subject: subject.clone(),
            new: new.fingerprint.clone(),
            origin: new.origin,
            old: held.old.clone(),
            why: held.why.clone(),
        };
        // Nobody is told twice, and nothing waits for that: what does not fit stands in the log.
        let _ = self.held.try_send(hold);
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<(String, Subject), Stored>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The authorities that the store, the configuration and the system know.
#[derive(Debug)]
struct KnownIssuers(Arc<KeyRing>);

impl Issuers for KnownIssuers {
    fn same_key(&self, old: &Certificate, new: &Certificate) -> bool {
        self.0.store.same_issuer(old, new, &self.0.anchors.load()).unwrap_or_else(|error| {
            tracing::warn!("whether two certificates have one issuer was not looked at: {}", chain(&error));
            false
        })
    }
}

/// Under which address the sources are asked for a subject; `None` if they never are.
pub fn asked_as(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Address(address) => Some(address.clone()),
        Subject::Domain(domain) => Some(Authority::Confidentiality.mailbox(domain)),
        Subject::AtRest(_) => None,
    }
}

/// What the store has of a kind.
enum Known<'l> {
    Record(&'l Record),
    Nothing,
    /// It cannot be read now; then nobody else is asked either.
    Unknown,
}

/// Whom to ask the sources for, if they are to be asked.
fn wanted(address: &str, kind: KeyKind, known: Known<'_>) -> Option<(String, Subject, Scheme)> {
    let scheme = match kind {
        KeyKind::UserOpenpgp | KeyKind::DomainOpenpgp => Scheme::Openpgp,
        KeyKind::UserSmime | KeyKind::DomainSmime => Scheme::Smime,
        _ => return None,
    };
    let domain = domain_of(address);
    let (name, subject) = match kind {
        KeyKind::UserOpenpgp | KeyKind::UserSmime => (address.to_owned(), Subject::address(address)?),
        // The mailbox under which a domain publishes its own certificate.
        _ => (Authority::Confidentiality.mailbox(&domain), Subject::domain(&domain)?),
    };
    match known {
        Known::Unknown => None,
        Known::Record(record) if !is_discovered(record, &subject) => None,
        Known::Record(_) | Known::Nothing => Some((name, subject, scheme)),
    }
}

/// Whether a source gave it for this subject, and nobody has checked it since.
fn is_discovered(record: &Record, subject: &Subject) -> bool {
    let assigned = record.assigned.iter().any(|assigned| assigned.same(subject));
    let found = record.is_found_for(subject) || record.origin.is_found();
    found && !assigned && record.trust_for(subject) == Trust::Accepted
}

fn replace(lookup: &mut Lookup, kind: KeyKind, fresh: Lookup) {
    for facts in &mut lookup.facts {
        if facts.kind == kind
            && let Some(new) = fresh.facts.first()
        {
            facts.answer = new.answer.clone();
        }
    }
    lookup.found.extend(fresh.found);
}

fn import(
    keys: &KeyRing,
    scheme: Scheme,
    bytes: &[u8],
    subject: Option<Subject>,
    origin: Origin,
    trust: Trust,
    now: i64,
) -> Result<(), String> {
    let import = Import {
        bytes,
        subjects: subject.map(|subject| vec![subject]),
        origin,
        trust,
        custody: Custody::None,
        now,
    };
    let imported = match scheme {
        Scheme::Openpgp => keys.store.import(&import),
        Scheme::Smime => keys.store.import_certificates(&import),
    };
    imported.map(drop).map_err(|error| chain(&error))
}

fn resolver(config: &Config, section: &DiscoveryConfig) -> Result<Dns, Exit> {
    match (&section.dns, &config.relay) {
        (Some((own, validation)), _) => dns_of(own, validation),
        (None, Some(relay)) => dns(relay),
        (None, None) => Ok(Dns::new(net::dns::DnsConfig::default())),
    }
}
