//! What becomes of a message, with everything that must be told about it.

use std::time::Duration;

use mail::{Edit, Failure, Spill, milter_actions};
use policy::{Direction, Facts, LayerKind, Plan, RecipientPlan, Scheme, Treatment, Verdict};
use program::chain;

use crate::changes::changes;
use crate::facts::direction;
use crate::judge::{Judgement, Stopped};
use crate::reply::{Answer, Refusal};
use crate::telemetry::{Event, MessageEvent, Telemetry, Unprotected, verdict_name};
use crate::transaction::Transaction;
use crate::wks::{KeyMail, Step};
use crate::workshop::Form;

/// The outcome of a message.
#[derive(Debug)]
pub struct Disposition {
    /// What was known, if it could be gathered.
    pub facts: Option<Facts>,
    /// What was decided, if it came to that.
    pub plan: Option<Plan>,
    /// The forms that leave, the first of them in the original.
    pub forms: Vec<Form>,
    /// Digest of the message as received, if it was made.
    pub received: Option<[u8; 32]>,
    /// What the MTA is told.
    pub outcome: Outcome,
    /// The failure behind a refusal, with its causes; for the log and the record only.
    pub cause: Option<String>,
    /// Names of the copies, see [`crate::spool::Spool::answered`].
    pub idempotency: Vec<String>,
    /// What became of a mail to the submission address.
    pub key_mail: Option<KeyMail>,
}

/// What the MTA is told.
#[derive(Debug)]
pub enum Outcome {
    /// The message goes on.
    Pass,
    /// The message is put on hold, for this reason.
    Quarantine(String),
    /// The message is accepted and thrown away.
    Discard,
    /// The message is refused.
    Refused(Refusal),
    /// A copy of ours came back and passes with these edits.
    Returned {
        /// The copy.
        copy: String,
        /// Removal of the token.
        edits: Vec<Edit>,
        /// Why it is put on hold, if the message it was made of was.
        hold: Option<String>,
    },
}

impl Disposition {
    /// From what judging gave.
    pub fn from_judged(transaction: &Transaction, judged: Result<Judgement, Box<Stopped>>) -> Self {
        match judged {
            Ok(Judgement { facts, plan, forms, received, announced: _, gleaned: _ }) => {
                let outcome = match (&plan.verdict, Refusal::of_verdict(&plan.verdict)) {
                    (_, Some(refusal)) => Outcome::Refused(refusal),
                    (Verdict::Discard, None) => Outcome::Discard,
                    (Verdict::Quarantine { reason }, None) => Outcome::Quarantine(reason.clone()),
                    (_, None) => Outcome::Pass,
                };
                Self { facts: Some(facts), plan: Some(plan), forms, received, outcome, ..Self::empty() }
            }
            Err(stopped) => {
                let Stopped { failure, facts, plan } = *stopped;
                let mut disposition = Self { facts, plan, ..Self::empty() };
                disposition.fail(failure);
                tracing::debug!("{}: {:?}", transaction.log_id(), disposition.cause);
                disposition
            }
        }
    }

    /// Every recipient was refused before the message.
    pub fn without_recipients(refusal: Option<Refusal>) -> Self {
        let outcome = Outcome::Refused(refusal.unwrap_or_else(Refusal::internal));
        Self { outcome, ..Self::empty() }
    }

    /// A copy of ours that passes.
    pub fn returned(copy: &str, edits: Vec<Edit>, hold: Option<String>) -> Self {
        Self { outcome: Outcome::Returned { copy: copy.to_owned(), edits, hold }, ..Self::empty() }
    }

    /// A mail to the submission address, which goes nowhere.
    pub fn key_mail(facts: Facts, mail: KeyMail) -> Self {
        Self { facts: Some(facts), key_mail: Some(mail), outcome: Outcome::Discard, ..Self::empty() }
    }

    /// Nothing was decided, because of a failure.
    pub fn failed(failure: Failure) -> Self {
        let mut disposition = Self::empty();
        disposition.fail(failure);
        disposition
    }

    fn empty() -> Self {
        Self {
            facts: None,
            plan: None,
            forms: Vec::new(),
            received: None,
            outcome: Outcome::Pass,
            cause: None,
            idempotency: Vec::new(),
            key_mail: None,
        }
    }

    /// Something failed: whatever was to happen, the message is refused and nothing leaves.
    pub fn fail(&mut self, failure: Failure) {
        self.outcome = Outcome::Refused(Refusal::of_failure(&failure));
        self.cause = Some(chain(&failure));
        self.forms.clear();
        self.idempotency.clear();
        if let Some(mail) = &mut self.key_mail {
            mail.story.step = Step::Refused;
            mail.deed = None;
        }
    }

    /// Recipients that get a copy instead of the original.
    pub fn removed<'t>(&self, transaction: &'t Transaction) -> Vec<&'t str> {
        let others = self.forms.iter().skip(1).flat_map(|form| &form.recipients);
        others
            .filter_map(|index| transaction.envelope.recipients.get(*index))
            .map(|recipient| recipient.path.as_str())
            .collect()
    }

    /// The verdict as log, metric and record name it.
    pub fn verdict(&self) -> &'static str {
        match &self.outcome {
            Outcome::Pass => "continue",
            Outcome::Quarantine(_) => "quarantine",
            Outcome::Discard => "discard",
            Outcome::Returned { .. } => "reinjected",
            Outcome::Refused(refusal) if refusal.is_temporary() => {
                verdict_name(&Verdict::Tempfail { code: String::new(), text: String::new() })
            }
            Outcome::Refused(_) => "reject",
        }
    }

    /// What was done, one word for each form: `pass`, `open`, `sign`, `encrypt`, `sign+encrypt`, `tls`, `sign+tls`,
    /// `open+encrypt`, `open+sign+encrypt`.
    pub fn action(&self) -> String {
        if self.forms.is_empty() {
            return "none".to_owned();
        }
        self.forms.iter().map(|form| action_word(&form.treatment)).collect::<Vec<_>>().join(",")
    }

    /// The schemes of what arrived and of what was done, empty if none.
    pub fn scheme(&self) -> &'static str {
        let submitted = self.facts.iter().flat_map(|facts| &facts.submission);
        let arrived = self.facts.iter().flat_map(|facts| &facts.layers);
        let arrived = arrived.chain(submitted.flat_map(|submission| &submission.layers));
        let arrived = arrived.map(|layer| layer.scheme);
        let done = self.forms.iter().flat_map(|form| {
            let Treatment { encrypt_to, sign_with, at_rest, .. } = &form.treatment;
            encrypt_to.iter().chain(sign_with).chain(at_rest).map(|key| match key.kind.scheme() {
                Some(scheme) => scheme,
                // Password messages are OpenPGP's; a road encrypts no message.
                None => Scheme::Openpgp,
            })
        });
        let schemes: Vec<Scheme> = arrived.chain(done).collect();
        match (schemes.contains(&Scheme::Openpgp), schemes.contains(&Scheme::Smime)) {
            (true, true) => "openpgp+smime",
            (true, false) => "openpgp",
            (false, true) => "smime",
            (false, false) => "",
        }
    }

    /// Recipients elsewhere to whom it leaves in clear because policy allows it. What its author encrypted is not
    /// in clear.
    fn unprotected(&self) -> Unprotected {
        let mut found = Unprotected::default();
        let leaves = matches!(self.outcome, Outcome::Pass | Outcome::Quarantine(_));
        let (Some(facts), Some(plan), true) = (&self.facts, &self.plan, leaves) else { return found };
        if facts.layers.iter().any(|layer| layer.kind == LayerKind::Encrypted && layer.part.is_none()) {
            return found;
        }
        let open = |recipient: &&RecipientPlan| {
            recipient.direction == Direction::Outbound && recipient.key.is_none()
        };
        for recipient in plan.recipients.iter().filter(open) {
            match recipient.sign_with {
                Some(_) => found.signed += 1,
                None => found.unsigned += 1,
            }
        }
        found
    }

    /// Writes the log line and counts.
    pub fn emit(&self, transaction: &Transaction, telemetry: &Telemetry, took: Duration) {
        let message_id = transaction.message_id();
        if let Some(KeyMail { story, .. }) = &self.key_mail {
            tracing::info!("{}: {story}", transaction.log_id());
        }
        let refusal = match &self.outcome {
            Outcome::Refused(refusal) => {
                Some(self.cause.as_ref().map_or(refusal.to_string(), |cause| format!("{refusal} ({cause})")))
            }
            Outcome::Quarantine(reason) => Some(reason.clone()),
            Outcome::Returned { copy, .. } => Some(format!("copy {copy}")),
            Outcome::Pass | Outcome::Discard => None,
        };
        telemetry.emit(&Event::Message(MessageEvent {
            id: transaction.log_id(),
            message_id: message_id.as_deref(),
            from: &transaction.envelope.reverse_path,
            to: transaction.envelope.recipients.iter().map(|r| r.address.as_str()).collect(),
            direction: self.facts.as_ref().map_or(Direction::Outbound, direction),
            rules: self.plan.as_ref().map_or(&[], |plan| plan.rules.as_slice()),
            action: self.action(),
            scheme: self.scheme(),
            verdict: self.verdict(),
            reason: refusal.as_deref(),
            unprotected: self.unprotected(),
            took,
        }));
    }

    /// What to tell the MTA.
    pub fn into_answer(self, transaction: &Transaction, spill: &Spill) -> Answer {
        let delete = self.removed(transaction).into_iter().map(str::to_owned).collect();
        let original = &transaction.message;
        let edits = match (&self.outcome, self.forms.first()) {
            (Outcome::Refused(refusal), _) => return Answer::refused(refusal.clone()),
            (Outcome::Discard, _) => return Answer { discard: true, ..Answer::default() },
            (Outcome::Returned { edits, .. }, _) => edits.clone(),
            (_, Some(form)) => changes(original, &form.message, form.body_changed),
            (_, None) => Vec::new(),
        };
        match milter_actions(original, &edits, spill) {
            Ok(actions) => Answer {
                actions,
                delete,
                quarantine: match self.outcome {
                    Outcome::Quarantine(reason) | Outcome::Returned { hold: Some(reason), .. } => {
                        Some(reason)
                    }
                    _ => None,
                },
                idempotency: self.idempotency,
                ..Answer::default()
            },
            Err(error) => {
                tracing::error!(%error, "cannot read a form of the message; it is deferred");
                Answer::refused(Refusal::internal())
            }
        }
    }
}

/// One word for what a treatment does.
pub fn action_word(treatment: &Treatment) -> &'static str {
    match (!treatment.encrypt_to.is_empty(), treatment.sign_with.is_some(), treatment.opened) {
        (true, true, _) if treatment.submission => "open+sign+encrypt",
        (true, false, _) if treatment.submission => "open+encrypt",
        (true, true, _) => "sign+encrypt",
        (true, false, _) => "encrypt",
        (false, true, _) if treatment.enforced_tls => "sign+tls",
        (false, false, _) if treatment.enforced_tls => "tls",
        (false, true, _) => "sign",
        (false, false, true) => "open",
        (false, false, false) => "pass",
    }
}
