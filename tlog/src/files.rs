//! Files that are there whole or not at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// What is being written; there is one writer, so one name is enough, and what a crash leaves behind
/// is overwritten by the next write.
const NEW: &str = ".new";

/// A directory, locked against other writers for as long as this lives.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// Directories in which names have changed since the last [`Files::sync`].
    changed: BTreeSet<PathBuf>,
    _lock: File,
    #[cfg(test)]
    pub(crate) fuse: Fuse,
}

impl Files {
    pub(crate) fn lock(root: &Path) -> Result<Files, FilesError> {
        let failed = |source| FilesError::Io { path: root.join(".lock").display().to_string(), source };
        // Whoever can open the file can hold the lock; readers of the directory must not stop the writer.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(root.join(".lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FilesError::Locked),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        Ok(Files {
            root: root.to_owned(),
            changed: BTreeSet::new(),
            _lock: lock,
            #[cfg(test)]
            fuse: Fuse::default(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file under another name, and gives it its name once its bytes are on disk. The name
    /// is on disk after [`Files::sync`].
    pub(crate) fn replace(&mut self, path: &str, bytes: &[u8]) -> Result<(), FilesError> {
        self.try_replace(path, bytes).map_err(|source| FilesError::Io { path: path.to_owned(), source })
    }

    fn try_replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.root.join(path);
        let new = self.root.join(NEW);
        self.make_parents(&target)?;
        self.step()?;
        let mut file = File::create(&new)?;
        let (begin, end) = bytes.split_at(bytes.len() / 2);
        file.write_all(begin)?;
        self.step()?;
        file.write_all(end)?;
        self.step()?;
        file.sync_all()?;
        self.step()?;
        std::fs::rename(&new, &target)
    }

    fn make_parents(&mut self, target: &Path) -> io::Result<()> {
        let Some(parent) = target.parent() else { return Ok(()) };
        self.changed.insert(parent.to_owned());
        if parent.is_dir() {
            return Ok(());
        }
        let above = parent.ancestors().skip(1).take_while(|path| path.starts_with(&self.root));
        self.changed.extend(above.map(Path::to_owned));
        self.step()?;
        std::fs::create_dir_all(parent)
    }

    /// Puts all new names on disk.
    pub(crate) fn sync(&mut self) -> Result<(), FilesError> {
        for directory in &self.changed {
            let synced = self.step().and_then(|()| File::open(directory)?.sync_all());
            let path = || directory.display().to_string();
            synced.map_err(|source| FilesError::Io { path: path(), source })?;
        }
        self.changed.clear();
        Ok(())
    }

    /// Removes a directory with its files; nobody may need them any more.
    pub(crate) fn discard(&mut self, path: &str) -> Result<(), FilesError> {
        let removed = self.step().and_then(|()| std::fs::remove_dir_all(self.root.join(path)));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FilesError::Io { path: path.to_owned(), source: error })
            }
            _ => Ok(()),
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests interrupt here")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.fuse.step()
    }
}

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file could not be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another process writes to this directory.
    #[error("another process writes to this directory")]
    Locked,
}

/// Lets a test end every run of the writer at every step.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Fuse(std::cell::Cell<Option<u32>>);

#[cfg(test)]
impl Fuse {
    /// Everything fails after so many steps.
    pub(crate) fn burn_after(&self, steps: u32) {
        self.0.set(Some(steps));
    }

    fn step(&self) -> io::Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power failed")),
            Some(left) => {
                self.0.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
