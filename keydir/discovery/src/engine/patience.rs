//! For how long nobody could tell whether there is a certificate.

use super::Engine;
use super::Question;
use crate::found::Outcome;
use crate::shelf::ShelfError;
use crate::trace::Trace;

impl Engine {
    /// Notes since when the sources give no answer about an address, and says so once it is too long. Any other
    /// outcome ends that.
    pub(super) async fn with_patience(
        &self,
        question: &Question,
        outcome: Outcome,
        trace: &mut Trace,
    ) -> Result<Outcome, ShelfError> {
        let Some(patience) = self.config.patience else { return Ok(outcome) };
        let (who, now) = (question.who(), self.clock.now());
        let Outcome::CouldNotTell { why, .. } = outcome else {
            self.shelf.answered(&who).await?;
            return Ok(outcome);
        };
        let since = self.shelf.unanswered(&who, now).await?;
        let waited = now.saturating_sub(since);
        let over = u64::try_from(waited).is_ok_and(|waited| waited >= patience.as_secs());
        let word = if over { "given up" } else { "waits" };
        trace.conclusion = format!("{} (for {waited} s: {word})", trace.conclusion);
        Ok(Outcome::CouldNotTell { why, given_up: over.then_some(since) })
    }
}
