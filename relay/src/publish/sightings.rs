//! Since when a TLSA record is published, as far as we saw.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::params;

use super::certificate::Key;

/// A table in the relay's SQLite file.
#[derive(Debug)]
pub struct Sightings {
    database: Connection,
}

impl Sightings {
    /// Opens the file, makes it and the table if they are not there.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(5))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS publish_sighting (host TEXT NOT NULL, key TEXT NOT NULL,
                 since INTEGER NOT NULL, PRIMARY KEY (host, key)) STRICT, WITHOUT ROWID;",
        )?;
        Ok(Self { database })
    }

    /// Notes which keys of a host are published now, forgets those that are not, and tells since when each is.
    ///
    /// # Errors
    /// The table cannot be written.
    pub fn note(&mut self, host: &str, keys: &[Key], now: i64) -> rusqlite::Result<HashMap<Key, i64>> {
        let transaction = self.database.transaction()?;
        let texts: Vec<String> = keys.iter().map(Key::to_string).collect();
        for key in &texts {
            let insert = "INSERT OR IGNORE INTO publish_sighting VALUES (?1, ?2, ?3)";
            transaction.prepare_cached(insert)?.execute(params![host, key, now])?;
        }
        let list = serde_json::Value::from(texts.clone()).to_string();
        let forget =
            "DELETE FROM publish_sighting WHERE host = ?1 AND key NOT IN (SELECT value FROM json_each(?2))";
        transaction.prepare_cached(forget)?.execute(params![host, list])?;
        let mut since = HashMap::new();
        for (key, text) in keys.iter().zip(&texts) {
            let select = "SELECT since FROM publish_sighting WHERE host = ?1 AND key = ?2";
            let seen =
                transaction.prepare_cached(select)?.query_row(params![host, text], |row| row.get(0))?;
            since.insert(*key, seen);
        }
        transaction.commit()?;
        Ok(since)
    }
}
