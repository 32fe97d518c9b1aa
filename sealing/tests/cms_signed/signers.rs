//! Which certificate a signature is ascribed to.

use ::openssl::hash::MessageDigest;
use ::openssl::hash::hash;
use sealing::cms::SecretKey;
use sealing::cms::Signer;
use sealing::cms::sign_detached;

use crate::forge::*;
use crate::openssl::write_content;
use crate::pki::*;

const MALLORY: &str = "mallory@alpha.example";

#[test]
fn of_two_certificates_with_one_name_the_one_with_the_right_key_counts() {
    let ca = Ca::new();
    let key = Kind::P256.generate();
    let alice = SecretKey::new(ca.issue_with_serial(ALICE, &key, 7), key).unwrap();
    let other = ca.issue_with_serial(MALLORY, &Kind::P256.generate(), 7);
    let own = alice.certificate().der().to_vec();
    for certificates in [vec![own.clone(), other.der().to_vec()], vec![other.der().to_vec(), own]] {
        let forge = Forge { certificates, ..Forge::over(&alice, CONTENT) };
        assert_holds(&opaque(&forge.build(), &[]).unwrap(), alice.certificate());
    }
    // Alone, the other one is no signer; the right one is found among those that we know.
    let forge = Forge { certificates: vec![other.der().to_vec()], ..Forge::over(&alice, CONTENT) };
    let verified = opaque(&forge.build(), &[]).unwrap();
    assert_eq!(refusal(&verified), "the signature is not of this key over this content");
    assert_holds(&opaque(&forge.build(), &[alice.certificate().clone()]).unwrap(), alice.certificate());
}

#[test]
fn two_certificates_with_one_name_and_one_key_leave_the_signer_open() {
    let ca = Ca::new();
    let key = Kind::P256.generate();
    let mallory = ca.issue_with_serial(MALLORY, &key, 7);
    let alice = SecretKey::new(ca.issue_with_serial(ALICE, &key, 7), key).unwrap();
    let both = vec![alice.certificate().der().to_vec(), mallory.der().to_vec()];
    let forge = Forge { certificates: both.clone(), ..Forge::over(&alice, CONTENT) };
    let verified = opaque(&forge.build(), &[]).unwrap();
    assert_eq!(refusal(&verified), "the signer's name fits several certificates");
    assert!(verified.signers[0].certificate.is_none());
    // The same certificate twice is one.
    let twice =
        Forge { certificates: vec![both[0].clone(), both[0].clone()], ..Forge::over(&alice, CONTENT) };
    assert_holds(&opaque(&twice.build(), &[]).unwrap(), alice.certificate());
    // What we sign names the certificate by its digest (RFC 5035), which settles it.
    let signer = Signer::new(&alice, now());
    let signature = sign_detached(&signer, write_content).unwrap();
    assert_holds(&detached(&signature, CONTENT, &[]).unwrap(), alice.certificate());
    let swapped = replace(&signature, alice.certificate().der(), mallory.der());
    let verified = detached(&swapped, CONTENT, &[]).unwrap();
    assert_eq!(refusal(&verified), "the signer meant another certificate");
}

/// Puts another certificate of about the same length in the place of one, and corrects all lengths.
fn replace(signature: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = signature.windows(old.len()).position(|window| window == old).unwrap();
    // ContentInfo, [0], SignedData: all have two octets of length; the set of certificates, too.
    let mut out = [&signature[..at], new, &signature[at + old.len()..]].concat();
    let grown = new.len() as i64 - old.len() as i64;
    let mut at = 0;
    let header = |out: &mut Vec<u8>, at: usize| {
        assert_eq!(out[at + 1], 0x82, "a length in two octets");
        let length = i64::from(u16::from_be_bytes([out[at + 2], out[at + 3]])) + grown;
        out[at + 2..at + 4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    };
    header(&mut out, at);
    at += 4 + 2 + SIGNED_DATA.len();
    header(&mut out, at);
    header(&mut out, at + 4);
    let certificates = out.windows(4).position(|window| {
        window[0] == 0xa0 && window[1] == 0x82 && {
            i64::from(u16::from_be_bytes([window[2], window[3]])) == old.len() as i64
        }
    });
    header(&mut out, certificates.unwrap());
    out
}

#[test]
fn a_certificate_whose_digest_is_signed_with_sha1_is_checked_too() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let named = |digest: &[u8]| {
        attribute(SIGNING_CERTIFICATE, &[&sequence(&[&sequence(&[&sequence(&[&tlv(4, &[digest])])])])])
    };
    let right = hash(MessageDigest::sha1(), alice.certificate().der()).unwrap();
    for (digest, holds) in [(&right[..], true), (&[0; 20][..], false)] {
        let attributes = vec![content_type(), message_digest(CONTENT), named(digest)];
        let forge = Forge { attributes: Some(attributes), ..Forge::over(&alice, CONTENT) };
        let verified = opaque(&forge.build(), &[]).unwrap();
        assert_eq!(verified.signers[0].holds.is_ok(), holds);
    }
}

#[test]
fn a_key_identifier_names_a_certificate() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let sid = tlv(0x80, &[alice.certificate().subject_key_id().unwrap()]);
    let forge = Forge { sid, ..Forge::over(&alice, CONTENT) };
    assert_holds(&opaque(&forge.build(), &[]).unwrap(), alice.certificate());
    let forge = Forge { sid: tlv(0x80, &[b"nobody"]), ..Forge::over(&alice, CONTENT) };
    assert_eq!(refusal(&opaque(&forge.build(), &[]).unwrap()), "the signer's certificate is not known");
}

#[test]
fn a_substituted_certificate_does_not_make_another_signer() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let mallory = ca.identity(MALLORY, Kind::P256);
    // Mallory's name on Alice's signature.
    let forge = Forge {
        sid: issuer_serial(&mallory),
        certificates: vec![mallory.certificate().der().to_vec()],
        ..Forge::over(&alice, CONTENT)
    };
    let verified = opaque(&forge.build(), &[alice.certificate().clone()]).unwrap();
    assert_eq!(refusal(&verified), "the signature is not of this key over this content");
    // Keys of another kind.
    for kind in [Kind::Rsa(2048), Kind::Ed25519] {
        let other = ca.identity(MALLORY, kind);
        let forge = Forge {
            sid: issuer_serial(&other),
            certificates: vec![other.certificate().der().to_vec()],
            ..Forge::over(&alice, CONTENT)
        };
        let why = refusal(&opaque(&forge.build(), &[]).unwrap());
        assert_eq!(why, "the key of the certificate is of another kind than the signature");
    }
}

#[test]
fn a_weak_rsa_key_does_not_hold() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::Rsa(1024));
    let why = refusal(&opaque(&Forge::over(&alice, CONTENT).build(), &[]).unwrap());
    assert_eq!(why, "an RSA key of 1024 bits is too weak");
}

#[test]
fn a_certificate_that_cannot_be_read_is_refused_with_its_reason() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let own = alice.certificate().der().to_vec();
    let forge = Forge { certificates: vec![own, sequence(&[&[2, 1, 1]])], ..Forge::over(&alice, CONTENT) };
    let verified = opaque(&forge.build(), &[]).unwrap();
    assert_holds(&verified, alice.certificate());
    assert_eq!((verified.certificates.len(), verified.refused_certificates.len()), (1, 1));
    assert!(!verified.refused_certificates[0].is_empty());
}
