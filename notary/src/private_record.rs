//! The private half of a record: encrypted, beside the log, and destructible.
//!
//! Every record has its own random AES-256-GCM key, and that key lies wrapped under the key of the
//! run that wrote it. Whoever destroys the wrapped key destroys the record, backups of the other
//! file included. The additional data binds both to the log, the leaf's index and its transaction:
//! a row moved to another leaf does not open.

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use zeroize::Zeroizing;

use crate::cbor::Encoder;
use crate::cbor::Value;
use crate::query::Opening;

const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// A record key encrypts one message only, so that its nonce may be fixed.
const ONLY_NONCE: [u8; NONCE] = [0; NONCE];

/// The leaf a private record belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The log.
    pub(crate) origin: &'a str,
    /// The leaf's index.
    pub(crate) seq: u64,
    /// The leaf's transaction.
    pub(crate) txid: &'a str,
}

impl Place<'_> {
    fn bind(&self, what: &str) -> Vec<u8> {
        let mut out = Encoder::with_capacity(128);
        out.array(4);
        out.text(what);
        out.text(self.origin);
        out.integer(self.seq.into());
        out.text(self.txid);
        out.finish()
    }

    fn bind_record(&self) -> Vec<u8> {
        self.bind("gatepost private record v1")
    }

    fn bind_key(&self) -> Vec<u8> {
        self.bind("gatepost record key v1")
    }
}

/// What lies on disk of a private record.
pub(crate) struct Sealed {
    /// Encrypted record, then its tag.
    pub(crate) ciphertext: Vec<u8>,
    /// Nonce, encrypted record key, tag.
    pub(crate) wrapped: Vec<u8>,
}

/// Encrypts the private records of one run.
pub(crate) struct Sealer {
    record: CipherCtx,
    wrapping: CipherCtx,
}

impl Sealer {
    /// A sealer that wraps under the key of its run.
    pub(crate) fn new(wrapping_key: &[u8; KEY]) -> Result<Sealer, ErrorStack> {
        let mut record = CipherCtx::new()?;
        record.encrypt_init(Some(Cipher::aes_256_gcm()), None, None)?;
        let mut wrapping = CipherCtx::new()?;
        wrapping.encrypt_init(Some(Cipher::aes_256_gcm()), Some(wrapping_key), None)?;
        Ok(Sealer { record, wrapping })
    }

    /// Encrypts under a fresh key.
    pub(crate) fn seal(&mut self, place: Place<'_>, plaintext: &[u8]) -> Result<Sealed, ErrorStack> {
        let mut random = Zeroizing::new([0; KEY + NONCE]);
        rand_bytes(&mut *random)?;
        let (key, nonce) = random.split_at(KEY);
        self.record.encrypt_init(None, Some(key), Some(&ONLY_NONCE))?;
        let mut ciphertext = Vec::with_capacity(plaintext.len() + TAG);
        encrypt(&mut self.record, &place.bind_record(), plaintext, &mut ciphertext)?;
        self.wrapping.encrypt_init(None, None, Some(nonce))?;
        let mut wrapped = Vec::with_capacity(NONCE + KEY + TAG);
        wrapped.extend_from_slice(nonce);
        encrypt(&mut self.wrapping, &place.bind_key(), key, &mut wrapped)?;
        Ok(Sealed { ciphertext, wrapped })
    }
}

/// Decrypts a private record; nothing if key, place or bytes are not the right ones.
pub(crate) fn unseal(
    wrapping_key: &[u8; KEY],
    place: Place<'_>,
    ciphertext: &[u8],
    wrapped: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
    let Some((nonce, wrapped)) = wrapped.split_at_checked(NONCE) else { return Ok(None) };
    let Some(key) = decrypt(wrapping_key, nonce, &place.bind_key(), wrapped)? else { return Ok(None) };
    if key.len() != KEY {
        return Ok(None);
    }
    decrypt(&key, &ONLY_NONCE, &place.bind_record(), ciphertext)
}

fn encrypt(ctx: &mut CipherCtx, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorStack> {
    ctx.cipher_update(aad, None)?;
    ctx.cipher_update_vec(plaintext, out)?;
    ctx.cipher_final_vec(out)?;
    let mut tag = [0; TAG];
    ctx.tag(&mut tag)?;
    out.extend_from_slice(&tag);
    Ok(())
}

fn decrypt(
    key: &[u8],
    nonce: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorStack> {
    let Some((ciphertext, tag)) = sealed.split_last_chunk::<TAG>() else { return Ok(None) };
    let mut ctx = CipherCtx::new()?;
    ctx.decrypt_init(Some(Cipher::aes_256_gcm()), Some(key), Some(nonce))?;
    ctx.set_tag(tag)?;
    ctx.cipher_update(aad, None)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(ciphertext.len() + TAG));
    ctx.cipher_update_vec(ciphertext, &mut plaintext)?;
    // The final call compares the tag and fails without a reason when it differs.
    Ok(ctx.cipher_final_vec(&mut plaintext).is_ok().then_some(plaintext))
}

/// What a private record holds: the committed values with their salts, and the caller's value.
#[derive(Debug, PartialEq)]
pub(crate) struct PrivateRecord {
    /// In the order of the leaf's commitments.
    pub(crate) openings: Vec<Opening>,
    /// The caller's private value.
    pub(crate) value: serde_json::Value,
}

impl PrivateRecord {
    /// The bytes that are encrypted. The caller's value stands in them as JSON text: it is never
    /// hashed for itself, so its form need not be unique.
    pub(crate) fn encode(openings: &[Opening], json: &str) -> Zeroizing<Vec<u8>> {
        let sizes = openings.iter().map(|opening| opening.name.len() + opening.value.len() + 64);
        let mut out = Encoder::with_capacity(64 + json.len() + sizes.sum::<usize>());
        out.map(2);
        out.text("private");
        out.text(json);
        out.text("committed");
        out.array(openings.len());
        for opening in openings {
            out.array(3);
            out.text(&opening.name);
            out.bytes(&opening.salt);
            out.bytes(&opening.value);
        }
        Zeroizing::new(out.finish())
    }

    /// Reads what [`PrivateRecord::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<PrivateRecord> {
        let Value::Map(pairs) = Value::decode(bytes)? else { return None };
        let [(private, Value::Text(json)), (committed, Value::Array(items))] =
            <[(String, Value); 2]>::try_from(pairs).ok()?
        else {
            return None;
        };
        if private != "private" || committed != "committed" {
            return None;
        }
        let openings = items.into_iter().map(opening).collect::<Option<_>>()?;
        Some(PrivateRecord { openings, value: serde_json::from_str(&json).ok()? })
    }
}

fn opening(item: Value) -> Option<Opening> {
    let Value::Array(parts) = item else { return None };
    let [Value::Text(name), Value::Bytes(salt), Value::Bytes(value)] = <[Value; 3]>::try_from(parts).ok()?
    else {
        return None;
    };
    Some(Opening { name, salt: salt.try_into().ok()?, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    const PLACE: Place<'static> = Place { origin: "mx.example", seq: 7, txid: "t-1" };

    #[test]
    fn a_record_opens_only_at_its_own_place_and_under_its_own_key() {
        let mut sealer = Sealer::new(&[5; 32]).unwrap();
        for plaintext in [&b""[..], b"secret", &[9; 5000]] {
            let sealed = sealer.seal(PLACE, plaintext).unwrap();
            let open =
                |key: u8, place| unseal(&[key; 32], place, &sealed.ciphertext, &sealed.wrapped).unwrap();
            assert_eq!(open(5, PLACE).unwrap().as_slice(), plaintext);
            assert!(open(6, PLACE).is_none());
            assert!(open(5, Place { seq: 8, ..PLACE }).is_none());
            assert!(open(5, Place { txid: "t-2", ..PLACE }).is_none());
            assert!(open(5, Place { origin: "other", ..PLACE }).is_none());
        }
    }

    #[test]
    fn any_changed_byte_closes_a_record() {
        let sealed = Sealer::new(&[5; 32]).unwrap().seal(PLACE, b"secret").unwrap();
        for at in 0..sealed.ciphertext.len() {
            let mut bytes = sealed.ciphertext.clone();
            bytes[at] ^= 1;
            assert!(unseal(&[5; 32], PLACE, &bytes, &sealed.wrapped).unwrap().is_none());
            assert!(unseal(&[5; 32], PLACE, &sealed.ciphertext[..at], &sealed.wrapped).unwrap().is_none());
        }
        for at in 0..sealed.wrapped.len() {
            let mut bytes = sealed.wrapped.clone();
            bytes[at] ^= 1;
            assert!(unseal(&[5; 32], PLACE, &sealed.ciphertext, &bytes).unwrap().is_none());
            assert!(unseal(&[5; 32], PLACE, &sealed.ciphertext, &sealed.wrapped[..at]).unwrap().is_none());
        }
    }

    #[test]
    fn no_two_records_share_a_key_or_nonce() {
        let mut sealer = Sealer::new(&[5; 32]).unwrap();
        let (a, b) = (sealer.seal(PLACE, b"same").unwrap(), sealer.seal(PLACE, b"same").unwrap());
        assert_ne!(a.ciphertext, b.ciphertext);
        assert_ne!(a.wrapped[..12], b.wrapped[..12]);
    }

    #[test]
    fn the_callers_value_comes_back_unchanged() {
        let record = PrivateRecord {
            openings: vec![Opening { name: "rcpt".into(), salt: [3; 32], value: vec![0xff, 0] }],
            value: json!({"subject": "caf\u{e9}", "score": 0.25, "none": null}),
        };
        let encoded = PrivateRecord::encode(&record.openings, &record.value.to_string());
        assert_eq!(PrivateRecord::decode(&encoded), Some(record));
        assert_eq!(PrivateRecord::decode(b"\xa0"), None);
    }
}
