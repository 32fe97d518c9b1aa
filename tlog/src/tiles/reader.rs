//! Roots, proofs and entries out of tiles.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::Content;
use super::MAX_ENTRY;
use super::Source;
use super::Tile;
use super::TilesError;
use super::WIDTH;
use crate::Hash;
use crate::checkpoint::Checkpoint;
use crate::leaf_hash;
use crate::merkle;

/// Levels of tiles that a tree of at most 2^63 - 1 leaves can have.
pub(super) const LEVELS: u8 = 8;

/// How many full tiles are remembered: 4 MiB.
const REMEMBERED: usize = 512;

/// Reads the tree of one checkpoint. Nothing that it returns is other than what that root says:
/// whoever has the files may withhold them, but cannot change a proof or an entry.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    size: u64,
    root: Hash,
    /// The partial tile at the right end of each level, empty where the last tile is full.
    edges: Vec<Arc<[Hash]>>,
    cache: Mutex<Cache>,
}

impl<S: Source> Reader<S> {
    /// Opens the tree of a checkpoint, whose signature the caller has verified.
    ///
    /// # Errors
    /// If the tiles at the right end cannot be had or have another root.
    pub fn open(source: S, checkpoint: &Checkpoint) -> Result<Reader<S>, TilesError> {
        let (size, root) = (checkpoint.size(), *checkpoint.root());
        let mut reader = Reader { source, size, root, edges: Vec::new(), cache: Mutex::default() };
        for level in 0..LEVELS {
            let hashes = size >> (8 * level);
            let edge = match Tile::of(Content::Hashes(level), hashes / WIDTH, size) {
                Some(tile) => reader.fetch_hashes(tile)?,
                None => Vec::new(),
            };
            reader.edges.push(edge.into());
        }
        if merkle::join(&merkle::subtrees(reader.edges.iter().rev())) != root {
            return Err(TilesError::Disagrees { path: "checkpoint".into() });
        }
        Ok(reader)
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its root.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The root when the tree had `size` leaves.
    ///
    /// # Errors
    /// If it has fewer, or a tile cannot be had.
    pub fn root_at(&self, size: u64) -> Result<Hash, TilesError> {
        if size > self.size {
            return Err(TilesError::NoSuchLeaf { size: self.size });
        }
        self.range(0..size)
    }

    /// The hash of leaf `index`, from 0.
    ///
    /// # Errors
    /// If there is no such leaf, or a tile cannot be had.
    pub fn leaf(&self, index: u64) -> Result<Hash, TilesError> {
        if index >= self.size {
            return Err(TilesError::NoSuchLeaf { size: self.size });
        }
        self.range(index..index + 1)
    }

    /// Proves leaf `index` to be in the tree as it was with `size` leaves (RFC 6962 section 2.1.1).
    ///
    /// # Errors
    /// If there was no such leaf, or a tile cannot be had.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, TilesError> {
        let ranges = merkle::inclusion_ranges(index, size).filter(|_| size <= self.size);
        self.hashes(ranges)
    }

    /// Proves that the tree with `new` leaves continues that with `old` (RFC 6962 section 2.1.2).
    ///
    /// # Errors
    /// If `old <= new <= size` does not hold, or a tile cannot be had.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, TilesError> {
        let ranges = merkle::consistency_ranges(old, new).filter(|_| new <= self.size);
        self.hashes(ranges)
    }

    /// Whether this tree continues that of an earlier checkpoint. What the origins are is not asked.
    ///
    /// # Errors
    /// If a tile cannot be had.
    pub fn continues(&self, earlier: &Checkpoint) -> Result<bool, TilesError> {
        Ok(earlier.size() <= self.size && self.root_at(earlier.size())? == *earlier.root())
    }

    /// Entry `index`, from 0.
    ///
    /// # Errors
    /// If there is no such entry, or a tile cannot be had or has another entry than the tree.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, TilesError> {
        let bundle = self.bundle(index / WIDTH)?;
        let wanted = (index % WIDTH) as usize;
        let entry = split_bundle(&bundle).flatten().nth(wanted);
        entry.map(<[u8]>::to_vec).ok_or(TilesError::NoSuchLeaf { size: self.size })
    }

    /// Shows `f` every entry of a range with its index, in order; one bundle is in memory at a time.
    ///
    /// # Errors
    /// What `f` returns; or if a tile cannot be had or has other entries than the tree.
    pub fn for_each<E: From<TilesError>>(
        &self,
        range: Range<u64>,
        mut f: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if range.end > self.size {
            return Err(TilesError::NoSuchLeaf { size: self.size }.into());
        }
        let mut next = range.start;
        while next < range.end {
            let bundle = self.bundle(next / WIDTH)?;
            let first = next / WIDTH * WIDTH;
            for (index, entry) in (first..range.end).zip(split_bundle(&bundle).flatten()) {
                if index == next {
                    f(index, entry)?;
                    next += 1;
                }
            }
        }
        Ok(())
    }

    /// The bytes of an entry bundle, verified against the leaves.
    pub(super) fn bundle(&self, index: u64) -> Result<Vec<u8>, TilesError> {
        let tile =
            Tile::of(Content::Entries, index, self.size).ok_or(TilesError::NoSuchLeaf { size: self.size })?;
        let leaves = self.tile(0, index)?;
        let disagrees = || TilesError::Disagrees { path: tile.to_string() };
        let mut bytes = self.fetch(tile, WIDTH as usize * (2 + MAX_ENTRY))?;
        let mut length = 0;
        for (leaf, entry) in leaves.iter().zip(split_bundle(&bytes).chain(std::iter::repeat(None))) {
            let entry = entry.filter(|entry| leaf_hash(entry) == *leaf).ok_or_else(disagrees)?;
            length += 2 + entry.len();
        }
        if tile.is_full() && length < bytes.len() {
            return Err(disagrees());
        }
        // More than that is right where the full bundle stands for a partial one.
        bytes.truncate(length);
        Ok(bytes)
    }

    /// The right end of each level.
    pub(super) fn edges(&self) -> &[Arc<[Hash]>] {
        &self.edges
    }

    fn hashes(&self, ranges: Option<Vec<Range<u64>>>) -> Result<Vec<Hash>, TilesError> {
        let ranges = ranges.ok_or(TilesError::NoSuchLeaf { size: self.size })?;
        ranges.into_iter().map(|range| self.range(range)).collect()
    }

    /// The hash of the tree over some leaves, as RFC 6962 splits trees.
    fn range(&self, range: Range<u64>) -> Result<Hash, TilesError> {
        let Range { mut start, end } = range;
        let mut subtrees = Vec::new();
        while start < end {
            let height = (end - start).ilog2().min(start.trailing_zeros());
            subtrees.push(self.subtree(height, start >> height)?);
            start += 1 << height;
        }
        Ok(merkle::join(&subtrees))
    }

    /// The root of the complete subtree number `index` of this height; it lies within one tile.
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, TilesError> {
        let within = height % 8;
        let first = index << within;
        let tile = self.tile((height / 8) as u8, first / WIDTH)?;
        let from = (first % WIDTH) as usize;
        let nodes = tile.get(from..from + (1 << within));
        nodes.map(merkle::complete).ok_or(TilesError::NoSuchLeaf { size: self.size })
    }

    /// The hashes of a tile, verified up to the root.
    fn tile(&self, level: u8, index: u64) -> Result<Arc<[Hash]>, TilesError> {
        let none = TilesError::NoSuchLeaf { size: self.size };
        let Some(tile) = Tile::of(Content::Hashes(level), index, self.size) else { return Err(none) };
        if !tile.is_full() {
            return self.edges.get(usize::from(level)).cloned().ok_or(none);
        }
        if let Some(hashes) = self.cache().get(tile) {
            return Ok(hashes);
        }
        let above = self.tile(level + 1, index / WIDTH)?;
        let hashes = self.fetch_hashes(tile)?;
        if above.get((index % WIDTH) as usize) != Some(&merkle::complete(&hashes)) {
            return Err(TilesError::Disagrees { path: tile.to_string() });
        }
        let hashes: Arc<[Hash]> = hashes.into();
        self.cache().put(tile, Arc::clone(&hashes));
        Ok(hashes)
    }

    fn fetch_hashes(&self, tile: Tile) -> Result<Vec<Hash>, TilesError> {
        let bytes = self.fetch(tile, WIDTH as usize * 32)?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        let width = tile.width() as usize;
        let fits = rest.is_empty() && (hashes.len() == width || hashes.len() == WIDTH as usize);
        let hashes = hashes.get(..width).filter(|_| fits);
        hashes.map(<[Hash]>::to_vec).ok_or_else(|| TilesError::Disagrees { path: tile.to_string() })
    }

    /// A file, or the full one once a partial one is gone.
    fn fetch(&self, tile: Tile, limit: usize) -> Result<Vec<u8>, TilesError> {
        let mut found = None;
        for tile in [Some(tile), (!tile.is_full()).then(|| tile.full())].into_iter().flatten() {
            let path = tile.to_string();
            found = self.source.fetch(&path, limit).map_err(|source| TilesError::Io { path, source })?;
            if found.is_some() {
                break;
            }
        }
        let path = || tile.to_string();
        let bytes = found.ok_or_else(|| TilesError::Missing { path: path() })?;
        if bytes.len() > limit { Err(TilesError::Disagrees { path: path() }) } else { Ok(bytes) }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Full tiles that were verified; the oldest goes when there are too many.
#[derive(Debug, Default)]
struct Cache {
    tiles: HashMap<Tile, Arc<[Hash]>>,
    order: VecDeque<Tile>,
}

impl Cache {
    fn get(&self, tile: Tile) -> Option<Arc<[Hash]>> {
        self.tiles.get(&tile).cloned()
    }

    fn put(&mut self, tile: Tile, hashes: Arc<[Hash]>) {
        if self.tiles.insert(tile, hashes).is_none() {
            self.order.push_back(tile);
        }
        if self.order.len() > REMEMBERED {
            self.order.pop_front().and_then(|oldest| self.tiles.remove(&oldest));
        }
    }
}

/// The entries of a bundle; the last is none if the bundle ends within it.
fn split_bundle(bundle: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = bundle;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = rest
            .split_first_chunk()
            .and_then(|(length, after)| after.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        rest = entry.map_or(&[], |(_, after)| after);
        Some(entry.map(|(entry, _)| entry))
    })
}
