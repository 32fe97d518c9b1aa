//! Object identifiers of signed data, as the content octets of their encoding.

pub(crate) use crate::cms::oid::*;

/// id-contentType, RFC 5652 section 11.1.
pub(crate) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
/// id-messageDigest, RFC 5652 section 11.2.
pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
/// id-signingTime, RFC 5652 section 11.3.
pub(crate) const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];
/// smimeCapabilities, RFC 8551 section 2.5.2.
pub(crate) const CAPABILITIES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 15];
/// id-aa-encrypKeyPref, RFC 8551 section 2.5.3.
pub(crate) const ENCRYPTION_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 11];
/// id-aa-mlExpandHistory, RFC 2634 section 4.4.
pub(crate) const EXPANSION_HISTORY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 3];
/// id-aa-CMSAlgorithmProtection, RFC 6211 section 2.
pub(crate) const ALGORITHM_PROTECTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 52];
/// id-aa-signingCertificate, RFC 5035 section 5.
pub(crate) const SIGNING_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 12];
/// id-aa-signingCertificateV2, RFC 5035 section 3.
pub(crate) const SIGNING_CERTIFICATE_V2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 47];
/// id-aa-signatureType, RFC 3183 section 3.1.
pub(crate) const SIGNATURE_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 28];
/// The arc of the signature types, RFC 3183 section 3.1; one more octet follows.
pub(crate) const SIGNATURE_TYPES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 9];

/// RFC 1321.
pub(crate) const MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5];

/// id-RSASSA-PSS, RFC 4056 section 2.
pub(crate) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
/// sha256WithRSAEncryption, RFC 5754 section 3.2.
pub(crate) const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
/// sha384WithRSAEncryption, RFC 5754 section 3.2.
pub(crate) const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
/// sha512WithRSAEncryption, RFC 5754 section 3.2.
pub(crate) const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
/// ecdsa-with-SHA256, RFC 5754 section 3.3.
pub(crate) const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// ecdsa-with-SHA384, RFC 5754 section 3.3.
pub(crate) const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
/// ecdsa-with-SHA512, RFC 5754 section 3.3.
pub(crate) const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
/// id-Ed25519, RFC 8410 section 3.
pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_what_their_standards_say() {
        for (octets, text) in [
            (CONTENT_TYPE, "1.2.840.113549.1.9.3"),
            (MESSAGE_DIGEST, "1.2.840.113549.1.9.4"),
            (SIGNING_TIME, "1.2.840.113549.1.9.5"),
            (CAPABILITIES, "1.2.840.113549.1.9.15"),
            (ENCRYPTION_KEY, "1.2.840.113549.1.9.16.2.11"),
            (EXPANSION_HISTORY, "1.2.840.113549.1.9.16.2.3"),
            (ALGORITHM_PROTECTION, "1.2.840.113549.1.9.52"),
            (SIGNING_CERTIFICATE, "1.2.840.113549.1.9.16.2.12"),
            (SIGNING_CERTIFICATE_V2, "1.2.840.113549.1.9.16.2.47"),
            (SIGNATURE_TYPE, "1.2.840.113549.1.9.16.2.28"),
            (SIGNATURE_TYPES, "1.2.840.113549.1.9.16.9"),
            (MD5, "1.2.840.113549.2.5"),
            (RSA_PSS, "1.2.840.113549.1.1.10"),
            (RSA_SHA256, "1.2.840.113549.1.1.11"),
            (RSA_SHA384, "1.2.840.113549.1.1.12"),
            (RSA_SHA512, "1.2.840.113549.1.1.13"),
            (ECDSA_SHA256, "1.2.840.10045.4.3.2"),
            (ECDSA_SHA384, "1.2.840.10045.4.3.3"),
            (ECDSA_SHA512, "1.2.840.10045.4.3.4"),
            (ED25519, "1.3.101.112"),
        ] {
            assert_eq!(dotted(octets), text);
        }
    }
}
