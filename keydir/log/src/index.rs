//! The index on disk: the trie of [`crate::trie`] in an SQLite database.
//!
//! Labels stand in one table in their order. Above every set of more than [`BUCKET`] labels that share
//! their first nibbles stands a page with the hashes of its sixteen parts, so an update or a proof touches
//! one page for each four bits and one short range of labels, whatever the number of labels.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;
use thiserror::Error;
use tlog::Hash;

use crate::Label;
use crate::entry::NO_CHAIN;
use crate::entry::State;
use crate::entry::Update;
use crate::keyset::Commitment;
use crate::trie;
use crate::trie::Path;
use crate::trie::Subtree;
use crate::trie::bit_of;
use crate::trie::first_difference;

/// So many labels with the same first nibbles have no page above them.
const BUCKET: u64 = 32;

/// Deeper than this there are no pages: labels that agree in 56 bits do not occur unless somebody made them.
const DEEPEST: u8 = 14;

/// Tables of the index alone. `state` has one row; what is signed and published is beside it.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE labels (label BLOB PRIMARY KEY, number INTEGER NOT NULL, sequence INTEGER NOT NULL,
        previous INTEGER, commitment BLOB, before BLOB NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE pages (prefix INTEGER PRIMARY KEY, children BLOB NOT NULL);";

/// Why the index cannot be used.
#[derive(Debug, Error)]
pub enum IndexError {
    /// What the database holds was never written by us.
    #[error("the index is damaged: {0}")]
    Damaged(&'static str),
    /// SQLite failed.
    #[error("the index cannot be read or written")]
    Database(#[from] rusqlite::Error),
    /// The entry does not continue the last one of its label.
    #[error("entry {number} does not continue the history of its label")]
    NotNext {
        /// Its number in the log.
        number: u64,
    },
}

/// The newest entry of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its number in the log.
    pub number: u64,
    /// What it says.
    pub update: Update,
    /// The value of the label before this entry.
    pub before: Hash,
}

/// Where the search for a label in the tree ends, and the way from there to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) label: Label,
    pub(crate) value: Hash,
    pub(crate) path: Path,
}

/// How many labels a part of the tree has, and its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    count: u64,
    hash: Hash,
}

/// The first nibbles that some labels share.
#[derive(Clone, Copy)]
struct Prefix {
    depth: u8,
    nibbles: u64,
}

/// The index in an open database, inside whatever transaction there is.
pub(crate) struct Index<'c>(pub(crate) &'c Connection);

impl Index<'_> {
    /// Applies entries in the order of the log to an index of so many labels; returns the new number of
    /// labels and the new root.
    pub(crate) fn apply(&self, labels: u64, updates: &[(u64, Update)]) -> Result<(u64, Hash), IndexError> {
        let changed = self.advance(updates)?;
        let changed: Vec<Label> = changed.into_keys().collect();
        let before = Part { count: labels, hash: [0; 32] };
        let part = if changed.is_empty() {
            self.root_part(labels)?
        } else {
            self.refresh(Prefix::ROOT, &changed, before.count)?
        };
        Ok((part.count, if part.count == 0 { trie::empty_root() } else { part.hash }))
    }

    /// The newest entry of a label.
    pub(crate) fn newest(&self, label: &Label) -> Result<Option<Newest>, IndexError> {
        const SQL: &str =
            "SELECT number, sequence, previous, commitment, before FROM labels WHERE label = ?1";
        let mut statement = self.0.prepare_cached(SQL)?;
        let row = statement
            .query_row([label.0.as_slice()], |row| {
                let commitment: Option<[u8; 32]> = row.get(3)?;
                let state = commitment.map_or(State::Erased, |bytes| State::Keys(Commitment(bytes)));
                let previous = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
                let update = Update { label: *label, sequence: row.get(1)?, previous, state };
                Ok(Newest { number: row.get::<_, i64>(0)?.cast_unsigned(), update, before: row.get(4)? })
            })
            .optional()?;
        Ok(row)
    }

    /// Where the search for a label ends; none in an index without labels.
    pub(crate) fn find(&self, label: &Label, labels: u64) -> Result<Option<Found>, IndexError> {
        let (mut prefix, mut count) = (Prefix::ROOT, labels);
        let mut upper = Vec::new();
        while count > BUCKET && prefix.depth < DEEPEST {
            let page = self.page(prefix)?.ok_or(IndexError::Damaged("a page is missing"))?;
            let parts: Vec<(u8, Part)> = page.into_iter().filter(|(_, part)| part.count > 0).collect();
            let subtrees: Vec<Subtree> = parts
                .iter()
                .map(|(nibble, part)| Subtree { label: prefix.child(*nibble).first(), hash: part.hash })
                .collect();
            let position = descend(&subtrees, label);
            let (nibble, part) = parts.get(position).ok_or(IndexError::Damaged("a page is empty"))?;
            upper.push(trie::join(&subtrees, Some(position)).1);
            (prefix, count) = (prefix.child(*nibble), part.count);
        }
        let rows = self.range(prefix)?;
        let subtrees = leaves(&rows);
        let position = descend(&subtrees, label);
        let Some((found, value)) = rows.get(position) else {
            return if labels == 0 { Ok(None) } else { Err(IndexError::Damaged("labels are missing")) };
        };
        let mut path = trie::join(&subtrees, Some(position)).1;
        upper.into_iter().rev().for_each(|steps| path.0.extend(steps.0));
        Ok(Some(Found { label: *found, value: *value, path }))
    }

    /// Writes the new newest entries, and returns the labels that they are of.
    fn advance(&self, updates: &[(u64, Update)]) -> Result<BTreeMap<Label, Newest>, IndexError> {
        let mut changed: BTreeMap<Label, Newest> = BTreeMap::new();
        for (number, update) in updates {
            let last = match changed.get(&update.label) {
                Some(newest) => Some(*newest),
                None => self.newest(&update.label)?,
            };
            let sequence = last.map_or(Some(1), |last| last.update.sequence.checked_add(1));
            if Some(update.sequence) != sequence || update.previous != last.map(|last| last.number) {
                return Err(IndexError::NotNext { number: *number });
            }
            let before = last.map_or(NO_CHAIN, |last| last.update.chain(&last.before));
            changed.insert(update.label, Newest { number: *number, update: *update, before });
        }
        const SQL: &str =
            "INSERT INTO labels VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (label) DO UPDATE SET
            number = ?2, sequence = ?3, previous = ?4, commitment = ?5, before = ?6, value = ?7";
        let mut statement = self.0.prepare_cached(SQL)?;
        for (label, Newest { number, update, before }) in &changed {
            let commitment = match &update.state {
                State::Keys(commitment) => Some(commitment.0.as_slice()),
                State::Erased => None,
            };
            let value = update.chain(before);
            let Update { sequence, previous, .. } = *update;
            statement.execute(params![
                label.0.as_slice(),
                number.cast_signed(),
                sequence,
                previous.map(u64::cast_signed),
                commitment,
                before.as_slice(),
                value.as_slice()
            ])?;
        }
        Ok(changed)
    }

    /// Computes the part with this prefix anew, in which these labels have changed and which had `count`
    /// labels before.
    fn refresh(&self, prefix: Prefix, changed: &[Label], count: u64) -> Result<Part, IndexError> {
        if count <= BUCKET || prefix.depth >= DEEPEST {
            return self.build(prefix, &self.range(prefix)?);
        }
        let mut page = self.page(prefix)?.ok_or(IndexError::Damaged("a page is missing"))?;
        for group in changed.chunk_by(|a, b| prefix.next_nibble(a) == prefix.next_nibble(b)) {
            let Some(nibble) = group.first().map(|label| prefix.next_nibble(label)) else { continue };
            let Some((_, part)) = page.get_mut(usize::from(nibble)) else { continue };
            *part = self.refresh(prefix.child(nibble), group, part.count)?;
        }
        self.write(prefix, &page)
    }

    /// Computes the part with this prefix from all its labels, and writes its pages if it needs any.
    fn build(&self, prefix: Prefix, rows: &[(Label, Hash)]) -> Result<Part, IndexError> {
        let count = rows.len() as u64;
        if count <= BUCKET || prefix.depth >= DEEPEST {
            let hash = trie::join(&leaves(rows), None).0.map_or([0; 32], |root| root.hash);
            return Ok(Part { count, hash });
        }
        let mut page = empty_page();
        for group in rows.chunk_by(|a, b| prefix.next_nibble(&a.0) == prefix.next_nibble(&b.0)) {
            let Some(nibble) = group.first().map(|(label, _)| prefix.next_nibble(label)) else { continue };
            let Some((_, part)) = page.get_mut(usize::from(nibble)) else { continue };
            *part = self.build(prefix.child(nibble), group)?;
        }
        self.write(prefix, &page)
    }

    fn root_part(&self, labels: u64) -> Result<Part, IndexError> {
        match self.page(Prefix::ROOT)? {
            Some(page) if labels > BUCKET => Ok(whole(Prefix::ROOT, &page)),
            _ => self.build(Prefix::ROOT, &self.range(Prefix::ROOT)?),
        }
    }

    fn range(&self, prefix: Prefix) -> Result<Vec<(Label, Hash)>, IndexError> {
        const SQL: &str = "SELECT label, value FROM labels WHERE label BETWEEN ?1 AND ?2 ORDER BY label";
        let mut statement = self.0.prepare_cached(SQL)?;
        let rows = statement
            .query_map(params![prefix.first().0.as_slice(), prefix.last().0.as_slice()], |row| {
                Ok((Label(row.get(0)?), row.get(1)?))
            })?
            .collect::<Result<Vec<(Label, Hash)>, _>>()?;
        Ok(rows)
    }

    fn page(&self, prefix: Prefix) -> Result<Option<Vec<(u8, Part)>>, IndexError> {
        let mut statement = self.0.prepare_cached("SELECT children FROM pages WHERE prefix = ?1")?;
        let bytes: Option<Vec<u8>> = statement.query_row([prefix.key()], |row| row.get(0)).optional()?;
        bytes.map(|bytes| decode_page(&bytes).ok_or(IndexError::Damaged("a page is not one"))).transpose()
    }

    fn write(&self, prefix: Prefix, page: &[(u8, Part)]) -> Result<Part, IndexError> {
        let mut bytes = Vec::with_capacity(16 * 37);
        for (nibble, part) in page.iter().filter(|(_, part)| part.count > 0) {
            bytes.push(*nibble);
            bytes.extend_from_slice(&part.count.to_be_bytes());
            bytes.extend_from_slice(&part.hash);
        }
        let mut statement = self.0.prepare_cached(
            "INSERT INTO pages VALUES (?1, ?2) ON CONFLICT (prefix) DO UPDATE SET children = ?2",
        )?;
        statement.execute(params![prefix.key(), bytes])?;
        Ok(whole(prefix, page))
    }
}

impl Prefix {
    const ROOT: Prefix = Prefix { depth: 0, nibbles: 0 };

    /// The number of its page. The bit above the nibbles tells prefixes of different lengths apart.
    fn key(self) -> i64 {
        i64::try_from((1 << (4 * self.depth)) | self.nibbles).unwrap_or(i64::MAX)
    }

    fn child(self, nibble: u8) -> Prefix {
        Prefix { depth: self.depth + 1, nibbles: (self.nibbles << 4) | u64::from(nibble & 15) }
    }

    /// The nibble of a label after this prefix.
    fn next_nibble(self, label: &Label) -> u8 {
        let byte = label.0.get(usize::from(self.depth / 2)).copied().unwrap_or(0);
        if self.depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
    }

    fn first(self) -> Label {
        let mut bytes = [0; 32];
        let nibbles = if self.depth == 0 { 0 } else { self.nibbles << (64 - 4 * self.depth) };
        bytes.iter_mut().zip(nibbles.to_be_bytes()).for_each(|(to, from)| *to = from);
        Label(bytes)
    }

    fn last(self) -> Label {
        let mut bytes = [0xff; 32];
        let rest = u64::MAX.checked_shr(4 * u32::from(self.depth)).unwrap_or(0);
        let nibbles = if self.depth == 0 { 0 } else { self.nibbles << (64 - 4 * self.depth) };
        bytes.iter_mut().zip((nibbles | rest).to_be_bytes()).for_each(|(to, from)| *to = from);
        Label(bytes)
    }
}

/// The number of the subtree in which the search for a label ends.
fn descend(subtrees: &[Subtree], label: &Label) -> usize {
    let (mut from, mut to) = (0, subtrees.len());
    while let Some([first, .., last]) = subtrees.get(from..to) {
        let Some(bit) = first_difference(&first.label, &last.label) else { break };
        let part = subtrees.get(from..to).unwrap_or_default();
        let middle = from + part.partition_point(|subtree| !bit_of(&subtree.label, bit));
        if bit_of(label, bit) { from = middle } else { to = middle }
    }
    from
}

fn leaves(rows: &[(Label, Hash)]) -> Vec<Subtree> {
    rows.iter().map(|(label, value)| Subtree { label: *label, hash: trie::leaf(label, value) }).collect()
}

fn empty_page() -> Vec<(u8, Part)> {
    (0..16).map(|nibble| (nibble, Part::default())).collect()
}

fn decode_page(bytes: &[u8]) -> Option<Vec<(u8, Part)>> {
    let mut page = empty_page();
    if !bytes.len().is_multiple_of(41) {
        return None;
    }
    for mut item in bytes.chunks_exact(41) {
        let [nibble] = crate::entry::take::<1>(&mut item)?;
        let count = u64::from_be_bytes(crate::entry::take(&mut item)?);
        page.get_mut(usize::from(nibble))?.1 = Part { count, hash: crate::entry::take(&mut item)? };
    }
    Some(page)
}

/// The part that a page is of.
fn whole(prefix: Prefix, page: &[(u8, Part)]) -> Part {
    let there = page.iter().filter(|(_, part)| part.count > 0);
    let subtrees: Vec<Subtree> = there
        .map(|(nibble, part)| Subtree { label: prefix.child(*nibble).first(), hash: part.hash })
        .collect();
    let hash = trie::join(&subtrees, None).0.map_or([0; 32], |root| root.hash);
    Part { count: page.iter().map(|(_, part)| part.count).sum(), hash }
}

#[cfg(test)]
mod tests;
