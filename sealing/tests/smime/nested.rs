//! Layers in layers, and layers that lie about themselves.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use keydir::Answer;
use mail::Message;
use mail::Spill;
use sealing::HeaderProtection;
use sealing::LayerKind::Encrypted;
use sealing::LayerKind::Signed;
use sealing::LayerState;
use sealing::LayerState::Invalid;
use sealing::LayerState::Opened;
use sealing::LayerState::Unsupported;
use sealing::LayerState::Valid;
use sealing::Limits;
use sealing::cms;
use sealing::cms::ContentKind;
use sealing::openpgp;
use sealing::openpgp::KeySuite;
use sealing::openpgp::KeyVersion;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::SignedForm;

use crate::matrix::base64;
use crate::matrix::cms_part;
use crate::matrix::multipart_signed;
use crate::matrix::object_of;
use crate::support;
use crate::world::*;

/// Alice signs, Bob's mail is opened by us.
fn world() -> (World, Person) {
    let mut world = World::new();
    let alice = world.person("alice", &Draft::user(ALICE, "EC:P-256"));
    let bob = world.person("bob", &Draft::user("bob@beta.example", "EC:P-256"));
    world.ours.push(bob);
    (world, alice)
}

/// An encrypted CMS object around an entity.
fn envelope(world: &World, content: &[u8], cipher: ContentCipher) -> Vec<u8> {
    let mut out = Vec::new();
    let to = cms::Recipient { certificate: world.ours[0].certificate(), transport: KeyTransport::Oaep };
    let length = content.len() as u64;
    cms::encrypt(&mut out, &[to], cipher, ContentKind::Data, length, |sink| sink.write_all(content)).unwrap();
    out
}

/// SignedData around an entity.
fn opaque(person: &Person, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let signer = cms::Signer::new(&person.secret, now());
    cms::sign_opaque(&mut out, &signer, |sink| sink.write_all(content)).unwrap();
    out
}

/// CompressedData (RFC 3274) around an entity; openssl of Debian is built without zlib.
fn compressed(content: &[u8]) -> Vec<u8> {
    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], &length[..], &body].concat()
    }
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(content).unwrap();
    let data = tlv(0xa0, &[&tlv(0x04, &[&zlib.finish().unwrap()])]);
    let inside = tlv(0x30, &[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", &data]);
    let algorithm = tlv(0x30, &[b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x03\x08"]);
    let object = tlv(0x30, &[b"\x02\x01\x00", &algorithm, &inside]);
    tlv(0x30, &[b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x09", &tlv(0xa0, &[&object])])
}

#[test]
fn a_triple_wrapped_message_is_opened_and_each_signature_told() {
    let (world, alice) = world();
    let inner = entity(&signed(&text_letter(), &alice, SignedForm::Clear));
    let middle = cms_part("authEnveloped-data", &envelope(&world, &inner, ContentCipher::Aes256Gcm));
    let all = [(Signed, Valid), (Encrypted, Opened), (Signed, Valid)];
    // RFC 2634 section 1.1, the outer signature opaque and clear.
    let outer = around(&cms_part("signed-data", &opaque(&alice, &middle)));
    let opened = world.open(&outer);
    assert_eq!(states(&opened), all, "{:?}", opened.layers);
    let parts: Vec<_> = opened.layers.iter().map(|layer| layer.part.as_deref().unwrap()).collect();
    assert_eq!(parts, ["1", "1/1", "1/1/2"], "RFC 7281 section 3.2.1");
    assert_eq!(entity(&opened.message.unwrap()), inner, "the author's own signature stays");

    let signature =
        cms::sign_detached(&cms::Signer::new(&alice.secret, now()), |sink| sink.write_all(&middle)).unwrap();
    let opened = world.open(&around(&multipart_signed(&middle, &signature)));
    assert_eq!(states(&opened), all, "{:?}", opened.layers);
    let parts: Vec<_> = opened.layers.iter().map(|layer| layer.part.as_deref().unwrap()).collect();
    assert_eq!(parts, ["2", "1", "1/2"], "RFC 7281 section 3.2.1");
    assert!(text_of(&opened.message.unwrap()).contains("the vault opens"));
}

#[test]
fn damage_that_a_cipher_without_authentication_finds_is_told_apart_from_other_damage() {
    let (world, _) = world();
    // A whole number of blocks, so that the last block is padding alone.
    let mut content = entity(&text_letter());
    content.resize(content.len().next_multiple_of(16), b' ');
    let open = |kind: &str, object: &[u8]| {
        let opened = world.open(&around(&cms_part(kind, object)));
        let layer = only(&opened).clone();
        (layer.state, layer.malleable)
    };
    let mut cbc = envelope(&world, &content, ContentCipher::Aes256Cbc);
    assert_eq!(open("enveloped-data", &cbc), (Opened, true));
    // Padding of no length.
    let at = cbc.len() - 17;
    cbc[at] ^= 16;
    assert_eq!(open("enveloped-data", &cbc), (LayerState::Damaged, true));
    let mut gcm = envelope(&world, &content, ContentCipher::Aes256Gcm);
    assert_eq!(open("authEnveloped-data", &gcm), (Opened, false));
    let at = gcm.len() - 40;
    gcm[at] ^= 16;
    assert_eq!(open("authEnveloped-data", &gcm), (LayerState::Damaged, false));
}

#[test]
fn either_standard_is_opened_inside_the_other() {
    let (world, alice) = world();
    let mut pgp = support::World::at(now());
    pgp.add(ALICE, KeyVersion::V4, KeySuite::Curve25519);
    pgp.add("bob@beta.example", KeyVersion::V4, KeySuite::Curve25519);
    let by_pgp = |message: &Message| {
        let recipients = [pgp.usable("bob@beta.example")];
        let spec = openpgp::Seal {
            recipients: &recipients,
            signer: Some(&pgp.secrets[0]),
            aead: false,
            hide_recipients: false,
            header: HeaderProtection::Off,
            whole: false,
            now: now(),
        };
        support::sealed(message, &spec)
    };
    let open = |message: &Message| {
        let keys = sealing::Keys { openpgp: &pgp, smime: &world };
        sealing::open(message, keys, now(), &Spill::default(), &Limits::default()).unwrap()
    };

    let signed_inside = signed(&text_letter(), &alice, SignedForm::Clear);
    let opened = open(&by_pgp(&signed_inside));
    assert_eq!(opened.layers[0].scheme, keydir::Scheme::Openpgp);
    assert!(states(&opened).contains(&(Signed, Valid)), "{:?}", opened.layers);
    assert_eq!(entity(&opened.message.unwrap()), entity(&signed_inside));

    let smime_outside =
        around(&cms_part("x", &envelope(&world, &entity(&by_pgp(&text_letter())), ContentCipher::Aes256Gcm)));
    let opened = open(&smime_outside);
    assert_eq!(
        states(&opened),
        [(Encrypted, Opened), (Encrypted, Opened), (Signed, Valid)],
        "{:?}",
        opened.layers
    );
    assert_eq!(
        opened.layers.iter().map(|layer| layer.scheme).collect::<Vec<_>>(),
        [keydir::Scheme::Smime, keydir::Scheme::Openpgp, keydir::Scheme::Openpgp,]
    );
    assert_eq!(entity(&opened.message.unwrap()), entity(&text_letter()));

    let sealed = sealed(
        &text_letter(),
        Some(signer(&alice, SignedForm::Opaque)),
        &[&world.ours[0]],
        ContentCipher::Aes256Gcm,
        KeyTransport::Oaep,
    );
    // Our own sealing refuses to encrypt twice, so the packets are put around by hand.
    let secret = pgp.secrets[1].clone();
    assert!(
        openpgp::seal(
            &sealed,
            &openpgp::Seal {
                recipients: &[pgp.usable("bob@beta.example")],
                signer: None,
                aead: false,
                hide_recipients: false,
                header: HeaderProtection::Off,
                whole: false,
                now: now(),
            },
            &Spill::default()
        )
        .is_err(),
        "{secret:?}"
    );
}

#[test]
fn compressed_content_is_unpacked_outside_and_inside_of_protection() {
    let (world, alice) = world();
    let plain = entity(&text_letter());
    let in_signature = entity(&signed(&text_letter(), &alice, SignedForm::Clear));
    let packed = cms_part("compressed-data", &compressed(&plain));
    for (message, expected, result) in [
        (packed.clone(), vec![], plain.clone()),
        (
            cms_part(
                "compressed-data",
                &compressed(&cms_part("e", &envelope(&world, &in_signature, ContentCipher::Aes256Gcm))),
            ),
            vec![(Encrypted, Opened), (Signed, Valid)],
            in_signature.clone(),
        ),
        (
            cms_part(
                "e",
                &envelope(
                    &world,
                    &cms_part("compressed-data", &compressed(&in_signature)),
                    ContentCipher::Aes256Gcm,
                ),
            ),
            vec![(Encrypted, Opened), (Signed, Valid)],
            in_signature.clone(),
        ),
    ] {
        let opened = world.open(&around(&message));
        assert_eq!(states(&opened), expected, "{:?}", opened.layers);
        assert_eq!(entity(&opened.message.unwrap()), result);
    }
    // Signed around compressed: the signature is over what is packed, so it stays.
    let signature =
        cms::sign_detached(&cms::Signer::new(&alice.secret, now()), |sink| sink.write_all(&packed)).unwrap();
    let opened = world.open(&around(&multipart_signed(&packed, &signature)));
    assert_eq!(states(&opened), [(Signed, Valid)], "{:?}", opened.layers);
}

#[test]
fn deeper_than_the_limit_nothing_is_opened_and_nothing_shown() {
    let (world, _) = world();
    let mut content = entity(&text_letter());
    for _ in 0..20 {
        content = cms_part("authEnveloped-data", &envelope(&world, &content, ContentCipher::Aes256Gcm));
    }
    let opened = world.open(&around(&content));
    let last = opened.layers.last().unwrap();
    assert_eq!((last.state, why(last)), (Unsupported, "too many layers"), "{:?}", opened.layers);
    assert_eq!(opened.layers.len(), Limits::default().layers + 1);
    assert!(!text_of(&opened.message.unwrap()).contains("vault"));
}

#[test]
fn the_content_type_of_the_object_counts_and_not_what_the_header_says() {
    let (world, alice) = world();
    let sealed = envelope(&world, &entity(&text_letter()), ContentCipher::Aes256Cbc);
    for lie in ["signed-data", "certs-only", "compressed-data", "authEnveloped-data", "nonsense"] {
        let opened = world.open(&around(&cms_part(lie, &sealed)));
        assert_eq!(states(&opened), [(Encrypted, Opened)], "{lie}");
        assert!(only(&opened).malleable, "CBC, whatever the header says");
        assert!(text_of(&opened.message.unwrap()).contains("vault"));
    }
    let whole = opaque(&alice, &entity(&text_letter()));
    for lie in ["enveloped-data", "authEnveloped-data"] {
        let message = around(&cms_part(lie, &whole));
        assert_eq!(sealing::recognise(&message).protection, sealing::Protection::Signed, "{lie}");
        assert_eq!(states(&world.open(&message)), [(Signed, Valid)], "{lie}");
    }
    // What relays make of a type that they do not know.
    let mut octets = b"Content-Type: application/octet-stream; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
    octets.extend(base64(&sealed));
    assert_eq!(states(&world.open(&around(&octets))), [(Encrypted, Opened)]);
}

#[test]
fn an_opaque_message_that_was_altered_stays_as_it_came() {
    let (world, alice) = world();
    let whole = opaque(&alice, &entity(&text_letter()));
    let at = whole.windows(5).position(|window| window == b"vault").unwrap();
    let mut altered = whole.clone();
    altered[at] = b'f';
    for (object, state) in [(whole, Valid), (altered, Invalid)] {
        let message = around(&cms_part("signed-data", &object));
        let opened = world.open(&message);
        assert_eq!(states(&opened), [(Signed, state)], "{:?}", opened.layers);
        assert!(opened.edits.is_empty() && opened.message.is_none());
        // Inside of encryption the recipient gets other bytes anyway, but none that nobody vouches for as if
        // somebody did.
        let message = around(&cms_part(
            "x",
            &envelope(&world, &cms_part("signed-data", &object), ContentCipher::Aes256Gcm),
        ));
        let opened = world.open(&message);
        assert_eq!(states(&opened), [(Encrypted, Opened), (Signed, state)], "{:?}", opened.layers);
        let result = opened.message.unwrap();
        match state {
            Valid => assert_eq!(entity(&result), entity(&text_letter())),
            _ => assert_eq!(object_of(&result), object),
        }
    }
}

#[test]
fn a_part_beside_the_signature_is_not_taken_for_signed() {
    let (world, alice) = world();
    let content = entity(&text_letter());
    let signature =
        cms::sign_detached(&cms::Signer::new(&alice.secret, now()), |sink| sink.write_all(&content)).unwrap();
    let whole = String::from_utf8(multipart_signed(&content, &signature)).unwrap();
    assert_eq!(states(&world.open(&around(whole.as_bytes()))), [(Signed, Valid)]);
    let evil = "--sig\r\nContent-Type: text/html\r\n\r\n<b>the vault opens at ten</b>\r\n";
    for at in ["--sig\r\nContent-Type: text/plain", "--sig\r\nContent-Type: application/pkcs7", "--sig--"] {
        let message = around(whole.replacen(at, &format!("{evil}{at}"), 1).as_bytes());
        let opened = world.open(&message);
        assert!(opened.layers.iter().all(|layer| layer.state != Valid), "{at}: {:?}", opened.layers);
        assert!(opened.edits.is_empty());
    }
    // Nor is anything around the multipart.
    let mixed = format!(
        "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n{}\r\n--m\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--m--\r\n",
        whole
    );
    let message = around(mixed.as_bytes());
    assert_eq!(sealing::recognise(&message).protection, sealing::Protection::None);
}

#[test]
fn what_is_damaged_gives_no_plaintext() {
    let (world, _) = world();
    for cipher in [ContentCipher::Aes256Gcm, ContentCipher::Aes256Cbc] {
        let sealed = envelope(&world, &entity(&text_letter()), cipher);
        let cut = sealed.len() / 2;
        for damaged in [sealed[..cut].to_vec(), sealed[..sealed.len() - 1].to_vec(), {
            let mut flipped = sealed.clone();
            let at = flipped.len() - 2;
            flipped[at] ^= 1;
            flipped
        }] {
            let message = around(&cms_part("enveloped-data", &damaged));
            let opened = world.open(&message);
            let told: Vec<_> = opened.layers.iter().map(|layer| layer.state).collect();
            // A changed last block of CBC can only be seen by its padding, which this change may keep.
            let seen = told == [LayerState::Damaged];
            assert!(seen || cipher == ContentCipher::Aes256Cbc, "{cipher:?} {told:?}");
            if seen {
                assert!(opened.edits.is_empty());
            } else {
                assert!(opened.layers[0].malleable);
            }
        }
    }
}

#[test]
fn a_look_up_that_fails_makes_the_mail_wait() {
    let (world, alice) = world();
    struct Locked;
    impl sealing::smime::Keys for Locked {
        fn secrets(
            &self,
            _: &[sealing::smime::RecipientId],
        ) -> Answer<Vec<std::sync::Arc<sealing::smime::SecretKey>>> {
            Answer::CouldNotTell { why: "locked".into() }
        }
        fn cover(&self, _: &[sealing::smime::RecipientId]) -> Answer<()> {
            Answer::CouldNotTell { why: "locked".into() }
        }
        fn anchors(&self) -> std::sync::Arc<keydir::Anchors> {
            std::sync::Arc::new(keydir::Anchors::none())
        }
        fn certificates(&self, _: &sealing::smime::RecipientId) -> Answer<Vec<keydir::Certificate>> {
            Answer::CouldNotTell { why: "locked".into() }
        }
        fn assigned(&self, _: &keydir::Certificate, _: &mail::Address) -> Answer<sealing::Binding> {
            Answer::CouldNotTell { why: "locked".into() }
        }
    }
    let pgp = support::World::at(now());
    let sealed = encrypted(&text_letter(), &[&world.ours[0]]);
    let signed = signed(&text_letter(), &alice, SignedForm::Clear);
    for message in [sealed, signed] {
        let keys = sealing::Keys { openpgp: &pgp, smime: &Locked };
        let opened = sealing::open(&message, keys, now(), &Spill::default(), &Limits::default());
        assert!(matches!(opened, Err(sealing::OpenError::Keys(_))), "{opened:?}");
    }
}
