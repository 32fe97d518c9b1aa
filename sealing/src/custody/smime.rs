//! S/MIME keys in custody.
//!
//! They lie in the same directory, under the same master key and in the same envelope as OpenPGP's, in
//! files of their own (`FINGERPRINT.smime`). The envelope is bound to the word `smime` and the
//! certificate's fingerprint, so that no file can stand in for another. Inside: the length of the
//! certificate (4 octets), the certificate, the key (PKCS#8, RFC 5208), both in DER.

use std::sync::Arc;

use keydir::Certificate;
use keydir::Scheme;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use zeroize::Zeroizing;

use super::Custody;
use super::CustodyError;
use super::envelope;
use super::files;
use super::is_fingerprint;
use super::master::MasterKey;
use crate::cms::SecretKey;

const EXTENSION: &str = "smime";

impl Custody {
    /// Puts the key of an S/MIME certificate into custody, on disk before it returns.
    ///
    /// # Errors
    /// [`CustodyError::Mismatch`] if the key is not the certificate's; or if the key store is locked or the
    /// file cannot be written; then what was there is unchanged.
    pub fn put_smime(&self, certificate: &Certificate, key: &PKey<Private>) -> Result<(), CustodyError> {
        let fingerprint = certificate.fingerprint();
        SecretKey::new(certificate.clone(), key.clone())
            .map_err(|_| CustodyError::Mismatch(fingerprint.clone()))?;
        let master = self.master()?;
        let _lock = files::lock(&self.dir)?;
        let content = encode(certificate, key)?;
        let sealed =
            envelope::seal(&content, &context(&fingerprint), &master).map_err(CustodyError::Crypto)?;
        files::write(&self.path(&fingerprint, EXTENSION)?, &sealed)?;
        self.lock().unlocked_smime.remove(&fingerprint);
        Ok(())
    }

    /// The unlocked key of an S/MIME certificate, from memory if its file did not change.
    ///
    /// # Errors
    /// [`CustodyError::Unknown`] if it certainly is not here; any other error means that it could not be
    /// had now.
    pub fn get_smime(&self, fingerprint: &str) -> Result<Arc<SecretKey>, CustodyError> {
        let fingerprint = fingerprint.to_ascii_uppercase();
        let path = self.path(&fingerprint, EXTENSION)?;
        let Some(stamp) = files::stamp(&path)? else {
            self.lock().unlocked_smime.remove(&fingerprint);
            return Err(CustodyError::Unknown(fingerprint));
        };
        if let Some((known, key)) = self.lock().unlocked_smime.get(&fingerprint)
            && *known == stamp
        {
            return Ok(key.clone());
        }
        let master = self.master()?;
        let key = Arc::new(self.read_smime(&fingerprint, &master)?);
        self.lock().unlocked_smime.insert(fingerprint, (stamp, key.clone()));
        Ok(key)
    }

    /// The fingerprints of all keys in custody with their scheme, in order. Needs no master key.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn list_all(&self) -> Result<Vec<(String, Scheme)>, CustodyError> {
        let scheme = |name: &str| {
            let (stem, extension) = name.rsplit_once('.')?;
            let scheme = match extension {
                "key" => Scheme::Openpgp,
                EXTENSION => Scheme::Smime,
                _ => return None,
            };
            is_fingerprint(stem).then(|| (stem.to_owned(), scheme))
        };
        let mut found: Vec<_> = files::names(&self.dir)?.iter().filter_map(|name| scheme(name)).collect();
        found.sort();
        Ok(found)
    }

    /// Destroys the key of an S/MIME certificate. Mail encrypted to it cannot be read any more.
    ///
    /// # Errors
    /// If it is not here or cannot be removed.
    pub fn remove_smime(&self, fingerprint: &str) -> Result<(), CustodyError> {
        let fingerprint = fingerprint.to_ascii_uppercase();
        let path = self.path(&fingerprint, EXTENSION)?;
        let _lock = files::lock(&self.dir)?;
        if files::stamp(&path)?.is_none() {
            return Err(CustodyError::Unknown(fingerprint));
        }
        self.lock().unlocked_smime.remove(&fingerprint);
        files::sweep(&self.dir)?;
        files::destroy(&path)
    }

    /// The key of an S/MIME certificate as PKCS#8 in DER, without password. To hand a key to a person use
    /// [`Custody::export_pkcs12`].
    ///
    /// # Errors
    /// As [`Custody::get_smime`].
    pub fn export_smime(&self, fingerprint: &str) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        pkcs8(self.get_smime(fingerprint)?.key())
    }

    fn read_smime(&self, fingerprint: &str, master: &MasterKey) -> Result<SecretKey, CustodyError> {
        let path = self.path(fingerprint, EXTENSION)?;
        let content = self.open_file(&path, fingerprint, &context(fingerprint), master)?;
        let damaged = || CustodyError::Damaged { path: path.clone() };
        let key = decode(&content).ok_or_else(damaged)?;
        if key.certificate().fingerprint() != fingerprint {
            return Err(damaged());
        }
        Ok(key)
    }
}

/// What the envelope is bound to.
fn context(fingerprint: &str) -> String {
    format!("smime {fingerprint}")
}

fn encode(certificate: &Certificate, key: &PKey<Private>) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    let key = pkcs8(key)?;
    let der = certificate.der();
    let length = u32::try_from(der.len()).unwrap_or(u32::MAX).to_be_bytes();
    // Reserved at once: growing would leave copies of the key behind.
    let mut content = Zeroizing::new(Vec::with_capacity(length.len() + der.len() + key.len()));
    content.extend_from_slice(&length);
    content.extend_from_slice(der);
    content.extend_from_slice(&key);
    Ok(content)
}

fn decode(content: &[u8]) -> Option<SecretKey> {
    let (length, rest) = content.split_first_chunk::<4>()?;
    let (certificate, key) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let key = PKey::private_key_from_pkcs8(key).ok()?;
    SecretKey::new(Certificate::from_der(certificate).ok()?, key).ok()
}

fn pkcs8(key: &PKey<Private>) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    let der = key.private_key_to_pkcs8().map_err(|error| CustodyError::Crypto(error.into()))?;
    Ok(Zeroizing::new(der))
}

#[cfg(test)]
mod tests;
