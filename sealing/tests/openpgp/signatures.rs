//! Whose signature it is, and whether it holds.

use mail::Message;
use sealing::Binding;
use sealing::LayerState;
use sealing::openpgp::GenerateOptions;
use sealing::openpgp::KeySuite;
use sealing::openpgp::KeyVersion;
use sealing::openpgp::SealError;
use sealing::openpgp::SecretCert;
use sealing::openpgp::generate;
use sealing::openpgp::seal;
use sequoia_openpgp as pgp;

use crate::support::*;

fn signed_by(secret: &SecretCert) -> String {
    text_of(&sealed(&text_letter(), &plain_seal(&[], Some(secret))))
}

fn state(world: &World, text: &str) -> (LayerState, String) {
    let opened = world.open(&Message::parse(text.as_bytes()));
    assert!(opened.edits.is_empty());
    let layer = opened.layers.into_iter().next().unwrap();
    assert_eq!(layer.signer_subject.is_some(), layer.state == LayerState::Valid);
    assert_eq!(layer.binding.is_some(), layer.state == LayerState::Valid);
    (layer.state, layer.why.unwrap_or_default())
}

#[test]
fn a_signature_by_somebody_else_than_from_is_not_valid() {
    let (world, _, bob) = World::alice_and_bob();
    let (state, why) = state(&world, &signed_by(&bob));
    assert_eq!(state, LayerState::WrongSigner);
    assert!(why.contains(ALICE), "{why}");
}

#[test]
fn a_signature_without_a_single_author_is_not_valid() {
    let (world, alice, _) = World::alice_and_bob();
    let signed = signed_by(&alice);
    assert_eq!(state(&world, &signed).0, LayerState::Valid);
    let from = format!("From: Alice <{ALICE}>\r\n");
    for other in [
        format!("From: {ALICE}, eve@evil.example\r\n"),
        format!("From: eve@evil.example, {ALICE}\r\n"),
        format!("{from}From: eve@evil.example\r\n"),
        format!("From: eve@evil.example\r\n{from}"),
        format!("{from}{from}"),
        "From: nobody\r\n".to_owned(),
        "From: \r\n".to_owned(),
        format!("From: <{ALICE}> <eve@evil.example>\r\n"),
        String::new(),
    ] {
        let (state, why) = state(&world, &signed.replacen(&from, &other, 1));
        assert_eq!(state, LayerState::WrongSigner, "{other}");
        assert!(why.contains("From"), "{why}");
    }
    let (state, _) =
        state(&world, &signed.replacen(&from, &format!("From: \"{ALICE}\" <eve@evil.example>\r\n"), 1));
    assert_eq!(state, LayerState::WrongSigner);
}

#[test]
fn a_domain_signature_counts_for_every_address_of_the_domain() {
    let mut world = World::new();
    let gateway = world.add("domain-signing-authority@alpha.example", KeyVersion::V4, KeySuite::Curve25519);
    let opened = world.open(&Message::parse(signed_by(&gateway).as_bytes()));
    let layer = &opened.layers[0];
    assert_eq!((layer.state, layer.binding), (LayerState::Valid, Some(Binding::Domain)), "{layer:?}");
}

#[test]
fn an_unknown_signer_is_told_as_unknown() {
    let (world, ..) = World::alice_and_bob();
    let options = GenerateOptions::new(vec![format!("<{ALICE}>")], BORN);
    let stranger = SecretCert::new(generate(&options).unwrap().0).unwrap();
    let opened = world.open(&Message::parse(signed_by(&stranger).as_bytes()));
    assert_eq!(opened.layers[0].state, LayerState::UnknownSigner);
    assert_eq!(opened.layers[0].signer.as_deref(), Some(&*stranger.fingerprint().to_hex()));
}

#[test]
fn changed_content_makes_a_signature_invalid_whatever_was_changed() {
    let (world, alice, _) = World::alice_and_bob();
    let signed = signed_by(&alice);
    for (from, to) in [
        ("at noon?\r\n", "at nine?\r\n"),
        ("Hello Bob,\r\n", "Hello Bob, \r\n"),
        ("charset=us-ascii\r\n\r\nHello", "charset=utf-8\r\n\r\nHello"),
        ("at noon?\r\n\r\n--", "at noon?\r\n\r\n\r\n--"),
    ] {
        let (state, why) = state(&world, &signed.replacen(from, to, 1));
        assert_eq!(state, LayerState::Invalid, "{from:?} to {to:?}");
        assert!(!why.is_empty());
    }
    assert_eq!(
        state(&world, &signed.replace("\r\n", "\n")).0,
        LayerState::Valid,
        "line ends of a stored message"
    );
    assert_eq!(state(&world, &signed.replacen("Subject: lunch", "Subject: dinner", 1)).0, LayerState::Valid);
}

#[test]
fn a_broken_signature_part_is_invalid_and_said_so() {
    let (world, alice, _) = World::alice_and_bob();
    let signed = signed_by(&alice);
    let start = signed.find("-----BEGIN PGP SIGNATURE").unwrap();
    let end = signed.find("-----END PGP SIGNATURE-----\r\n").unwrap();
    for armor in
        ["", "garbage\r\n", "-----BEGIN PGP SIGNATURE-----\r\n\r\nAAAA\r\n-----END PGP SIGNATURE-----\r\n"]
    {
        let text = format!("{}{armor}{}", &signed[..start], &signed[end + 29..]);
        assert_eq!(state(&world, &text).0, LayerState::Invalid, "{armor}");
    }
    let text = format!("{}{}", &signed[..end], &signed[end + 29..]);
    assert_eq!(state(&world, &text).0, LayerState::Invalid, "truncated armor");
}

#[test]
fn signatures_from_the_future_and_from_expired_or_revoked_keys_are_invalid() {
    let (world, alice, _) = World::alice_and_bob();
    let later =
        sealed(&text_letter(), &sealing::openpgp::Seal { now: NOW + 3600, ..plain_seal(&[], Some(&alice)) });
    assert_eq!(state(&world, &text_of(&later)).0, LayerState::Invalid);
    let soon =
        sealed(&text_letter(), &sealing::openpgp::Seal { now: NOW + 60, ..plain_seal(&[], Some(&alice)) });
    assert_eq!(state(&world, &text_of(&soon)).0, LayerState::Valid, "within the tolerance for clocks");

    // A key that expired an hour ago, made to sign half an hour ago by turning its clock back.
    let options = GenerateOptions {
        valid_days: Some(1),
        ..GenerateOptions::new(vec![format!("<{ALICE}>")], BORN - 3600)
    };
    let expired = SecretCert::new(generate(&options).unwrap().0).unwrap();
    let world = World::new();
    world.add_cert(expired.cert());
    let now = seal(&text_letter(), &plain_seal(&[], Some(&expired)), &mail::Spill::default());
    assert!(matches!(now, Err(SealError::Signer(_))), "an expired key does not sign");
    let before = sealed(
        &text_letter(),
        &sealing::openpgp::Seal { now: NOW - 7200, ..plain_seal(&[], Some(&expired)) },
    );
    assert_eq!(state(&world, &text_of(&before)).0, LayerState::Valid, "signed while it was valid");
    let after = text_of(&sign_with(&expired, NOW - 1800));
    let (verdict, why) = state(&world, &after);
    assert_eq!(verdict, LayerState::Invalid);
    assert!(why.to_lowercase().contains("expired"), "{why}");
}

#[test]
fn a_revoked_signer_is_invalid_and_cannot_sign() {
    let options = GenerateOptions::new(vec![format!("<{ALICE}>")], BORN);
    let (cert, revocation) = generate(&options).unwrap();
    let secret = SecretCert::new(cert.clone()).unwrap();
    let signed = signed_by(&secret);
    let world = World::new();
    world.add_cert(&cert);
    assert_eq!(state(&world, &signed).0, LayerState::Valid);
    let revoked = cert.insert_packets(pgp::Packet::from(revocation)).unwrap().0;
    world.add_cert(&revoked);
    let (verdict, why) = state(&world, &signed);
    assert_eq!(verdict, LayerState::Invalid);
    assert!(why.contains("revoked"), "{why}");
    let secret = SecretCert::new(revoked).unwrap();
    let again = seal(&text_letter(), &plain_seal(&[], Some(&secret)), &mail::Spill::default());
    assert!(matches!(again, Err(SealError::Signer(_))));
}

/// Signs without asking whether the key may.
fn sign_with(secret: &SecretCert, at: i64) -> Message {
    use pgp::serialize::stream::{Message as Stream, Signer};
    use std::io::Write as _;

    let data = "Content-Type: text/plain\r\n\r\nlate\r\n";
    let tsk =
        <pgp::Cert as pgp::parse::Parse<_>>::from_bytes(&secret.to_secret_bytes().unwrap()[..]).unwrap();
    let pair = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let mut out = Vec::new();
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at as u64);
    let signer = Signer::new(Stream::new(&mut out), pair).unwrap().detached().creation_time(created);
    let mut signer = signer.build().unwrap();
    signer.write_all(data.as_bytes()).unwrap();
    signer.finalize().unwrap();
    let signature = sealing::openpgp::armor::armor(&out, sealing::openpgp::armor::Kind::Signature).unwrap();
    letter(&format!(
        "Content-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\n\n--s\n{data}\n--s\n\
         Content-Type: application/pgp-signature\n\n{}\n--s--\n",
        String::from_utf8(signature).unwrap().replace("\r\n", "\n")
    ).replace("\r\n", "\n"))
}

#[test]
fn a_failed_look_up_is_no_verdict() {
    let (mut world, alice, _) = World::alice_and_bob();
    let signed = Message::parse(signed_by(&alice).as_bytes());
    let encrypted = sealed(&text_letter(), &plain_seal(&[world.usable(BOB)], None));
    world.broken = true;
    for message in [signed, encrypted] {
        let error = sealing::open(
            &message,
            sealing::Keys { openpgp: &world, smime: &sealing::smime::NoKeys },
            NOW,
            &mail::Spill::default(),
            &Default::default(),
        );
        assert!(matches!(error, Err(sealing::OpenError::Keys(_))));
    }
}
