//! The certificate store: one SQLite file, shared by the daemon and the command line.

mod cache;
mod certificates;
mod changes;
mod confirm;
mod error;
mod found;
mod look_up;
mod prune;
mod rows;
mod schema;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::parse::Parse;

pub use certificates::CertificateId;
pub use certificates::KnownCertificate;
pub use certificates::UsableCertificate;
pub use error::StoreError;

use crate::answer::Answer;
use crate::answer::Known;
use crate::answer::Usable;
use crate::assess;
use crate::intake;
use crate::record::Custody;
use crate::record::Origin;
use crate::record::Record;
use crate::record::Scheme;
use crate::record::Trust;
use crate::subject::Purpose;
use crate::subject::Subject;
use cache::Cache;
use cache::Question;
pub(crate) use changes::Journal;
use look_up::Inner;
use look_up::could_not_tell;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Certificates to import, and what to think of them.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Armored or binary; several certificates are allowed.
    pub bytes: &'a [u8],
    /// Whom to bind them to; `None` binds them to the addresses of their User IDs. What the administrator or the
    /// holder gives here holds whatever the User IDs say; what a source gives ([`Origin::is_found`]) must be named by
    /// one of them, and counts for no more than `trust` even if the certificate itself does.
    pub subjects: Option<Vec<Subject>>,
    /// Where they come from.
    pub origin: Origin,
    /// What to think of them. What is already there keeps its trust, except that `Accepted` is raised.
    pub trust: Trust,
    /// Where the secret half lies.
    pub custody: Custody,
    /// Unix seconds.
    pub now: i64,
}

/// The certificate store. Share one per process; all methods take `&self`.
pub struct Store {
    inner: Mutex<Inner>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, or makes it if there is no such file.
    ///
    /// # Errors
    /// If the file cannot be opened, is accessible to others, is locked, damaged, or was written by a
    /// newer version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = |source| StoreError::File { path: path.to_owned(), source };
        // SQLite gives its journal files the mode of the database.
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mode = fs::metadata(path).map_err(file)?.permissions().mode() & 0o7777;
                if mode & 0o077 != 0 {
                    return Err(StoreError::Exposed { path: path.to_owned(), mode });
                }
            }
            Err(error) => return Err(file(error)),
        }
        Self::with_connection(Connection::open(path)?)
    }

    /// A store that is gone when it is dropped.
    ///
    /// # Errors
    /// If SQLite cannot make it.
    pub fn open_in_memory() -> Result<Self, StoreError> {
        Self::with_connection(Connection::open_in_memory()?)
    }

    fn with_connection(mut connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        schema::prepare(&mut connection)?;
        Ok(Self { inner: Mutex::new(Inner { connection, cache: Cache::default() }) })
    }

    /// The certificate to use for a subject and purpose at `now` (Unix seconds).
    ///
    /// Of several that are usable, one whose holder was checked goes before one that is merely
    /// accepted, and of those that only sources bound the one that was believed last goes first; then the one with the
    /// newest key wins.
    pub fn find(&self, subject: &Subject, scheme: Scheme, purpose: Purpose, now: i64) -> Answer<Usable> {
        let question = Question { subject: subject.folded(), scheme, purpose };
        self.lock().find(question, now).unwrap_or_else(could_not_tell)
    }

    /// All certificates with a primary key or subkey of this handle: a fingerprint (40 or 64 hexadecimal
    /// digits) or key ID (16 digits). Usable or not; the caller judges.
    pub fn by_handle(&self, handle: &str) -> Answer<Vec<Known>> {
        self.lock().by_handle(handle).unwrap_or_else(could_not_tell)
    }

    /// Stores certificates, merged with what is there; nothing that is there is lost.
    ///
    /// # Errors
    /// If any of them is refused or cannot be written; then none is stored.
    pub fn import(&self, import: &Import<'_>) -> Result<Vec<Record>, StoreError> {
        let certs = intake::read_certificates(import.bytes)?;
        self.write(|transaction| {
            certs.into_iter().map(|cert| rows::store(transaction, cert, import)).collect()
        })
    }

    /// The record of one certificate.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn get(&self, fingerprint: &str) -> Result<Option<Record>, StoreError> {
        let inner = self.lock();
        rows::load(&inner.connection, &canonical_handle(fingerprint))
    }

    /// All records, ordered by fingerprint.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        let inner = self.lock();
        let fingerprints = rows::fingerprints(&inner.connection)?;
        fingerprints.iter().filter_map(|f| rows::load(&inner.connection, f).transpose()).collect()
    }

    /// Adds a revocation certificate, armored or binary, made by the holder of the certificate.
    ///
    /// # Errors
    /// If the certificate is unknown, or the signature does not revoke it at `now`.
    pub fn revoke(&self, fingerprint: &str, revocation: &[u8], now: i64) -> Result<Record, StoreError> {
        let fingerprint = canonical_handle(fingerprint);
        let not = || StoreError::NotARevocation(fingerprint.clone());
        let packets: Vec<Packet> = sequoia_openpgp::PacketPile::from_bytes(revocation)
            .map_err(|_| not())?
            .into_children()
            .filter(|packet| matches!(packet, Packet::Signature(_)))
            .collect();
        self.write(|transaction| {
            let mut record = rows::load(transaction, &fingerprint)?
                .ok_or_else(|| StoreError::Unknown(fingerprint.clone()))?;
            let cert = parse(&record)?;
            let (cert, _) = cert.insert_packets(packets).map_err(|_| not())?;
            let cert = intake::clean(&cert).map_err(|_| not())?;
            record.revoked = Some(assess::revocation(&cert, now).ok_or_else(not)?);
            rows::save(transaction, &mut record, &cert, now)?;
            Ok(record)
        })
    }

    /// Changes where the secret half lies.
    ///
    /// # Errors
    /// If the certificate is unknown or the database cannot be written.
    pub fn set_custody(&self, fingerprint: &str, custody: Custody) -> Result<(), StoreError> {
        self.update(
            fingerprint,
            "UPDATE certificate SET custody = ?2 WHERE fingerprint = ?1",
            custody.as_str(),
        )
    }

    /// Removes a certificate.
    ///
    /// # Errors
    /// If the certificate is unknown or the database cannot be written.
    pub fn remove(&self, fingerprint: &str) -> Result<(), StoreError> {
        self.update(fingerprint, "DELETE FROM certificate WHERE fingerprint = ?1 AND ?2 = ''", "")
    }

    fn update(&self, fingerprint: &str, sql: &str, value: &str) -> Result<(), StoreError> {
        let fingerprint = canonical_handle(fingerprint);
        self.write(|transaction| match transaction.execute(sql, [&fingerprint, value])? {
            0 => Err(StoreError::Unknown(fingerprint.clone())),
            _ => Ok(()),
        })
    }

    /// Runs `work` in one write transaction and forgets the cache.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut inner = self.lock();
        inner.cache.clear();
        let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The cache is replaced as a whole and SQLite rolls back: a panic elsewhere leaves no half state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parses the certificate of a record.
fn parse(record: &Record) -> Result<Cert, StoreError> {
    let cert = Cert::from_bytes(&record.bytes)
        .map_err(|error| StoreError::Corrupt(format!("{}: {error}", record.fingerprint)))?;
    if cert.fingerprint().to_hex() != record.fingerprint {
        return Err(StoreError::Corrupt(format!("{} holds another certificate", record.fingerprint)));
    }
    Ok(cert)
}

/// Upper-case hexadecimal without blanks and `0x`.
fn canonical_handle(handle: &str) -> String {
    let handle: String = handle.chars().filter(|c| !c.is_whitespace()).collect();
    let handle = handle.strip_prefix("0x").or_else(|| handle.strip_prefix("0X")).unwrap_or(&handle);
    handle.to_ascii_uppercase()
}

#[cfg(test)]
mod tests;
