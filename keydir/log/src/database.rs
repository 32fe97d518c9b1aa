//! The database beside the tiles: the index, where the log stands, and what opens its commitments.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::OptionalExtension;
use rusqlite::params;
use tlog::Hash;

use crate::entry::Entry;
use crate::entry::Root;
use crate::index;
use crate::index::IndexError;
use crate::keyset::KeySet;
use crate::keyset::Opening;
use crate::keyset::Salt;

/// The name of the database of a log.
pub(crate) const FILE: &str = "log.db";

/// What `PRAGMA user_version` says of a database of this form.
const FORM: i32 = 1;

/// How long one waits for the other side's transaction.
const PATIENCE: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, labels INTEGER NOT NULL,
        tree BLOB NOT NULL, root BLOB NOT NULL, inclusion BLOB NOT NULL, checkpoint TEXT NOT NULL);
    CREATE TABLE openings (number INTEGER PRIMARY KEY, previous INTEGER, salt BLOB NOT NULL, keys BLOB NOT NULL);
    CREATE TABLE halt (known INTEGER NOT NULL);";

/// Where an index stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// How many entries of the log it has seen; the last was `root`.
    pub(crate) size: u64,
    pub(crate) labels: u64,
    /// The root of the log's tree of that size.
    pub(crate) tree: Hash,
    pub(crate) root: Root,
    /// Proves the last entry to be in that tree.
    pub(crate) inclusion: Vec<Hash>,
    /// The signed checkpoint of that tree; empty where there is none, as in an audit.
    pub(crate) checkpoint: String,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database(pub(crate) Connection);

impl Database {
    /// A database for one run: SQLite keeps it in memory while it is small, and else in a file without a name.
    pub(crate) fn temporary() -> Result<Database, IndexError> {
        let database = Database::open(Path::new(""))?;
        database.0.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA secure_delete = OFF;
             PRAGMA cache_size = -98304;",
        )?;
        Ok(database)
    }

    /// Opens a database to write to it, and makes it if there is none.
    pub(crate) fn open(path: &Path) -> Result<Database, IndexError> {
        let database = Database(Connection::open(path)?);
        let connection = &database.0;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(32);
        // Deleted salts are overwritten; nothing is lost that a commit has promised.
        connection.execute_batch(
            "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
             PRAGMA cache_size = -65536; PRAGMA trusted_schema = OFF;",
        )?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0))? {
            FORM => {}
            0 => {
                let schema = index::SCHEMA;
                connection.execute_batch(&format!(
                    "BEGIN; {schema} {SCHEMA} PRAGMA user_version = {FORM}; COMMIT;"
                ))?;
            }
            _ => return Err(IndexError::Damaged("it was written by a later version")),
        }
        if database.id()? == 0 {
            let salt = Salt::generate().map_err(|_| IndexError::Damaged("no number for it can be made"))?;
            let id = salt.as_bytes().iter().fold(1_i32, |id, octet| id.wrapping_mul(257) ^ i32::from(*octet));
            connection.pragma_update(None, "application_id", (id & i32::MAX).max(1))?;
        }
        Ok(database)
    }

    /// Which database this is: another one that took its place, as after a loss, has another number. 0 is none.
    pub(crate) fn id(&self) -> Result<i32, IndexError> {
        Ok(self.0.query_row("PRAGMA application_id", [], |row| row.get(0))?)
    }

    /// Opens a database that another process writes to.
    pub(crate) fn open_to_read(path: &Path) -> Result<Database, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Database(Connection::open_with_flags(path, flags)?);
        database.0.busy_timeout(PATIENCE)?;
        database.0.set_prepared_statement_cache_capacity(32);
        database.0.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8192;")?;
        match database.0.query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0))? {
            FORM => Ok(database),
            _ => Err(IndexError::Damaged("it is not the index of a key log of this version")),
        }
    }

    /// Where the index stands; none before the first root.
    pub(crate) fn state(&self) -> Result<Option<State>, IndexError> {
        const SQL: &str = "SELECT size, labels, tree, root, inclusion, checkpoint FROM state";
        let mut statement = self.0.prepare_cached(SQL)?;
        let row = statement.query_row([], |row| {
            let size = row.get::<_, i64>(0)?.cast_unsigned();
            let labels = row.get::<_, i64>(1)?.cast_unsigned();
            let (root, inclusion): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
            Ok((size, labels, row.get(2)?, root, inclusion, row.get(5)?))
        });
        let Some((size, labels, tree, root, inclusion, checkpoint)) = row.optional()? else {
            return Ok(None);
        };
        let Some(Entry::Root(root)) = Entry::from_bytes(&root) else {
            return Err(IndexError::Damaged("its root is not one"));
        };
        let (inclusion, rest) = inclusion.as_chunks::<32>();
        if !rest.is_empty() || size == 0 {
            return Err(IndexError::Damaged("its state is not one"));
        }
        Ok(Some(State { size, labels, tree, root, inclusion: inclusion.to_vec(), checkpoint }))
    }

    pub(crate) fn set_state(&self, state: &State) -> Result<(), IndexError> {
        const SQL: &str = "INSERT OR REPLACE INTO state VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
        self.0.prepare_cached(SQL)?.execute(params![
            state.size.cast_signed(),
            state.labels.cast_signed(),
            state.tree.as_slice(),
            state.root.to_bytes().as_slice(),
            state.inclusion.as_flattened(),
            state.checkpoint,
        ])?;
        Ok(())
    }

    /// The size that a witness knows, if that showed this log to be an old copy.
    pub(crate) fn halted(&self) -> Result<Option<u64>, IndexError> {
        let known: Option<i64> = self.0.query_row("SELECT max(known) FROM halt", [], |row| row.get(0))?;
        Ok(known.map(i64::cast_unsigned))
    }

    pub(crate) fn halt(&self, known: u64) -> Result<(), IndexError> {
        self.0.execute("INSERT INTO halt VALUES (?1)", [known.cast_signed()])?;
        Ok(())
    }

    pub(crate) fn resume(&self) -> Result<(), IndexError> {
        self.0.execute("DELETE FROM halt", [])?;
        Ok(())
    }

    pub(crate) fn opening(&self, number: u64) -> Result<Option<Opening>, IndexError> {
        let mut statement = self.0.prepare_cached("SELECT salt, keys FROM openings WHERE number = ?1")?;
        let row =
            statement.query_row([number.cast_signed()], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
        let Some((salt, keys)) = row.optional()? else { return Ok(None) };
        let keys = KeySet::from_bytes(&keys).ok_or(IndexError::Damaged("a key set is not one"))?;
        Ok(Some(Opening { salt: Salt::from_bytes(salt), keys }))
    }

    pub(crate) fn add_opening(
        &self,
        number: u64,
        previous: Option<u64>,
        opening: &Opening,
    ) -> Result<(), IndexError> {
        const SQL: &str = "INSERT OR REPLACE INTO openings VALUES (?1, ?2, ?3, ?4)";
        self.0.prepare_cached(SQL)?.execute(params![
            number.cast_signed(),
            previous.map(u64::cast_signed),
            opening.salt.0.as_slice(),
            opening.keys.to_bytes()
        ])?;
        Ok(())
    }

    /// Deletes what opens the entry with this number and all earlier ones of its label.
    pub(crate) fn forget(&self, newest: u64) -> Result<(), IndexError> {
        const SQL: &str = "DELETE FROM openings WHERE number = ?1 RETURNING previous";
        let mut next = Some(newest);
        while let Some(number) = next {
            let mut statement = self.0.prepare_cached(SQL)?;
            let row = statement.query_row([number.cast_signed()], |row| row.get::<_, Option<i64>>(0));
            next = row.optional()?.flatten().map(i64::cast_unsigned);
        }
        Ok(())
    }

    /// Deletes what opens entries from this number on: they never came into the log.
    pub(crate) fn forget_from(&self, number: u64) -> Result<(), IndexError> {
        self.0.execute("DELETE FROM openings WHERE number >= ?1", [number.cast_signed()])?;
        Ok(())
    }
}
