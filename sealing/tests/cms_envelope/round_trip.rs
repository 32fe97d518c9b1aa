//! What we encrypt we decrypt; whom we cannot encrypt to is refused before anything is written.

use std::sync::LazyLock;

use keydir::Answer;
use mail::Spill;
use proptest::prelude::*;
use sealing::Limits;
use sealing::cms::CipherSeen;
use sealing::cms::ContentCipher;
use sealing::cms::ContentKind;
use sealing::cms::EnvelopeError;
use sealing::cms::KeyTransport;
use sealing::cms::RecipientId;
use sealing::cms::SecretKey;
use sealing::cms::SecretKeyError;

use crate::world::*;

#[test]
fn every_kind_of_key_opens_with_every_cipher() {
    let world = World::new();
    let kinds = [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::X25519];
    let people: Vec<_> =
        kinds.iter().zip(["a", "b", "c", "d", "e"]).map(|(kind, name)| world.person(name, *kind)).collect();
    let all: Vec<_> = people.iter().collect();
    for (cipher, seen) in [
        (ContentCipher::Aes256Cbc, CipherSeen::Cbc("AES-256")),
        (ContentCipher::Aes256Gcm, CipherSeen::Aes256Gcm),
    ] {
        for transport in [KeyTransport::Oaep, KeyTransport::Pkcs1v15] {
            let message = encrypt(&all, transport, cipher, TEXT);
            for person in &all {
                let opened = decrypt(&message, &[person]).unwrap();
                assert_eq!(opened.content.to_vec().unwrap(), TEXT);
                assert_eq!((opened.cipher, opened.inner), (seen, ContentKind::Data));
                assert_eq!(opened.opened_with, person.certificate().fingerprint());
                assert_eq!(opened.recipients.len(), all.len());
            }
            // Many keys of ours at once are no trouble.
            assert_eq!(decrypt(&message, &all).unwrap().content.to_vec().unwrap(), TEXT);
        }
        for person in &all {
            let message = encrypt(&[person], KeyTransport::Oaep, cipher, TEXT);
            assert_eq!(decrypt(&message, &[person]).unwrap().content.to_vec().unwrap(), TEXT);
        }
    }
}

#[test]
fn the_right_one_of_several_rsa_keys_is_named() {
    let world = World::new();
    let people = ["a", "b", "c"].map(|name| world.person(name, KeyKind::Rsa(2048)));
    let [a, b, c] = &people;
    let message = encrypt(&[a, b, c], KeyTransport::Pkcs1v15, ContentCipher::Aes256Gcm, TEXT);
    for ours in [vec![a], vec![b], vec![c, b]] {
        let opened = decrypt(&message, &ours).unwrap();
        let fingerprints: Vec<_> = ours.iter().map(|person| person.certificate().fingerprint()).collect();
        assert!(fingerprints.contains(&opened.opened_with));
    }
}

#[test]
fn keys_that_cannot_encrypt_are_refused_before_anything_is_written() {
    let world = World::new();
    let good = world.person("good", KeyKind::P256);
    for kind in [KeyKind::Ed25519, KeyKind::Brainpool, KeyKind::Rsa(1024)] {
        let person = world.person("weak", kind);
        let recipients = recipients(&[&good, &person], KeyTransport::Oaep);
        let mut out = Vec::new();
        let cipher = ContentCipher::Aes256Gcm;
        let refused = sealing::cms::encrypt(&mut out, &recipients, cipher, ContentKind::Data, 1, |sink| {
            sink.write_all(b"x")
        });
        assert!(matches!(refused, Err(EnvelopeError::Unsupported(_))), "{kind:?} {refused:?}");
        assert!(out.is_empty());
        assert!(sealing::cms::encrypted_len(1, &recipients, cipher).is_err());
    }
    let nobody = sealing::cms::encrypted_len(1, &[], ContentCipher::Aes256Gcm);
    assert!(matches!(nobody, Err(EnvelopeError::Unsupported(_))));
}

#[test]
fn a_writer_that_breaks_its_word_is_an_error() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    let recipients = recipients(&[&alice], KeyTransport::Oaep);
    for written in [0, 9, 11] {
        let result = sealing::cms::encrypt(
            &mut Vec::new(),
            &recipients,
            ContentCipher::Aes256Cbc,
            ContentKind::Data,
            10,
            |sink| sink.write_all(&vec![0; written]),
        );
        assert!(matches!(result, Err(EnvelopeError::Io(_))), "{written}");
    }
}

#[test]
fn a_failed_look_up_is_not_a_missing_key() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    let bob = world.person("bob", KeyKind::P256);
    let message = encrypt(&[&alice], KeyTransport::Oaep, ContentCipher::Aes256Gcm, TEXT);
    let (spill, limits) = (Spill::default(), Limits::default());
    let broken = sealing::cms::decrypt(
        &mut message.as_slice(),
        |_| Answer::CouldNotTell { why: "locked".into() },
        &spill,
        &limits,
    );
    assert!(matches!(broken, Err(EnvelopeError::CouldNotTell(why)) if why == "locked"));
    let alices = vec![RecipientId::issuer_serial(alice.certificate())];
    match decrypt(&message, &[&bob]) {
        Err(EnvelopeError::NoKey { recipients }) => assert_eq!(recipients, alices),
        other => panic!("{other:?}"),
    }
    // A look-up that answers with a key that is not meant opens nothing.
    let wrong = Answer::Found(vec![bob.secret.clone()]);
    let wrong = sealing::cms::decrypt(&mut message.as_slice(), |_| wrong, &spill, &limits);
    assert!(matches!(wrong, Err(EnvelopeError::NoKey { .. })));
}

#[test]
fn a_key_of_somebody_else_makes_no_secret_key_and_none_is_shown() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    let other = KeyKind::P256.generate();
    let wrong = SecretKey::new(alice.certificate().clone(), other);
    assert_eq!(wrong.map(drop).unwrap_err(), SecretKeyError::Mismatch);
    let shown = format!("{:?}", alice.secret);
    assert_eq!(shown, format!("SecretKey({})", alice.certificate().fingerprint()));
}

#[test]
fn two_messages_have_nothing_in_common() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::X25519);
    let messages = [0, 1].map(|_| encrypt(&[&alice], KeyTransport::Oaep, ContentCipher::Aes256Gcm, TEXT));
    let [one, other] = messages.map(|message| message[message.len() - 80..].to_vec());
    assert!(one.iter().zip(&other).filter(|(a, b)| a == b).count() < 20);
}

#[test]
fn the_limit_for_decrypted_content_holds() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    for cipher in [ContentCipher::Aes256Gcm, ContentCipher::Aes256Cbc] {
        let message = encrypt(&[&alice], KeyTransport::Oaep, cipher, &vec![b'x'; 200_000]);
        let limits = Limits { opened_bytes: 100_000, ..Limits::default() };
        let ours = Answer::Found(vec![alice.secret.clone()]);
        let opened = sealing::cms::decrypt(&mut message.as_slice(), |_| ours, &Spill::default(), &limits);
        assert!(matches!(opened, Err(EnvelopeError::TooLarge(_))));
    }
}

static PERSON: LazyLock<(World, Person)> = LazyLock::new(|| {
    let world = World::new();
    let person = world.person("alice", KeyKind::X25519);
    (world, person)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_content_in_any_pieces_comes_back(
        plain in prop::collection::vec(any::<u8>(), 0..100_000),
        piece in 1_usize..70_000,
        gcm in any::<bool>(),
        // Where the temporary file begins.
        spill in 1_usize..200_000,
    ) {
        let (_, alice) = &*PERSON;
        let cipher = if gcm { ContentCipher::Aes256Gcm } else { ContentCipher::Aes256Cbc };
        let recipients = recipients(&[alice], KeyTransport::Oaep);
        let mut out = Vec::new();
        let length = plain.len() as u64;
        sealing::cms::encrypt(&mut out, &recipients, cipher, ContentKind::SignedData, length, |sink| {
            plain.chunks(piece).try_for_each(|piece| sink.write_all(piece))
        }).unwrap();
        prop_assert_eq!(sealing::cms::encrypted_len(length, &recipients, cipher).unwrap(), out.len() as u64);
        let spill = Spill { limit: spill, ..Spill::default() };
        let ours = Answer::Found(vec![alice.secret.clone()]);
        let opened = sealing::cms::decrypt(&mut out.as_slice(), |_| ours, &spill, &Limits::default()).unwrap();
        prop_assert_eq!(opened.content.to_vec().unwrap(), plain);
        prop_assert_eq!(opened.inner, ContentKind::SignedData);
    }
}
