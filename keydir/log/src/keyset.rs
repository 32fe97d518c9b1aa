//! What the log commits to: the set of certificates that a mailbox has, hidden behind a salt.

use std::collections::BTreeSet;
use std::fmt;

use sha2::Digest;
use sha2::Sha256;
use zeroize::Zeroize;

use crate::Label;

/// Most certificates in one set.
pub const MAX_CERTIFICATES: usize = 255;

/// What kind of certificate, as it is numbered in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An OpenPGP certificate in binary form, as it is served for the mailbox.
    OpenPgp = 1,
    /// An X.509 certificate, DER.
    Smime = 2,
}

/// The certificates of a mailbox, each as its kind and the SHA-256 of the bytes that are served. In
/// ascending order, each once: a set has one encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(BTreeSet<(Kind, [u8; 32])>);

/// 32 random bytes that hide a commitment, new for every entry. Whoever deletes it has erased what was
/// committed to.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt(pub(crate) [u8; 32]);

/// SHA-256 over salt, label and key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment(pub [u8; 32]);

/// What opens a commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The salt.
    pub salt: Salt,
    /// The set that was committed to.
    pub keys: KeySet,
}

impl KeySet {
    /// The empty set: the mailbox has no certificate.
    pub fn new() -> KeySet {
        KeySet::default()
    }

    /// Adds the certificate with these bytes; says whether there was room for it.
    pub fn add(&mut self, kind: Kind, certificate: &[u8]) -> bool {
        self.add_digest(kind, Sha256::digest(certificate).into())
    }

    /// Adds the certificate with this SHA-256; says whether there was room for it.
    pub fn add_digest(&mut self, kind: Kind, digest: [u8; 32]) -> bool {
        if self.0.len() >= MAX_CERTIFICATES && !self.0.contains(&(kind, digest)) {
            return false;
        }
        self.0.insert((kind, digest));
        true
    }

    /// Whether the set has the certificate with these bytes.
    pub fn contains(&self, kind: Kind, certificate: &[u8]) -> bool {
        self.0.contains(&(kind, Sha256::digest(certificate).into()))
    }

    /// Kinds and digests in order.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &[u8; 32])> {
        self.0.iter().map(|(kind, digest)| (*kind, digest))
    }

    /// How many certificates.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one encoding: the number of certificates in one byte, then for each its kind in one byte and its
    /// SHA-256.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 33 * self.0.len());
        bytes.push(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for (kind, digest) in &self.0 {
            bytes.push(*kind as u8);
            bytes.extend_from_slice(digest);
        }
        bytes
    }

    /// Reads the encoding; none if it is not the canonical one.
    pub fn from_bytes(bytes: &[u8]) -> Option<KeySet> {
        let (count, items) = bytes.split_first()?;
        if items.len() != 33 * usize::from(*count) {
            return None;
        }
        let mut set = KeySet::new();
        let mut last = None;
        for item in items.chunks_exact(33) {
            let (kind, digest) = item.split_first()?;
            let kind = match kind {
                1 => Kind::OpenPgp,
                2 => Kind::Smime,
                _ => return None,
            };
            let item = (kind, <[u8; 32]>::try_from(digest).ok()?);
            if last.is_some_and(|last| last >= item) {
                return None;
            }
            last = Some(item);
            set.0.insert(item);
        }
        Some(set)
    }
}

impl Salt {
    /// A new salt.
    ///
    /// # Errors
    /// The random source of OpenSSL failed.
    pub fn generate() -> Result<Salt, openssl::error::ErrorStack> {
        let mut salt = Salt([0; 32]);
        openssl::rand::rand_bytes(&mut salt.0)?;
        Ok(salt)
    }

    /// The salt with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Salt {
        Salt(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Salt {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt")
    }
}

impl Opening {
    /// The commitment that this opens for a label.
    pub fn commitment(&self, label: &Label) -> Commitment {
        let mut hash = Sha256::new();
        hash.update(b"gatepost key log commitment v1\n");
        hash.update(self.salt.0);
        hash.update(label.0);
        hash.update(self.keys.to_bytes());
        Commitment(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_encoding_whatever_the_order() {
        let (mut one, mut other) = (KeySet::new(), KeySet::new());
        assert!(one.add(Kind::Smime, b"x") && one.add(Kind::OpenPgp, b"y") && one.add(Kind::OpenPgp, b"y"));
        assert!(other.add(Kind::OpenPgp, b"y") && other.add(Kind::Smime, b"x"));
        assert_eq!(one.to_bytes(), other.to_bytes());
        assert_eq!(one.len(), 2);
        assert_eq!(KeySet::from_bytes(&one.to_bytes()), Some(one.clone()));
        assert!(one.contains(Kind::Smime, b"x") && !one.contains(Kind::OpenPgp, b"x"));
    }

    #[test]
    fn other_encodings_are_refused() {
        let mut set = KeySet::new();
        assert!(set.add(Kind::OpenPgp, b"x") && set.add(Kind::OpenPgp, b"y"));
        let bytes = set.to_bytes();
        let mut swapped = vec![2];
        swapped.extend_from_slice(&bytes[34..]);
        swapped.extend_from_slice(&bytes[1..34]);
        let mut twice = vec![2];
        twice.extend_from_slice(&bytes[1..34]);
        twice.extend_from_slice(&bytes[1..34]);
        let mut unknown = bytes.clone();
        unknown[1] = 3;
        for wrong in [&[][..], &[1], &swapped, &twice, &unknown, &bytes[..66], &[&bytes[..], &[0]].concat()] {
            assert_eq!(KeySet::from_bytes(wrong), None, "{wrong:?}");
        }
        assert_eq!(KeySet::from_bytes(&[0]), Some(KeySet::new()));
    }

    #[test]
    fn a_set_has_at_most_255_certificates() {
        let mut set = KeySet::new();
        (0..255u8).for_each(|number| assert!(set.add(Kind::OpenPgp, &[number])));
        assert!(!set.add(Kind::OpenPgp, b"one too many") && set.add(Kind::OpenPgp, &[3]));
        assert_eq!(KeySet::from_bytes(&set.to_bytes()), Some(set));
    }

    #[test]
    fn a_commitment_is_to_salt_label_and_set() {
        let mut keys = KeySet::new();
        assert!(keys.add(Kind::OpenPgp, b"x"));
        let opening = Opening { salt: Salt([1; 32]), keys };
        let commitment = opening.commitment(&Label([2; 32]));
        assert_ne!(commitment, opening.commitment(&Label([3; 32])));
        let other = Opening { salt: Salt([4; 32]), keys: opening.keys.clone() };
        assert_ne!(commitment, other.commitment(&Label([2; 32])));
        let other = Opening { salt: Salt([1; 32]), keys: KeySet::new() };
        assert_ne!(commitment, other.commitment(&Label([2; 32])));
        assert!(!format!("{opening:?}").contains("1, 1, 1"), "salts are not shown");
    }
}
