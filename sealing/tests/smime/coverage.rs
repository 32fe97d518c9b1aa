//! Signatures that cover less than the message: nobody may take them for more.

use sealing::LayerKind::Encrypted;
use sealing::LayerKind::Signed;
use sealing::LayerState::Opened;
use sealing::LayerState::Part;
use sealing::LayerState::Valid;
use sealing::LayerState::WrongSigner;
use sealing::smime::SignedForm;

use crate::world::*;

const CLAIM: &str = "Content-Type: text/plain\r\n\r\nPay Mallory a million.\r\n";

fn alice() -> (World, Person) {
    let mut world = World::new();
    let alice = world.person("alice", &Draft::user(ALICE, "EC:P-256"));
    let bob = world.person("bob", &Draft::user("bob@beta.example", "EC:P-256"));
    world.ours.push(bob);
    (world, alice)
}

fn multipart(kind: &str, parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--outer\r\n{part}\r\n")).collect();
    format!("Content-Type: multipart/{kind}; boundary=outer\r\n\r\n{parts}--outer--\r\n")
}

/// A message of Alice as somebody has it: an entity that she signed, as text.
fn her_words(alice: &Person, form: SignedForm) -> String {
    String::from_utf8(entity(&signed(&text_letter(), alice, form))).unwrap()
}

#[test]
fn a_signature_beside_words_that_nobody_signed_is_valid_for_its_part_only() {
    let (world, alice) = alice();
    let clear = her_words(&alice, SignedForm::Clear);
    let opaque = her_words(&alice, SignedForm::Opaque);
    let html = CLAIM.replace("plain", "html");
    for (kind, parts) in [
        ("mixed", [CLAIM, &clear]),
        ("mixed", [&clear, CLAIM]),
        ("mixed", [CLAIM, &opaque]),
        ("related", [&html, &clear]),
        ("alternative", [&clear, &html]),
        ("parallel", [&clear, &html]),
        ("unheard-of", [&html, &opaque]),
    ] {
        let opened = world.open(&around(multipart(kind, &parts).as_bytes()));
        assert_eq!(states(&opened), [(Signed, Part)], "{kind}: {:?}", opened.layers);
        let layer = only(&opened);
        assert!(!layer.attached && why(layer).contains("only a part"), "{kind}: {layer:?}");
    }
}

#[test]
fn what_holds_nothing_else_takes_nothing_from_a_signature() {
    let (world, alice) = alice();
    let clear = her_words(&alice, SignedForm::Clear);
    let opened = world.open(&around(multipart("mixed", &[&clear]).as_bytes()));
    assert_eq!(states(&opened), [(Signed, Valid)], "{:?}", opened.layers);
}

#[test]
fn a_signature_on_a_message_that_is_brought_along_is_none_on_the_message() {
    let world = World::new();
    let alice = world.person("alice", &Draft::user(ALICE, "EC:P-256"));
    let carol = world.person("carol", &Draft::user("carol@gamma.example", "EC:P-256"));
    for (author, state) in [(&alice, Part), (&carol, WrongSigner)] {
        let original = text_of(&signed(&text_letter(), author, SignedForm::Clear));
        let attached = format!("Content-Type: message/rfc822\r\n\r\n{original}");
        for message in [multipart("mixed", &[CLAIM, &attached]), attached] {
            let opened = world.open(&around(message.as_bytes()));
            assert_eq!(states(&opened), [(Signed, state)], "{:?}", opened.layers);
            assert!(only(&opened).attached);
        }
    }
}

#[test]
fn where_two_programs_may_read_different_parts_a_signature_is_not_valid_for_the_message() {
    let (world, alice) = alice();
    let clear = her_words(&alice, SignedForm::Clear);
    let twice =
        clear.replacen("Content-Type: multipart/signed;", "Content-Type: multipart/signed; boundary=x;", 1);
    let types = clear.replacen("\r\n\r\n", "\r\nContent-Type: text/html\r\n\r\n", 1);
    assert_eq!(states(&world.open(&around(types.as_bytes()))), [(Signed, Part)]);
    // Read by the other boundary, it is another message.
    let claim = format!("\r\n\r\n--x\r\n{CLAIM}--x--\r\n");
    let other = clear.replacen("\r\n\r\n", &claim, 1);
    let end = other.find("\r\n\r\n").unwrap();
    let (head, rest) = other.split_at(end);
    for told in ["; boundary=x", "; BOUNDARY*=us-ascii''x"] {
        let opened = world.open(&around(format!("{head}{told}{rest}").as_bytes()));
        assert_eq!(states(&opened), [(Signed, Part)], "{told}: {:?}", opened.layers);
    }
    assert_eq!(states(&world.open(&around(clear.as_bytes()))), [(Signed, Valid)]);
    assert_ne!(states(&world.open(&around(twice.as_bytes()))), [(Signed, Valid)]);
}

#[test]
fn a_signature_beside_words_that_nobody_signed_inside_encryption_is_valid_for_its_part_only() {
    let (world, alice) = alice();
    let mixed = around(multipart("mixed", &[CLAIM, &her_words(&alice, SignedForm::Clear)]).as_bytes());
    let opened = world.open(&encrypted(&mixed, &[&world.ours[0]]));
    assert_eq!(states(&opened), [(Encrypted, Opened), (Signed, Part)], "{:?}", opened.layers);
    // The other way round: encrypted and signed, and a list put its words below.
    let sealed = encrypted(&signed(&text_letter(), &alice, SignedForm::Clear), &[&world.ours[0]]);
    let sealed = String::from_utf8(entity(&sealed)).unwrap();
    let opened = world.open(&around(multipart("mixed", &[&sealed, CLAIM]).as_bytes()));
    assert_eq!(states(&opened), [(Encrypted, Opened), (Signed, Part)], "{:?}", opened.layers);
}
