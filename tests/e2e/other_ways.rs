//! Mail that does not come by SMTP, mail that Postfix writes itself, and mail that is large.

use tests::Behaviour;
use tests::Gpg;
use tests::SitePlan;
use tests::SmtpSink;
use tests::Stage;
use tests::armored_message;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const SECRET: &str = "the vault opens at nine";

#[test]
fn mail_from_sendmail_is_sealed_too() {
    let sink = SmtpSink::start();
    let plan = SitePlan::new("alpha.example").route("beta.example", sink.port());
    let mut alpha = plan.policy("[partner.\"beta.example\"]\nencrypt = \"required\"").prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    alpha.gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    alpha.gatepost.start();
    let message = format!("From: {ALICE}\nTo: {BOB}\nSubject: from a program\n\n{SECRET}\n");
    alpha.postfix.sendmail(ALICE, &[BOB], message.as_bytes());
    let received = sink.wait(1).remove(0);
    let opened = bob.decrypt(armored_message(&received.data).expect("it is encrypted"));
    assert!(opened.decrypted() && String::from_utf8_lossy(&opened.plaintext).contains(SECRET));

    // There is nobody to refuse it to: Postfix returns it to the sender, and nothing leaves.
    let message = format!("From: {ALICE}\nTo: carol@beta.example\nSubject: no key\n\n{SECRET}\n");
    alpha.postfix.sendmail(ALICE, &["carol@beta.example"], message.as_bytes());
    let returned = alpha.postfix.wait_mail("alice", 1).remove(0);
    assert!(returned.text().contains("carol@beta.example"), "{returned:?}");
    assert_eq!(sink.received().len(), 1);
}

#[test]
fn a_bounce_does_not_carry_home_in_clear_what_had_to_be_sealed() {
    // Beta opens a sealed mail, then cannot deliver it: its alias points to a server that refuses.
    let gone = SmtpSink::start();
    gone.script(Stage::Rcpt, Behaviour::Answer("550 5.1.1 nobody here".to_owned()));
    let home = SmtpSink::start();
    let mut plan = SitePlan::new("beta.example").route("gone.example", gone.port());
    plan = plan.route("alpha.example", home.port());
    plan = plan.policy("[partner.\"alpha.example\"]\nencrypt = \"required\"");
    plan.postfix = plan
        .postfix
        .parameter("internal_mail_filter_classes", "bounce")
        .parameter("virtual_alias_maps", "inline:{bob@beta.example=bob@gone.example}");
    let mut beta = plan.prepare();
    beta.gatepost.generate(&["--domain", "beta.example"]);
    let certificate = beta.gatepost.export(&["--domain", "beta.example"]);
    let alice = Gpg::new();
    alice.generate(ALICE);
    let domain_key = alice.import(&certificate).fingerprint_in(&certificate);
    beta.gatepost.import(&["--for", ALICE], &alice.certificate(ALICE));
    beta.gatepost.start();

    let inside = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
    let sealed = alice.seal(None, &[&domain_key], inside.as_bytes());
    let outcome = beta.receive(ALICE, &[BOB], &messages::pgp_mime(ALICE, BOB, "news", &sealed));
    assert!(outcome.accepted(), "{outcome:?}\n{}", beta.gatepost.log());
    let bounce = home.wait(1).remove(0);
    assert_eq!((bounce.from.as_str(), bounce.to.as_slice()), ("", &[ALICE.to_owned()][..]));
    let text = String::from_utf8_lossy(&bounce.data).into_owned();
    assert!(!text.contains(SECRET), "{text}");
    let opened = alice.decrypt(armored_message(&bounce.data).expect("the bounce is encrypted"));
    assert!(String::from_utf8_lossy(&opened.plaintext).contains("nobody here"), "{opened:?}");
}

#[test]
fn thirty_megabytes_are_sealed_within_64_mib_of_memory() {
    let sink = SmtpSink::start();
    let mut alpha = SitePlan::new("alpha.example").route("beta.example", sink.port()).prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    alpha.gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    alpha.gatepost.start();
    alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "warm", "up\n"));
    sink.wait(1);
    let before = alpha.gatepost.running().memory("VmHWM");
    // The size that the mail program shows; base64 makes it 27 % larger on the way.
    let message = messages::with_attachment(ALICE, BOB, "large", 23_000_000);
    assert!(message.len() > 30 << 20);
    let outcome = alpha.submit(ALICE, &[BOB], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let received = sink.wait(2).remove(1);
    let growth = alpha.gatepost.running().memory("VmHWM") - before;
    assert!(growth < 64 << 20, "grew by {} MiB", growth >> 20);
    let opened = bob.decrypt(armored_message(&received.data).unwrap());
    let (_, sent) = split(&message);
    let (_, got) = split(&opened.plaintext);
    assert!(got == sent, "the attachment is whole: {} of {} bytes", got.len(), sent.len());
}

#[test]
fn a_message_that_would_grow_over_the_limit_is_refused_for_good_and_says_why() {
    let sink = SmtpSink::start();
    let mut plan = SitePlan::new("alpha.example").route("beta.example", sink.port());
    plan.gatepost =
        tests::GatepostPlan::new("alpha.example").limit("1 MiB").reinject(plan.postfix.ports.reinject);
    plan.postfix = plan.postfix.parameter("message_size_limit", "1048576");
    let mut alpha = plan.prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    alpha.gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    alpha.gatepost.start();
    let message = messages::with_attachment(ALICE, BOB, "fits, but not sealed", 740_000);
    assert!(message.len() < 1_048_576 - 2000);
    let outcome = alpha.submit(ALICE, &[BOB], &message);
    assert_eq!((outcome.end.code, outcome.end.enhanced()), (552, Some("5.3.4")), "{outcome:?}");
    // Ours, not Postfix's `message file too big` after everything was done.
    assert!(!outcome.end.text().contains("message file too big"), "{outcome:?}");
    alpha.postfix.wait_idle();
    assert_eq!(sink.connections(), 0);
}

/// Header and body of a message.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (&message[..end], &message[end + 4..])
}
