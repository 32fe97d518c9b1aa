use std::io::Write;

use sequoia_openpgp::Profile;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::packet::Unknown;
use sequoia_openpgp::packet::UserAttribute;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::serialize::Serialize;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::serialize::stream;
use sequoia_openpgp::types::CompressionAlgorithm;
use sequoia_openpgp::types::KeyFlags;

use super::*;
use crate::forge::Forge;
use crate::forge::NOW;

fn encryption() -> KeyFlags {
    KeyFlags::empty().set_transport_encryption()
}

#[test]
fn armored_and_binary_keyrings_give_all_their_certificates() {
    let certs: Vec<Cert> = (0..3).map(|_| Forge::new(NOW).user_id("bob@beta.example").cert()).collect();
    let binary: Vec<u8> = certs.iter().flat_map(|cert| cert.to_vec().unwrap()).collect();
    let mut armored = b"Here are our keys:\r\n\r\n".to_vec();
    for cert in &certs {
        cert.armored().serialize(&mut armored).unwrap();
        armored.extend_from_slice(b"\nand:\n");
    }
    let fingerprints: Vec<_> = certs.iter().map(Cert::fingerprint).collect();
    for input in [binary, armored] {
        let read = read_certificates(&input).unwrap();
        assert_eq!(read.iter().map(Cert::fingerprint).collect::<Vec<_>>(), fingerprints);
    }
}

#[test]
fn what_the_holder_did_not_sign_is_dropped() {
    let third = Forge::new(NOW);
    let forge = Forge::new(NOW).user_id("bob@beta.example");
    let bob = UserID::from("bob@beta.example");
    let mut packets = forge;
    for _ in 0..50 {
        let certification =
            bob.certify(&mut third.signer(), &packets_cert(&packets), None, None, None).unwrap();
        packets = packets.packet(certification);
    }
    let with_image = packets
        .packet(UserAttribute::from(vec![1, 2, 3]))
        .packet(Unknown::new(Tag::Private(60), sequoia_openpgp::anyhow::anyhow!("test")))
        .foreign_user_id("ceo@beta.example")
        .subkey(encryption(), NOW);
    let certs = read_certificates(&with_image.bytes()).unwrap();
    let cert = &certs[0];
    assert_eq!(cert.userids().count(), 1);
    assert_eq!(cert.user_attributes().count(), 0);
    assert_eq!(cert.unknowns().count(), 0);
    assert_eq!(cert.keys().subkeys().count(), 1);
    assert_eq!(cert.userids().next().unwrap().certifications().count(), 0);
    assert!(cert.to_vec().unwrap().len() < 1000);
}

fn packets_cert(forge: &Forge) -> Cert {
    Cert::from_bytes(&forge.bytes()).unwrap()
}

#[test]
fn a_thousand_user_ids_or_subkeys_are_refused_with_the_limit() {
    let mut many = Forge::new(NOW);
    for number in 0..101 {
        many = many.foreign_user_id(&format!("u{number}@beta.example"));
    }
    let error = read_certificates(&many.bytes()).unwrap_err();
    assert_eq!(error.to_string(), "User IDs: 101, at most 100 are accepted");

    let copies = Forge::new(NOW).user_id("bob@beta.example").subkey(encryption(), NOW).repeat(1000);
    let error = read_certificates(&copies.bytes()).unwrap_err();
    assert!(matches!(error, IntakeError::Limit { what: "subkeys", .. }), "{error}");

    let long = Forge::new(NOW).user_id(&format!("{} <bob@beta.example>", "x".repeat(1100)));
    assert!(matches!(read_certificates(&long.bytes()), Err(IntakeError::Limit { .. })));
    assert!(matches!(read_certificates(&vec![0x99; (1 << 20) + 1]), Err(IntakeError::Limit { .. })));
}

#[test]
fn a_duplicated_subkey_counts_once() {
    let copies = Forge::new(NOW).user_id("bob@beta.example").subkey(encryption(), NOW).repeat(20);
    let certs = read_certificates(&copies.bytes()).unwrap();
    assert_eq!(certs[0].keys().subkeys().count(), 1);
}

#[test]
fn secret_keys_are_refused_by_name_and_can_be_split_off() {
    let (cert, _) = CertBuilder::general_purpose(Some("bob@beta.example")).generate().unwrap();
    let (other, _) = CertBuilder::general_purpose(Some("eve@beta.example")).generate().unwrap();
    let mut secret = cert.as_tsk().armored().to_vec().unwrap();
    assert!(matches!(read_certificates(&secret), Err(IntakeError::Secret)));
    other.armored().serialize(&mut secret).unwrap();
    assert!(matches!(read_certificates(&secret), Err(IntakeError::Secret)));
    let (public, secrets) = split_secrets(&secret).unwrap();
    assert_eq!(public.len(), 2);
    assert!(public.iter().all(|cert| !cert.is_tsk()));
    assert_eq!(secrets.iter().map(Cert::fingerprint).collect::<Vec<_>>(), [cert.fingerprint()]);
}

#[test]
fn a_compressed_bomb_is_not_unpacked() {
    let mut bomb = Vec::new();
    let message = stream::Message::new(&mut bomb);
    let message = stream::Compressor::new(message).algo(CompressionAlgorithm::Zlib).build().unwrap();
    let mut message = stream::LiteralWriter::new(message).build().unwrap();
    for _ in 0..100 {
        message.write_all(&[0; 1 << 20]).unwrap();
    }
    message.finalize().unwrap();
    assert!(bomb.len() < MAX_BYTES);
    let error = read_certificates(&bomb).unwrap_err();
    assert!(matches!(error, IntakeError::NotACertificate(Tag::CompressedData)), "{error}");
}

#[test]
fn input_that_is_no_certificate_is_refused_and_never_panics() {
    let cert = Forge::new(NOW).user_id("bob@beta.example").subkey(encryption(), NOW).cert();
    let binary = cert.to_vec().unwrap();
    let armored = cert.armored().to_vec().unwrap();
    for input in [&b""[..], b"  \n", b"hello", b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"\x80", b"\xff\xff"]
    {
        assert!(read_certificates(input).is_err(), "{input:?}");
    }
    assert!(read_certificates(&Packet::from(UserID::from("b@x.example")).to_vec().unwrap()).is_err());
    for cut in 0..binary.len() {
        let _ = read_certificates(&binary[..cut]);
        let mut flipped = binary.clone();
        flipped[cut] ^= 0x41;
        let _ = read_certificates(&flipped);
    }
    for cut in (0..armored.len()).step_by(7) {
        let _ = read_certificates(&armored[..cut]);
        let mut flipped = armored.clone();
        flipped[cut] ^= 0x41;
        let _ = read_certificates(&flipped);
    }
}

#[test]
fn unknown_versions_are_refused_by_name() {
    for version in [3, 5, 7] {
        let mut bytes = Forge::new(NOW).user_id("bob@beta.example").bytes();
        // Old or new format, one length octet each: the version is the third octet.
        bytes[2] = version;
        let error = read_certificates(&bytes).unwrap_err();
        assert!(matches!(error, IntakeError::Unsupported { number: 1 }), "version {version}: {error}");
    }
}

#[test]
fn version_6_is_read() {
    let builder = CertBuilder::new().set_profile(Profile::RFC9580).unwrap();
    let (cert, _) = builder.add_userid("bob@beta.example").generate().unwrap();
    let read = read_certificates(&cert.to_vec().unwrap()).unwrap();
    assert_eq!(read[0].primary_key().key().version(), 6);
}

#[test]
fn what_was_cleaned_reads_back_as_it_is() {
    let forge = Forge::new(NOW).user_id("bob@beta.example").user_id("robert@beta.example");
    let twice = forge.subkey(encryption(), NOW).repeat(3);
    let written = read_certificates(&twice.bytes()).unwrap()[0].to_vec().unwrap();
    let again = read_certificates(&written).unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].to_vec().unwrap(), written);
}
