use super::*;

use crate::openpgp::GenerateOptions;
use crate::openpgp::KeySuite;
use crate::openpgp::KeyVersion;
use crate::openpgp::generate;

const NOW: i64 = 1_780_000_000;
const WEEK: i64 = 7 * 86_400;

fn weekly() -> Epochs {
    Epochs::new(Duration::from_secs(WEEK as u64))
}

fn key(version: KeyVersion, suite: KeySuite) -> Cert {
    let user_ids = vec!["<alice@alpha.example>".to_owned()];
    generate(&GenerateOptions { version, suite, ..GenerateOptions::new(user_ids, NOW) }).unwrap().0
}

/// Ends of the encryption subkeys that are valid at `now`, in order.
fn ends(cert: &Cert, now: i64) -> Vec<Option<i64>> {
    let policy = StandardPolicy::at(system_time(now));
    let valid = cert.with_policy(&policy, system_time(now)).unwrap();
    let mut ends: Vec<_> =
        encryption_subkeys(&valid).iter().map(|key| key.key_expiration_time().map(unix_seconds)).collect();
    ends.sort();
    ends
}

/// The base without what was moved, and everything that was made so far.
fn kept(base: Cert, rotated: &Rotated) -> Cert {
    let base = without_secrets(base, &rotated.moved).unwrap();
    base.merge_public_and_secret(rotated.secrets.clone()).unwrap()
}

#[test]
fn epochs_begin_and_end_for_everybody_at_the_same_time() {
    let epochs = Epochs::new(Duration::from_secs(100));
    assert_eq!((epochs.end(0), epochs.end(99), epochs.end(100)), (100, 100, 200));
    assert_eq!((epochs.next_end(99), epochs.next_end(100)), (200, 300));
}

#[test]
fn after_the_first_rotation_nothing_lives_longer_than_the_next_epoch() {
    for (version, suite) in [
        (KeyVersion::V4, KeySuite::Curve25519),
        (KeyVersion::V4, KeySuite::P256),
        (KeyVersion::V4, KeySuite::Rsa2048),
        (KeyVersion::V6, KeySuite::Curve25519),
    ] {
        let base = key(version, suite);
        let public = base.clone().strip_secret_key_material();
        let secret = SecretCert::new(base.clone()).unwrap();
        let rotated = rotate(&secret, &public, weekly(), NOW + 60).unwrap().unwrap();
        assert_eq!(rotated.until, weekly().next_end(NOW + 60));
        assert_eq!(ends(&rotated.certificate, NOW + 60), [Some(rotated.until); 2], "{version:?} {suite:?}");
        assert!(!rotated.certificate.is_tsk());
        assert_eq!(rotated.moved.len(), 1);
        assert!(!rotated.secrets.primary_key().key().has_secret());
        assert_eq!(rotated.secrets.keys().subkeys().secret().count(), 2);
        // Without the epoch's secrets the base can sign and nothing more.
        let base = without_secrets(base, &rotated.moved).unwrap();
        assert!(base.primary_key().key().has_secret());
        assert_eq!(base.keys().subkeys().secret().count(), 0);
    }
}

#[test]
fn each_epoch_adds_one_subkey_and_a_second_call_none() {
    let base = key(KeyVersion::V4, KeySuite::Curve25519);
    let mut public = base.clone().strip_secret_key_material();
    let mut secret = base;
    let mut seen = 0;
    for step in 0..40 {
        // Four looks in each epoch.
        let now = NOW + 60 + step * WEEK / 4;
        let prepared = SecretCert::new(secret.clone()).unwrap();
        if let Some(rotated) = rotate(&prepared, &public, weekly(), now).unwrap() {
            seen += 1;
            secret = kept(secret, &rotated);
            public = rotated.certificate;
        }
        let ends = ends(&public, now);
        assert!(ends.iter().all(|end| *end <= Some(weekly().next_end(now))), "{ends:?}");
        assert_eq!(ends.last(), Some(&Some(weekly().next_end(now))));
        // From the third epoch on the key's first subkey is gone too.
        if step > 8 {
            assert_eq!(ends, [Some(weekly().end(now)), Some(weekly().next_end(now))]);
        }
        assert!(rotate(&SecretCert::new(secret.clone()).unwrap(), &public, weekly(), now).unwrap().is_none());
    }
    assert!((10..=11).contains(&seen), "{seen}");
}

#[test]
fn a_lost_secret_half_means_a_new_subkey() {
    let base = key(KeyVersion::V4, KeySuite::Curve25519);
    let public = base.clone().strip_secret_key_material();
    let secret = SecretCert::new(base.clone()).unwrap();
    let first = rotate(&secret, &public, weekly(), NOW + 60).unwrap().unwrap();
    // The epoch's secrets are gone, the certificate is out.
    let poor = SecretCert::new(without_secrets(base, &first.moved).unwrap()).unwrap();
    let second = rotate(&poor, &first.certificate, weekly(), NOW + 120).unwrap().unwrap();
    assert!(second.moved.is_empty());
    assert_eq!(second.secrets.keys().subkeys().secret().count(), 1);
}

#[test]
fn what_cannot_be_rotated_is_told() {
    let base = key(KeyVersion::V4, KeySuite::Curve25519);
    let public = base.clone().strip_secret_key_material();
    let secret = SecretCert::new(base.clone()).unwrap();
    let late = rotate(&secret, &public, weekly(), NOW + 4 * 365 * 86_400);
    assert!(matches!(late, Err(RotateError::NotValid { .. })), "{late:?}");

    let (encrypting, _) = pgp::cert::CertBuilder::new()
        .add_userid("<old@alpha.example>")
        .set_cipher_suite(CipherSuite::RSA2k)
        .set_creation_time(system_time(NOW))
        .set_primary_key_flags(KeyFlags::empty().set_certification().set_transport_encryption())
        .generate()
        .unwrap();
    let public = encrypting.clone().strip_secret_key_material();
    let refused = rotate(&SecretCert::new(encrypting).unwrap(), &public, weekly(), NOW + 60);
    assert!(matches!(refused, Err(RotateError::PrimaryEncrypts(_))), "{refused:?}");
}
