//! How a secret key lies in its file.
//!
//! ```text
//! magic 16 | salt 32 | check 16 | AES-256-GCM ciphertext | tag 16
//! HKDF-SHA-256(master, salt, "gatepost custody v1" | fingerprint) = key 32 | nonce 12 | check 16
//! additional data = magic | salt | fingerprint
//! ```
//!
//! The salt is new for each writing, so no key is used twice. The check value tells another master key
//! from a damaged file, and commits to the key, which GCM alone does not.

use openssl::md::Md;
use openssl::memcmp;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use openssl::symm;
use openssl::symm::Cipher;
use zeroize::Zeroizing;

use super::master::MasterKey;

const MAGIC: &[u8; 16] = b"gatepost key v1\n";
const INFO: &[u8] = b"gatepost custody v1";
const SALT: usize = 32;
const KEY: usize = 32;
const NONCE: usize = 12;
const CHECK: usize = 16;
const TAG: usize = 16;

/// Why an envelope could not be opened.
#[derive(Debug)]
pub(super) enum OpenFailure {
    Crypto(anyhow::Error),
    /// Not what was written.
    Damaged,
    /// Written under another master key.
    OtherMaster,
}

/// Encrypts the secret key of the certificate with this fingerprint.
pub(super) fn seal(secret: &[u8], fingerprint: &str, master: &MasterKey) -> anyhow::Result<Vec<u8>> {
    let mut salt = [0; SALT];
    openssl::rand::rand_bytes(&mut salt)?;
    let keys = Derived::new(master, &salt, fingerprint)?;
    let mut tag = [0; TAG];
    let aad = additional_data(&salt, fingerprint);
    let ciphertext =
        symm::encrypt_aead(Cipher::aes_256_gcm(), keys.key(), Some(keys.nonce()), &aad, secret, &mut tag)?;
    Ok([MAGIC.as_slice(), &salt, keys.check(), &ciphertext, &tag].concat())
}

/// Decrypts what [`seal`] wrote for the same fingerprint.
pub(super) fn open(
    sealed: &[u8],
    fingerprint: &str,
    master: &MasterKey,
) -> Result<Zeroizing<Vec<u8>>, OpenFailure> {
    let rest = sealed.strip_prefix(MAGIC).ok_or(OpenFailure::Damaged)?;
    let (salt, rest) = rest.split_at_checked(SALT).ok_or(OpenFailure::Damaged)?;
    let (check, rest) = rest.split_at_checked(CHECK).ok_or(OpenFailure::Damaged)?;
    let end = rest.len().checked_sub(TAG).ok_or(OpenFailure::Damaged)?;
    let (ciphertext, tag) = rest.split_at_checked(end).ok_or(OpenFailure::Damaged)?;
    let keys = Derived::new(master, salt, fingerprint).map_err(OpenFailure::Crypto)?;
    if !memcmp::eq(check, keys.check()) {
        return Err(OpenFailure::OtherMaster);
    }
    let aad = additional_data(salt, fingerprint);
    symm::decrypt_aead(Cipher::aes_256_gcm(), keys.key(), Some(keys.nonce()), &aad, ciphertext, tag)
        .map(Zeroizing::new)
        .map_err(|_| OpenFailure::Damaged)
}

fn additional_data(salt: &[u8], fingerprint: &str) -> Vec<u8> {
    [MAGIC.as_slice(), salt, fingerprint.as_bytes()].concat()
}

/// What belongs to one writing of one file.
struct Derived(Zeroizing<[u8; KEY + NONCE + CHECK]>);

impl Derived {
    fn new(master: &MasterKey, salt: &[u8], fingerprint: &str) -> anyhow::Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY + NONCE + CHECK]);
        let mut context = PkeyCtx::new_id(Id::HKDF)?;
        context.derive_init()?;
        context.set_hkdf_md(Md::sha256())?;
        context.set_hkdf_key(master.bytes())?;
        context.set_hkdf_salt(salt)?;
        context.add_hkdf_info(INFO)?;
        context.add_hkdf_info(fingerprint.as_bytes())?;
        context.derive(Some(bytes.as_mut_slice()))?;
        Ok(Self(bytes))
    }

    fn key(&self) -> &[u8] {
        self.0.get(..KEY).unwrap_or_default()
    }

    fn nonce(&self) -> &[u8] {
        self.0.get(KEY..KEY + NONCE).unwrap_or_default()
    }

    fn check(&self) -> &[u8] {
        self.0.get(KEY + NONCE..).unwrap_or_default()
    }
}
