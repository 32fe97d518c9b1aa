//! Sends spooled copies back into the MTA, until it takes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail::Spill;
use net::Clock;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval};

use crate::notice;
use crate::smtp::{Outcome, RecipientOutcome, Submission, submit};
use crate::spool::{Copy, Prepared, Spool, Ticket};
use crate::telemetry::{Event, Telemetry};
use crate::token::{Binding, FIELD, Tokens};
use crate::transaction::{address_of_path, new_id};

/// Everything re-injection needs.
pub struct Reinjector {
    /// Where the copies are.
    pub spool: Arc<Spool>,
    /// Issues the token of each attempt.
    pub tokens: Arc<Tokens>,
    /// The MTA's re-injection listener, `host:port`.
    pub target: String,
    /// Our host name, for EHLO and notices.
    pub name: String,
    /// Memory limit and directory for loaded copies.
    pub spill: Spill,
    /// Time source.
    pub clock: Clock,
    /// Log lines and metrics.
    pub telemetry: Arc<Telemetry>,
    /// Rung when a copy was spooled.
    pub bell: Arc<Notify>,
    /// What is left of copies that were answered for while the spool could not be changed.
    pub unsettled: Mutex<HashMap<String, Rest>>,
    /// When the copies that wait were made, unix seconds, by their name.
    pub made: Mutex<HashMap<String, i64>>,
}

/// What is left of a copy after the MTA answered for it.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Forward-paths that were refused for good, with the reply.
    refused: Vec<(String, String)>,
    /// Recipients to try again, with their parameters.
    later: Vec<(String, Vec<String>)>,
}

/// How many copies are submitted at the same time.
const CONCURRENCY: usize = 8;
/// Pause after the first failed attempt; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// A copy is given up after this long, as long as Postfix keeps mail in its queue.
const LIFETIME_SECONDS: i64 = 5 * 24 * 3600;

/// When a copy that failed may be tried again.
struct Retry {
    attempts: u32,
    next: Instant,
}

/// What one attempt led to, told to the schedule.
struct Attempt {
    id: String,
    again: bool,
}

impl Reinjector {
    /// Runs until `stop` becomes true; attempts under way are finished first.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let this = Arc::new(self);
        let slots = Arc::new(Semaphore::new(CONCURRENCY));
        let mut retries: HashMap<String, Retry> = HashMap::new();
        let mut under_way: JoinSet<Attempt> = JoinSet::new();
        let mut busy: Vec<String> = Vec::new();
        let mut tick = interval(Duration::from_secs(1));
        while !*stop.borrow() {
            tokio::select! {
                _ = tick.tick() => {}
                () = this.bell.notified() => {}
                _ = stop.changed() => {}
                Some(done) = under_way.join_next() => this.note(done, &mut busy, &mut retries),
            }
            for id in this.due(&retries, &busy) {
                busy.push(id.clone());
                let (this, slots) = (this.clone(), slots.clone());
                under_way.spawn(async move {
                    let _slot = slots.acquire_owned().await;
                    let again = this.attempt(&id).await;
                    Attempt { id, again }
                });
            }
        }
        while let Some(done) = under_way.join_next().await {
            this.note(done, &mut busy, &mut retries);
        }
    }

    fn note(
        &self,
        done: Result<Attempt, tokio::task::JoinError>,
        busy: &mut Vec<String>,
        retries: &mut HashMap<String, Retry>,
    ) {
        let Ok(Attempt { id, again }) = done else {
            tracing::error!("an attempt to re-inject a copy ended abnormally; it stays spooled");
            // Which one it was is unknown: all are looked at again, tokens keep it safe.
            busy.clear();
            return;
        };
        busy.retain(|other| *other != id);
        if !again {
            retries.remove(&id);
            return;
        }
        let retry = retries.entry(id).or_insert(Retry { attempts: 0, next: Instant::now() });
        let pause = FIRST_PAUSE.saturating_mul(1 << retry.attempts.min(10)).min(LONGEST_PAUSE);
        retry.attempts += 1;
        retry.next = Instant::now() + pause;
    }

    fn due(&self, retries: &HashMap<String, Retry>, busy: &[String]) -> Vec<String> {
        let waiting = match self.spool.waiting() {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, "cannot list the spool");
                return Vec::new();
            }
        };
        self.telemetry.spool_waiting(waiting.len(), self.oldest(&waiting));
        let now = Instant::now();
        waiting
            .into_iter()
            .filter(|id| !busy.contains(id))
            .filter(|id| retries.get(id).is_none_or(|retry| retry.next <= now))
            .collect()
    }

    /// When the oldest copy was made. What is left of a copy is a new one, made when the first was: the names do not
    /// tell.
    fn oldest(&self, waiting: &[String]) -> Option<i64> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|id, _| waiting.binary_search(id).is_ok());
        for id in waiting {
            if !made.contains_key(id)
                && let Ok(ticket) = self.spool.ticket(id)
            {
                made.insert(id.clone(), ticket.created);
            }
        }
        made.values().min().copied()
    }

    /// Tries one copy; true if it must be tried again.
    async fn attempt(&self, id: &str) -> bool {
        let (spool, spill, name) = (self.spool.clone(), self.spill.clone(), id.to_owned());
        let loaded = spawn_blocking(move || spool.load(&name, &spill)).await;
        let copy = match loaded {
            Ok(Ok(copy)) => copy,
            Ok(Err(error)) => {
                tracing::error!(copy = id, %error, "cannot read a spooled copy");
                return true;
            }
            Err(_) => return true,
        };
        let unsettled = self.unsettled().remove(id);
        if let Some(rest) = unsettled {
            return self.settle(&copy, rest).await;
        }
        let outcome = submit(&self.target, &self.submission(&copy)).await;
        self.tokens.void(id);
        self.conclude(&copy, outcome).await
    }

    fn submission<'c>(&'c self, copy: &'c Copy) -> Submission<'c> {
        let id = copy.ticket.id.clone();
        self.tokens.announce(&id, self.clock.now());
        Submission {
            hello: format!("{id}.{}", self.name),
            reverse_path: &copy.ticket.reverse_path,
            parameters: &copy.ticket.parameters,
            recipients: &copy.ticket.recipients,
            message: &copy.message,
            prepend: Box::new(move |accepted: &[&str]| {
                let binding = Binding {
                    reverse_path: &copy.ticket.reverse_path,
                    recipients: accepted.iter().map(|path| address_of_path(path)).collect(),
                    message: &copy.message,
                };
                let value = self.tokens.issue(&id, self.clock.now(), &binding)?;
                Ok(format!("{FIELD}: {value}\r\n").into_bytes())
            }),
        }
    }

    async fn conclude(&self, copy: &Copy, outcome: Outcome) -> bool {
        let ticket = &copy.ticket;
        let answers = match outcome {
            Outcome::Answered(answers) => answers,
            Outcome::Later(reason) => vec![RecipientOutcome::Later(reason); ticket.recipients.len()],
        };
        let too_old = self.clock.now() - ticket.created > LIFETIME_SECONDS;
        let mut rest = Rest::default();
        let mut why = String::new();
        for ((path, parameters), answer) in ticket.recipients.iter().zip(answers) {
            match answer {
                RecipientOutcome::Taken => {}
                RecipientOutcome::Refused(reply) => rest.refused.push((path.clone(), reply)),
                RecipientOutcome::Later(reply) if too_old => rest.refused.push((path.clone(), reply)),
                RecipientOutcome::Later(reply) => {
                    why = reply;
                    rest.later.push((path.clone(), parameters.clone()));
                }
            }
        }
        if rest.later.len() == ticket.recipients.len() {
            self.telemetry.emit(&Event::copy(ticket, "later", &why));
            return true;
        }
        self.settle(copy, rest).await
    }

    /// Replaces the copy by what is left of it: a copy for deferred recipients, a notice to the
    /// sender about refused ones. True if that failed and the copy stays as it is.
    async fn settle(&self, copy: &Copy, mut left: Rest) -> bool {
        let Rest { refused, later } = &left;
        let mut rest = Vec::new();
        if !later.is_empty() {
            let id = new_id();
            let ticket =
                Ticket { idempotency: id.clone(), id, recipients: later.clone(), ..copy.ticket.clone() };
            rest.push(Copy { ticket, message: copy.message.clone() });
        }
        let undeliverable =
            !refused.is_empty() && (copy.ticket.notice || copy.ticket.reverse_path.is_empty());
        if !refused.is_empty() && !undeliverable {
            rest.push(notice::undeliverable(copy, refused, &self.name, self.clock.now()));
        }
        let (spool, id) = (self.spool.clone(), copy.ticket.id.clone());
        let done = spawn_blocking(move || {
            let marks: Vec<String> = rest.iter().map(|copy| copy.ticket.idempotency.clone()).collect();
            if let Err(error) = spool.prepare(&rest).and_then(Prepared::commit) {
                return (false, Err(error));
            }
            spool.answered(&marks);
            (true, if undeliverable { spool.give_up(&id) } else { spool.remove(&id) })
        })
        .await;
        let word = match (refused.is_empty(), undeliverable) {
            (true, _) => "taken",
            (false, true) => "kept",
            (false, false) => "refused",
        };
        let reason = refused.first().map(|(_, reply)| reply.clone()).unwrap_or_default();
        match done {
            Ok((_, Ok(()))) => {
                self.telemetry.emit(&Event::copy(&copy.ticket, word, &reason));
                self.bell.notify_one();
                false
            }
            Ok((replaced, Err(error))) => {
                tracing::error!(copy = %copy.ticket.id, %error, "cannot update the spool");
                // The MTA has answered: the next attempt only does what is left, it does not send again.
                if replaced {
                    left.later.clear();
                    left.refused.retain(|_| undeliverable);
                }
                self.unsettled().insert(copy.ticket.id.clone(), left);
                true
            }
            Err(_) => true,
        }
    }

    fn unsettled(&self) -> std::sync::MutexGuard<'_, HashMap<String, Rest>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
