//! gpgsm 2.2 opens what we make as far as it can, and we open what it makes.

use sealing::cms::CipherSeen;
use sealing::cms::ContentCipher;
use sealing::cms::KeyTransport;

use crate::world::*;

/// The profile that everybody reads: RSA, PKCS#1 v1.5, CBC; one and three recipients, both directions.
fn rsa(bits: u32) {
    let world = World::new();
    let gpgsm = Gpgsm::new(&world);
    let alice = world.person("alice", KeyKind::Rsa(bits));
    let others = [world.person("bob", KeyKind::Rsa(2048)), world.person("carol", KeyKind::Rsa(2048))];
    gpgsm.import(&world, &alice).unwrap();
    others.iter().for_each(|other| gpgsm.import_certificate(other).unwrap());
    for people in [vec![&alice], vec![&others[0], &alice, &others[1]]] {
        let ours = encrypt(&people, KeyTransport::Pkcs1v15, ContentCipher::Aes256Cbc, TEXT);
        assert_eq!(gpgsm.decrypt(&world, &ours).as_deref(), Ok(TEXT));
        for (cipher, seen) in [("AES256", "AES-256"), ("AES", "AES-128"), ("3DES", "3DES")] {
            let theirs = gpgsm.encrypt(&world, &people, cipher).unwrap();
            for person in &people {
                let opened = decrypt(&theirs, &[person]).unwrap();
                assert_eq!(opened.content.to_vec().unwrap(), TEXT);
                assert_eq!(opened.cipher, CipherSeen::Cbc(seen));
                assert!(!opened.authenticated);
            }
        }
    }
}

#[test]
fn gpgsm_and_we_read_each_other_rsa_2048() {
    rsa(2048);
}

#[test]
fn gpgsm_and_we_read_each_other_rsa_3072() {
    rsa(3072);
}

#[test]
fn gpgsm_and_we_read_each_other_rsa_4096() {
    rsa(4096);
}

/// What gpgsm 2.2 cannot read it cannot read from OpenSSL either: OAEP ("error getting encrypted session
/// key"), AuthEnvelopedData ("error getting IV: Buffer too short").
#[test]
fn gpgsm_reads_neither_oaep_nor_gcm_from_anybody() {
    let world = World::new();
    let gpgsm = Gpgsm::new(&world);
    let alice = world.person("alice", KeyKind::Rsa(2048));
    gpgsm.import(&world, &alice).unwrap();
    for (transport, cipher, option) in [
        (KeyTransport::Oaep, ContentCipher::Aes256Cbc, "-aes-256-cbc"),
        (KeyTransport::Oaep, ContentCipher::Aes256Gcm, "-aes-256-gcm"),
        (KeyTransport::Pkcs1v15, ContentCipher::Aes256Gcm, "-aes-256-gcm"),
    ] {
        let ours = encrypt(&[&alice], transport, cipher, TEXT);
        let theirs = openssl_encrypt(&world, &[&alice], transport, option, &[]).unwrap();
        assert!(gpgsm.decrypt(&world, &ours).is_err(), "{transport:?} {cipher:?}");
        assert!(gpgsm.decrypt(&world, &theirs).is_err(), "{transport:?} {cipher:?}");
    }
}

/// With EC keys, gpgsm 2.2 does not open what OpenSSL makes ("Invalid session key"), and refuses
/// certificates with the usage keyAgreement when it encrypts ("Wrong key usage").
#[test]
fn gpgsm_has_no_key_agreement_with_anybody() {
    for kind in [KeyKind::P256, KeyKind::P384] {
        let world = World::new();
        let gpgsm = Gpgsm::new(&world);
        let alice = world.person("alice", kind);
        gpgsm.import_ec(&alice).unwrap();
        let theirs = openssl_encrypt(&world, &[&alice], KeyTransport::Pkcs1v15, "-aes-256-cbc", &[]);
        assert!(gpgsm.decrypt(&world, &theirs.unwrap()).is_err());
        let ours = encrypt(&[&alice], KeyTransport::Pkcs1v15, ContentCipher::Aes256Cbc, TEXT);
        assert!(gpgsm.decrypt(&world, &ours).is_err());
        assert!(gpgsm.encrypt(&world, &[&alice], "AES256").is_err());
    }
}
