//! The SQLite file: its schema, how it is opened, and what a leaf is in rows.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use crate::error::OpenError;
use crate::keys::Keys;
use crate::leaf::Hash;

/// The `user_version` of the schema below.
pub(crate) const FORMAT: i64 = 1;

/// How long to wait for somebody else's lock, such as that of a backup.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// `leaf` is the log; what it commits to lies in `private`, readable by what is in `record_key`.
/// `lookup` holds keyed hashes only; `record_key.lookups` repeats them so that erasing one record
/// finds them all.
const SCHEMA: &str = "
    CREATE TABLE log (origin TEXT NOT NULL, key_check BLOB NOT NULL) STRICT;
    CREATE TABLE epoch (number INTEGER PRIMARY KEY, boot BLOB NOT NULL UNIQUE, opened INTEGER NOT NULL,
        closed INTEGER) STRICT;
    CREATE TABLE leaf (seq INTEGER PRIMARY KEY, txid TEXT NOT NULL, hash BLOB NOT NULL,
        encoding BLOB NOT NULL) STRICT;
    CREATE INDEX leaf_txid ON leaf (txid);
    CREATE TABLE private (seq INTEGER PRIMARY KEY, ciphertext BLOB NOT NULL) STRICT;
    CREATE TABLE record_key (seq INTEGER PRIMARY KEY, wrapped BLOB NOT NULL, lookups BLOB NOT NULL) STRICT;
    CREATE TABLE lookup (value BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (value, seq))
        STRICT, WITHOUT ROWID;
";

/// Which file on disk a path names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file at this path now.
    pub(crate) fn of(path: &Path) -> io::Result<Identity> {
        fs::metadata(path).map(|file| Identity { device: file.dev(), inode: file.ino() })
    }
}

/// Makes the file if it is not there, for its owner alone, and takes rights of others away if it is.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path)?.permissions().mode();
            if mode & 0o077 == 0 {
                Ok(())
            } else {
                fs::set_permissions(path, Permissions::from_mode(mode & 0o600))
            }
        }
        Err(error) => Err(error),
    }
}

/// Opens an existing file for the writer. `synchronous=FULL` makes every commit wait for the disk;
/// `secure_delete` overwrites what is erased.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "secure_delete", "ON")?;
    database.pragma_update(None, "trusted_schema", "OFF")?;
    database.set_prepared_statement_cache_capacity(32);
    Ok(database)
}

/// Opens an existing file for reading only.
pub(crate) fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "trusted_schema", "OFF")?;
    Ok(database)
}

/// The format of an existing file: 0 for an empty one.
pub(crate) fn format(database: &Connection) -> rusqlite::Result<i64> {
    database.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings an empty file to the present format and tests that the file is this log's.
pub(crate) fn migrate(database: &mut Connection, origin: &str, keys: &Keys) -> Result<(), OpenError> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match format(&transaction)? {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute("INSERT INTO log VALUES (?1, ?2)", params![origin, keys.check()])?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        FORMAT => {}
        newer => return Err(OpenError::Format(newer)),
    }
    let found: String = transaction.query_row("SELECT origin FROM log", [], |row| row.get(0))?;
    if found != origin {
        return Err(OpenError::Origin { found, expected: origin.to_owned() });
    }
    if !keys.fits(&transaction)? {
        return Err(OpenError::WrongKey);
    }
    Ok(transaction.commit()?)
}

/// Index and hash of the newest leaf.
pub(crate) fn newest(database: &Connection) -> rusqlite::Result<Option<(u64, Hash)>> {
    database
        .prepare_cached("SELECT seq, hash FROM leaf ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// The hash of the leaf with this index.
pub(crate) fn hash_at(database: &Connection, seq: u64) -> rusqlite::Result<Option<Hash>> {
    database
        .prepare_cached("SELECT hash FROM leaf WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))
        .optional()
}

/// The hash of the transaction's newest leaf.
pub(crate) fn previous(database: &Connection, txid: &str) -> rusqlite::Result<Option<Hash>> {
    database
        .prepare_cached("SELECT hash FROM leaf WHERE txid = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([txid], |row| row.get(0))
        .optional()
}

/// Writes a leaf.
pub(crate) fn insert_leaf(
    transaction: &Transaction<'_>,
    seq: u64,
    txid: &str,
    hash: &Hash,
    encoding: &[u8],
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO leaf VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![seq, txid, hash, encoding])
        .map(drop)
}

/// Writes the private half of a leaf.
pub(crate) fn insert_private(
    transaction: &Transaction<'_>,
    seq: u64,
    sealed: &crate::private_record::Sealed,
    lookups: &[[u8; 16]],
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO private VALUES (?1, ?2)")?
        .execute(params![seq, sealed.ciphertext])?;
    transaction.prepare_cached("INSERT INTO record_key VALUES (?1, ?2, ?3)")?.execute(params![
        seq,
        sealed.wrapped,
        lookups.as_flattened()
    ])?;
    let mut statement = transaction.prepare_cached("INSERT INTO lookup VALUES (?1, ?2)")?;
    lookups.iter().try_for_each(|value| statement.execute(params![value, seq]).map(drop))
}

/// Deletes the private half of a leaf; false if there is none.
pub(crate) fn delete_private(transaction: &Transaction<'_>, seq: u64) -> rusqlite::Result<bool> {
    let lookups: Option<Vec<u8>> = transaction
        .query_row("DELETE FROM record_key WHERE seq = ?1 RETURNING lookups", [seq], |row| row.get(0))
        .optional()?;
    let (values, _) = lookups.as_deref().unwrap_or_default().as_chunks::<16>();
    for value in values {
        transaction.execute("DELETE FROM lookup WHERE value = ?1 AND seq = ?2", params![value, seq])?;
    }
    let ciphertexts = transaction.execute("DELETE FROM private WHERE seq = ?1", [seq])?;
    Ok(lookups.is_some() || ciphertexts > 0)
}

/// The newest run: its boot id and whether it was closed.
pub(crate) fn former_epoch(database: &Connection) -> rusqlite::Result<Option<([u8; 16], bool)>> {
    database
        .query_row("SELECT boot, closed IS NOT NULL FROM epoch ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
}
