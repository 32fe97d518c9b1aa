//! The first of the three stages: a client that encrypts to its own domain, whose gateway seals the mail anew for
//! each recipient outside (RFC 3183 section 4, case b). What was opened on the way out leaves encrypted or not at all.

use std::fs;
use std::fs::rename;

use tests::Gpg;
use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::messages;
use tests::pki::Issued;
use tests::pki::Leaf;

use super::domains::{ALICE, BOB, authorities, send, world};
use super::people::{decrypt, find, openssl_encrypted};
use super::submissions_inside::{hide_subject, protected};

const CAROL: &str = "carol@gamma.example";
const DAVE: &str = "dave@alpha.example";
pub(super) const EVE: &str = "eve@delta.example";
pub(super) const ENTITY: &str = "Content-Type: text/plain; charset=utf-8\r\n\r\nthe vault opens at nine\r\n";
const SUBMISSION: &str = "open+encrypt";

/// The authority of a domain to whom its users encrypt.
pub(super) fn confidentiality(pki: &Pki, domain: &str) -> Issued {
    let file = |kind: &str| pki.path(&format!("domain-confidentiality-authority-{domain}.{kind}"));
    Issued { certificate: file("pem"), key: file("key"), p12: file("p12") }
}

/// What Alice's client makes of an entity: encrypted to her own domain and to nobody else.
pub(super) fn to_own_domain(pki: &Pki, to: &str, entity: &str) -> Vec<u8> {
    let alpha = confidentiality(pki, "alpha.example");
    openssl_encrypted(pki, &alpha, "-aes-256-cbc", ALICE, to, entity.as_bytes())
}

/// Alpha with its authorities; mail for the others goes into a sink.
pub(super) fn alone(policy: &str) -> (Pki, Site, SmtpSink) {
    let pki = Pki::new();
    let sink = SmtpSink::start();
    let policy = format!("{policy}\n[smime]\nanchors = [\"{}\"]\n", pki.root().display());
    let mut alpha = SitePlan::new("alpha.example").policy(&policy);
    for domain in ["beta.example", "gamma.example", "delta.example"] {
        alpha = alpha.route(domain, sink.port());
    }
    let alpha = alpha.prepare();
    authorities(&pki, &alpha, &[]);
    (pki, alpha, sink)
}

/// Somebody outside whose certificate alpha knows.
pub(super) fn correspondent(pki: &Pki, alpha: &Site, address: &str) -> Issued {
    let addresses = [address];
    let issued = pki.issue(address, &Leaf::user(&addresses));
    alpha.gatepost.command(&["keys", "import", &issued.certificate.to_string_lossy()]).success();
    issued
}

#[test]
fn mail_to_ones_own_gateway_travels_sealed_from_hop_to_hop_and_arrives_as_written() {
    let (pki, alpha, tap, beta) = world("[policy]\nsign = \"always\"\n");
    let message = to_own_domain(&pki, BOB, ENTITY);
    let mail = send(&alpha, &beta, &message);
    let wire = tap.messages().pop().unwrap();
    assert!(find(&wire, b"smime-type=enveloped-data") && !find(&tap.bytes(), b"vault"));
    assert!(decrypt(&pki, &confidentiality(&pki, "alpha.example"), &wire).is_err(), "not for alpha any more");
    decrypt(&pki, &confidentiality(&pki, "beta.example"), &wire).unwrap();
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{}\n{}", mail.text(), beta.gatepost.log());
    assert_eq!(mail.fields("Content-Type"), ["text/plain; charset=utf-8"]);
    assert_eq!(mail.fields("X-Gatepost-Result").len(), 1, "{}", mail.text());
    let results = mail.fields("Authentication-Results");
    assert!(results.iter().any(|r| r.contains("smime=pass") && r.contains(ALICE)), "{results:?}");
    let line = alpha.gatepost.wait_log(&["direction=outbound", "action=open+sign+encrypt"]);
    let id = line.split(": ").next().unwrap().split_whitespace().last().unwrap().to_owned();
    let story = alpha.gatepost.notary(&id).to_string();
    assert!(story.contains("open+sign+encrypt") && story.contains("\"submission\""), "{story}");
    let told = explained(&alpha, &message, BOB);
    assert!(told.contains("opened on its way out") && told.contains("Found an Encrypted layer"), "{told}");
}

pub(super) fn explained(alpha: &Site, message: &[u8], to: &str) -> String {
    let words = ["explain", "--from", ALICE, "--auth", ALICE, "--to", to];
    let ran = alpha.gatepost.command_with(&words, message);
    ran.success().text()
}

#[test]
fn without_a_key_of_the_recipient_it_is_refused_whatever_encrypt_says() {
    for encrypt in ["opportunistic", "never", "required"] {
        let policy =
            format!("[policy]\n[partner.\"beta.example\"]\nencrypt = \"{encrypt}\"\n[user.\"{DAVE}\"]\n");
        let (pki, mut alpha, sink) = alone(&policy);
        alpha.gatepost.start();
        let message = to_own_domain(&pki, BOB, ENTITY);
        let outcome = alpha.submit(ALICE, &[BOB], &message);
        let refused = format!("{outcome:?}");
        assert!(
            outcome.end.is_permanent() && refused.contains("5.7.1") && refused.contains(BOB),
            "{refused}"
        );
        alpha.postfix.wait_idle();
        assert!(sink.received().is_empty(), "{encrypt}");
        if encrypt != "required" {
            assert!(refused.contains("was encrypted to the gateway"), "{refused}");
            assert!(explained(&alpha, &message, BOB).contains("5.7.1"));
        }
    }
}

#[test]
fn each_recipient_gets_the_form_for_him_and_one_without_a_key_stops_them_all() {
    let (pki, mut alpha, sink) = alone("[policy]\n");
    let (bob, carol) = (correspondent(&pki, &alpha, BOB), correspondent(&pki, &alpha, CAROL));
    alpha.gatepost.start();
    let forged = b"Authentication-Results: mx.alpha.example; smime=pass\r\n";
    let message = [&forged[..], &to_own_domain(&pki, BOB, ENTITY)].concat();
    let outcome = alpha.submit(ALICE, &[BOB, CAROL, DAVE], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    for received in sink.wait(2) {
        assert!(!find(&received.data, b"vault"));
        let who = if received.to == [BOB] { &bob } else { &carol };
        assert!(find(&decrypt(&pki, who, &received.data).unwrap(), b"the vault opens at nine"));
    }
    // One of ours reads what was encrypted to his domain, and what goes on from him is known to be secret.
    let mail = alpha.postfix.wait_mail("dave", 1).pop().unwrap();
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{}", mail.text());
    assert!(mail.fields("X-Gatepost-Result").iter().any(|told| told.contains("decrypted=smime")));
    assert!(mail.fields("Authentication-Results").is_empty(), "{}", mail.text());

    let outcome = alpha.submit(ALICE, &[BOB, EVE, DAVE], &message);
    assert!(outcome.end.is_permanent() && format!("{outcome:?}").contains(EVE), "{outcome:?}");
    alpha.postfix.wait_idle();
    assert_eq!((sink.received().len(), alpha.postfix.mailbox("dave").len()), (2, 1));
}

#[test]
fn with_openpgp_it_is_the_same() {
    let sink = SmtpSink::start();
    let alpha = SitePlan::new("alpha.example").policy("[policy]\nsign = \"always\"\n");
    let mut alpha = alpha.route("beta.example", sink.port()).prepare();
    alpha.gatepost.generate(&["--domain", "alpha.example"]);
    let (alice, bob) = (Gpg::new(), Gpg::new());
    alice.generate(ALICE);
    bob.generate(BOB);
    let own = alpha.gatepost.export(&["--domain", "alpha.example"]);
    alice.import(&own);
    let fingerprint = alice.fingerprint_in(&own);
    alpha.gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    alpha.gatepost.start();
    let message = |to: &str, hidden: bool| {
        let option = if hidden { "--hidden-recipient" } else { "--recipient" };
        let ran = alice.run(&["--armor", option, &fingerprint, "--encrypt"], ENTITY.as_bytes());
        messages::pgp_mime(ALICE, to, "offer", &ran.success().stdout)
    };
    for (count, hidden) in [(1, false), (2, true)] {
        let outcome = alpha.submit(ALICE, &[BOB], &message(BOB, hidden));
        assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
        let received = sink.wait(count).pop().unwrap();
        assert!(!find(&received.data, b"vault"));
        let opened = bob.decrypt(tests::armored_message(&received.data).unwrap());
        assert!(opened.decrypted() && find(&opened.plaintext, b"the vault opens at nine"));
        assert_eq!(opened.encrypted_to().len(), 1, "to Bob alone");
    }
    let outcome = alpha.submit(ALICE, &[EVE], &message(EVE, false));
    assert!(outcome.end.is_permanent(), "{outcome:?}");

    // A signature that is one with the encryption goes with it; that of somebody else keeps it from being opened.
    let eve = Gpg::new();
    eve.generate(EVE);
    eve.import(&own);
    alpha.gatepost.import(&["--for", ALICE], &alice.certificate(ALICE));
    alpha.gatepost.import(&["--for", EVE], &eve.certificate(EVE));
    let signed = |who: &Gpg, name: &str| {
        let sealed = who.seal(Some(name), &[&fingerprint], ENTITY.as_bytes());
        alpha.gatepost.filter_ours(ALICE, &[BOB], &messages::pgp_mime(ALICE, BOB, "offer", &sealed))
    };
    let trial = signed(&alice, ALICE);
    assert_eq!(trial.only().action, "open+sign+encrypt");
    assert_eq!(trial.report["facts"]["submission"]["layers"][1]["state"], "valid");
    let trial = signed(&eve, EVE);
    assert!(trial.reply().contains("5.7.7") && trial.copies.is_empty(), "{:#}", trial.report);
}

#[test]
fn the_key_of_another_domain_of_the_gateway_opens_nothing() {
    let (pki, alpha, _sink) = alone("[policy]\n");
    correspondent(&pki, &alpha, BOB);
    let (gamma, config) = (SitePlan::new("gamma.example").prepare(), alpha.gatepost.config());
    authorities(&pki, &gamma, &[]);
    let both = fs::read_to_string(&config).unwrap();
    let both = both.replace("[\"alpha.example\"]", "[\"alpha.example\", \"gamma.example\"]");
    fs::write(&config, both).unwrap();
    let theirs = confidentiality(&pki, "gamma.example");
    let (p12, password) = (theirs.p12.to_string_lossy(), pki.path("password"));
    let words = ["keys", "import", &p12, "--password-file", &password.to_string_lossy()];
    alpha.gatepost.command(&words).success();
    for (from, action) in [(ALICE, "pass"), (CAROL, SUBMISSION)] {
        let message = openssl_encrypted(&pki, &theirs, "-aes-256-cbc", from, BOB, ENTITY.as_bytes());
        let trial = alpha.gatepost.filter_ours(from, &[BOB], &message);
        assert_eq!(trial.only().action, action, "{:#}", trial.report);
        assert_eq!(trial.only().message == message, action == "pass");
    }
}

#[test]
fn switched_off_it_passes_byte_for_byte() {
    let policy = "[policy]\n[partner.\"beta.example\"]\nopen_submissions = false\n";
    let (pki, alpha, _sink) = alone(policy);
    correspondent(&pki, &alpha, BOB);
    correspondent(&pki, &alpha, CAROL);
    let message = to_own_domain(&pki, BOB, ENTITY);
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB, CAROL], &message);
    let bobs = trial.copy_for(BOB);
    assert_eq!((bobs.action.as_str(), &bobs.message), ("pass", &message));
    assert_eq!(trial.copy_for(CAROL).action, SUBMISSION);
}

#[test]
fn what_the_recipient_can_open_himself_is_not_touched() {
    let (pki, alpha, _sink) = alone("[policy]\n");
    let bob = correspondent(&pki, &alpha, BOB);
    let carol = correspondent(&pki, &alpha, CAROL);
    let own = confidentiality(&pki, "alpha.example").certificate;
    std::fs::write(pki.path("entity"), ENTITY).unwrap();
    let (own, theirs) = (own.to_string_lossy(), bob.certificate.to_string_lossy());
    let sealed = pki.openssl(&["cms", "-encrypt", "-aes-256-cbc", "-in", "entity", &own, &theirs]);
    let header = format!("From: {ALICE}\nTo: {BOB}, {CAROL}\nSubject: offer\n");
    let message = messages::crlf(&format!("{header}{}", String::from_utf8_lossy(&sealed)));
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB, CAROL], &message);
    let bobs = trial.copy_for(BOB);
    assert_eq!((bobs.action.as_str(), &bobs.message), ("pass", &message));
    let carols = trial.copy_for(CAROL);
    assert_eq!(carols.action, SUBMISSION);
    assert!(find(&decrypt(&pki, &carol, &carols.message).unwrap(), b"the vault opens at nine"));
    assert!(decrypt(&pki, &bob, &carols.message).is_err());
}

#[test]
fn nothing_is_ever_opened_for_a_client_that_is_not_ours() {
    let (pki, mut alpha, sink) = alone("[policy]\n");
    correspondent(&pki, &alpha, BOB);
    alpha.gatepost.start();
    for from in [ALICE, EVE] {
        let own = confidentiality(&pki, "alpha.example");
        let message = openssl_encrypted(&pki, &own, "-aes-256-cbc", from, BOB, ENTITY.as_bytes());
        let outcome = alpha.receive(from, &[BOB], &message);
        assert!(!outcome.accepted(), "no open relay: {outcome:?}");
        // A relay that did take it: to the outside it goes as it came.
        let trial = alpha.gatepost.filter(from, &[BOB], &["--client", "192.0.2.9"], &message);
        assert_eq!((trial.only().action.as_str(), &trial.only().message), ("pass", &message));
    }
    // What comes a second time, on its way out, may have been anybody's.
    let message = to_own_domain(&pki, BOB, ENTITY);
    let trial = alpha.gatepost.filter(ALICE, &[BOB], &["--auth", ALICE, "--daemon", "EGRESS"], &message);
    assert_eq!((trial.only().action.as_str(), &trial.only().message), ("pass", &message));
    // Nor is another's message opened for one of ours who sends it on.
    let own = confidentiality(&pki, "alpha.example");
    let message = openssl_encrypted(&pki, &own, "-aes-256-cbc", EVE, BOB, ENTITY.as_bytes());
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &message);
    assert_eq!((trial.only().action.as_str(), &trial.only().message), ("pass", &message));
    assert!(sink.received().is_empty());
}

#[test]
fn a_password_message_counts_and_hides_the_subject_too() {
    let policy = "[policy]\nkeys = [\"user-smime\", \"password-message\"]\n";
    let (pki, mut alpha, sink) = alone(policy);
    alpha.gatepost.start();
    let fields = protected(ALICE, "the marmoset");
    let text = ENTITY.replace("charset=utf-8", "charset=utf-8; hp=\"cipher\"");
    let message = hide_subject(to_own_domain(&pki, BOB, &format!("{fields}{text}")));
    let outcome = alpha.submit(ALICE, &[BOB], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let data = sink.wait(1).pop().unwrap().data;
    assert!(find(&data, b"encrypted with a password") && find(&data, b"Subject: [...]"));
    assert!(!find(&data, b"marmoset") && !find(&data, b"vault"), "{}", String::from_utf8_lossy(&data));
}

#[test]
fn without_the_secret_key_mail_waits_and_what_cannot_be_opened_is_refused() {
    let (pki, mut alpha, sink) = alone("[policy]\n");
    correspondent(&pki, &alpha, BOB);
    alpha.gatepost.start();
    let message = to_own_domain(&pki, BOB, ENTITY);
    let secrets = alpha.gatepost.state().join("secrets");
    let away = secrets.with_extension("away");
    rename(&secrets, &away).unwrap();
    let outcome = alpha.submit(ALICE, &[BOB], &message);
    assert_eq!(outcome.end.code, 451, "{outcome:?}\n{}", alpha.gatepost.log());
    rename(&away, &secrets).unwrap();
    assert!(sink.received().is_empty());

    let text = String::from_utf8(message.clone()).unwrap();
    let end = text.trim_end().rfind("\r\n").unwrap();
    let outcome = alpha.submit(ALICE, &[BOB], format!("{}\r\n", &text[..end - 80]).as_bytes());
    assert!(outcome.end.is_permanent() && format!("{outcome:?}").contains("5.7.5"), "{outcome:?}");
    assert!(sink.received().is_empty());
    assert!(alpha.submit(ALICE, &[BOB], &message).accepted());
    assert!(!find(&sink.wait(1)[0].data, b"vault"));
}
