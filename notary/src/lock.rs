//! One writer per log.
//!
//! The lock is on a file beside the database, not on the database: SQLite's own locks belong to
//! the process and are lost when any descriptor of the database file is closed.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::error::OpenError;

/// Held as long as the value lives; the operating system releases it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the database at `path` and leaves this process's number in it.
    pub(crate) fn take(path: &Path) -> Result<Lock, OpenError> {
        let lock_path = beside(path);
        let failed = |source| OpenError::File { path: lock_path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only to tell the administrator; the lock holds without it.
                let _ = file.take(16).read_to_string(&mut pid);
                return Err(OpenError::InUse { path: path.to_owned(), pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The number is a courtesy: a full disk must not keep the log closed.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock { _file: file })
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
