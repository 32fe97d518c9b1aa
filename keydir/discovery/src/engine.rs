//! One look-up: the sources in their order, then the decision.

mod consult;
mod patience;
mod screening;
mod verdict;
mod word;

use std::sync::Arc;

use keydir::Origin;
use keydir::Scheme;
use net::Clock;
use net::flight::Flights;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::config::Source;
use crate::found::Candidate;
use crate::found::Found;
use crate::found::Issuers;
use crate::found::LogVerifier;
use crate::found::Outcome;
use crate::shelf::Remembered;
use crate::shelf::Shelf;
use crate::shelf::ShelfError;
use crate::source::Asked;
use crate::source::Messenger;
use crate::trace::Step;
use crate::trace::StepOutcome;
use crate::trace::Trace;
use crate::trust;
use crate::trust::FirstContact;

/// Everything that clones share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) messenger: Messenger,
    pub(crate) shelf: Arc<dyn Shelf>,
    pub(crate) verifier: Option<Arc<dyn LogVerifier>>,
    pub(crate) issuers: Option<Arc<dyn Issuers>>,
    pub(crate) flights: Flights<Arc<Found>>,
    pub(crate) fetches: Flights<()>,
    pub(crate) refreshing: Arc<Semaphore>,
}

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) asked: Asked,
    pub(crate) scheme: Scheme,
}

impl Question {
    /// Under what sightings are kept.
    pub(crate) fn who(&self) -> String {
        format!("{} {}", self.scheme, self.asked.folded())
    }

    /// Under what the answer of one source is kept.
    pub(crate) fn key(&self, source: &Source) -> String {
        format!("{} {} {}", source.name, self.scheme, self.asked.whole)
    }

    /// What [`Question::key`] was made of.
    fn of_key(key: &str) -> Option<(&str, Self)> {
        let (source, rest) = key.split_once(' ')?;
        let (scheme, address) = rest.split_once(' ')?;
        Some((source, Self { asked: Asked::new(address)?, scheme: scheme.parse().ok()? }))
    }
}

/// What one source has for the mailbox today.
#[derive(Debug)]
pub(crate) struct Offers {
    /// The newest first.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) revoked: Vec<Arc<[u8]>>,
    pub(crate) step: Step,
}

impl Engine {
    /// Asks all sources in their order until one has something that may be used.
    pub(crate) async fn look_up(self: Arc<Self>, question: Question) -> Found {
        let mut trace = Trace::new(&question.asked.whole, question.scheme, self.clock.now());
        let seen = match self.shelf.seen(&question.who()).await {
            Ok(seen) => seen,
            Err(error) => return could_not_tell(trace, error.to_string()),
        };
        trace.seen = seen.iter().map(|seen| seen.sighting.clone()).collect();
        match self.ask_all(&question, seen, trace).await {
            Ok(found) => found,
            Err((trace, error)) => could_not_tell(trace, error.to_string()),
        }
    }

    async fn ask_all(
        self: &Arc<Self>,
        question: &Question,
        mut seen: Vec<Remembered>,
        mut trace: Trace,
    ) -> Result<Found, (Trace, ShelfError)> {
        let mut revoked = Vec::new();
        let mut winner = None;
        for source in &self.config.sources {
            if let Some(why) = self.not_asked(source, question, winner.is_some()) {
                trace.steps.push(skipped(source, why));
                continue;
            }
            let mut offers = self.consult(source, question, &seen).await;
            trace.steps.push(offers.step);
            offers.revoked.retain(|bytes| !revoked.contains(bytes));
            if !offers.revoked.is_empty() {
                match self.hear(question, source.kind.origin(), &offers.revoked, &mut seen).await {
                    Ok(()) => revoked.extend(offers.revoked),
                    Err(error) => return Err((trace, error)),
                }
            }
            if !offers.candidates.is_empty() {
                winner = Some(offers.candidates);
            }
        }
        let concluded = match self.conclude(question, winner, &seen, &mut trace).await {
            Ok(outcome) => self.with_patience(question, outcome, &mut trace).await,
            Err(error) => Err(error),
        };
        let outcome = match concluded {
            Ok(outcome) => outcome,
            Err(error) => return Err((trace, error)),
        };
        Ok(Found { outcome, revoked, trace })
    }

    /// Why a source is not asked, in words.
    fn not_asked(&self, source: &Source, question: &Question, won: bool) -> Option<&'static str> {
        let origin = source.kind.origin();
        if !source.kind.has(question.scheme) {
            Some("it has no certificates of this kind")
        } else if !source.domains.is_empty() && !source.domains.contains(&question.asked.domain) {
            Some("not for this domain")
        } else if self.config.rules.first_contact(origin) == FirstContact::Off {
            Some("certificates of this origin are not used")
        } else if won {
            Some("a source before it has a certificate")
        } else {
            None
        }
    }

    /// Remembers revocations, so that no older version takes them back.
    async fn hear(
        &self,
        question: &Question,
        origin: Origin,
        revoked: &[Arc<[u8]>],
        seen: &mut Vec<Remembered>,
    ) -> Result<(), ShelfError> {
        let now = self.clock.now();
        let who = question.who();
        for bytes in revoked {
            let Ok(certs) = keydir::read_certificates(bytes) else { continue };
            for fingerprint in certs.iter().map(|cert| cert.fingerprint().to_hex()) {
                let known = seen.iter().position(|known| known.sighting.fingerprint == fingerprint);
                let mut remembered = match known {
                    // A new version may say more than the one we know; what was heard before is merged into it.
                    Some(at) => seen.swap_remove(at),
                    // Never used, so it is not the one in use: its time is the beginning of time.
                    None => {
                        let sighting =
                            trust::Sighting { fingerprint, origin, first: now, last: 0, revoked: true };
                        Remembered { sighting, bytes: Arc::clone(bytes) }
                    }
                };
                let known = remembered.sighting.revoked && remembered.bytes == *bytes && known.is_some();
                remembered.sighting.revoked = true;
                remembered.bytes = Arc::clone(bytes);
                if !known {
                    self.shelf.see(&who, &remembered).await?;
                }
                seen.push(remembered);
            }
        }
        Ok(())
    }

    /// Fetches again what a key of the shelf stands for, if it still stands for anything.
    pub(crate) async fn refresh(self: &Arc<Self>, key: &str) {
        let Some((name, question)) = Question::of_key(key) else { return };
        let Some(source) = self.config.sources.iter().find(|source| source.name == name) else { return };
        let Ok(seen) = self.shelf.seen(&question.who()).await else { return };
        self.fetch_shared(source, &question, seen).await;
    }
}

pub(crate) fn could_not_tell(mut trace: Trace, why: String) -> Found {
    trace.conclusion = format!("could not tell: {why}");
    Found { outcome: Outcome::CouldNotTell { why, given_up: None }, revoked: Vec::new(), trace }
}

fn skipped(source: &Source, why: &str) -> Step {
    Step {
        source: source.name.clone(),
        origin: source.kind.origin(),
        outcome: StepOutcome::Skipped { why: why.to_owned() },
        milliseconds: 0,
        kept_for: None,
        notes: Vec::new(),
    }
}
