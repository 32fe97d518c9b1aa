//! What happens to messages: many recipients, large ones, dead domains, hosts that fail at the worst moment.

use std::time::Instant;

use super::*;
use crate::dns::Tlsa;
use crate::fixtures::certificates::Identity;
use crate::fixtures::smtp_server::Done;
use crate::fixtures::smtp_server::MailHost;
use crate::fixtures::smtp_server::Script;
use crate::fixtures::smtp_server::fresh_address;
use crate::fixtures::smtp_server::hop;
use crate::fixtures::tls_server::configuration;
use crate::road::Road;

fn dane(host: &str, records: Vec<Tlsa>) -> Road {
    Road::Dane { base: host.to_owned(), names: vec![host.to_owned()], records }
}

#[tokio::test]
async fn five_recipients_of_four_domains_get_their_own_answers() {
    let leaf = Identity::alone(&["mx.good.example"], |_| {});
    let tls = || Some(configuration(&[&leaf], &[&rustls::version::TLS13]));
    let good = MailHost::start(Script { tls: tls(), ..Script::default() }).await;
    let picky =
        MailHost::start(Script { rcpt: vec![("nobody@", "550 5.1.1 no such user")], ..Script::default() })
            .await;
    let wrong = MailHost::start(Script { tls: tls(), ..Script::default() }).await;
    let routes = Known::default()
        .with(
            "good.example",
            vec![good.hop("mx.good.example", dane("mx.good.example", vec![leaf.tlsa(3, 1, 1)]))],
        )
        .with("picky.example", vec![picky.hop("mx.picky.example", Road::Opportunistic)])
        .with(
            "wrong.example",
            vec![wrong.hop("mx.wrong.example", dane("mx.wrong.example", vec![leaf.wrong_tlsa(3, 1, 1)]))],
        )
        .with_verdict("null.example", RouteVerdict::NullMx);
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.greeted().await;
    let to =
        ["a@good.example", "nobody@picky.example", "c@wrong.example", "d@null.example", "e@good.example"];
    let replies = client.message(&to, "Subject: x\r\n\r\nx\r\n").await;
    assert!(
        replies[0].starts_with("250 2.0.0 mx.good.example[") && replies[0].contains("DANE-verified"),
        "{replies:?}"
    );
    assert!(replies[1].starts_with("550 5.1.1 mx.picky.example["), "{replies:?}");
    assert!(replies[2].starts_with("451 4.7.5 mx.wrong.example["), "{replies:?}");
    assert!(replies[3].starts_with("556 5.1.10 null.example"), "{replies:?}");
    assert!(replies[4].starts_with("250 2.0.0 mx.good.example["), "{replies:?}");
    // One message for both recipients of one domain.
    assert_eq!(good.taken().len(), 1);
    assert_eq!(good.taken()[0].rcpt.len(), 2);
    assert!(wrong.taken().is_empty());
    assert_eq!(relay.told().len(), 4);
    client.ask("NOOP", "250").await;
}

#[tokio::test]
async fn a_slow_domain_holds_up_neither_deliveries_nor_earlier_answers() {
    let fast = MailHost::start(Script::default()).await;
    let slow = MailHost::start(Script { slow: Duration::from_millis(600), ..Script::default() }).await;
    let routes = Known::default()
        .with("fast.example", vec![fast.hop("mx.fast.example", Road::Opportunistic)])
        .with("slow.example", vec![slow.hop("mx.slow.example", Road::Opportunistic)]);
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.greeted().await;
    client.begin(&["a@fast.example", "b@slow.example", "c@fast.example"]).await;
    client.ask("DATA", "354").await;
    let begin = Instant::now();
    client.send("x\r\n.\r\n").await;
    client.expect("250 2.0.0 mx.fast.example").await;
    assert!(begin.elapsed() < Duration::from_millis(500));
    client.expect("250 2.0.0 mx.slow.example").await;
    client.expect("250 2.0.0 mx.fast.example").await;
}

#[tokio::test]
async fn a_remote_that_drops_after_the_dot_is_temporary_and_named() {
    let host = MailHost::start(Script { done: Done::Drop, ..Script::default() }).await;
    let routes = Known::default().with("b.example", vec![host.hop("mx.b.example", Road::Opportunistic)]);
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.greeted().await;
    let replies = client.message(&["x@b.example", "y@b.example"], "x\r\n").await;
    for reply in replies {
        assert!(reply.starts_with("451 4.4.2 mx.b.example["), "{reply}");
        assert!(reply.contains("may be delivered twice"), "{reply}");
    }
}

#[tokio::test]
async fn a_promised_road_is_not_waived_by_the_sender() {
    let leaf = Identity::alone(&["mx.b.example"], |_| {});
    let tls = Some(configuration(&[&leaf], &[&rustls::version::TLS13]));
    let host = MailHost::start(Script { tls, ..Script::default() }).await;
    let wrong = dane("mx.b.example", vec![leaf.wrong_tlsa(3, 1, 1)]);
    let routes = Known::default().with("b.example", vec![host.hop("mx.b.example", wrong)]);
    for (promised, code) in [(true, "451 4.7.5"), (false, "250 2.0.0")] {
        let relay = Running::start(Known(routes.0.clone(), promised), |_| {}).await;
        let mut client = relay.greeted().await;
        let replies = client.message(&["x@b.example"], "TLS-Required: No\r\n\r\nx\r\n").await;
        assert!(replies[0].starts_with(code), "{replies:?}");
    }
}

#[tokio::test]
async fn a_dead_domain_is_temporary() {
    let dead = hop("mx.dead.example", &[fresh_address()], Road::Opportunistic);
    let relay = Running::start(Known::default().with("dead.example", vec![dead]), |_| {}).await;
    let mut client = relay.greeted().await;
    let replies = client.message(&["x@dead.example", "x@nowhere.example"], "x\r\n").await;
    assert!(replies[0].starts_with("451 4.4.1 mx.dead.example["), "{replies:?}");
    assert!(replies[0].contains("cannot connect: "), "{replies:?}");
    assert!(replies[1].starts_with("550 5.1.2 nowhere.example"), "{replies:?}");
}

#[tokio::test]
async fn smuggled_ends_stay_inside_the_message() {
    let host = MailHost::start(Script::default()).await;
    let routes = Known::default().with("b.example", vec![host.hop("mx.b.example", Road::Opportunistic)]);
    let relay = Running::start(routes, |_| {}).await;
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n..\r\n", "\r\n\0.\r\n"] {
        let mut client = relay.greeted().await;
        let text = format!(
            "Subject: x\r\n\r\nx{end}MAIL FROM:<evil@b.example>\r\nRCPT TO:<v@b.example>\r\nDATA\r\n"
        );
        let replies = client.message(&["x@b.example"], &text).await;
        assert!(replies[0].starts_with("250 "), "{end:?} {replies:?}");
        client.ask("NOOP", "250 2.0.0 ok").await;
    }
    let taken = host.taken();
    assert_eq!(taken.len(), 8);
    for message in taken {
        let text = String::from_utf8_lossy(&message.content).into_owned();
        assert!(text.contains("MAIL FROM:<evil@b.example>"));
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
        assert_eq!(message.mail, "MAIL FROM:<a@gatepost.example> SIZE=".to_owned() + &text.len().to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_deliveries_at_once_each_get_their_answer() {
    let host = MailHost::start(Script { slow: Duration::from_millis(100), ..Script::default() }).await;
    let mut routes = Known::default();
    for n in 0..20 {
        let domain = format!("d{n}.example");
        routes = routes.with(&domain, vec![host.hop(&format!("mx.{domain}"), Road::Opportunistic)]);
    }
    let relay = Arc::new(Running::start(routes, |_| {}).await);
    let clients: Vec<_> = (0..200)
        .map(|n| {
            let relay = Arc::clone(&relay);
            tokio::spawn(async move {
                let mut client = relay.greeted().await;
                let recipient = format!("u{n}@d{}.example", n % 20);
                client.message(&[&recipient], &format!("Subject: {n}\r\n\r\nx\r\n")).await
            })
        })
        .collect();
    for client in clients {
        let replies = client.await.unwrap();
        assert!(replies[0].starts_with("250 "), "{replies:?}");
    }
    assert_eq!(host.taken().len(), 200);
}
