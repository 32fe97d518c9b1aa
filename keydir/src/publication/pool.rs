//! A few read-only connections to the file, opened when they are needed.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;

use super::PublicationError;
use super::schema;

/// Most connections that are kept open while nobody uses them.
const MAX_IDLE: usize = 16;
/// How long a statement waits while the gateway writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 32;

/// Device and inode of a file: tells it from one that took its place.
type FileId = (u64, u64);

pub(super) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<(FileId, Connection)>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Pool {
    /// # Errors
    /// If the file cannot be opened or was written by a newer version.
    pub(super) fn new(path: &Path) -> Result<Self, PublicationError> {
        let pool = Self { path: path.to_owned(), idle: Mutex::new(Vec::new()) };
        pool.with(|_| Ok(()))?;
        Ok(pool)
    }

    /// Runs `work` on one state of the file.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, PublicationError>,
    ) -> Result<T, PublicationError> {
        let id = self.file_id()?;
        let kept = self.lock().pop().filter(|(known, _)| *known == id);
        let connection = match kept {
            Some((_, connection)) => connection,
            None => self.connect()?,
        };
        let value = {
            let transaction = connection.unchecked_transaction()?;
            work(&transaction)?
        };
        let mut idle = self.lock();
        idle.retain(|(known, _)| *known == id);
        if idle.len() < MAX_IDLE {
            idle.push((id, connection));
        }
        Ok(value)
    }

    fn connect(&self) -> Result<Connection, PublicationError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        match schema::check(&connection)? {
            0 => Err(PublicationError::Corrupt(format!("{} is empty", self.path.display()))),
            _ => Ok(connection),
        }
    }

    fn file_id(&self) -> Result<FileId, PublicationError> {
        let metadata = fs::metadata(&self.path)
            .map_err(|source| PublicationError::File { path: self.path.clone(), source })?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(FileId, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
