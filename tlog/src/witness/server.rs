//! The side that is asked.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use sha2::Digest;
use sha2::Sha256;

use super::AddCheckpoint;
use super::SIZE_TYPE;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::CheckpointError;
use crate::files::Files;
use crate::files::FilesError;
use crate::key::Algorithm;
use crate::key::Cosigner;
use crate::key::KeyError;
use crate::key::VerifierKey;
use crate::merkle::Tree;
use crate::merkle::verify_consistency;
use crate::note::Note;
use crate::note::NoteError;
use crate::note::Signature;

/// Says whose witness a directory is.
const OWNER: &str = "witness";

/// A witness and what it remembers: of each log the largest checkpoint that it cosigned, in one file.
///
/// The directory must never be restored from a backup, nor the key used with another one: the witness
/// would cosign a second time what it cosigned before, and differently. When the directory is lost,
/// begin with a new key.
pub struct Witness {
    cosigner: Cosigner,
    pub(super) memory: Mutex<Memory>,
}

pub(super) struct Memory {
    pub(super) files: Files,
    /// The keys of each log that is watched, by origin.
    logs: BTreeMap<String, Vec<VerifierKey>>,
    /// Also of logs that are not watched any more.
    latest: BTreeMap<String, Latest>,
}

/// What was cosigned last of a log.
struct Latest {
    checkpoint: Checkpoint,
    time: u64,
}

/// What the witness answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// 200: the cosignature.
    Cosigned(Signature),
    /// 400: not a request, or the old size is larger than the new.
    Malformed,
    /// 403: no trusted key signed the checkpoint.
    NotSigned,
    /// 404: the log is none of those that this witness watches.
    UnknownLog,
    /// 409: the witness knows another size than the old one; or the same size with another root.
    Conflict {
        /// Which size it knows.
        size: u64,
    },
    /// 422: the proof does not show that the checkpoint continues the one the witness knows.
    Inconsistent,
    /// 503: the witness cannot write down what it cosigns, and therefore does not.
    Unavailable,
}

impl Witness {
    /// Makes an empty directory the memory of a witness that never cosigned anything.
    ///
    /// # Errors
    /// If the directory does not exist, is a witness's already, or cannot be written.
    pub fn create(path: &Path, key: &VerifierKey) -> Result<(), WitnessError> {
        let mut files = Files::lock(path)?;
        if path.join(OWNER).exists() {
            return Err(WitnessError::Exists);
        }
        files.replace(OWNER, format!("{key}\n").as_bytes())?;
        Ok(files.sync()?)
    }

    /// Opens the memory of a witness, which cosigns for these logs.
    ///
    /// # Errors
    /// If the directory is not this witness's, another process uses it, or what it remembers is damaged.
    pub fn open(
        path: &Path,
        cosigner: Cosigner,
        logs: impl IntoIterator<Item = VerifierKey>,
    ) -> Result<Witness, WitnessError> {
        let files = Files::lock(path)?;
        let owner = read(path, OWNER)?.ok_or(WitnessError::NotCreated)?;
        if owner != format!("{}\n", cosigner.verifier()).as_bytes() {
            return Err(WitnessError::OtherKey);
        }
        let memory = Memory { files, logs: BTreeMap::new(), latest: BTreeMap::new() };
        let witness = Witness { cosigner, memory: Mutex::new(memory) };
        witness.watch(logs)?;
        Ok(witness)
    }

    /// From now on cosigns for these logs and no others. A log may have several keys.
    ///
    /// # Errors
    /// If a key is not one for logs, or what is remembered of a log is damaged; then nothing changes.
    pub fn watch(&self, logs: impl IntoIterator<Item = VerifierKey>) -> Result<(), WitnessError> {
        let mut by_origin: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
        for key in logs {
            if key.algorithm() != Algorithm::Ed25519 {
                return Err(WitnessError::Log(KeyError::Algorithm));
            }
            by_origin.entry(key.name().to_owned()).or_default().push(key);
        }
        let mut memory = self.memory();
        for origin in by_origin.keys() {
            if memory.latest.contains_key(origin) {
                continue;
            }
            if let Some(known) = remembered(memory.files.root(), origin, self.key())? {
                memory.latest.insert(origin.clone(), known);
            }
        }
        memory.logs = by_origin;
        Ok(())
    }

    /// The key with which it cosigns.
    pub fn key(&self) -> &VerifierKey {
        self.cosigner.verifier()
    }

    /// The size that it knows of a log; none if it never cosigned for it.
    pub fn size(&self, origin: &str) -> Option<u64> {
        self.memory().latest.get(origin).map(|latest| latest.checkpoint.size())
    }

    /// Answers the request with this body. `now` is in seconds since 1970. A cosignature is returned
    /// only once it is on disk that it was given.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Answer {
        let Ok(request) = AddCheckpoint::parse(body) else { return Answer::Malformed };
        let Ok(checkpoint) = Checkpoint::parse(request.checkpoint.text()) else { return Answer::Malformed };
        let keys = self.memory().logs.get(checkpoint.origin()).cloned();
        let Some(keys) = keys else { return Answer::UnknownLog };
        let Ok(signed) = only_signatures_of(&keys, &request.checkpoint) else { return Answer::NotSigned };
        if request.old > checkpoint.size() {
            return Answer::Malformed;
        }
        // From here on one at a time: what is compared must still hold when it is replaced.
        let mut memory = self.memory();
        let latest = memory.latest.get(checkpoint.origin());
        if let Some(refusal) = objection(latest.map(|latest| &latest.checkpoint), &request, &checkpoint) {
            return refusal;
        }
        // A clock that was set back must not make an older time vouch for a larger tree.
        let time = latest.map_or(now, |latest| now.max(latest.time));
        memory.cosign(&self.cosigner, signed, checkpoint, time).map_or(Answer::Unavailable, Answer::Cosigned)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn cosign(
        &mut self,
        cosigner: &Cosigner,
        mut note: Note,
        checkpoint: Checkpoint,
        time: u64,
    ) -> Result<Signature, WitnessError> {
        let cosignature = cosigner.cosign(note.text(), time)?;
        note.add(cosignature.clone())?;
        self.files.replace(&file_of(checkpoint.origin()), note.to_string().as_bytes())?;
        self.files.sync()?;
        self.latest.insert(checkpoint.origin().to_owned(), Latest { checkpoint, time });
        Ok(cosignature)
    }
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Answer::Cosigned(_) => 200,
            Answer::Malformed => 400,
            Answer::NotSigned => 403,
            Answer::UnknownLog => 404,
            Answer::Conflict { .. } => 409,
            Answer::Inconsistent => 422,
            Answer::Unavailable => 503,
        }
    }

    /// The media type of the body.
    pub fn content_type(&self) -> &'static str {
        match self {
            Answer::Conflict { .. } => SIZE_TYPE,
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The body.
    pub fn body(&self) -> String {
        match self {
            Answer::Cosigned(signature) => format!("{signature}\n"),
            Answer::Malformed => "this is no request to add a checkpoint\n".into(),
            Answer::NotSigned => "no key that is trusted here signed this checkpoint\n".into(),
            Answer::UnknownLog => "this log is not watched here\n".into(),
            Answer::Conflict { size } => format!("{size}\n"),
            Answer::Inconsistent => "bad consistency proof\n".into(),
            Answer::Unavailable => "the witness cannot write at present\n".into(),
        }
    }
}

/// Why a witness cannot be opened, or could not cosign.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// What it remembers of a log cannot be trusted.
    #[error("what the witness remembers of {origin} is damaged")]
    Damaged {
        /// Which log.
        origin: String,
        /// Why.
        source: CheckpointError,
    },
    /// The directory is a witness's already.
    #[error("the directory is a witness's already")]
    Exists,
    /// A file could not be used.
    #[error("the memory of the witness cannot be used")]
    Files(#[from] FilesError),
    /// The cosigner failed.
    #[error("the witness cannot sign")]
    Key(#[from] KeyError),
    /// A key that is not one for logs.
    #[error("the key of a log is refused")]
    Log(#[source] KeyError),
    /// The directory was never a witness's: perhaps its disk is not there.
    #[error("the directory is no witness's")]
    NotCreated,
    /// The note cannot take the cosignature.
    #[error("the checkpoint has no room for the cosignature")]
    Note(#[from] NoteError),
    /// The directory belongs to a witness with another key.
    #[error("the directory is that of a witness with another key")]
    OtherKey,
}

/// Why the witness does not cosign; none if the checkpoint continues the latest.
fn objection(latest: Option<&Checkpoint>, request: &AddCheckpoint, new: &Checkpoint) -> Option<Answer> {
    let size = latest.map_or(0, Checkpoint::size);
    if request.old != size {
        return Some(Answer::Conflict { size });
    }
    let empty = Tree::new().root();
    let root = latest.map_or(&empty, Checkpoint::root);
    if new.size() == size {
        let same = new.root() == root;
        // Nobody was shown another tree if this one is the first.
        let different = if latest.is_some() { Answer::Conflict { size } } else { Answer::Inconsistent };
        return if !same {
            Some(different)
        } else {
            (!request.proof.is_empty()).then_some(Answer::Inconsistent)
        };
    }
    let continues = verify_consistency((size, root), (new.size(), new.root()), &request.proof);
    (!continues).then_some(Answer::Inconsistent)
}

/// The note with the signatures of these keys and no others: what strangers add is not kept.
fn only_signatures_of(keys: &[VerifierKey], note: &Note) -> Result<Note, NoteError> {
    note.verify(keys)?;
    let mut signed = Note::new(note.text())?;
    let own = note.signatures().iter().filter(|signature| keys.iter().any(|key| key.made(signature)));
    own.cloned().try_for_each(|signature| signed.add(signature))?;
    Ok(signed)
}

/// The origin is anything; the name of a file is not.
fn file_of(origin: &str) -> String {
    let hash = Sha256::digest(origin);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is on disk of a log: its checkpoint with our own cosignature, which nobody else can have made.
fn remembered(path: &Path, origin: &str, own: &VerifierKey) -> Result<Option<Latest>, WitnessError> {
    let Some(bytes) = read(path, &file_of(origin))? else { return Ok(None) };
    let latest = || {
        let note = Note::parse(&bytes)?;
        let verified = note.verify([own])?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let time = verified.first().and_then(|one| one.stamp.time).ok_or(NoteError::Unsigned)?;
        let fits = checkpoint.origin() == origin;
        let other = || CheckpointError::Origin { found: checkpoint.origin().to_owned() };
        if fits { Ok(Latest { checkpoint, time }) } else { Err(other()) }
    };
    latest().map(Some).map_err(|source| WitnessError::Damaged { origin: origin.to_owned(), source })
}

fn read(path: &Path, name: &str) -> Result<Option<Vec<u8>>, WitnessError> {
    match fs::read(path.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FilesError::Io { path: name.to_owned(), source }.into()),
    }
}
