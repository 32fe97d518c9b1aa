//! Remembers which files an export made, so that the next one removes those and no others.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use program::Exit;
use sha2::{Digest, Sha256};

use super::{Exported, place};

/// The list, in the exported directory and outside of any web server's root: one path a line.
const NAME: &str = ".gatepost-export";
/// What a file is called until it is complete.
const UNFINISHED: &str = ".gatepost-new";

/// The exported directory and the list of our files in it.
#[derive(Debug)]
pub(super) struct Manifest {
    directory: PathBuf,
    /// Locked as long as the export lasts.
    list: File,
    /// Names of files in the list; sixteen octets each instead of the path.
    known: HashSet<[u8; 16]>,
    made: HashSet<[u8; 16]>,
    done: Exported,
}

impl Manifest {
    /// # Errors
    /// The directory cannot be written, or another export is under way.
    pub(super) fn open(directory: &Path) -> Result<Self, Exit> {
        let path = directory.join(NAME);
        let unwritable = |error| Exit::output(format!("cannot write {}", path.display()), error);
        fs::create_dir_all(directory).map_err(unwritable)?;
        let list = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(unwritable)?;
        if list.try_lock().is_err() {
            return Err(Exit::later(format!("another export to {} is under way", directory.display())));
        }
        let known = BufReader::new(&list).lines().map_while(Result::ok).map(|line| name(&line)).collect();
        let directory = directory.to_owned();
        Ok(Self { directory, list, known, made: HashSet::new(), done: Exported::default() })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts a file in its place unless it is there with this content.
    pub(super) fn put(&mut self, path: &str, content: &[u8]) -> Result<(), Exit> {
        let full = self.directory.join(path);
        let unwritable = |error| Exit::output(format!("cannot write {}", full.display()), error);
        // Listed first: a file that is there and not listed would never be removed.
        if self.known.insert(name(path)) {
            self.list.write_all(format!("{path}\n").as_bytes()).map_err(unwritable)?;
        }
        self.made.insert(name(path));
        self.done.files += 1;
        if holds(&full, content) {
            return Ok(());
        }
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent).map_err(unwritable)?;
        }
        let beside = full.with_extension(UNFINISHED.trim_start_matches('.'));
        fs::write(&beside, content).map_err(unwritable)?;
        fs::rename(&beside, &full).map_err(unwritable)?;
        self.done.written += 1;
        Ok(())
    }

    /// Removes what an earlier export made and this one did not; if only some domains were meant, of those.
    pub(super) fn finish(mut self, domains: &[String], only_these: bool) -> Result<Exported, Exit> {
        let path = self.directory.join(NAME);
        let unwritable = |error| Exit::output(format!("cannot write {}", path.display()), error);
        let beside = self.directory.join(format!("{NAME}{UNFINISHED}"));
        let mut kept = BufWriter::new(File::create(&beside).map_err(unwritable)?);
        for line in BufReader::new(File::open(&path).map_err(unwritable)?).lines() {
            let line = line.map_err(unwritable)?;
            let meant = place::domain(&line).is_some_and(|domain| domains.iter().any(|d| d == domain));
            if self.made.contains(&name(&line)) || (only_these && !meant) {
                writeln!(kept, "{line}").map_err(unwritable)?;
            } else {
                self.remove(&line)?;
            }
        }
        kept.flush().map_err(unwritable)?;
        fs::rename(&beside, &path).map_err(unwritable)?;
        Ok(self.done)
    }

    /// Removes one file, and the directories above it that are empty then.
    fn remove(&mut self, path: &str) -> Result<(), Exit> {
        // Whoever can write the list must not be able to remove what lies elsewhere.
        let relative = Path::new(path);
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Ok(());
        }
        let full = self.directory.join(relative);
        match fs::remove_file(&full) {
            Ok(()) => self.done.removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Exit::output(format!("cannot remove {}", full.display()), error)),
        }
        for parent in full.ancestors().skip(1).take_while(|parent| *parent != self.directory) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a file has exactly this content.
fn holds(path: &Path, content: &[u8]) -> bool {
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    fs::symlink_metadata(path).is_ok_and(|about| about.is_file() && about.len() == size)
        && fs::read(path).is_ok_and(|there| there == content)
}

/// What stands for a path in memory.
fn name(path: &str) -> [u8; 16] {
    let digest = Sha256::digest(path.as_bytes());
    let mut name = [0; 16];
    name.iter_mut().zip(digest).for_each(|(octet, from)| *octet = from);
    name
}
