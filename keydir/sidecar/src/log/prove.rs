//! Proofs of what the key log says of an address, and what they are worth.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keydir::{PublicationError, Published, Scheme};
use keylog::Label;
use keylog::entry::State;
use keylog::keyset::Kind;
use keylog::mailbox::{Mailbox, MailboxError};
use keylog::proof::{End, Finding, LookupProof, ProofError, Trust, Verdict, verify_lookup};
use keylog::reader::{LogReader, ReadError};
use keylog::vrf::{VrfProof, VrfPublic};
use program::chain;
use tlog::key::VerifierKey;
use tlog::policy::Policy;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::Directory;
use crate::gate::GateError;

use super::{DIRECTORY, KEYS, Keys, read};

/// The local part of what stands for all addresses of a domain without certificates of their own. Not that of RFC 3183,
/// which is a mailbox with certificates of its own.
const ALL: &str = "*";
/// The index of the log, which is never served.
const INDEX: &str = "log.db";
/// How often a look-up is tried while the log is ahead of what is published, and the pause in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// How far ahead of ours the gateway's clock may be, in seconds.
const SKEW: u64 = 300;

/// The key log, as far as the sidecar sees it. It may be begun after we are.
#[derive(Debug)]
pub struct KeyLog {
    directory: PathBuf,
    reader: Mutex<Option<(Stamp, Arc<LogReader>)>>,
}

/// Which file the index is: device and inode.
type Stamp = (u64, u64);

/// A proof, and of which mailbox it is.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The mailbox that answers for the address.
    pub mailbox: Mailbox,
    /// What the log says of it.
    pub proof: LookupProof,
}

/// What became of checking our own proof against the keys of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// What it proves.
    pub verdict: Verdict,
    /// Every certificate that was shown is in the key set of the log.
    pub complete: bool,
}

impl Proved {
    /// Whether the log says of the mailbox what is shown of it. Nothing is verified by this; what cannot be opened any
    /// more fits everything.
    fn fits(&self, shown: Option<&keydir::Mailbox>) -> bool {
        let mut shown = shown.iter().flat_map(|shown| shown.openpgp.iter().chain(&shown.smime));
        match (&self.proof.end, &self.proof.opening) {
            (End::Present { newest, .. }, None) if newest.state != State::Erased => true,
            (End::Present { newest, .. }, Some(opening)) if newest.state != State::Erased => {
                shown.clone().count() == opening.keys.len()
                    && shown.all(|shown| opening.keys.contains(kind(shown.scheme), &shown.bytes))
            }
            _ => shown.next().is_none(),
        }
    }
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The log says something else of the mailbox than the publication, and that does not change.
    #[error("the key log and the publication do not say the same; does the gateway run?")]
    Differs,
    /// The gateway was needed for the label, and gave none.
    #[error("the gateway proves no label")]
    Gate(#[from] GateError),
    /// The keys of the log.
    #[error("the keys of the key log cannot be read")]
    Keys,
    /// It can have no label.
    #[error("the address has no label")]
    Mailbox(#[from] MailboxError),
    /// The gateway keeps none.
    #[error("there is no key log")]
    NoLog,
    /// The proof does not hold.
    #[error("the key log's proof does not hold")]
    Proof(#[from] ProofError),
    /// The publication.
    #[error("the publication cannot be read")]
    Publication(#[from] PublicationError),
    /// The log.
    #[error("the key log cannot be read")]
    Read(#[from] ReadError),
}

impl ProveError {
    /// Tells the log, unless nothing is wrong.
    pub fn tell(&self) {
        match self {
            Self::NoLog | Self::Mailbox(_) => {}
            Self::Gate(error) => tracing::info!("no proof of absence: {}", chain(error)),
            _ => tracing::error!("no proof: {}", chain(self)),
        }
    }
}

impl KeyLog {
    /// The log in this publication directory, if there will be one.
    pub fn new(publication: &Path) -> Self {
        Self { directory: publication.join(DIRECTORY), reader: Mutex::default() }
    }

    /// What is published for an address, and the proof that the log says so. A change is in the log a moment before it is
    /// published; who asks in that moment waits until it is over.
    ///
    /// # Errors
    /// The publication cannot be read. Inside: why there is no proof.
    pub async fn look_up(
        &self,
        directory: &Directory,
        address: &str,
    ) -> Result<(Option<keydir::Mailbox>, Result<Proved, ProveError>), PublicationError> {
        for _ in 0..TRIES {
            let found = directory.mailbox(address).await?;
            match self.prove_found(directory, address, found.as_ref()).await {
                Ok(proved) if !proved.fits(found.as_ref()) => sleep(PAUSE).await,
                proved => return Ok((found, proved)),
            }
        }
        Ok((directory.mailbox(address).await?, Err(ProveError::Differs)))
    }

    /// Proves what the log says of the mailbox that answers for an address, or that it says nothing. Absence needs the
    /// gateway, and so does a mailbox that has no certificate any more.
    ///
    /// # Errors
    /// [`ProveError`].
    pub async fn prove(&self, directory: &Directory, address: &str) -> Result<Proved, ProveError> {
        let found = directory.mailbox(address).await?;
        self.prove_found(directory, address, found.as_ref()).await
    }

    /// The same for what was looked up already.
    async fn prove_found(
        &self,
        directory: &Directory,
        address: &str,
        found: Option<&keydir::Mailbox>,
    ) -> Result<Proved, ProveError> {
        let reader = self.reader()?;
        let mailbox = mailbox(found.map_or(address, |found| &found.address))?;
        let known = found.and_then(|found| found.label_proof.as_deref());
        let vrf = match known.and_then(|known| known.try_into().ok()) {
            Some(known) => VrfProof(known),
            None => directory.gate.label(&mailbox).await?,
        };
        let read = spawn_blocking(move || {
            let label = reader.vrf()?.verify(&mailbox, &vrf).ok_or(ProveError::Proof(ProofError::Vrf))?;
            let proof = reader.prove(&label, Some(vrf))?;
            Ok(Proved { mailbox, proof })
        });
        read.await.unwrap_or(Err(ProveError::Read(ReadError::History)))
    }

    /// Checks a proof of ours as a stranger would, by the keys that the gateway published: how many witnesses cosigned is
    /// told, but none is demanded, and an old checkpoint only means that nothing changed since.
    ///
    /// # Errors
    /// [`ProveError`]: then the proof must not be called one.
    pub fn attest(&self, proved: &Proved, shown: &[&Published], now: i64) -> Result<Attest, ProveError> {
        let (policy, vrf) = self.keys()?;
        let trust = Trust {
            policy: &policy,
            vrf: &vrf,
            seen: None,
            now: Some(now.unsigned_abs()),
            max_age: u64::MAX,
            max_skew: SKEW,
        };
        let verdict = verify_lookup(&proved.proof, &proved.mailbox, &trust)?;
        let complete = match &verdict.finding {
            Finding::Keys { keys: Some(keys), .. } => {
                shown.iter().all(|shown| keys.contains(kind(shown.scheme), &shown.bytes))
            }
            _ => shown.is_empty(),
        };
        Ok(Attest { verdict, complete })
    }

    fn reader(&self) -> Result<Arc<LogReader>, ProveError> {
        if !self.directory.join(super::CHECKPOINT).exists() {
            return Err(ProveError::NoLog);
        }
        let index = fs::metadata(self.directory.join(INDEX)).map_err(|_| ProveError::NoLog)?;
        let stamp = (index.dev(), index.ino());
        let mut kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((known, reader)) if *known == stamp => Ok(reader.clone()),
            // The first, or another log that took its place.
            _ => {
                let reader = Arc::new(LogReader::open(&self.directory)?);
                *kept = Some((stamp, reader.clone()));
                Ok(reader)
            }
        }
    }

    fn keys(&self) -> Result<(Policy, VrfPublic), ProveError> {
        let bytes = read(&self.directory.join(KEYS)).ok().flatten().ok_or(ProveError::Keys)?;
        let keys: Keys = serde_json::from_slice(&bytes).map_err(|_| ProveError::Keys)?;
        let mut policy = Policy::parse(b"quorum none\n").map_err(|_| ProveError::Keys)?;
        let key: VerifierKey = keys.log_key.parse().map_err(|_| ProveError::Keys)?;
        policy.trust_log(key).map_err(|_| ProveError::Keys)?;
        let vrf: Label = keys.vrf_key.parse().map_err(|_| ProveError::Keys)?;
        Ok((policy, VrfPublic::from_bytes(&vrf.0).ok_or(ProveError::Keys)?))
    }
}

fn mailbox(address: &str) -> Result<Mailbox, MailboxError> {
    match address.strip_prefix('@') {
        Some(domain) => Mailbox::parse(&format!("{ALL}@{domain}")),
        None => Mailbox::parse(address),
    }
}

fn kind(scheme: Scheme) -> Kind {
    match scheme {
        Scheme::Openpgp => Kind::OpenPgp,
        Scheme::Smime => Kind::Smime,
    }
}
