//! Which way a message goes: from the port it came in by, the client, and the domains on either side.

use tests::SitePlan;
use tests::SmtpClient;
use tests::SmtpSink;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";

#[test]
fn the_submission_port_originates_and_the_inbound_port_does_not() {
    let sink = SmtpSink::start();
    let alpha = SitePlan::new("alpha.example").route("beta.example", sink.port()).start();

    let outcome = alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "out", "b\n"));
    alpha.gatepost.wait_log(&[&format!("{}: ", outcome.queue_id()), "direction=outbound"]);
    sink.wait(1);

    let outcome = alpha.submit(
        ALICE,
        &["carol@alpha.example"],
        &messages::plain(ALICE, "carol@alpha.example", "in", "b\n"),
    );
    alpha.gatepost.wait_log(&[&format!("{}: ", outcome.queue_id()), "direction=internal"]);

    // Our own domain in the sender's address is a claim; the port and the client decide.
    for from in [BOB, ALICE, ""] {
        let outcome = alpha.receive(
            from,
            &["carol@alpha.example"],
            &messages::plain(BOB, "carol@alpha.example", from, "b\n"),
        );
        alpha.gatepost.wait_log(&[&format!("{}: ", outcome.queue_id()), "direction=inbound"]);
    }
    alpha.postfix.wait_mail("carol", 4);
}

#[test]
fn mail_to_both_sides_is_decided_for_each_recipient() {
    let sink = SmtpSink::start();
    let plan = SitePlan::new("alpha.example").route("beta.example", sink.port());
    // Required for the partner, but there is no way to encrypt for him; the colleague is not his hostage.
    let alpha = plan.policy("[partner.\"beta.example\"]\nencrypt = \"required\"").start();
    let message = messages::plain(ALICE, "carol@alpha.example, bob@beta.example", "both", "b\n");
    let outcome = alpha.submit(ALICE, &["carol@alpha.example", BOB], &message);
    assert_eq!(outcome.rcpt[0].code, 250);
    assert_eq!((outcome.rcpt[1].code, outcome.rcpt[1].enhanced()), (550, Some("5.7.1")), "{outcome:?}");
    assert!(outcome.rcpt[1].text().contains(BOB), "{outcome:?}");
    alpha.postfix.wait_mail("carol", 1);
    alpha.postfix.wait_idle();
    assert_eq!(sink.connections(), 0);
}

#[test]
fn several_messages_on_one_connection_are_told_apart() {
    let sink = SmtpSink::start();
    let alpha = SitePlan::new("alpha.example").route("beta.example", sink.port()).start();
    let mut client = SmtpClient::connect(alpha.postfix.ports.submission);
    let first = client.send(ALICE, &[BOB], &messages::plain(ALICE, BOB, "1", "one\n"));
    client.ehlo();
    client.mail(ALICE);
    client.rcpt(BOB);
    client.command("RSET");
    let local = messages::plain(ALICE, "carol@alpha.example", "2", "two\n");
    let second = client.send(ALICE, &["carol@alpha.example"], &local);
    client.mail(ALICE);
    client.vanish();
    let log = |id: &str| alpha.gatepost.wait_log(&[&format!("{id}: "), "verdict="]);
    assert!(log(&first.queue_id()).contains("direction=outbound"));
    let line = log(&second.queue_id());
    assert!(line.contains("direction=internal") && !line.contains(BOB), "{line}");
    assert_eq!(sink.wait(1).len(), 1);
    assert_eq!(alpha.postfix.wait_mail("carol", 1)[0].as_sent(1), local);
}
