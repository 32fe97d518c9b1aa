//! What is known about accounts between two runs: one small file, replaced as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keydir::RevocationReason;
use serde::{Deserialize, Serialize};

use super::config::UserProfile;

/// Version of the file.
const VERSION: u32 = 1;

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// What accounts got when this was written.
    pub profile: Option<UserProfile>,
    /// By address in lower case.
    pub accounts: BTreeMap<String, Known>,
    /// Certificates that are to be revoked, by fingerprint: written before the first of them is.
    pub retiring: BTreeMap<String, RevocationReason>,
    /// Addresses for which certificates are being issued: written before the first of them is.
    pub issuing: BTreeSet<String>,
}

/// What is known about one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What stays the same when it is renamed.
    pub id: Option<String>,
    /// What became of it.
    pub stage: Stage,
    /// Its mark "compromised" was seen; the keys of that time are revoked.
    pub compromised: bool,
}

/// What became of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is used.
    #[default]
    Active,
    /// The source says that it must not be used.
    Disabled,
    /// The source does not know it any more; forgotten when nothing of it is left.
    Gone,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// It cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer version wrote it.
    #[error("{} was written by a newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
}

impl State {
    /// Reads it; empty if there is no file.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn load(path: &Path) -> Result<Self, StateError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StateError::File { path: path.to_owned(), source }),
        };
        let state: Self = serde_json::from_slice(&bytes)
            .map_err(|source| StateError::Damaged { path: path.to_owned(), source })?;
        if state.version > VERSION {
            return Err(StateError::Newer { path: path.to_owned() });
        }
        Ok(state)
    }

    /// Writes it; durable when this returns.
    ///
    /// # Errors
    /// It cannot be written; then the old one is still there.
    pub fn save(&self, path: &Path) -> Result<(), StateError> {
        let written = Self { version: VERSION, ..self.clone() };
        let bytes = serde_json::to_vec(&written)
            .map_err(|source| StateError::Damaged { path: path.to_owned(), source })?;
        replace(path, &bytes).map_err(|source| StateError::File { path: path.to_owned(), source })
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Holds the lock until the value is dropped; `None` if another process has it.
///
/// # Errors
/// The lock file cannot be used.
pub fn lock(path: &Path) -> Result<Option<File>, StateError> {
    let cannot = |source| StateError::File { path: path.to_owned(), source };
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(cannot(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_a_damaged_file_is_no_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.json");
        assert_eq!(State::load(&path).unwrap(), State::default());
        let mut state = State { profile: Some(UserProfile::Separate), ..State::default() };
        state.accounts.insert("bob@beta.example".to_owned(), Known::default());
        state.retiring.insert("AB".to_owned(), RevocationReason::KeyCompromise);
        state.save(&path).unwrap();
        let loaded = State::load(&path).unwrap();
        assert_eq!((loaded.accounts, loaded.retiring), (state.accounts, state.retiring));
        fs::write(&path, "{\"version\":1").unwrap();
        assert!(matches!(State::load(&path), Err(StateError::Damaged { .. })));
        let newer = r#"{"version":2,"profile":null,"accounts":{},"retiring":{},"issuing":[]}"#;
        fs::write(&path, newer).unwrap();
        assert!(matches!(State::load(&path), Err(StateError::Newer { .. })));
    }

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.lock");
        let held = lock(&path).unwrap();
        assert!(held.is_some());
        assert!(lock(&path).unwrap().is_none());
        drop(held);
        assert!(lock(&path).unwrap().is_some());
    }
}
