//! Secret halves that are destroyed when their time is over.
//!
//! The encryption subkeys of one epoch ([`crate::openpgp::rotate`]) lie beside the keys of their certificates, in
//! `FINGERPRINT.UNTIL.epoch`, each sealed under the key of the epoch; that lies in a directory of its own as
//! `UNTIL.kek`, sealed under the master key. UNTIL is the end of the epoch in Unix seconds.
//!
//! To destroy an epoch is to destroy one file of 112 bytes: whatever copies of the others are left on disks and in
//! backups, nobody can open them, not even with the master key. So the directory of epochs must be in no backup, and
//! lies best on storage that overwrites in place.

use std::path::Path;
use std::path::PathBuf;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::parse::Parse;
use zeroize::Zeroizing;

use super::Custody;
use super::CustodyError;
use super::envelope;
use super::files;
use super::is_fingerprint;
use super::master::MasterKey;
use super::secret_bytes;
use crate::openpgp::Rotated;
use crate::openpgp::rotate::without_secrets;

/// The usual directory of the keys of epochs, in that of the keys.
pub(super) const DIRECTORY: &str = "epochs";
const KEK: &str = "kek";
const SEALED: &str = "epoch";

impl Custody {
    /// Keeps the keys of epochs in another directory than `epochs` below that of the keys.
    #[must_use]
    pub fn with_epochs_in(mut self, dir: &Path) -> Self {
        self.epochs = dir.to_owned();
        self
    }

    /// Puts the secret halves of an epoch into custody, on disk before it returns, and takes those that lived
    /// longer out of the key's own file.
    ///
    /// # Errors
    /// If the key store is locked or a file cannot be written; calling it again completes what was begun.
    pub fn put_epoch(&self, rotated: &Rotated) -> Result<(), CustodyError> {
        let fingerprint = rotated.certificate.fingerprint().to_hex();
        let master = self.master()?;
        let _lock = files::lock(&self.dir)?;
        let kek = self.kek(rotated.until, &master)?;
        let path = self.sealed_path(&fingerprint, rotated.until)?;
        let secrets = match self.read_epoch(&fingerprint, rotated.until, &master)? {
            Some(before) => {
                before.merge_public_and_secret(rotated.secrets.clone()).map_err(CustodyError::Crypto)?
            }
            None => rotated.secrets.clone(),
        };
        let context = sealed_context(&fingerprint, rotated.until);
        let sealed =
            envelope::seal(&secret_bytes(&secrets)?, &context, &kek).map_err(CustodyError::Crypto)?;
        files::write(&path, &sealed)?;
        if !rotated.moved.is_empty() {
            self.take_out(&fingerprint, &rotated.moved, &master)?;
            for until in self.epochs()?.into_iter().filter(|until| *until != rotated.until) {
                self.take_out_of_epoch(&fingerprint, until, &rotated.moved, &master)?;
            }
        }
        self.lock().unlocked.remove(&fingerprint);
        Ok(())
    }

    /// The ends of the epochs whose secrets are here, Unix seconds, in order.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn epochs(&self) -> Result<Vec<i64>, CustodyError> {
        if files::stamp(&self.epochs)?.is_none() {
            return Ok(Vec::new());
        }
        let until = |name: &String| name.strip_suffix(".kek").and_then(|until| until.parse().ok());
        let mut found: Vec<i64> = files::names(&self.epochs)?.iter().filter_map(until).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Destroys the secrets of all epochs that ended before `before` (Unix seconds); mail that was encrypted to them
    /// can never be read again. Gives the ends of those epochs.
    ///
    /// # Errors
    /// If a file cannot be destroyed; those before it are.
    pub fn destroy_epochs(&self, before: i64) -> Result<Vec<i64>, CustodyError> {
        let _lock = files::lock(&self.dir)?;
        let mut destroyed = Vec::new();
        for until in self.epochs()?.into_iter().filter(|until| *until < before) {
            let path = self.kek_path(until);
            files::destroy(&path)?;
            destroyed.push(until);
        }
        for dir in [&self.dir, &self.epochs] {
            if files::stamp(dir)?.is_some() {
                files::sweep(dir)?;
            }
        }
        // Useless now; also what a crash left behind.
        for name in files::names(&self.dir)? {
            if sealed_name(&name).is_some_and(|until| until < before) {
                files::remove(&self.dir.join(name))?;
            }
        }
        if !destroyed.is_empty() {
            self.lock().unlocked.clear();
        }
        Ok(destroyed)
    }

    /// Removes the secrets that a certificate has in epochs.
    pub(super) fn remove_epochs_of(&self, fingerprint: &str) -> Result<(), CustodyError> {
        for name in files::names(&self.dir)? {
            if sealed_name(&name).is_some() && name.starts_with(fingerprint) {
                files::remove(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// The key with the secret halves of all epochs that still are.
    pub(super) fn read_whole(&self, fingerprint: &str, master: &MasterKey) -> Result<Cert, CustodyError> {
        let mut cert = self.read(fingerprint, master)?;
        for until in self.epochs()? {
            if let Some(secrets) = self.read_epoch(fingerprint, until, master)? {
                cert = cert.merge_public_and_secret(secrets).map_err(CustodyError::Crypto)?;
            }
        }
        Ok(cert)
    }

    fn read_epoch(
        &self,
        fingerprint: &str,
        until: i64,
        master: &MasterKey,
    ) -> Result<Option<Cert>, CustodyError> {
        let path = self.sealed_path(fingerprint, until)?;
        if files::stamp(&path)?.is_none() {
            return Ok(None);
        }
        let kek = match self.open_kek(until, master) {
            // It was destroyed a moment ago.
            Err(CustodyError::Unknown(_)) => return Ok(None),
            other => other?,
        };
        let bytes = match self.open_file(&path, fingerprint, &sealed_context(fingerprint, until), &kek) {
            Err(CustodyError::Unknown(_)) => return Ok(None),
            other => other?,
        };
        let cert = Cert::from_bytes(&*bytes).map_err(|_| CustodyError::Damaged { path: path.clone() })?;
        if cert.fingerprint().to_hex() != fingerprint {
            return Err(CustodyError::Damaged { path });
        }
        Ok(Some(cert))
    }

    /// Writes the key's own file again, without these secret halves.
    fn take_out(
        &self,
        fingerprint: &str,
        moved: &[Fingerprint],
        master: &MasterKey,
    ) -> Result<(), CustodyError> {
        let base = self.read(fingerprint, master)?;
        let base = without_secrets(base, moved).map_err(CustodyError::Crypto)?;
        let sealed =
            envelope::seal(&secret_bytes(&base)?, fingerprint, master).map_err(CustodyError::Crypto)?;
        // What it was sealed under lives on, so what was there before is not left on the disk.
        files::replace(&self.key_path(fingerprint)?, &sealed)
    }

    /// Takes these secret halves out of an epoch that ends at another time: epochs may have been longer.
    fn take_out_of_epoch(
        &self,
        fingerprint: &str,
        until: i64,
        moved: &[Fingerprint],
        master: &MasterKey,
    ) -> Result<(), CustodyError> {
        let Some(before) = self.read_epoch(fingerprint, until, master)? else { return Ok(()) };
        let has = |key: Fingerprint| moved.contains(&key);
        if !before.keys().subkeys().secret().any(|subkey| has(subkey.key().fingerprint())) {
            return Ok(());
        }
        let rest = without_secrets(before, moved).map_err(CustodyError::Crypto)?;
        let kek = self.open_kek(until, master)?;
        let context = sealed_context(fingerprint, until);
        let sealed = envelope::seal(&secret_bytes(&rest)?, &context, &kek).map_err(CustodyError::Crypto)?;
        files::replace(&self.sealed_path(fingerprint, until)?, &sealed)
    }

    /// The key of an epoch, made if there is none.
    fn kek(&self, until: i64, master: &MasterKey) -> Result<MasterKey, CustodyError> {
        match self.open_kek(until, master) {
            Err(CustodyError::Unknown(_)) => {}
            other => return other,
        }
        files::prepare_directory(&self.epochs)?;
        let mut bytes = Zeroizing::new([0; 32]);
        openssl::rand::rand_bytes(&mut *bytes).map_err(|error| CustodyError::Crypto(error.into()))?;
        let sealed = envelope::seal(&*bytes, &kek_context(until), master).map_err(CustodyError::Crypto)?;
        let path = self.kek_path(until);
        files::write(&path, &sealed)?;
        Ok(MasterKey::from_bytes(bytes, path.display().to_string()))
    }

    fn open_kek(&self, until: i64, master: &MasterKey) -> Result<MasterKey, CustodyError> {
        let path = self.kek_path(until);
        let content = self.open_file(&path, &kek_context(until), &kek_context(until), master)?;
        let bytes = Zeroizing::new(
            <[u8; 32]>::try_from(content.as_slice())
                .map_err(|_| CustodyError::Damaged { path: path.clone() })?,
        );
        Ok(MasterKey::from_bytes(bytes, path.display().to_string()))
    }

    fn kek_path(&self, until: i64) -> PathBuf {
        self.epochs.join(format!("{until}.{KEK}"))
    }

    fn sealed_path(&self, fingerprint: &str, until: i64) -> Result<PathBuf, CustodyError> {
        self.path(fingerprint, &format!("{until}.{SEALED}"))
    }
}

/// The end of the epoch that a file of sealed secrets belongs to.
fn sealed_name(name: &str) -> Option<i64> {
    let (fingerprint, until) = name.strip_suffix(".epoch")?.split_once('.')?;
    if is_fingerprint(fingerprint) { until.parse().ok() } else { None }
}

fn kek_context(until: i64) -> String {
    format!("epoch {until}")
}

fn sealed_context(fingerprint: &str, until: i64) -> String {
    format!("epoch {until} {fingerprint}")
}

#[cfg(test)]
mod tests;
