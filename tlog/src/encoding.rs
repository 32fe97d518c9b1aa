//! Numbers and hashes as the formats of C2SP write them: one way each, so that a text has one meaning.

use base64_simd::STANDARD;

use crate::Hash;

/// The standard Base64 with padding (RFC 4648 section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode_to_string(bytes)
}

/// Reads Base64; none if it is not the one encoding of these bytes.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode_to_vec(text).ok()
}

/// Reads a hash in Base64.
pub(crate) fn hash_from_base64(text: &str) -> Option<Hash> {
    if text.len() != 44 {
        return None;
    }
    from_base64(text)?.try_into().ok()
}

/// Reads an ASCII decimal number without sign and without leading zeros, at most 2^63 - 1: what a
/// signed number holds, as the other implementations have it.
pub(crate) fn from_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn one_way_to_write_a_number() {
        assert_eq!(from_decimal("0"), Some(0));
        assert_eq!(from_decimal("9223372036854775807"), Some(i64::MAX as u64));
        for wrong in ["", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "1_0", "٣", "9223372036854775808"] {
            assert_eq!(from_decimal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_way_to_write_bytes() {
        assert_eq!(from_base64("AA=="), Some(vec![0]));
        for wrong in ["AA", "AA=", "AB==", "AA==\n", " AA==", "A-==", "AA==AA=="] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "[A-Za-z0-9+/=]{0,24}") {
            if let Some(bytes) = from_base64(&text) {
                prop_assert_eq!(base64(&bytes), text);
            }
        }
    }
}
