//! Object identifiers, as the octets of their DER content.

/// Content types (RFC 5652, RFC 5083, RFC 3274).
pub(crate) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
pub(crate) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
pub(crate) const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3];
pub(crate) const AUTH_ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 23];
pub(crate) const COMPRESSED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 9];

/// Compression (RFC 3274).
pub(crate) const ZLIB: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 8];

/// RSA (RFC 8017).
pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
pub(crate) const RSA_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
pub(crate) const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
pub(crate) const P_SPECIFIED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 9];

/// Digests.
pub(crate) const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
pub(crate) const SHA224: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4];
pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
pub(crate) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
pub(crate) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

/// Public keys for key agreement (RFC 5480, RFC 8410).
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
pub(crate) const X25519: &[u8] = &[0x2b, 0x65, 0x6e];

/// Key agreement with the key derivation of X9.63 (RFC 5753 section 7.1.4).
pub(crate) const STD_DH_SHA1: &[u8] = &[0x2b, 0x81, 5, 0x10, 0x86, 0x48, 0x3f, 0, 2];
pub(crate) const STD_DH_SHA224: &[u8] = &[0x2b, 0x81, 4, 1, 11, 0];
pub(crate) const STD_DH_SHA256: &[u8] = &[0x2b, 0x81, 4, 1, 11, 1];
pub(crate) const STD_DH_SHA384: &[u8] = &[0x2b, 0x81, 4, 1, 11, 2];
pub(crate) const STD_DH_SHA512: &[u8] = &[0x2b, 0x81, 4, 1, 11, 3];
pub(crate) const COFACTOR_DH_SHA1: &[u8] = &[0x2b, 0x81, 5, 0x10, 0x86, 0x48, 0x3f, 0, 3];
pub(crate) const COFACTOR_DH_SHA224: &[u8] = &[0x2b, 0x81, 4, 1, 14, 0];
pub(crate) const COFACTOR_DH_SHA256: &[u8] = &[0x2b, 0x81, 4, 1, 14, 1];
pub(crate) const COFACTOR_DH_SHA384: &[u8] = &[0x2b, 0x81, 4, 1, 14, 2];
pub(crate) const COFACTOR_DH_SHA512: &[u8] = &[0x2b, 0x81, 4, 1, 14, 3];

/// Key agreement with HKDF (RFC 8418 section 3).
pub(crate) const STD_DH_HKDF_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 19];
pub(crate) const STD_DH_HKDF_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 20];
pub(crate) const STD_DH_HKDF_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 21];

/// Symmetric ciphers and key wraps.
pub(crate) const AES128_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2];
pub(crate) const AES128_WRAP: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 5];
pub(crate) const AES128_GCM: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 6];
pub(crate) const AES192_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 22];
pub(crate) const AES192_WRAP: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 25];
pub(crate) const AES192_GCM: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 26];
pub(crate) const AES256_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];
pub(crate) const AES256_WRAP: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 45];
pub(crate) const AES256_GCM: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 46];
pub(crate) const DES_EDE3_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7];

/// The identifier as people write it, for reasons: `1.2.840.113549.3.2`.
pub(crate) fn dotted(octets: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0_u64;
    for octet in octets.iter().take(LONGEST_SHOWN) {
        arc = (arc << 7) | u64::from(octet & 0x7f);
        if octet & 0x80 != 0 {
            continue;
        }
        match arcs.is_empty() {
            true => arcs.extend([(arc / 40).min(2), arc - 40 * (arc / 40).min(2)]),
            false => arcs.push(arc),
        }
        arc = 0;
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// No identifier in use is longer.
const LONGEST_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_what_their_standards_say() {
        for (octets, text) in [
            (AUTH_ENVELOPED_DATA, "1.2.840.113549.1.9.16.1.23"),
            (COMPRESSED_DATA, "1.2.840.113549.1.9.16.1.9"),
            (ZLIB, "1.2.840.113549.1.9.16.3.8"),
            (RSA_OAEP, "1.2.840.113549.1.1.7"),
            (STD_DH_SHA1, "1.3.133.16.840.63.0.2"),
            (STD_DH_SHA384, "1.3.132.1.11.2"),
            (COFACTOR_DH_SHA512, "1.3.132.1.14.3"),
            (STD_DH_HKDF_SHA256, "1.2.840.113549.1.9.16.3.19"),
            (AES256_GCM, "2.16.840.1.101.3.4.1.46"),
            (AES256_WRAP, "2.16.840.1.101.3.4.1.45"),
            (DES_EDE3_CBC, "1.2.840.113549.3.7"),
            (SHA1, "1.3.14.3.2.26"),
            (EC_PUBLIC_KEY, "1.2.840.10045.2.1"),
            (X25519, "1.3.101.110"),
        ] {
            assert_eq!(dotted(octets), text);
        }
        assert_eq!(dotted(&[0xff; 100]), "");
    }
}
