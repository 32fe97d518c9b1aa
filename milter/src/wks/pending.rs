//! Keys that wait for the answer to their challenge: one file each in `wks/` of the state directory, so that a restart
//! forgets none of them.
//!
//! A file is named after the digest of its nonce: whoever reads the directory learns no nonce, and a nonce that is
//! looked up is never compared octet by octet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use keydir::Subject;
use openssl::sha::sha256;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::token::hex;

/// How long a challenge can be answered, seconds: three days.
pub const LIFETIME: i64 = 3 * 86_400;
/// Most challenges for one address in a day.
const MOST_A_DAY: usize = 3;
const DAY: i64 = 86_400;
/// Most challenges at a time.
const MOST: usize = 1000;
/// Most bytes of a certificate that waits.
pub const MOST_BYTES: usize = 128 << 10;
/// Longest first line of a file.
const LINE: u64 = 4096;
/// Letters and digits of a nonce: 190 bits.
const NONCE: usize = 32;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The directory of what waits.
#[derive(Clone, Debug)]
pub struct PendingKeys(PathBuf);

/// A key that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The mailbox for which it was submitted.
    pub address: Subject,
    /// Upper-case hexadecimal.
    pub fingerprint: String,
    /// When the challenge was made, Unix seconds.
    pub created: i64,
    /// The certificate, without secret key material.
    #[serde(skip)]
    pub certificate: Vec<u8>,
}

/// Why a challenge is not made now.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// The directory.
    #[error("keys that wait for confirmation cannot be kept")]
    Io(#[from] io::Error),
    /// Too many in all.
    #[error("{MOST} keys wait for confirmation")]
    Full,
    /// Too many for the address.
    #[error("{MOST_A_DAY} challenges were sent to this address within a day")]
    TooMany,
}

/// What a nonce says.
#[derive(Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// The key that waits for it.
    Key(Box<Pending>),
    /// Its time is over.
    Expired,
    /// There is no such challenge: it was never made, or is answered.
    Unknown,
}

impl PendingKeys {
    /// Below a state directory.
    pub fn of(state: &Path) -> Self {
        Self(state.join("wks"))
    }

    /// Whether a challenge may be made for this address at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`PendingError`].
    pub fn admit(&self, address: &Subject, now: i64) -> Result<(), PendingError> {
        let (mut all, mut same) = (0, 0);
        for path in self.files()? {
            let Ok(pending) = read(&path) else { continue };
            if pending.is_over(now) {
                continue;
            }
            all += 1;
            same += usize::from(pending.address.same(address) && now - pending.created < DAY);
        }
        match (all >= MOST, same >= MOST_A_DAY) {
            (true, _) => Err(PendingError::Full),
            (_, true) => Err(PendingError::TooMany),
            _ => Ok(()),
        }
    }

    /// Keeps a key under a nonce, durably; forgets what expired by then.
    ///
    /// # Errors
    /// Disk full, no permission. Nothing stays behind that would be read.
    pub fn keep(&self, nonce: &str, pending: &Pending) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        for path in self.files()? {
            if read(&path).is_ok_and(|other| other.is_over(pending.created)) {
                fs::remove_file(&path)?;
            }
        }
        let path = self.path(nonce);
        let draft = path.with_extension("draft");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        serde_json::to_writer(&mut file, pending)?;
        file.write_all(b"\n")?;
        file.write_all(&pending.certificate)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(&self.0)?.sync_all()
    }

    /// The key that waits for a nonce.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn redeem(&self, nonce: &str, now: i64) -> io::Result<Redeemed> {
        match read(&self.path(nonce)) {
            Ok(pending) if pending.is_over(now) => Ok(Redeemed::Expired),
            Ok(pending) => Ok(Redeemed::Key(Box::new(pending))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Redeemed::Unknown),
            Err(error) => Err(error),
        }
    }

    /// The challenge is answered: its nonce counts no more.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, nonce: &str) -> io::Result<()> {
        match fs::remove_file(self.path(nonce)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.0)?.sync_all(),
        }
    }

    fn path(&self, nonce: &str) -> PathBuf {
        self.0.join(hex(&sha256(nonce.as_bytes())))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_none());
        Ok(paths)
    }
}

impl Pending {
    fn is_over(&self, now: i64) -> bool {
        now - self.created >= LIFETIME
    }
}

/// A fresh nonce: letters and digits (draft-koch-openpgp-webkey-service-22 section 4.3).
///
/// # Errors
/// The system gives no randomness.
pub fn nonce() -> io::Result<Zeroizing<String>> {
    let mut nonce = Zeroizing::new(String::with_capacity(NONCE));
    let mut octets = Zeroizing::new([0; 64]);
    while nonce.len() < NONCE {
        openssl::rand::rand_priv_bytes(&mut *octets)?;
        for octet in octets.iter().take(NONCE - nonce.len()) {
            // 248 is the greatest multiple of 62 in an octet: every letter is as likely as any other.
            if let Some(letter) = ALPHABET.get(usize::from(octet % 62)).filter(|_| *octet < 248) {
                nonce.push(char::from(*letter));
            }
        }
    }
    Ok(nonce)
}

fn read(path: &Path) -> io::Result<Pending> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    (&mut reader).take(LINE).read_until(b'\n', &mut line)?;
    let mut pending: Pending = serde_json::from_slice(&line)?;
    reader.take(MOST_BYTES as u64).read_to_end(&mut pending.certificate)?;
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(address: &str, created: i64) -> Pending {
        Pending {
            address: Subject::address(address).unwrap(),
            fingerprint: "AB".repeat(20),
            created,
            certificate: b"\x98\n\x00certificate".to_vec(),
        }
    }

    #[test]
    fn a_nonce_is_good_once_and_for_three_days() {
        let dir = tempfile::tempdir().unwrap();
        let keys = PendingKeys::of(dir.path());
        let (nonce, key) = (nonce().unwrap(), pending("alice@alpha.example", 1000));
        assert_eq!(keys.redeem(&nonce, 1000).unwrap(), Redeemed::Unknown);
        keys.keep(&nonce, &key).unwrap();
        assert_eq!(keys.redeem("another", 1000).unwrap(), Redeemed::Unknown);
        assert_eq!(keys.redeem(&nonce, 1000 + LIFETIME - 1).unwrap(), Redeemed::Key(Box::new(key)));
        assert_eq!(keys.redeem(&nonce, 1000 + LIFETIME).unwrap(), Redeemed::Expired);
        keys.forget(&nonce).unwrap();
        assert_eq!(keys.redeem(&nonce, 1000).unwrap(), Redeemed::Unknown);
        keys.forget(&nonce).unwrap();
    }

    #[test]
    fn an_address_gets_three_challenges_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let keys = PendingKeys::of(dir.path());
        let alice = Subject::address("alice@alpha.example").unwrap();
        for _ in 0..MOST_A_DAY {
            keys.admit(&alice, 1000).unwrap();
            keys.keep(&nonce().unwrap(), &pending("Alice@alpha.example", 1000)).unwrap();
        }
        assert!(matches!(keys.admit(&alice, 1000 + DAY - 1), Err(PendingError::TooMany)));
        let bob = Subject::address("bob@alpha.example").unwrap();
        keys.admit(&bob, 1000).unwrap();
        keys.admit(&alice, 1000 + DAY).unwrap();
        // What is over leaves the directory.
        keys.keep(&nonce().unwrap(), &pending("bob@alpha.example", 1000 + LIFETIME)).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("wks")).unwrap().count(), 1);
    }

    #[test]
    fn there_is_an_end_to_what_waits() {
        let dir = tempfile::tempdir().unwrap();
        let keys = PendingKeys::of(dir.path());
        for index in 0..MOST {
            fs::create_dir_all(dir.path().join("wks")).unwrap();
            let line = serde_json::to_vec(&pending(&format!("u{index}@alpha.example"), 1000)).unwrap();
            fs::write(dir.path().join(format!("wks/{index}")), line).unwrap();
        }
        let alice = Subject::address("alice@alpha.example").unwrap();
        assert!(matches!(keys.admit(&alice, 1000), Err(PendingError::Full)));
    }

    #[test]
    fn nonces_are_letters_and_digits_and_never_the_same() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, other);
        assert!(one.len() == NONCE && one.bytes().all(|b| b.is_ascii_alphanumeric()), "{one:?}");
    }
}
