//! Gatepost behind Sendmail's own milter client (the binary of Debian's sendmail-bin).

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::Sendmail;
use tests::SmtpClient;
use tests::SmtpSink;
use tests::armored_message;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const CAROL: &str = "carol@beta.example";
const SECRET: &str = "the vault opens at nine";

struct World {
    sendmail: Sendmail,
    gatepost: Gatepost,
    sink: SmtpSink,
    bob: Gpg,
}

/// Alpha's Sendmail and gateway; only Bob has a certificate.
#[track_caller]
fn world(policy: &str) -> World {
    let sink = SmtpSink::start();
    let mut gatepost = GatepostPlan::new("alpha.example").policy(policy).reinject(sink.port()).prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    gatepost.start();
    let sendmail = Sendmail::start(gatepost.milter(), sink.port());
    World { sendmail, gatepost, sink, bob }
}

/// Sendmail's queue id, from its reply to the message.
#[track_caller]
fn queue_id(reply: &tests::Reply) -> String {
    let text = reply.text();
    let id = text.strip_prefix("2.0.0 ").and_then(|text| text.split(' ').next());
    id.unwrap_or_else(|| panic!("no queue id in {reply}")).to_owned()
}

#[test]
fn mail_through_sendmail_is_sealed() {
    let World { sendmail, gatepost, sink, bob } = world("");
    let mut client = SmtpClient::connect(sendmail.port);
    let outcome = client.send(ALICE, &[BOB], &messages::plain(ALICE, BOB, "news", SECRET));
    assert!(outcome.accepted(), "{outcome:?}\n{}\n{}", gatepost.log(), sendmail.traffic());
    let received = sink.wait(1).remove(0);
    assert_eq!((received.from.as_str(), received.to.as_slice()), (ALICE, &[BOB.to_owned()][..]));
    let text = String::from_utf8_lossy(&received.data).into_owned();
    assert!(!text.contains(SECRET), "{text}");
    let header = text.split("\r\n\r\n").next().unwrap();
    for field in [
        "From: alice@alpha.example",
        "To: bob@beta.example",
        "Subject: news",
        "MIME-Version: 1.0",
        "Content-Type: multipart/encrypted;",
    ] {
        let count = header.matches(&format!("\r\n{field}")).count();
        assert_eq!(count, 1, "{field} in {header}");
    }
    assert!(!header.contains("text/plain"), "{header}");
    let opened = bob.decrypt(armored_message(&received.data).unwrap());
    assert!(opened.decrypted() && String::from_utf8_lossy(&opened.plaintext).contains(SECRET), "{opened:?}");

    // Sendmail has the queue id at MAIL already, and tells it at every stage.
    let id = queue_id(&outcome.end);
    gatepost.wait_log(&[&format!(" {id}: "), "direction=outbound", "action=encrypt", "verdict=continue"]);
    let records = gatepost.notary(&id);
    assert_eq!(records[0].pointer("/private/client/daemon").unwrap(), "ORIGINATING");
    assert!(sendmail.queue().is_empty(), "{:?}", sendmail.queue());
}

#[test]
fn sendmail_refuses_the_recipient_that_we_refuse_and_no_other() {
    let World { sendmail, gatepost, sink, bob } = world("[policy]\nencrypt = \"required\"");
    let mut client = SmtpClient::connect(sendmail.port);
    let message = messages::plain(ALICE, BOB, "news", SECRET);
    let outcome = client.send(ALICE, &[CAROL, BOB], &message);
    assert_eq!((outcome.rcpt[0].code, outcome.rcpt[0].enhanced()), (550, Some("5.7.1")), "{outcome:?}");
    assert!(outcome.rcpt[0].text().contains(CAROL), "{outcome:?}");
    assert!(outcome.accepted(), "{outcome:?}");
    let received = sink.wait(1).remove(0);
    assert_eq!(received.to, [BOB]);
    assert!(bob.decrypt(armored_message(&received.data).unwrap()).decrypted());

    // Alone, she leaves nothing of the message; the connection goes on.
    let refused = client.send(ALICE, &[CAROL], &message);
    assert!(!refused.accepted(), "{refused:?}");
    let outcome = client.send(ALICE, &[BOB], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", gatepost.log());
    assert_eq!(sink.wait(2)[1].to, [BOB]);
    assert_eq!(sink.received().len(), 2);
}

#[test]
fn a_large_sealed_body_goes_to_sendmail_in_pieces_it_takes() {
    let World { sendmail, gatepost, sink, bob } = world("");
    let message = messages::with_attachment(ALICE, BOB, "large", 700_000);
    let outcome = SmtpClient::connect(sendmail.port).send(ALICE, &[BOB], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", gatepost.log());
    let received = sink.wait(1).remove(0);
    let opened = bob.decrypt(armored_message(&received.data).unwrap());
    assert!(opened.decrypted(), "{opened:?}");
    let body = &message[message.windows(4).position(|window| window == b"\r\n\r\n").unwrap()..];
    assert!(opened.plaintext.ends_with(body), "the attachment is whole");
}

#[test]
fn untouched_mail_leaves_sendmail_as_it_came() {
    let World { sendmail, gatepost, sink, .. } = world("");
    // Fields whose exact form a signature may cover.
    let fields =
        "X-No-Space:none\r\nX-Two:  two\r\nX-Folded: one\r\n two\r\n\tthree\r\nX-Twice: 1\r\nX-Twice: 2\r\n";
    let message = [fields.as_bytes(), &messages::plain(ALICE, CAROL, "news", "as it is\n.\n")].concat();
    let outcome = SmtpClient::connect(sendmail.port).send(ALICE, &[CAROL], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", gatepost.log());
    let received = sink.wait(1).remove(0).data;
    // What Sendmail does without us, apart from the Received field.
    assert!(received.starts_with(b"Received: "));
    let at = received.windows(fields.len()).position(|window| window == fields.as_bytes());
    assert_eq!(
        at.map(|at| received[at..].len()),
        Some(message.len()),
        "{}",
        String::from_utf8_lossy(&received)
    );
    assert!(received.ends_with(&message));
}

#[test]
fn different_treatments_behind_sendmail_lose_nobody() {
    // The next hop takes the copies too: what counts here is who gets the original.
    let World { sendmail, gatepost, sink, bob } = world("");
    let message = messages::plain(ALICE, &format!("{BOB}, {CAROL}"), "news", SECRET);
    let outcome = SmtpClient::connect(sendmail.port).send(ALICE, &[CAROL, BOB], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", gatepost.log());
    let received = sink.wait(2);
    for one in &received {
        match one.to.as_slice() {
            [to] if to == BOB => {
                assert!(bob.decrypt(armored_message(&one.data).unwrap()).decrypted());
            }
            [to] => {
                assert!(to == CAROL && one.data.ends_with(b"\r\n\r\nthe vault opens at nine\r\n"), "{one:?}")
            }
            _ => panic!("{one:?}"),
        }
    }
}

#[test]
fn sendmail_defers_while_the_gateway_is_away() {
    let World { sendmail, mut gatepost, sink, .. } = world("[policy]\nencrypt = \"required\"");
    assert!(gatepost.term().success());
    let (mut client, greeting) = SmtpClient::greeted(sendmail.port);
    let replies = match greeting.is_positive() {
        false => vec![greeting],
        true => {
            client.ehlo();
            let outcome = client.send(ALICE, &[BOB], &messages::plain(ALICE, BOB, "news", SECRET));
            [vec![outcome.mail], outcome.rcpt, vec![outcome.end]].concat()
        }
    };
    assert!(replies.iter().any(tests::Reply::is_temporary), "{replies:?}");
    assert!(!replies.iter().any(tests::Reply::is_permanent), "{replies:?}");
    assert_eq!(sink.connections(), 0);
}
