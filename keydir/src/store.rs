//! The certificate store: one SQLite file, shared by the daemon and the command line.

mod cache;
mod rows;
mod schema;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::parse::Parse;

use crate::answer::Answer;
use crate::answer::Known;
use crate::answer::Reason;
use crate::answer::Rejected;
use crate::answer::Usable;
use crate::assess;
use crate::assess::Fitness;
use crate::intake;
use crate::intake::IntakeError;
use crate::record::Custody;
use crate::record::Origin;
use crate::record::Record;
use crate::record::Scheme;
use crate::record::Trust;
use crate::subject::Purpose;
use crate::subject::Subject;
use cache::Cache;
use cache::Question;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// What lies in the store cannot be read back.
    #[error("the certificate store holds a damaged entry: {0}")]
    Corrupt(String),
    /// The database reported an error.
    #[error("the certificate store cannot be used")]
    Database(#[source] rusqlite::Error),
    /// Others than its owner can read or write the file.
    #[error("{}: mode {mode:04o} lets others in; it must be 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be opened or created.
    #[error("{}: cannot open the certificate store", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificates given were refused.
    #[error("the certificates were refused")]
    Intake(#[from] IntakeError),
    /// Another process holds a lock.
    #[error("the certificate store is locked by another process")]
    Locked(#[source] rusqlite::Error),
    /// The file was written by a newer version.
    #[error("the certificate store has schema {found}; this version knows {known}")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema this version knows.
        known: i64,
    },
    /// The signature given does not revoke the certificate.
    #[error("this is no revocation of {0}")]
    NotARevocation(String),
    /// The file or its directory is read-only.
    #[error("the certificate store is read-only")]
    ReadOnly(#[source] rusqlite::Error),
    /// No certificate has this fingerprint.
    #[error("no certificate {0} in the store")]
    Unknown(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(error),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(error),
            _ => Self::Database(error),
        }
    }
}

/// Certificates to import, and what to think of them.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Armored or binary; several certificates are allowed.
    pub bytes: &'a [u8],
    /// Whom to bind them to; `None` binds them to the addresses of their User IDs.
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

struct Inner {
    connection: Connection,
    cache: Cache,
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
    /// accepted; then the one with the newest key wins.
    pub fn find(&self, subject: &Subject, scheme: Scheme, purpose: Purpose, now: i64) -> Answer<Usable> {
        let question = Question { subject: subject.key(), scheme, purpose };
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

    /// Changes what to think of a certificate.
    ///
    /// # Errors
    /// If the certificate is unknown or the database cannot be written.
    pub fn set_trust(&self, fingerprint: &str, trust: Trust) -> Result<(), StoreError> {
        self.update(fingerprint, "UPDATE certificate SET trust = ?2 WHERE fingerprint = ?1", trust.as_str())
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

impl Inner {
    fn find(&mut self, question: Question, now: i64) -> Result<Answer<Usable>, StoreError> {
        self.refresh()?;
        if let Some(answer) = self.cache.answer(&question, now) {
            return Ok(answer);
        }
        let bound = rows::bound_to(&self.connection, &question)?;
        let known = bound.iter().map(|f| self.known(f)).collect::<Result<Vec<_>, _>>()?;
        let answer = choose(&known, &question, now);
        let span = assess::stable_span(known.iter().map(|known| &*known.cert), now);
        self.cache.remember(question, span, answer.clone());
        Ok(answer)
    }

    fn by_handle(&mut self, handle: &str) -> Result<Answer<Vec<Known>>, StoreError> {
        self.refresh()?;
        let found = rows::with_component(&self.connection, &canonical_handle(handle))?;
        let known = found.iter().map(|f| self.known(f)).collect::<Result<Vec<_>, _>>()?;
        Ok(if known.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(known) })
    }

    /// Forgets the cache if another process changed the database.
    fn refresh(&mut self) -> Result<(), StoreError> {
        let version: i64 =
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        self.cache.at_version(version);
        Ok(())
    }

    fn known(&mut self, fingerprint: &str) -> Result<Known, StoreError> {
        if let Some(known) = self.cache.known(fingerprint) {
            return Ok(known);
        }
        let record = rows::load(&self.connection, fingerprint)?
            .ok_or_else(|| StoreError::Corrupt(format!("{fingerprint} has no certificate")))?;
        let cert = parse(&record)?;
        let known = Known { record: Arc::new(record), cert: Arc::new(cert) };
        self.cache.keep(&known);
        Ok(known)
    }
}

/// Judges the certificates of a subject and picks the best.
fn choose(known: &[Known], question: &Question, now: i64) -> Answer<Usable> {
    let mut why = Vec::new();
    let mut best: Option<(&Known, Fitness)> = None;
    for known in known {
        match judge(known, question, now) {
            Err(reason) => why.push(Rejected { fingerprint: known.record.fingerprint.clone(), reason }),
            Ok(fitness) => {
                if best.as_ref().is_none_or(|(than, fit)| preference(known, &fitness) > preference(than, fit))
                {
                    best = Some((known, fitness));
                }
            }
        }
    }
    match best {
        None => Answer::None { why },
        Some((known, fitness)) => Answer::Found(Usable {
            record: known.record.clone(),
            cert: known.cert.clone(),
            subkey: fitness.subkey,
            aead: fitness.aead,
        }),
    }
}

/// The greatest is preferred: checked before accepted, then the newest key, then the newest certificate.
fn preference<'a>(known: &'a Known, fitness: &Fitness) -> (u8, i64, Option<i64>, &'a str) {
    let record = &known.record;
    (u8::MAX - record.trust.rank(), fitness.created, record.valid_from, &record.fingerprint)
}

fn judge(known: &Known, question: &Question, now: i64) -> Result<Fitness, Reason> {
    match known.record.trust {
        Trust::Distrusted => return Err(Reason::Distrusted),
        Trust::Held => return Err(Reason::Held),
        Trust::Own | Trust::Verified | Trust::Accepted => {}
    }
    if question.purpose == Purpose::Sign && known.record.custody != Custody::Local {
        return Err(Reason::NoSecretKey);
    }
    let assigned = known.record.assigned.iter().any(|subject| subject.key() == question.subject);
    let named = (!assigned && !question.subject.starts_with('@')).then_some(question.subject.as_str());
    assess::assess(&known.cert, question.purpose, named, now)
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

/// The answer for a look-up that failed, with the whole chain of causes.
fn could_not_tell<T>(error: StoreError) -> Answer<T> {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        why = format!("{why}: {source}");
        cause = source.source();
    }
    Answer::CouldNotTell { why }
}

#[cfg(test)]
mod tests;
