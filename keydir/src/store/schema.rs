//! The tables, and how older files are brought up to date.

use rusqlite::Connection;
use rusqlite::TransactionBehavior;

use super::StoreError;

/// Each step brings `user_version` from its index to the next number.
const STEPS: &[&str] = &[
    "
    CREATE TABLE certificate (
        fingerprint TEXT PRIMARY KEY,
        scheme      TEXT NOT NULL,
        origin      TEXT NOT NULL,
        trust       TEXT NOT NULL,
        custody     TEXT NOT NULL,
        valid_from  INTEGER,
        valid_until INTEGER,
        revoked     TEXT,
        added       INTEGER NOT NULL,
        bytes       BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- key is the subject as it is compared: lower case, a domain with a leading @.
    CREATE TABLE subject (
        key         TEXT NOT NULL,
        fingerprint TEXT NOT NULL REFERENCES certificate ON DELETE CASCADE,
        subject     TEXT NOT NULL,
        assigned    INTEGER NOT NULL,
        PRIMARY KEY (key, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX subject_of ON subject (fingerprint);
    -- handle is a fingerprint or key ID of the primary key or a subkey.
    CREATE TABLE component (
        handle      TEXT NOT NULL,
        fingerprint TEXT NOT NULL REFERENCES certificate ON DELETE CASCADE,
        PRIMARY KEY (handle, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX component_of ON component (fingerprint);
",
    "
    -- What the holder of an S/MIME certificate announced: AES-GCM and RSA-OAEP.
    ALTER TABLE certificate ADD COLUMN gcm INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE certificate ADD COLUMN oaep INTEGER NOT NULL DEFAULT 0;
    -- Certificates of authorities, as links of chains; never trusted by being here. subject is their
    -- Name in DER, as the certificates below give it as issuer.
    CREATE TABLE link (
        fingerprint TEXT PRIMARY KEY,
        subject     BLOB NOT NULL,
        bytes       BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX link_subject ON link (subject);
",
    "
    -- Which subjects changed and in which order, for whoever keeps something made from them. A subject has
    -- at most one row, that of its last change.
    CREATE TABLE touched (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE
    ) STRICT;
    -- One row: tells this store from another one, and the last seq of which rows were forgotten.
    CREATE TABLE journal (
        id        TEXT NOT NULL,
        forgotten INTEGER NOT NULL
    ) STRICT;
    INSERT INTO journal VALUES (lower(hex(randomblob(16))), 0);
    -- Subjects that were taken from a certificate: its User IDs alone do not bring them back.
    CREATE TABLE unbound (
        key         TEXT NOT NULL,
        fingerprint TEXT NOT NULL REFERENCES certificate ON DELETE CASCADE,
        PRIMARY KEY (key, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX unbound_of ON unbound (fingerprint);
    CREATE TRIGGER subject_added AFTER INSERT ON subject BEGIN
        DELETE FROM touched WHERE key = new.key;
        INSERT INTO touched (key) VALUES (new.key);
    END;
    CREATE TRIGGER subject_changed AFTER UPDATE ON subject WHEN old.assigned IS NOT new.assigned BEGIN
        DELETE FROM touched WHERE key = new.key;
        INSERT INTO touched (key) VALUES (new.key);
    END;
    CREATE TRIGGER subject_removed AFTER DELETE ON subject BEGIN
        DELETE FROM touched WHERE key = old.key;
        INSERT INTO touched (key) VALUES (old.key);
    END;
    CREATE TRIGGER certificate_changed AFTER UPDATE ON certificate
        WHEN old.trust IS NOT new.trust OR old.custody IS NOT new.custody
            OR old.revoked IS NOT new.revoked OR old.bytes IS NOT new.bytes
    BEGIN
        DELETE FROM touched WHERE key IN (SELECT key FROM subject WHERE fingerprint = new.fingerprint);
        INSERT INTO touched (key) SELECT key FROM subject WHERE fingerprint = new.fingerprint;
    END;
",
    "
    -- What a source's word is worth that binds a certificate to a subject (accepted, held), and since when; NULL
    -- where the administrator or the certificate itself binds it.
    ALTER TABLE subject ADD COLUMN found TEXT;
    ALTER TABLE subject ADD COLUMN since INTEGER;
    CREATE INDEX subject_held ON subject (since) WHERE found = 'held';
    CREATE TRIGGER subject_found AFTER UPDATE ON subject WHEN old.found IS NOT new.found BEGIN
        DELETE FROM touched WHERE key = new.key;
        INSERT INTO touched (key) VALUES (new.key);
    END;
",
];

/// Brings the database up to date and sets what each connection needs.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is removed is gone from the file.
    connection.pragma_update(None, "secure_delete", true)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found = version(connection)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found < known {
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        let found = usize::try_from(version(&transaction)?).unwrap_or(usize::MAX);
        for step in STEPS.iter().skip(found) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "user_version", known)?;
        transaction.commit()?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
