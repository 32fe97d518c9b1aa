//! Mail that leaves: sealed for those whose certificate we have, in the form their policy asks for.

use tests::Gpg;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::armored_message;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const CAROL: &str = "carol@beta.example";
const DAVE: &str = "dave@gamma.example";
const ERIN: &str = "erin@beta.example";
const SECRET: &str = "the vault opens at nine";

/// Alpha's site, a sink for beta.example and gamma.example, and a gpg that holds every key.
fn world(policy: &str) -> (Site, SmtpSink, Gpg) {
    let sink = SmtpSink::start();
    let plan = SitePlan::new("alpha.example").route("beta.example", sink.port());
    let alpha = plan.route("gamma.example", sink.port()).policy(policy).prepare();
    let keys = Gpg::new();
    for address in [BOB, ERIN] {
        keys.generate(address);
        alpha.gatepost.import(&["--for", address], &keys.certificate(address));
    }
    keys.generate("gateway@gamma.example");
    alpha.gatepost.import(&["--domain", "gamma.example"], &keys.certificate("gateway@gamma.example"));
    let mut alpha = alpha;
    alpha.gatepost.start();
    (alpha, sink, keys)
}

#[test]
fn mail_to_somebody_with_a_certificate_leaves_encrypted() {
    let (alpha, sink, keys) = world("");
    let outcome = alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "news", SECRET));
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let received = sink.wait(1).remove(0);
    assert_eq!((received.from.as_str(), received.to.as_slice()), (ALICE, &[BOB.to_owned()][..]));
    let text = String::from_utf8_lossy(&received.data).into_owned();
    assert!(text.contains("multipart/encrypted") && !text.contains(SECRET), "{text}");
    assert!(text.contains("\r\nSubject: news\r\n") && text.contains("\r\nFrom: alice@alpha.example\r\n"));
    let opened = keys.decrypt(armored_message(&received.data).unwrap());
    assert!(opened.decrypted(), "{opened:?}");
    assert_eq!(opened.encrypted_to(), [keys.encryption_key(BOB)]);
    let inside = String::from_utf8(opened.plaintext).unwrap();
    assert!(
        inside.contains("Content-Type: text/plain; charset=utf-8") && inside.contains(SECRET),
        "{inside}"
    );
    alpha.gatepost.wait_log(&[&outcome.queue_id(), "action=encrypt", "scheme=openpgp", "verdict=continue"]);
}

#[test]
fn a_domain_certificate_serves_everybody_of_that_domain() {
    let (alpha, sink, keys) = world("");
    alpha.submit(ALICE, &[DAVE], &messages::plain(ALICE, DAVE, "news", SECRET));
    let opened = keys.decrypt(armored_message(&sink.wait(1)[0].data).unwrap());
    assert_eq!(opened.encrypted_to(), [keys.encryption_key("gateway@gamma.example")]);
}

#[test]
fn each_recipient_of_one_message_gets_what_policy_says() {
    let (alpha, sink, keys) = world("");
    // Bob has a certificate, Carol has none, Dave's domain has one, and Erin gets a blind copy.
    let to = format!("{BOB}, {CAROL}, {DAVE}");
    let message = messages::plain(ALICE, &to, "news", SECRET);
    let outcome = alpha.submit(ALICE, &[BOB, CAROL, DAVE, ERIN], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let received = sink.wait(3);
    let mut all: Vec<&str> = received.iter().flat_map(|one| one.to.iter().map(String::as_str)).collect();
    all.sort_unstable();
    assert_eq!(all, [BOB, CAROL, DAVE, ERIN], "everybody exactly once");
    for one in &received {
        if one.to == [CAROL] {
            assert!(one.data.ends_with(&message), "no certificate: untouched");
            continue;
        }
        let opened = keys.decrypt(armored_message(&one.data).expect("it is encrypted"));
        assert!(opened.decrypted(), "{opened:?}");
        let mut able = opened.encrypted_to();
        able.sort_unstable();
        let blind = one.to == [ERIN];
        let mut expected = match blind {
            true => vec![keys.encryption_key(ERIN)],
            false => vec![keys.encryption_key(BOB), keys.encryption_key("gateway@gamma.example")],
        };
        expected.sort();
        assert_eq!(able, expected, "for {:?}", one.to);
        assert!(blind || !String::from_utf8_lossy(&one.data).contains(ERIN), "Bcc is told to nobody");
    }
    alpha.postfix.wait_idle();
    assert_eq!(sink.received().len(), 3);
}

#[test]
fn required_without_a_certificate_is_refused_at_rcpt_for_that_recipient_alone() {
    let (alpha, sink, _) = world("[policy]\nencrypt = \"required\"");
    let outcome = alpha.submit(ALICE, &[CAROL, BOB], &messages::plain(ALICE, BOB, "news", SECRET));
    assert_eq!((outcome.rcpt[0].code, outcome.rcpt[0].enhanced()), (550, Some("5.7.1")), "{outcome:?}");
    assert!(outcome.rcpt[0].text().contains(CAROL), "{outcome:?}");
    assert!(outcome.accepted(), "{outcome:?}");
    let received = sink.wait(1).remove(0);
    assert_eq!(received.to, [BOB]);
    assert!(armored_message(&received.data).is_some());

    let refused = alpha.submit(ALICE, &[CAROL], &messages::plain(ALICE, CAROL, "news", SECRET));
    assert!(!refused.accepted());
    alpha.postfix.wait_idle();
    assert_eq!(sink.received().len(), 1);
}

#[test]
fn umlauts_and_8bit_bytes_survive_sealing() {
    let (alpha, sink, keys) = world("");
    let body = "Grüße aus Köln\n.\n..\nFrom here it is 8bit: äöüß€\n";
    let outcome =
        alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", body));
    assert!(outcome.accepted(), "{outcome:?}");
    let received = sink.wait(1).remove(0);
    let opened = keys.decrypt(armored_message(&received.data).unwrap());
    assert!(
        opened.plaintext.ends_with(&messages::crlf(body)),
        "{}",
        String::from_utf8_lossy(&opened.plaintext)
    );
    assert!(String::from_utf8_lossy(&received.data).contains("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?="));
}

#[test]
fn internationalised_mail_keeps_its_addresses_and_its_header() {
    let (alpha, sink, _) = world("");
    let message = messages::plain(ALICE, "jürgen@beta.example", "Grüße", "Schöne Welt\n");
    let mut client = tests::SmtpClient::connect(alpha.postfix.ports.submission);
    assert_eq!(client.mail_with(ALICE, "BODY=8BITMIME SMTPUTF8").code, 250);
    let rcpt = client.rcpt("jürgen@beta.example");
    assert_eq!(rcpt.code, 250, "{rcpt}");
    let end = client.data(&message);
    assert_eq!(end.code, 250, "{end}\n{}", alpha.gatepost.log());
    let received = sink.wait(1).remove(0);
    assert!(received.parameters.contains("SMTPUTF8"), "{received:?}");
    assert_eq!(received.to, ["jürgen@beta.example"]);
    assert!(received.data.ends_with(&message));
}

#[test]
fn alice_signs_and_bob_can_verify() {
    let (mut alpha, sink, keys) = world("[policy]\nsign = \"always\"");
    alpha.gatepost.generate(&["--user", ALICE]);
    alpha.gatepost.restart();
    keys.import(&alpha.gatepost.export(&[ALICE]));
    let signer = keys.fingerprint(ALICE);

    alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "sealed", SECRET));
    let opened = keys.decrypt(armored_message(&sink.wait(1)[0].data).unwrap());
    assert_eq!(opened.valid_signer(), Some(signer.as_str()), "{opened:?}");

    // Carol has no certificate: she gets it clear-signed (RFC 3156 section 5).
    alpha.submit(ALICE, &[CAROL], &messages::plain(ALICE, CAROL, "signed", "Grüße\n"));
    let received = sink.wait(2).remove(1);
    let text = String::from_utf8(received.data).unwrap();
    assert!(text.contains("multipart/signed"), "{text}");
    let boundary = text.split_once("boundary=\"").unwrap().1.split('"').next().unwrap();
    let parts: Vec<&str> = text.split(&format!("--{boundary}\r\n")).collect();
    let signed = parts[1].strip_suffix("\r\n").unwrap();
    assert!(signed.is_ascii(), "7bit-safe before signing: {signed}");
    let verified = keys.verify(parts[2].as_bytes(), signed.as_bytes());
    assert_eq!(verified.valid_signer(), Some(signer.as_str()), "{verified:?}");
}
