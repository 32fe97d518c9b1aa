//! Header protection (RFC 9788): on the wire nobody reads the Subject, in the mailbox it is there again, and what
//! was changed on the road is told.

use tests::Gatepost;
use tests::Mail;
use tests::Site;
use tests::SitePlan;
use tests::SmtpTap;
use tests::free_port;
use tests::messages;

use crate::smime::domains;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const POLICY: &str = "[policy]\nsign = \"always\"\nencrypt = \"required\"\nprotect_header = \"shy\"\n";

fn deliver(alpha: &Site, beta: &Site, message: &[u8]) -> Mail {
    let outcome = alpha.submit(ALICE, &[BOB], message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    beta.postfix.wait_mail("bob", 1).pop().unwrap()
}

fn letter() -> Vec<u8> {
    let plain = messages::plain("Alice Example <alice@alpha.example>", BOB, "the marmoset", "it is fed\r\n");
    [b"Keywords: marmoset\r\n", plain.as_slice()].concat()
}

/// The wire has none of it, the mailbox all of it.
fn check(wire: &[u8], mail: &Mail, gatepost: &Gatepost) {
    let wire = String::from_utf8_lossy(wire);
    assert!(wire.contains("Subject: [...]") && wire.contains("From: alice@alpha.example"), "{wire}");
    assert!(wire.contains("08:30:00 +0000"), "{wire}");
    assert!(!wire.contains("marmoset") && !wire.contains("Alice Example"), "{wire}");
    assert_eq!(mail.fields("Subject"), ["the marmoset"], "{}\n{}", mail.text(), gatepost.log());
    assert_eq!(mail.fields("Keywords"), ["marmoset"]);
    assert_eq!(mail.fields("From"), ["Alice Example <alice@alpha.example>"]);
    assert_eq!(mail.fields("Date"), ["Mon, 02 Nov 2026 09:30:00 +0100"]);
    assert_eq!(mail.body(), b"it is fed\n", "{}", mail.text());
    assert_eq!(mail.fields("Content-Type"), ["text/plain; charset=utf-8"]);
    assert!(!mail.text().contains("HP-Outer") && !mail.text().contains("header-mismatch"), "{}", mail.text());
    assert!(mail.fields("Authentication-Results")[0].contains("=pass"), "{}", mail.text());
}

#[test]
fn with_smime_the_subject_travels_inside() {
    let (_pki, alpha, tap, beta) = domains::world(POLICY);
    let mail = deliver(&alpha, &beta, &letter());
    check(&tap.bytes(), &mail, &beta.gatepost);
}

#[test]
fn with_openpgp_the_subject_travels_inside_and_changes_outside_are_told() {
    let beta = SitePlan::new("beta.example");
    let tap = SmtpTap::start(free_port(), beta.inbound());
    let alpha = SitePlan::new("alpha.example").policy(POLICY).route("beta.example", tap.port());
    let (mut alpha, mut beta) = (alpha.prepare(), beta.prepare());
    for (site, other) in [(&alpha, &beta), (&beta, &alpha)] {
        site.gatepost.generate(&["--domain", &site.postfix.domain]);
        site.give_domain_certificate(other);
    }
    alpha.gatepost.start();
    beta.gatepost.start();
    let mail = deliver(&alpha, &beta, &letter());
    check(&tap.bytes(), &mail, &beta.gatepost);

    let wire = String::from_utf8(tap.bytes()).unwrap();
    let start = wire.find("Received:").unwrap();
    let end = start + wire[start..].find("\r\n.\r\n").unwrap();
    let sealed = wire[start..end + 2].replace("Subject: [...]", "Cc: eve@evil.example\r\nSubject: pay now");
    let outcome = beta.receive(ALICE, &[BOB], sealed.as_bytes());
    assert!(outcome.accepted(), "{outcome:?}");
    let mail = beta.postfix.wait_mail("bob", 2).pop().unwrap();
    assert_eq!(mail.fields("Subject"), ["the marmoset"], "{}", mail.text());
    assert!(mail.fields("Cc").is_empty(), "{}", mail.text());
    let told = mail.fields("X-Gatepost-Result");
    assert!(told.iter().any(|told| told == "header-mismatch=cc,subject"), "{told:?}");
}
