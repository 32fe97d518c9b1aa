//! Between what is published and table rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use openssl::sha::sha256;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::Transaction;
use rusqlite::params;

use super::Mailbox;
use super::PublicationError;
use super::Published;
use super::address::whole_name;
use super::draft::Draft;
use super::draft::Drawn;
use crate::record::Scheme;
use crate::wkd;

/// Rows of `published` that one mailbox may have.
const PLACES: i64 = 256;
/// The first place of S/MIME certificates.
const SMIME: i64 = 128;

/// The row of one mailbox.
#[derive(Clone, Debug)]
pub(super) struct MailboxRow {
    pub(super) id: i64,
    pub(super) digest: [u8; 32],
    pub(super) due: Option<i64>,
    pub(super) label_proof: Option<Vec<u8>>,
}

pub(super) fn mailbox_row(
    connection: &Connection,
    key: &str,
) -> Result<Option<MailboxRow>, PublicationError> {
    let sql = "SELECT id, digest, due, label_proof FROM mailbox WHERE address = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([key], |row| {
            Ok(MailboxRow {
                id: row.get(0)?,
                digest: row.get(1)?,
                due: row.get(2)?,
                label_proof: row.get(3)?,
            })
        })
        .optional()?;
    Ok(row)
}

/// Replaces what is published for a mailbox.
pub(super) fn write(
    transaction: &Transaction<'_>,
    key: &str,
    draft: &Draft,
    digest: &[u8; 32],
    label_proof: Option<&[u8]>,
) -> Result<(), PublicationError> {
    let (local, domain) = key.split_once('@').unwrap_or_default();
    let hash = (!local.is_empty()).then(|| wkd::wkd_hash(local));
    let id: i64 = transaction
        .prepare_cached(
            "INSERT INTO mailbox (address, domain, hash, digest, due, label_proof)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (address) DO UPDATE SET digest = ?4, due = ?5, label_proof = ?6 RETURNING id",
        )?
        .query_row(params![key, domain, hash, digest, draft.due, label_proof], |row| row.get(0))?;
    clear(transaction, id)?;
    for (list, first) in [(&draft.openpgp, 0), (&draft.smime, SMIME)] {
        for (place, (_, drawn)) in (first..).zip(list) {
            insert(transaction, id * PLACES + place, drawn)?;
        }
    }
    Ok(())
}

/// Withdraws everything from a mailbox, and remembers that it was somebody's.
pub(super) fn withdraw(
    transaction: &Transaction<'_>,
    key: &str,
    id: i64,
    now: i64,
) -> Result<(), PublicationError> {
    clear(transaction, id)?;
    transaction.prepare_cached("DELETE FROM mailbox WHERE id = ?1")?.execute([id])?;
    let name = whole_name(key);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO withdrawn VALUES (?1, ?2)")?
        .execute(params![name, now])?;
    Ok(())
}

/// When everything was withdrawn from a mailbox that is not published now.
pub(super) fn withdrawn_at(connection: &Connection, key: &str) -> Result<Option<i64>, PublicationError> {
    let mut statement = connection.prepare_cached("SELECT at FROM withdrawn WHERE name = ?1")?;
    Ok(statement.query_row([whole_name(key)], |row| row.get(0)).optional()?)
}

fn clear(transaction: &Transaction<'_>, id: i64) -> Result<(), PublicationError> {
    let (first, end) = (id * PLACES, (id + 1) * PLACES);
    let rows: Vec<(i64, String)> = transaction
        .prepare_cached("SELECT id, components FROM published WHERE id >= ?1 AND id < ?2")?
        .query_map([first, end], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (row, components) in rows {
        for key_id in components.split(' ').filter_map(key_id) {
            transaction
                .prepare_cached("DELETE FROM handle WHERE key_id = ?1 AND published = ?2")?
                .execute([key_id, row])?;
        }
        transaction.prepare_cached("DELETE FROM chain WHERE published = ?1")?.execute([row])?;
        transaction.prepare_cached("DELETE FROM published WHERE id = ?1")?.execute([row])?;
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, row: i64, drawn: &Drawn) -> Result<(), PublicationError> {
    let it = &drawn.published;
    transaction
        .prepare_cached(
            "INSERT INTO published VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            row,
            it.fingerprint,
            &*it.bytes,
            it.version,
            it.algorithm,
            it.algorithm_number,
            it.bits,
            it.created,
            it.valid_from,
            it.valid_until,
            it.revoked,
            it.usable,
            // No User ID that names a mailbox holds a control character.
            it.user_ids.join("\n"),
            drawn.components.join(" "),
        ])?;
    for key_id in drawn.components.iter().filter_map(|fingerprint| key_id(fingerprint)) {
        transaction.prepare_cached("INSERT OR IGNORE INTO handle VALUES (?1, ?2)")?.execute([key_id, row])?;
    }
    for (position, link) in (0_i64..).zip(&it.chain) {
        let name = sha256(link);
        transaction
            .prepare_cached("INSERT OR IGNORE INTO link VALUES (?1, ?2)")?
            .execute(params![name, &**link])?;
        transaction
            .prepare_cached("INSERT INTO chain VALUES (?1, ?2, ?3)")?
            .execute(params![row, position, name])?;
    }
    Ok(())
}

/// Everything of one mailbox.
pub(super) fn mailbox(connection: &Connection, key: &str) -> Result<Option<Mailbox>, PublicationError> {
    let Some(row) = mailbox_row(connection, key)? else { return Ok(None) };
    let (first, end) = (row.id * PLACES, (row.id + 1) * PLACES);
    let sql = "SELECT * FROM published WHERE id >= ?1 AND id < ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([first, end])?;
    let (mut openpgp, mut smime) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (id, published) = (row.get::<_, i64>("id")?, published(row)?);
        match published.scheme {
            Scheme::Openpgp => openpgp.push(published),
            Scheme::Smime => smime.push(Published { chain: chain(connection, id)?, ..published }),
        }
    }
    Ok(Some(Mailbox { address: key.to_owned(), openpgp, smime, label_proof: row.label_proof }))
}

/// The rows of one scheme; of no mailbox there are none, and that is asked in the same way.
fn places(id: Option<i64>, scheme: Scheme) -> [i64; 2] {
    let first = id.unwrap_or(-1) * PLACES;
    match scheme {
        Scheme::Openpgp => [first, first + SMIME],
        Scheme::Smime => [first + SMIME, first + PLACES],
    }
}

/// The certificates of a mailbox of one scheme, without their chains.
pub(super) fn of_scheme(
    connection: &Connection,
    id: Option<i64>,
    scheme: Scheme,
) -> Result<Vec<Published>, PublicationError> {
    let sql = "SELECT * FROM published WHERE id >= ?1 AND id < ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(places(id, scheme))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(published(row)?);
    }
    Ok(found)
}

/// The OpenPGP certificates of a mailbox, one behind the other; none of no mailbox.
pub(super) fn answer(connection: &Connection, id: Option<i64>) -> Result<Vec<u8>, PublicationError> {
    let sql = "SELECT bytes FROM published WHERE id >= ?1 AND id < ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(places(id, Scheme::Openpgp))?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        answer.extend_from_slice(
            row.get_ref(0)?
                .as_blob()
                .map_err(|error| PublicationError::Corrupt(format!("mailbox {id:?}: {error}")))?,
        );
    }
    Ok(answer)
}

/// What is published of a mailbox's OpenPGP certificates, by fingerprint.
pub(super) fn certificates(
    connection: &Connection,
    id: i64,
) -> Result<BTreeMap<String, Arc<[u8]>>, PublicationError> {
    let sql = "SELECT fingerprint, bytes FROM published WHERE id >= ?1 AND id < ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id * PLACES, id * PLACES + SMIME], |row| {
        Ok((row.get(0)?, Arc::from(row.get::<_, Vec<u8>>(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// OpenPGP certificates under a key ID, with the fingerprints of their keys; the one published first in front.
pub(super) fn with_key_id(
    connection: &Connection,
    key_id: i64,
) -> Result<Vec<(Published, Vec<String>)>, PublicationError> {
    let sql = "SELECT published.* FROM handle JOIN published ON published.id = handle.published
               WHERE key_id = ?1 ORDER BY published.id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([key_id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let components: String = row.get("components")?;
        found.push((published(row)?, components.split(' ').map(str::to_owned).collect()));
    }
    Ok(found)
}

/// The key ID in a fingerprint, as it is stored: the last eight octets of version 4, the first of version 6
/// (RFC 9580, 5.5.4).
pub(super) fn key_id(fingerprint: &str) -> Option<i64> {
    let digits = match fingerprint.len() {
        16 => fingerprint,
        40 => fingerprint.get(24..)?,
        64 => fingerprint.get(..16)?,
        _ => return None,
    };
    u64::from_str_radix(digits, 16).ok().map(u64::cast_signed)
}

fn chain(connection: &Connection, published: i64) -> Result<Vec<Arc<[u8]>>, PublicationError> {
    let sql = "SELECT bytes FROM chain JOIN link ON link.name = chain.link
               WHERE published = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([published], |row| Ok(Arc::from(row.get::<_, Vec<u8>>(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn published(row: &Row<'_>) -> Result<Published, PublicationError> {
    let id: i64 = row.get("id")?;
    let user_ids: String = row.get("user_ids")?;
    Ok(Published {
        fingerprint: row.get("fingerprint")?,
        scheme: if id % PLACES < SMIME { Scheme::Openpgp } else { Scheme::Smime },
        bytes: Arc::from(row.get::<_, Vec<u8>>("bytes")?),
        version: row.get("version")?,
        algorithm: row.get("algorithm")?,
        algorithm_number: row.get("algorithm_number")?,
        bits: row.get("bits")?,
        created: row.get("created")?,
        valid_from: row.get("valid_from")?,
        valid_until: row.get("valid_until")?,
        revoked: row.get("revoked")?,
        usable: row.get("usable")?,
        user_ids: user_ids.split('\n').filter(|text| !text.is_empty()).map(str::to_owned).collect(),
        chain: Vec::new(),
    })
}
