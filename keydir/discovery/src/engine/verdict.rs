//! What the answers of all sources come to.

use std::sync::Arc;

use super::Engine;
use super::Question;
use crate::found::Candidate;
use crate::found::Held;
use crate::found::Outcome;
use crate::shelf::Remembered;
use crate::shelf::ShelfError;
use crate::trace::StepOutcome;
use crate::trace::Trace;
use crate::trust;
use crate::trust::Decision;
use crate::trust::Grounds;
use crate::trust::Offer;
use crate::trust::Sighting;

/// A sighting that goes on is written down again after this time, seconds.
const WRITE_AFTER: i64 = 86_400;

impl Engine {
    /// The outcome, with its reason in the trace; remembers what is used and what is held.
    pub(super) async fn conclude(
        &self,
        question: &Question,
        winner: Option<Vec<Candidate>>,
        seen: &[Remembered],
        trace: &mut Trace,
    ) -> Result<Outcome, ShelfError> {
        let Some(candidates) = winner else { return Ok(nobody(question, trace)) };
        self.judge(question, candidates, seen, trace).await
    }

    /// Decides about the certificates of one source, the newest first: the first that may be used is, or else the
    /// first that may be held.
    pub(crate) async fn judge(
        &self,
        question: &Question,
        candidates: Vec<Candidate>,
        seen: &[Remembered],
        trace: &mut Trace,
    ) -> Result<Outcome, ShelfError> {
        let sightings: Vec<_> = seen.iter().map(|seen| seen.sighting.clone()).collect();
        let mut held = None;
        let mut refused = Vec::new();
        for candidate in candidates {
            let Candidate { fingerprint, origin, succeeds, announced, .. } = &candidate;
            let offer = Offer { fingerprint, origin: *origin, succeeds, announced: *announced };
            match trust::decide(&sightings, &offer, &self.config.rules) {
                Decision::Use(grounds) => {
                    if let Some(why) = doubt(&candidate, grounds, trace) {
                        trace.conclusion = format!("could not tell: {why}");
                        return Ok(Outcome::CouldNotTell { why, given_up: None });
                    }
                    return self.take(question, candidate, grounds, seen, trace).await;
                }
                Decision::Hold { old, .. } if held.is_none() => held = Some((candidate, old)),
                Decision::Hold { .. } => {}
                Decision::Refuse(why) => refused.push(format!("{fingerprint}: {why}")),
            }
        }
        let Some((new, old)) = held else {
            trace.conclusion = format!("none that may be used ({})", refused.join("; "));
            return Ok(Outcome::None { why: refused });
        };
        let news = self.shelf.hold(&question.who(), &new.fingerprint, self.clock.now()).await?;
        let why = match &old {
            Some(old) => format!("nothing vouches for the change from {old}"),
            None => format!("a first contact through {} needs approval", new.source),
        };
        trace.conclusion = format!("held: {} from {}: {why}", new.fingerprint, new.source);
        Ok(Outcome::Held(Box::new(Held { old, new, why, news })))
    }

    async fn take(
        &self,
        question: &Question,
        candidate: Candidate,
        grounds: Grounds,
        seen: &[Remembered],
        trace: &mut Trace,
    ) -> Result<Outcome, ShelfError> {
        self.remember(question, &candidate, seen).await?;
        trace.conclusion =
            format!("{} from {} ({})", candidate.fingerprint, candidate.source, grounds.as_str());
        Ok(Outcome::Found(Box::new(candidate)))
    }

    /// Writes down that a certificate is the one in use, if that is news.
    pub(crate) async fn remember(
        &self,
        question: &Question,
        candidate: &Candidate,
        seen: &[Remembered],
    ) -> Result<(), ShelfError> {
        let now = self.clock.now();
        let sightings: Vec<_> = seen.iter().map(|seen| seen.sighting.clone()).collect();
        let current = trust::current(&sightings);
        let known = seen.iter().find(|seen| seen.sighting.fingerprint == candidate.fingerprint);
        let in_use = current.is_some_and(|current| current.fingerprint == candidate.fingerprint);
        let same = known.is_some_and(|known| {
            known.bytes == candidate.bytes && now.saturating_sub(known.sighting.last) < WRITE_AFTER
        });
        if in_use && same {
            return Ok(());
        }
        // Later than the one before, also within one second and if the clock went back.
        let last = match current {
            Some(current) if !in_use => now.max(current.last.saturating_add(1)),
            Some(current) => now.max(current.last),
            None => now,
        };
        let sighting = Sighting {
            fingerprint: candidate.fingerprint.clone(),
            origin: known.map_or(candidate.origin, |known| known.sighting.origin),
            first: known.map_or(now, |known| known.sighting.first),
            last,
            revoked: false,
        };
        let remembered = Remembered { sighting, bytes: Arc::clone(&candidate.bytes) };
        self.shelf.see(&question.who(), &remembered).await?;
        if !in_use {
            self.shelf.release(&question.who()).await?;
        }
        Ok(())
    }
}

/// Why a certificate of anybody's server is not used although it could be: a source that speaks for the domain and was
/// asked before could not be reached, and would perhaps have said something else.
fn doubt(candidate: &Candidate, grounds: Grounds, trace: &Trace) -> Option<String> {
    if trust::speaks_for_the_domain(candidate.origin) || grounds == Grounds::Same {
        return None;
    }
    trace.steps.iter().find_map(|step| match &step.outcome {
        StepOutcome::Trouble { why } if trust::speaks_for_the_domain(step.origin) => Some(format!(
            "{} has a certificate, but {} could not be asked: {why}",
            candidate.source, step.source
        )),
        _ => None,
    })
}

/// No source has anything: certainly, or perhaps.
fn nobody(question: &Question, trace: &mut Trace) -> Outcome {
    let mut troubles = Vec::new();
    let mut none = Vec::new();
    let mut asked = 0;
    for step in &trace.steps {
        match &step.outcome {
            StepOutcome::Trouble { why } => troubles.push(format!("{}: {why}", step.source)),
            StepOutcome::None { why } => {
                asked += 1;
                none.extend(why.iter().map(|why| format!("{}: {why}", step.source)));
            }
            StepOutcome::Found { .. } | StepOutcome::Skipped { .. } => {}
        }
    }
    if !troubles.is_empty() {
        let why = troubles.join("; ");
        trace.conclusion = format!("could not tell: {why}");
        return Outcome::CouldNotTell { why, given_up: None };
    }
    if asked == 0 {
        none.push(format!("no source is asked for {} of {}", question.scheme, question.asked.domain));
    }
    trace.conclusion = match none.is_empty() {
        true => "none: every source said so".to_owned(),
        false => format!("none ({})", none.join("; ")),
    };
    Outcome::None { why: none }
}
