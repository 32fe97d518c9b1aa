//! Checks a whole log: that its tiles are those of the checkpoint, and every root of the index in it is that
//! of the entries before.
//!
//! Whoever has audited a log up to a checkpoint need not trust it: no look-up proof at that checkpoint can
//! hide an entry or show an older one as the newest.

use std::path::Path;

use rusqlite::Connection;
use thiserror::Error;
use tlog::checkpoint::SignedCheckpoint;
use tlog::note::MAX_NOTE;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::policy::PolicyError;
use tlog::tiles::Reader;
use tlog::tiles::Source;
use tlog::tiles::TilesError;

use crate::database::Database;
use crate::database::State;
use crate::entry::Entry;
use crate::entry::Root;
use crate::entry::Update;
use crate::index::IndexError;
use crate::replay::Replay;
use crate::replay::ReplayError;

/// After so many entries what was audited is put on disk.
const STRIDE: u64 = 1 << 16;

/// What an audit found.
#[derive(Clone, Debug)]
pub struct Audited {
    /// The checkpoint up to which the log was audited.
    pub checkpoint: SignedCheckpoint,
    /// How many of the policy's witnesses have cosigned it.
    pub witnesses: usize,
    /// The last entry.
    pub root: Root,
    /// How many entries had been audited before.
    pub before: u64,
    /// How often the clock of the log went back among those that are new. That is no fault of the log.
    pub steps_back: u64,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So many entries were read.
    pub done: u64,
    /// So many there are.
    pub size: u64,
}

/// Why an audit failed.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The checkpoint is not signed or cosigned as it must be.
    #[error("the checkpoint of the log is refused")]
    Checkpoint(#[from] PolicyError),
    /// The log is not a continuation of what was audited before.
    #[error("the log contradicts the {size} entries that were audited before: it shows different histories")]
    Forked {
        /// How many entries were audited.
        size: u64,
    },
    /// The state of the audit cannot be read or written.
    #[error("the state of the audit cannot be used")]
    Index(#[from] IndexError),
    /// A file cannot be read.
    #[error("the checkpoint of the log cannot be read")]
    Io(#[from] std::io::Error),
    /// There is no checkpoint.
    #[error("the log has no checkpoint")]
    NoCheckpoint,
    /// The checkpoint's last entry is not the root of the index.
    #[error("the last entry of the log is not the root of its index")]
    NoRoot,
    /// The entries contradict each other.
    #[error("the log contradicts itself")]
    Replay(#[from] ReplayError),
    /// The log is shorter than what was audited before.
    #[error("the log has {size} entries; {audited} were audited before: it was rolled back")]
    RolledBack {
        /// How many there are.
        size: u64,
        /// How many were audited.
        audited: u64,
    },
    /// A tile cannot be read, or is not that of the checkpoint.
    #[error("the tiles of the log do not belong to its checkpoint")]
    Tiles(#[from] TilesError),
}

/// Audits a log from wherever `source` has its files. `state` is a file in which is kept what was audited, so
/// that the next audit goes on from there; with none everything is read anew, and a temporary file is used.
/// `seen` is shown every update that is new, with its number.
///
/// # Errors
/// See [`AuditError`]; all but those of files mean that the log is not what it claims to be.
pub fn audit(
    source: impl Source,
    policy: &Policy,
    state: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
    seen: &mut dyn FnMut(u64, &Update),
) -> Result<Audited, AuditError> {
    let bytes = source.fetch("checkpoint", MAX_NOTE)?.ok_or(AuditError::NoCheckpoint)?;
    let note = Note::parse(&bytes)
        .map_err(|error| PolicyError::from(tlog::checkpoint::CheckpointError::from(error)))?;
    let witnessed = policy.verify(&note)?;
    let checkpoint = witnessed.checkpoint.checkpoint().clone();
    let reader = Reader::open(source, &checkpoint)?;
    let database = state.map_or_else(Database::temporary, Database::open)?;
    let audited = database.state()?;
    let before = continues(&reader, audited.as_ref())?;
    let mut run = Run::begin(&database.0, audited.map(|state| state.root))?;
    progress(Progress { done: before, size: reader.size() });
    reader.for_each(before..reader.size(), |number, bytes| {
        let entry = run.replay.push(number, bytes)?;
        match &entry {
            Entry::Update(update) => seen(number, update),
            Entry::Root(root) => run.rest(&database, &reader, number + 1, root)?,
        }
        if number.is_multiple_of(4096) {
            progress(Progress { done: number, size: reader.size() });
        }
        Ok::<(), AuditError>(())
    })?;
    progress(Progress { done: reader.size(), size: reader.size() });
    let root = *run.replay.at_root().ok_or(AuditError::NoRoot)?;
    let steps_back = run.replay.steps_back;
    let witnesses = witnessed.cosignatures.len();
    Ok(Audited { checkpoint: witnessed.checkpoint, witnesses, root, before, steps_back })
}

/// How many entries were audited, if the log continues them.
fn continues<S: Source>(reader: &Reader<S>, audited: Option<&State>) -> Result<u64, AuditError> {
    let Some(audited) = audited else { return Ok(0) };
    let (size, audited_size) = (reader.size(), audited.size);
    if size < audited_size {
        return Err(AuditError::RolledBack { size, audited: audited_size });
    }
    match reader.root_at(audited_size)? == audited.tree {
        true => Ok(audited_size),
        false => Err(AuditError::Forked { size: audited_size }),
    }
}

/// One run over new entries. What it has audited is on disk after each rest.
struct Run<'c> {
    connection: &'c Connection,
    replay: Replay<'c>,
    rested: u64,
}

impl Run<'_> {
    fn begin(connection: &Connection, root: Option<Root>) -> Result<Run<'_>, AuditError> {
        connection.execute_batch("BEGIN IMMEDIATE").map_err(IndexError::from)?;
        Ok(Run { connection, replay: Replay::after(connection, root), rested: 0 })
    }

    /// Keeps the state after a root, now and then, and at the end.
    fn rest<S: Source>(
        &mut self,
        database: &Database,
        reader: &Reader<S>,
        size: u64,
        root: &Root,
    ) -> Result<(), AuditError> {
        if size < reader.size() && size - self.rested < STRIDE {
            return Ok(());
        }
        let tree = reader.root_at(size)?;
        let (labels, inclusion, checkpoint) = (root.labels, Vec::new(), String::new());
        database.set_state(&State { size, labels, tree, root: *root, inclusion, checkpoint })?;
        self.connection.execute_batch("COMMIT; BEGIN IMMEDIATE").map_err(IndexError::from)?;
        self.rested = size;
        Ok(())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // What was not put on disk is read again next time.
        let _ = self.connection.execute_batch("ROLLBACK");
    }
}
