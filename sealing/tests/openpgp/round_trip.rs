//! What was sealed opens to the same bytes.

use std::sync::Arc;

use mail::Message;
use mail::Spill;
use proptest::prelude::*;
use sealing::Binding;
use sealing::LayerKind;
use sealing::LayerState;
use sealing::Protection;
use sealing::openpgp::KeySuite;
use sealing::openpgp::KeyVersion;
use sealing::openpgp::Seal;
use sealing::openpgp::SealError;
use sealing::openpgp::seal;
use sealing::openpgp::sealed_size_estimate;
use sealing::recognise;

use crate::support::*;

const KEYS: [(KeyVersion, KeySuite); 6] = [
    (KeyVersion::V4, KeySuite::Curve25519),
    (KeyVersion::V4, KeySuite::P256),
    (KeyVersion::V4, KeySuite::Rsa2048),
    (KeyVersion::V4, KeySuite::Rsa3072),
    (KeyVersion::V4, KeySuite::Rsa4096),
    (KeyVersion::V6, KeySuite::Curve25519),
];

#[test]
fn every_kind_of_key_signs_encrypts_opens_and_verifies() {
    let message = text_letter();
    for (version, suite) in KEYS {
        let mut world = World::new();
        let alice = world.add(ALICE, version, suite);
        world.add(BOB, version, suite);
        let bob = [world.usable(BOB)];
        for (aead, hide) in [(false, false), (true, false), (false, true), (true, true)] {
            let name = format!("{version:?} {suite:?} aead {aead} hide {hide}");
            let spec = Seal { aead, hide_recipients: hide, ..plain_seal(&bob, Some(&alice)) };
            let sealed = sealed(&message, &spec);
            assert_eq!(recognise(&sealed).protection, Protection::Encrypted, "{name}");
            assert_eq!(other_fields(&sealed), other_fields(&message), "{name}");
            assert!(!text_of(&sealed).contains("noon"), "{name}");
            let opened = world.open(&sealed);
            let [encrypted, signed] = &opened.layers[..] else { panic!("{name}: {:?}", opened.layers) };
            assert_eq!(
                (encrypted.kind, encrypted.state),
                (LayerKind::Encrypted, LayerState::Opened),
                "{name}"
            );
            assert_eq!((signed.kind, signed.state), (LayerKind::Signed, LayerState::Valid), "{name}");
            assert_eq!(signed.signer.as_deref(), Some(&*alice.fingerprint().to_hex()));
            assert_eq!((signed.binding, signed.signed_at), (Some(Binding::User), Some(NOW)));
            assert_eq!(opened.message.unwrap().to_vec().unwrap(), message.to_vec().unwrap(), "{name}");
        }
        let signed = sealed(&message, &plain_seal(&[], Some(&alice)));
        assert_eq!(recognise(&signed).protection, Protection::Signed);
        let opened = world.open(&signed);
        assert_eq!(opened.layers[0].state, LayerState::Valid, "{version:?} {suite:?}: {:?}", opened.layers);
        assert!(opened.edits.is_empty() && opened.message.is_none());
    }
}

#[test]
fn exactly_the_named_subkey_of_each_recipient_is_encrypted_to() {
    let (world, _, bob) = World::alice_and_bob();
    let usable = [world.usable(BOB)];
    let sealed = sealed(&text_letter(), &plain_seal(&usable, None));
    let text = text_of(&sealed);
    let (_, packets) = sealing::openpgp::armor::dearmor(text.as_bytes(), 1 << 20).unwrap();
    let pile =
        <sequoia_openpgp::PacketPile as sequoia_openpgp::parse::Parse<_>>::from_bytes(&packets[..]).unwrap();
    let recipients: Vec<_> = pile
        .descendants()
        .filter_map(|packet| match packet {
            sequoia_openpgp::Packet::PKESK(pkesk) => pkesk.recipient(),
            _ => None,
        })
        .collect();
    assert_eq!(recipients.len(), 1);
    assert!(recipients[0].aliases(sequoia_openpgp::KeyHandle::from(usable[0].subkey().clone())));
    assert_ne!(usable[0].subkey(), &bob.fingerprint());
}

#[test]
fn aead_has_no_checksum_and_v1_has_one() {
    let (world, ..) = World::alice_and_bob();
    let bob = [world.usable(BOB)];
    for aead in [false, true] {
        let text = text_of(&sealed(&text_letter(), &Seal { aead, ..plain_seal(&bob, None) }));
        let armor: Vec<_> = text.lines().filter(|line| line.starts_with('=') && line.len() == 5).collect();
        assert_eq!(armor.len(), usize::from(!aead));
    }
}

#[test]
fn aead_is_used_only_if_every_recipient_announces_it() {
    let mut world = World::new();
    world.add(ALICE, KeyVersion::V4, KeySuite::Curve25519);
    world.for_gpg = true;
    world.add(BOB, KeyVersion::V4, KeySuite::Curve25519);
    let both = [world.usable(ALICE), world.usable(BOB)];
    for (to, version) in [(&both[..1], 2), (&both[1..], 1), (&both[..], 1)] {
        let text = text_of(&sealed(&text_letter(), &Seal { aead: true, ..plain_seal(to, None) }));
        let (_, packets) = sealing::openpgp::armor::dearmor(text.as_bytes(), 1 << 20).unwrap();
        let pile =
            <sequoia_openpgp::PacketPile as sequoia_openpgp::parse::Parse<_>>::from_bytes(&packets[..])
                .unwrap();
        let container = pile.descendants().find(|packet| packet.tag() == sequoia_openpgp::packet::Tag::SEIP);
        assert_eq!(container.and_then(|packet| packet.version()), Some(version));
        assert_eq!(pile.children().count(), to.len() + 1);
    }
    let twice = [world.usable(BOB), world.usable(BOB)];
    let text = text_of(&sealed(&text_letter(), &plain_seal(&twice, None)));
    let (_, packets) = sealing::openpgp::armor::dearmor(text.as_bytes(), 1 << 20).unwrap();
    let pile =
        <sequoia_openpgp::PacketPile as sequoia_openpgp::parse::Parse<_>>::from_bytes(&packets[..]).unwrap();
    assert_eq!(pile.children().count(), 2, "one session key packet for one key");
}

#[test]
fn a_message_without_content_type_becomes_plain_text_inside() {
    let (world, ..) = World::alice_and_bob();
    let message = Message::parse(format!("From: {ALICE}\r\n\r\nhi\r\n").as_bytes());
    let sealed = sealed(&message, &plain_seal(&[world.usable(BOB)], None));
    assert!(text_of(&sealed).contains("\r\nMIME-Version: 1.0\r\n"));
    let opened = world.open(&sealed).message.unwrap();
    assert_eq!(
        text_of(&opened),
        format!("From: {ALICE}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhi\r\n")
    );
}

#[test]
fn html_only_mail_keeps_its_content_type_and_transfer_encoding() {
    let (world, alice, _) = World::alice_and_bob();
    let message = letter(
        "Content-Type: text/html;\n charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\n<p>K=C3=B6ln</p>\n",
    );
    let sealed = sealed(&message, &plain_seal(&[world.usable(BOB)], Some(&alice)));
    assert_eq!(entity_bytes(&world.open(&sealed).message.unwrap()), entity_bytes(&message));
}

#[test]
fn signing_makes_text_safe_and_leaves_safe_mail_and_protected_parts_alone() {
    let (world, alice, _) = World::alice_and_bob();
    let message = letter(
        "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\npreamble\n--b\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nFrom Köln \n-- \n--b\n\
         Content-Type: multipart/signed; boundary=c; protocol=\"application/pgp-signature\"\n\n--c\n\ntrailing \n--c\n\
         Content-Type: application/pgp-signature\n\nx\n--c--\n--b\n\
         Content-Type: application/octet-stream\nContent-Transfer-Encoding: 8bit\n\nbin ä\n--b\n\
         Content-Type: text/plain\n\nsafe\n--b--\nepilogue\n",
    );
    let signed = sealed(&message, &plain_seal(&[], Some(&alice)));
    let text = text_of(&signed);
    assert!(
        text.contains(
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n=46rom K=C3=B6ln=20\r\n--=20\r\n--b\r\n"
        ),
        "{text}"
    );
    assert!(text.contains("\r\n--c\r\n\r\ntrailing \r\n--c\r\n"), "{text}");
    assert!(text.contains("Content-Transfer-Encoding: base64\r\n\r\nYmluIMOk\r\n"), "{text}");
    assert!(text.contains("Content-Type: text/plain\r\n\r\nsafe\r\n--b--\r\nepilogue\r\n"), "{text}");
    assert!(text.contains("boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n"), "{text}");
    assert!(text.is_ascii());
    assert_eq!(world.open(&signed).layers[0].state, LayerState::Valid);
}

#[test]
fn mail_its_author_signed_is_encrypted_as_it_is_and_not_signed_again() {
    let (world, alice, bob) = World::alice_and_bob();
    let signed = sealed(&text_letter(), &plain_seal(&[], Some(&alice)));
    assert!(matches!(
        seal(&signed, &plain_seal(&[], Some(&bob)), &Spill::default()),
        Err(SealError::AlreadyProtected("signed"))
    ));
    let both = sealed(&signed, &plain_seal(&[world.usable(BOB)], Some(&bob)));
    let opened = world.open(&both);
    assert_eq!(entity_bytes(opened.message.as_ref().unwrap()), entity_bytes(&signed));
    let states: Vec<_> = opened.layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [LayerState::Opened, LayerState::Valid]);
    assert_eq!(opened.layers[1].signer.as_deref(), Some(&*alice.fingerprint().to_hex()));
}

#[test]
fn encrypted_mail_is_not_sealed_twice() {
    let (world, ..) = World::alice_and_bob();
    let bob = [world.usable(BOB)];
    let once = sealed(&text_letter(), &plain_seal(&bob, None));
    let twice = seal(&once, &plain_seal(&bob, None), &Spill::default());
    assert!(matches!(twice, Err(SealError::AlreadyProtected("encrypted"))));
    let nothing = seal(&text_letter(), &plain_seal(&[], None), &Spill::default());
    assert!(matches!(nothing, Err(SealError::NothingToDo)));
}

#[test]
fn hidden_recipients_leave_no_key_id_and_are_opened_by_trial() {
    let (mut world, alice, bob) = World::alice_and_bob();
    let to = [world.usable(BOB)];
    let hidden = sealed(&text_letter(), &Seal { hide_recipients: true, ..plain_seal(&to, Some(&alice)) });
    let opened = world.open(&hidden);
    assert_eq!(opened.layers[0].decrypted_with.as_deref(), Some(&*bob.fingerprint().to_hex()));
    world.lose(&bob);
    let opened = world.open(&hidden);
    assert_eq!(opened.layers[0].state, LayerState::NoKey);
    assert_eq!(opened.layers[0].why.as_deref(), Some("encrypted to a hidden key"));
}

#[test]
fn a_body_on_disk_is_sealed_and_opened_on_disk() {
    let (world, alice, _) = World::alice_and_bob();
    let spill = Spill { limit: 64 * 1024, ..Spill::default() };
    let mut text = format!(
        "From: {ALICE}\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
                        Content-Transfer-Encoding: base64\r\n\r\n"
    )
    .into_bytes();
    for line in 0..40_000 {
        text.extend_from_slice(format!("{line:076}\r\n").as_bytes());
    }
    let message = Message::read(&mut &text[..], &spill).unwrap();
    assert!(message.body().in_memory().is_none());
    for aead in [false, true] {
        let to = [world.usable(BOB)];
        let edits = seal(&message, &Seal { aead, ..plain_seal(&to, Some(&alice)) }, &spill).unwrap();
        let sealed = mail::apply(&message, &edits, &spill).unwrap();
        assert!(sealed.body().in_memory().is_none());
        assert!(sealed.len() <= sealed_size_estimate(message.len(), 1, true));
        let opened = sealing::open(
            &sealed,
            sealing::Keys { openpgp: &world, smime: &sealing::smime::NoKeys },
            NOW,
            &spill,
            &sealing::Limits::default(),
        )
        .unwrap();
        assert_eq!(opened.layers[1].state, LayerState::Valid);
        let inside = opened.message.unwrap();
        assert!(inside.body().in_memory().is_none());
        assert_eq!(inside.to_vec().unwrap(), text);
    }
}

#[test]
fn the_size_estimate_covers_real_mail_and_is_not_far_off() {
    let mut world = World::new();
    let alice = world.add(ALICE, KeyVersion::V4, KeySuite::Rsa4096);
    world.add(BOB, KeyVersion::V4, KeySuite::Rsa4096);
    let bob = world.usable(BOB);
    for size in [100, 10_000, 300_000] {
        for (text, label) in
            [("plain ascii text\n", "ascii"), ("grüße aus köln, schöne \n", "umlauts"), ("日本語\n", "cjk")]
        {
            let body = text.repeat(size / text.len() + 1);
            let message = letter(&format!(
                "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}"
            ));
            for (recipients, signer) in [(1, false), (1, true), (3, true), (0, true)] {
                let to = vec![bob.clone(); recipients];
                let spec = plain_seal(&to, signer.then_some(&*alice));
                let length = sealed(&message, &spec).len();
                let estimate = sealed_size_estimate(message.len(), recipients, signer);
                assert!(length <= estimate, "{label} {size}: {length} > {estimate}");
                assert!(estimate < length * 3 / 2 + 4096, "{label} {size}: {estimate} for {length}");
            }
        }
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        Just(b"\r\n".to_vec()),
        Just(b"--b\r\n".to_vec()),
        Just(b"From ".to_vec()),
        "[ -~]{0,90}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn header() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("Content-Type: text/plain\r\n"),
        Just(
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nContent-Language: de\r\n"
        ),
        Just("Content-Type: application/pdf;\r\n name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n"),
        Just("Content-Type: multipart/mixed; boundary=b\r\n"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn opening_what_was_encrypted_gives_the_original_entity(header in header(), body in body(), aead: bool) {
        let (world, ..) = &*WORLD;
        let head = format!("From: {ALICE}\r\nMIME-Version: 1.0\r\n{header}\r\n");
        let message = Message::parse(&[head.as_bytes(), &body].concat());
        let sealed = sealed(&message, &Seal { aead, ..plain_seal(&[world.usable(BOB)], None) });
        let opened = world.open(&sealed).message.unwrap();
        prop_assert_eq!(entity_bytes(&opened), entity_bytes(&message));
        prop_assert_eq!(opened.to_vec().unwrap(), message.to_vec().unwrap());
    }

    #[test]
    fn what_is_signed_verifies_and_decodes_to_the_same_content(header in header(), body in body()) {
        let (world, alice, _) = &*WORLD;
        let head = format!("From: {ALICE}\r\nMIME-Version: 1.0\r\n{header}\r\n");
        let message = Message::parse(&[head.as_bytes(), &body].concat());
        let signed = sealed(&message, &plain_seal(&[], Some(alice)));
        prop_assert_eq!(world.open(&signed).layers[0].state, LayerState::Valid);
        let root = signed.entity();
        let children = root.children(&mail::Limits::default()).unwrap();
        // The other way into the same entity: encrypted, it comes out as it was signed.
        let both = sealed(&message, &plain_seal(&[world.usable(BOB)], Some(alice)));
        let opened = world.open(&both);
        prop_assert_eq!(opened.layers[1].state, LayerState::Valid);
        prop_assert_eq!(entity_bytes(&opened.message.unwrap()), children[0].raw().to_vec().unwrap());
    }
}

static WORLD: std::sync::LazyLock<(
    World,
    Arc<sealing::openpgp::SecretCert>,
    Arc<sealing::openpgp::SecretCert>,
)> = std::sync::LazyLock::new(World::alice_and_bob);
