//! What strangers submitted to the key server of the sidecar: checked here, kept as held, published only when the
//! administrator says so.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use keydir::{Custody, Import, Origin, Subject, Trust};
use program::chain;

use crate::config::Config;
use crate::keyring::KeyRing;

/// Most bytes of one submission.
const LIMIT: u64 = 2 << 20;
/// So many are looked at in one round.
const ROUND: usize = 100;

/// Takes what lies in the directory: certificates of our own users are kept as held, the rest is forgotten. What was
/// already in the store is never changed by it, but for a revocation that its holder signed. Gives the fingerprints of
/// those that are new.
///
/// # Errors
/// The directory cannot be read, or the store not be written; what was not taken stays.
pub(super) fn take(keys: &KeyRing, config: &Config, dir: &Path, now: i64) -> Result<Vec<String>, String> {
    let mut new = Vec::new();
    for path in waiting(dir).map_err(|error| format!("cannot read {}: {error}", dir.display()))? {
        match read(&path) {
            Ok(bytes) => new.extend(take_one(keys, config, &bytes, now)?),
            Err(error) => tracing::warn!("a submission cannot be read: {}: {error}", path.display()),
        }
        fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
    }
    Ok(new)
}

/// Plain files whose name does not begin with a dot; the others are still being written.
pub(super) fn waiting(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)?.take(10 * ROUND) {
        let entry = entry?;
        // Without following links: who can write here must not choose what we read.
        let plain = entry.file_type()?.is_file();
        if plain && !entry.file_name().as_encoded_bytes().starts_with(b".") && files.len() < ROUND {
            files.push(entry.path());
        }
    }
    Ok(files)
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

fn take_one(keys: &KeyRing, config: &Config, bytes: &[u8], now: i64) -> Result<Vec<String>, String> {
    let Ok(certificates) = keydir::read_certificates(bytes) else { return Ok(Vec::new()) };
    let mut new = Vec::new();
    for certificate in certificates {
        let fingerprint = certificate.fingerprint().to_hex();
        let known = keys.store.get(&fingerprint).map_err(|error| chain(&error))?;
        let subjects = own_subjects(&certificate, config, now);
        if known.is_none() && subjects.is_empty() {
            continue;
        }
        let armored = keydir::armored(&certificate);
        let import = Import {
            bytes: armored.as_bytes(),
            // To one that is known nothing is bound: that was decided when it came.
            subjects: Some(if known.is_some() { Vec::new() } else { subjects }),
            origin: Origin::Hkp,
            trust: Trust::Held,
            custody: Custody::None,
            now,
        };
        match keys.store.import(&import) {
            Ok(_) if known.is_none() => new.push(fingerprint),
            Ok(_) => {}
            Err(error) => tracing::warn!("a submission of {fingerprint} was not taken: {}", chain(&error)),
        }
    }
    Ok(new)
}

/// The mailboxes in our domains that the certificate's User IDs name, and for which it could be used today.
fn own_subjects(certificate: &sealing::openpgp::Cert, config: &Config, now: i64) -> Vec<Subject> {
    let armored = keydir::armored(certificate);
    let addresses =
        certificate.userids().filter_map(|uid| uid.userid().email().ok().flatten().map(str::to_owned));
    let subjects = addresses.filter_map(|address| Subject::address(&address));
    let serves = |subject: &Subject| {
        keydir::screen_openpgp(armored.as_bytes(), subject, &[], now)
            .is_ok_and(|seen| !seen.usable.is_empty())
    };
    subjects.filter(|subject| config.gateway.is_own_mailbox(subject) && serves(subject)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_drafts_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".draft"), "x").unwrap();
        fs::write(dir.path().join("good.pgp"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.pgp")).unwrap();
        assert_eq!(waiting(dir.path()).unwrap(), [dir.path().join("good.pgp")]);
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big.pgp");
        File::create(&path).unwrap().set_len(LIMIT + 1).unwrap();
        assert!(read(&path).is_err());
    }
}
