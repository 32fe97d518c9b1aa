//! What must not open, must not be used, and must not cost much.

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use mail::Message;
use proptest::prelude::*;
use sealing::LayerKind;
use sealing::LayerState;
use sealing::Limits;
use sealing::openpgp::GenerateOptions;
use sealing::openpgp::Seal;
use sealing::openpgp::SealError;
use sealing::openpgp::SecretCert;
use sealing::openpgp::SecretCertError;
use sealing::openpgp::armor;
use sealing::openpgp::generate;
use sealing::openpgp::seal;
use sequoia_openpgp as pgp;

use pgp::serialize::Serialize;
use pgp::serialize::stream::Compressor;
use pgp::serialize::stream::Encryptor;
use pgp::serialize::stream::LiteralWriter;
use pgp::serialize::stream::Message as Stream;
use pgp::serialize::stream::Recipient;
use pgp::types::CompressionAlgorithm;

use crate::support::*;

/// A PGP/MIME message around these packets.
fn enclosed(packets: &[u8]) -> Message {
    let armored = String::from_utf8(armor::armor(packets, armor::Kind::Message).unwrap()).unwrap();
    letter(&format!(
        "Content-Type: multipart/encrypted; boundary=\"o\"; protocol=\"application/pgp-encrypted\"\n\n--o\n\
         Content-Type: application/pgp-encrypted\n\nVersion: 1\n--o\nContent-Type: application/octet-stream\n\n{}\n--o--\n",
        armored.replace("\r\n", "\n")
    ))
}

/// The same without armor, so that fifty of them fit into each other.
fn enclosed_binary(packets: &[u8]) -> Message {
    let head = letter(
        "Content-Type: multipart/encrypted; boundary=\"o\"; protocol=\"application/pgp-encrypted\"\n\n--o\n\
         Content-Type: application/pgp-encrypted\n\nVersion: 1\n--o\nContent-Type: application/octet-stream\n\
         Content-Transfer-Encoding: binary\n\n",
    );
    Message::parse(&[&head.to_vec().unwrap()[..], packets, b"\r\n--o--\r\n"].concat())
}

/// Packets encrypted to Bob; `inside` writes what is encrypted.
fn encrypted(world: &World, aead: bool, inside: impl FnOnce(Stream<'_>)) -> Vec<u8> {
    let usable = world.usable(BOB);
    let key = usable.cert().keys().find(|ka| ka.key().fingerprint() == *usable.subkey()).unwrap();
    let handle = if aead { key.key().fingerprint().into() } else { pgp::KeyHandle::from(key.key().keyid()) };
    let features = if aead { pgp::types::Features::sequoia() } else { pgp::types::Features::empty() };
    let mut out = Vec::new();
    let stream =
        Encryptor::for_recipients(Stream::new(&mut out), [Recipient::new(features, handle, key.key())]);
    inside(stream.build().unwrap());
    out
}

fn literal(stream: Stream<'_>, text: &[u8]) {
    let mut stream = LiteralWriter::new(stream).build().unwrap();
    stream.write_all(text).unwrap();
    stream.finalize().unwrap();
}

/// The only layer, and that nothing was opened.
fn refused(world: &World, message: &Message) -> (LayerState, String) {
    let opened = world.open(message);
    assert!(opened.edits.is_empty() && opened.message.is_none());
    let [layer] = &opened.layers[..] else { panic!("{:?}", opened.layers) };
    assert_eq!(layer.kind, LayerKind::Encrypted);
    (layer.state, layer.why.clone().unwrap())
}

#[test]
fn a_tampered_ciphertext_gives_nothing_wherever_it_was_tampered_with() {
    let (world, ..) = World::alice_and_bob();
    let text = b"Content-Type: text/plain\r\n\r\nsecret words\r\n".repeat(20);
    for aead in [false, true] {
        let packets = encrypted(&world, aead, |stream| literal(stream, &text));
        assert!(world.open(&enclosed(&packets)).message.is_some());
        for at in (0..packets.len()).step_by(7).chain(packets.len() - 3..packets.len()) {
            let mut tampered = packets.clone();
            tampered[at] ^= 0x10;
            let opened = world.open(&enclosed(&tampered));
            assert!(opened.message.is_none() && opened.edits.is_empty(), "aead {aead}, byte {at}");
            assert!(
                matches!(
                    opened.layers[0].state,
                    LayerState::Damaged | LayerState::NoKey | LayerState::Unsupported
                ),
                "aead {aead}, byte {at}: {:?}",
                opened.layers
            );
        }
        for length in [packets.len() - 1, packets.len() - 22, packets.len() / 2] {
            let opened = world.open(&enclosed(&packets[..length]));
            assert!(opened.message.is_none(), "aead {aead}, cut at {length}");
            assert_eq!(opened.layers[0].state, LayerState::Damaged);
        }
    }
}

#[test]
fn a_long_tampered_message_gives_nothing_although_its_start_was_decrypted() {
    let (world, ..) = World::alice_and_bob();
    let text = b"Content-Type: text/plain\r\n\r\nsecret words\r\n".repeat(60_000);
    for aead in [false, true] {
        let mut packets = encrypted(&world, aead, |stream| literal(stream, &text));
        let at = packets.len() - 10_000;
        packets[at] ^= 1;
        assert_eq!(refused(&world, &enclosed(&packets)).0, LayerState::Damaged);
    }
}

#[test]
fn encrypted_data_without_integrity_protection_never_open() {
    let (world, ..) = World::alice_and_bob();
    let usable = world.usable(BOB);
    let key = usable.cert().keys().find(|ka| ka.key().fingerprint() == *usable.subkey()).unwrap();
    let session_key = pgp::crypto::SessionKey::from(vec![7; 32]);
    let algorithm = pgp::types::SymmetricAlgorithm::AES256;
    let mut pkesk = pgp::packet::pkesk::PKESK3::for_recipient(algorithm, &session_key, key.key()).unwrap();
    pkesk.set_recipient(Some(key.key().keyid()));
    let mut packets = Vec::new();
    pgp::Packet::from(pkesk).serialize(&mut packets).unwrap();
    // Packet type 9 (RFC 9580 section 5.7): as it would look with any content.
    packets.extend_from_slice(&[0xc9, 60]);
    packets.extend_from_slice(&[0x5a; 60]);
    let (state, why) = refused(&world, &enclosed(&packets));
    assert_eq!(state, LayerState::Damaged);
    assert!(why.contains("packet type 9"), "{why}");
}

#[test]
fn mail_for_other_keys_or_for_a_password_passes_unchanged() {
    let (mut world, _, bob) = World::alice_and_bob();
    let for_bob = sealed(&text_letter(), &plain_seal(&[world.usable(BOB)], None));
    world.lose(&bob);
    let (state, why) = refused(&world, &for_bob);
    assert_eq!(state, LayerState::NoKey);
    assert!(why.starts_with("encrypted to "), "{why}");
}

#[test]
fn a_password_message_costs_no_memory() {
    let (world, ..) = World::alice_and_bob();
    // SKESK v6 with Argon2, t=1, p=1, 2^31 KiB of memory (RFC 9580 section 3.7.1.4).
    let mut packets = vec![0xc3, 66, 6, 39, 9, 2, 20, 4];
    packets.extend_from_slice(&[9; 16]);
    packets.extend_from_slice(&[1, 1, 31]);
    packets.resize(68, 3);
    packets.extend_from_slice(&[0xd2, 100, 2, 9, 2, 6]);
    packets.resize(68 + 102, 4);
    let start = Instant::now();
    let opened = world.open(&enclosed(&packets));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(opened.message.is_none());
    assert!(matches!(opened.layers[0].state, LayerState::NoKey | LayerState::Damaged), "{:?}", opened.layers);

    let mut out = Vec::new();
    let stream = Encryptor::with_passwords(Stream::new(&mut out), ["secret"]).build().unwrap();
    literal(stream, b"text");
    assert_eq!(refused(&world, &enclosed(&out)), (LayerState::NoKey, "encrypted to a password".into()));
}

#[test]
fn compression_bombs_are_cut_off() {
    let (world, ..) = World::alice_and_bob();
    for algorithm in [CompressionAlgorithm::Zip, CompressionAlgorithm::BZip2] {
        let bomb = encrypted(&world, false, |stream| {
            let stream = Compressor::new(stream).algo(algorithm).build().unwrap();
            let mut stream = LiteralWriter::new(stream).build().unwrap();
            for _ in 0..40 {
                stream.write_all(&[0; 1 << 20]).unwrap();
            }
            stream.finalize().unwrap();
        });
        assert!(bomb.len() < 100_000);
        let (state, why) = refused(&world, &enclosed(&bomb));
        assert_eq!(state, LayerState::Unsupported);
        assert!(why.contains("larger than"), "{why}");
    }
    let twice = encrypted(&world, false, |stream| {
        let stream = Compressor::new(stream).build().unwrap();
        literal(Compressor::new(stream).build().unwrap(), b"text");
    });
    assert_eq!(
        refused(&world, &enclosed(&twice)),
        (LayerState::Unsupported, "compressed more than once".into())
    );
    let honest = encrypted(&world, false, |stream| {
        literal(Compressor::new(stream).build().unwrap(), b"Content-Type: text/plain\r\n\r\nhi\r\n");
    });
    assert!(world.open(&enclosed(&honest)).message.is_some(), "gpg compresses");
}

#[test]
fn content_above_the_absolute_limit_is_not_opened() {
    let (world, ..) = World::alice_and_bob();
    let packets = encrypted(&world, true, |stream| literal(stream, &[b'x'; 100_000]));
    let limits = Limits { opened_bytes: 99_999, ..Limits::default() };
    let opened = sealing::open(
        &enclosed(&packets),
        sealing::Keys { openpgp: &world, smime: &sealing::smime::NoKeys },
        NOW,
        &mail::Spill::default(),
        &limits,
    )
    .unwrap();
    assert_eq!(opened.layers[0].state, LayerState::Unsupported);
    assert!(opened.message.is_none());
}

#[test]
fn fifty_layers_stop_at_the_limit() {
    let (world, ..) = World::alice_and_bob();
    let mut message = text_letter();
    for _ in 0..50 {
        let entity = entity_bytes(&message);
        message = enclosed_binary(&encrypted(&world, true, |stream| literal(stream, &entity)));
    }
    let start = Instant::now();
    let opened = world.open(&message);
    assert!(start.elapsed() < Duration::from_secs(20));
    let limit = Limits::default().layers;
    assert_eq!(opened.layers.len(), limit + 1);
    assert!(opened.layers[..limit].iter().all(|layer| layer.state == LayerState::Opened));
    assert_eq!(opened.layers[limit].state, LayerState::Unsupported);
}

#[test]
fn fifty_layers_of_packets_are_refused() {
    let (world, ..) = World::alice_and_bob();
    let mut packets = encrypted(&world, true, |stream| literal(stream, b"text"));
    for _ in 0..50 {
        let inner = packets.clone();
        packets = encrypted(&world, true, |mut stream| {
            stream.write_all(&inner).unwrap();
            stream.finalize().unwrap();
        });
    }
    let opened = world.open(&enclosed(&packets));
    assert!(opened.message.is_none());
    assert!(matches!(opened.layers[0].state, LayerState::Damaged | LayerState::Unsupported));
}

#[test]
fn fifty_levels_of_mime_do_not_hurt() {
    let (world, ..) = World::alice_and_bob();
    let mut text = String::new();
    for level in 0..50 {
        text.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"));
    }
    let message = letter(&format!("{text}Content-Type: text/plain\n\nhello\n"));
    assert!(world.open(&message).layers.is_empty());
    let alice = &world.secrets[0];
    let sealed = sealed(&message, &plain_seal(&[world.usable(BOB)], Some(alice)));
    assert_eq!(world.open(&sealed).layers[1].state, LayerState::Valid);
}

#[test]
fn damaged_armor_is_damage_and_not_an_error() {
    let (world, ..) = World::alice_and_bob();
    let sealed = text_of(&sealed(&text_letter(), &plain_seal(&[world.usable(BOB)], None)));
    for (from, to) in [("-----END PGP MESSAGE-----\r\n", ""), ("\r\n\r\nwV", "\r\n\r\n!!")] {
        assert!(sealed.contains(from), "{sealed}");
        assert_eq!(
            refused(&world, &Message::parse(sealed.replacen(from, to, 1).as_bytes())).0,
            LayerState::Damaged
        );
    }
    let truncated = &sealed[..sealed.len() / 2];
    assert_eq!(refused(&world, &Message::parse(truncated.as_bytes())).0, LayerState::Damaged);
}

#[test]
fn many_recipients_and_signatures_are_bounded() {
    let (world, ..) = World::alice_and_bob();
    let usable = world.usable(BOB);
    let key = usable.cert().keys().find(|ka| ka.key().fingerprint() == *usable.subkey()).unwrap();
    let mut pkesk = pgp::packet::pkesk::PKESK3::for_recipient(
        pgp::types::SymmetricAlgorithm::AES256,
        &pgp::crypto::SessionKey::from(vec![7; 32]),
        key.key(),
    )
    .unwrap();
    pkesk.set_recipient(None);
    let mut packets = Vec::new();
    for _ in 0..2000 {
        pgp::Packet::from(pkesk.clone()).serialize(&mut packets).unwrap();
    }
    packets.extend_from_slice(&encrypted(&world, false, |stream| literal(stream, b"text")));
    let start = Instant::now();
    world.open(&enclosed(&packets));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_key_under_a_passphrase_and_a_certificate_without_secrets_are_refused() {
    let (cert, _) = generate(&GenerateOptions::new(vec![format!("<{ALICE}>")], BORN)).unwrap();
    let public = cert.strip_secret_key_material();
    assert!(matches!(SecretCert::new(public), Err(SecretCertError::NoSecret(_))));
}

#[test]
fn a_certificate_that_lost_the_named_key_fails_instead_of_using_another() {
    // Usable names its key; there is no way to build one that does not hold it, so the error is only
    // reachable through a store that changed. What can be shown: nothing is ever sent to no key at all.
    let (_, alice, _) = World::alice_and_bob();
    let nothing = Seal { aead: true, ..plain_seal(&[], None) };
    assert!(matches!(seal(&text_letter(), &nothing, &mail::Spill::default()), Err(SealError::NothingToDo)));
    drop(alice);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_packets_and_texts_never_panic(packets in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        let world = &*WORLD;
        world.open(&enclosed(&packets));
        world.open(&Message::parse(text.as_bytes()));
        let _ = armor::dearmor(text.as_bytes(), 100);
        let _ = armor::dearmor(&packets, 100);
        world.open(&letter(&format!("Content-Type: text/plain\n\n-----BEGIN PGP SIGNED MESSAGE-----\n{text}\n-----BEGIN PGP SIGNATURE-----\n\n{text}\n-----END PGP SIGNATURE-----\n")));
    }

    #[test]
    fn mutated_packets_never_open_to_something_else(at in any::<prop::sample::Index>(), byte: u8, aead: bool) {
        let world = &*WORLD;
        let mut packets = encrypted(world, aead, |stream| literal(stream, b"Content-Type: text/plain\r\n\r\nsecret\r\n"));
        let at = at.index(packets.len());
        packets[at] = byte;
        if let Some(message) = world.open(&enclosed(&packets)).message {
            prop_assert!(text_of(&message).ends_with("\r\nsecret\r\n"));
        }
    }
}

static WORLD: std::sync::LazyLock<World> = std::sync::LazyLock::new(|| World::alice_and_bob().0);
