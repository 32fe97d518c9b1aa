//! What comes with mail: the first signed mail is enough to answer encrypted, if the administrator lets it; a change is
//! never believed.

use std::io::Write;
use std::process::Command;

use tests::Gpg;
use tests::PATIENCE;
use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::armored_message;
use tests::directory;
use tests::messages;
use tests::messages::crlf;
use tests::pki::{Issued, Leaf};
use tests::run;
use tests::wait_for;

use crate::smime::people::{decrypt, find, fingerprint, openssl_signed};

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const EVE: &str = "eve@beta.example";
const CAROL: &str = "carol@beta.example";
const SECRET: &str = "the treaty of the two houses";
const TELL: &str = "tell = \"postmaster@alpha.example\"\n";

/// Alpha, which asks nobody and harvests by this rule, and everybody else.
fn world(rule: &str, anchors: &[&Pki], more: &str) -> (Site, SmtpSink) {
    let sink = SmtpSink::start();
    let anchors: Vec<String> = anchors.iter().map(|pki| format!("\"{}\"", pki.root().display())).collect();
    let policy = format!(
        "[smime]\nanchors = [{}]\n[discovery]\nsources = []\nharvest = \"{rule}\"\n{TELL}{more}",
        anchors.join(", ")
    );
    let alpha = SitePlan::new("alpha.example").route("beta.example", sink.port()).policy(&policy).start();
    (alpha, sink)
}

fn receive(alpha: &Site, from: &str, message: &[u8]) {
    let outcome = alpha.receive(from, &[ALICE], message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
}

/// The next mail to Bob, as it arrives at his server.
fn reply(alpha: &Site, sink: &SmtpSink, count: usize, to: &str) -> Vec<u8> {
    let subject = format!("number {count}");
    let outcome = alpha.submit(ALICE, &[to], &messages::plain(ALICE, to, &subject, SECRET));
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    sink.wait(count).pop().unwrap().data
}

fn listed(alpha: &Site, address: &str) -> String {
    alpha.gatepost.command(&["keys", "list", address, "--json"]).success().text()
}

/// An `Autocrypt` field made without our code.
pub(super) fn autocrypt(name: &str, address: &str, certificate: &[u8]) -> String {
    let encoded = run(Command::new("base64").args(["-w", "72"]), certificate).success().text();
    let lines: Vec<&str> = encoded.lines().collect();
    format!("{name}: addr={address}; prefer-encrypt=mutual; keydata=\r\n {}\r\n", lines.join("\r\n "))
}

pub(super) fn binary(gpg: &Gpg, address: &str) -> Vec<u8> {
    gpg.run(&["--export", "--export-options", "export-minimal", address], b"").success().stdout
}

fn with_field(field: &str, from: &str, subject: &str) -> Vec<u8> {
    [field.as_bytes(), &messages::plain(from, ALICE, subject, "hello\n")].concat()
}

#[test]
fn the_first_signed_mail_is_answered_encrypted() {
    let pki = Pki::new();
    let (alpha, sink) = world("tofu", &[&pki], "");
    let bob = pki.issue("bob", &Leaf::user(&[BOB]));
    assert!(find(&reply(&alpha, &sink, 1, BOB), SECRET.as_bytes()), "before, nothing is known");
    receive(&alpha, BOB, &openssl_signed(&pki, &bob, BOB, ALICE, "hello"));
    alpha.gatepost.wait_log(&["harvested: certificate", &fingerprint(&pki, &bob), "a valid signature"]);
    let answer = reply(&alpha, &sink, 2, BOB);
    assert!(!find(&answer, SECRET.as_bytes()));
    assert!(find(&decrypt(&pki, &bob, &answer).unwrap(), SECRET.as_bytes()));
    // Once: the same certificate again is no news.
    receive(&alpha, BOB, &openssl_signed(&pki, &bob, BOB, ALICE, "hello again"));
    assert_eq!(alpha.gatepost.log().matches("harvested: certificate").count(), 1);
}

#[test]
fn of_a_pair_the_one_for_encryption_is_taken_and_the_signers_word_counts() {
    let pki = Pki::new();
    let (alpha, sink) = world("tofu", &[&pki], "");
    let sign = pki.issue("sign", &Leaf { usage: "critical,digitalSignature", ..Leaf::user(&[BOB]) });
    let old = pki.issue("old", &Leaf { usage: "critical,keyEncipherment", ..Leaf::user(&[BOB]) });
    let new = pki.issue("new", &Leaf { usage: "critical,keyEncipherment", ..Leaf::user(&[BOB]) });
    let stranger = pki.issue("stranger", &Leaf { usage: "critical,keyEncipherment", ..Leaf::user(&[CAROL]) });
    let mut bag = std::fs::File::create(pki.path("bag.pem")).unwrap();
    for one in [&stranger, &new] {
        bag.write_all(&std::fs::read(&one.certificate).unwrap()).unwrap();
    }
    receive(&alpha, BOB, &signed_with(&pki, &sign, BOB, "hello"));
    alpha.gatepost.wait_log(&["harvested: certificate", &fingerprint(&pki, &new)]);
    let answer = reply(&alpha, &sink, 1, BOB);
    assert!(find(&decrypt(&pki, &new, &answer).unwrap(), SECRET.as_bytes()));
    assert!(decrypt(&pki, &old, &answer).is_err());
    assert!(!listed(&alpha, CAROL).contains("harvested"), "what names somebody else is not his");
}

/// Signed by openssl, with the certificates of `bag.pem` sent along.
fn signed_with(pki: &Pki, who: &Issued, from: &str, text: &str) -> Vec<u8> {
    std::fs::write(pki.path("plain.txt"), format!("Content-Type: text/plain\r\n\r\n{text}")).unwrap();
    let (certificate, key) = (who.certificate.to_string_lossy(), who.key.to_string_lossy());
    let words =
        ["cms", "-sign", "-in", "plain.txt", "-signer", &certificate, "-inkey", &key, "-certfile", "bag.pem"];
    let signed = pki.openssl(&words);
    let head = format!(
        "From: {from}\nTo: {ALICE}\nSubject: x\nDate: Mon, 02 Nov 2026 09:30:00 +0100\nMessage-ID: <1@b>\n"
    );
    crlf(&format!("{head}{}", String::from_utf8_lossy(&signed)))
}

#[test]
fn what_is_not_valid_for_the_author_is_not_harvested() {
    let (pki, foreign) = (Pki::new(), Pki::new());
    let (alpha, sink) = world("tofu", &[&pki], "");
    // An authority that nobody trusts, a signer who is not the author, and a list.
    let untrusted = foreign.issue("bob", &Leaf::user(&[BOB]));
    receive(&alpha, BOB, &openssl_signed(&foreign, &untrusted, BOB, ALICE, "hello"));
    let carol = pki.issue("carol", &Leaf::user(&[CAROL]));
    receive(&alpha, BOB, &openssl_signed(&pki, &carol, BOB, ALICE, "hello"));
    let bob = pki.issue("bob", &Leaf::user(&[BOB]));
    let by_list =
        [b"List-Id: <l.beta.example>\r\n", &openssl_signed(&pki, &bob, BOB, ALICE, "x")[..]].concat();
    receive(&alpha, BOB, &by_list);
    // What is learnt is learnt in the order of the mail; this one is learnt last.
    let dave = pki.issue("dave", &Leaf::user(&["dave@beta.example"]));
    receive(&alpha, "dave@beta.example", &openssl_signed(&pki, &dave, "dave@beta.example", ALICE, "hello"));
    alpha.gatepost.wait_log(&["harvested: certificate", &fingerprint(&pki, &dave)]);
    assert_eq!(alpha.gatepost.log().matches("harvested: certificate").count(), 1);
    assert!(find(&reply(&alpha, &sink, 1, BOB), SECRET.as_bytes()));
}

#[test]
fn held_until_somebody_approves_and_nobody_is_flooded() {
    let pki = Pki::new();
    let (alpha, sink) = world("hold", &[&pki], "");
    let bob = pki.issue("bob", &Leaf::user(&[BOB]));
    receive(&alpha, BOB, &openssl_signed(&pki, &bob, BOB, ALICE, "hello"));
    let mark = fingerprint(&pki, &bob);
    alpha.gatepost.wait_log(&["held: certificate", &mark, "a valid signature"]);
    assert!(listed(&alpha, BOB).contains("\"held\""), "{}", listed(&alpha, BOB));
    assert!(find(&reply(&alpha, &sink, 1, BOB), SECRET.as_bytes()), "held is not used");
    assert_eq!(alpha.postfix.mailbox("postmaster").len(), 0, "a first contact is no alarm");
    alpha.gatepost.command(&["keys", "trust", &mark, "accepted"]).success();
    let answer = reply(&alpha, &sink, 2, BOB);
    assert!(find(&decrypt(&pki, &bob, &answer).unwrap(), SECRET.as_bytes()));
}

#[test]
fn a_renewal_by_the_same_authority_is_no_change() {
    let pki = Pki::new();
    let (alpha, sink) = world("tofu", &[&pki], "");
    let old = pki.issue("old", &Leaf::user(&[BOB]));
    let new = pki.issue("new", &Leaf::user(&[BOB]));
    for one in [&old, &new] {
        receive(&alpha, BOB, &openssl_signed(&pki, one, BOB, ALICE, "hello"));
        alpha.gatepost.wait_log(&["harvested: certificate", &fingerprint(&pki, one)]);
    }
    assert!(!alpha.gatepost.log().contains("held:"), "{}", alpha.gatepost.log());
    // Both began in the same second, so that either may be the newer one.
    let answer = reply(&alpha, &sink, 1, BOB);
    assert!([&old, &new].iter().any(|one| decrypt(&pki, one, &answer).is_ok()));
}

/// Two authorities that are trusted, with the very same name and different keys.
#[test]
fn a_change_is_held_and_told_and_the_old_certificate_stays_in_use() {
    let (pki, other) = (Pki::new(), Pki::new());
    let name = |pki: &Pki| pki.openssl(&["x509", "-in", "root.pem", "-noout", "-subject"]);
    assert_eq!(name(&pki), name(&other));
    let (alpha, sink) = world("tofu", &[&pki, &other], "");
    let old = pki.issue("bob", &Leaf::user(&[BOB]));
    receive(&alpha, BOB, &openssl_signed(&pki, &old, BOB, ALICE, "hello"));
    alpha.gatepost.wait_log(&["harvested: certificate", &fingerprint(&pki, &old)]);
    // Another authority, which is trusted too, says that this is Bob.
    let new = other.issue("bob", &Leaf::user(&[BOB]));
    receive(&alpha, BOB, &openssl_signed(&other, &new, BOB, ALICE, "hello"));
    let told = alpha.postfix.wait_mail("postmaster", 1).remove(0);
    assert_eq!(told.field("Subject").as_deref(), Some("A certificate waits for your approval"));
    for mark in [fingerprint(&pki, &old), fingerprint(&other, &new)] {
        assert!(told.text().contains(&mark), "{}", told.text());
    }
    let answer = reply(&alpha, &sink, 1, BOB);
    assert!(find(&decrypt(&pki, &old, &answer).unwrap(), SECRET.as_bytes()));
    assert!(decrypt(&other, &new, &answer).is_err());
}

#[test]
fn an_autocrypt_field_is_a_first_contact_and_no_more() {
    let (alpha, sink) = world("tofu", &[], "");
    let (bob, thief) = (Gpg::new(), Gpg::new());
    bob.generate(BOB);
    thief.generate(BOB);
    let field = autocrypt("Autocrypt", BOB, &binary(&bob, BOB));
    // Not his, twice, and to everybody.
    let of_another = autocrypt("Autocrypt", CAROL, &binary(&bob, BOB));
    for (number, useless) in
        [of_another, [&*field, &*field].concat(), format!("Precedence: list\r\n{field}")].iter().enumerate()
    {
        receive(&alpha, BOB, &with_field(useless, BOB, &format!("useless {number}")));
    }
    receive(&alpha, BOB, &with_field(&field, BOB, "hello"));
    alpha.gatepost.wait_log(&["harvested: certificate", &bob.fingerprint(BOB), "an Autocrypt field"]);
    assert_eq!(alpha.gatepost.log().matches("harvested: certificate").count(), 1);
    let answer = reply(&alpha, &sink, 1, BOB);
    let opened = bob.decrypt(armored_message(&answer).unwrap());
    assert!(opened.decrypted() && find(&opened.plaintext, SECRET.as_bytes()));
    // Somebody else writes in his name.
    let forged = autocrypt("Autocrypt", BOB, &binary(&thief, BOB));
    receive(&alpha, BOB, &with_field(&forged, BOB, "my new key"));
    let told = alpha.postfix.wait_mail("postmaster", 1).remove(0);
    assert!(told.text().contains(&thief.fingerprint(BOB)), "{}", told.text());
    let answer = reply(&alpha, &sink, 2, BOB);
    assert!(bob.decrypt(armored_message(&answer).unwrap()).decrypted());
    assert!(!thief.decrypt(armored_message(&answer).unwrap()).decrypted());
}

/// Eve's key is known and good, for Eve. That she writes Bob's name on it, too, and sends it in his name, makes it
/// his under no rule that wants approval.
#[test]
fn a_known_certificate_is_not_led_to_another_mailbox() {
    let (alpha, sink) = world("hold", &[], "");
    let eve = Gpg::new();
    eve.generate(EVE);
    alpha.gatepost.import(&["--for", EVE], &eve.certificate(EVE));
    let mark = eve.fingerprint(EVE);
    eve.run(&["--quick-add-uid", &mark, BOB], b"").success();
    let field = autocrypt("Autocrypt", BOB, &binary(&eve, &mark));
    receive(&alpha, BOB, &with_field(&field, BOB, "hello, I am Bob"));
    alpha.gatepost.wait_log(&["held: certificate", &mark, "an Autocrypt field"]);
    assert!(find(&reply(&alpha, &sink, 1, BOB), SECRET.as_bytes()), "{}", listed(&alpha, BOB));
    let known = alpha.gatepost.command(&["keys", "list", BOB]).success().text();
    assert!(known.contains("bob@beta.example (held)"), "{known}");
    // For Eve it is what it was.
    let answer = reply(&alpha, &sink, 2, EVE);
    assert!(eve.decrypt(armored_message(&answer).unwrap()).decrypted());
    // Approved, it is used; that is somebody's word.
    alpha.gatepost.command(&["keys", "trust", &mark, "accepted"]).success();
    let answer = reply(&alpha, &sink, 3, BOB);
    assert!(eve.decrypt(armored_message(&answer).unwrap()).decrypted());
}

#[test]
fn autocrypt_can_be_switched_off_alone() {
    let pki = Pki::new();
    let (alpha, sink) = world("tofu", &[&pki], "autocrypt = false\n");
    let bob = Gpg::new();
    bob.generate(BOB);
    let field = autocrypt("Autocrypt", BOB, &binary(&bob, BOB));
    receive(&alpha, BOB, &with_field(&field, BOB, "hello"));
    let person = pki.issue("carol", &Leaf::user(&[CAROL]));
    receive(&alpha, CAROL, &openssl_signed(&pki, &person, CAROL, ALICE, "hello"));
    alpha.gatepost.wait_log(&["harvested: certificate", &fingerprint(&pki, &person)]);
    assert!(find(&reply(&alpha, &sink, 1, BOB), SECRET.as_bytes()));
}

/// Alpha with a key of its domain, and Bob's gpg, which knows it and is known.
fn acquainted() -> (Site, SmtpSink, Gpg, String) {
    let (alpha, sink) = world("tofu", &[], "");
    let bob = Gpg::new();
    bob.generate(BOB);
    alpha.gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    alpha.gatepost.generate(&["--domain", "alpha.example"]);
    let ours = alpha.gatepost.export(&["--domain", "alpha.example"]);
    let domain_key = bob.import(&ours).fingerprint_in(&ours);
    (alpha, sink, bob, domain_key)
}

#[test]
fn gossip_counts_from_inside_of_what_a_known_author_signed_and_about_its_recipients() {
    let (alpha, sink, bob, domain_key) = acquainted();
    let others = Gpg::new();
    for address in [CAROL, "dave@beta.example", "erin@beta.example"] {
        others.generate(address);
    }
    let about = |address: &str| autocrypt("Autocrypt-Gossip", address, &binary(&others, address));
    let inside =
        format!("{}{}Content-Type: text/plain\r\n\r\nhello\r\n", about(CAROL), about("dave@beta.example"));
    let to = format!("{ALICE}, {CAROL}, erin@beta.example");
    let sealed = bob.seal(Some(BOB), &[&domain_key], inside.as_bytes());
    // Outside anybody could have put it.
    let outside = about("erin@beta.example");
    let message = [outside.as_bytes(), &messages::pgp_mime(BOB, &to, "gossip", &sealed)].concat();
    // Unsigned, first: anybody can encrypt to us.
    let anonymous = bob.seal(None, &[&domain_key], inside.as_bytes());
    receive(&alpha, BOB, &messages::pgp_mime(BOB, &to, "unsigned", &anonymous));
    receive(&alpha, BOB, &message);
    alpha.gatepost.wait_log(&["harvested: certificate", &others.fingerprint(CAROL), "Autocrypt-Gossip"]);
    assert_eq!(alpha.gatepost.log().matches("harvested: certificate").count(), 1);
    let answer = reply(&alpha, &sink, 1, CAROL);
    assert!(others.decrypt(armored_message(&answer).unwrap()).decrypted());
    for (count, nobody) in [(2, "dave@beta.example"), (3, "erin@beta.example")] {
        assert!(find(&reply(&alpha, &sink, count, nobody), SECRET.as_bytes()), "{nobody}");
    }
}

/// What Bob signed, somebody else encrypted to us, with gossip around it that Bob never wrote.
#[test]
fn gossip_around_what_was_signed_is_not_the_authors() {
    let (alpha, sink, bob, domain_key) = acquainted();
    let thief = Gpg::new();
    thief.generate(CAROL);
    let gossip = autocrypt("Autocrypt-Gossip", CAROL, &binary(&thief, CAROL));
    let part = "Content-Type: text/plain\r\n\r\nhello\r\n";
    let words = ["--armor", "--local-user", BOB, "--digest-algo", "SHA512", "--detach-sign"];
    let signature = bob.run(&words, part.as_bytes()).success().text();
    let signed = format!(
        "Content-Type: multipart/signed; micalg=pgp-sha512; protocol=\"application/pgp-signature\";\n boundary=\"s\"\n\n\
         --s\n{}\n--s\nContent-Type: application/pgp-signature\n\n{signature}\n--s--\n",
        part.replace("\r\n", "\n")
    );
    let to = format!("{ALICE}, {CAROL}");
    let around = [gossip.as_bytes(), &crlf(&signed)].concat();
    let sealed = bob.seal(None, &[&domain_key], &around);
    receive(&alpha, BOB, &messages::pgp_mime(BOB, &to, "around", &sealed));
    // What is learnt is learnt in the order of the mail; this is learnt last.
    let honest = autocrypt("Autocrypt-Gossip", "dave@beta.example", &{
        let dave = Gpg::new();
        dave.generate("dave@beta.example");
        binary(&dave, "dave@beta.example")
    });
    let inside = format!("{honest}{part}");
    let sealed = bob.seal(Some(BOB), &[&domain_key], inside.as_bytes());
    receive(&alpha, BOB, &messages::pgp_mime(BOB, "dave@beta.example", "inside", &sealed));
    alpha.gatepost.wait_log(&["harvested: certificate", "of dave@beta.example", "Autocrypt-Gossip"]);
    assert_eq!(alpha.gatepost.log().matches("harvested: certificate").count(), 1, "{}", alpha.gatepost.log());
    assert!(find(&reply(&alpha, &sink, 1, CAROL), SECRET.as_bytes()));
}

#[test]
fn a_key_attached_to_signed_mail_is_its_authors() {
    let pki = Pki::new();
    let (alpha, sink) = world("tofu", &[&pki], "");
    let gpg = Gpg::new();
    gpg.generate(CAROL);
    // Only for signing, so that nothing else can be answered to.
    let carol = pki.issue("carol", &Leaf { usage: "critical,digitalSignature", ..Leaf::user(&[CAROL]) });
    let key = String::from_utf8(gpg.certificate(CAROL)).unwrap();
    let entity = format!(
        "Content-Type: multipart/mixed; boundary=\"k\"\n\n--k\nContent-Type: text/plain\n\nmy key\n\
         --k\nContent-Type: application/pgp-keys; name=\"key.asc\"\n\n{key}\n--k--\n"
    );
    let unsigned = crlf(&format!("From: {CAROL}\nTo: {ALICE}\nSubject: u\nMIME-Version: 1.0\n{entity}"));
    receive(&alpha, CAROL, &unsigned);
    std::fs::write(pki.path("entity"), crlf(&entity)).unwrap();
    let (certificate, secret) = (carol.certificate.to_string_lossy(), carol.key.to_string_lossy());
    let signed = pki.openssl(&[
        "cms",
        "-sign",
        "-binary",
        "-in",
        "entity",
        "-signer",
        &certificate,
        "-inkey",
        &secret,
    ]);
    let head = format!(
        "From: {CAROL}\nTo: {ALICE}\nSubject: s\nMessage-ID: <k@b>\nDate: Mon, 02 Nov 2026 09:30:00 +0100\n"
    );
    let message = [crlf(&head), signed].concat();
    // The same with a footer of somebody else around it is no whole any more: nothing is taken from there.
    receive(&alpha, CAROL, &message);
    alpha.gatepost.wait_log(&["harvested: certificate", &gpg.fingerprint(CAROL), "an attachment"]);
    assert_eq!(alpha.gatepost.log().matches("harvested: certificate").count(), 1);
    let answer = reply(&alpha, &sink, 1, CAROL);
    assert!(gpg.decrypt(armored_message(&answer).unwrap()).decrypted());
}

#[test]
fn two_gateways_that_introduce_their_users_answer_each_other_encrypted() {
    let scratch = directory("introduced");
    let section = |name: &str| {
        let place = scratch.path().join(name);
        format!(
            "[keydir]\npublication = \"{}\"\nautocrypt = true\n[discovery]\nsources = []\nharvest = \"tofu\"\n",
            place.display()
        )
    };
    let alpha = SitePlan::new("alpha.example").policy(&section("alpha"));
    let beta = SitePlan::new("beta.example").policy(&section("beta"));
    let tap = tests::SmtpTap::start(tests::free_port(), alpha.inbound());
    let (to_alpha, to_beta) = (tap.port(), beta.inbound());
    let mut alpha = alpha.route("beta.example", to_beta).prepare();
    let mut beta = beta.route("alpha.example", to_alpha).prepare();
    alpha.gatepost.generate(&["--user", ALICE]);
    beta.gatepost.generate(&["--user", BOB]);
    alpha.gatepost.start();
    beta.gatepost.start();
    assert!(alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "hello", "nothing")).accepted());
    beta.postfix.wait_mail("bob", 1);
    wait_for("the certificate in beta's store", PATIENCE, || {
        listed(&beta, ALICE).contains("\"accepted\"").then_some(())
    });
    assert!(beta.submit(BOB, &[ALICE], &messages::plain(BOB, ALICE, "re: hello", SECRET)).accepted());
    let mail = alpha.postfix.wait_mail("alice", 1).remove(0);
    assert!(mail.text().contains(SECRET), "{}", mail.text());
    assert!(!find(&tap.bytes(), SECRET.as_bytes()));
}
