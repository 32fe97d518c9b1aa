//! One message's way along the hosts of its route, and what each recipient is told at the end.

use std::sync::Arc;

use mail::EnhancedCode;

use super::envelope::Recipient;
use super::fault::HopFault;
use super::reply;
use super::reply::Reply;
use super::report::Attempt;
use super::report::Outcome;
use super::report::Via;
use super::session::Session;
use super::session::Target;
use super::transaction::Answer;
use super::transaction::Work;
use super::wire::Deadline;

/// One message's way along its hosts.
pub(super) struct Round<'a> {
    recipients: &'a [Recipient],
    outcomes: Vec<Option<Outcome>>,
    /// Per recipient, why it is not delivered yet: place and fault.
    faults: Vec<Vec<(String, HopFault)>>,
    attempts: Vec<Attempt>,
    pub(super) addresses: usize,
    sessions: usize,
}

impl<'a> Round<'a> {
    pub(super) fn new(recipients: &'a [Recipient]) -> Self {
        let none = vec![None; recipients.len()];
        let faults = vec![Vec::new(); recipients.len()];
        Self { recipients, outcomes: none, faults, attempts: Vec::new(), addresses: 0, sessions: 0 }
    }

    /// Nobody is left, or nothing more may be tried.
    pub(super) fn is_over(&self, work: Work<'_>) -> bool {
        self.outcomes.iter().all(Option::is_some)
            || self.addresses >= work.config.addresses
            || self.sessions >= work.config.sessions
            || work.deadline.is_over()
            || work.abandon.is_set()
    }

    pub(super) fn open_recipients(&self) -> Vec<&'a Recipient> {
        let open = self.recipients.iter().zip(&self.outcomes).filter(|(_, outcome)| outcome.is_none());
        open.map(|(recipient, _)| recipient).collect()
    }

    /// A host was of no use to anybody.
    pub(super) fn pass_over(&mut self, host: &str, target: Option<&Target>, fault: HopFault) {
        self.attempts.push(Attempt {
            host: host.to_owned(),
            address: target.map(|target| target.address),
            channel: None,
            greeting: None,
            reused: false,
            failure: fault.failure,
            why: Some(fault.text.clone()),
        });
        let place = target.map_or_else(|| host.to_owned(), Target::place);
        for (faults, outcome) in self.faults.iter_mut().zip(&self.outcomes) {
            if outcome.is_none() {
                faults.push((place.clone(), fault.clone()));
            }
        }
    }

    /// A host was ready for mail.
    pub(super) fn note(&mut self, target: &Target, session: &Session, reused: bool) {
        self.sessions += 1;
        self.attempts.push(Attempt {
            host: target.host.clone(),
            address: Some(target.address),
            channel: Some(session.via.channel.clone()),
            greeting: Some(session.features.greeting.clone()),
            reused,
            failure: session.tolerated.as_ref().and_then(|fault| fault.failure),
            why: session.tolerated.as_ref().map(|fault| fault.text.clone()),
        });
    }

    /// Takes over the answers to the open recipients, in their order.
    pub(super) fn settle(&mut self, target: &Target, session: &Session, answers: Vec<Answer>) {
        let open = self.outcomes.iter_mut().zip(&mut self.faults).filter(|(outcome, _)| outcome.is_none());
        for ((outcome, faults), answer) in open.zip(answers) {
            match answer {
                Answer::Said(reply, during) => {
                    let reply = hand_on(&session.via, &reply, during);
                    *outcome = Some(Outcome { reply, via: Some(Arc::clone(&session.via)) });
                }
                Answer::Elsewhere(fault) => faults.push((target.place(), fault)),
                Answer::Stop(fault) => {
                    let reply = HopFault::summary(&[(target.place(), fault)]);
                    *outcome = Some(Outcome { reply, via: Some(Arc::clone(&session.via)) });
                }
            }
        }
    }

    pub(super) fn finish(self, deadline: Deadline) -> (Vec<Outcome>, Vec<Attempt>) {
        let late = || Reply::own(451, EnhancedCode(4, 4, 1), "no host could be reached in time");
        let outcomes = self.outcomes.into_iter().zip(self.faults).map(|(outcome, faults)| {
            outcome.unwrap_or_else(|| {
                let timely = !faults.is_empty() || !deadline.is_over();
                let reply = if timely { HopFault::summary(&faults) } else { late() };
                Outcome { reply, via: None }
            })
        });
        (outcomes.collect(), self.attempts)
    }
}

/// The remote host's reply, with the road it came by.
fn hand_on(via: &Via, reply: &Reply, during: &str) -> Reply {
    // Our client would take 221 and 421 for the end of its own session.
    let code = match reply.code {
        200..300 => 250,
        code => code,
    };
    let context = if reply.is_positive() { String::new() } else { format!(" (in reply to {during})") };
    let said = format!("{}; remote said: {reply}", via.describe());
    let room = reply::TEXT.saturating_sub(context.len());
    let said: String = said.chars().take(room).collect();
    Reply::own(code, reply.enhanced_or_default(), said + &context)
}
