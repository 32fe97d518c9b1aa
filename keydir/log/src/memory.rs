//! The second place where the last signed checkpoint is remembered.
//!
//! A log that is restored from a backup would sign a second history beside the one that others have seen.
//! What it signed last therefore also stands in a file outside of what is backed up with the log.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use tlog::checkpoint::SignedCheckpoint;
use tlog::key::VerifierKey;
use tlog::note::MAX_NOTE;

/// The file with the last signed checkpoint.
#[derive(Debug)]
pub(crate) struct Memory(PathBuf);

/// What the file says.
#[derive(Debug)]
pub(crate) enum Remembered {
    Checkpoint(Box<SignedCheckpoint>),
    Nothing,
    /// There is a file, but not with a checkpoint of this log.
    Something,
}

impl Memory {
    pub(crate) fn at(path: &Path) -> Memory {
        Memory(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn recall(&self, log: &VerifierKey) -> io::Result<Remembered> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Remembered::Nothing),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_NOTE as u64 + 1).read_to_end(&mut bytes)?;
        Ok(match SignedCheckpoint::open(&bytes, log) {
            Ok(checkpoint) => Remembered::Checkpoint(Box::new(checkpoint)),
            Err(_) => Remembered::Something,
        })
    }

    /// Replaces what is remembered; it is on disk when this returns.
    pub(crate) fn remember(&self, checkpoint: &SignedCheckpoint) -> io::Result<()> {
        let mut new = self.0.clone().into_os_string();
        new.push(".new");
        let mut file = File::create(&new)?;
        file.write_all(checkpoint.note().to_string().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &self.0)?;
        match self.0.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }
}
