//! `openssl cms` opens what we make, and we open what it makes.

use openssl::x509::X509;
use sealing::cms::CipherSeen;
use sealing::cms::ContentCipher;
use sealing::cms::KeyTransport;

use crate::world::*;

const CIPHERS: [(ContentCipher, &str); 2] =
    [(ContentCipher::Aes256Cbc, "-aes-256-cbc"), (ContentCipher::Aes256Gcm, "-aes-256-gcm")];

/// Every cell for one kind of key: ciphers, paddings, one and three recipients, both directions.
fn matrix(kind: KeyKind) {
    let world = World::new();
    let alice = world.person("alice", kind);
    let others = [world.person("bob", KeyKind::Rsa(2048)), world.person("carol", KeyKind::P256)];
    let transports = match kind {
        KeyKind::Rsa(_) => &[KeyTransport::Pkcs1v15, KeyTransport::Oaep][..],
        // Only RSA has a padding.
        _ => &[KeyTransport::Pkcs1v15],
    };
    for (cipher, option) in CIPHERS {
        for transport in transports {
            for people in [vec![&alice], vec![&alice, &others[0], &others[1]]] {
                let cell = format!("{kind:?} {cipher:?} {transport:?} {}", people.len());
                let ours = encrypt(&people, *transport, cipher, TEXT);
                for person in &people {
                    assert_eq!(openssl_decrypt(&world, &ours, person).as_deref(), Ok(TEXT), "{cell}");
                }
                for extra in [&[][..], &["-stream"], &["-keyid"]] {
                    let theirs = openssl_encrypt(&world, &people, *transport, option, extra).unwrap();
                    for person in &people {
                        let opened = decrypt(&theirs, &[person]).unwrap();
                        assert_eq!(opened.content.to_vec().unwrap(), TEXT, "{cell}");
                        assert_eq!(opened.authenticated, cipher == ContentCipher::Aes256Gcm, "{cell}");
                        assert_eq!(opened.opened_with, person.certificate().fingerprint(), "{cell}");
                        assert_eq!(opened.recipients.len(), people.len(), "{cell}");
                    }
                }
            }
        }
    }
}

#[test]
fn openssl_and_we_read_each_other_rsa_2048() {
    matrix(KeyKind::Rsa(2048));
}

#[test]
fn openssl_and_we_read_each_other_rsa_3072() {
    matrix(KeyKind::Rsa(3072));
}

#[test]
fn openssl_and_we_read_each_other_rsa_4096() {
    matrix(KeyKind::Rsa(4096));
}

#[test]
fn openssl_and_we_read_each_other_p256() {
    matrix(KeyKind::P256);
}

#[test]
fn openssl_and_we_read_each_other_p384() {
    matrix(KeyKind::P384);
}

#[test]
fn openssl_and_we_read_each_other_p521() {
    matrix(KeyKind::P521);
}

/// OpenSSL 3.0 knows X25519 but no CMS with it: it neither makes nor opens such a message.
#[test]
fn openssl_has_no_x25519_in_cms() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::X25519);
    for (cipher, option) in CIPHERS {
        assert!(openssl_encrypt(&world, &[&alice], KeyTransport::Pkcs1v15, option, &[]).is_err());
        let ours = encrypt(&[&alice], KeyTransport::Pkcs1v15, cipher, TEXT);
        assert!(openssl_decrypt(&world, &ours, &alice).is_err());
    }
}

#[test]
fn every_cipher_that_old_programs_use_is_read_and_named() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::Rsa(2048));
    for (option, seen) in [
        ("-aes-128-cbc", CipherSeen::Cbc("AES-128")),
        ("-aes-192-cbc", CipherSeen::Cbc("AES-192")),
        ("-aes-256-cbc", CipherSeen::Cbc("AES-256")),
        ("-des3", CipherSeen::Cbc("3DES")),
        ("-aes-128-gcm", CipherSeen::Aes128Gcm),
        ("-aes-192-gcm", CipherSeen::Aes192Gcm),
        ("-aes-256-gcm", CipherSeen::Aes256Gcm),
    ] {
        let theirs = openssl_encrypt(&world, &[&alice], KeyTransport::Pkcs1v15, option, &[]).unwrap();
        let opened = decrypt(&theirs, &[&alice]).unwrap();
        assert_eq!((opened.cipher, opened.content.to_vec().unwrap()), (seen, TEXT.to_vec()));
    }
}

#[test]
fn every_digest_of_oaep_and_of_key_agreement_is_read() {
    let world = World::new();
    let rsa = world.person("alice", KeyKind::Rsa(2048));
    let curve = world.person("bob", KeyKind::P256);
    let text = world.write("plain", TEXT);
    for digest in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
        for mask in ["sha1", "sha256"] {
            let (oaep, mgf1) = (format!("rsa_oaep_md:{digest}"), format!("rsa_mgf1_md:{mask}"));
            let theirs = run(std::process::Command::new("openssl")
                .args(["cms", "-encrypt", "-binary", "-outform", "DER", "-aes256", "-in"])
                .arg(&text)
                .arg("-recip")
                .arg(rsa.pem())
                .args(["-keyopt", "rsa_padding_mode:oaep", "-keyopt", &oaep, "-keyopt", &mgf1]));
            let opened = decrypt(&theirs.unwrap(), &[&rsa]).unwrap();
            assert_eq!(opened.content.to_vec().unwrap(), TEXT, "{digest} {mask}");
        }
        for (cofactor, wrap) in [("0", "-aes128-wrap"), ("1", "-aes192-wrap"), ("0", "-aes256-wrap")] {
            let (kdf, mode) = (format!("ecdh_kdf_md:{digest}"), format!("ecdh_cofactor_mode:{cofactor}"));
            let theirs = run(std::process::Command::new("openssl")
                .args(["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-128-gcm", wrap, "-in"])
                .arg(&text)
                .arg("-recip")
                .arg(curve.pem())
                .args(["-keyopt", &kdf, "-keyopt", &mode]));
            let opened = decrypt(&theirs.unwrap(), &[&curve]).unwrap();
            assert_eq!(opened.content.to_vec().unwrap(), TEXT, "{digest} {cofactor} {wrap}");
        }
    }
}

/// The library behind the safe API encrypts with PKCS#1 v1.5 and CBC; it reads us in memory, too.
#[test]
fn openssl_parses_what_we_write_as_der() {
    let world = World::new();
    let people = [KeyKind::Rsa(2048), KeyKind::P384, KeyKind::X25519];
    let people: Vec<_> =
        people.iter().zip(["a", "b", "c"]).map(|(kind, name)| world.person(name, *kind)).collect();
    let people: Vec<_> = people.iter().collect();
    for (cipher, _) in CIPHERS {
        let ours = encrypt(&people, KeyTransport::Oaep, cipher, TEXT);
        let message = world.write("ours.cms", &ours);
        let again = run(std::process::Command::new("openssl")
            .args(["cms", "-cmsout", "-inform", "DER", "-outform", "DER", "-in"])
            .arg(message));
        assert_eq!(again.unwrap(), ours);
    }
    // The certificates of the test are what openssl thinks they are.
    assert!(X509::from_der(people[0].certificate().der()).is_ok());
}
