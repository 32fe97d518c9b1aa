//! Keys of signed notes (C2SP signed-note): who signs, with what, and what a verifier is told.
//!
//! Both kinds here are Ed25519 (RFC 8032). They differ in the byte of the signature type, in the key
//! id that follows from it, and in what is signed: see [`Algorithm`].

use std::fmt;
use std::str::FromStr;

use openssl::error::ErrorStack;
use openssl::pkey::Id;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::pkey::Public;
use openssl::sign;
use sha2::Digest;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::encoding::base64;
use crate::encoding::from_base64;
use crate::note::Signature;

/// What a key signs, by the type byte of C2SP signed-note.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Algorithm {
    /// Ed25519 over the text of the note.
    Ed25519 = 1,
    /// Ed25519 over the text of a checkpoint and the time at which it was seen (C2SP
    /// tlog-cosignature, `cosignature/v1`).
    CosignatureV1 = 4,
}

/// A public key with its name. Written `NAME+KEYID+BASE64`.
#[derive(Clone)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    public: [u8; 32],
    id: u32,
    key: PKey<Public>,
}

/// What a valid signature says besides that it is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    /// When a cosigner saw the checkpoint, in seconds since 1970; none for plain signatures.
    pub time: Option<u64>,
}

impl VerifierKey {
    /// A key from its parts.
    ///
    /// # Errors
    /// If the name is empty, has a space, a plus or a control character, or OpenSSL refuses the key.
    pub fn new(name: &str, algorithm: Algorithm, public: &[u8; 32]) -> Result<VerifierKey, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let key = PKey::public_key_from_raw_bytes(public, Id::ED25519)?;
        Ok(VerifierKey {
            id: key_id(name, algorithm, public),
            name: name.to_owned(),
            algorithm,
            public: *public,
            key,
        })
    }

    /// The name of the key; for the key of a log its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key id: the first four bytes of SHA-256(name || 0x0A || type || public key).
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The 32 bytes of the public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Whether the signature names this key, by name and id.
    pub fn made(&self, signature: &Signature) -> bool {
        self.id == signature.id() && self.name == signature.name()
    }

    /// What the signature says of the text; none if this key did not make it or the text is another.
    pub fn verify(&self, text: &str, signature: &Signature) -> Option<Stamp> {
        if !self.made(signature) {
            return None;
        }
        match self.algorithm {
            Algorithm::Ed25519 => {
                self.verify_bytes(text.as_bytes(), signature.bytes()).then_some(Stamp { time: None })
            }
            Algorithm::CosignatureV1 => {
                let (time, bytes) = signature.bytes().split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                let known = time <= i64::MAX as u64;
                let valid = known && self.verify_bytes(cosigned(text, time).as_bytes(), bytes);
                valid.then_some(Stamp { time: Some(time) })
            }
        }
    }

    fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == 64
            && sign::Verifier::new_without_digest(&self.key)
                .and_then(|mut verifier| verifier.verify_oneshot(signature, message))
                .unwrap_or(false)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    /// Reads `NAME+KEYID+BASE64(type || public key)`.
    fn from_str(text: &str) -> Result<VerifierKey, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let (algorithm, public) = typed_key(key)?;
        let key = VerifierKey::new(name, algorithm, &public)?;
        if id != format!("{:08x}", key.id) { Err(KeyError::Id) } else { Ok(key) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, base64(&typed(self.algorithm, &self.public)))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &VerifierKey) -> bool {
        self.name == other.name && self.algorithm == other.algorithm && self.public == other.public
    }
}

impl Eq for VerifierKey {}

/// Signs notes. The secret never leaves it but by [`Signer::secret`].
pub struct Signer(Secret);

impl Signer {
    /// A new random key.
    ///
    /// # Errors
    /// If the name is none for a key, or OpenSSL fails.
    pub fn generate(name: &str) -> Result<Signer, KeyError> {
        Secret::generate(name, Algorithm::Ed25519).map(Signer)
    }

    /// The key with this seed (the 32 bytes that RFC 8032 calls the private key).
    ///
    /// # Errors
    /// If the name is none for a key, or OpenSSL fails.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Signer, KeyError> {
        Secret::from_seed(name, Algorithm::Ed25519, seed).map(Signer)
    }

    /// Reads `PRIVATE+KEY+NAME+KEYID+BASE64(1 || seed)`.
    ///
    /// # Errors
    /// What is wrong with the text; it is never repeated.
    pub fn parse(text: &str) -> Result<Signer, KeyError> {
        Secret::parse(text, Algorithm::Ed25519).map(Signer)
    }

    /// The secret as [`Signer::parse`] reads it.
    ///
    /// # Errors
    /// If OpenSSL fails.
    pub fn secret(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_text()
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.0.verifier
    }

    /// Signs the text of a note.
    ///
    /// # Errors
    /// If OpenSSL fails.
    pub fn sign(&self, text: &str) -> Result<Signature, KeyError> {
        let bytes = self.0.sign(text.as_bytes())?;
        Ok(Signature::new(self.verifier(), bytes))
    }
}

/// Signs that it saw a checkpoint at a time (C2SP tlog-cosignature, `cosignature/v1`).
pub struct Cosigner(Secret);

impl Cosigner {
    /// A new random key.
    ///
    /// # Errors
    /// If the name is none for a key, or OpenSSL fails.
    pub fn generate(name: &str) -> Result<Cosigner, KeyError> {
        Secret::generate(name, Algorithm::CosignatureV1).map(Cosigner)
    }

    /// The key with this seed.
    ///
    /// # Errors
    /// If the name is none for a key, or OpenSSL fails.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Cosigner, KeyError> {
        Secret::from_seed(name, Algorithm::CosignatureV1, seed).map(Cosigner)
    }

    /// Reads `PRIVATE+KEY+NAME+KEYID+BASE64(4 || seed)`.
    ///
    /// # Errors
    /// What is wrong with the text; it is never repeated.
    pub fn parse(text: &str) -> Result<Cosigner, KeyError> {
        Secret::parse(text, Algorithm::CosignatureV1).map(Cosigner)
    }

    /// The secret as [`Cosigner::parse`] reads it.
    ///
    /// # Errors
    /// If OpenSSL fails.
    pub fn secret(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_text()
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.0.verifier
    }

    /// Signs that the checkpoint with this text was the largest seen at `time`, in seconds since 1970.
    /// Whoever calls this has verified that it continues every checkpoint that was cosigned before.
    ///
    /// # Errors
    /// If the time is beyond 2^63 - 1, or OpenSSL fails.
    pub fn cosign(&self, checkpoint: &str, time: u64) -> Result<Signature, KeyError> {
        if time > i64::MAX as u64 {
            return Err(KeyError::Time);
        }
        let mut bytes = time.to_be_bytes().to_vec();
        bytes.extend(self.0.sign(cosigned(checkpoint, time).as_bytes())?);
        Ok(Signature::new(self.verifier(), bytes))
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The type byte is none that is known here, or not of the kind wanted.
    #[error("the key is of another signature type")]
    Algorithm,
    /// OpenSSL failed.
    #[error("OpenSSL refuses the key")]
    Crypto(#[from] ErrorStack),
    /// Not the form of a key.
    #[error("a key has the form NAME+KEYID+BASE64")]
    Form,
    /// The key id does not follow from name and key: one of them is mistyped.
    #[error("the key id does not belong to this name and key")]
    Id,
    /// An empty name, or one with spaces, plus or control characters.
    #[error("the name of a key is not empty and has neither spaces nor plus signs")]
    Name,
    /// A time beyond what the format can carry.
    #[error("the time is beyond the year 292 billion")]
    Time,
}

/// The secret half of both kinds.
struct Secret {
    verifier: VerifierKey,
    key: PKey<Private>,
}

impl Secret {
    fn generate(name: &str, algorithm: Algorithm) -> Result<Secret, KeyError> {
        Secret::new(name, algorithm, PKey::generate_ed25519()?)
    }

    fn from_seed(name: &str, algorithm: Algorithm, seed: &[u8; 32]) -> Result<Secret, KeyError> {
        Secret::new(name, algorithm, PKey::private_key_from_raw_bytes(seed, Id::ED25519)?)
    }

    fn new(name: &str, algorithm: Algorithm, key: PKey<Private>) -> Result<Secret, KeyError> {
        let public = key.raw_public_key()?.try_into().map_err(|_| KeyError::Form)?;
        Ok(Secret { verifier: VerifierKey::new(name, algorithm, &public)?, key })
    }

    fn parse(text: &str, wanted: Algorithm) -> Result<Secret, KeyError> {
        let mut parts = text.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Form)?.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let (algorithm, seed) = typed_key(key)?;
        let seed = Zeroizing::new(seed);
        if algorithm != wanted {
            return Err(KeyError::Algorithm);
        }
        let secret = Secret::from_seed(name, algorithm, &seed)?;
        if id != format!("{:08x}", secret.verifier.id) { Err(KeyError::Id) } else { Ok(secret) }
    }

    fn to_text(&self) -> Result<Zeroizing<String>, KeyError> {
        let seed = Zeroizing::new(self.key.raw_private_key()?);
        let typed = Zeroizing::new(typed(self.verifier.algorithm, &seed));
        let key = Zeroizing::new(base64(&typed));
        let VerifierKey { name, id, .. } = &self.verifier;
        Ok(Zeroizing::new(format!("PRIVATE+KEY+{name}+{id:08x}+{}", *key)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(sign::Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(message)?)
    }
}

/// Whether this can be the name of a key.
pub(crate) fn is_key_name(name: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && c >= ' ' && c != '+';
    !name.is_empty() && name.chars().all(fits)
}

/// C2SP tlog-cosignature: two lines before the text of the checkpoint keep the domains apart.
fn cosigned(checkpoint: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint}")
}

fn key_id(name: &str, algorithm: Algorithm, public: &[u8; 32]) -> u32 {
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update([b'\n', algorithm as u8]);
    hash.update(public);
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    u32::from_be_bytes([a, b, c, d])
}

fn typed(algorithm: Algorithm, key: &[u8]) -> Vec<u8> {
    // In one piece, so that no copy of a secret is left behind by a reallocation.
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(algorithm as u8);
    bytes.extend_from_slice(key);
    bytes
}

fn typed_key(text: &str) -> Result<(Algorithm, [u8; 32]), KeyError> {
    let bytes = Zeroizing::new(from_base64(text).ok_or(KeyError::Form)?);
    let (kind, key) = bytes.split_first().ok_or(KeyError::Form)?;
    let algorithm = match kind {
        1 => Algorithm::Ed25519,
        4 => Algorithm::CosignatureV1,
        _ => return Err(KeyError::Algorithm),
    };
    Ok((algorithm, key.try_into().map_err(|_| KeyError::Form)?))
}

#[cfg(test)]
mod tests;
