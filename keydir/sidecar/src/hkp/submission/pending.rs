//! The directory where submissions wait for the gateway: one file each, bounded in number.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Refused;

/// Most files that wait.
const MOST: usize = 1000;
/// Most certificates in one submission.
const CERTIFICATES: usize = 10;

/// What was kept.
#[derive(Debug)]
pub(super) struct Kept {
    /// Version and fingerprint of each certificate.
    pub(super) certificates: Vec<(u8, String)>,
}

/// Keeps a submission that holds nothing but certificates.
pub(super) fn keep(place: &Path, text: &[u8]) -> Result<Kept, Refused> {
    let certificates = keydir::read_certificates(text).map_err(Refused::Intake)?;
    if certificates.len() > CERTIFICATES {
        return Err(Refused::TooLarge);
    }
    let kept = certificates.iter().map(|certificate| {
        let fingerprint = certificate.fingerprint().to_hex();
        (certificate.primary_key().key().version(), fingerprint)
    });
    let kept = Kept { certificates: kept.collect() };
    let name: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let stored = store(place, &format!("{name}.pgp"), text);
    match stored {
        Ok(true) => Ok(kept),
        Ok(false) => Err(Refused::Full),
        Err(error) => {
            tracing::error!(%error, "cannot keep a submission in {}", place.display());
            Err(Refused::Failed)
        }
    }
}

/// False if there are too many. The same submission again changes nothing.
fn store(place: &Path, name: &str, text: &[u8]) -> io::Result<bool> {
    let path = place.join(name);
    if path.exists() {
        return Ok(true);
    }
    if fs::read_dir(place)?.take(MOST).count() == MOST {
        return Ok(false);
    }
    // The gateway takes no names that begin with a dot.
    let draft = place.join(format!(".{name}"));
    let mut file = File::create(&draft)?;
    file.write_all(text)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, &path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&draft);
        })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_directory_takes_no_more_and_the_same_again_is_no_more() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..MOST {
            assert!(store(dir.path(), &format!("{number}.pgp"), b"x").unwrap());
        }
        assert!(store(dir.path(), "7.pgp", b"x").unwrap());
        assert!(!store(dir.path(), "new.pgp", b"x").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), MOST);
    }

    #[test]
    fn what_is_no_certificate_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        for junk in [
            &b""[..],
            b"hello",
            b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
        ] {
            assert!(matches!(keep(dir.path(), junk), Err(Refused::Intake(_))));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
