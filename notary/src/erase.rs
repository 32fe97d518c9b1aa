//! Erasure: the private half of a record is destroyed, the log stays whole.
//!
//! The leaf of an erased record keeps its index and hash, so every proof of every other leaf stays
//! valid. What is left in it (commitments under salts that no longer exist, the hash of a
//! ciphertext that no longer exists) says nothing about anybody.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use serde_json::Map;
use serde_json::Value;

use crate::entry::Entry;
use crate::error::AppendError;
use crate::keys::Keys;
use crate::prepared::Prepared;
use crate::store;

/// The event of a leaf that says a private half was destroyed.
pub(crate) const ERASED: &str = "erased";

/// The public field that names the leaf whose private half it was.
pub(crate) const INDEX: &str = "index";

/// The record of an erasure. Its transaction is that of the erased record, filled in by the writer.
pub(crate) fn erasure(
    seq: u64,
    authority: &str,
    private: Value,
    keys: &Keys,
) -> Result<Prepared, AppendError> {
    let mut public = Map::new();
    public.insert(INDEX.into(), seq.into());
    public.insert("authority".into(), authority.into());
    let (txid, event, private) = ("erasure".into(), ERASED.into(), private.into());
    let entry = Entry { txid, event, public, private, ..Entry::default() };
    Prepared::of_notary(entry, keys)
}

/// Deletes the private half; returns the record's transaction, or nothing if there was none.
pub(crate) fn destroy(transaction: &Transaction<'_>, seq: u64) -> rusqlite::Result<Option<String>> {
    if !store::delete_private(transaction, seq)? {
        return Ok(None);
    }
    transaction.query_row("SELECT txid FROM leaf WHERE seq = ?1", [seq], |row| row.get(0)).optional()
}

/// Copies the write-ahead log into the database and cuts it to nothing, so that deleted bytes stay
/// in neither. Does not wait for readers; true if one was in the way.
pub(crate) fn truncate_log(database: &Connection) -> rusqlite::Result<bool> {
    database.busy_timeout(Duration::ZERO)?;
    let busy = database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    database.busy_timeout(store::BUSY)?;
    busy
}
