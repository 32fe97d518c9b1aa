//! Policies on disk: one small JSON file each, so that a restart forgets nothing.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use super::policy::StsPolicy;

/// Larger files are none of ours: 64 kB of policy, escaped.
const FILE_MAX: u64 = 1024 * 1024;

/// A policy with what must be known about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The policy domain.
    pub(super) domain: String,
    /// When it was fetched, Unix seconds.
    pub(super) fetched: i64,
    /// The policy.
    pub(super) policy: StsPolicy,
}

impl Kept {
    /// Until when the policy is in force, Unix seconds.
    pub(super) fn expires(&self) -> i64 {
        self.fetched.saturating_add(i64::from(self.policy.max_age))
    }
}

/// A domain name may be longer than a file name; its digest is not.
fn path_of(directory: &Path, domain: &str) -> PathBuf {
    let digest = Sha256::digest(domain.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    directory.join(hex).with_extension("json")
}

/// Makes the directory and reads what is in it; files that are damaged, expired or foreign in form are removed.
pub(super) fn load(directory: &Path, now: i64, most: usize) -> io::Result<Vec<Kept>> {
    fs::create_dir_all(directory)?;
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("json" | "new")) {
            continue;
        }
        match read(&path).filter(|kept| kept.expires() > now && path == path_of(directory, &kept.domain)) {
            Some(kept) if all.len() < most => all.push(kept),
            _ => fs::remove_file(&path)?,
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Option<Kept> {
    if fs::metadata(path).ok()?.len() > FILE_MAX {
        return None;
    }
    let kept: Kept = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    // The lines are what was fetched; what was made of them must be what we would make of them today.
    let again = StsPolicy::parse(&(kept.policy.lines.join("\r\n") + "\r\n"), &kept.policy.id).ok()?;
    (again == kept.policy).then_some(kept)
}

/// Writes one policy, whole or not at all.
pub(super) fn save(directory: &Path, kept: &Kept) -> io::Result<()> {
    let path = path_of(directory, &kept.domain);
    let temporary = path.with_extension("new");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(kept)?)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)
}

/// Forgets one policy.
pub(super) fn remove(directory: &Path, domain: &str) -> io::Result<()> {
    match fs::remove_file(path_of(directory, domain)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(domain: &str, fetched: i64) -> Kept {
        let text = "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 100\n";
        Kept { domain: domain.to_owned(), fetched, policy: StsPolicy::parse(text, "7").unwrap() }
    }

    #[test]
    fn policies_survive_and_bad_files_go() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("sts");
        assert_eq!(load(&at, 0, 10).unwrap(), []);
        let long = vec!["a".repeat(60); 4].join(".");
        for domain in ["a.example", long.as_str()] {
            save(&at, &kept(domain, 50)).unwrap();
        }
        save(&at, &kept("old.example", -60)).unwrap();
        fs::write(at.join("x.json"), b"{").unwrap();
        fs::write(at.join("half.new"), b"{").unwrap();
        fs::rename(path_of(&at, "a.example"), at.join("moved.json")).unwrap();
        save(&at, &kept("a.example", 50)).unwrap();
        fs::write(path_of(&at, "forged.example"), fs::read(path_of(&at, "a.example")).unwrap()).unwrap();
        let mut domains: Vec<_> = load(&at, 60, 10).unwrap().into_iter().map(|kept| kept.domain).collect();
        domains.sort();
        assert_eq!(domains, ["a.example", long.as_str()]);
        assert_eq!(fs::read_dir(&at).unwrap().count(), 2);
        remove(&at, "a.example").unwrap();
        remove(&at, "a.example").unwrap();
        assert_eq!(load(&at, 60, 10).unwrap().len(), 1);
    }
}
