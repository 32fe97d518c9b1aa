//! The primitives alone, over bytes and buffers that are there already: no structures, no MIME, no keys.

use std::hint::black_box;

use base64_simd::Out;
use base64_simd::STANDARD;
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::sha::Sha256;

/// So much is worked on at once, as it fits into a processor's cache.
const PIECE: usize = 32 * 1024;
/// Bytes that make a line of base64.
const LINE: usize = 57;

/// AES-256-GCM, SHA-256 and base64 of some bytes.
pub(crate) struct Raw {
    plain: Vec<u8>,
    sealed: Vec<u8>,
    digits: Vec<u8>,
    text: Vec<u8>,
    unbroken: Vec<u8>,
    scratch: Vec<u8>,
    tag: [u8; 16],
    cipher: Cipher,
}

impl Raw {
    /// Over these bytes.
    pub(crate) fn new(plain: Vec<u8>) -> Raw {
        let length = plain.len();
        let mut raw = Raw {
            sealed: vec![0; length],
            digits: vec![0; LINE * 256 / 3 * 4],
            text: Vec::with_capacity(length.div_ceil(LINE) * 78),
            unbroken: vec![0; length.div_ceil(3) * 4],
            scratch: vec![0; length],
            plain,
            tag: [0; 16],
            cipher: Cipher::fetch(None, "AES-256-GCM", None).unwrap(),
        };
        raw.encrypt();
        let _ = STANDARD.encode(&raw.sealed, Out::from_slice(&mut raw.unbroken));
        raw
    }

    /// Encrypts, and encodes in lines.
    pub(crate) fn seal(&mut self) {
        self.encrypt();
        self.text.clear();
        for batch in self.sealed.chunks(LINE * 256) {
            for line in STANDARD.encode(batch, Out::from_slice(&mut self.digits)).chunks(76) {
                self.text.extend_from_slice(line);
                self.text.extend_from_slice(b"\r\n");
            }
        }
        black_box(&self.text);
    }

    /// Digests, encrypts and encodes.
    pub(crate) fn sign_and_seal(&mut self) {
        self.digest();
        self.seal();
    }

    /// Decodes, decrypts and digests. The base64 has no lines to take out.
    pub(crate) fn open(&mut self) {
        let decoded = STANDARD.decode(&self.unbroken, Out::from_slice(&mut self.sealed)).unwrap();
        let mut context = CipherCtx::new().unwrap();
        context.decrypt_init(Some(&self.cipher), Some(&[7; 32]), Some(&[0; 12])).unwrap();
        for (sealed, plain) in decoded.chunks(PIECE).zip(self.scratch.chunks_mut(PIECE)) {
            context.cipher_update(sealed, Some(plain)).unwrap();
        }
        context.set_tag(&self.tag).unwrap();
        context.cipher_final(&mut []).unwrap();
        self.digest();
    }

    fn encrypt(&mut self) {
        let mut context = CipherCtx::new().unwrap();
        context.encrypt_init(Some(&self.cipher), Some(&[7; 32]), Some(&[0; 12])).unwrap();
        for (plain, sealed) in self.plain.chunks(PIECE).zip(self.sealed.chunks_mut(PIECE)) {
            context.cipher_update(plain, Some(sealed)).unwrap();
        }
        context.cipher_final(&mut []).unwrap();
        context.tag(&mut self.tag).unwrap();
    }

    fn digest(&self) {
        let mut digest = Sha256::new();
        digest.update(&self.plain);
        black_box(digest.finish());
    }
}
