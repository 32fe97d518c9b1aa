//! Files that are complete or not there.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::CustodyError;

/// Largest key file that is read, bytes; post-quantum keys have about 50,000.
const MAX_FILE: u64 = 1 << 20;

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".new-";

/// What changes when a file is replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

/// Makes the directory with mode 0700, or checks that nobody else has access to it.
pub(super) fn prepare_directory(dir: &Path) -> Result<(), CustodyError> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return sync_directory(parent(dir)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed(dir, "made", source)),
    }
    let metadata = fs::metadata(dir).map_err(|source| failed(dir, "read", source))?;
    let mode = metadata.mode() & 0o7777;
    match metadata.is_dir() {
        false => Err(failed(dir, "used as a directory", io::ErrorKind::NotADirectory.into())),
        true if mode & 0o077 != 0 => Err(CustodyError::Exposed { path: dir.to_owned(), mode }),
        true => Ok(()),
    }
}

/// Keeps other processes from changing the directory until the file is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, CustodyError> {
    let path = dir.join(".lock");
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| failed(&path, "opened", source))?;
    file.lock().map_err(|source| failed(&path, "locked", source))?;
    Ok(file)
}

/// Writes a file, mode 0600; on disk before it returns, and never half.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), CustodyError> {
    let dir = parent(path);
    let written = || -> io::Result<()> {
        // Made with mode 0600.
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|source| failed(path, "written", source))?;
    sync_directory(dir)
}

/// Writes a file in the place of another one, as [`write`], and random bytes over what was there before.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), CustodyError> {
    let before = match fs::OpenOptions::new().write(true).open(path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed(path, "opened", source)),
    };
    write(path, content)?;
    // Not sooner: a crash in between leaves one of them whole.
    match before {
        Some(before) => overwrite(before).map_err(|source| failed(path, "overwritten", source)),
        None => Ok(()),
    }
}

/// Writes random bytes over a file, on disk, and then removes it.
pub(super) fn destroy(path: &Path) -> Result<(), CustodyError> {
    let file =
        fs::OpenOptions::new().write(true).open(path).map_err(|source| failed(path, "opened", source))?;
    overwrite(file).map_err(|source| failed(path, "overwritten", source))?;
    remove(path)
}

/// Destroys what a crash left of files that were being written. The directory must be locked, or they are somebody's.
pub(super) fn sweep(dir: &Path) -> Result<(), CustodyError> {
    let unfinished = names(dir)?.into_iter().filter(|name| name.starts_with(UNFINISHED));
    unfinished.into_iter().try_for_each(|name| destroy(&dir.join(name)))
}

/// Writes random bytes over what is in a file, on disk before it returns.
fn overwrite(mut file: File) -> io::Result<()> {
    let mut noise = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    openssl::rand::rand_bytes(&mut noise)?;
    file.write_all(&noise)?;
    file.sync_all()
}

/// The content of a file, `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, CustodyError> {
    let mut content = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_FILE).read_to_end(&mut content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    }
    .map_err(|source| failed(path, "read", source))?;
    Ok(Some(content))
}

/// Identifies the present version of a file, `None` if there is no such file.
pub(super) fn stamp(path: &Path) -> Result<Option<Stamp>, CustodyError> {
    match fs::metadata(path) {
        Ok(m) => Ok(Some(Stamp { inode: m.ino(), len: m.len(), modified: (m.mtime(), m.mtime_nsec()) })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, "read", source)),
    }
}

/// Removes a file for good.
pub(super) fn remove(path: &Path) -> Result<(), CustodyError> {
    fs::remove_file(path).map_err(|source| failed(path, "removed", source))?;
    sync_directory(parent(path))
}

/// The names of all entries of a directory.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, CustodyError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| failed(dir, "read", source))?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// The directory of a path; the current one for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(dir: &Path) -> Result<(), CustodyError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| failed(dir, "synchronised", source))
}

fn failed(path: &Path, verb: &'static str, source: io::Error) -> CustodyError {
    CustodyError::Io { path: path.to_owned(), verb, source }
}
