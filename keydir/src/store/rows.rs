//! Between certificates and table rows.

use std::str::FromStr;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::Transaction;
use rusqlite::params;
use sequoia_openpgp::Cert;
use sequoia_openpgp::serialize::SerializeInto;

use super::Import;
use super::StoreError;
use super::changes;
use super::found;
use super::parse;
use super::prune;
use crate::assess;
use crate::identity;
use crate::intake;
use crate::record::Custody;
use crate::record::FoundSubject;
use crate::record::Origin;
use crate::record::Record;
use crate::record::Scheme;
use crate::record::Trust;
use crate::subject::Subject;

/// Stores a cleaned certificate, merged with what is there.
pub(super) fn store(
    transaction: &Transaction<'_>,
    cert: Cert,
    import: &Import<'_>,
) -> Result<Record, StoreError> {
    let fingerprint = cert.fingerprint().to_hex();
    let Some(mut record) = load(transaction, &fingerprint)? else {
        let mut record = Record {
            fingerprint,
            scheme: Scheme::Openpgp,
            subjects: Vec::new(),
            assigned: Vec::new(),
            found: Vec::new(),
            origin: import.origin,
            trust: import.trust,
            valid_from: None,
            valid_until: None,
            revoked: None,
            custody: import.custody,
            added: import.now,
            bytes: Arc::from([]),
        };
        bind(&mut record, &cert, import, true, &[])?;
        save(transaction, &mut record, &cert, import.now)?;
        return Ok(record);
    };
    let corrupt = |error| StoreError::Corrupt(format!("{fingerprint}: {error}"));
    let merged = parse(&record)?.merge_public(cert).map_err(corrupt)?;
    let merged = prune::trimmed(intake::clean(&merged).map_err(corrupt)?, import.now);
    intake::check_counts(&merged)?;
    // A newer version from a source we trust less must not bind a mailbox with the trust given before.
    let may_add = import.trust.rank() <= record.trust.rank();
    let unbound = changes::unbound(transaction, &fingerprint, import)?;
    bind(&mut record, &merged, import, may_add, &unbound)?;
    if record.trust == Trust::Accepted && import.trust.rank() == 0 {
        record.trust = import.trust;
    }
    if import.custody == Custody::Local {
        record.custody = Custody::Local;
    }
    save(transaction, &mut record, &merged, import.now)?;
    Ok(record)
}

/// Writes a record and everything derived from its certificate.
pub(super) fn save(
    transaction: &Transaction<'_>,
    record: &mut Record,
    cert: &Cert,
    now: i64,
) -> Result<(), StoreError> {
    let bytes = cert.to_vec().map_err(|error| StoreError::Corrupt(error.to_string()))?;
    record.bytes = Arc::from(bytes);
    record.valid_from = Some(assess::unix(cert.primary_key().key().creation_time()));
    record.valid_until = assess::expiry(cert, now);
    record.revoked = assess::revocation(cert, now);
    write(transaction, record)?;
    for key in cert.keys() {
        for handle in [key.key().fingerprint().to_hex(), key.key().keyid().to_hex()] {
            add_component(transaction, &handle, &record.fingerprint)?;
        }
    }
    Ok(())
}

/// Writes a record and its subjects.
pub(super) fn write(transaction: &Transaction<'_>, record: &Record) -> Result<(), StoreError> {
    transaction.execute(
        "INSERT INTO certificate (fingerprint, scheme, origin, trust, custody, valid_from, valid_until,
             revoked, added, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (fingerprint) DO UPDATE SET trust = ?4, custody = ?5, valid_from = ?6,
             valid_until = ?7, revoked = ?8, bytes = ?10",
        params![
            record.fingerprint,
            record.scheme.as_str(),
            record.origin.as_str(),
            record.trust.as_str(),
            record.custody.as_str(),
            record.valid_from,
            record.valid_until,
            record.revoked,
            record.added,
            &*record.bytes,
        ],
    )?;
    for subject in &record.subjects {
        let found = record.found.iter().find(|found| found.subject.same(subject));
        transaction.execute(
            "INSERT INTO subject (key, fingerprint, subject, assigned, found, since)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (key, fingerprint) DO UPDATE SET assigned = max(assigned, ?4), found = ?5, since = ?6",
            params![
                subject.key(),
                record.fingerprint,
                subject.to_string(),
                record.assigned.contains(subject),
                found.map(|found| found.trust.as_str()),
                found.map(|found| found.since)
            ],
        )?;
    }
    Ok(())
}

/// Makes a certificate known under a handle.
pub(super) fn add_component(
    transaction: &Transaction<'_>,
    handle: &str,
    fingerprint: &str,
) -> Result<(), StoreError> {
    transaction.execute("INSERT OR IGNORE INTO component VALUES (?1, ?2)", [handle, fingerprint])?;
    Ok(())
}

/// Makes a certificate unknown under a handle.
pub(super) fn remove_component(
    transaction: &Transaction<'_>,
    handle: &str,
    fingerprint: &str,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM component WHERE handle = ?1 AND fingerprint = ?2";
    transaction.execute(sql, [handle, fingerprint])?;
    Ok(())
}

/// Reads one record.
pub(super) fn load(connection: &Connection, fingerprint: &str) -> Result<Option<Record>, StoreError> {
    let row = connection
        .prepare_cached("SELECT * FROM certificate WHERE fingerprint = ?1")?
        .query_row([fingerprint], |row| Ok(record(row)))
        .optional()?;
    let Some(mut record) = row.transpose()? else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT subject, assigned, found, since FROM subject WHERE fingerprint = ?1 ORDER BY key",
    )?;
    let mut rows = statement.query([fingerprint])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let subject = Subject::parse(&text)
            .ok_or_else(|| StoreError::Corrupt(format!("{fingerprint}: subject {text:?}")))?;
        if row.get(1)? {
            record.assigned.push(subject.clone());
        }
        let found: Option<String> = row.get(2)?;
        if let Some(word) = found {
            let trust = word.parse().map_err(|_| StoreError::Corrupt(format!("found {word:?}")))?;
            let since: Option<i64> = row.get(3)?;
            record.found.push(FoundSubject {
                subject: subject.clone(),
                trust,
                since: since.unwrap_or_default(),
            });
        }
        record.subjects.push(subject);
    }
    Ok(Some(record))
}

/// The fingerprints of all certificates, in order.
pub(super) fn fingerprints(connection: &Connection) -> Result<Vec<String>, StoreError> {
    column(connection, "SELECT fingerprint FROM certificate ORDER BY fingerprint", &[])
}

/// The certificates bound to a subject.
pub(super) fn bound_to(
    connection: &Connection,
    subject: &Subject,
    scheme: Scheme,
) -> Result<Vec<String>, StoreError> {
    column(
        connection,
        "SELECT fingerprint FROM subject JOIN certificate USING (fingerprint)
         WHERE key = ?1 AND scheme = ?2 ORDER BY fingerprint",
        &[&subject.key(), scheme.as_str()],
    )
}

/// The certificates of a scheme that are known under this handle.
pub(super) fn with_component(
    connection: &Connection,
    handle: &str,
    scheme: Scheme,
) -> Result<Vec<String>, StoreError> {
    column(
        connection,
        "SELECT fingerprint FROM component JOIN certificate USING (fingerprint)
         WHERE handle = ?1 AND scheme = ?2 ORDER BY fingerprint",
        &[handle, scheme.as_str()],
    )
}

fn column(connection: &Connection, sql: &str, values: &[&str]) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds the subjects that the import gives or, if it gives none, those that the User IDs claim and that were
/// not taken from the certificate. A source gives only what the User IDs claim.
fn bind(
    record: &mut Record,
    cert: &Cert,
    import: &Import<'_>,
    may_add: bool,
    unbound: &[String],
) -> Result<(), StoreError> {
    let claimed = match &import.subjects {
        Some(subjects) if import.origin.is_found() => {
            return found::bind(record, subjects, import, |subject| {
                assess::claims(cert, subject, import.now).is_ok()
            });
        }
        Some(assigned) => {
            assigned.iter().for_each(|subject| found::assign(record, subject));
            return Ok(());
        }
        None if may_add => cert.userids().filter_map(|uid| identity::user_id_address(uid.userid())),
        None => return Ok(()),
    };
    for subject in claimed.flat_map(identity::claimed) {
        // What arrives by mail cannot speak for its whole domain.
        let may_speak = import.origin != Origin::Harvested || matches!(subject, Subject::Address(_));
        if may_speak && !unbound.contains(&subject.key()) {
            add(&mut record.subjects, subject);
        }
    }
    Ok(())
}

pub(super) fn add(subjects: &mut Vec<Subject>, subject: Subject) {
    if !subjects.iter().any(|known| known.same(&subject)) {
        subjects.push(subject);
    }
}

fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let fingerprint: String = row.get("fingerprint")?;
    let bytes: Vec<u8> = row.get("bytes")?;
    Ok(Record {
        scheme: word(row, "scheme")?,
        subjects: Vec::new(),
        assigned: Vec::new(),
        found: Vec::new(),
        origin: word(row, "origin")?,
        trust: word(row, "trust")?,
        valid_from: row.get("valid_from")?,
        valid_until: row.get("valid_until")?,
        revoked: row.get("revoked")?,
        custody: word::<Custody>(row, "custody")?,
        added: row.get("added")?,
        bytes: Arc::from(bytes),
        fingerprint,
    })
}

fn word<T: FromStr>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    let word: String = row.get(column)?;
    word.parse().map_err(|_| StoreError::Corrupt(format!("{column} {word:?}")))
}
