//! What is inside of mail to one's own gateway: signatures of the author stay, a hidden Subject stays hidden, and what
//! somebody else wrote is not sealed in the author's name.

use std::fs;

use tests::Outcome;
use tests::Pki;
use tests::messages::crlf;
use tests::pki::Issued;
use tests::pki::Leaf;

use super::domains::{ALICE, BOB, send, world};
use super::people::{decrypt, find, openssl_signed, verify};
use super::submissions::{ENTITY, EVE, alone, correspondent, to_own_domain};

const TEXT: &str = "the vault opens at nine\r\n";

/// The header of a message that Alice's client protected: what stands in the encrypted entity.
pub(super) fn protected(from: &str, subject: &str) -> String {
    format!(
        "From: {from}\r\nTo: {BOB}\r\nSubject: {subject}\r\nDate: Mon, 02 Nov 2026 09:30:00 +0100\r\n\
         Message-ID: <smime-35@client.example>\r\nHP-Outer: Subject: [...]\r\nHP-Outer: From: {from}\r\n\
         HP-Outer: To: {BOB}\r\nHP-Outer: Date: Mon, 02 Nov 2026 09:30:00 +0100\r\n\
         HP-Outer: Message-ID: <smime-35@client.example>\r\n"
    )
}

pub(super) fn hide_subject(message: Vec<u8>) -> Vec<u8> {
    String::from_utf8(message).unwrap().replacen("Subject: offer", "Subject: [...]", 1).into_bytes()
}

/// An entity that somebody signed with these options of openssl; it has no fields but Content-* and MIME-Version.
fn signed(pki: &Pki, who: &Issued, entity: &str, options: &[&str]) -> String {
    fs::write(pki.path("to-sign"), entity).unwrap();
    let (certificate, key) = (who.certificate.to_string_lossy(), who.key.to_string_lossy());
    let words = ["cms", "-sign", "-in", "to-sign", "-signer", &certificate, "-inkey", &key];
    let signed = String::from_utf8(pki.openssl(&[&words, options].concat())).unwrap();
    String::from_utf8(crlf(&signed.replace("\r\n", "\n"))).unwrap()
}

fn user(pki: &Pki, stem: &str, address: &str) -> Issued {
    let addresses = [address];
    pki.issue(stem, &Leaf::user(&addresses))
}

#[track_caller]
fn assert_refused(outcome: &Outcome, code: &str) {
    assert!(outcome.end.is_permanent() && outcome.end.text().contains(code), "{outcome:?}");
}

#[test]
fn what_the_author_signed_is_verified_and_arrives_signed() {
    let (pki, alpha, tap, beta) = world("[policy]\nsign = \"always\"\nown_signatures = \"reject\"\n");
    let alice = user(&pki, "alice", ALICE);
    let mail = send(&alpha, &beta, &to_own_domain(&pki, BOB, &signed(&pki, &alice, ENTITY, &[])));
    assert!(!find(&tap.bytes(), b"vault"));
    let results = mail.fields("Authentication-Results");
    assert!(results.iter().any(|r| r.contains("smime=pass") && r.contains(ALICE)), "{}", mail.text());
    assert!(verify(&pki, &mail.as_sent(3)).is_ok(), "{}", mail.text());

    let altered = signed(&pki, &alice, ENTITY, &[]).replacen("nine", "five", 1);
    assert_refused(&alpha.submit(ALICE, &[BOB], &to_own_domain(&pki, BOB, &altered)), "5.7.7");
    assert_eq!(tap.messages().len(), 1);
}

#[test]
fn an_opaque_signature_stays_too() {
    let (pki, alpha, _sink) = alone("[policy]\n");
    let (alice, bob) = (user(&pki, "alice", ALICE), correspondent(&pki, &alpha, BOB));
    let message = to_own_domain(&pki, BOB, &signed(&pki, &alice, ENTITY, &["-nodetach"]));
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &message);
    let inside = decrypt(&pki, &bob, &trial.only().message).unwrap();
    assert!(find(&verify(&pki, &inside).unwrap(), b"the vault opens at nine"));
    let states = &trial.report["facts"]["submission"]["layers"];
    assert_eq!((&states[0]["state"], &states[1]["state"]), (&"opened".into(), &"valid".into()), "{states}");
}

#[test]
fn what_somebody_else_wrote_is_not_sealed_in_the_authors_name_unless_it_is_only_forwarded() {
    let (pki, alpha, _sink) = alone("[policy]\n");
    let (eve, bob) = (user(&pki, "eve", EVE), correspondent(&pki, &alpha, BOB));
    for options in [&[][..], &["-nodetach"]] {
        let message = to_own_domain(&pki, BOB, &signed(&pki, &eve, ENTITY, options));
        let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &message);
        assert!(trial.reply().contains("5.7.7") && trial.copies.is_empty(), "{:#}", trial.report);
    }
    let inside = format!("{}{ENTITY}", protected(EVE, "offer"));
    let inside = inside.replace("charset=utf-8", "charset=utf-8; hp=\"cipher\"");
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &to_own_domain(&pki, BOB, &inside));
    assert!(trial.reply().contains("5.7.7") && trial.copies.is_empty(), "{:#}", trial.report);

    let letter = openssl_signed(&pki, &eve, EVE, ALICE, TEXT);
    let letter = String::from_utf8(letter).unwrap();
    let forward = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{ENTITY}\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\n{letter}\r\n--b--\r\n"
    );
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &to_own_domain(&pki, BOB, &forward));
    assert!(find(&decrypt(&pki, &bob, &trial.only().message).unwrap(), b"message/rfc822"));
    let layers = trial.report["facts"]["submission"]["layers"].to_string();
    assert!(layers.contains("wrong-signer"), "{layers}");
}

#[test]
fn a_signature_around_what_is_encrypted_does_not_keep_it_from_being_sealed_anew() {
    let (pki, alpha, _sink) = alone("[policy]\n");
    let (alice, bob) = (user(&pki, "alice", ALICE), correspondent(&pki, &alpha, BOB));
    let entity = signed(&pki, &alice, ENTITY, &[]);
    let sealed = String::from_utf8(to_own_domain(&pki, BOB, &entity)).unwrap();
    let (header, sealed) = sealed.split_at(sealed.find("MIME-Version").unwrap());
    for options in [&[][..], &["-nodetach"]] {
        let message = format!("{header}{}", signed(&pki, &alice, sealed, options));
        let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], message.as_bytes());
        let inside = decrypt(&pki, &bob, &trial.only().message).unwrap();
        assert!(find(&inside, b"the vault opens at nine"), "{}", String::from_utf8_lossy(&inside));
        assert!(verify(&pki, &inside).is_ok(), "{}", String::from_utf8_lossy(&inside));
    }
}

#[test]
fn a_subject_that_was_hidden_stays_hidden_outside_and_is_there_again_in_the_mailbox() {
    let (pki, alpha, tap, beta) = world("[policy]\nsign = \"always\"\n");
    let alice = user(&pki, "alice", ALICE);
    let fields = protected(ALICE, "the marmoset");
    let text = ENTITY.replace("charset=utf-8", "charset=utf-8; hp=\"cipher\"");
    let plain = format!("{fields}{text}");
    // The fields around what is signed, and inside of it.
    let around = signed(&pki, &alice, ENTITY, &[]);
    let around = around.replacen("multipart/signed;", "multipart/signed; hp=\"cipher\";", 1);
    let inside = signed(&pki, &alice, &plain, &[]);
    let project = format!("X-Project: marmoset\r\n{plain}");
    let around = format!("{fields}{around}");
    let forms = [(plain, "baseline"), (project, "strict"), (around, "strict"), (inside, "strict")];
    for (count, (entity, hidden)) in (1..).zip(forms) {
        let message = hide_subject(to_own_domain(&pki, BOB, &entity));
        let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &message);
        assert_eq!(trial.report["facts"]["submission"]["hidden"], hidden, "{:#}", trial.report);
        let outcome = alpha.submit(ALICE, &[BOB], &message);
        assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
        let mail = beta.postfix.wait_mail("bob", count).pop().unwrap();
        assert_eq!(mail.fields("Subject"), ["the marmoset"], "{}", mail.text());
        assert_eq!(mail.fields("To"), [BOB], "{}", mail.text());
        assert!(!mail.text().contains("header-mismatch"), "{}", mail.text());
        assert!(find(mail.body(), b"the vault opens at nine"), "{}", mail.text());
        if entity.contains("multipart/signed") {
            assert!(verify(&pki, &mail.as_sent(3)).is_ok(), "{}", mail.text());
        }
    }
    let wire = tap.bytes();
    assert!(find(&wire, b"Subject: [...]") && !find(&wire, b"marmoset") && !find(&wire, b"vault"));
    assert_eq!(tap.messages().len(), 4);
}

#[test]
fn rules_ask_for_the_subject_that_the_author_wrote() {
    let rule =
        "[[rule]]\nid = \"secret\"\nsubject = \"[secret]\"\nremove_trigger = true\nsign = \"always\"\n";
    let (pki, alpha, _sink) = alone(rule);
    let bob = correspondent(&pki, &alpha, BOB);
    let text = ENTITY.replace("charset=utf-8", "charset=utf-8; hp=\"cipher\"");
    let entity = format!("{}{text}", protected(ALICE, "[secret] the marmoset"));
    let message = hide_subject(to_own_domain(&pki, BOB, &entity));
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &message);
    assert_eq!(
        (trial.only().action.as_str(), &trial.report["rules"][0]),
        ("open+sign+encrypt", &"secret".into())
    );
    let inside = decrypt(&pki, &bob, &trial.only().message).unwrap();
    let inside = String::from_utf8(inside).unwrap();
    assert!(inside.contains("Subject: the marmoset") && !inside.contains("[secret]"), "{inside}");
}

#[test]
fn a_partner_that_asks_for_strict_nesting_gets_it_around_what_was_submitted() {
    let strict = "[partner.\"beta.example\"]\ndomain_signature = \"rfc3183\"\n";
    let (pki, alpha, tap, beta) = world(&format!("[policy]\nsign = \"always\"\n{strict}"));
    let alice = user(&pki, "alice", ALICE);
    for (count, entity) in (1..).zip([ENTITY.to_owned(), signed(&pki, &alice, ENTITY, &[])]) {
        let outcome = alpha.submit(ALICE, &[BOB], &to_own_domain(&pki, BOB, &entity));
        assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
        let mail = beta.postfix.wait_mail("bob", count).pop().unwrap();
        assert!(find(mail.body(), b"the vault opens at nine"), "{}", mail.text());
        let results = mail.fields("Authentication-Results");
        assert_eq!(
            results[0].matches("smime=pass").count(),
            count,
            "the domain's and the author's: {results:?}"
        );
        alpha.gatepost.wait_log(&["action=open+sign+encrypt"]);
    }
    assert!(!find(&tap.bytes(), b"vault"));
}
