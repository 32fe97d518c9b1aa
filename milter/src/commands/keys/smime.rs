//! `gatepost keys` for S/MIME: certificates as PEM, DER or PKCS#7, and PKCS#12 files with secret keys.

use keydir::{Certificate, Custody, Import, Origin, Record, Store, Subject, Trust};
use program::Exit;
use sealing::custody::{Pkcs12Content, read_pkcs12};
use zeroize::Zeroizing;

use super::{custody_error, store_error};
use crate::commands::cli::TrustLevel;
use crate::keyring::KeyRing;

/// What a file of keys holds.
#[derive(Debug)]
pub(super) enum Kind {
    /// Certificates of S/MIME.
    Certificates,
    /// A secret key in PEM, without a certificate.
    Key,
    /// A PKCS#12 file.
    Pkcs12,
    /// Anything else: OpenPGP, or nothing we know.
    Other,
}

impl Kind {
    /// Looks at the first bytes. DER begins with a SEQUENCE; an OpenPGP packet never does.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let text = bytes.trim_ascii_start();
        if text.starts_with(b"-----BEGIN CERTIFICATE-----") || text.starts_with(b"-----BEGIN PKCS7-----") {
            return Self::Certificates;
        }
        if contains(text, b"-----BEGIN CERTIFICATE-----") {
            return Self::Certificates;
        }
        if text.starts_with(b"-----BEGIN ") && contains(text, b"PRIVATE KEY-----") {
            return Self::Key;
        }
        match bytes.first() {
            Some(0x30) if Certificate::read_all(bytes).is_ok() => Self::Certificates,
            Some(0x30) => Self::Pkcs12,
            _ => Self::Other,
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

/// What an import was told.
pub(super) struct Told {
    /// Whom to bind to.
    pub(super) subjects: Option<Vec<Subject>>,
    /// How far to trust certificates.
    pub(super) trust: TrustLevel,
    /// The holder reads AES-GCM.
    pub(super) gcm: bool,
    /// The holder reads RSA-OAEP.
    pub(super) oaep: bool,
    /// Unix seconds.
    pub(super) now: i64,
}

/// Takes certificates.
pub(super) fn import(keys: &KeyRing, bytes: &[u8], told: &Told) -> Result<Vec<Record>, Exit> {
    let take = |store: &Store| store.import_certificates(&told.import(bytes, false)).map_err(store_error);
    // A file is taken as a whole or not at all, so it is first tried where it leaves nothing.
    take(&Store::open_in_memory().map_err(store_error)?)?;
    let records = take(&keys.store)?;
    told.announce(keys, &records)?;
    Ok(records)
}

/// Takes a secret key with its certificate: the secret half into custody first.
pub(super) fn import_pkcs12(
    keys: &KeyRing,
    bytes: &[u8],
    password: &Zeroizing<String>,
    told: &Told,
) -> Result<Vec<Record>, Exit> {
    let content: Pkcs12Content =
        read_pkcs12(bytes, password).map_err(|error| Exit::data("cannot read the keys", error))?;
    let mut pem = content.certificate.pem();
    content.chain.iter().for_each(|certificate| pem.push_str(&certificate.pem()));
    let take =
        |store: &Store| store.import_certificates(&told.import(pem.as_bytes(), true)).map_err(store_error);
    take(&Store::open_in_memory().map_err(store_error)?)?;
    keys.custody.put_smime(&content.certificate, &content.key).map_err(custody_error)?;
    let records = take(&keys.store)?;
    told.announce(keys, &records)?;
    Ok(records)
}

impl Told {
    fn import<'a>(&self, bytes: &'a [u8], own: bool) -> Import<'a> {
        Import {
            bytes,
            subjects: self.subjects.clone(),
            origin: Origin::Imported,
            trust: if own { Trust::Own } else { self.trust.into() },
            custody: if own { Custody::Local } else { Custody::None },
            now: self.now,
        }
    }

    fn announce(&self, keys: &KeyRing, records: &[Record]) -> Result<(), Exit> {
        if !self.gcm && !self.oaep {
            return Ok(());
        }
        records.iter().try_for_each(|record| {
            keys.store.set_capabilities(&record.fingerprint, self.gcm, self.oaep).map_err(store_error)
        })
    }
}
