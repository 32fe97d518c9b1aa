//! What the certificates of an answer are worth: as they come in, and each time a kept answer is used.

use std::sync::Arc;

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
use crate::trace::Step;
use crate::trace::StepOutcome;

impl Engine {
    /// What is kept of an answer, and the certificates in it that are revoked; in words why it cannot be read.
    pub(super) async fn screened(
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
}

/// What a kept answer is worth now.
pub(super) async fn offers(
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
