//! The algorithms that encrypt content (RFC 3565, RFC 5084), and their parameters.

use openssl::cipher::Cipher;
use openssl::cipher::CipherRef;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;

use super::super::algorithm::Algorithm;
use super::super::ber::Tag;
use super::super::content_info::ContentKind;
use super::super::oid;
use super::CipherSeen;
use super::EnvelopeError;

/// A cipher as a message names it.
pub(crate) struct NamedCipher {
    pub(crate) seen: CipherSeen,
    cipher: &'static CipherRef,
    iv: Vec<u8>,
    /// Octets of the tag; `None` if nothing authenticates.
    pub(crate) tag_len: Option<usize>,
}

impl NamedCipher {
    /// Reads what a message of this kind says about its cipher.
    pub(crate) fn read(kind: ContentKind, algorithm: &Algorithm) -> Result<NamedCipher, EnvelopeError> {
        let (seen, cipher) = match algorithm.oid.as_slice() {
            oid::AES128_CBC => (CipherSeen::Cbc("AES-128"), Cipher::aes_128_cbc()),
            oid::AES192_CBC => (CipherSeen::Cbc("AES-192"), Cipher::aes_192_cbc()),
            oid::AES256_CBC => (CipherSeen::Cbc("AES-256"), Cipher::aes_256_cbc()),
            oid::DES_EDE3_CBC => (CipherSeen::Cbc("3DES"), Cipher::des_ede3_cbc()),
            oid::AES128_GCM => (CipherSeen::Aes128Gcm, Cipher::aes_128_gcm()),
            oid::AES192_GCM => (CipherSeen::Aes192Gcm, Cipher::aes_192_gcm()),
            oid::AES256_GCM => (CipherSeen::Aes256Gcm, Cipher::aes_256_gcm()),
            other => return Err(EnvelopeError::Unsupported(format!("cipher {}", oid::dotted(other)))),
        };
        let authentic = !matches!(seen, CipherSeen::Cbc(_));
        if authentic != (kind == ContentKind::AuthEnvelopedData) {
            return Err(EnvelopeError::Unsupported(format!("{seen} in {kind}")));
        }
        match authentic {
            true => NamedCipher::read_gcm(seen, cipher, algorithm),
            false => NamedCipher::read_cbc(seen, cipher, algorithm),
        }
    }

    /// The IV is the parameter (RFC 3565 section 2.3).
    fn read_cbc(
        seen: CipherSeen,
        cipher: &'static CipherRef,
        algorithm: &Algorithm,
    ) -> Result<NamedCipher, EnvelopeError> {
        let iv = algorithm.parameters().octet_string(Tag::OCTET_STRING)?;
        match iv.len() == cipher.iv_length() {
            true => Ok(NamedCipher { seen, cipher, iv, tag_len: None }),
            false => Err(EnvelopeError::Damaged("an IV of the wrong length".into())),
        }
    }

    /// GCMParameters (RFC 5084 section 3.2).
    fn read_gcm(
        seen: CipherSeen,
        cipher: &'static CipherRef,
        algorithm: &Algorithm,
    ) -> Result<NamedCipher, EnvelopeError> {
        let mut ber = algorithm.parameters();
        ber.enter(Tag::SEQUENCE)?;
        let iv = ber.octet_string(Tag::OCTET_STRING)?;
        let tag_len = match ber.at(Tag::INTEGER)? {
            true => ber.small_integer()?,
            false => 12,
        };
        ber.leave()?;
        if !(12..=16).contains(&tag_len) || !(8..=64).contains(&iv.len()) {
            return Err(EnvelopeError::Unsupported("lengths of nonce or tag outside RFC 5084".into()));
        }
        Ok(NamedCipher { seen, cipher, iv, tag_len: Some(tag_len as usize) })
    }

    /// Octets of the key.
    pub(crate) fn key_len(&self) -> usize {
        self.cipher.key_length()
    }

    /// A context that decrypts. The key must have [`NamedCipher::key_len`] octets.
    pub(crate) fn decryption(&self, key: &[u8]) -> Result<CipherCtx, ErrorStack> {
        let mut context = CipherCtx::new()?;
        context.decrypt_init(Some(self.cipher), None, None)?;
        self.set_nonce_len(&mut context)?;
        context.decrypt_init(None, Some(key), Some(&self.iv))?;
        Ok(context)
    }

    /// A context that encrypts again what was decrypted, to check a tag.
    pub(crate) fn encryption(&self, key: &[u8]) -> Result<CipherCtx, ErrorStack> {
        let mut context = CipherCtx::new()?;
        context.encrypt_init(Some(self.cipher), None, None)?;
        self.set_nonce_len(&mut context)?;
        context.encrypt_init(None, Some(key), Some(&self.iv))?;
        Ok(context)
    }

    fn set_nonce_len(&self, context: &mut CipherCtx) -> Result<(), ErrorStack> {
        match self.tag_len {
            Some(_) => context.set_iv_length(self.iv.len()),
            None => Ok(()),
        }
    }
}
