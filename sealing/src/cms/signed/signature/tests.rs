use openssl::ec::EcGroup;
use openssl::ec::EcKey;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use super::*;

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

fn ec(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

fn identified(scheme: Scheme, digest: Digest) -> Result<Scheme, Flaw> {
    let encoded = scheme.algorithm(digest);
    Scheme::identify(&Algorithm::read(&mut reader(&encoded)).unwrap(), digest)
}

#[test]
fn every_scheme_signs_verifies_and_is_recognised() {
    let keys = [
        (rsa(2048), false),
        (rsa(2048), true),
        (ec(Nid::X9_62_PRIME256V1), false),
        (ec(Nid::SECP384R1), false),
        (ec(Nid::SECP521R1), false),
        (PKey::generate_ed25519().unwrap(), false),
    ];
    for (key, pss) in &keys {
        let (digest, scheme) = preferred(key, *pss).unwrap();
        assert_eq!(identified(scheme, digest), Ok(scheme));
        let signature = scheme.sign(key, digest, b"octets").unwrap();
        assert_eq!(scheme.verify(key, digest, Signed::Attributes(b"octets"), &signature), Ok(()));
        assert!(scheme.verify(key, digest, Signed::Attributes(b"octetz"), &signature).is_err());
        assert!(scheme.verify(key, digest, Signed::Attributes(b"octets"), &signature[1..]).is_err());
        assert!(scheme.verify(key, digest, Signed::Attributes(b"octets"), b"").is_err());
        let value = digest.of(b"octets").unwrap();
        let over_content =
            scheme.verify(key, digest, Signed::Content { digest: &value, whole: None }, &signature);
        assert_eq!(over_content.is_ok(), scheme != Scheme::Ed25519);
        for (other, _) in &keys {
            let verdict = scheme.verify(other, digest, Signed::Attributes(b"octets"), &signature);
            assert_eq!(verdict.is_ok(), other.public_eq(key), "{scheme:?} under another key");
        }
    }
}

#[test]
fn a_signature_does_not_pass_as_one_of_another_scheme() {
    let key = rsa(2048);
    let pss = Scheme::RsaPss { mask: Digest::Sha256, salt: 32 };
    let signature = pss.sign(&key, Digest::Sha256, b"octets").unwrap();
    let signed = Signed::Attributes(b"octets");
    assert!(Scheme::RsaPkcs1.verify(&key, Digest::Sha256, signed, &signature).is_err());
    let other_salt = Scheme::RsaPss { mask: Digest::Sha256, salt: 20 };
    assert!(other_salt.verify(&key, Digest::Sha256, signed, &signature).is_err());
    let other_mask = Scheme::RsaPss { mask: Digest::Sha512, salt: 32 };
    assert!(other_mask.verify(&key, Digest::Sha256, signed, &signature).is_err());
}

#[test]
fn weak_keys_digests_and_curves_are_refused() {
    let key = rsa(1024);
    let signature = Scheme::RsaPkcs1.sign(&key, Digest::Sha256, b"octets").unwrap();
    let verdict = Scheme::RsaPkcs1.verify(&key, Digest::Sha256, Signed::Attributes(b"octets"), &signature);
    assert_eq!(verdict, Err("an RSA key of 1024 bits is too weak".into()));

    let key = ec(Nid::SECP224R1);
    assert!(preferred(&key, false).is_none());
    let signature = Scheme::Ecdsa.sign(&key, Digest::Sha256, b"octets").unwrap();
    let verdict = Scheme::Ecdsa.verify(&key, Digest::Sha256, Signed::Attributes(b"octets"), &signature);
    assert!(verdict.unwrap_err().contains("curve"));

    // Without parameters RSA-PSS means SHA-1 (RFC 4055 section 3.1).
    for parameters in [None, Some(sequence(&[]))] {
        let algorithm = Algorithm { oid: oid::RSA_PSS.to_vec(), parameters };
        assert_eq!(Scheme::identify(&algorithm, Digest::Sha256), Err("SHA-1 is too weak".into()));
    }
}

#[test]
fn an_algorithm_that_names_another_digest_is_refused() {
    for scheme in [Scheme::Ecdsa, Scheme::RsaPss { mask: Digest::Sha512, salt: 64 }] {
        let encoded = scheme.algorithm(Digest::Sha512);
        let algorithm = Algorithm::read(&mut reader(&encoded)).unwrap();
        assert!(Scheme::identify(&algorithm, Digest::Sha256).unwrap_err().why.contains("another digest"));
        assert_eq!(Scheme::identify(&algorithm, Digest::Sha512), Ok(scheme));
    }
}

#[test]
fn salts_of_every_length_are_written_as_integers() {
    for salt in [0, 20, 32, 127, 128, 255, 256, 512] {
        let scheme = Scheme::RsaPss { mask: Digest::Sha384, salt };
        assert_eq!(identified(scheme, Digest::Sha384), Ok(scheme));
    }
    let scheme = Scheme::RsaPss { mask: Digest::Sha384, salt: 513 };
    assert!(identified(scheme, Digest::Sha384).is_err());
}
