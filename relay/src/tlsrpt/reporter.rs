//! The daily work: ask who wants reports, build them, send them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use mail::Address;
use net::Clock;
use sha2::Digest;
use sha2::Sha256;
use tokio::task::JoinSet;

use super::day::Day;
use super::dkim::Signer;
use super::gzip;
use super::https::Https;
use super::ledger::Ledger;
use super::ledger::LedgerError;
use super::letter::Letter;
use super::outbox::Attempt;
use super::outbox::Built;
use super::record;
use super::record::Rua;
use super::report::DateRange;
use super::report::Report;
use super::submission;
use crate::dns::Dns;
use crate::dns::Lookup;

/// How often there is a look whether anything is due.
const INTERVAL: Duration = Duration::from_secs(60);
/// "a sending site might want to introduce a random delay of up to four hours" (RFC 8460 section 4.1).
const JITTER: u64 = 4 * 3600;
/// How much is done at once.
const CONCURRENT: usize = 16;

/// Who we are, for those who get our reports.
#[derive(Debug)]
pub struct Reporting {
    /// `organization-name`.
    pub organization: String,
    /// `contact-info`, the author of reports sent by mail, and their envelope sender. Its domain is the submitter.
    pub contact: Address,
    /// Signs reports sent by mail, for the domain of the contact. Without it none is sent by mail.
    pub signer: Option<Signer>,
    /// The local MTA, to which reports are handed by SMTP.
    pub submission: SocketAddr,
    /// Our host name, for EHLO; reports of different hosts of one submitter are sent at different times.
    pub hello: String,
}

/// Sends reports. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Reporter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Mutex<Ledger>,
    dns: Dns,
    https: Https,
    reporting: Reporting,
    clock: Clock,
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Days of domains that want no report.
    pub unwanted: u64,
    /// Look-ups that must be repeated.
    pub unclear: u64,
    /// Reports built.
    pub built: u64,
    /// Reports accepted by a destination.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// What a domain said.
enum Wish {
    Destinations(Vec<Rua>),
    Nothing,
    Unclear(String),
}

impl Reporter {
    /// Over the tables at `path`.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(
        path: &Path,
        dns: Dns,
        https: Https,
        reporting: Reporting,
        clock: Clock,
    ) -> Result<Self, LedgerError> {
        match &reporting.signer {
            Some(signer) if signer.domain() != reporting.contact.domain() => tracing::warn!(
                contact = %reporting.contact, signer = signer.domain(),
                "TLS reports must be signed by the domain of their contact address, or receivers ignore them"
            ),
            Some(_) => {}
            None => tracing::warn!("without a DKIM key no TLS report is sent by mail"),
        }
        let ledger = Mutex::new(Ledger::open(path)?);
        Ok(Self { inner: Arc::new(Inner { ledger, dns, https, reporting, clock }) })
    }

    /// Works for as long as the future is polled. May be dropped at any time: what was under way is repeated, with
    /// the same octets.
    pub async fn run(&self) {
        loop {
            match self.step().await {
                Ok(work) if work != Work::default() => tracing::info!(?work, "TLS reports"),
                Ok(_) => {}
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "TLS reports wait");
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Does what is due now.
    ///
    /// # Errors
    /// The tables cannot be used.
    pub async fn step(&self) -> Result<Work, LedgerError> {
        let mut work = Work::default();
        let now = self.inner.clock.now();
        let ripe = self.on_ledger(move |inner, ledger| inner.ripe(ledger, now)).await?;
        for some in ripe.chunks(CONCURRENT) {
            self.ask(some, &mut work).await?;
        }
        let due = self.on_ledger(move |_, ledger| ledger.due(now)).await?;
        for some in due.chunks(CONCURRENT) {
            self.send(some, &mut work).await?;
        }
        self.on_ledger(move |_, ledger| ledger.prune(now)).await?;
        Ok(work)
    }

    /// Asks some domains what they want, and builds their reports.
    async fn ask(&self, some: &[(Day, String)], work: &mut Work) -> Result<(), LedgerError> {
        let mut wishes = JoinSet::new();
        for (day, domain) in some.iter().cloned() {
            let inner = Arc::clone(&self.inner);
            wishes.spawn(async move { (day, inner.wish(&domain).await, domain) });
        }
        while let Some(done) = wishes.join_next().await {
            let Ok((day, wish, domain)) = done else { continue };
            let now = self.inner.clock.now();
            match wish {
                Wish::Nothing => {
                    work.unwanted += 1;
                    self.on_ledger(move |_, ledger| ledger.forget(day, &domain)).await?;
                }
                Wish::Unclear(why) => {
                    work.unclear += 1;
                    tracing::info!(domain, why, "nobody can say yet where the TLS report goes");
                    self.on_ledger(move |_, ledger| ledger.asked_in_vain(day, &domain, now)).await?;
                }
                Wish::Destinations(destinations) => {
                    work.built += 1;
                    let build = move |inner: &Inner, ledger: &mut Ledger| {
                        inner.build(ledger, day, &domain, &destinations, now)
                    };
                    self.on_ledger(build).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes an attempt at some deliveries.
    async fn send(&self, some: &[i64], work: &mut Work) -> Result<(), LedgerError> {
        let mut attempts = JoinSet::new();
        for id in some.iter().copied() {
            let now = self.inner.clock.now();
            let Some(attempt) = self.on_ledger(move |_, ledger| ledger.claim(id, now)).await? else {
                continue;
            };
            let inner = Arc::clone(&self.inner);
            attempts.spawn(async move {
                let outcome = inner.attempt(&attempt).await;
                (attempt, outcome)
            });
        }
        while let Some(done) = attempts.join_next().await {
            let Ok((Attempt { id, rua, .. }, outcome)) = done else { continue };
            match outcome {
                Ok(()) => {
                    work.sent += 1;
                    self.on_ledger(move |_, ledger| ledger.sent(id)).await?;
                }
                Err(why) => {
                    work.failed += 1;
                    let remark = why.clone();
                    let again = self.on_ledger(move |_, ledger| ledger.failed(id, &remark)).await?;
                    tracing::info!(rua, why, again, "a TLS report was not accepted");
                }
            }
        }
        Ok(())
    }

    /// Runs `work` on the tables, off the threads of the runtime.
    async fn on_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &mut Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let inner = Arc::clone(&self.inner);
        let work = move || {
            // A panic within leaves no half-done transaction: it is rolled back.
            let mut ledger = inner.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner, &mut ledger)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(LedgerError::Io(error.into())))
    }
}

impl Inner {
    /// Days that are over, with domains whose turn has come.
    fn ripe(&self, ledger: &Ledger, now: i64) -> Result<Vec<(Day, String)>, LedgerError> {
        let mut ripe = Vec::new();
        for (day, domain) in ledger.complete(Day::of(now))? {
            let turn = day.end().saturating_add(1).saturating_add(self.jitter(day, &domain));
            if now >= ledger.ask_at(day, &domain)?.unwrap_or(turn) {
                ripe.push((day, domain));
            }
        }
        Ok(ripe)
    }

    /// Spread over four hours, and the same after a restart.
    fn jitter(&self, day: Day, domain: &str) -> i64 {
        let hash = Sha256::digest(format!("{}\n{domain}\n{}", self.reporting.hello, day.0));
        let number = hash.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        i64::try_from(number % JITTER).unwrap_or(0)
    }

    async fn wish(&self, domain: &str) -> Wish {
        match self.dns.txt(&format!("_smtp._tls.{domain}")).await.lookup {
            Lookup::Found { records, .. } => match record::discover(records.iter().map(String::as_str)) {
                Ok(Some(destinations)) => self.usable(destinations),
                Ok(None) => Wish::Nothing,
                Err(error) => {
                    tracing::info!(domain, %error, "the TLSRPT record cannot be used");
                    Wish::Nothing
                }
            },
            Lookup::None { .. } => Wish::Nothing,
            Lookup::Bogus { why } | Lookup::Failed { why } => Wish::Unclear(why),
        }
    }

    fn usable(&self, destinations: Vec<Rua>) -> Wish {
        let signs = self.reporting.signer.is_some();
        let usable: Vec<Rua> =
            destinations.into_iter().filter(|rua| signs || matches!(rua, Rua::Https(_))).collect();
        if usable.is_empty() { Wish::Nothing } else { Wish::Destinations(usable) }
    }

    fn build(
        &self,
        ledger: &mut Ledger,
        day: Day,
        domain: &str,
        destinations: &[Rua],
        now: i64,
    ) -> Result<(), LedgerError> {
        let contact = &self.reporting.contact;
        let compact = day.to_string().replace('-', "");
        let report = Report {
            organization_name: self.reporting.organization.clone(),
            date_range: DateRange::of(day),
            contact_info: contact.to_string(),
            report_id: format!("{compact}.{}@{}", random_hex()?, contact.domain()),
            policies: ledger.policies(day, domain)?,
        };
        let packed = gzip::pack(&serde_json::to_vec(&report)?)?;
        let mut letters = Vec::new();
        for rua in destinations {
            letters.push((rua.to_string(), self.letter(&report, &packed, domain, rua, now)?));
        }
        let built = Built {
            day,
            domain,
            report_id: &report.report_id,
            file_name: &report.file_name(contact.domain(), domain),
            packed: &packed,
            letters,
        };
        ledger.post(&built, now)
    }

    /// What goes to one destination.
    fn letter(
        &self,
        report: &Report,
        packed: &[u8],
        domain: &str,
        rua: &Rua,
        made: i64,
    ) -> Result<Vec<u8>, LedgerError> {
        let (Rua::Mail(to), Some(signer)) = (rua, &self.reporting.signer) else { return Ok(packed.to_vec()) };
        let hash = Sha256::digest(format!("{}\n{rua}", report.report_id));
        let token: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let contact = &self.reporting.contact;
        let letter = Letter { report, packed, domain, contact, to, made, token: &token };
        signer.sign(&letter.write())
    }

    async fn attempt(&self, attempt: &Attempt) -> Result<(), String> {
        let Reporting { contact, submission, hello, .. } = &self.reporting;
        match Rua::parse(&attempt.rua) {
            Some(Rua::Mail(to)) => submission::submit(*submission, hello, contact, &to, &attempt.content)
                .await
                .map_err(|error| error.to_string()),
            Some(Rua::Https(url)) => {
                self.https.post(&url, &attempt.content).await.map_err(|error| error.to_string())
            }
            None => Err("the destination cannot be read".to_owned()),
        }
    }
}

/// 128 random bits.
fn random_hex() -> Result<String, LedgerError> {
    let mut bytes = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("no random bits"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
