//! The state of the authority in SQLite.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use super::AuthorityError;
use super::AuthoritySettings;
use super::Profile;
use super::RevocationReason;
use crate::x509::Certificate;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: i64 = 1;

const TABLES: &str = "
    CREATE TABLE setting (
        name  TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- issuer is the fingerprint of the issuer's certificate; the root is its own issuer.
    CREATE TABLE certificate (
        fingerprint TEXT PRIMARY KEY,
        issuer      TEXT NOT NULL,
        serial      BLOB NOT NULL,
        profile     TEXT NOT NULL,
        subject     TEXT NOT NULL,
        not_before  INTEGER NOT NULL,
        not_after   INTEGER NOT NULL,
        issued      INTEGER NOT NULL,
        revoked     INTEGER,
        reason      INTEGER,
        bytes       BLOB NOT NULL,
        UNIQUE (issuer, serial)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX certificate_subject ON certificate (subject, profile);
    CREATE TABLE crl (
        issuer      TEXT NOT NULL,
        number      INTEGER NOT NULL,
        this_update INTEGER NOT NULL,
        next_update INTEGER NOT NULL,
        bytes       BLOB NOT NULL,
        PRIMARY KEY (issuer, number)
    ) STRICT, WITHOUT ROWID;
";

/// A certificate of the local authority and what became of it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// SHA-256, upper-case hexadecimal.
    pub fingerprint: String,
    /// Fingerprint of the issuer's certificate.
    pub issuer: String,
    /// What it is for.
    pub profile: Profile,
    /// The mailbox, domain or host, in lower case; `root`, `issuing-1`, … for the authorities.
    pub subject: String,
    /// When it was issued, Unix seconds.
    pub issued: i64,
    /// When it was revoked, Unix seconds, and the CRLReason.
    pub revoked: Option<(i64, u32)>,
    /// The certificate.
    pub certificate: Certificate,
}

/// Opens the file, or makes it with mode 0600.
pub(super) fn open(path: &Path) -> Result<Connection, AuthorityError> {
    let file = |source| AuthorityError::File { path: path.to_owned(), source };
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path).map_err(file)?.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                return Err(AuthorityError::Exposed { path: path.to_owned(), mode });
            }
        }
        Err(error) => return Err(file(error)),
    }
    prepare(Connection::open(path)?)
}

/// Makes the tables if they are not there.
pub(super) fn prepare(mut connection: Connection) -> Result<Connection, AuthorityError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // A certificate must not leave before its row survives a power failure.
    connection.pragma_update(None, "synchronous", "full")?;
    let transaction = begin(&mut connection)?;
    match transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        0 => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        SCHEMA => {}
        found => return Err(AuthorityError::Newer { found, known: SCHEMA }),
    }
    transaction.commit()?;
    Ok(connection)
}

/// Begins to write.
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, AuthorityError> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

pub(super) fn insert(
    connection: &Connection,
    certificate: &Certificate,
    issuer: &str,
    profile: Profile,
    subject: &str,
    now: i64,
) -> Result<(), AuthorityError> {
    connection.execute(
        "INSERT INTO certificate (fingerprint, issuer, serial, profile, subject, not_before, not_after,
             issued, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            certificate.fingerprint(),
            issuer,
            certificate.serial(),
            profile.as_str(),
            subject,
            certificate.not_before(),
            certificate.not_after(),
            now,
            certificate.der(),
        ],
    )?;
    Ok(())
}

/// The newest certificate of a profile that is not revoked.
pub(super) fn newest(connection: &Connection, profile: Profile) -> Result<Option<Issued>, AuthorityError> {
    let sql = "SELECT * FROM certificate WHERE profile = ?1 AND revoked IS NULL
               ORDER BY issued DESC, not_after DESC, subject DESC LIMIT 1";
    Ok(select(connection, sql, params![profile.as_str()])?.pop())
}

pub(super) fn count(connection: &Connection, profile: Profile) -> Result<u32, AuthorityError> {
    let sql = "SELECT count(*) FROM certificate WHERE profile = ?1";
    Ok(connection.query_row(sql, [profile.as_str()], |row| row.get(0))?)
}

pub(super) fn find(connection: &Connection, fingerprint: &str) -> Result<Option<Issued>, AuthorityError> {
    let sql = "SELECT * FROM certificate WHERE fingerprint = ?1";
    Ok(select(connection, sql, params![fingerprint])?.pop())
}

/// The certificate of an issuer with this serial number.
pub(super) fn by_serial(
    connection: &Connection,
    issuer: &str,
    serial: &[u8],
) -> Result<Option<Issued>, AuthorityError> {
    let sql = "SELECT * FROM certificate WHERE issuer = ?1 AND serial = ?2";
    Ok(select(connection, sql, params![issuer, serial])?.pop())
}

pub(super) fn issued(connection: &Connection, subject: Option<&str>) -> Result<Vec<Issued>, AuthorityError> {
    let sql = "SELECT * FROM certificate WHERE ?1 IS NULL OR subject = ?1 ORDER BY issued DESC, fingerprint";
    select(connection, sql, params![subject])
}

/// The authorities, whatever became of them.
pub(super) fn authorities(connection: &Connection) -> Result<Vec<Issued>, AuthorityError> {
    let sql = "SELECT * FROM certificate WHERE profile IN ('root', 'issuing') ORDER BY fingerprint";
    select(connection, sql, params![])
}

/// What an issuer revoked, in order of the serial numbers.
pub(super) fn revoked(connection: &Connection, issuer: &str) -> Result<Vec<Issued>, AuthorityError> {
    let sql = "SELECT * FROM certificate WHERE issuer = ?1 AND revoked IS NOT NULL ORDER BY serial";
    select(connection, sql, params![issuer])
}

/// The fingerprints of the leaves that are neither revoked nor expired at `now`, sorted.
pub(super) fn in_use(connection: &Connection, now: i64) -> Result<Vec<String>, AuthorityError> {
    let sql = "SELECT fingerprint FROM certificate
               WHERE revoked IS NULL AND not_after >= ?1 AND profile NOT IN ('root', 'issuing')
               ORDER BY fingerprint";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([now], |row| row.get(0))?;
    Ok(found.collect::<Result<Vec<String>, rusqlite::Error>>()?)
}

/// The last leaf of each profile and subject, if no more than `overlap` seconds of its life are left at `now`, or
/// a third of it when that is less: a short life must not be over before it began. What ends first comes first, and
/// of what ends in the same second that on which the mail of more people depends.
pub(super) fn due(connection: &Connection, now: i64, overlap: i64) -> Result<Vec<Issued>, AuthorityError> {
    let sql = "SELECT * FROM certificate AS last
               WHERE revoked IS NULL AND not_after - ?1 <= min(?2, (not_after - not_before) / 3)
                 AND profile NOT IN ('root', 'issuing')
                 AND NOT EXISTS (SELECT 1 FROM certificate AS later
                                 WHERE later.subject = last.subject AND later.profile = last.profile
                                   AND (later.not_after > last.not_after
                                        OR later.not_after = last.not_after
                                           AND later.fingerprint > last.fingerprint))
               ORDER BY not_after, profile LIKE 'user%', fingerprint";
    select(connection, sql, params![now, overlap])
}

pub(super) fn revoke(
    connection: &Connection,
    fingerprint: &str,
    reason: RevocationReason,
    now: i64,
) -> Result<Issued, AuthorityError> {
    let unknown = || AuthorityError::Unknown(fingerprint.to_owned());
    let issued = find(connection, fingerprint)?.ok_or_else(unknown)?;
    if issued.profile == Profile::Root {
        return Err(AuthorityError::Invalid { what: "revocation of the root", value: issued.fingerprint });
    }
    let worse = matches!(reason, RevocationReason::KeyCompromise | RevocationReason::CaCompromise);
    connection.execute(
        "UPDATE certificate SET revoked = coalesce(revoked, ?2),
             reason = CASE WHEN reason IS NULL OR ?4 THEN ?3 ELSE reason END WHERE fingerprint = ?1",
        params![fingerprint, now, reason.code(), worse],
    )?;
    find(connection, fingerprint)?.ok_or_else(unknown)
}

pub(super) fn save_settings(
    connection: &Connection,
    settings: &AuthoritySettings,
) -> Result<(), AuthorityError> {
    connection.execute("DELETE FROM setting", [])?;
    let save = |name: &str, value: &str| {
        connection.execute("INSERT INTO setting VALUES (?1, ?2)", [name, value]).map(drop)
    };
    save("organisation", &settings.organisation)?;
    save("domains", &settings.domains.join(" "))?;
    for (name, url) in [
        ("crl_url", &settings.crl_url),
        ("ocsp_url", &settings.ocsp_url),
        ("issuer_url", &settings.issuer_url),
    ] {
        url.as_ref().map_or(Ok(()), |url| save(name, url))?;
    }
    save("root_days", &settings.root_days.to_string())?;
    save("issuing_days", &settings.issuing_days.to_string())?;
    save("leaf_days", &settings.leaf_days.to_string())?;
    Ok(())
}

pub(super) fn settings(connection: &Connection) -> Result<AuthoritySettings, AuthorityError> {
    let read = |name: &str| {
        let sql = "SELECT value FROM setting WHERE name = ?1";
        connection.query_row(sql, [name], |row| row.get::<_, String>(0)).optional()
    };
    let days = |name: &str| -> Result<u32, AuthorityError> {
        let days = read(name)?.and_then(|days| days.parse().ok());
        days.ok_or_else(|| AuthorityError::Corrupt(format!("setting {name}")))
    };
    let organisation = read("organisation")?.ok_or(AuthorityError::NoAuthority)?;
    let domains = read("domains")?.unwrap_or_default();
    Ok(AuthoritySettings {
        organisation,
        domains: domains.split_whitespace().map(str::to_owned).collect(),
        crl_url: read("crl_url")?,
        ocsp_url: read("ocsp_url")?,
        issuer_url: read("issuer_url")?,
        root_days: days("root_days")?,
        issuing_days: days("issuing_days")?,
        leaf_days: days("leaf_days")?,
    })
}

fn select(
    connection: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Issued>, AuthorityError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Issued, AuthorityError> {
    let fingerprint: String = row.get("fingerprint")?;
    let corrupt = |what: String| AuthorityError::Corrupt(format!("{fingerprint}: {what}"));
    let (profile, bytes): (String, Vec<u8>) = (row.get("profile")?, row.get("bytes")?);
    let profile = profile.parse().map_err(|_| corrupt(profile.clone()))?;
    let certificate = Certificate::from_der(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if certificate.fingerprint() != fingerprint {
        return Err(corrupt("another certificate".to_owned()));
    }
    let revoked: Option<i64> = row.get("revoked")?;
    let reason: Option<u32> = row.get("reason")?;
    Ok(Issued {
        issuer: row.get("issuer")?,
        profile,
        subject: row.get("subject")?,
        issued: row.get("issued")?,
        revoked: revoked.map(|when| (when, reason.unwrap_or_default())),
        certificate,
        fingerprint,
    })
}
