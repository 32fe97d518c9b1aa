//! What one source says: kept from before, or asked now; screened in either case.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use keydir::Certificate;
use keydir::Offered;
use keydir::Rejected;
use keydir::Scheme;
use keydir::Screening;
use keydir::screen_openpgp;
use keydir::screen_smime;

use super::Engine;
use super::Offers;
use super::Question;
use crate::config::Source;
use crate::found::Candidate;
use crate::found::Issuers;
use crate::shelf::Kept;
use crate::shelf::KeptCertificate;
use crate::shelf::KeptSaid;
use crate::shelf::Remembered;
use crate::source::Haul;
use crate::source::Said;
use crate::trace::Step;
use crate::trace::StepOutcome;

/// A kept answer with certificates is refreshed in the background once so much of its time has passed.
const REFRESH_AFTER: (i64, i64) = (3, 4);
/// An answer with certificates is kept at least this long, whatever the DNS says, seconds.
const POSITIVE_MIN: u64 = 60;

/// A source's answer with when it was had.
struct Answer {
    kept: Kept,
    fresh: bool,
    revoked: Vec<Arc<[u8]>>,
}

impl Engine {
    /// What a source has for the mailbox now. Trouble with the memory is trouble with the source.
    pub(super) async fn consult(
        self: &Arc<Self>,
        source: &Source,
        question: &Question,
        seen: &[Remembered],
    ) -> Offers {
        let begun = Instant::now();
        let now = self.clock.now();
        let key = question.key(source);
        let kept = self.shelf.get(&key).await;
        let (mut offers, answer) = match kept {
            Err(error) => return trouble(source, begun, error.to_string()),
            Ok(Some(kept)) if kept.at <= now && now < kept.until => {
                let offers = offers(source, question, &kept, seen.to_vec(), now).await;
                let ended = matches!(kept.said, KeptSaid::Some(_)) && offers.candidates.is_empty();
                if ended {
                    // Its certificates ended since: there may be new ones.
                    self.ask_now(source, question, seen, None).await
                } else {
                    self.refresh_in_time(source, question, &key, &kept, now).await;
                    (offers, Answer { kept, fresh: false, revoked: Vec::new() })
                }
            }
            Ok(old) => self.ask_now(source, question, seen, old).await,
        };
        offers.revoked.extend(answer.revoked);
        offers.step.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        offers.step.kept_for = (!answer.fresh).then(|| now.saturating_sub(answer.kept.at).max(0));
        offers
    }

    /// Asks the source. In trouble, an old answer with certificates may serve, if the administrator says so.
    async fn ask_now(
        self: &Arc<Self>,
        source: &Source,
        question: &Question,
        seen: &[Remembered],
        old: Option<Kept>,
    ) -> (Offers, Answer) {
        let now = self.clock.now();
        let stale = old
            .filter(|old| matches!(old.said, KeptSaid::Some(_)) && (old.at..old.stale_until).contains(&now));
        let answer = self.fetch(source, question, seen.to_vec(), stale.is_some()).await;
        if let (KeptSaid::Trouble(why), Some(stale)) = (&answer.kept.said, stale) {
            let mut offers = offers(source, question, &stale, seen.to_vec(), now).await;
            if !offers.candidates.is_empty() {
                offers
                    .step
                    .notes
                    .push(format!("an answer past its time, because the source is in trouble: {why}"));
                self.prolong(source, question, &stale, now).await;
                return (offers, Answer { kept: stale, fresh: false, revoked: Vec::new() });
            }
        }
        let offers = offers(source, question, &answer.kept, seen.to_vec(), now).await;
        (offers, answer)
    }

    /// Spares a source in trouble for a while; an answer past its time serves in between.
    async fn prolong(&self, source: &Source, question: &Question, stale: &Kept, now: i64) {
        let until = now.saturating_add(seconds(self.config.lifetimes.trouble)).min(stale.stale_until);
        let kept = Kept { until, ..stale.clone() };
        if let Err(error) = self.shelf.put(&question.key(source), &kept, now).await {
            tracing::warn!("{error}");
        }
    }

    /// Asks the source, screens what it says and keeps that. Trouble does not replace an answer that may yet serve.
    async fn fetch(
        &self,
        source: &Source,
        question: &Question,
        seen: Vec<Remembered>,
        spare: bool,
    ) -> Answer {
        let reply = self.messenger.ask(source, &question.asked, question.scheme).await;
        let now = self.clock.now();
        let mut notes = reply.notes;
        let mut revoked = Vec::new();
        let (said, ttl) = match reply.said {
            Said::Nothing { ttl } => (KeptSaid::None(Vec::new()), ttl),
            Said::Trouble(why) => (KeptSaid::Trouble(why), None),
            Said::Something(haul) => {
                let ttl = haul.ttl;
                let screening = self.screened(question, haul, seen, now).await;
                let (said, gone) = screening.unwrap_or_else(|why| (KeptSaid::Trouble(why), Vec::new()));
                revoked = gone;
                (said, ttl)
            }
        };
        let kept = self.life(said, ttl, now, std::mem::take(&mut notes));
        if !(spare && matches!(kept.said, KeptSaid::Trouble(_)))
            && let Err(error) = self.shelf.put(&question.key(source), &kept, now).await
        {
            tracing::warn!("{error}");
        }
        Answer { kept, fresh: true, revoked }
    }

    /// The same, for whoever wants it at this moment; the answer is on the shelf.
    pub(super) async fn fetch_shared(
        self: &Arc<Self>,
        source: &Source,
        question: &Question,
        seen: Vec<Remembered>,
    ) {
        let (engine, source, question) = (Arc::clone(self), source.clone(), question.clone());
        let key = question.key(&source);
        let work = || async move {
            // What is there stays while the source is in trouble; its time runs out by itself.
            engine.fetch(&source, &question, seen, true).await;
        };
        self.fetches.join(&key, work).await;
    }

    async fn screened(
        &self,
        question: &Question,
        haul: Haul,
        seen: Vec<Remembered>,
        now: i64,
    ) -> Result<(KeptSaid, Vec<Arc<[u8]>>), String> {
        let asked = question.asked.clone();
        let scheme = question.scheme;
        let proof = haul.proof.clone();
        // As they were handed out: that is what a log speaks of.
        let served: Vec<Arc<[u8]>> = match scheme {
            Scheme::Openpgp => haul.openpgp.iter().map(|bytes| Arc::from(bytes.as_slice())).collect(),
            Scheme::Smime => haul.smime.iter().map(|bytes| Arc::from(bytes.as_slice())).collect(),
        };
        let issuers = self.issuers.clone();
        let screening = tokio::task::spawn_blocking(move || {
            screen(&asked.subject.to_string(), scheme, &haul, &seen, issuers.as_deref(), now)
        });
        let screening = screening.await.map_err(|_| "the answer could not be read".to_owned())?;
        if screening.usable.is_empty() && !screening.unreadable.is_empty() {
            return Err(screening.unreadable.join("; "));
        }
        if screening.usable.is_empty() {
            let why = screening.refused.iter().map(Rejected::to_string).collect();
            return Ok((KeptSaid::None(why), screening.revoked));
        }
        let announced = match (&self.verifier, proof) {
            (Some(verifier), Some(proof)) => {
                verifier.announces(&question.asked.whole, scheme, &served, &proof)
            }
            _ => false,
        };
        let keep = |Offered { fingerprint, bytes, succeeds, .. }| KeptCertificate {
            fingerprint,
            bytes,
            succeeds,
            announced,
        };
        Ok((KeptSaid::Some(screening.usable.into_iter().map(keep).collect()), screening.revoked))
    }

    fn life(&self, said: KeptSaid, ttl: Option<u32>, now: i64, notes: Vec<String>) -> Kept {
        let lifetimes = &self.config.lifetimes;
        let ttl = Duration::from_secs(ttl.map_or(u64::MAX, u64::from));
        let (life, stale) = match said {
            KeptSaid::Some(_) => {
                (lifetimes.positive.min(ttl.max(Duration::from_secs(POSITIVE_MIN))), lifetimes.stale)
            }
            KeptSaid::None(_) => (lifetimes.negative.min(ttl), Duration::ZERO),
            KeptSaid::Trouble(_) => (lifetimes.trouble, Duration::ZERO),
        };
        let until = now.saturating_add(seconds(life));
        Kept { at: now, until, stale_until: until.saturating_add(seconds(stale)), said, notes }
    }

    /// Begins to fetch an answer again that is used and near its end, unless too many are being fetched.
    async fn refresh_in_time(
        self: &Arc<Self>,
        source: &Source,
        question: &Question,
        key: &str,
        kept: &Kept,
        now: i64,
    ) {
        if !matches!(kept.said, KeptSaid::Some(_)) {
            return;
        }
        if let Err(error) = self.shelf.used(key, kept.until).await {
            tracing::warn!("{error}");
        }
        let (part, whole) = REFRESH_AFTER;
        if now.saturating_sub(kept.at) < kept.until.saturating_sub(kept.at).saturating_mul(part) / whole {
            return;
        }
        let Ok(permit) = Arc::clone(&self.refreshing).try_acquire_owned() else { return };
        let (engine, key) = (Arc::clone(self), key.to_owned());
        tracing::debug!("refreshing {} for {}", source.name, question.scheme);
        tokio::spawn(async move {
            let _permit = permit;
            engine.refresh(&key).await;
        });
    }
}

/// What a kept answer is worth now.
async fn offers(
    source: &Source,
    question: &Question,
    kept: &Kept,
    seen: Vec<Remembered>,
    now: i64,
) -> Offers {
    let mut revoked = Vec::new();
    let mut candidates = Vec::new();
    let outcome = match &kept.said {
        KeptSaid::None(why) => StepOutcome::None { why: why.clone() },
        KeptSaid::Trouble(why) => StepOutcome::Trouble { why: why.clone() },
        KeptSaid::Some(certificates) => {
            let haul = haul(question.scheme, certificates);
            let (address, scheme) = (question.asked.whole.clone(), question.scheme);
            let work = tokio::task::spawn_blocking(move || screen(&address, scheme, &haul, &seen, None, now));
            match work.await {
                Ok(screening) => {
                    revoked = screening.revoked;
                    candidates = screening
                        .usable
                        .into_iter()
                        .map(|one| candidate(source, one, certificates))
                        .collect();
                    let why = screening.refused.iter().map(Rejected::to_string).collect();
                    found(&candidates).unwrap_or(StepOutcome::None { why })
                }
                Err(_) => StepOutcome::Trouble { why: "the answer could not be read".to_owned() },
            }
        }
    };
    let step = Step {
        source: source.name.clone(),
        origin: source.kind.origin(),
        outcome,
        milliseconds: 0,
        kept_for: None,
        notes: kept.notes.clone(),
    };
    Offers { candidates, revoked, step }
}

fn found(candidates: &[Candidate]) -> Option<StepOutcome> {
    let certificates: Vec<_> = candidates.iter().map(|candidate| candidate.fingerprint.clone()).collect();
    (!certificates.is_empty()).then_some(StepOutcome::Found { certificates })
}

fn haul(scheme: Scheme, certificates: &[KeptCertificate]) -> Haul {
    let all = certificates.iter().map(|kept| kept.bytes.to_vec()).collect();
    match scheme {
        Scheme::Openpgp => Haul { openpgp: all, ..Haul::default() },
        Scheme::Smime => Haul { smime: all, ..Haul::default() },
    }
}

fn candidate(source: &Source, offered: Offered, kept: &[KeptCertificate]) -> Candidate {
    let same = kept.iter().find(|kept| kept.fingerprint == offered.fingerprint);
    let mut succeeds = offered.succeeds;
    succeeds.extend(same.into_iter().flat_map(|kept| kept.succeeds.iter().cloned()));
    succeeds.sort();
    succeeds.dedup();
    Candidate {
        scheme: offered.scheme,
        fingerprint: offered.fingerprint,
        origin: source.kind.origin(),
        source: source.name.clone(),
        created: offered.created,
        valid_until: offered.valid_until,
        succeeds,
        announced: same.is_some_and(|kept| kept.announced),
        bytes: offered.bytes,
    }
}

/// Screens all pieces of an answer. Pure, but slow.
pub(super) fn screen(
    address: &str,
    scheme: Scheme,
    haul: &Haul,
    seen: &[Remembered],
    issuers: Option<&dyn Issuers>,
    now: i64,
) -> Screening {
    let remembered: Vec<_> = seen.iter().map(|seen| Arc::clone(&seen.bytes)).collect();
    if scheme == Scheme::Smime {
        let same_issuer =
            |old: &Certificate, new: &Certificate| issuers.is_some_and(|issuers| issuers.same_key(old, new));
        return screen_smime(&haul.smime, address, &remembered, &same_issuer, now);
    }
    let mut all = Screening::default();
    let Some(subject) = keydir::Subject::address(address) else { return all };
    for piece in &haul.openpgp {
        match screen_openpgp(piece, &subject, &remembered, now) {
            Ok(screening) => {
                all.usable.extend(screening.usable);
                all.refused.extend(screening.refused);
                all.revoked.extend(screening.revoked);
            }
            Err(error) => all.unreadable.push(chain(&error)),
        }
    }
    all.usable.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
    all.usable.dedup_by(|a, b| a.fingerprint == b.fingerprint);
    all
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn trouble(source: &Source, begun: Instant, why: String) -> Offers {
    let step = Step {
        source: source.name.clone(),
        origin: source.kind.origin(),
        outcome: StepOutcome::Trouble { why },
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        kept_for: None,
        notes: Vec::new(),
    };
    Offers { candidates: Vec::new(), revoked: Vec::new(), step }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
