//! What was fetched, on disk, so that a restart asks nobody anew.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::fetch::LIST_LIMIT;

/// Octets of a nonce, which stand before an answer of a responder.
pub(super) const NONCE: usize = 32;
/// Longest that a file is kept which nobody wrote anew.
const LIFE: Duration = Duration::from_secs(30 * 86_400);

/// A directory of files; each holds what one source said. What they hold is judged anew whenever it is read.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
}

/// A name for what was fetched from somewhere.
pub(super) fn name(of: &str, extension: &str) -> String {
    let digest = openssl::sha::sha256(of.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.{extension}")
}

impl Shelf {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// What a file holds, if it can be read.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let file = fs::File::open(self.dir.join(name)).ok()?;
        file.take(LIST_LIMIT as u64).read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Keeps something; a failure only means that it is fetched again.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) {
        let written = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            for part in parts {
                file.write_all(part)?;
            }
            file.persist(self.dir.join(name))?;
            Ok(())
        };
        if let Err(error) = written() {
            tracing::warn!("cannot keep what was fetched in {}: {error}", self.dir.display());
        }
    }

    /// Removes what is old.
    pub(super) fn tidy(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let changed = entry.metadata().and_then(|about| about.modified());
            if changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > LIFE)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path().join("revocation"));
        let file = name("http://a.example/list.crl", "crl");
        assert_eq!(shelf.read(&file), None);
        shelf.write(&file, &[b"one ", b"list"]);
        assert_eq!(shelf.read(&file).unwrap(), b"one list");
        assert_eq!(shelf.read(&name("http://a.example/other.crl", "crl")), None);
        shelf.tidy();
        assert!(shelf.read(&file).is_some());
    }
}
