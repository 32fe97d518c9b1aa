//! Object identifiers of X.509.

use der::asn1::ObjectIdentifier;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

pub(crate) const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
pub(crate) const PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");
pub(crate) const EC: ObjectIdentifier = oid("1.2.840.10045.2.1");
pub(crate) const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
pub(crate) const P384: ObjectIdentifier = oid("1.3.132.0.34");
pub(crate) const P521: ObjectIdentifier = oid("1.3.132.0.35");
pub(crate) const ED25519: ObjectIdentifier = oid("1.3.101.112");
pub(crate) const X25519: ObjectIdentifier = oid("1.3.101.110");
pub(crate) const EMAIL_PROTECTION: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.4");
pub(crate) const ANY_USAGE: ObjectIdentifier = oid("2.5.29.37.0");
pub(crate) const CRL_NUMBER: ObjectIdentifier = oid("2.5.29.20");
pub(crate) const CRL_REASON: ObjectIdentifier = oid("2.5.29.21");
/// id-pkix-ocsp-nonce (RFC 6960, 4.4.1).
pub(crate) const OCSP_NONCE: ObjectIdentifier = oid("1.3.6.1.5.5.7.48.1.2");

/// SHA-256, SHA-384, SHA-512.
pub(crate) const STRONG_DIGESTS: [ObjectIdentifier; 3] =
    [oid("2.16.840.1.101.3.4.2.1"), oid("2.16.840.1.101.3.4.2.2"), oid("2.16.840.1.101.3.4.2.3")];

/// RSA PKCS#1 v1.5 and ECDSA with SHA-256, SHA-384, SHA-512; Ed25519, Ed448.
pub(crate) const STRONG_SIGNATURES: [ObjectIdentifier; 8] = [
    oid("1.2.840.113549.1.1.11"),
    oid("1.2.840.113549.1.1.12"),
    oid("1.2.840.113549.1.1.13"),
    oid("1.2.840.10045.4.3.2"),
    oid("1.2.840.10045.4.3.3"),
    oid("1.2.840.10045.4.3.4"),
    oid("1.3.101.112"),
    oid("1.3.101.113"),
];
