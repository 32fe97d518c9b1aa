//! Reading the log: stories and proofs.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::params;
use serde_json::Value;

use crate::cbor;
use crate::error::OpenError;
use crate::error::ReadError;
use crate::keys::Keys;
use crate::leaf::Hash;
use crate::leaf::Leaf;
use crate::private_record;
use crate::private_record::Place;
use crate::private_record::PrivateRecord;
use crate::store;
use tlog::merkle;
use tlog::merkle::Tree;

/// One record of one transaction, as far as the reader's key and past erasures allow.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The leaf's index in the log.
    pub seq: u64,
    /// The transaction.
    pub txid: String,
    /// What happened.
    pub event: String,
    /// When it was recorded: microseconds since 1970-01-01T00:00Z.
    pub time: i64,
    /// The whole leaf as JSON; byte strings are lower-case hexadecimal.
    pub leaf: Value,
    /// SHA-256(0x00 || leaf).
    pub leaf_hash: [u8; 32],
    /// The private half; none if it was erased, never existed, or the reader has no key.
    pub private: Option<Value>,
    /// The committed values with their salts, from the private half.
    pub openings: Vec<Opening>,
    /// Whether there was a private half that is no longer there.
    pub erased: bool,
}

/// What it takes to show one committed value to somebody who has the leaf.
#[derive(Clone, Eq, PartialEq)]
pub struct Opening {
    /// The name of the value in the leaf.
    pub name: String,
    /// The salt; whoever has it can test guesses of the value.
    pub salt: [u8; 32],
    /// The value.
    pub value: Vec<u8>,
}

/// Shows the name alone.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A read-only view of a log; works beside a running writer, in the same or another process.
///
/// Not shared between threads: each opens its own.
pub struct Reader {
    pub(crate) database: Connection,
    pub(crate) keys: Option<Keys>,
}

impl Reader {
    /// Opens the database at `path`. Without the key the public half can be read and verified.
    ///
    /// # Errors
    /// [`OpenError::File`] if there is none, [`OpenError::WrongKey`], [`OpenError::Format`],
    /// [`OpenError::Storage`].
    pub fn open(path: &Path, key: Option<&[u8; 32]>) -> Result<Reader, OpenError> {
        // SQLite calls a missing file only "unable to open"; the system says why.
        std::fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let database = store::connect_read_only(path)?;
        let format = store::format(&database)?;
        if format != store::FORMAT {
            return Err(OpenError::Format(format));
        }
        let keys = key.map(Keys::new);
        if let Some(keys) = &keys
            && !keys.fits(&database)?
        {
            return Err(OpenError::WrongKey);
        }
        Ok(Reader { database, keys })
    }

    /// All records of every transaction that has an entry with this look-up value, oldest first.
    /// `kind` is `txid` or one of the kinds the entries were recorded with.
    ///
    /// # Errors
    /// [`ReadError::NeedsKey`] for other kinds than `txid` in a reader without key.
    pub fn find(&self, kind: &str, value: &str) -> Result<Vec<Story>, ReadError> {
        let mut seqs = BTreeSet::new();
        if kind == "txid" {
            self.leaves_of(value, &mut seqs)?;
        } else {
            let keys = self.keys.as_ref().ok_or(ReadError::NeedsKey)?;
            let mut statement = self.database.prepare_cached(
                "SELECT DISTINCT leaf.txid FROM lookup JOIN leaf USING (seq) WHERE lookup.value = ?1",
            )?;
            let index = keys.index(kind, value);
            for txid in statement.query_map([index], |row| row.get::<_, String>(0))? {
                self.leaves_of(&txid?, &mut seqs)?;
            }
        }
        seqs.into_iter().filter_map(|seq| self.story(seq).transpose()).collect()
    }

    fn leaves_of(&self, txid: &str, seqs: &mut BTreeSet<u64>) -> Result<(), ReadError> {
        let mut statement = self.database.prepare_cached("SELECT seq FROM leaf WHERE txid = ?1")?;
        for seq in statement.query_map([txid], |row| row.get(0))? {
            seqs.insert(seq?);
        }
        Ok(())
    }

    /// The record with this index, if the log is that long.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if what stands there is no leaf.
    pub fn story(&self, seq: u64) -> Result<Option<Story>, ReadError> {
        let row = self
            .database
            .prepare_cached(&format!("{ROWS} WHERE leaf.seq = ?1"))?
            .query_row([seq], Rows::read)
            .optional()?;
        let Some(row) = row else { return Ok(None) };
        let leaf = Leaf::decode(&row.encoding).ok_or(ReadError::Damaged(seq))?;
        let record = self.private_record(&leaf, &row)?;
        let (private, openings) =
            record.map_or((None, Vec::new()), |record| (Some(record.value), record.openings));
        Ok(Some(Story {
            seq,
            time: leaf.time,
            leaf: cbor::Value::decode(&row.encoding).map_or(Value::Null, |leaf| leaf.to_json()),
            leaf_hash: crate::leaf::leaf_hash(&row.encoding),
            private,
            openings,
            erased: leaf.private.is_some() && row.ciphertext.is_none(),
            txid: leaf.txid,
            event: leaf.event,
        }))
    }

    /// Decrypts the private half of a leaf, if it is there and opens.
    pub(crate) fn private_record(&self, leaf: &Leaf, row: &Rows) -> Result<Option<PrivateRecord>, ReadError> {
        let (Some(keys), Some(ciphertext), Some(wrapped)) = (&self.keys, &row.ciphertext, &row.wrapped)
        else {
            return Ok(None);
        };
        let place = Place { origin: &leaf.origin, seq: leaf.seq, txid: &leaf.txid };
        let plaintext = private_record::unseal(&keys.wrapping(&leaf.boot), place, ciphertext, wrapped)?;
        Ok(plaintext.and_then(|plaintext| PrivateRecord::decode(&plaintext)))
    }

    /// The encoding of the leaf with this index: what its hash is taken of.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] if the log is shorter.
    pub fn leaf(&self, seq: u64) -> Result<Vec<u8>, ReadError> {
        self.database
            .prepare_cached("SELECT encoding FROM leaf WHERE seq = ?1")?
            .query_row([seq], |row| row.get(0))
            .optional()?
            .ok_or(ReadError::OutOfRange(self.size()?))
    }

    /// How many leaves the log holds.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub fn size(&self) -> Result<u64, ReadError> {
        Ok(store::newest(&self.database)?.map_or(0, |(seq, _)| seq + 1))
    }

    /// The Merkle tree hash of the first `size` leaves (RFC 6962 section 2.1).
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] if the log is shorter.
    pub fn root(&self, size: u64) -> Result<[u8; 32], ReadError> {
        self.subtree(0..size)
    }

    /// Proves that leaf `index` is in the tree of the first `size` leaves (RFC 6962 section 2.1.1);
    /// checked with [`merkle::verify_inclusion`].
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] if there is no such leaf in it or the log is shorter.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<[u8; 32]>, ReadError> {
        match merkle::inclusion_ranges(index, size) {
            Some(ranges) => ranges.into_iter().map(|range| self.subtree(range)).collect(),
            None => Err(ReadError::OutOfRange(self.size()?)),
        }
    }

    /// Proves that the first `new` leaves begin with the first `old` (RFC 6962 section 2.1.2);
    /// checked with [`merkle::verify_consistency`].
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] if the log is shorter or `old` is larger.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<[u8; 32]>, ReadError> {
        match merkle::consistency_ranges(old, new) {
            Some(ranges) => ranges.into_iter().map(|range| self.subtree(range)).collect(),
            None => Err(ReadError::OutOfRange(self.size()?)),
        }
    }

    fn subtree(&self, range: Range<u64>) -> Result<Hash, ReadError> {
        let mut tree = Tree::new();
        let mut statement = self
            .database
            .prepare_cached("SELECT hash FROM leaf WHERE seq >= ?1 AND seq < ?2 ORDER BY seq")?;
        for hash in statement.query_map(params![range.start, range.end], |row| row.get(0))? {
            tree.push(hash?);
        }
        if tree.size() == range.end - range.start {
            Ok(tree.root())
        } else {
            Err(ReadError::OutOfRange(self.size()?))
        }
    }
}

/// A leaf with what lies beside it.
pub(crate) struct Rows {
    pub(crate) seq: u64,
    pub(crate) txid: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) encoding: Vec<u8>,
    pub(crate) ciphertext: Option<Vec<u8>>,
    pub(crate) wrapped: Option<Vec<u8>>,
    pub(crate) lookups: Option<Vec<u8>>,
}

/// Selects [`Rows`].
pub(crate) const ROWS: &str = "SELECT leaf.seq, txid, hash, encoding, ciphertext, wrapped, lookups \
     FROM leaf LEFT JOIN private USING (seq) LEFT JOIN record_key USING (seq)";

impl Rows {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Rows> {
        Ok(Rows {
            seq: row.get(0)?,
            txid: row.get(1)?,
            hash: row.get(2)?,
            encoding: row.get(3)?,
            ciphertext: row.get(4)?,
            wrapped: row.get(5)?,
            lookups: row.get(6)?,
        })
    }
}
