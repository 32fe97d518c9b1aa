//! Recomputing the log.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use rusqlite::OptionalExtension;
use rusqlite::params;

use crate::cbor::Value;
use crate::commitment::commit;
use crate::epoch;
use crate::epoch::Former;
use crate::erase;
use crate::error::ReadError;
use crate::leaf::Hash;
use crate::leaf::Leaf;
use crate::leaf::leaf_hash;
use crate::query::ROWS;
use crate::query::Reader;
use crate::query::Rows;
use tlog::merkle::Tree;

/// The outcome of recomputing the whole log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verification {
    /// How many leaves the log holds.
    pub size: u64,
    /// The Merkle tree hash over them (RFC 6962 section 2.1).
    pub root: [u8; 32],
    /// How many leaves there are of each event.
    pub events: BTreeMap<String, u64>,
    /// How many runs of the software wrote to the log.
    pub epochs: u64,
    /// How many of them ended without saying so; the last one is not counted, it may be running.
    pub unclean: u64,
    /// How many private records were opened and their commitments recomputed.
    pub opened: u64,
    /// How many private records were erased.
    pub erased: u64,
    /// What does not fit together, in order of the leaves.
    pub faults: Vec<Fault>,
}

/// One thing in the log that does not fit.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    /// The leaf where it shows.
    pub seq: u64,
    /// What is wrong, in words.
    pub what: String,
}

impl Verification {
    /// Whether nothing was found wrong.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Reader {
    /// Recomputes everything that can be recomputed: indexes, hashes, the chain of each
    /// transaction, the order of runs, the private halves and (with the key) their commitments.
    ///
    /// That leaves were cut off the end shows only against a size and root kept elsewhere.
    ///
    /// # Errors
    /// [`ReadError::Storage`] if the file cannot be read at all; damage inside it is a fault in the
    /// result.
    pub fn verify(&self) -> Result<Verification, ReadError> {
        // One read transaction: the writer goes on, and this sees the log at one moment.
        let snapshot = self.database.unchecked_transaction()?;
        let origin = snapshot.query_row("SELECT origin FROM log", [], |row| row.get(0))?;
        let mut check = Check {
            reader: self,
            origin,
            tree: Tree::new(),
            run: None,
            missing: BTreeSet::new(),
            result: Verification::default(),
        };
        let mut statement = snapshot.prepare(&format!("{ROWS} WHERE leaf.seq >= 0 ORDER BY leaf.seq"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            check.row(&Rows::read(row)?)?;
        }
        check.leftovers()?;
        Ok(check.finish())
    }
}

/// The run that the leaves at hand belong to.
struct Run {
    boot: [u8; 16],
    closed: bool,
}

struct Check<'a> {
    reader: &'a Reader,
    origin: String,
    tree: Tree,
    run: Option<Run>,
    /// Private halves that are not there, until a leaf says that they were erased.
    missing: BTreeSet<u64>,
    result: Verification,
}

impl Check<'_> {
    fn fault(&mut self, seq: u64, what: impl Into<String>) {
        self.result.faults.push(Fault { seq, what: what.into() });
    }

    fn row(&mut self, row: &Rows) -> Result<(), ReadError> {
        let seq = row.seq;
        // The root is over the leaves as they are, so that it differs when one was changed.
        let hash = leaf_hash(&row.encoding);
        if seq != self.result.size {
            self.fault(seq, format!("leaves {} to {} are missing", self.result.size, seq.saturating_sub(1)));
        }
        self.tree.push(hash);
        self.result.size = seq + 1;
        if row.hash != hash {
            self.fault(seq, "the leaf is not the one its hash was taken of");
        }
        let Some(leaf) = Leaf::decode(&row.encoding) else {
            self.fault(seq, "the leaf cannot be read");
            return Ok(());
        };
        if leaf.seq != seq || leaf.txid != row.txid {
            self.fault(seq, "the leaf stands in the wrong row");
        }
        if leaf.origin != self.origin {
            self.fault(seq, format!("the leaf belongs to log `{}`", leaf.origin));
        }
        if leaf.prev.as_ref().map(Hash::as_slice) != self.previous(&row.txid, seq)?.as_deref() {
            self.fault(seq, "the link to the transaction's previous leaf is wrong");
        }
        self.run(&leaf);
        self.private_half(&leaf, row)?;
        if leaf.event == erase::ERASED {
            self.erasure(&leaf)?;
        }
        *self.result.events.entry(leaf.event).or_default() += 1;
        Ok(())
    }

    /// The stored hash of the transaction's previous leaf, of whatever length it is by now.
    fn previous(&self, txid: &str, seq: u64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.reader
            .database
            .prepare_cached("SELECT hash FROM leaf WHERE txid = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1")?
            .query_row(params![txid, seq], |row| row.get(0))
            .optional()
    }

    /// A run is its opening leaf, any others, its closing leaf; the next run says how it ended.
    fn run(&mut self, leaf: &Leaf) {
        let seq = leaf.seq;
        if leaf.event != epoch::OPEN {
            let (right, closed) =
                self.run.as_ref().map_or((false, false), |run| (run.boot == leaf.boot, run.closed));
            if !right || closed {
                self.fault(seq, "the leaf belongs to no open run");
            }
            if let Some(run) = self.run.as_mut().filter(|_| leaf.event == epoch::CLOSE) {
                run.closed = true;
            }
            return;
        }
        let former = match &self.run {
            None => Former::None,
            Some(run) if run.closed => Former::Clean,
            Some(_) => Former::Unclean,
        };
        if leaf.public_field("former") != Some(&Value::Text(former.name().into())) {
            self.fault(seq, format!("the former run ended {}, which the leaf denies", former.name()));
        }
        self.result.epochs += 1;
        self.result.unclean += u64::from(former == Former::Unclean);
        self.run = Some(Run { boot: leaf.boot, closed: false });
    }

    fn private_half(&mut self, leaf: &Leaf, row: &Rows) -> Result<(), ReadError> {
        let seq = row.seq;
        let Some(digest) = leaf.private else {
            if row.ciphertext.is_some() || row.wrapped.is_some() || !leaf.committed.is_empty() {
                self.fault(seq, "there is a private half that the leaf does not know of");
            }
            return Ok(());
        };
        match (&row.ciphertext, &row.wrapped) {
            (None, None) => drop(self.missing.insert(seq)),
            (Some(_), None) => self.fault(seq, "the key of the private half is gone"),
            (None, Some(_)) => self.fault(seq, "the private half is gone, its key is not"),
            (Some(ciphertext), Some(_)) => {
                if openssl::sha::sha256(ciphertext) != digest {
                    self.fault(seq, "the private half is not the one the leaf was made for");
                }
                self.lookups(row)?;
                if self.reader.keys.is_some() {
                    self.commitments(leaf, row)?;
                }
            }
        }
        Ok(())
    }

    /// Every commitment recomputed from value and salt.
    fn commitments(&mut self, leaf: &Leaf, row: &Rows) -> Result<(), ReadError> {
        let Some(record) = self.reader.private_record(leaf, row)? else {
            self.fault(row.seq, "the private half does not open");
            return Ok(());
        };
        let recomputed =
            record.openings.iter().map(|opening| (&opening.name, commit(&opening.salt, &opening.value)));
        if !recomputed.eq(leaf.committed.iter().map(|(name, commitment)| (name, *commitment))) {
            self.fault(row.seq, "the commitments are not those of the private half");
        }
        self.result.opened += 1;
        Ok(())
    }

    /// The record can be found by everything it should be found by.
    fn lookups(&mut self, row: &Rows) -> Result<(), ReadError> {
        let (values, rest) = row.lookups.as_deref().unwrap_or_default().as_chunks::<16>();
        let database = &self.reader.database;
        let mut statement =
            database.prepare_cached("SELECT EXISTS (SELECT 1 FROM lookup WHERE value = ?1 AND seq = ?2)")?;
        let mut complete = rest.is_empty();
        for value in values {
            complete &= statement.query_row(params![value, row.seq], |row| row.get::<_, bool>(0))?;
        }
        if !complete {
            self.fault(row.seq, "the record cannot be found by all it should be found by");
        }
        Ok(())
    }

    fn erasure(&mut self, leaf: &Leaf) -> Result<(), ReadError> {
        let index = match leaf.public_field(erase::INDEX) {
            Some(Value::Integer(index)) => u64::try_from(*index).ok().filter(|&index| index < leaf.seq),
            _ => None,
        };
        let Some(index) = index else {
            self.fault(leaf.seq, "the erasure names no earlier leaf");
            return Ok(());
        };
        if self.missing.remove(&index) {
            self.result.erased += 1;
        } else {
            self.fault(
                leaf.seq,
                format!("the private half of leaf {index} was not erased, as this leaf says"),
            );
        }
        Ok(())
    }

    /// Rows beside the log that no leaf accounts for.
    fn leftovers(&mut self) -> Result<(), ReadError> {
        let mut orphans = BTreeSet::new();
        for table in ["private", "record_key", "lookup"] {
            let sql = format!(
                "SELECT DISTINCT seq FROM {table} WHERE seq NOT IN (SELECT seq FROM leaf) LIMIT 1000"
            );
            let mut statement = self.reader.database.prepare(&sql)?;
            for seq in statement.query_map([], |row| row.get::<_, i64>(0))? {
                orphans.insert(seq?);
            }
        }
        let negative = "SELECT EXISTS (SELECT 1 FROM leaf WHERE seq < 0)";
        if self.reader.database.query_row(negative, [], |row| row.get(0))? {
            self.fault(0, "there are leaves before the first");
        }
        for seq in orphans {
            self.fault(u64::try_from(seq).unwrap_or(0), "there is a private half without a leaf");
        }
        Ok(())
    }

    fn finish(mut self) -> Verification {
        let missing = std::mem::take(&mut self.missing);
        let what = "the private half is gone and no leaf says it was erased";
        missing.into_iter().for_each(|seq| self.fault(seq, what));
        self.result.faults.sort();
        self.result.root = self.tree.root();
        self.result
    }
}
