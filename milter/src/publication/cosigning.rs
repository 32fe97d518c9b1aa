//! Cosignatures for our key log: witnesses are asked for each new checkpoint, and it is published again with what they
//! answered (C2SP tlog-witness).
//!
//! Publishing never waits for a witness. One that is down is asked again, less and less often; one that has seen more of
//! this log than there is stops the log, because then it is an old copy.

pub mod config;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::Clock;
use net::dns::{Dns, DnsConfig};
use net::https::{FetchError, Https, Reach, Redirects, Wish};
use program::{Exit, chain};
use tlog::checkpoint::SignedCheckpoint;
use tlog::note::Signature;
use tlog::tiles::{Directory, Reader, TilesError};
use tlog::witness::{AnswerError, CosignError, MAX_BODY, cosign};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use self::config::{Asked, Witnesses};
use super::PublicationRoom;
use super::log::{Log, LogTrouble};
use crate::config::Config;
use crate::gateway::Gateway;
use crate::relay::room::{dns, dns_of};
use crate::telemetry::Telemetry;

/// How often it is looked whether there is a new checkpoint.
const LOOK: Duration = Duration::from_secs(2);
/// For one answer of a witness.
const DEADLINE: Duration = Duration::from_secs(10);
/// Seconds after which a cosignature is asked for anew, so that it says how the log is today.
const RENEW: i64 = 6 * 3600;
/// After a first failure a witness is left alone for so long, and for twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Asks the witnesses of our log.
#[derive(Debug)]
pub struct Cosigning {
    log: Arc<Log>,
    https: Https,
    telemetry: Arc<Telemetry>,
    clock: Clock,
    witnesses: Witnesses,
    /// What is known of each, in the order of [`Witnesses::asked`].
    standings: Vec<Standing>,
    /// The text of the checkpoint of which it was last said whether it has a quorum.
    weighed: Option<String>,
}

/// What is known of a witness.
#[derive(Clone, Debug, Default)]
struct Standing {
    /// The text of the checkpoint that it cosigned last in this run.
    cosigned: Option<String>,
    /// When, Unix seconds.
    at: i64,
    /// How many entries it is believed to know.
    held: u64,
    failures: u32,
    not_before: Option<Instant>,
}

/// What a witness answered.
type Said = Result<Signature, CosignError<FetchError>>;

impl Cosigning {
    /// If there is a log and somebody who is to cosign it. Must be called within a runtime.
    ///
    /// # Errors
    /// Their addresses cannot be looked up, or TLS not be spoken.
    pub fn open(gateway: &Gateway, room: &PublicationRoom) -> Result<Option<Self>, Exit> {
        let config = gateway.config();
        let witnesses = config.keydir.as_ref().and_then(|section| section.witnesses.clone());
        let (Some(log), Some(witnesses)) = (room.log.clone(), witnesses) else { return Ok(None) };
        let https = Https::new(resolver(&config)?, None, Reach::default())
            .map_err(|error| Exit::unavailable("witnesses of the key log cannot be asked", error))?;
        let (telemetry, clock) = (gateway.telemetry.clone(), gateway.clock.clone());
        let standings = vec![Standing::default(); witnesses.asked.len()];
        Ok(Some(Self { log, https, telemetry, clock, witnesses, standings, weighed: None }))
    }

    /// Looks after cosignatures until the process ends.
    pub async fn keep(mut self, gateway: Arc<Gateway>) {
        loop {
            self.follow(&gateway.config());
            self.round().await;
            sleep(LOOK).await;
        }
    }

    /// Takes what a new configuration says.
    fn follow(&mut self, config: &Config) {
        let wanted = config.keydir.as_ref().and_then(|section| section.witnesses.as_ref());
        if let Some(wanted) = wanted.filter(|wanted| **wanted != self.witnesses) {
            self.standings = vec![Standing::default(); wanted.asked.len()];
            self.witnesses = wanted.clone();
        }
    }

    /// Asks those witnesses whose turn it is, and publishes what they gave.
    pub async fn round(&mut self) {
        let log = self.log.clone();
        let published = match spawn_blocking(move || published(&log)).await {
            Ok(Ok(Some(published))) => Arc::new(published),
            Ok(Ok(None)) => return,
            Ok(Err(why)) => return tracing::error!("the key log is not cosigned: {why}"),
            Err(_) => return tracing::error!("asking witnesses ended abnormally"),
        };
        let said = self.ask(&published).await;
        let text = published.note().text();
        let new = self.weighed.as_deref() != Some(text);
        self.weighed = Some(text.to_owned());
        if said.is_empty() {
            // Nobody's turn, but what counted for the one before does not count for this one.
            if new {
                self.weigh(&published);
            }
            return;
        }
        let (mut signatures, mut ahead) = (Vec::new(), None);
        for (index, said) in said {
            self.note(index, &said, &published);
            match said {
                Ok(signature) => signatures.push(signature),
                Err(CosignError::Answer(AnswerError::Ahead { known, .. })) => ahead = ahead.max(Some(known)),
                Err(_) => {}
            }
        }
        self.publish(&published, signatures, ahead).await;
    }

    /// All at the same time; each has a thread, because proofs are read from disk.
    async fn ask(&self, published: &Arc<SignedCheckpoint>) -> Vec<(usize, Said)> {
        let now = self.clock.now();
        let mut answers = Vec::new();
        for (index, (witness, standing)) in self.witnesses.asked.iter().zip(&self.standings).enumerate() {
            if standing.is_due(published.note().text(), now) {
                let (witness, https, held) = (witness.clone(), self.https.clone(), standing.held);
                let (log, published) = (self.log.clone(), published.clone());
                let runtime = Handle::current();
                let asked = spawn_blocking(move || ask(&log, &published, &witness, held, &https, &runtime));
                answers.push((index, asked));
            }
        }
        let mut said = Vec::new();
        for (index, answer) in answers {
            match answer.await {
                Ok(answer) => said.push((index, answer)),
                Err(_) => tracing::error!("asking a witness ended abnormally"),
            }
        }
        said
    }

    /// Remembers, counts and tells what one witness answered.
    fn note(&mut self, index: usize, said: &Said, published: &SignedCheckpoint) {
        let (Some(witness), Some(standing)) =
            (self.witnesses.asked.get(index), self.standings.get_mut(index))
        else {
            return;
        };
        let (name, url) = (witness.key.name(), &witness.url);
        self.telemetry.witness_answered(class(said));
        match said {
            Ok(_) => {
                *standing = Standing {
                    cosigned: Some(published.note().text().to_owned()),
                    at: self.clock.now(),
                    held: published.checkpoint().size(),
                    ..Standing::default()
                };
            }
            Err(error) => {
                standing.failed();
                let contradicts = matches!(class(said), "contradicted" | "rolled_back");
                match contradicts {
                    true => tracing::error!(
                        "the witness {name} ({url}) contradicts the key log: {}",
                        chain(error)
                    ),
                    false => tracing::warn!(
                        "the witness {name} ({url}) did not cosign the key log: {}",
                        chain(error)
                    ),
                }
            }
        }
    }

    async fn publish(&self, asked: &Arc<SignedCheckpoint>, signatures: Vec<Signature>, ahead: Option<u64>) {
        if signatures.is_empty() && ahead.is_none() {
            return self.weigh(asked);
        }
        let (log, asked, witnesses, now) =
            (self.log.clone(), asked.clone(), self.witnesses.clone(), self.clock.now());
        let published =
            spawn_blocking(move || publish(&log, &asked, &witnesses, signatures, ahead, now)).await;
        match published {
            Ok(Ok(Some(published))) => self.weigh(&published),
            // There is a newer one, which is asked for next.
            Ok(Ok(None)) => {}
            Ok(Err(trouble)) => tracing::error!("{}", chain(&trouble)),
            Err(_) => tracing::error!("publishing cosignatures ended abnormally"),
        }
    }

    /// Whether what is published has a quorum.
    fn weigh(&self, published: &SignedCheckpoint) {
        let mut policy = self.witnesses.policy.clone();
        if let Ok(signer) = self.log.keys.signer()
            && policy.logs().iter().all(|log| log.key != *signer.verifier())
            && let Err(error) = policy.trust_log(signer.verifier().clone())
        {
            return tracing::error!("the policy of witnesses cannot be used: {}", chain(&error));
        }
        let size = published.checkpoint().size();
        match policy.verify(published.note()) {
            Ok(witnessed) => {
                let oldest = witnessed.cosignatures.iter().map(|(_, time)| *time).min();
                self.telemetry.key_log_cosigned(oldest.and_then(|time| i64::try_from(time).ok()));
                let count = witnessed.cosignatures.len();
                tracing::info!(
                    "the checkpoint of the key log with {size} entries is cosigned by {count} witnesses"
                );
            }
            Err(error) => {
                self.telemetry.key_log_cosigned(None);
                tracing::warn!(
                    "the checkpoint of the key log with {size} entries has no quorum; whoever demands one does not \
                     believe it: {}",
                    chain(&error)
                );
            }
        }
    }
}

impl Standing {
    fn is_due(&self, text: &str, now: i64) -> bool {
        let rested = self.not_before.is_none_or(|until| Instant::now() >= until);
        rested && (self.cosigned.as_deref() != Some(text) || now.saturating_sub(self.at) >= RENEW)
    }

    fn failed(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now().checked_add(pause);
    }
}

/// The answer in one of the words of the metric.
fn class(said: &Said) -> &'static str {
    match said {
        Ok(_) => "cosigned",
        Err(CosignError::Send(_)) => "unreachable",
        Err(CosignError::Tiles(_)) => "unreadable",
        Err(CosignError::Answer(answer)) => match answer {
            AnswerError::Ahead { .. } => "rolled_back",
            AnswerError::SplitView { .. } | AnswerError::Refused { status: 422 } => "contradicted",
            AnswerError::Refused { .. } => "refused",
            _ => "invalid",
        },
    }
}

/// What the world sees of the log; none before there is one.
fn published(log: &Log) -> Result<Option<SignedCheckpoint>, String> {
    let path = log.directory.join("checkpoint");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    let signer = log.keys.signer().map_err(|error| chain(&error))?;
    let open = SignedCheckpoint::open(&bytes, signer.verifier());
    open.map(Some).map_err(|error| format!("{}: {}", path.display(), chain(&error)))
}

/// Asks one witness. Blocks on what `runtime` does.
fn ask(
    log: &Log,
    published: &SignedCheckpoint,
    witness: &Asked,
    held: u64,
    https: &Https,
    runtime: &Handle,
) -> Said {
    let reader = Reader::open(Directory::new(&log.directory), published.checkpoint())?;
    let wish = Wish {
        accept: "text/plain, text/x.tlog.size",
        limit: MAX_BODY,
        deadline: DEADLINE,
        redirects: Redirects::Never,
        configured: true,
    };
    cosign(published, &witness.key, held, &reader, |body| {
        let answer = https.post(&witness.url, ("text/plain; charset=utf-8", body), &wish);
        runtime.block_on(answer).map(|answer| (answer.status, answer.body))
    })
}

/// Publishes the checkpoint that was asked for with the cosignatures that were given, if it is still the newest; gives
/// what is published then.
fn publish(
    log: &Log,
    asked: &SignedCheckpoint,
    witnesses: &Witnesses,
    signatures: Vec<Signature>,
    ahead: Option<u64>,
    now: i64,
) -> Result<Option<SignedCheckpoint>, LogTrouble> {
    let mut open = log.session(now).wait_for_log()?;
    if let Some(known) = ahead {
        open.outpaced(known)?;
    }
    let text = asked.note().text();
    let newest = open.checkpoint().filter(|sealed| sealed.note().text() == text);
    let Some(mut note) = newest.map(|sealed| sealed.note().clone()) else { return Ok(None) };
    // What others gave earlier stays; what is not of a witness of ours does not.
    let known = |signature: &&Signature| {
        let keys = witnesses.policy.witnesses().iter().map(|witness| &witness.key);
        keys.into_iter().any(|key| key.made(signature) && key.verify(text, signature).is_some())
    };
    let before = asked.note().signatures().iter().filter(known).cloned();
    for signature in before.chain(signatures.iter().cloned()) {
        note.add(signature)
            .map_err(|error| TilesError::Sign(error.into()))
            .map_err(keylog::writer::KeyLogError::from)?;
    }
    open.cosigned(&note)?;
    let signer = log.keys.signer()?;
    let published = SignedCheckpoint::verify(note, signer.verifier()).map_err(TilesError::Sign);
    Ok(Some(published.map_err(keylog::writer::KeyLogError::from)?))
}

/// As discovery has it, or else the relay.
fn resolver(config: &Config) -> Result<Dns, Exit> {
    let own = config.discovery.as_ref().and_then(|section| section.dns.as_ref());
    match (own, &config.relay) {
        (Some((own, validation)), _) => dns_of(own, validation),
        (None, Some(relay)) => dns(relay),
        (None, None) => Ok(Dns::new(DnsConfig::default())),
    }
}
