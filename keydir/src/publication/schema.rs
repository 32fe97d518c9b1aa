//! The tables of the publication.

use rusqlite::Connection;
use rusqlite::TransactionBehavior;

use super::PublicationError;

/// The schema that this version writes and reads.
const VERSION: i64 = 1;

const TABLES: &str = "
    -- What the publisher remembers: 'store' and 'seq' (how far it read which store), 'rules' (their digest).
    CREATE TABLE meta (
        name  TEXT PRIMARY KEY,
        value ANY NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE domain (
        name       TEXT PRIMARY KEY,
        policy     TEXT NOT NULL,
        submission TEXT,
        delimiter  TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- address is in ASCII lower case with A-labels, or @domain; hash its name in a Web Key Directory. At due
    -- time itself changes what is to be published.
    CREATE TABLE mailbox (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        address     TEXT NOT NULL UNIQUE,
        domain      TEXT NOT NULL,
        hash        TEXT,
        digest      BLOB NOT NULL,
        due         INTEGER,
        label_proof BLOB
    ) STRICT;
    CREATE UNIQUE INDEX mailbox_hash ON mailbox (domain, hash);
    CREATE INDEX mailbox_due ON mailbox (due);
    -- id is 256 times the mailbox plus the position: OpenPGP from 0, S/MIME from 128.
    CREATE TABLE published (
        id               INTEGER PRIMARY KEY,
        fingerprint      TEXT NOT NULL,
        bytes            BLOB NOT NULL,
        version          INTEGER NOT NULL,
        algorithm        TEXT NOT NULL,
        algorithm_number INTEGER NOT NULL,
        bits             INTEGER NOT NULL,
        created          INTEGER NOT NULL,
        valid_from       INTEGER,
        valid_until      INTEGER,
        revoked          INTEGER NOT NULL,
        usable           INTEGER NOT NULL,
        user_ids         TEXT NOT NULL,
        components       TEXT NOT NULL
    ) STRICT;
    -- key_id: the eight octets of an OpenPGP key ID as a signed number.
    CREATE TABLE handle (
        key_id    INTEGER NOT NULL,
        published INTEGER NOT NULL,
        PRIMARY KEY (key_id, published)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE chain (
        published INTEGER NOT NULL,
        position  INTEGER NOT NULL,
        link      BLOB NOT NULL,
        PRIMARY KEY (published, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE link (
        name  BLOB PRIMARY KEY,
        bytes BLOB NOT NULL
    ) STRICT;
    -- When a certificate of a mailbox was first seen to be revoked or without use; name is the SHA-256 of the
    -- address and the fingerprint.
    CREATE TABLE ended (
        name  BLOB PRIMARY KEY,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- SHA-256 of addresses that are nobody's sub-address.
    CREATE TABLE whole (
        name BLOB PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
    -- Mailboxes without anything to publish yet, and when time may change that.
    CREATE TABLE waiting (
        address TEXT PRIMARY KEY,
        due     INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX waiting_due ON waiting (due);
    -- Mailboxes from which everything was withdrawn, and when.
    CREATE TABLE withdrawn (
        name BLOB PRIMARY KEY,
        at   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes the tables if there are none.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), PublicationError> {
    connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    // A transaction that fills the cache must not take the file away from the readers before it commits.
    connection.pragma_update(None, "cache_spill", false)?;
    connection.pragma_update(None, "synchronous", "full")?;
    // What is withdrawn is gone from the file.
    connection.pragma_update(None, "secure_delete", true)?;
    if check(connection)? == 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if check(&transaction)? == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// The schema of a file, unless it is too new.
pub(super) fn check(connection: &Connection) -> Result<i64, PublicationError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION { Err(PublicationError::Newer { found, known: VERSION }) } else { Ok(found) }
}
