//! Commitments: a leaf fixes a value without showing it.
//!
//! HMAC-SHA256(salt, value), each value under its own random salt. An unsalted hash of an address
//! would be as good as the address, for anybody can hash a guess.

use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use sha2::Sha256;

use crate::leaf::Hash;

/// HMAC-SHA256 (RFC 2104) over the parts one after the other.
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Hash {
    // A key of 32 bytes is shorter than the block of 64 that HMAC pads keys to.
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    zeroize::Zeroize::zeroize(&mut block);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// What the leaf holds of a value.
pub(crate) fn commit(salt: &[u8; 32], value: &[u8]) -> Hash {
    hmac(salt, &[value])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 section 4.2 has a key of 20 bytes 0x0b, which HMAC pads with zeros.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(crate::hex(&hmac(&key, &[b"Hi ", b"There"])), expected);
    }

    #[test]
    fn equal_values_under_other_salts_look_unrelated() {
        assert_ne!(commit(&[1; 32], b"bob@beta.example"), commit(&[2; 32], b"bob@beta.example"));
    }
}
