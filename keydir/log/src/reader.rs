//! Reads the log that another process writes: proofs and histories.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use thiserror::Error;
use tlog::checkpoint::Checkpoint;
use tlog::checkpoint::CheckpointError;
use tlog::note::Note;
use tlog::note::NoteError;
use tlog::tiles::Directory;
use tlog::tiles::Reader;
use tlog::tiles::TilesError;

use crate::Label;
use crate::database;
use crate::database::Database;
use crate::database::State;
use crate::entry::Entry;
use crate::entry::NO_CHAIN;
use crate::entry::Update;
use crate::index::Index;
use crate::index::IndexError;
use crate::keyset::Opening;
use crate::proof::End;
use crate::proof::LookupProof;
use crate::vrf::VrfProof;
use crate::vrf::VrfPublic;

/// So many idle connections are kept.
const IDLE: usize = 8;

/// Longest history that is returned.
pub const MAX_HISTORY: u32 = 10_000;

/// Reads a published log. May be used by many threads; sees what is new by itself.
#[derive(Debug)]
pub struct LogReader {
    directory: PathBuf,
    idle: Mutex<Vec<Database>>,
}

/// All entries of a label, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The entries with their numbers, and what opens them.
    pub entries: Vec<(u64, Update, Option<Opening>)>,
    /// Proves that the last one is the newest; its value is the chain over all of them.
    pub proof: LookupProof,
}

/// Why the log cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The checkpoint cannot be read.
    #[error("the checkpoint of the key log cannot be read")]
    Checkpoint(#[from] CheckpointError),
    /// The index cannot be read.
    #[error("the index of the key log cannot be read")]
    Index(#[from] IndexError),
    /// The history and the index contradict each other, or it is longer than [`MAX_HISTORY`].
    #[error("the history of the label cannot be read")]
    History,
    /// The log has not been begun.
    #[error("the key log has no entries yet")]
    NotBegun,
    /// The checkpoint is no note.
    #[error("the checkpoint of the key log is no signed note")]
    Note(#[from] NoteError),
    /// The tiles cannot be read.
    #[error("the files of the key log cannot be read")]
    Tiles(#[from] TilesError),
}

impl LogReader {
    /// Reads the log in this directory.
    ///
    /// # Errors
    /// If there is no index.
    pub fn open(directory: &Path) -> Result<LogReader, ReadError> {
        let reader = LogReader { directory: directory.to_owned(), idle: Mutex::default() };
        reader.read(|_| Ok(()))?;
        Ok(reader)
    }

    /// The directory with the static files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Which index this is. When it was lost and built again, it cannot open what it could before, and has another number;
    /// 0 if it never had one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn index(&self) -> Result<i32, ReadError> {
        self.read(|database| Ok(database.id()?))
    }

    /// The last checkpoint, with its signatures unverified.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn checkpoint(&self) -> Result<Note, ReadError> {
        self.read(|database| note(&state(database)?))
    }

    /// The key with which the log makes labels.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn vrf(&self) -> Result<VrfPublic, ReadError> {
        self.read(|database| {
            let key = VrfPublic::from_bytes(&state(database)?.root.vrf);
            Ok(key.ok_or(IndexError::Damaged("its VRF key is not one"))?)
        })
    }

    /// What the log says of a label. Who asks by mailbox adds the proof of the label.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn prove(&self, label: &Label, vrf: Option<VrfProof>) -> Result<LookupProof, ReadError> {
        self.read(|database| prove(database, label, vrf))
    }

    /// All that ever happened to a label; none if nothing did.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn history(&self, label: &Label, vrf: Option<VrfProof>) -> Result<Option<History>, ReadError> {
        self.read(|database| {
            let proof = prove(database, label, vrf)?;
            let End::Present { newest, .. } = &proof.end else { return Ok(None) };
            if newest.sequence > MAX_HISTORY {
                return Err(ReadError::History);
            }
            let checkpoint = Checkpoint::parse(proof.checkpoint.text())?;
            let tiles = Reader::open(Directory::new(&self.directory), &checkpoint)?;
            let number = Index(&database.0).newest(label)?.ok_or(ReadError::History)?.number;
            let mut entries = vec![(number, *newest, database.opening(number)?)];
            while let Some(number) = entries.last().and_then(|(_, update, _)| update.previous) {
                let Some(Entry::Update(update)) = Entry::from_bytes(&tiles.entry(number)?) else {
                    return Err(ReadError::History);
                };
                if entries
                    .last()
                    .is_some_and(|(after, next, _)| number >= *after || next.sequence != update.sequence + 1)
                {
                    return Err(ReadError::History);
                }
                entries.push((number, update, database.opening(number)?));
            }
            entries.reverse();
            let history = History { entries, proof };
            if history.is_whole() { Ok(Some(history)) } else { Err(ReadError::History) }
        })
    }

    fn read<T>(&self, f: impl FnOnce(&Database) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let database = match idle {
            Some(database) => database,
            None => Database::open_to_read(&self.directory.join(database::FILE))?,
        };
        // One transaction, so that index and checkpoint are those of one moment.
        let transaction = database.0.unchecked_transaction().map_err(IndexError::from)?;
        let answer = f(&database)?;
        transaction.finish().map_err(IndexError::from)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(database);
        }
        Ok(answer)
    }
}

impl History {
    /// Whether these are all entries of the label, as its value in the index says. The proof itself must be
    /// verified as well.
    pub fn is_whole(&self) -> bool {
        let End::Present { newest, before } = &self.proof.end else { return false };
        let Some(((_, last, _), earlier)) = self.entries.split_last() else { return false };
        let chain = earlier.iter().fold(NO_CHAIN, |chain, (_, update, _)| update.chain(&chain));
        last == newest && chain == *before && self.entries.len() as u64 == u64::from(newest.sequence)
    }
}

fn prove(database: &Database, label: &Label, vrf: Option<VrfProof>) -> Result<LookupProof, ReadError> {
    let state = state(database)?;
    let index = Index(&database.0);
    let found = index.find(label, state.labels)?;
    let mut opening = None;
    let (end, path) = match found {
        None => (End::Empty, crate::trie::Path::default()),
        Some(found) if found.label != *label => (End::Other(found.label, found.value), found.path),
        Some(found) => {
            let newest = index.newest(label)?.ok_or(IndexError::Damaged("a label has no entry"))?;
            opening = database.opening(newest.number)?;
            (End::Present { newest: newest.update, before: newest.before }, found.path)
        }
    };
    let checkpoint = note(&state)?;
    Ok(LookupProof { vrf, end, path, root: state.root, inclusion: state.inclusion, checkpoint, opening })
}

fn state(database: &Database) -> Result<State, ReadError> {
    database.state()?.ok_or(ReadError::NotBegun)
}

fn note(state: &State) -> Result<Note, ReadError> {
    Ok(Note::parse(state.checkpoint.as_bytes())?)
}
