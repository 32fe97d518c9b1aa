//! Where the files of a log come from.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// Has the files of a log.
pub trait Source {
    /// The content of the file with this path below the prefix of the log; none if there is no such
    /// file. Reads at most `limit` bytes and one more: what is longer is refused by the caller.
    ///
    /// # Errors
    /// If it cannot tell.
    fn fetch(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;
}

/// The files of a directory.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory with the files `checkpoint` and `tile/...`.
    pub fn new(path: impl Into<PathBuf>) -> Directory {
        Directory(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Source for Directory {
    fn fetch(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.0.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

impl<F: Fn(&str, usize) -> io::Result<Option<Vec<u8>>>> Source for F {
    fn fetch(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self(path, limit)
    }
}
