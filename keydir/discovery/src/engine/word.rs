//! Certificates that no source was asked for: from mail, and from the administrator.

use std::sync::Arc;

use keydir::Origin;
use keydir::Rejected;
use keydir::Scheme;

use super::Engine;
use super::Question;
use super::could_not_tell;
use crate::found::Candidate;
use crate::found::Found;
use crate::found::Outcome;
use crate::shelf::Remembered;
use crate::source::Haul;
use crate::trace::Trace;

impl Engine {
    /// Judges a certificate that came with verified mail.
    pub(crate) async fn harvest(&self, question: &Question, bytes: &[u8], mut trace: Trace) -> Found {
        let seen = match self.shelf.seen(&question.who()).await {
            Ok(seen) => seen,
            Err(error) => return could_not_tell(trace, error.to_string()),
        };
        let candidates = match self.read(question, bytes, Origin::Harvested, "mail", &seen).await {
            Ok(candidates) => candidates,
            Err(why) => {
                trace.conclusion = format!("none that can be used: {why}");
                return Found { outcome: Outcome::None { why: vec![why] }, revoked: Vec::new(), trace };
            }
        };
        match self.judge(question, candidates, &seen, &mut trace).await {
            Ok(outcome) => Found { outcome, revoked: Vec::new(), trace },
            Err(error) => could_not_tell(trace, error.to_string()),
        }
    }

    /// Makes a certificate the one in use.
    pub(crate) async fn approve(&self, question: &Question, bytes: &[u8]) -> Result<(), String> {
        let failed = |error: crate::shelf::ShelfError| error.to_string();
        let seen = self.shelf.seen(&question.who()).await.map_err(failed)?;
        let candidates = self.read(question, bytes, Origin::Imported, "administrator", &seen).await?;
        let revoked = |candidate: &Candidate| {
            seen.iter()
                .any(|seen| seen.sighting.revoked && seen.sighting.fingerprint == candidate.fingerprint)
        };
        let candidate = candidates.into_iter().find(|candidate| !revoked(candidate));
        let candidate = candidate.ok_or_else(|| "it was revoked".to_owned())?;
        self.remember(question, &candidate, &seen).await.map_err(failed)?;
        self.shelf.release(&question.who()).await.map_err(failed)
    }

    /// The usable ones among these certificates; at least one.
    async fn read(
        &self,
        question: &Question,
        bytes: &[u8],
        origin: Origin,
        source: &str,
        seen: &[Remembered],
    ) -> Result<Vec<Candidate>, String> {
        let haul = match question.scheme {
            Scheme::Openpgp => Haul { openpgp: vec![bytes.to_vec()], ..Haul::default() },
            Scheme::Smime => Haul { smime: vec![bytes.to_vec()], ..Haul::default() },
        };
        let (address, scheme, now) = (question.asked.whole.clone(), question.scheme, self.clock.now());
        let seen = seen.to_vec();
        let issuers = self.issuers.clone();
        let work = move || super::screening::screen(&address, scheme, &haul, &seen, issuers.as_deref(), now);
        let screening = tokio::task::spawn_blocking(work).await;
        let screening = screening.map_err(|_| "it could not be read".to_owned())?;
        if screening.usable.is_empty() {
            let refused = screening.refused.iter().map(Rejected::to_string);
            return Err(screening.unreadable.iter().cloned().chain(refused).collect::<Vec<_>>().join("; "));
        }
        let candidate = |offered: keydir::Offered| Candidate {
            scheme,
            fingerprint: offered.fingerprint,
            origin,
            source: source.to_owned(),
            created: offered.created,
            valid_until: offered.valid_until,
            succeeds: offered.succeeds,
            announced: false,
            bytes: Arc::clone(&offered.bytes),
        };
        Ok(screening.usable.into_iter().map(candidate).collect())
    }
}
