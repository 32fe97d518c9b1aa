//! Which mailboxes a refresh looks at. The list is a temporary table: SQLite puts a long one on disk.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;
use rusqlite::types::FromSql;

use super::super::PublicationError;
use super::super::address::whole_name;
use super::super::rules::Canonical;
use crate::store::Journal;
use crate::store::Store;

/// Raised whenever another version of the gateway would publish other bytes.
const FORMAT: u32 = 1;
/// Subjects that are read from the store at a time.
const PAGE: usize = 5000;

/// One refresh, from reading how far the last one came to noting how far this one did.
pub(super) struct Round {
    journal: Journal,
    /// Changes of the store that were read before.
    seq: i64,
    rules: [u8; 32],
    /// The key log, and whether it is another than the last time.
    log: Option<String>,
    anew: bool,
    todo: usize,
    now: i64,
}

impl Round {
    /// Works out which mailboxes are to be looked at, and writes down what holds for whole domains.
    pub(super) fn begin(
        connection: &mut Connection,
        store: &Store,
        rules: &Canonical<'_>,
        now: i64,
    ) -> Result<Self, PublicationError> {
        let journal = store.journal()?;
        let digest = rules.digest(FORMAT);
        let seq: Option<i64> = remembered(connection, "seq")?;
        let same_store = remembered::<String>(connection, "store")?.as_ref() == Some(&journal.id);
        let same_rules = remembered::<[u8; 32]>(connection, "rules")? == Some(digest);
        let log = rules.rules.log.clone();
        let anew = log.is_some() && remembered::<String>(connection, "log")? != log;
        // A store that is behind was restored from a backup.
        let known = seq.filter(|seq| (journal.forgotten..=journal.newest).contains(seq));
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS todo (
                 round INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (round, key)
             ) STRICT, WITHOUT ROWID;
             DELETE FROM temp.todo;",
        )?;
        match known {
            Some(seq) if same_store && same_rules && !anew => some(&transaction, store, rules, seq, now)?,
            _ => {
                if !same_rules {
                    // A crash from here on must not make the old rules look followed.
                    transaction.execute("DELETE FROM meta WHERE name = 'rules'", [])?;
                    domains(&transaction, rules)?;
                }
                all(&transaction, store, rules)?;
            }
        }
        let todo: i64 = transaction.query_row("SELECT count(*) FROM temp.todo", [], |row| row.get(0))?;
        transaction.commit()?;
        let seq = known.filter(|_| same_store).unwrap_or(0);
        Ok(Self {
            journal,
            seq,
            rules: digest,
            log,
            anew,
            todo: usize::try_from(todo).unwrap_or_default(),
            now,
        })
    }

    /// How many mailboxes there are to look at.
    pub(super) fn todo(&self) -> usize {
        self.todo
    }

    /// When it is, Unix seconds.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// Whether also what has not changed is to be logged.
    pub(super) fn logs_anew(&self) -> bool {
        self.anew
    }

    /// Notes that everything was done.
    pub(super) fn end(self, connection: &mut Connection, store: &Store) -> Result<(), PublicationError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut set = transaction.prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
        set.execute(params!["store", self.journal.id])?;
        set.execute(params!["seq", self.journal.newest])?;
        set.execute(params!["rules", self.rules])?;
        drop(set);
        transaction.execute("DELETE FROM meta WHERE name = 'log'", [])?;
        if let Some(log) = &self.log {
            transaction.execute("INSERT INTO meta VALUES ('log', ?1)", [log])?;
        }
        transaction.commit()?;
        connection.execute("DELETE FROM temp.todo", [])?;
        store.forget_touched(self.seq, self.journal.newest)?;
        Ok(())
    }
}

/// The next mailboxes behind `last`, in the order in which they are looked at: aliases come last, so that
/// a certificate is published under its mailbox first.
pub(super) fn next(
    connection: &Connection,
    (round, key): &(i64, String),
    limit: usize,
) -> Result<Vec<(i64, String)>, PublicationError> {
    let sql = "SELECT round, key FROM temp.todo WHERE (round, key) > (?1, ?2) ORDER BY round, key LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![round, key, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What changed in the store after `seq`, and what time changed.
fn some(
    transaction: &Transaction<'_>,
    store: &Store,
    rules: &Canonical<'_>,
    mut seq: i64,
    now: i64,
) -> Result<(), PublicationError> {
    loop {
        let page = store.touched(seq, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        seq = *last;
        for (_, key) in page {
            // Also what is not ours any more: it may be published.
            add(transaction, rules, &key)?;
        }
    }
    // Not UNION: to sort both alike, SQLite would go through all mailboxes in the order of their addresses.
    let mut statement = transaction.prepare(
        "SELECT address FROM mailbox WHERE due <= ?1 UNION ALL SELECT address FROM waiting WHERE due <= ?1",
    )?;
    let mut rows = statement.query([now])?;
    while let Some(row) = rows.next()? {
        add(transaction, rules, &row.get::<_, String>(0)?)?;
    }
    Ok(())
}

/// Everything that is in the store or published.
fn all(transaction: &Transaction<'_>, store: &Store, rules: &Canonical<'_>) -> Result<(), PublicationError> {
    let mut last = String::new();
    loop {
        let page = store.subject_keys(&last, PAGE)?;
        let Some(key) = page.last() else { break };
        last.clone_from(key);
        for key in page.iter().filter(|key| rules.covers(key)) {
            add(transaction, rules, key)?;
        }
    }
    let sql = "SELECT address FROM mailbox UNION SELECT address FROM waiting";
    let mut statement = transaction.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        add(transaction, rules, &row.get::<_, String>(0)?)?;
    }
    Ok(())
}

/// Adds a mailbox and its aliases.
fn add(transaction: &Transaction<'_>, rules: &Canonical<'_>, key: &str) -> Result<(), PublicationError> {
    // Those at rest are never published and have no address.
    if key.contains(' ') {
        return Ok(());
    }
    let aliases = rules.aliases_of(key).iter().map(String::as_str);
    for key in std::iter::once(key).chain(aliases) {
        let round = i64::from(rules.aliases.contains_key(key));
        transaction
            .prepare_cached("INSERT OR IGNORE INTO temp.todo VALUES (?1, ?2)")?
            .execute(params![round, key])?;
    }
    Ok(())
}

/// Writes down our domains and which addresses are nobody's sub-address.
fn domains(transaction: &Transaction<'_>, rules: &Canonical<'_>) -> Result<(), PublicationError> {
    transaction.execute("DELETE FROM domain", [])?;
    let mut insert = transaction.prepare("INSERT INTO domain VALUES (?1, ?2, ?3, ?4)")?;
    for domain in &rules.domains {
        let submission = &rules.rules.submission_address;
        insert.execute(params![domain, rules.policy, submission, rules.delimiter])?;
    }
    // Of the names of addresses only those that were withdrawn stay.
    transaction.execute("DELETE FROM whole WHERE name NOT IN (SELECT name FROM withdrawn)", [])?;
    let mut insert = transaction.prepare("INSERT OR IGNORE INTO whole VALUES (?1)")?;
    for key in &rules.whole {
        insert.execute([whole_name(key)])?;
    }
    Ok(())
}

fn remembered<T: FromSql>(connection: &Connection, name: &str) -> Result<Option<T>, PublicationError> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}
