//! One SQLite file, or the same in memory.

use std::fmt;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use keydir::Origin;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;

use super::Doing;
use super::HELD_FOR;
use super::Kept;
use super::NEWS_EACH;
use super::Remembered;
use super::SILENCE;
use super::Shelf;
use super::ShelfError;
use super::surplus;
use crate::trust::Sighting;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS answer (
        key         TEXT PRIMARY KEY,
        at          INTEGER NOT NULL,
        until       INTEGER NOT NULL,
        stale_until INTEGER NOT NULL,
        used        INTEGER NOT NULL DEFAULT 0,
        said        BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS answer_at ON answer (at);
    CREATE INDEX IF NOT EXISTS answer_used ON answer (until) WHERE used;
    CREATE TABLE IF NOT EXISTS sighting (
        who         TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        origin      TEXT NOT NULL,
        first       INTEGER NOT NULL,
        last        INTEGER NOT NULL,
        revoked     INTEGER NOT NULL,
        bytes       BLOB NOT NULL,
        PRIMARY KEY (who, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS held (
        who         TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        since       INTEGER NOT NULL,
        PRIMARY KEY (who, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS unanswered (
        who   TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        last  INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The memory of one gateway. All work is done on threads that may block.
#[derive(Clone)]
pub(crate) struct SqliteShelf {
    connection: Arc<Mutex<Connection>>,
    most: usize,
}

impl fmt::Debug for SqliteShelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteShelf")
    }
}

impl SqliteShelf {
    /// Opens the file, or makes it, readable by us alone; keeps `most` answers.
    pub(crate) fn open(path: &Path, most: usize) -> Result<Self, String> {
        let made = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|error| format!("{}: {error}", path.display()))?;
        let connection = Connection::open(path).map_err(|error| error.to_string())?;
        Self::with(connection, most).map_err(|error| error.to_string())
    }

    /// Forgets everything at its end.
    pub(crate) fn in_memory(most: usize) -> Result<Self, String> {
        let connection = Connection::open_in_memory().map_err(|error| error.to_string())?;
        Self::with(connection, most).map_err(|error| error.to_string())
    }

    fn with(connection: Connection, most: usize) -> Result<Self, rusqlite::Error> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        connection.pragma_update(None, "secure_delete", true)?;
        // Answers can be asked for again; sightings that are lost with the power are seen again.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.execute_batch(TABLES)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), most })
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, ShelfError> + Send + 'static,
    ) -> Doing<'_, T> {
        let connection = Arc::clone(&self.connection);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
            });
            done.await.unwrap_or(Err(ShelfError::Gone))
        })
    }
}

impl Shelf for SqliteShelf {
    fn get<'a>(&'a self, key: &'a str) -> Doing<'a, Option<Kept>> {
        let key = key.to_owned();
        self.run(move |connection| {
            let mut statement = connection.prepare_cached("SELECT said FROM answer WHERE key = ?")?;
            let said: Option<Vec<u8>> = statement.query_row([key], |row| row.get(0)).optional()?;
            // Written by an older version, perhaps: then it was never there.
            Ok(said.and_then(|said| serde_json::from_slice(&said).ok()))
        })
    }

    fn put<'a>(&'a self, key: &'a str, kept: &'a Kept, now: i64) -> Doing<'a, ()> {
        let (key, kept, most) = (key.to_owned(), kept.clone(), self.most);
        self.run(move |connection| {
            let said = serde_json::to_vec(&kept)?;
            let mut statement = connection.prepare_cached(
                "INSERT OR REPLACE INTO answer (key, at, until, stale_until, said) VALUES (?, ?, ?, ?, ?)",
            )?;
            statement.execute(params![key, kept.at, kept.until, kept.stale_until, said])?;
            drop(statement);
            let count: i64 = connection.query_row("SELECT count(*) FROM answer", [], |row| row.get(0))?;
            // A tenth above the limit, so that not every answer has to make room.
            if count > limit(most).saturating_add(limit(most) / 10) {
                purge(connection, now, most)?;
            }
            Ok(())
        })
    }

    fn used<'a>(&'a self, key: &'a str, _until: i64) -> Doing<'a, ()> {
        let key = key.to_owned();
        self.run(move |connection| {
            connection
                .prepare_cached("UPDATE answer SET used = 1 WHERE key = ? AND NOT used")?
                .execute([key])?;
            Ok(())
        })
    }

    fn due(&self, before: i64, most: usize) -> Doing<'_, Vec<String>> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE answer SET used = 0 WHERE key IN
                     (SELECT key FROM answer WHERE used AND until < ? ORDER BY until LIMIT ?) RETURNING key",
            )?;
            let keys = statement.query_map(params![before, limit(most)], |row| row.get(0))?;
            Ok(keys.collect::<Result<_, _>>()?)
        })
    }

    fn seen<'a>(&'a self, who: &'a str) -> Doing<'a, Vec<Remembered>> {
        let who = who.to_owned();
        self.run(move |connection| seen(connection, &who))
    }

    fn see<'a>(&'a self, who: &'a str, remembered: &'a Remembered) -> Doing<'a, ()> {
        let (who, remembered) = (who.to_owned(), remembered.clone());
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let Remembered { sighting, bytes } = &remembered;
            transaction.execute(
                "INSERT OR REPLACE INTO sighting (who, fingerprint, origin, first, last, revoked, bytes)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    who,
                    sighting.fingerprint,
                    sighting.origin.as_str(),
                    sighting.first,
                    sighting.last,
                    sighting.revoked,
                    &bytes[..]
                ],
            )?;
            for surplus in surplus(seen(&transaction, &who)?) {
                transaction.execute(
                    "DELETE FROM sighting WHERE who = ? AND fingerprint = ?",
                    params![who, surplus.sighting.fingerprint],
                )?;
            }
            Ok(transaction.commit()?)
        })
    }

    fn hold<'a>(&'a self, who: &'a str, fingerprint: &'a str, now: i64) -> Doing<'a, bool> {
        let (who, fingerprint) = (who.to_owned(), fingerprint.to_owned());
        self.run(move |connection| {
            let sql = "INSERT OR IGNORE INTO held (who, fingerprint, since) VALUES (?, ?, ?)";
            if connection.execute(sql, params![who, fingerprint, now])? == 0 {
                return Ok(false);
            }
            let told = "SELECT 1 FROM held WHERE who = ? AND fingerprint <> ? AND since > ?";
            let since = now.saturating_sub(NEWS_EACH);
            Ok(!connection.prepare_cached(told)?.exists(params![who, fingerprint, since])?)
        })
    }

    fn release<'a>(&'a self, who: &'a str) -> Doing<'a, ()> {
        let who = who.to_owned();
        self.run(move |connection| {
            connection.execute("DELETE FROM held WHERE who = ?", [who])?;
            Ok(())
        })
    }

    fn unanswered<'a>(&'a self, who: &'a str, now: i64) -> Doing<'a, i64> {
        let who = who.to_owned();
        self.run(move |connection| {
            let before: Option<(i64, i64)> = connection
                .prepare_cached("SELECT since, last FROM unanswered WHERE who = ?")?
                .query_row([&who], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let without_break =
                |(since, last): &(i64, i64)| *since <= now && now.saturating_sub(*last) <= SILENCE;
            let since = before.filter(without_break).map_or(now, |(since, _)| since);
            connection
                .prepare_cached("INSERT OR REPLACE INTO unanswered (who, since, last) VALUES (?, ?, ?)")?
                .execute(params![who, since, now])?;
            Ok(since)
        })
    }

    fn answered<'a>(&'a self, who: &'a str) -> Doing<'a, ()> {
        let who = who.to_owned();
        self.run(move |connection| {
            // Nearly always there is nothing to forget, and nothing to be written.
            let is_there =
                connection.prepare_cached("SELECT 1 FROM unanswered WHERE who = ?")?.exists([&who])?;
            if is_there {
                connection.execute("DELETE FROM unanswered WHERE who = ?", [&who])?;
            }
            Ok(())
        })
    }

    fn forget<'a>(&'a self, who: &'a str, keys: &'a [String]) -> Doing<'a, ()> {
        let (who, keys) = (who.to_owned(), keys.to_vec());
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM sighting WHERE who = ?", [&who])?;
            transaction.execute("DELETE FROM held WHERE who = ?", [&who])?;
            transaction.execute("DELETE FROM unanswered WHERE who = ?", [&who])?;
            // Of sources that are configured no more, too, and however the address was written.
            let sql = "DELETE FROM answer WHERE key = ?1 OR lower(substr(key, -length(?2))) = lower(?2)";
            let behind_source = format!(" {who}");
            for key in keys.iter().map(String::as_str).chain([""]) {
                transaction.execute(sql, [key, &behind_source])?;
            }
            transaction.commit()?;
            // Not in the journal either.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
    }

    fn purge(&self, now: i64) -> Doing<'_, ()> {
        let most = self.most;
        self.run(move |connection| purge(connection, now, most))
    }
}

fn purge(connection: &Connection, now: i64, most: usize) -> Result<(), ShelfError> {
    connection.execute("DELETE FROM answer WHERE max(until, stale_until) < ?", [now])?;
    connection.execute("DELETE FROM held WHERE since < ?", [now.saturating_sub(HELD_FOR)])?;
    connection.execute("DELETE FROM unanswered WHERE last < ?", [now.saturating_sub(SILENCE)])?;
    connection.execute(
        "DELETE FROM answer WHERE key IN (SELECT key FROM answer ORDER BY at DESC LIMIT -1 OFFSET ?)",
        [limit(most)],
    )?;
    Ok(())
}

fn seen(connection: &Connection, who: &str) -> Result<Vec<Remembered>, ShelfError> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, origin, first, last, revoked, bytes FROM sighting WHERE who = ?",
    )?;
    let rows = statement.query_map([who], |row| {
        let origin: String = row.get(1)?;
        let bytes: Vec<u8> = row.get(5)?;
        let sighting = Sighting {
            fingerprint: row.get(0)?,
            // A word of a newer version: nobody in particular.
            origin: origin.parse().unwrap_or(Origin::Hkp),
            first: row.get(2)?,
            last: row.get(3)?,
            revoked: row.get(4)?,
        };
        Ok(Remembered { sighting, bytes: bytes.into() })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
