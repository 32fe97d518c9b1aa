use std::fs;
use std::os::unix::fs::PermissionsExt;

use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::types::RevocationStatus;

use super::*;

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn master(&self) -> PathBuf {
        let path = self.dir.path().join("master");
        if !path.exists() {
            MasterKey::generate_file(&path).unwrap();
        }
        path
    }

    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn custody(&self) -> Custody {
        Custody::open(&self.keys(), MasterSource::File(self.master())).unwrap()
    }
}

fn key() -> (Cert, String) {
    let (cert, _) = CertBuilder::general_purpose(Some("gate@alpha.example")).generate().unwrap();
    let fingerprint = cert.fingerprint().to_hex();
    (cert, fingerprint)
}

#[test]
fn a_key_survives_a_restart_and_lies_encrypted_in_a_private_file() {
    let place = Place::new();
    let (cert, fingerprint) = key();
    place.custody().put_openpgp(&cert).unwrap();

    let custody = place.custody();
    assert_eq!(custody.list().unwrap(), std::slice::from_ref(&fingerprint));
    assert_eq!(custody.get(&fingerprint.to_lowercase()).unwrap().fingerprint(), cert.fingerprint());
    assert_eq!(*custody.export(&fingerprint).unwrap(), cert.as_tsk().to_vec().unwrap());

    let file = place.keys().join(format!("{fingerprint}.key"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.keys()).unwrap().permissions().mode() & 0o777, 0o700);
    let bytes = fs::read(&file).unwrap();
    let secret = cert.as_tsk().to_vec().unwrap();
    for window in secret.windows(16) {
        assert!(!bytes.windows(16).any(|b| b == window), "the file holds a piece of the key in clear");
    }
    let names = files::names(&place.keys()).unwrap();
    assert!(!names.iter().any(|name| name.starts_with(".new-")), "{names:?}");
}

#[test]
fn an_unlocked_key_is_kept_until_its_file_changes() {
    let place = Place::new();
    let (cert, fingerprint) = key();
    let daemon = place.custody();
    daemon.put_openpgp(&cert).unwrap();
    let first = daemon.get(&fingerprint).unwrap();
    assert!(Arc::ptr_eq(&first, &daemon.get(&fingerprint).unwrap()));
    place.custody().put_openpgp(&cert).unwrap();
    assert!(!Arc::ptr_eq(&first, &daemon.get(&fingerprint).unwrap()));
    place.custody().remove(&fingerprint).unwrap();
    assert!(matches!(daemon.get(&fingerprint), Err(CustodyError::Unknown(_))));
}

#[test]
fn another_master_key_is_told_from_a_damaged_file_and_both_name_it() {
    let place = Place::new();
    let (cert, fingerprint) = key();
    place.custody().put_openpgp(&cert).unwrap();
    let file = place.keys().join(format!("{fingerprint}.key"));

    let other = MasterKey::from_bytes(Zeroizing::new([7; 32]), "elsewhere");
    let error = Custody::open(&place.keys(), other).unwrap().get(&fingerprint).unwrap_err();
    assert!(matches!(error, CustodyError::WrongMasterKey { .. }), "{error}");
    assert!(error.to_string().contains(&fingerprint) && error.to_string().contains("elsewhere"));

    let good = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let truncated = good[..good.len() - 1].to_vec();
    for bad in [flipped(0), flipped(good.len() - 1), flipped(70), truncated, good[..20].to_vec(), Vec::new()]
    {
        fs::write(&file, bad).unwrap();
        let error = place.custody().get(&fingerprint).unwrap_err();
        assert!(matches!(error, CustodyError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&fingerprint), "{error}");
    }
}

#[test]
fn a_key_file_under_another_name_is_refused() {
    let place = Place::new();
    let (cert, fingerprint) = key();
    let (_, victim) = key();
    place.custody().put_openpgp(&cert).unwrap();
    let from = place.keys().join(format!("{fingerprint}.key"));
    fs::rename(from, place.keys().join(format!("{victim}.key"))).unwrap();
    assert!(place.custody().get(&victim).is_err());
}

#[test]
fn a_locked_key_store_is_an_error_of_its_own_until_the_master_key_comes_back() {
    let place = Place::new();
    let (cert, fingerprint) = key();
    place.custody().put_openpgp(&cert).unwrap();
    let aside = place.dir.path().join("aside");
    fs::rename(place.master(), &aside).unwrap();
    let source = MasterSource::File(place.dir.path().join("master"));
    let custody = Custody::open(&place.keys(), source).unwrap();
    assert!(matches!(custody.get(&fingerprint), Err(CustodyError::Locked(_))));
    assert!(matches!(custody.put_openpgp(&cert), Err(CustodyError::Locked(_))));
    assert!(matches!(custody.unlock(), Err(CustodyError::Locked(_))));
    fs::rename(&aside, place.dir.path().join("master")).unwrap();
    assert!(custody.get(&fingerprint).is_ok());
}

#[test]
fn a_put_with_fewer_secrets_loses_none() {
    let place = Place::new();
    let (cert, fingerprint) = key();
    let custody = place.custody();
    custody.put_openpgp(&cert).unwrap();
    // The same certificate with its subkeys only, as an offline primary key would leave it.
    let packets = cert.clone().into_tsk().into_packets().map(|packet| match packet {
        Packet::SecretKey(key) => Packet::PublicKey(key.take_secret().0),
        other => other,
    });
    let partial = Cert::from_packets(packets.collect::<Vec<_>>().into_iter()).unwrap();
    assert!(partial.is_tsk());
    custody.put_openpgp(&partial).unwrap();
    let kept = Cert::from_bytes(&*custody.export(&fingerprint).unwrap()).unwrap();
    assert_eq!(kept.keys().secret().count(), cert.keys().secret().count());
}

#[test]
fn passphrases_and_certificates_without_secrets_are_refused_by_name() {
    let place = Place::new();
    let (cert, _) = key();
    let public = cert.strip_secret_key_material();
    assert!(matches!(place.custody().put_openpgp(&public), Err(CustodyError::NoSecret(_))));
    let builder = CertBuilder::general_purpose(Some("gate@alpha.example"));
    let (locked, _) = builder.set_password(Some("secret".into())).generate().unwrap();
    assert!(matches!(place.custody().put_openpgp(&locked), Err(CustodyError::Passphrase(_))));
    assert!(place.custody().list().unwrap().is_empty());
}

#[test]
fn names_that_are_no_fingerprints_reach_no_file() {
    let custody = Place::new().custody();
    for name in ["../../etc/passwd", "", "ABC", "G000000000000000000000000000000000000000"] {
        assert!(matches!(custody.get(name), Err(CustodyError::Unknown(_))), "{name}");
        assert!(custody.put_revocation(name, b"x").is_err(), "{name}");
    }
}

#[test]
fn a_directory_open_to_others_is_refused() {
    let place = Place::new();
    fs::create_dir(place.keys()).unwrap();
    fs::set_permissions(place.keys(), fs::Permissions::from_mode(0o750)).unwrap();
    let error = Custody::open(&place.keys(), MasterSource::File(place.master())).unwrap_err();
    assert!(matches!(error, CustodyError::Exposed { mode: 0o750, .. }), "{error}");
}

#[test]
fn a_master_key_file_must_be_private_and_whole() {
    let place = Place::new();
    let path = place.master();
    assert!(matches!(MasterKey::generate_file(&path), Err(MasterKeyError::Exists { .. })));
    for mode in [0o640, 0o604, 0o622] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(MasterKey::from_file(&path), Err(MasterKeyError::Exposed { .. })), "{mode:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    MasterKey::from_file(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for good in [vec![9; 32], [b'a'; 64].to_vec(), [[b'F'; 64].as_slice(), b"\n"].concat()] {
        fs::write(&path, good).unwrap();
        MasterKey::from_file(&path).unwrap();
    }
    for bad in [vec![], vec![9; 31], vec![9; 33], [b'g'; 64].to_vec(), [b'a'; 66].to_vec(), vec![0xe4; 64]] {
        fs::write(&path, &bad).unwrap();
        assert!(matches!(MasterKey::from_file(&path), Err(MasterKeyError::Malformed { .. })), "{bad:?}");
    }
    let missing = MasterKey::from_file(&place.dir.path().join("no"));
    assert!(matches!(missing, Err(MasterKeyError::Unreadable { .. })));
    assert!(matches!(MasterKey::from_credential("../x"), Err(MasterKeyError::NoCredential(_))));
    let directory = MasterKey::from_file(place.dir.path());
    assert!(matches!(directory, Err(MasterKeyError::Malformed { .. })));
}

#[test]
fn secrets_are_never_printed() {
    let place = Place::new();
    let key = MasterKey::from_bytes(Zeroizing::new([0xab; 32]), "test");
    assert!(!format!("{key:?}").contains("171"));
    let custody = Custody::open(&place.keys(), key).unwrap();
    assert!(!format!("{custody:?}").contains("171"));
}

#[test]
fn a_key_in_custody_makes_a_revocation_that_the_key_directory_takes() {
    let place = Place::new();
    let (cert, fingerprint) = key();
    let custody = place.custody();
    custody.put_openpgp(&cert).unwrap();
    let now = unix_now();
    let revocation = custody.revoke(&fingerprint, Revocation::Superseded, "replaced", now).unwrap();
    custody.put_revocation(&fingerprint, &revocation).unwrap();
    assert_eq!(custody.revocation(&fingerprint).unwrap().unwrap(), revocation);

    let store = keydir::Store::open_in_memory().unwrap();
    let bytes = cert.clone().strip_secret_key_material().to_vec().unwrap();
    let import = keydir::Import {
        bytes: &bytes,
        subjects: None,
        origin: keydir::Origin::Generated,
        trust: keydir::Trust::Own,
        custody: keydir::Custody::Local,
        now,
    };
    store.import(&import).unwrap();
    let record = store.revoke(&fingerprint, &revocation, now).unwrap();
    assert_eq!(record.revoked.as_deref(), Some("superseded (replaced)"));
    let policy = sequoia_openpgp::policy::StandardPolicy::new();
    let revoked = Cert::from_bytes(&record.bytes).unwrap();
    assert!(matches!(revoked.revocation_status(&policy, None), RevocationStatus::Revoked(_)));
}

fn unix_now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}
