//! The tables of TLS reports, in the relay's SQLite file.

use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// How long to wait for somebody else's lock.
const BUSY: Duration = Duration::from_secs(5);

/// `session` counts per day, domain and policy, and `session_failure` what failed; `asked` remembers since when
/// a domain is tried in vain; `report` is what was built, `delivery` where it goes; `received` is what others
/// tell us. Lists are JSON texts. Empty texts stand for what is not known, so that they compare equal.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS tlsrpt_session (
        id INTEGER PRIMARY KEY, day INTEGER NOT NULL, domain TEXT NOT NULL, kind TEXT NOT NULL,
        policy_domain TEXT NOT NULL, strings TEXT NOT NULL, mx_hosts TEXT NOT NULL,
        succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        UNIQUE (day, domain, kind, policy_domain, strings, mx_hosts)) STRICT;
    CREATE TABLE IF NOT EXISTS tlsrpt_session_failure (
        session INTEGER NOT NULL REFERENCES tlsrpt_session (id) ON DELETE CASCADE, result TEXT NOT NULL,
        sending_ip TEXT NOT NULL, mx TEXT NOT NULL, helo TEXT NOT NULL, receiving_ip TEXT NOT NULL,
        reason TEXT NOT NULL, more TEXT NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (session, result, sending_ip, mx, helo, receiving_ip, reason, more)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tlsrpt_asked (
        day INTEGER NOT NULL, domain TEXT NOT NULL, next INTEGER NOT NULL, tries INTEGER NOT NULL,
        PRIMARY KEY (day, domain)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tlsrpt_report (
        id TEXT PRIMARY KEY, day INTEGER NOT NULL, domain TEXT NOT NULL, made INTEGER NOT NULL,
        file_name TEXT NOT NULL, packed BLOB NOT NULL, UNIQUE (day, domain)) STRICT;
    CREATE TABLE IF NOT EXISTS tlsrpt_delivery (
        id INTEGER PRIMARY KEY, report TEXT NOT NULL REFERENCES tlsrpt_report (id) ON DELETE CASCADE,
        rua TEXT NOT NULL, content BLOB NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
        first INTEGER, next INTEGER NOT NULL, remark TEXT NOT NULL DEFAULT '', UNIQUE (report, rua)) STRICT;
    CREATE INDEX IF NOT EXISTS tlsrpt_delivery_next ON tlsrpt_delivery (state, next);
    CREATE TABLE IF NOT EXISTS tlsrpt_received (
        id INTEGER PRIMARY KEY, submitter TEXT NOT NULL, report_id TEXT NOT NULL, organization TEXT NOT NULL,
        contact TEXT NOT NULL, began INTEGER NOT NULL, ended INTEGER NOT NULL, arrived INTEGER NOT NULL,
        UNIQUE (submitter, report_id)) STRICT;
    CREATE TABLE IF NOT EXISTS tlsrpt_received_policy (
        id INTEGER PRIMARY KEY, report INTEGER NOT NULL REFERENCES tlsrpt_received (id) ON DELETE CASCADE,
        kind TEXT NOT NULL, policy_domain TEXT NOT NULL, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS tlsrpt_received_policy_report ON tlsrpt_received_policy (report);
    CREATE TABLE IF NOT EXISTS tlsrpt_received_failure (
        policy INTEGER NOT NULL REFERENCES tlsrpt_received_policy (id) ON DELETE CASCADE, result TEXT NOT NULL,
        mx TEXT NOT NULL, sending_ip TEXT NOT NULL, receiving_ip TEXT NOT NULL, reason TEXT NOT NULL,
        more TEXT NOT NULL, count INTEGER NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS tlsrpt_received_failure_policy ON tlsrpt_received_failure (policy);
";

/// The file with these tables. Several may be open on one file; SQLite keeps them apart.
#[derive(Debug)]
pub struct Ledger {
    pub(super) database: Connection,
}

/// Why the tables cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite says so.
    #[error("the table of TLS reports cannot be used")]
    Database(#[from] rusqlite::Error),
    /// A thread could not be started, or packing failed.
    #[error("the work on TLS reports could not be done")]
    Io(#[from] io::Error),
    /// A report could not be written as JSON.
    #[error("a TLS report cannot be written")]
    Json(#[from] serde_json::Error),
    /// A report could not be signed.
    #[error("a TLS report cannot be signed: {0}")]
    Sign(String),
}

impl Ledger {
    /// Opens the file, makes it and the tables if they are not there.
    ///
    /// The file may have other tables. A power failure may cost the last seconds of counts, a killed process
    /// nothing that was flushed.
    ///
    /// # Errors
    /// [`LedgerError::Database`]: the directory is not there or not ours, or the file is no database.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let database = Connection::open(path)?;
        database.busy_timeout(BUSY)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "NORMAL")?;
        database.pragma_update(None, "foreign_keys", "ON")?;
        database.pragma_update(None, "trusted_schema", "OFF")?;
        database.set_prepared_statement_cache_capacity(64);
        database.execute_batch(SCHEMA)?;
        Ok(Self { database })
    }
}

/// A list as a JSON text.
pub(super) fn list(strings: &[String]) -> String {
    serde_json::to_string(strings).unwrap_or_else(|_| "[]".to_owned())
}

/// A list from a JSON text.
pub(super) fn unlist(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// A count from SQLite, which has no unsigned numbers.
pub(super) fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0))
}
