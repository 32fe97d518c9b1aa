//! What changed in the store, for whoever keeps something made from it; and taking a mailbox from a certificate.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::params;

use super::Import;
use super::Store;
use super::StoreError;
use super::canonical_handle;
use super::rows;
use crate::record::Record;
use crate::record::Scheme;
use crate::subject::Subject;

/// How far the store has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Journal {
    /// Tells this store from any other one.
    pub(crate) id: String,
    /// Number of the newest change.
    pub(crate) newest: i64,
    /// Changes up to here may be missing.
    pub(crate) forgotten: i64,
}

impl Store {
    /// Takes a subject from a certificate: from now on it does not stand for the mailbox, whatever its User IDs
    /// say. Only an import that names the subject brings it back.
    ///
    /// For an address that gets a new owner, or that its owner gives up.
    ///
    /// # Errors
    /// If the certificate is not bound to the subject or the database cannot be written.
    pub fn unbind(&self, fingerprint: &str, subject: &Subject) -> Result<(), StoreError> {
        let fingerprint = canonical_handle(fingerprint);
        self.write(|transaction| match unbind(transaction, &fingerprint, subject)? {
            0 => Err(StoreError::Unknown(format!("{fingerprint} of {subject}"))),
            _ => Ok(()),
        })
    }

    /// Takes a subject from all certificates that stand for it, and gives their fingerprints.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn withdraw(&self, subject: &Subject) -> Result<Vec<String>, StoreError> {
        self.write(|transaction| {
            let mut all = rows::bound_to(transaction, subject, Scheme::Openpgp)?;
            all.extend(rows::bound_to(transaction, subject, Scheme::Smime)?);
            for fingerprint in &all {
                unbind(transaction, fingerprint, subject)?;
            }
            Ok(all)
        })
    }

    /// Empties the write-ahead log, so that what was removed is not left there.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn scrub(&self) -> Result<(), StoreError> {
        self.lock().connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// How far the store has come.
    pub(crate) fn journal(&self) -> Result<Journal, StoreError> {
        let inner = self.lock();
        let (id, forgotten) = inner
            .connection
            .query_row("SELECT id, forgotten FROM journal", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let newest = inner
            .connection
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'touched'", [], |row| row.get(0))
            .optional()?;
        Ok(Journal { id, newest: newest.unwrap_or(0), forgotten })
    }

    /// Subjects (as [`Subject::key`]) that changed after the change `after`, up to `limit` of them, in order.
    pub(crate) fn touched(&self, after: i64, limit: usize) -> Result<Vec<(i64, String)>, StoreError> {
        let inner = self.lock();
        let sql = "SELECT seq, key FROM touched WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = inner.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, bound(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets the names of subjects that are gone, of the changes after `after` up to `until`.
    pub(crate) fn forget_touched(&self, after: i64, until: i64) -> Result<(), StoreError> {
        const GONE: &str = "seq > ?1 AND seq <= ?2
            AND NOT EXISTS (SELECT 1 FROM subject WHERE subject.key = touched.key)";
        let any: bool = self.lock().connection.query_row(
            &format!("SELECT EXISTS (SELECT 1 FROM touched WHERE {GONE})"),
            [after, until],
            |row| row.get(0),
        )?;
        if !any {
            return Ok(());
        }
        self.write(|transaction| {
            transaction.execute(&format!("DELETE FROM touched WHERE {GONE}"), [after, until])?;
            transaction.execute("UPDATE journal SET forgotten = max(forgotten, ?1)", [until])?;
            Ok(())
        })
    }

    /// All subjects (as [`Subject::key`]) behind `after`, up to `limit` of them, in order.
    pub(crate) fn subject_keys(&self, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let inner = self.lock();
        let sql = "SELECT DISTINCT key FROM subject WHERE key > ?1 ORDER BY key LIMIT ?2";
        let mut statement = inner.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, bound(limit)], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The records of all certificates that are bound to a subject.
    pub(crate) fn bound(&self, subject: &Subject, scheme: Scheme) -> Result<Vec<Record>, StoreError> {
        let inner = self.lock();
        let found = rows::bound_to(&inner.connection, subject, scheme)?;
        found.iter().filter_map(|f| rows::load(&inner.connection, f).transpose()).collect()
    }
}

/// The subjects that were taken from a certificate and that this import does not give back; those that it does
/// are forgotten.
pub(super) fn unbound(
    transaction: &Transaction<'_>,
    fingerprint: &str,
    import: &Import<'_>,
) -> Result<Vec<String>, StoreError> {
    for subject in import.subjects.iter().flatten() {
        transaction.execute(
            "DELETE FROM unbound WHERE key = ?1 AND fingerprint = ?2",
            [&subject.key(), fingerprint],
        )?;
    }
    keys(transaction, fingerprint)
}

fn keys(connection: &Connection, fingerprint: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT key FROM unbound WHERE fingerprint = ?1")?;
    let rows = statement.query_map([fingerprint], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes a subject from a certificate, and gives how many rows that changed.
pub(super) fn unbind(
    transaction: &Transaction<'_>,
    fingerprint: &str,
    subject: &Subject,
) -> Result<usize, StoreError> {
    let key = subject.key();
    let removed = transaction
        .execute("DELETE FROM subject WHERE key = ?1 AND fingerprint = ?2", [key.as_str(), fingerprint])?;
    if removed > 0 {
        transaction.execute("INSERT OR IGNORE INTO unbound VALUES (?1, ?2)", [key.as_str(), fingerprint])?;
    }
    Ok(removed)
}

fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
