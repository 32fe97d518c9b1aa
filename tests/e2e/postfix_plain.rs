//! The ground the other tests stand on: two private Postfix instances exchange mail without gatepost.

use std::time::Duration;

use tests::Behaviour;
use tests::PostfixPlan;
use tests::SmtpClient;
use tests::SmtpSink;
use tests::SmtpTap;
use tests::Stage;
use tests::free_port;
use tests::messages;

#[test]
fn two_instances_exchange_a_message_over_a_tapped_wire() {
    let beta = PostfixPlan::new("beta.example").start();
    let tap = SmtpTap::start(free_port(), beta.ports.inbound);
    let alpha = PostfixPlan::new("alpha.example").route("beta.example", tap.port()).start();
    let message = messages::plain("alice@alpha.example", "bob@beta.example", "Grüße", "Schöne Welt\n.\nÄ\n");

    let outcome = SmtpClient::connect(alpha.ports.submission).send(
        "alice@alpha.example",
        &["bob@beta.example"],
        &message,
    );

    let line = alpha.wait_log(&[&outcome.queue_id(), "status=sent"]);
    assert!(line.contains("to=<bob@beta.example>"), "{line}");
    let mail = &beta.wait_mail("bob", 1)[0];
    assert_eq!(mail.as_sent(2), message);
    assert!(tap.messages()[0].ends_with(&message));
    assert!(tap.carried("Schöne Welt".as_bytes()));
    assert!(tap.transcript().iter().any(|line| line.starts_with("C: MAIL FROM:<alice@alpha.example>")));
    alpha.wait_idle();
}

#[test]
fn sendmail_submits_to_the_private_instance() {
    let alpha = PostfixPlan::new("alpha.example").start();
    alpha.sendmail("alice@alpha.example", &["bob@alpha.example"], b"Subject: from a program\n\nhello\n");
    let mail = &alpha.wait_mail("bob", 1)[0];
    assert_eq!(mail.field("Subject").as_deref(), Some("from a program"));
    assert_eq!(mail.field("Return-Path").as_deref(), Some("<alice@alpha.example>"));
}

#[test]
fn the_inbound_port_relays_for_nobody_and_unknown_domains_do_not_leave() {
    let alpha = PostfixPlan::new("alpha.example").start();
    let mut client = SmtpClient::connect(alpha.ports.inbound);
    client.mail("x@elsewhere.example");
    assert_eq!(client.rcpt("y@beta.example").code, 554);
    assert_eq!(client.rcpt("nobody@alpha.example").code, 550);
    assert_eq!(client.rcpt("alice@alpha.example").code, 250);

    let mut client = SmtpClient::connect(alpha.ports.submission);
    client.mail("alice@alpha.example");
    let reply = client.rcpt("y@beta.example");
    assert_eq!(
        reply.to_string(),
        "550 5.4.4 <y@beta.example>: Recipient address rejected: no route to this domain in this test"
    );
}

#[test]
fn a_receiver_that_is_busy_is_tried_again() {
    let sink = SmtpSink::start();
    sink.script(Stage::Connect, Behaviour::Wait(Duration::from_millis(50)));
    sink.script(Stage::EndOfMessage, Behaviour::Answer("451 4.3.0 later".to_owned()));
    let alpha = PostfixPlan::new("alpha.example").route("beta.example", sink.port()).start();
    let message = messages::plain("alice@alpha.example", "bob@beta.example", "s", "b\n");
    SmtpClient::connect(alpha.ports.submission).send("alice@alpha.example", &["bob@beta.example"], &message);
    alpha.wait_log(&["status=deferred", "451 4.3.0 later"]);
    assert_eq!(alpha.mailq()[0]["queue_name"], "deferred");
    alpha.flush();
    let received = sink.wait(1);
    assert!(received[0].data.ends_with(&message));
    alpha.wait_idle();
}

#[test]
fn mail_waits_while_a_milter_is_away_and_the_queue_survives_a_restart() {
    let milter = format!("inet:127.0.0.1:{}", free_port());
    let sink = SmtpSink::start();
    sink.script(Stage::Connect, Behaviour::Answer("421 4.3.2 closed".to_owned()));
    let plan = PostfixPlan::new("alpha.example").milter(&milter).route("beta.example", sink.port());
    let mut alpha = plan.start();
    let message = messages::plain("alice@alpha.example", "bob@beta.example", "s", "b\n");
    let send = |port| SmtpClient::connect(port).send("alice@alpha.example", &["bob@beta.example"], &message);

    let outcome = send(alpha.ports.submission);
    assert!(outcome.end.is_temporary() && !outcome.accepted(), "{outcome:?}");

    assert!(send(alpha.ports.plain).accepted());
    alpha.wait_log(&["status=deferred"]);
    alpha.stop();
    alpha.start();
    alpha.flush();
    assert_eq!(sink.wait(1)[0].to, ["bob@beta.example"]);
}
