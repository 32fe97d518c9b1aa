//! Message digests, and which of them are good enough.

use std::io;
use std::io::Write;

use openssl::error::ErrorStack;
use openssl::hash::Hasher;
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::md::MdRef;

use super::flaw::Flaw;
use super::oid;
use crate::cms::algorithm::Algorithm;
use crate::cms::der_write::NULL;
use crate::cms::der_write::object_id;
use crate::cms::der_write::sequence;

/// A digest that signatures may rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

/// Why a digest is not one of [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoDigest {
    /// Two contents with the same digest can be made.
    Weak(&'static str),
    Unknown(String),
}

impl NoDigest {
    /// The name of the algorithm.
    pub(crate) fn name(&self) -> &str {
        match self {
            NoDigest::Weak(name) => name,
            NoDigest::Unknown(id) => id,
        }
    }

    /// As what is wrong with a signature.
    pub(crate) fn flaw(&self) -> Flaw {
        match self {
            NoDigest::Weak(_) => self.why().into(),
            NoDigest::Unknown(_) => Flaw::unsupported(self.why()),
        }
    }

    /// As a reason not to believe a signature.
    pub(crate) fn why(&self) -> String {
        match self {
            NoDigest::Weak(name) => format!("{name} is too weak"),
            NoDigest::Unknown(id) => format!("digest {id} is not supported"),
        }
    }
}

impl Digest {
    pub(crate) fn identify(algorithm: &Algorithm) -> Result<Digest, NoDigest> {
        let digest = match algorithm.oid.as_slice() {
            oid::SHA256 => Digest::Sha256,
            oid::SHA384 => Digest::Sha384,
            oid::SHA512 => Digest::Sha512,
            oid::SHA1 => return Err(NoDigest::Weak("SHA-1")),
            oid::MD5 => return Err(NoDigest::Weak("MD5")),
            oid::SHA224 => return Err(NoDigest::Weak("SHA-224")),
            other => return Err(NoDigest::Unknown(oid::dotted(other))),
        };
        // Absent or NULL (RFC 5754 section 2).
        let plain = algorithm.parameters.as_deref().is_none_or(|parameters| parameters == NULL);
        if plain { Ok(digest) } else { Err(NoDigest::Unknown("with parameters".into())) }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Digest::Sha256 => "SHA-256",
            Digest::Sha384 => "SHA-384",
            Digest::Sha512 => "SHA-512",
        }
    }

    /// The value of the `micalg` parameter (RFC 8551 section 3.5.3.2).
    pub(crate) fn micalg(self) -> &'static str {
        match self {
            Digest::Sha256 => "sha-256",
            Digest::Sha384 => "sha-384",
            Digest::Sha512 => "sha-512",
        }
    }

    pub(crate) fn id(self) -> &'static [u8] {
        match self {
            Digest::Sha256 => oid::SHA256,
            Digest::Sha384 => oid::SHA384,
            Digest::Sha512 => oid::SHA512,
        }
    }

    /// As an AlgorithmIdentifier without parameters (RFC 5754 section 2).
    pub(crate) fn algorithm(self) -> Vec<u8> {
        sequence(&[&object_id(self.id())])
    }

    /// As an AlgorithmIdentifier inside the parameters of an RSA scheme (RFC 4055 section 2.1).
    pub(crate) fn rsa_algorithm(self) -> Vec<u8> {
        sequence(&[&object_id(self.id()), &NULL])
    }

    pub(crate) fn message_digest(self) -> MessageDigest {
        match self {
            Digest::Sha256 => MessageDigest::sha256(),
            Digest::Sha384 => MessageDigest::sha384(),
            Digest::Sha512 => MessageDigest::sha512(),
        }
    }

    pub(crate) fn md(self) -> &'static MdRef {
        match self {
            Digest::Sha256 => Md::sha256(),
            Digest::Sha384 => Md::sha384(),
            Digest::Sha512 => Md::sha512(),
        }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        Ok(openssl::hash::hash(self.message_digest(), bytes)?.to_vec())
    }
}

/// Digests of one content, made while it passes.
pub(crate) struct Digesting {
    running: Vec<(Digest, Hasher)>,
    octets: u64,
    head: Vec<u8>,
    whole: Option<Vec<u8>>,
}

/// What [`Digesting`] found.
pub(crate) struct ContentDigests {
    made: Vec<(Digest, Vec<u8>)>,
    /// Length of the content.
    pub(crate) octets: u64,
    head: Vec<u8>,
    /// The content, if it was kept and is short.
    pub(crate) whole: Option<Vec<u8>>,
}

impl Digesting {
    /// Makes each of these digests once.
    pub(crate) fn new(digests: impl IntoIterator<Item = Digest>) -> Result<Digesting, ErrorStack> {
        let mut running: Vec<(Digest, Hasher)> = Vec::new();
        for digest in digests {
            if !running.iter().any(|(known, _)| *known == digest) {
                running.push((digest, Hasher::new(digest.message_digest())?));
            }
        }
        Ok(Digesting { running, octets: 0, head: Vec::new(), whole: None })
    }

    /// Keeps the content, too, while it is short: there are signatures that need it twice (RFC 8032 section 5.1).
    pub(crate) fn keeping(self) -> Digesting {
        Digesting { whole: Some(Vec::new()), ..self }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<(), ErrorStack> {
        for (_, hasher) in &mut self.running {
            hasher.update(bytes)?;
        }
        self.octets += bytes.len() as u64;
        let missing = HEAD.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(missing));
        self.whole = self.whole.take().filter(|_| self.octets <= WHOLE);
        if let Some(whole) = &mut self.whole {
            whole.extend_from_slice(bytes);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<ContentDigests, ErrorStack> {
        let mut made = Vec::new();
        for (digest, hasher) in &mut self.running {
            made.push((*digest, hasher.finish()?.to_vec()));
        }
        Ok(ContentDigests { made, octets: self.octets, head: self.head, whole: self.whole })
    }
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentDigests {
    /// The digest of the content, if it was made.
    pub(crate) fn get(&self, digest: Digest) -> Option<&[u8]> {
        self.made.iter().find(|(made, _)| *made == digest).map(|(_, value)| value.as_slice())
    }

    /// Whether the content is itself shaped like a set of signed attributes. A signature over attributes
    /// verifies as a signature without attributes over their encoding, so such a content may have been
    /// cut out of another message.
    pub(crate) fn may_be_attributes(&self) -> bool {
        let Some((0x31, rest)) = self.head.split_first().map(|(first, rest)| (*first, rest)) else {
            return false;
        };
        let (length, rest) = match rest.split_first() {
            Some((short @ 0..0x80, rest)) => (u64::from(*short), rest),
            Some((long, rest)) => {
                let Some((octets, rest)) = rest.split_at_checked(usize::from(long & 0x7f)) else {
                    return false;
                };
                (octets.iter().fold(0, |length: u64, octet| (length << 8) | u64::from(*octet)), rest)
            }
            None => return false,
        };
        let header = (self.head.len() - rest.len()) as u64;
        length.checked_add(header) == Some(self.octets) && rest.first() == Some(&0x30)
    }
}

/// Octets kept of the beginning of the content.
const HEAD: usize = 16;
/// Octets of a content that is kept as a whole.
const WHOLE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(content: &[u8]) -> bool {
        let mut digesting = Digesting::new([]).unwrap();
        digesting.update(content).unwrap();
        digesting.finish().unwrap().may_be_attributes()
    }

    #[test]
    fn a_content_that_is_a_set_of_attributes_is_recognised() {
        assert!(looks(&[0x31, 4, 0x30, 2, 6, 0]));
        let long = [&[0x31, 0x81, 0x82, 0x30][..], &[0; 0x81]].concat();
        assert!(looks(&long));
        assert!(!looks(&long[..long.len() - 1]));
        assert!(!looks(b"1: a field named 1\r\n\r\n"));
        assert!(!looks(b"") && !looks(b"1") && !looks(b"1\xff"));
        assert!(!looks(b"Content-Type: text/plain\r\n\r\n"));
    }

    #[test]
    fn digests_are_made_while_the_content_passes() {
        let mut digesting = Digesting::new([Digest::Sha256, Digest::Sha512, Digest::Sha256]).unwrap();
        digesting.write_all(b"ab").unwrap();
        digesting.write_all(b"c").unwrap();
        let digests = digesting.finish().unwrap();
        assert_eq!(digests.octets, 3);
        assert_eq!(digests.get(Digest::Sha256).unwrap(), openssl::sha::sha256(b"abc"));
        assert_eq!(digests.get(Digest::Sha512).unwrap(), openssl::sha::sha512(b"abc"));
        assert_eq!(digests.get(Digest::Sha384), None);
    }
}
