//! Which host gets the mail, and what is said when none does.

use super::*;
use crate::fixtures::smtp_server::Done;
use crate::fixtures::smtp_server::MailHost;
use crate::fixtures::smtp_server::Script;
use crate::fixtures::smtp_server::fresh_address;
use crate::fixtures::smtp_server::hop;
use crate::fixtures::tls_server::configuration;

#[tokio::test]
async fn the_next_host_gets_what_the_first_cannot() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let tls = configuration(&[&leaf], &[&rustls::version::TLS13]);
    let wrong = MailHost::start(Script { tls: Some(tls), ..Script::default() }).await;
    let deferring = |mail| Script { mail, ..Script::default() };
    for first in [
        wrong.hop("a.example.org", dane(&[leaf.wrong_tlsa(3, 1, 1)])),
        hop("a.example.org", &[fresh_address()], Road::Opportunistic),
        hop("a.example.org", &[], Road::Opportunistic),
        MailHost::start(Script { greeting: "421 4.3.2 not now", ..Script::default() })
            .await
            .hop("a.example.org", Road::Opportunistic),
        MailHost::start(Script { greeting: "554 5.7.1 go away", ..Script::default() })
            .await
            .hop("a.example.org", Road::Opportunistic),
        MailHost::start(Script { greeting: "", ..Script::default() })
            .await
            .hop("a.example.org", Road::Opportunistic),
        MailHost::start(Script { greeting: "hello", ..Script::default() })
            .await
            .hop("a.example.org", Road::Opportunistic),
        MailHost::start(deferring("451 4.3.0 later")).await.hop("a.example.org", Road::Opportunistic),
        MailHost::start(Script { data: "451 4.3.0 later", ..Script::default() })
            .await
            .hop("a.example.org", Road::Opportunistic),
        MailHost::start(Script { done: Done::Say("451 4.3.0 later"), ..Script::default() })
            .await
            .hop("a.example.org", Road::Opportunistic),
        MailHost::start(Script { rcpt: vec![("b@", "450 4.2.0 greylisted")], ..Script::default() })
            .await
            .hop("a.example.org", Road::Opportunistic),
    ] {
        let second = MailHost::start(Script::default()).await;
        let hosts = vec![first.clone(), second.hop("b.example.org", Road::Opportunistic)];
        let report = send(&courier(|_| {}), hosts).await;
        assert!(said(&report).starts_with("250 2.0.0 b.example.org["), "{first:?}: {}", said(&report));
        assert_eq!(second.taken().len(), 1);
        assert_eq!(report.attempts.len(), 2);
        assert_eq!(report.attempts[0].host, "a.example.org");
    }
}

#[tokio::test]
async fn the_next_address_of_a_host_is_tried() {
    let host = MailHost::start(Script::default()).await;
    let addresses = [fresh_address(), "::2".parse().unwrap(), host.address];
    let report = send(&courier(|_| {}), vec![hop(HOST, &addresses, Road::Opportunistic)]).await;
    assert!(said(&report).starts_with("250 "), "{}", said(&report));
    assert_eq!(report.attempts.len(), 3);
}

#[tokio::test]
async fn a_permanent_refusal_ends_the_search() {
    for script in [
        Script { mail: "550 5.7.1 not from you", ..Script::default() },
        Script { rcpt: vec![("b@", "550 5.1.1 no such user")], ..Script::default() },
        Script { data: "554 5.5.1 no", ..Script::default() },
        Script { done: Done::Say("554 5.7.1 spam"), ..Script::default() },
    ] {
        let first = MailHost::start(script).await;
        let second = MailHost::start(Script::default()).await;
        let hosts =
            vec![first.hop(HOST, Road::Opportunistic), second.hop("b.example.org", Road::Opportunistic)];
        let report = send(&courier(|_| {}), hosts).await;
        let said = said(&report);
        assert!(said.starts_with("55") && said.contains("remote said: 55"), "{said}");
        assert!(report.outcomes[0].via.is_some());
        assert_eq!(second.connections(), 0);
    }
}

#[tokio::test]
async fn every_recipient_gets_its_own_answer() {
    let rcpt = vec![("nobody@", "550 5.1.1 no such user"), ("full@", "452 4.2.2 mailbox full")];
    for extensions in [vec!["PIPELINING"], vec![]] {
        let host = MailHost::start(Script { rcpt: rcpt.clone(), extensions, ..Script::default() }).await;
        let route = Arc::new(route("example.org", vec![host.hop(HOST, Road::Opportunistic)]));
        let to = recipients(&["a@example.org", "nobody@example.org", "full@example.org", "c@example.org"]);
        let report = courier(|_| {})
            .deliver(Instant::now(), route, &envelope(), &to, &hello(), &Abandon::default())
            .await;
        let said: Vec<_> = report.outcomes.iter().map(|outcome| outcome.reply.to_string()).collect();
        assert!(said[0].starts_with("250 2.0.0"), "{said:?}");
        assert!(said[1].starts_with("550 5.1.1") && said[1].ends_with("(in reply to RCPT TO)"), "{said:?}");
        assert!(said[2].starts_with("452 4.2.2") && said[2].contains("mailbox full"), "{said:?}");
        assert!(said[3].starts_with("250 2.0.0"), "{said:?}");
        assert_eq!(host.taken()[0].rcpt, ["RCPT TO:<a@example.org>", "RCPT TO:<c@example.org>"]);
    }
}

#[tokio::test]
async fn only_those_whom_the_first_host_deferred_go_to_the_second() {
    let first = MailHost::start(Script { rcpt: vec![("b@", "450 4.2.0 later")], ..Script::default() }).await;
    let second = MailHost::start(Script::default()).await;
    let hosts = vec![first.hop(HOST, Road::Opportunistic), second.hop("b.example.org", Road::Opportunistic)];
    let to = recipients(&["a@example.org", "b@example.org"]);
    let route = Arc::new(route("example.org", hosts));
    let report =
        courier(|_| {}).deliver(Instant::now(), route, &envelope(), &to, &hello(), &Abandon::default()).await;
    assert!(report.outcomes.iter().all(|outcome| outcome.reply.is_positive()));
    assert_eq!(first.taken()[0].rcpt, ["RCPT TO:<a@example.org>"]);
    assert_eq!(second.taken()[0].rcpt, ["RCPT TO:<b@example.org>"]);
}

#[tokio::test]
async fn the_most_telling_fault_is_told() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let stripped = MailHost::start(Script::default()).await;
    let hosts = vec![
        hop("down.example.org", &[fresh_address()], Road::Opportunistic),
        stripped.hop("stripped.example.org", dane(&[leaf.tlsa(3, 1, 1)])),
    ];
    let report = send(&courier(|_| {}), hosts).await;
    let said = said(&report);
    assert!(said.starts_with("451 4.7.4 stripped.example.org["), "{said}");
    assert!(said.ends_with("STARTTLS was not offered (another host failed too)"), "{said}");
}

#[tokio::test]
async fn routes_without_hosts_have_their_own_replies() {
    let courier = courier(|_| {});
    for (verdict, reply) in [
        (RouteVerdict::NullMx, "556 5.1.10 example.org takes no mail (null MX)"),
        (RouteVerdict::NoSuchDomain, "550 5.1.2 example.org: no such domain, or it has no mail host"),
        (
            RouteVerdict::Temporary { why: "MX look-up failed".to_owned() },
            "451 4.4.3 example.org: MX look-up failed",
        ),
        (RouteVerdict::Malformed { why: "empty label".to_owned() }, "550 5.1.2 example.org: empty label"),
        (RouteVerdict::Hosts, "451 4.4.4 example.org: no host to try"),
    ] {
        let route = Arc::new(Route { verdict, ..route("example.org", Vec::new()) });
        let to = recipients(&["b@example.org"]);
        let report =
            courier.deliver(Instant::now(), route, &envelope(), &to, &hello(), &Abandon::default()).await;
        assert_eq!(said(&report), reply);
    }
}

#[tokio::test]
async fn our_own_name_at_the_other_end_is_a_loop() {
    let host = MailHost::start(Script { name: "Relay.Gatepost.example", ..Script::default() }).await;
    let report = send(&courier(|_| {}), vec![host.hop(HOST, Road::Opportunistic)]).await;
    assert!(said(&report).starts_with("550 5.4.6 "), "{}", said(&report));
}

#[tokio::test]
async fn a_host_that_says_nothing_does_not_hold_us() {
    let silent = tokio::net::TcpListener::bind(std::net::SocketAddr::new(
        fresh_address(),
        crate::fixtures::smtp_server::PORT,
    ))
    .await
    .unwrap();
    let address = silent.local_addr().unwrap().ip();
    let courier = courier(|config| config.times.total = Duration::from_secs(1));
    let begin = std::time::Instant::now();
    let report = send(&courier, vec![hop(HOST, &[address], Road::Opportunistic)]).await;
    assert!(said(&report).contains("no answer in time (waiting for the greeting)"), "{}", said(&report));
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn only_so_many_deliveries_run_at_a_time() {
    let host = MailHost::start(Script { slow: Duration::from_millis(50), ..Script::default() }).await;
    let courier = courier(|config| config.deliveries = 3);
    let sends = (0..12).map(|_| {
        let (courier, hop) = (courier.clone(), host.hop(HOST, Road::Opportunistic));
        tokio::spawn(async move { send(&courier, vec![hop]).await })
    });
    for task in sends.collect::<Vec<_>>() {
        assert!(said(&task.await.unwrap()).starts_with("250 "));
    }
    assert!(host.most_active() <= 4, "{}", host.most_active());
    assert_eq!(host.taken().len(), 12);
}

#[tokio::test]
async fn connections_are_reused_for_the_same_road_only() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let tls = configuration(&[&leaf], &[&rustls::version::TLS13]);
    let host = MailHost::start(Script { tls: Some(tls), ..Script::default() }).await;
    let courier = courier(|config| config.pool = PoolConfig { uses: 3, ..PoolConfig::default() });
    let road = dane(&[leaf.tlsa(3, 1, 1)]);
    for (sent, connections) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
        let report = send(&courier, vec![host.hop(HOST, road.clone())]).await;
        assert!(said(&report).contains("DANE-verified"), "{}", said(&report));
        assert_eq!((host.taken().len(), host.connections()), (sent, connections));
        assert_eq!(report.attempts[0].reused, matches!(sent, 2 | 3));
    }
    // Other records, another handshake.
    let report = send(&courier, vec![host.hop(HOST, dane(&[leaf.wrong_tlsa(3, 1, 1)]))]).await;
    assert!(said(&report).starts_with("451 4.7.5"), "{}", said(&report));
    assert_eq!(host.connections(), 3);
    // A connection in clear is no connection for DANE and the other way round.
    send(&courier, vec![host.hop(HOST, Road::Cleartext)]).await;
    assert_eq!(host.connections(), 4);
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_replaced_without_a_word() {
    let host = MailHost::start(Script { messages: 1, ..Script::default() }).await;
    let courier = courier(|config| config.pool = PoolConfig::default());
    for sent in 1..=3 {
        let report = send(&courier, vec![host.hop(HOST, Road::Opportunistic)]).await;
        assert!(said(&report).starts_with("250 "), "{}", said(&report));
        assert_eq!(host.taken().len(), sent);
    }
}

#[tokio::test]
async fn idle_connections_end_after_their_time() {
    let host = MailHost::start(Script::default()).await;
    let idle_time = Duration::from_millis(50);
    let courier = courier(|config| config.pool = PoolConfig { idle_time, ..PoolConfig::default() });
    send(&courier, vec![host.hop(HOST, Road::Opportunistic)]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(host.commands().last().unwrap(), "QUIT");
}
