//! Secret keys: encrypted at rest, unlocked only in this process.
//!
//! A [`Custody`] is a directory with one file per certificate, each encrypted with AES-256-GCM under a key
//! of its own that is derived from the [`MasterKey`]. The master key comes from a file or from a systemd
//! credential and is read when it is first needed: a daemon whose key store is locked answers every
//! request with [`CustodyError::Locked`], and mail waits.
//!
//! Custody protects copies of the directory: backups, stolen disks. It does not protect against whoever
//! can read the memory of this process or both the directory and the master key.

mod envelope;
mod epochs;
mod files;
mod master;
mod memory;
mod pkcs12;
mod revocation;
mod signing;
mod smime;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::crypto::S2K;
use sequoia_openpgp::packet::key::SecretKeyMaterial;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use zeroize::Zeroizing;

pub use self::master::MasterKey;
pub use self::master::MasterKeyError;
pub use self::master::MasterSource;
pub use self::memory::forbid_core_dumps;
pub use self::pkcs12::Pkcs12Content;
pub use self::pkcs12::Pkcs12Error;
pub use self::pkcs12::read_pkcs12;
pub use self::pkcs12::write_pkcs12;
pub use self::revocation::Revocation;
pub use self::revocation::revoke;
pub use self::signing::KeyKind;
pub use self::signing::SigningKey;
pub use self::signing::generate_key;

use self::envelope::OpenFailure;
use self::files::Stamp;
use crate::cms::SecretKey;
use crate::openpgp::SecretCert;

/// Why custody could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// A cryptographic operation failed in the library.
    #[error("a cryptographic operation failed")]
    Crypto(#[source] anyhow::Error),
    /// A key file was altered or cut short.
    #[error("{}: the key file is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner have access.
    #[error("{}: mode {mode:04o} lets others in; it must be 0700", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file system refused.
    #[error("{}: cannot be {verb}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried: "read", "written", …
        verb: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The master key cannot be had: the key store is locked.
    #[error("the key store is locked")]
    Locked(#[from] MasterKeyError),
    /// The secret key is not the certificate's.
    #[error("{0}: the secret key does not belong to the certificate")]
    Mismatch(String),
    /// The secret key of the primary key is not there, so nothing can be certified or revoked with it.
    #[error("{0}: the secret half of the primary key is not in custody")]
    NoPrimarySecret(String),
    /// The certificate has no secret key material that we could use.
    #[error("{0}: no secret key material")]
    NoSecret(String),
    /// The secret keys are still protected by a passphrase.
    #[error("{0}: the secret key is protected by a passphrase; remove it before the import")]
    Passphrase(String),
    /// A PKCS#12 file could not be written.
    #[error("the key cannot be exported")]
    Pkcs12(#[from] Pkcs12Error),
    /// No such key is in custody.
    #[error("{0}: no such key in custody")]
    Unknown(String),
    /// The file was written under another master key.
    #[error("{}: encrypted under another master key than {master}", path.display())]
    WrongMasterKey {
        /// The key file.
        path: PathBuf,
        /// Where the master key in use came from.
        master: String,
    },
}

impl From<CustodyError> for mail::Failure {
    /// A key that cannot be had now may be had later: always temporary.
    fn from(error: CustodyError) -> Self {
        Self::temporary((7, 5), "a key of this gateway cannot be used now").because(error)
    }
}

/// The secret keys of this gateway. Share one per process; all methods take `&self`.
pub struct Custody {
    dir: PathBuf,
    /// Where the keys of epochs are.
    epochs: PathBuf,
    source: MasterSource,
    state: Mutex<State>,
}

/// What changes when the key of a certificate does: its file, and the keys of epochs if there are any.
type KeyStamp = (Stamp, Option<(Stamp, Stamp)>);

#[derive(Default)]
struct State {
    master: Option<Arc<MasterKey>>,
    unlocked: HashMap<String, (KeyStamp, Arc<SecretCert>)>,
    unlocked_smime: HashMap<String, (Stamp, Arc<SecretKey>)>,
}

impl fmt::Debug for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custody").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Custody {
    /// Opens the directory, or makes it with mode 0700 if it is not there. The master key is read when it
    /// is first needed, and again after each failure.
    ///
    /// # Errors
    /// If the directory cannot be made or others have access to it.
    pub fn open(dir: &Path, master: impl Into<MasterSource>) -> Result<Self, CustodyError> {
        files::prepare_directory(dir)?;
        let epochs = dir.join(epochs::DIRECTORY);
        Ok(Self { dir: dir.to_owned(), epochs, source: master.into(), state: Mutex::default() })
    }

    /// Tells whether the master key can be had now.
    ///
    /// # Errors
    /// [`CustodyError::Locked`] if it cannot.
    pub fn unlock(&self) -> Result<(), CustodyError> {
        self.master().map(drop)
    }

    /// Checks what [`Custody::put_openpgp`] would: that there are secret keys, and that none has a
    /// passphrase.
    ///
    /// # Errors
    /// [`CustodyError::NoSecret`] or [`CustodyError::Passphrase`].
    pub fn check_openpgp(cert: &Cert) -> Result<(), CustodyError> {
        usable(cert.clone()).map(drop)
    }

    /// Puts a key into custody, on disk before it returns. Secrets of the same certificate that are
    /// already there stay there.
    ///
    /// # Errors
    /// If there is no usable secret, the key store is locked, the existing file cannot be opened, or the
    /// file cannot be written; then what was there is unchanged.
    pub fn put_openpgp(&self, cert: &Cert) -> Result<(), CustodyError> {
        let fingerprint = cert.fingerprint().to_hex();
        let new = usable(cert.clone())?;
        let master = self.master()?;
        let _lock = files::lock(&self.dir)?;
        let merged = match self.read(&fingerprint, &master) {
            Ok(old) => usable(old.merge_public_and_secret(new).map_err(CustodyError::Crypto)?)?,
            Err(CustodyError::Unknown(_)) => new,
            Err(error) => return Err(error),
        };
        let sealed =
            envelope::seal(&secret_bytes(&merged)?, &fingerprint, &master).map_err(CustodyError::Crypto)?;
        files::write(&self.key_path(&fingerprint)?, &sealed)?;
        self.lock().unlocked.remove(&fingerprint);
        Ok(())
    }

    /// The unlocked key of a certificate, from memory if its file did not change.
    ///
    /// # Errors
    /// [`CustodyError::Unknown`] if it certainly is not here; any other error means that it could not be
    /// had now.
    pub fn get(&self, fingerprint: &str) -> Result<Arc<SecretCert>, CustodyError> {
        let fingerprint = fingerprint.to_ascii_uppercase();
        let Some(stamp) = self.key_stamp(&fingerprint)? else {
            self.lock().unlocked.remove(&fingerprint);
            return Err(CustodyError::Unknown(fingerprint));
        };
        if let Some((known, key)) = self.lock().unlocked.get(&fingerprint)
            && *known == stamp
        {
            return Ok(key.clone());
        }
        let master = self.master()?;
        let key = SecretCert::new(self.read_whole(&fingerprint, &master)?)
            .map_err(|_| CustodyError::NoSecret(fingerprint.clone()))?;
        let key = Arc::new(key);
        self.lock().unlocked.insert(fingerprint, (stamp, key.clone()));
        Ok(key)
    }

    /// The fingerprints of all keys in custody, in order. Needs no master key.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn list(&self) -> Result<Vec<String>, CustodyError> {
        let mut found: Vec<String> = files::names(&self.dir)?
            .iter()
            .filter_map(|name| name.strip_suffix(".key"))
            .filter(|stem| is_fingerprint(stem))
            .map(str::to_owned)
            .collect();
        found.sort();
        Ok(found)
    }

    /// Destroys the secret keys of a certificate. Mail encrypted to it cannot be read any more.
    ///
    /// # Errors
    /// If it is not here or cannot be removed.
    pub fn remove(&self, fingerprint: &str) -> Result<(), CustodyError> {
        let fingerprint = fingerprint.to_ascii_uppercase();
        let path = self.key_path(&fingerprint)?;
        let _lock = files::lock(&self.dir)?;
        if files::stamp(&path)?.is_none() {
            return Err(CustodyError::Unknown(fingerprint));
        }
        self.lock().unlocked.remove(&fingerprint);
        self.remove_epochs_of(&fingerprint)?;
        files::sweep(&self.dir)?;
        files::destroy(&path)
    }

    /// The secret key in binary form, without passphrase (a transferable secret key, RFC 9580, 10.2).
    ///
    /// # Errors
    /// As [`Custody::get`].
    pub fn export(&self, fingerprint: &str) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        secret_bytes(&self.read_whole(&fingerprint.to_ascii_uppercase(), &*self.master()?)?)
    }

    /// Makes a revocation certificate for a key in custody; see [`revoke`].
    ///
    /// # Errors
    /// As [`Custody::get`], or if the secret half of the primary key is not there.
    pub fn revoke(
        &self,
        fingerprint: &str,
        reason: Revocation,
        text: &str,
        now: i64,
    ) -> Result<Vec<u8>, CustodyError> {
        let cert = self.read(&fingerprint.to_ascii_uppercase(), &*self.master()?)?;
        revoke(&cert, reason, text, now)
    }

    /// Keeps a revocation certificate for the day on which the key itself cannot be had. It is not
    /// encrypted: it is most needed when the master key is lost, and it can do nothing but revoke.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_revocation(&self, fingerprint: &str, revocation: &[u8]) -> Result<(), CustodyError> {
        let _lock = files::lock(&self.dir)?;
        files::write(&self.path(fingerprint, "rev")?, revocation)
    }

    /// The revocation certificate that was kept, if any.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn revocation(&self, fingerprint: &str) -> Result<Option<Vec<u8>>, CustodyError> {
        files::read(&self.path(fingerprint, "rev")?)
    }

    /// Reads and opens a key file.
    fn read(&self, fingerprint: &str, master: &MasterKey) -> Result<Cert, CustodyError> {
        let path = self.key_path(fingerprint)?;
        let bytes = self.open_file(&path, fingerprint, fingerprint, master)?;
        let cert = Cert::from_bytes(&*bytes).map_err(|_| CustodyError::Damaged { path: path.clone() })?;
        if cert.fingerprint().to_hex() != fingerprint {
            return Err(CustodyError::Damaged { path });
        }
        Ok(cert)
    }

    fn key_stamp(&self, fingerprint: &str) -> Result<Option<KeyStamp>, CustodyError> {
        let Some(file) = files::stamp(&self.key_path(fingerprint)?)? else { return Ok(None) };
        let epochs = match files::stamp(&self.epochs)? {
            Some(epochs) => files::stamp(&self.dir)?.map(|dir| (epochs, dir)),
            None => None,
        };
        Ok(Some((file, epochs)))
    }

    /// Reads a key file and opens its envelope, which is bound to `context`.
    fn open_file(
        &self,
        path: &Path,
        fingerprint: &str,
        context: &str,
        master: &MasterKey,
    ) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        let sealed = files::read(path)?.ok_or_else(|| CustodyError::Unknown(fingerprint.to_owned()))?;
        envelope::open(&sealed, context, master).map_err(|failure| match failure {
            OpenFailure::Crypto(error) => CustodyError::Crypto(error),
            OpenFailure::Damaged => CustodyError::Damaged { path: path.to_owned() },
            OpenFailure::OtherMaster => {
                CustodyError::WrongMasterKey { path: path.to_owned(), master: master.origin().to_owned() }
            }
        })
    }

    /// The master key, read now if it was not read before.
    fn master(&self) -> Result<Arc<MasterKey>, CustodyError> {
        if let Some(master) = &self.lock().master {
            return Ok(master.clone());
        }
        let master = self.source.read()?;
        self.lock().master = Some(master.clone());
        Ok(master)
    }

    fn key_path(&self, fingerprint: &str) -> Result<PathBuf, CustodyError> {
        self.path(fingerprint, "key")
    }

    /// The file of a certificate; a text that is no fingerprint can name no file.
    fn path(&self, fingerprint: &str, extension: &str) -> Result<PathBuf, CustodyError> {
        let fingerprint = fingerprint.to_ascii_uppercase();
        if !is_fingerprint(&fingerprint) {
            return Err(CustodyError::Unknown(fingerprint));
        }
        Ok(self.dir.join(format!("{fingerprint}.{extension}")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one assignment; a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 40 (v4) or 64 (v6) upper-case hexadecimal digits.
fn is_fingerprint(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

/// The secret keys we can use. Stubs that stand for keys kept elsewhere (GnuPG's offline primary keys)
/// become public keys.
fn usable(cert: Cert) -> Result<Cert, CustodyError> {
    let fingerprint = cert.fingerprint().to_hex();
    let cert = without_stubs(cert).map_err(CustodyError::Crypto)?;
    if !cert.is_tsk() {
        return Err(CustodyError::NoSecret(fingerprint));
    }
    if cert.keys().secret().any(|key| !key.key().has_unencrypted_secret()) {
        return Err(CustodyError::Passphrase(fingerprint));
    }
    Ok(cert)
}

/// The transferable secret key (RFC 9580, 10.2).
fn secret_bytes(cert: &Cert) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    cert.as_tsk().to_vec().map(Zeroizing::new).map_err(CustodyError::Crypto)
}

/// Replaces secret keys that are only stubs by the public keys.
fn without_stubs(cert: Cert) -> sequoia_openpgp::Result<Cert> {
    let stub = |secret: &SecretKeyMaterial| matches!(secret, SecretKeyMaterial::Encrypted(e) if matches!(e.s2k(), S2K::Private { .. }));
    if !cert.keys().secret().any(|key| stub(key.key().secret())) {
        return Ok(cert);
    }
    let packets = cert.into_tsk().into_packets().map(|packet| match packet {
        Packet::SecretKey(key) if stub(key.secret()) => Packet::PublicKey(key.take_secret().0),
        Packet::SecretSubkey(key) if stub(key.secret()) => Packet::PublicSubkey(key.take_secret().0),
        other => other,
    });
    Cert::from_packets(packets.collect::<Vec<_>>().into_iter())
}

#[cfg(test)]
mod tests;
