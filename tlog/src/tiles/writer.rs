//! Appends to a log.

use std::path::Path;

use super::Content;
use super::Directory;
use super::MAX_ENTRY;
use super::Reader;
use super::Source;
use super::Tile;
use super::TilesError;
use super::WIDTH;
use super::reader::LEVELS;
use crate::Hash;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::SignedCheckpoint;
use crate::files::Files;
use crate::key::Signer;
use crate::key::VerifierKey;
use crate::leaf_hash;
use crate::merkle;
use crate::note::MAX_NOTE;
use crate::note::Note;

const CHECKPOINT: &str = "checkpoint";
const SEALED: &str = ".sealed";

/// The one writer of a log. What it does survives a crash at any point:
///
/// 1. [`Writer::append`] takes entries,
/// 2. [`Writer::seal`] puts their tiles on disk, signs the checkpoint, puts it on disk as `.sealed`,
///    and only then returns it: the log never signs anything that contradicts it,
/// 3. witnesses may cosign the note,
/// 4. [`Writer::publish`] shows it to the world as `checkpoint`.
///
/// Entries that were appended but not sealed are gone after a crash; their caller appends them again.
/// A sealed checkpoint that was not published is in [`Writer::unpublished`].
#[derive(Debug)]
pub struct Writer {
    pub(super) files: Files,
    log: VerifierKey,
    size: u64,
    /// The partial tile at the right end of each level.
    edges: Vec<Vec<Hash>>,
    /// The partial entry bundle.
    bundle: Vec<u8>,
    sealed: Option<SignedCheckpoint>,
    published: Option<SignedCheckpoint>,
    /// Full tiles whose partial predecessors nobody needs once the next checkpoint is published.
    filled: Vec<Tile>,
    interrupted: bool,
}

impl Writer {
    /// Begins a log in a directory that exists, and publishes the checkpoint of its empty tree, with
    /// these opaque lines after the root.
    ///
    /// # Errors
    /// If there is a log already, even a damaged one, or the directory cannot be written.
    pub fn create(path: &Path, signer: &Signer, extensions: Vec<String>) -> Result<Writer, TilesError> {
        let files = Files::lock(path)?;
        for name in [SEALED, CHECKPOINT, "tile"] {
            if path.join(name).exists() {
                return Err(TilesError::Exists { path: name.into() });
            }
        }
        let mut writer = Writer::empty(files, signer.verifier());
        let sealed = writer.seal(signer, extensions)?;
        writer.publish(sealed.note())?;
        Ok(writer)
    }

    /// Opens a log to append to it.
    ///
    /// # Errors
    /// If there is none, another process writes to it, a checkpoint is not signed with this key, or the
    /// tiles disagree with it.
    pub fn open(path: &Path, log: &VerifierKey) -> Result<Writer, TilesError> {
        let mut writer = Writer::empty(Files::lock(path)?, log);
        let source = Directory::new(path);
        writer.sealed = read_checkpoint(&source, SEALED, log)?;
        writer.published = read_checkpoint(&source, CHECKPOINT, log)?;
        // A copy of the directory may have taken the two at different times.
        let size =
            |checkpoint: &Option<SignedCheckpoint>| checkpoint.as_ref().map(|it| it.checkpoint().size());
        if size(&writer.published) > size(&writer.sealed) {
            writer.sealed = writer.published.clone();
        }
        let Some(sealed) = &writer.sealed else { return Err(TilesError::Missing { path: SEALED.into() }) };
        let reader = Reader::open(source, sealed.checkpoint())?;
        if let Some(published) = &writer.published
            && !reader.continues(published.checkpoint())?
        {
            return Err(TilesError::Disagrees { path: CHECKPOINT.into() });
        }
        writer.size = reader.size();
        writer.edges = reader.edges().iter().map(|edge| edge.to_vec()).collect();
        if !writer.size.is_multiple_of(WIDTH) {
            writer.bundle = reader.bundle(writer.size / WIDTH)?;
        }
        writer.filled = last_full_tiles(size(&writer.published).unwrap_or(0));
        Ok(writer)
    }

    /// How many entries there are, with those that are not sealed yet.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What was signed last.
    pub fn sealed(&self) -> Option<&SignedCheckpoint> {
        self.sealed.as_ref()
    }

    /// What the world sees.
    pub fn published(&self) -> Option<&SignedCheckpoint> {
        self.published.as_ref()
    }

    /// The sealed checkpoint, if the world does not see it yet: have it cosigned and publish it.
    pub fn unpublished(&self) -> Option<&SignedCheckpoint> {
        let text = |checkpoint: &SignedCheckpoint| checkpoint.note().text().to_owned();
        let published = self.published.as_ref().map(text);
        self.sealed.as_ref().filter(|sealed| Some(text(sealed)) != published)
    }

    /// Appends an entry and returns its index. It is durable after [`Writer::seal`].
    ///
    /// # Errors
    /// If it is larger than [`MAX_ENTRY`], or a full tile cannot be written; then the writer has to be
    /// opened anew.
    pub fn append(&mut self, entry: &[u8]) -> Result<u64, TilesError> {
        self.uninterrupted()?;
        let too_large = TilesError::TooLarge { bytes: entry.len() };
        let length = u16::try_from(entry.len()).map_err(|_| too_large)?;
        debug_assert!(entry.len() <= MAX_ENTRY);
        let index = self.size;
        self.size += 1;
        self.bundle.extend(length.to_be_bytes());
        self.bundle.extend(entry);
        self.interrupted = true;
        self.push(leaf_hash(entry))?;
        self.interrupted = false;
        Ok(index)
    }

    /// Puts all entries on disk, signs the checkpoint, with these opaque lines after the root, and puts
    /// that on disk.
    ///
    /// # Errors
    /// If the key is not that of the log, or a file cannot be written; then the writer has to be opened
    /// anew.
    pub fn seal(&mut self, signer: &Signer, extensions: Vec<String>) -> Result<SignedCheckpoint, TilesError> {
        self.uninterrupted()?;
        let checkpoint = Checkpoint::new(self.log.name(), self.size, self.root(), extensions);
        let note = checkpoint.and_then(|checkpoint| checkpoint.sign(signer)).map_err(TilesError::Sign)?;
        let sealed = SignedCheckpoint::verify(note, &self.log).map_err(TilesError::Sign)?;
        self.interrupted = true;
        self.write_edges()?;
        self.files.sync()?;
        self.files.replace(SEALED, sealed.note().to_string().as_bytes())?;
        self.files.sync()?;
        self.interrupted = false;
        self.sealed = Some(sealed.clone());
        Ok(sealed)
    }

    /// Shows the checkpoint that was sealed last to the world, with whatever cosignatures the note has.
    ///
    /// # Errors
    /// If it is another, or the file cannot be written; then the writer has to be opened anew.
    pub fn publish(&mut self, note: &Note) -> Result<(), TilesError> {
        self.uninterrupted()?;
        let sealed = self.sealed.as_ref().ok_or(TilesError::NotSealed)?;
        let signed = SignedCheckpoint::verify(note.clone(), &self.log).map_err(TilesError::Sign)?;
        if sealed.note().text() != note.text() {
            return Err(TilesError::NotSealed);
        }
        self.interrupted = true;
        self.files.replace(CHECKPOINT, note.to_string().as_bytes())?;
        self.files.sync()?;
        let size = signed.checkpoint().size();
        self.published = Some(signed);
        let (past, rest) =
            std::mem::take(&mut self.filled).into_iter().partition(|tile| tile.is_within(size));
        self.filled = rest;
        let past: Vec<Tile> = past;
        for tile in past {
            self.files.discard(&format!("{tile}.p"))?;
        }
        self.interrupted = false;
        Ok(())
    }

    /// A reader of what was sealed last.
    ///
    /// # Errors
    /// If the tiles cannot be read.
    pub fn reader(&self) -> Result<Reader<Directory>, TilesError> {
        let sealed = self.sealed.as_ref().ok_or(TilesError::NotSealed)?;
        Reader::open(Directory::new(self.files.root()), sealed.checkpoint())
    }

    fn empty(files: Files, log: &VerifierKey) -> Writer {
        Writer {
            files,
            log: log.clone(),
            size: 0,
            edges: vec![Vec::new(); usize::from(LEVELS)],
            bundle: Vec::new(),
            sealed: None,
            published: None,
            filled: Vec::new(),
            interrupted: false,
        }
    }

    fn uninterrupted(&self) -> Result<(), TilesError> {
        if self.interrupted { Err(TilesError::Interrupted) } else { Ok(()) }
    }

    fn root(&self) -> Hash {
        merkle::join(&merkle::subtrees(self.edges.iter().rev()))
    }

    /// Adds a leaf; a tile that is full is written, and its hash goes to the level above.
    fn push(&mut self, leaf: Hash) -> Result<(), TilesError> {
        let mut hash = leaf;
        for level in 0..LEVELS {
            let Some(edge) = self.edges.get_mut(usize::from(level)) else { break };
            edge.push(hash);
            if (edge.len() as u64) < WIDTH {
                break;
            }
            let full = std::mem::take(edge);
            hash = merkle::complete(&full);
            if level == 0 {
                let bundle = std::mem::take(&mut self.bundle);
                self.write(Content::Entries, &bundle)?;
            }
            self.write(Content::Hashes(level), full.as_flattened())?;
        }
        Ok(())
    }

    fn write_edges(&mut self) -> Result<(), TilesError> {
        if !self.bundle.is_empty() {
            let bundle = std::mem::take(&mut self.bundle);
            self.write(Content::Entries, &bundle)?;
            self.bundle = bundle;
        }
        for level in 0..LEVELS {
            let edge = self.edges.get(usize::from(level)).cloned().unwrap_or_default();
            if !edge.is_empty() {
                self.write(Content::Hashes(level), edge.as_flattened())?;
            }
        }
        Ok(())
    }

    /// Writes the last tile of its kind.
    fn write(&mut self, content: Content, bytes: &[u8]) -> Result<(), TilesError> {
        let last = (self.size >> (8 * u32::from(content.level()))).saturating_sub(1);
        let Some(tile) = Tile::of(content, last / WIDTH, self.size) else { return Ok(()) };
        if tile.is_full() {
            self.filled.push(tile);
        }
        Ok(self.files.replace(&tile.to_string(), bytes)?)
    }
}

/// Reads a checkpoint of our own; none if there is none.
fn read_checkpoint(
    source: &Directory,
    file: &str,
    log: &VerifierKey,
) -> Result<Option<SignedCheckpoint>, TilesError> {
    let path = file.to_owned();
    let bytes = source.fetch(file, MAX_NOTE).map_err(|source| TilesError::Io { path, source })?;
    let opened = bytes.map(|bytes| SignedCheckpoint::open(&bytes, log)).transpose();
    opened.map_err(|source| TilesError::Checkpoint { file: file.to_owned(), source })
}

/// The tiles that a crash after publishing may have left with partial predecessors.
fn last_full_tiles(size: u64) -> Vec<Tile> {
    let contents = (0..LEVELS).map(Content::Hashes).chain([Content::Entries]);
    contents
        .filter_map(|content| {
            let full = (size >> (8 * u32::from(content.level()))) / WIDTH;
            Tile::of(content, full.checked_sub(1)?, size)
        })
        .collect()
}
