//! What strangers may see of us: written here, by the process that has the secrets; served by `gatepost-keydir`, which
//! has none.

mod ca_files;
pub mod config;
pub mod gate;
mod log;
mod submissions;
pub mod tasks;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use keydir::{AliasSigner, PublicationError, Publisher, Summary};
use keydir::{AuthorityError, Custody, Import, LocalAuthority, Origin, Trust};
use sealing::custody::CustodyError;
use sealing::openpgp::{Cert, add_user_id};

pub use self::log::{LogKeys, LogTrouble};

use self::log::Log;
use crate::authority::{self, AuthorityRoom};
use crate::config::Config;
use crate::exit::Exit;
use crate::keyring::KeyRing;
use crate::rooms;

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

/// Writes the publication of one gateway.
#[derive(Debug)]
pub struct PublicationRoom {
    directory: PathBuf,
    publisher: Mutex<Publisher>,
    keys: Arc<KeyRing>,
    log: Option<Log>,
}

/// Why the publication is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The local authority.
    #[error("the local authority failed")]
    Authority(#[from] AuthorityError),
    /// A file that is told in the configuration.
    #[error("{0}")]
    File(String),
    /// The publication.
    #[error("the publication was not brought up to date")]
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
            true => Some(Log {
                directory: directory.join(LOG),
                memory: config.gateway.state.join(MEMORY),
                keys: LogKeys::derive(&rooms::master_key(&config.gateway)?, &config.gateway)?,
            }),
            false => None,
        };
        Ok(Some(Arc::new(Self { directory, publisher: Mutex::new(publisher), keys, log })))
    }

    /// The keys of the key log, if there is one.
    pub fn log_keys(&self) -> Option<&LogKeys> {
        self.log.as_ref().map(|log| &log.keys)
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
        let mut session = self.log.as_ref().map(|log| log.session(now));
        let summary = self.publisher().refresh(&self.keys.store, &rules, now, &mut |changes| {
            session.as_mut().map_or(Ok(()), |session| session.append(changes))
        })?;
        if let Some(session) = session {
            session.finish().map_err(|error| PublicationError::Log(Box::new(error)))?;
        }
        self.write_ca(config)?;
        Ok(summary)
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

    /// Names aliases in certificates whose secret half we have, once: the named certificate is kept in the store.
    fn alias_signer(&self, now: i64) -> Arc<AliasSigner> {
        let keys = self.keys.clone();
        Arc::new(move |certificate: &Cert, alias: &str| {
            let secret = match keys.custody.get(&certificate.fingerprint().to_hex()) {
                Ok(secret) => secret,
                Err(CustodyError::Unknown(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let named = add_user_id(&secret, certificate, alias, now)?;
            let armored = keydir::armored(&named);
            keys.store.import(&Import {
                bytes: armored.as_bytes(),
                // The alias is no mailbox of its own: nobody is bound by it.
                subjects: Some(Vec::new()),
                origin: Origin::Generated,
                trust: Trust::Own,
                custody: Custody::Local,
                now,
            })?;
            Ok(Some(named))
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
