//! Writing encrypted data packets (RFC 9580 section 5.13).
//!
//! Sequoia writes them too, but hashes for SEIPDv1 with a SHA-1 that looks for collisions, which costs
//! twice as much as the cipher, encrypts SEIPDv2 in chunks of 4 KiB, and buffers 4 MiB. Looking for
//! collisions protects signatures over what others wrote; what is hashed here begins with random octets
//! that nobody knew, ends encrypted, and is no signature.

use std::io;
use std::io::Write;

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::hash::Hasher;
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use sequoia_openpgp::crypto::SessionKey;
use zeroize::Zeroizing;

use super::partial::PartialBody;

/// The packet type of encrypted data with integrity.
const SEIPD: u8 = 18;
const AES256: u8 = 9;
const OCB: u8 = 2;
/// Chunks of SEIPDv2 have 2^(6 + this) octets: 64 KiB.
const CHUNK_OCTET: u8 = 10;
const CHUNK: usize = 1 << (6 + CHUNK_OCTET);
/// Octets of an AES block, and of a tag of OCB.
const BLOCK: usize = 16;
const NONCE: usize = 15;
/// Plaintext is encrypted in pieces of this size at most, so that they stay in the cache.
const PIECE: usize = 32 * 1024;

/// Encrypts what is written to it with AES-256 and writes the packet.
pub(crate) struct EncryptedWriter<W: Write> {
    out: PartialBody<W>,
    mode: Mode,
}

enum Mode {
    V1(Cfb),
    V2(Ocb),
}

impl<W: Write> EncryptedWriter<W> {
    /// Starts a packet: SEIPDv2 with OCB if `aead` is set, SEIPDv1 otherwise. The session key must be
    /// fresh and have 32 octets.
    pub(crate) fn new(sink: W, key: &SessionKey, aead: bool) -> io::Result<EncryptedWriter<W>> {
        let mut out = PartialBody::new(sink, SEIPD)?;
        if key.len() != 32 {
            return Err(io::Error::other("AES-256 needs a session key of 32 octets"));
        }
        let mode =
            if aead { Mode::V2(Ocb::start(key, &mut out)?) } else { Mode::V1(Cfb::start(key, &mut out)?) };
        Ok(EncryptedWriter { out, mode })
    }

    /// Writes what protects the content against changes; gives the inner writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        match self.mode {
            Mode::V1(cfb) => cfb.finish(&mut self.out)?,
            Mode::V2(ocb) => ocb.finish(&mut self.out)?,
        }
        self.out.finish()
    }
}

impl<W: Write> Write for EncryptedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.mode {
            Mode::V1(cfb) => cfb.write(bytes, &mut self.out)?,
            Mode::V2(ocb) => ocb.write(bytes, &mut self.out)?,
        }
        Ok(bytes.len())
    }

    /// Does nothing: what is written is authenticated at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// SEIPDv1 (RFC 9580 section 5.13.1): CFB, and SHA-1 over the plaintext at its end.
struct Cfb {
    cipher: CipherCtx,
    hash: Hasher,
    sealed: Vec<u8>,
}

impl Cfb {
    fn start(key: &SessionKey, out: &mut dyn Write) -> io::Result<Cfb> {
        out.write_all(&[1])?;
        let mut cipher = CipherCtx::new()?;
        cipher.encrypt_init(Some(Cipher::aes_256_cfb128()), Some(key), Some(&[0; BLOCK]))?;
        let mut cfb = Cfb { cipher, hash: Hasher::new(MessageDigest::sha1())?, sealed: Vec::new() };
        // Random octets stand for the IV; the last two come twice.
        let mut prefix = [0; BLOCK];
        openssl::rand::rand_bytes(&mut prefix)?;
        cfb.write(&prefix, out)?;
        let [.., before, last] = prefix;
        cfb.write(&[before, last], out)?;
        Ok(cfb)
    }

    fn write(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.hash.update(piece)?;
            self.encrypt(piece, out)?;
        }
        Ok(())
    }

    fn encrypt(&mut self, piece: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.sealed.clear();
        self.cipher.cipher_update_vec(piece, &mut self.sealed)?;
        out.write_all(&self.sealed)
    }

    /// Section 5.13.1: the header of the packet that holds the hash is hashed, too.
    fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        let header = [0xd3, 0x14];
        self.hash.update(&header)?;
        let digest = self.hash.finish()?;
        self.encrypt(&header, out)?;
        self.encrypt(&digest, out)
    }
}

/// SEIPDv2 (RFC 9580 section 5.13.2): chunks with a tag each, and one over their number.
struct Ocb {
    cipher: CipherCtx,
    associated: [u8; 5],
    iv: Zeroizing<[u8; NONCE - 8]>,
    chunks: u64,
    octets: u64,
    pending: Vec<u8>,
    sealed: Vec<u8>,
}

impl Ocb {
    fn start(key: &SessionKey, out: &mut dyn Write) -> io::Result<Ocb> {
        let mut salt = [0; 32];
        openssl::rand::rand_bytes(&mut salt)?;
        Ocb::with_salt(key, &salt, out)
    }

    fn with_salt(key: &SessionKey, salt: &[u8; 32], out: &mut dyn Write) -> io::Result<Ocb> {
        let associated = [0xc0 | SEIPD, 2, AES256, OCB, CHUNK_OCTET];
        let (_, parameters) = associated.split_at(1);
        out.write_all(parameters)?;
        out.write_all(salt)?;
        let (message_key, iv) = derive(key, salt, &associated)?;
        let mut cipher = CipherCtx::new()?;
        cipher.encrypt_init(Some(Cipher::aes_256_ocb()), None, None)?;
        cipher.set_iv_length(NONCE)?;
        cipher.encrypt_init(None, Some(&*message_key), Some(&[0; NONCE]))?;
        Ok(Ocb { cipher, associated, iv, chunks: 0, octets: 0, pending: Vec::new(), sealed: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut rest = bytes;
        if !self.pending.is_empty() {
            let Some((fill, after)) = rest.split_at_checked(CHUNK - self.pending.len()) else {
                self.pending.extend_from_slice(rest);
                return Ok(());
            };
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(fill);
            self.chunk(&pending, out)?;
            pending.clear();
            self.pending = pending;
            rest = after;
        }
        while let Some((chunk, after)) = rest.split_at_checked(CHUNK) {
            self.chunk(chunk, out)?;
            rest = after;
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    fn chunk(&mut self, plain: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.octets += plain.len() as u64;
        self.seal(plain, &[])?;
        out.write_all(&self.sealed)
    }

    /// One use of the cipher, with the nonce that comes next.
    fn seal(&mut self, plain: &[u8], more_associated: &[u8]) -> Result<(), ErrorStack> {
        let mut nonce = [0; NONCE];
        let (iv, index) = nonce.split_at_mut(NONCE - 8);
        iv.copy_from_slice(&*self.iv);
        index.copy_from_slice(&self.chunks.to_be_bytes());
        self.chunks += 1;
        self.cipher.encrypt_init(None, None, Some(&nonce))?;
        self.cipher.cipher_update(&self.associated, None)?;
        if !more_associated.is_empty() {
            self.cipher.cipher_update(more_associated, None)?;
        }
        self.sealed.clear();
        if !plain.is_empty() {
            self.cipher.cipher_update_vec(plain, &mut self.sealed)?;
        }
        self.cipher.cipher_final_vec(&mut self.sealed)?;
        let mut tag = [0; BLOCK];
        self.cipher.tag(&mut tag)?;
        self.sealed.extend_from_slice(&tag);
        Ok(())
    }

    fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.chunk(&pending, out)?;
        }
        self.seal(&[], &self.octets.to_be_bytes())?;
        out.write_all(&self.sealed)
    }
}

type Derived = (Zeroizing<[u8; 32]>, Zeroizing<[u8; NONCE - 8]>);

/// The message key and the start of every nonce.
fn derive(key: &SessionKey, salt: &[u8], info: &[u8]) -> Result<Derived, ErrorStack> {
    let mut hkdf = PkeyCtx::new_id(Id::HKDF)?;
    hkdf.derive_init()?;
    hkdf.set_hkdf_md(Md::sha256())?;
    hkdf.set_hkdf_key(key)?;
    hkdf.set_hkdf_salt(salt)?;
    hkdf.add_hkdf_info(info)?;
    let mut both = Zeroizing::new([0; 32 + NONCE - 8]);
    hkdf.derive(Some(&mut *both))?;
    let (mut message_key, mut iv) = (Zeroizing::new([0; 32]), Zeroizing::new([0; NONCE - 8]));
    let (first, second) = both.split_at(32);
    message_key.copy_from_slice(first);
    iv.copy_from_slice(second);
    Ok((message_key, iv))
}

#[cfg(test)]
mod tests;
