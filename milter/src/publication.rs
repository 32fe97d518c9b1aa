//! What strangers may see of us: written here, by the process that has the secrets; served by `gatepost-keydir`, which
//! has none.

mod book;
mod ca_files;
pub mod config;
pub mod cosigning;
mod endorsement;
pub mod erasure;
pub mod gate;
mod log;
mod submissions;
pub mod tasks;
mod watch;
pub mod witness;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use keydir::{AliasSigner, Authority, Change, PublicationError, Publisher, Summary};
use keydir::{AuthorityError, Custody, Filter, Import, LocalAuthority, Scheme, StoreError, Subject, Trust};
use keylog::ledger::{LedgerError, Watched};
use keylog::writer::KeyLog;
use program::Exit;
use sealing::custody::CustodyError;
use sealing::openpgp::{Cert, add_user_id};

pub use self::log::{LogKeys, LogTrouble};

use self::book::Book;
pub use self::book::CommitTrouble;
use self::endorsement::Endorsers;
use self::log::{Log, Session};
use crate::authority::{self, AuthorityRoom};
use crate::config::Config;
use crate::keyring::KeyRing;
use crate::rooms;

/// The authorities of a domain whose mailboxes are published.
const AUTHORITIES: [Authority; 2] = [Authority::Confidentiality, Authority::Signing];
/// The file of what is published, in the publication directory.
const PUBLICATION: &str = "publication.db";
/// The directory of the key log in it.
const LOG: &str = "log";
/// The directory of revocation lists and authorities' certificates in it.
const CA: &str = "ca";
/// Where the sidecar puts what strangers submit.
const SUBMISSIONS: &str = "submissions";
/// Where the last checkpoint is remembered, in the state directory.
const MEMORY: &str = "key-log.checkpoint";
/// What we know to have written into the log, in the state directory.
const BOOK: &str = "key-log.db";

/// Writes the publication of one gateway.
#[derive(Debug)]
pub struct PublicationRoom {
    directory: PathBuf,
    publisher: Mutex<Publisher>,
    keys: Arc<KeyRing>,
    log: Option<Arc<Log>>,
    book: Option<Book>,
}

/// Why the publication is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The local authority.
    #[error("the local authority failed")]
    Authority(#[from] AuthorityError),
    /// The keys of our domains.
    #[error("the keys of our domains cannot be had: {0}")]
    Keys(String),
    /// The certificate store.
    #[error("the certificate store failed")]
    Store(#[from] StoreError),
    /// A file that is told in the configuration.
    #[error("{0}")]
    File(String),
    /// The publication.
    #[error("the publication was not brought up to date")]
    Publication(#[from] PublicationError),
}

/// Why it cannot be logged that something is gone.
#[derive(Debug, thiserror::Error)]
enum GoneTrouble {
    #[error(transparent)]
    Book(#[from] LedgerError),
    #[error(transparent)]
    Commit(#[from] CommitTrouble),
    #[error(transparent)]
    Log(#[from] LogTrouble),
    #[error(transparent)]
    Publication(#[from] PublicationError),
}

impl PublicationRoom {
    /// Opens the room, if it is configured.
    ///
    /// # Errors
    /// The directory cannot be made, or the master key is not there.
    pub fn open(config: &Config, keys: Arc<KeyRing>) -> Result<Option<Arc<Self>>, Exit> {
        let Some(section) = &config.keydir else { return Ok(None) };
        let directory = section.publication.clone();
        prepare(&directory)
            .map_err(|error| Exit::output(format!("cannot make {}", directory.display()), error))?;
        let publisher = Publisher::open(&directory.join(PUBLICATION))
            .map_err(|error| Exit::unavailable("cannot open the publication", error))?;
        let log = match section.log {
            true => Some(Arc::new(Log {
                directory: directory.join(LOG),
                memory: config.gateway.state.join(MEMORY),
                keys: LogKeys::derive(&rooms::master_key(&config.gateway)?, &config.gateway)?,
            })),
            false => None,
        };
        let book =
            log.as_ref().map(|log| Book::open(&config.gateway.state.join(BOOK), &log.directory, &log.keys));
        let book = book.transpose()?;
        Ok(Some(Arc::new(Self { directory, publisher: Mutex::new(publisher), keys, log, book })))
    }

    /// The keys of the key log, if there is one.
    pub fn log_keys(&self) -> Option<&LogKeys> {
        self.log.as_ref().map(|log| &log.keys)
    }

    /// Lets the log go on that a witness has stopped, and gives how many entries that witness claimed to have seen.
    ///
    /// # Errors
    /// There is no log, or it cannot be written.
    pub fn absolve_log(&self) -> Result<Option<u64>, LogTrouble> {
        let Some(log) = &self.log else { return Ok(None) };
        Ok(KeyLog::absolve(&log.directory, log.keys.signer()?.verifier())?)
    }

    /// Where the socket for the sidecar is.
    pub fn gate(&self) -> PathBuf {
        self.directory.join(gate::SOCKET)
    }

    /// Takes what strangers submitted to the sidecar: certificates of our users, kept as held. Gives their fingerprints.
    ///
    /// # Errors
    /// In words: the directory or the store cannot be used.
    pub fn take_submissions(&self, config: &Config, now: i64) -> Result<Vec<String>, String> {
        submissions::take(&self.keys, config, &self.directory.join(SUBMISSIONS), now)
    }

    /// Calls `progress` with the number of mailboxes done and to do.
    pub fn on_progress(&self, progress: impl FnMut(usize, usize) + Send + 'static) {
        self.publisher().on_progress(progress);
    }

    /// Brings everything up to date at `now` (Unix seconds). Blocking.
    ///
    /// # Errors
    /// [`RoomError`]; what is published stays as it was, but for whole batches that were done before.
    pub fn refresh(&self, config: &Config, now: i64) -> Result<Summary, RoomError> {
        let Some(section) = &config.keydir else { return Ok(Summary::default()) };
        let mut rules = section.rules(&config.gateway.domains).map_err(RoomError::File)?;
        rules.alias_signer = Some(self.alias_signer(now));
        self.bind_authorities(&config.gateway.domains, now)?;
        if section.endorse {
            let endorsers =
                Endorsers::of(&self.keys, &config.gateway.domains, now).map_err(RoomError::Keys)?;
            rules.endorsers = endorsers.certificates();
            rules.endorser = endorsers.signer(now);
        }
        let mut session = self.log.as_ref().map(|log| log.session(now));
        let identity = session.as_mut().map(log::Session::identity).transpose();
        rules.log = identity.map_err(|error| PublicationError::Log(Box::new(error)))?;
        let summary = self.publisher().refresh(&self.keys.store, &rules, now, &mut |changes| {
            session.as_mut().map_or(Ok(()), |session| self.log_changes(session, changes))
        })?;
        if summary.logged_anew
            && let (Some(session), Some(book)) = (&mut session, &self.book)
        {
            self.log_what_is_gone(session, book).map_err(|error| PublicationError::Log(Box::new(error)))?;
        }
        if let Some(session) = session {
            session.finish().map_err(|error| PublicationError::Log(Box::new(error)))?;
        }
        self.write_ca(config)?;
        Ok(summary)
    }

    /// What was withdrawn while nothing was logged has no certificates in the log either.
    fn log_what_is_gone(&self, session: &mut Session<'_>, book: &Book) -> Result<(), GoneTrouble> {
        let mut gone = Vec::new();
        for mailbox in book.mailboxes()? {
            if !self.publisher().is_published(&mailbox)? {
                gone.push(Change {
                    mailbox,
                    old: None,
                    new: None,
                    certificates: Vec::new(),
                    label_proof: None,
                });
            }
        }
        for some in gone.chunks_mut(2000) {
            self.log_changes(session, some)?;
        }
        Ok(())
    }

    /// Our book first: an entry that it does not know is an alarm.
    fn log_changes(&self, session: &mut Session<'_>, changes: &mut [Change]) -> Result<(), CommitTrouble> {
        if let Some(book) = &self.book {
            book.enter(session, changes)?;
        }
        Ok(session.append(changes)?)
    }

    /// Looks at the key log as it is published; nothing if there is none. Blocking.
    ///
    /// # Errors
    /// It cannot be told now.
    pub fn watch(&self) -> Result<Option<Watched>, LedgerError> {
        self.book.as_ref().map(Book::watch).transpose()
    }

    /// The certificate of a domain is found under the mailboxes of its authorities too (RFC 3183 section 3.1.1): that is
    /// where other gateways look for it.
    fn bind_authorities(&self, domains: &[String], now: i64) -> Result<(), RoomError> {
        let store = &self.keys.store;
        for domain in domains {
            let Some(subject) = Subject::domain(domain) else { continue };
            let named =
                AUTHORITIES.iter().filter_map(|authority| Subject::address(&authority.mailbox(domain)));
            let named: Vec<Subject> = named.collect();
            let filter =
                Filter { subject: Some(subject), custody: Some(Custody::Local), ..Filter::default() };
            for listed in store.list(&filter, now)? {
                let record = listed.record;
                let openpgp = record.scheme == Scheme::Openpgp && record.trust == Trust::Own;
                if !openpgp || named.iter().all(|name| record.subjects.iter().any(|bound| bound.same(name))) {
                    continue;
                }
                store.import(&Import {
                    bytes: &record.bytes,
                    subjects: Some(named.clone()),
                    origin: record.origin,
                    trust: record.trust,
                    custody: record.custody,
                    now,
                })?;
            }
        }
        Ok(())
    }

    fn write_ca(&self, config: &Config) -> Result<(), RoomError> {
        if !AuthorityRoom::exists(&config.gateway.state) {
            return Ok(());
        }
        let authority = LocalAuthority::open(&config.gateway.state.join(authority::FILE))?;
        if authority.root().is_err() {
            return Ok(());
        }
        ca_files::write(&authority, &self.directory.join(CA)).map_err(RoomError::File)
    }

    /// Names aliases in certificates whose secret half we have.
    fn alias_signer(&self, now: i64) -> Arc<AliasSigner> {
        let keys = self.keys.clone();
        Arc::new(move |certificate: &Cert, alias: &str| {
            let secret = match keys.custody.get(&certificate.fingerprint().to_hex()) {
                Ok(secret) => secret,
                Err(CustodyError::Unknown(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            Ok(Some(add_user_id(&secret, certificate, alias, now)?))
        })
    }

    fn publisher(&self) -> std::sync::MutexGuard<'_, Publisher> {
        // SQLite rolls back: a panic elsewhere leaves no half state.
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory with mode 0750, so that the sidecar's group can read it, and what is in it.
fn prepare(directory: &Path) -> io::Result<()> {
    let make = |dir: &Path, mode| fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
    make(directory, 0o750)?;
    make(&directory.join(CA), 0o750)?;
    make(&directory.join(LOG), 0o750)?;
    make(&directory.join(SUBMISSIONS), 0o770)
}
