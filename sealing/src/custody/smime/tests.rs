use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use keydir::AuthoritySettings;
use keydir::LeafRequest;
use keydir::LocalAuthority;
use keydir::Profile;
use keydir::Signs;
use sequoia_openpgp::cert::CertBuilder;

use super::*;
use crate::custody::KeyKind;
use crate::custody::MasterKey;
use crate::custody::MasterSource;
use crate::custody::Pkcs12Content;
use crate::custody::Pkcs12Error;
use crate::custody::SigningKey;
use crate::custody::generate_key;
use crate::custody::read_pkcs12;
use crate::custody::write_pkcs12;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn custody(&self) -> Custody {
        let master = self.path("master");
        if !master.exists() {
            MasterKey::generate_file(&master).unwrap();
        }
        Custody::open(&self.path("keys"), MasterSource::File(master)).unwrap()
    }

    fn openssl(&self, arguments: &str) -> (bool, String) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("openssl is installed");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A certificate of a new authority for Alice with a key of this kind, and the authority's certificates.
fn alice(kind: KeyKind) -> (Certificate, PKey<Private>, Vec<Certificate>) {
    let authority = LocalAuthority::open_in_memory().unwrap();
    let root = SigningKey::new(generate_key(KeyKind::P384).unwrap());
    let issuing = SigningKey::new(generate_key(KeyKind::P384).unwrap());
    let settings = AuthoritySettings::new("Alpha", &["alpha.example"]);
    let (root, issuer) = authority.init(&settings, &root, &issuing, now(), |_, _| Ok(())).unwrap();
    let key = generate_key(kind).unwrap();
    let profile = match kind {
        KeyKind::Ed25519 => Profile::UserSign,
        KeyKind::X25519 => Profile::UserEncrypt,
        _ => Profile::User,
    };
    let request = LeafRequest {
        profile,
        subject: "alice@alpha.example",
        name: None,
        public_key: &key.public_key_to_der().unwrap(),
        now: now(),
    };
    (authority.issue(&issuing, &request).unwrap(), key, vec![issuer, root])
}

#[test]
fn every_kind_of_key_survives_a_restart_and_lies_encrypted_in_a_private_file() {
    for kind in [KeyKind::Ed25519, KeyKind::X25519, KeyKind::P256, KeyKind::P384, KeyKind::Rsa3072] {
        let place = Place::new();
        let (certificate, key, _) = alice(kind);
        let fingerprint = certificate.fingerprint();
        place.custody().put_smime(&certificate, &key).unwrap();
        let custody = place.custody();
        let got = custody.get_smime(&fingerprint.to_lowercase()).unwrap();
        assert_eq!(got.certificate(), &certificate);
        assert!(got.key().public_eq(&key));
        let secret = key.private_key_to_pkcs8().unwrap();
        assert_eq!(*custody.export_smime(&fingerprint).unwrap(), secret);
        assert!(Arc::ptr_eq(&got, &custody.get_smime(&fingerprint).unwrap()), "unlocked once");

        let file = place.path("keys").join(format!("{fingerprint}.smime"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(&file).unwrap();
        for window in secret.windows(16) {
            assert!(!bytes.windows(16).any(|b| b == window), "the file holds a piece of the key in clear");
        }
        custody.remove_smime(&fingerprint).unwrap();
        assert!(matches!(place.custody().get_smime(&fingerprint), Err(CustodyError::Unknown(_))));
        assert!(matches!(custody.get_smime(&fingerprint), Err(CustodyError::Unknown(_))));
    }
}

#[test]
fn both_standards_are_listed_and_neither_disturbs_the_other() {
    let place = Place::new();
    let custody = place.custody();
    let (certificate, key, _) = alice(KeyKind::P256);
    custody.put_smime(&certificate, &key).unwrap();
    let (cert, _) = CertBuilder::general_purpose(Some("gate@alpha.example")).generate().unwrap();
    custody.put_openpgp(&cert).unwrap();
    let mut expected =
        vec![(certificate.fingerprint(), Scheme::Smime), (cert.fingerprint().to_hex(), Scheme::Openpgp)];
    expected.sort();
    assert_eq!(custody.list_all().unwrap(), expected);
    assert_eq!(custody.list().unwrap(), [cert.fingerprint().to_hex()]);
    assert!(matches!(custody.get(&certificate.fingerprint()), Err(CustodyError::Unknown(_))));
}

#[test]
fn a_key_of_somebody_else_is_not_kept() {
    let place = Place::new();
    let (certificate, _, _) = alice(KeyKind::P256);
    let other = generate_key(KeyKind::P256).unwrap();
    let refused = place.custody().put_smime(&certificate, &other);
    assert!(matches!(refused, Err(CustodyError::Mismatch(_))), "{refused:?}");
    assert!(place.custody().list_all().unwrap().is_empty());
}

#[test]
fn damaged_files_files_of_others_and_other_master_keys_are_told_apart() {
    let place = Place::new();
    let (certificate, key, _) = alice(KeyKind::P256);
    let fingerprint = certificate.fingerprint();
    place.custody().put_smime(&certificate, &key).unwrap();
    let file = place.path("keys").join(format!("{fingerprint}.smime"));
    let good = fs::read(&file).unwrap();

    let other = MasterKey::from_bytes(Zeroizing::new([7; 32]), "elsewhere");
    let error = Custody::open(&place.path("keys"), other).unwrap().get_smime(&fingerprint).unwrap_err();
    assert!(matches!(error, CustodyError::WrongMasterKey { .. }), "{error}");
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    for bad in [altered, good[..good.len() - 1].to_vec(), Vec::new()] {
        fs::write(&file, bad).unwrap();
        let error = place.custody().get_smime(&fingerprint).unwrap_err();
        assert!(matches!(error, CustodyError::Damaged { .. }), "{error}");
    }
    // Under another name, and as a file of the other standard.
    let (victim, _, _) = alice(KeyKind::P256);
    for name in [format!("{}.smime", victim.fingerprint()), format!("{fingerprint}.key")] {
        fs::write(place.path("keys").join(&name), &good).unwrap();
    }
    assert!(place.custody().get_smime(&victim.fingerprint()).is_err());
    assert!(place.custody().get(&fingerprint).is_err());
    fs::remove_file(place.path("master")).unwrap();
    fs::write(&file, &good).unwrap();
    let source = MasterSource::File(place.path("master"));
    let locked = Custody::open(&place.path("keys"), source).unwrap().get_smime(&fingerprint).unwrap_err();
    assert!(matches!(locked, CustodyError::Locked(_)), "{locked}");
}

#[test]
fn an_authority_works_with_keys_from_custody() {
    let place = Place::new();
    let custody = place.custody();
    let authority = LocalAuthority::open(&place.path("ca.db")).unwrap();
    let (root, issuing) = (generate_key(KeyKind::Rsa3072).unwrap(), generate_key(KeyKind::P384).unwrap());
    let settings = AuthoritySettings::new("Alpha", &["alpha.example"]);
    let (_, issuer) = authority
        .init(&settings, &SigningKey::new(root.clone()), &SigningKey::new(issuing.clone()), now(), |r, i| {
            custody.put_smime(r, &root).map_err(keydir::SignsError::new)?;
            custody.put_smime(i, &issuing).map_err(keydir::SignsError::new)
        })
        .unwrap();
    let lent = SigningKey::from(&*place.custody().get_smime(&issuer.fingerprint()).unwrap());
    let list = authority.crl(&issuer.fingerprint(), &lent, now()).unwrap();
    fs::write(place.path("list.crl"), &list.der).unwrap();
    fs::write(place.path("issuer.pem"), issuer.pem()).unwrap();
    let (ok, text) = place.openssl("crl -inform DER -in list.crl -CAfile issuer.pem -noout");
    assert!(ok && text.contains("verify OK"), "{text}");
    let wrong = SigningKey::new(generate_key(KeyKind::Ed25519).unwrap());
    assert!(wrong.sign(keydir::SignatureAlgorithm::RsaSha256, b"x").is_err());
}

#[test]
fn openssl_reads_our_pkcs12_and_we_read_its_and_our_own() {
    for kind in [KeyKind::P256, KeyKind::Rsa3072, KeyKind::Ed25519] {
        let place = Place::new();
        let (certificate, key, chain) = alice(kind);
        let custody = place.custody();
        custody.put_smime(&certificate, &key).unwrap();
        let file = custody.export_pkcs12(&certificate.fingerprint(), &chain, "pässword").unwrap();
        fs::write(place.path("our.p12"), &*file).unwrap();
        let (ok, text) = place.openssl("pkcs12 -in our.p12 -info -noout -passin pass:pässword");
        assert!(ok, "{text}");
        assert_eq!(text.matches("PBES2, PBKDF2, AES-256-CBC, Iteration 100000").count(), 2, "{text}");
        assert!(text.contains("MAC: sha256"), "{text}");

        fs::write(place.path("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        let pem: String = chain.iter().map(Certificate::pem).collect();
        fs::write(place.path("chain.pem"), pem).unwrap();
        fs::write(place.path("leaf.pem"), certificate.pem()).unwrap();
        let (ok, text) = place.openssl(
            "pkcs12 -export -inkey key.pem -in leaf.pem -certfile chain.pem -out their.p12 -passout pass:pässword",
        );
        assert!(ok, "{text}");
        for bytes in [file.to_vec(), fs::read(place.path("their.p12")).unwrap()] {
            let content = read_pkcs12(&bytes, "pässword").unwrap();
            assert_eq!(content.certificate, certificate);
            assert!(content.key.public_eq(&key));
            assert_eq!(content.chain.len(), 2);
            for wrong in ["", "password", "pässword "] {
                let refused = read_pkcs12(&bytes, wrong).unwrap_err();
                assert!(matches!(refused, Pkcs12Error::WrongPassword), "{wrong:?}: {refused}");
            }
            for cut in [0, 10, bytes.len() / 2, bytes.len() - 1] {
                assert!(read_pkcs12(&bytes[..cut], "pässword").is_err(), "{cut}");
            }
        }
    }
}

/// gpgsm 2.2 knows PBES2 only with HMAC-SHA-1; the conversion is the one in docs/certificates.md.
#[test]
fn gpgsm_imports_our_pkcs12_after_conversion() {
    let place = Place::new();
    let (certificate, key, chain) = alice(KeyKind::Rsa3072);
    let content = Pkcs12Content { certificate, key, chain };
    fs::write(place.path("our.p12"), &*write_pkcs12(&content, "Alice", "secret").unwrap()).unwrap();
    for command in [
        "pkcs12 -in our.p12 -nodes -passin pass:secret -out key.pem",
        "pkcs12 -export -in key.pem -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1 -out old.p12 \
         -passout pass:secret",
    ] {
        let (ok, text) = place.openssl(command);
        assert!(ok, "{text}");
    }
    let home = place.path("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let mut gpgsm = Command::new("gpgsm")
        .arg("--homedir")
        .arg(&home)
        .args(["--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--import", "old.p12"])
        .current_dir(place.0.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gpgsm is installed");
    gpgsm.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    let text = String::from_utf8_lossy(&gpgsm.wait_with_output().unwrap().stderr).into_owned();
    let _ = Command::new("gpgconf").arg("--homedir").arg(&home).args(["--kill", "all"]).status();
    assert!(text.contains("secret keys imported: 1"), "{text}");
}

#[test]
fn old_pkcs12_is_read_when_it_is_3des_and_refused_with_advice_when_it_is_rc2() {
    let place = Place::new();
    let (certificate, key, _) = alice(KeyKind::P256);
    fs::write(place.path("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    fs::write(place.path("leaf.pem"), certificate.pem()).unwrap();
    let export =
        "pkcs12 -export -legacy -inkey key.pem -in leaf.pem -out old.p12 -passout pass:x -macalg sha1";
    for cipher in ["PBE-SHA1-RC2-40", "PBE-SHA1-RC2-128"] {
        let (ok, text) = place.openssl(&format!("{export} -certpbe {cipher} -keypbe PBE-SHA1-3DES"));
        assert!(ok, "{text}");
        let old = fs::read(place.path("old.p12")).unwrap();
        let refused = read_pkcs12(&old, "x").unwrap_err();
        assert!(matches!(refused, Pkcs12Error::Legacy), "{cipher}: {refused}");
        assert!(refused.to_string().contains("openssl pkcs12 -legacy"), "{refused}");
        assert!(matches!(read_pkcs12(&old, "y"), Err(Pkcs12Error::WrongPassword)));
    }
    let (ok, text) = place.openssl(&format!("{export} -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES"));
    assert!(ok, "{text}");
    let old = fs::read(place.path("old.p12")).unwrap();
    assert_eq!(read_pkcs12(&old, "x").unwrap().certificate, certificate);
}

#[test]
fn passwords_and_files_that_cannot_be_used_are_refused() {
    let (certificate, key, _) = alice(KeyKind::P256);
    let content = Pkcs12Content { certificate, key, chain: Vec::new() };
    for password in ["", "a\0b"] {
        assert!(matches!(write_pkcs12(&content, "Alice", password), Err(Pkcs12Error::Password)));
    }
    let good = write_pkcs12(&content, "Alice\0", "x").unwrap();
    assert!(matches!(read_pkcs12(&good, "x\0"), Err(Pkcs12Error::Password)));
    assert!(matches!(read_pkcs12(&vec![0x30; 2 << 20], "x"), Err(Pkcs12Error::Malformed(_))));
    let only_certificate = openssl::pkcs12::Pkcs12::builder()
        .cert(content.certificate.x509())
        .build2("x")
        .and_then(|file| file.to_der())
        .unwrap();
    assert!(matches!(read_pkcs12(&only_certificate, "x"), Err(Pkcs12Error::Incomplete(_))));
    assert!(!format!("{content:?}").contains("key"));
}
