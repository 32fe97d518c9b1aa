//! The path of one message, on one page: [`Gateway::handle`].

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use mail::{Failure, Spill};
use net::Clock;
use notary::Notary;
use program::chain;
use tokio::sync::Notify;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::announced::Announcement;
use crate::config::Config;
use crate::copies;
use crate::discovery::DiscoveryRoom;
use crate::disposition::Disposition;
use crate::draft::{Completed, Draft, wait_all};
use crate::harvest::Gleaning;
use crate::judge::{Judgement, Stopped, judge};
use crate::keyring::{KeyRing, Lookup};
use crate::record;
use crate::relay::room::RelayRoom;
use crate::reply::Answer;
use crate::results;
use crate::spool::{Copy, Prepared, Spool};
use crate::telemetry::Telemetry;
use crate::token::{Binding, FIELD, Tokens};
use crate::transaction::Transaction;
use crate::wks;

/// Everything a message passes through. One for the process; nothing in it is global.
#[derive(Debug)]
pub struct Gateway {
    /// Swapped as a whole on reload.
    pub config: ArcSwap<Config>,
    /// Certificates and secret keys.
    pub keys: Arc<KeyRing>,
    /// The record of every decision.
    pub notary: Notary,
    /// Copies that must still be sent.
    pub spool: Arc<Spool>,
    /// Tokens of our own copies.
    pub tokens: Arc<Tokens>,
    /// Log lines and metrics.
    pub telemetry: Arc<Telemetry>,
    /// Time source.
    pub clock: Clock,
    /// Rung when copies were spooled.
    pub bell: Arc<Notify>,
    /// Messages between MAIL and their answer, for draining.
    pub under_way: Arc<AtomicUsize>,
    /// Knows roads, where a relay is configured.
    pub relay: Option<Arc<RelayRoom>>,
    /// Looks for certificates of strangers, where that is configured.
    pub discovery: Option<Arc<DiscoveryRoom>>,
}

/// What the configuration needs of the MTA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The body, and the right to change it and the recipients.
    pub body: bool,
    /// The right to put a message on hold.
    pub quarantine: bool,
    /// An answer may be given at RCPT.
    pub recipient_reply: bool,
}

impl Needs {
    /// What this configuration needs.
    pub fn of(config: &Config) -> Self {
        Self {
            body: config.needs_body(),
            quarantine: config.policy.may_quarantine(),
            recipient_reply: config.policy.may_refuse_recipients(),
        }
    }

    /// True if an MTA that granted these has granted `other` too.
    pub fn cover(self, other: Self) -> bool {
        let enough = |have: bool, want: bool| have || !want;
        enough(self.body, other.body)
            && enough(self.quarantine, other.quarantine)
            && enough(self.recipient_reply, other.recipient_reply)
    }
}

/// Who may still decide about a message: the work on it, or the deadline. Whoever comes first.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicU8>);

const OPEN: u8 = 0;
const COMMITTED: u8 = 1;
const GIVEN_UP: u8 = 2;
/// Longest wait for the record of a message that is refused because of a failure.
const REFUSAL_RECORD: Duration = Duration::from_secs(10);

impl Claim {
    /// Completes when the time is over and nothing has been made durable; then nothing will be.
    async fn runs_out(&self, time: Duration) {
        sleep(time).await;
        if self.0.compare_exchange(OPEN, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // Once the decision is being made durable it is finished.
            std::future::pending::<()>().await;
        }
    }

    fn commit(&self) -> Result<(), Failure> {
        match self.0.compare_exchange(OPEN, COMMITTED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(_) => Err(too_slow()),
        }
    }
}

impl Gateway {
    /// The path of one message. Every failure ends here and becomes a refusal; no path leads
    /// from a failure to mail that leaves.
    pub async fn handle(self: &Arc<Self>, completed: Completed, claim: &Claim) -> Disposition {
        let started = Instant::now();
        let Completed { config, transaction, lookups, stored } = completed;
        let lookups = wait_all(lookups, config.policy.wanted_kinds()).await;
        let returned = self.returned_copy(&transaction);
        let mut judged = match (stored, &returned) {
            (Err(failure), _) => Err(Box::new(Stopped { failure, facts: None, plan: None })),
            (Ok(()), Some(Ok(copy))) => return self.pass_copy(&config, &transaction, copy, started).await,
            (Ok(()), _) if wks::is_addressed(&config, &transaction) => {
                return self.take_key(&config, &transaction, claim, started).await;
            }
            // 2 open, 3 examine (no screening room yet), 4 facts, 5 decide, 6 seal
            (Ok(()), _) => self.judge(&config, &transaction, lookups, returned.is_some()).await,
        };
        let learnt = |judged: &mut Judgement| (take(&mut judged.announced), take(&mut judged.gleaned));
        let (announced, gleaned) = judged.as_mut().map(learnt).unwrap_or_default();
        let mut disposition = Disposition::from_judged(&transaction, judged);
        // 7 record: copies are on disk, then the record, and only then is there an answer
        if let Err(failure) = self.make_durable(&config, &transaction, &mut disposition, claim).await {
            disposition.fail(failure);
            self.record_refusal(&config, &transaction, &disposition).await;
        } else {
            self.learn(announced, gleaned);
        }
        self.announce(&transaction, &disposition, started.elapsed());
        disposition
    }

    /// Takes in what the message teaches about its author; nobody waits for that.
    fn learn(&self, announced: Vec<Announcement>, gleaned: Vec<Gleaning>) {
        if !announced.is_empty() {
            let keys = self.keys.clone();
            spawn_blocking(move || keys.learn(&announced));
        }
        if let (Some(room), false) = (&self.discovery, gleaned.is_empty()) {
            room.harvest(gleaned, self.now());
        }
    }

    /// A mail to the submission address goes nowhere; what is to be done about it follows the record.
    async fn take_key(
        &self,
        config: &Arc<Config>,
        transaction: &Arc<Transaction>,
        claim: &Claim,
        started: Instant,
    ) -> Disposition {
        let (c, keys, t, now) = (config.clone(), self.keys.clone(), transaction.clone(), self.now());
        let work = spawn_blocking(move || wks::receive(&c, &keys, &t, now));
        let mut disposition = work.await.unwrap_or_else(|error| Disposition::failed(internal(error)));
        if let Err(failure) = self.make_durable(config, transaction, &mut disposition, claim).await {
            disposition.fail(failure);
            self.record_refusal(config, transaction, &disposition).await;
        }
        self.announce(transaction, &disposition, started.elapsed());
        disposition
    }

    /// The refusal itself is recorded if that is possible; the client tries again anyway.
    async fn record_refusal(&self, config: &Config, transaction: &Transaction, disposition: &Disposition) {
        let recorded = timeout(REFUSAL_RECORD, self.record(config, transaction, disposition)).await;
        let error = match recorded {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => chain(&failure),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::error!("{}: cannot record a refusal: {error}", transaction.log_id());
    }

    async fn judge(
        &self,
        config: &Arc<Config>,
        transaction: &Arc<Transaction>,
        lookups: Vec<Lookup>,
        forged_token: bool,
    ) -> Result<Judgement, Box<Stopped>> {
        let now = self.now();
        if !transaction.body_seen && config.policy.wanted_kinds().is_empty() {
            // Nothing to read and nothing to compute: not worth another thread.
            return judge(config, &self.keys, transaction, &lookups, forged_token, now);
        }
        let (config, keys, transaction) = (config.clone(), self.keys.clone(), transaction.clone());
        let work = spawn_blocking(move || judge(&config, &keys, &transaction, &lookups, forged_token, now));
        work.await.unwrap_or_else(|error| {
            Err(Box::new(Stopped { failure: internal(error), facts: None, plan: None }))
        })
    }

    /// Writes copies and record in the order of the second and fifth law.
    async fn make_durable(
        &self,
        config: &Arc<Config>,
        transaction: &Transaction,
        disposition: &mut Disposition,
        claim: &Claim,
    ) -> Result<(), Failure> {
        if let (Some(relay), Some(plan)) = (&self.relay, &disposition.plan)
            && !disposition.forms.is_empty()
        {
            relay.promise(plan).await?;
        }
        let copies = copies::of(disposition, transaction, &self.spool, &config.gateway.name, self.now())?;
        disposition.idempotency = copies.idempotency;
        let mut copies = copies.to_spool;
        let mut deed = disposition.key_mail.as_mut().and_then(|mail| mail.deed.take());
        copies.extend(deed.iter_mut().flat_map(|deed| take(&mut deed.copies)));
        let prepared = self.prepare(config, copies).await?;
        claim.commit()?;
        self.record(config, transaction, disposition).await?;
        if let Some(deed) = deed {
            let (config, keys, now) = (config.clone(), self.keys.clone(), self.now());
            spawn_blocking(move || deed.effect.apply(&config, &keys, now)).await.map_err(internal)??;
        }
        if let Some(prepared) = prepared {
            spawn_blocking(move || prepared.commit())
                .await
                .map_err(|error| spool_failure().because(error))?
                .map_err(|error| spool_failure().because(error))?;
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Writes copies to the spool, not yet to be sent; `None` if there are none.
    async fn prepare(&self, config: &Config, copies: Vec<Copy>) -> Result<Option<Prepared>, Failure> {
        if copies.is_empty() {
            return Ok(None);
        }
        if config.gateway.reinject.is_none() {
            let text = "recipients need different treatment, and the gateway has no re-injection listener";
            return Err(Failure::temporary((3, 5), text));
        }
        let spool = self.spool.clone();
        let prepared = spawn_blocking(move || spool.prepare(&copies)).await;
        let prepared = prepared.map_err(|error| spool_failure().because(error))?;
        prepared.map(Some).map_err(|error| spool_failure().because(error))
    }

    async fn record(
        &self,
        config: &Config,
        transaction: &Transaction,
        disposition: &Disposition,
    ) -> Result<(), Failure> {
        let entry = record::screened(config, transaction, disposition)
            .map_err(|error| Failure::temporary((3, 0), "cannot record the decision").because(error))?;
        let receipt = self
            .notary
            .append(entry)
            .await
            .map_err(|error| Failure::temporary((3, 0), "cannot record the decision").because(error))?;
        self.telemetry.recorded(receipt.seq, self.now());
        Ok(())
    }

    /// The token of a copy that comes back: its id, or `Err` when it is not genuine. `None` when
    /// there is no token.
    fn returned_copy(&self, transaction: &Transaction) -> Option<Result<String, ()>> {
        let (_, field) = transaction.message.header().find(FIELD)?;
        let value = String::from_utf8_lossy(&field.unfolded()).into_owned();
        let binding = Binding {
            reverse_path: &transaction.envelope.reverse_path,
            recipients: transaction.envelope.recipients.iter().map(|r| r.address.clone()).collect(),
            message: &transaction.message,
        };
        Some(self.tokens.redeem(&value, self.now(), &binding).ok_or(()))
    }

    /// A copy of ours came back with a genuine token: it was decided and recorded, and passes as
    /// it is, without the token.
    async fn pass_copy(
        &self,
        config: &Config,
        transaction: &Transaction,
        copy: &str,
        started: Instant,
    ) -> Disposition {
        let edits = results::token_removal(&transaction.message);
        let (spool, id) = (self.spool.clone(), copy.to_owned());
        let ticket = spawn_blocking(move || spool.ticket(&id)).await;
        let mut disposition = match ticket {
            Ok(Ok(ticket)) => Disposition::returned(copy, edits, ticket.hold),
            // What cannot be read may have to be held.
            Ok(Err(error)) => Disposition::failed(spool_failure().because(error)),
            Err(error) => Disposition::failed(spool_failure().because(error)),
        };
        if let Err(failure) = self.record(config, transaction, &disposition).await {
            disposition.fail(failure);
        }
        self.announce(transaction, &disposition, started.elapsed());
        disposition
    }

    fn announce(&self, transaction: &Transaction, disposition: &Disposition, took: Duration) {
        disposition.emit(transaction, &self.telemetry, took);
    }

    /// Completes a draft, handles it within its deadline, and says what to tell the MTA.
    pub async fn finish(self: Arc<Self>, draft: Draft) -> Answer {
        let started = Instant::now();
        let (completed, under_way) = draft.complete();
        let (config, transaction) = (completed.config.clone(), completed.transaction.clone());
        let claim = Claim::default();
        let disposition = tokio::select! {
            disposition = self.handle(completed, &claim) => disposition,
            () = claim.runs_out(config.gateway.deadline) => {
                self.give_up(&config, &transaction, started.elapsed()).await
            }
        };
        let mut answer = disposition.into_answer(&transaction, &config.gateway.spill());
        answer.under_way = Some(under_way);
        answer
    }

    /// The deadline passed before anything was made durable: nothing leaves, the client tries again.
    async fn give_up(&self, config: &Config, transaction: &Transaction, took: Duration) -> Disposition {
        let stopped = Stopped { failure: too_slow(), facts: None, plan: None };
        let disposition = Disposition::from_judged(transaction, Err(Box::new(stopped)));
        self.record_refusal(config, transaction, &disposition).await;
        self.announce(transaction, &disposition, took);
        disposition
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// What to negotiate with the MTA.
    pub fn needs(&self) -> Needs {
        Needs::of(&self.config.load())
    }

    /// Now, in unix seconds.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Certificates and secret keys.
    pub fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Log lines and metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Memory limit and directory for bodies.
    pub fn spill(&self) -> Spill {
        self.config.load().gateway.spill()
    }

    /// True if this HELO argument is the one we use while submitting one of our copies.
    pub fn expects_copy(&self, helo: &str) -> bool {
        helo.split_once('.').is_some_and(|(id, _)| self.tokens.expects(id))
    }

    /// The MTA went on after our answer: these copies can no longer be asked for again.
    pub fn answered(&self, idempotency: &[String]) {
        self.spool.answered(idempotency);
    }
}

fn internal(error: JoinError) -> Failure {
    Failure::temporary((3, 0), "internal error in the mail gateway").because(error)
}

fn too_slow() -> Failure {
    Failure::temporary((3, 0), "the mail gateway took too long, try again later")
}

fn spool_failure() -> Failure {
    Failure::temporary((3, 1), "cannot spool a copy of the message")
}
