//! What the sender and the message ask for: extensions, and the road (RFC 8689).

use super::*;
use crate::fixtures::smtp_server::MailHost;
use crate::fixtures::smtp_server::Script;
use crate::fixtures::tls_server::configuration;
use crate::road::Demand;

async fn send_with(
    courier: &Courier,
    hosts: Vec<Hop>,
    envelope: &Envelope,
    to: Recipient,
    letter: &Letter,
) -> Report {
    let route = Arc::new(route("example.org", hosts));
    courier.deliver(Instant::now(), route, envelope, &[to], letter, &Abandon::default()).await
}

fn to(address: &str) -> Recipient {
    recipients(&[address]).remove(0)
}

async fn plain_host(extensions: &[&'static str]) -> MailHost {
    MailHost::start(Script { extensions: extensions.to_vec(), ..Script::default() }).await
}

#[tokio::test]
async fn parameters_are_sent_where_they_are_known() {
    let envelope = Envelope {
        reverse_path: "ä@gatepost.example".to_owned(),
        smtputf8: true,
        ret: Some("HDRS".to_owned()),
        envid: Some("QQ+2B314159".to_owned()),
        ..Envelope::default()
    };
    let recipient = Recipient {
        address: "b@example.org".to_owned(),
        notify: Some("SUCCESS,FAILURE".to_owned()),
        orcpt: Some("rfc822;b@example.org".to_owned()),
    };
    let letter = letter("Subject: x\r\n\r\nä\r\n");
    let host = plain_host(&["8BITMIME", "SIZE 1000", "SMTPUTF8", "DSN"]).await;
    let hosts = vec![host.hop(HOST, Road::Opportunistic)];
    let report = send_with(&courier(|_| {}), hosts, &envelope, recipient.clone(), &letter).await;
    assert!(said(&report).starts_with("250 "), "{}", said(&report));
    let taken = host.taken().remove(0);
    let mail = "MAIL FROM:<ä@gatepost.example> SIZE=18 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B314159";
    assert_eq!(taken.mail, mail);
    let rcpt = "RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@example.org";
    assert_eq!(taken.rcpt, [rcpt]);

    let host = plain_host(&[]).await;
    let hosts = vec![host.hop(HOST, Road::Opportunistic)];
    let bounce = Envelope { reverse_path: String::new(), smtputf8: true, ..envelope };
    let report = send_with(&courier(|_| {}), hosts, &bounce, recipient, &hello()).await;
    assert!(said(&report).starts_with("250 "), "{}", said(&report));
    assert_eq!(host.taken()[0].mail, "MAIL FROM:<>");
    assert_eq!(host.taken()[0].rcpt, ["RCPT TO:<b@example.org>"]);
}

#[tokio::test]
async fn what_a_host_cannot_take_is_refused_before_it_is_sent() {
    let utf8 = Envelope { smtputf8: true, ..envelope() };
    let eight_bit = letter("Subject: x\r\n\r\nä\r\n");
    let header = letter("Subject: ä\r\n\r\nx\r\n");
    let strict = Envelope { require_tls: true, ..envelope() };
    let everything = ["8BITMIME", "SMTPUTF8", "SIZE 10"];
    for (extensions, envelope, address, letter, reply) in [
        (&["SMTPUTF8"][..], envelope(), "b@example.org", &eight_bit, "550 5.6.3 "),
        (&["8BITMIME"], utf8.clone(), "b@example.org", &header, "550 5.6.9 "),
        (&["8BITMIME"], utf8.clone(), "ä@example.org", &hello(), "550 5.6.7 "),
        (&everything, utf8, "ä@example.org", &eight_bit, "552 5.3.4 "),
        (&["8BITMIME"], strict, "b@example.org", &hello(), "550 5.7.10 "),
    ] {
        let host = plain_host(extensions).await;
        let hop = Hop { mx_secure: false, ..host.hop(HOST, Road::Opportunistic) };
        let report = send_with(&courier(|_| {}), vec![hop], &envelope, to(address), letter).await;
        assert!(said(&report).starts_with(reply), "{}", said(&report));
        assert!(!host.commands().iter().any(|line| line.starts_with("MAIL")));
    }
    // 8-bit text in the header section without SMTPUTF8 is old custom, and only 8-bit text.
    let host = plain_host(&["8BITMIME"]).await;
    let hosts = vec![host.hop(HOST, Road::Opportunistic)];
    let report = send_with(&courier(|_| {}), hosts, &envelope(), to("b@example.org"), &header).await;
    assert!(said(&report).starts_with("250 "), "{}", said(&report));
}

#[tokio::test]
async fn another_host_may_know_what_the_first_does_not() {
    let first = plain_host(&[]).await;
    let second = plain_host(&["8BITMIME"]).await;
    let hosts = vec![first.hop(HOST, Road::Opportunistic), second.hop("b.example.org", Road::Opportunistic)];
    let letter = letter("Subject: x\r\n\r\nä\r\n");
    let report = send_with(&courier(|_| {}), hosts, &envelope(), to("b@example.org"), &letter).await;
    assert!(said(&report).starts_with("250 2.0.0 b.example.org["), "{}", said(&report));
}

/// A host over TLS with this certificate, which offers REQUIRETLS or not.
async fn tls_host(leaf: &Identity, extensions: &[&'static str]) -> MailHost {
    let tls = Some(configuration(&[leaf], &[&rustls::version::TLS13]));
    MailHost::start(Script { tls, extensions: extensions.to_vec(), ..Script::default() }).await
}

#[tokio::test]
async fn requiretls_demands_a_proven_host_that_promises_the_same() {
    let root = Identity::root("Web");
    let good = root.issue(&[HOST], |_| {});
    let wrong = Identity::alone(&["whoever.example"], |_| {});
    let courier = courier_trusting(Some(&root), |_| {});
    let strict = Envelope { require_tls: true, ..envelope() };
    let dane_road = dane(&[wrong.tlsa(3, 1, 1)]);
    let sts = |testing| Road::Sts { name: HOST.to_owned(), testing };
    let unusable = Road::DaneUnusable { base: HOST.to_owned() };
    let offers: &[&'static str] = &["REQUIRETLS"];
    for (leaf, road, mx_secure, extensions, reply) in [
        (&wrong, dane_road.clone(), true, offers, "250 "),
        (&wrong, dane_road.clone(), true, &[][..], "550 5.7.30 "),
        (&wrong, dane_road, false, offers, "550 5.7.10 "),
        (&good, sts(false), false, offers, "250 "),
        (&good, sts(true), false, offers, "250 "),
        // Mode testing is no excuse here; what no policy in force promises, will not come back.
        (&wrong, sts(true), false, offers, "550 5.7.10 "),
        (&wrong, sts(false), false, offers, "451 4.7.5 "),
        (&good, Road::Opportunistic, true, offers, "250 "),
        (&good, unusable, true, offers, "250 "),
        (&wrong, Road::Opportunistic, true, offers, "550 5.7.10 "),
        (&good, Road::Opportunistic, false, offers, "550 5.7.10 "),
        (&good, Road::StsMismatch { testing: true }, false, offers, "451 4.7.5 "),
        (&good, Road::Unreachable { why: "bogus".to_owned() }, true, offers, "451 4.7.5 "),
    ] {
        let host = tls_host(leaf, extensions).await;
        let hop = Hop { mx_secure, ..host.hop(HOST, road.clone()) };
        let report = send_with(&courier, vec![hop], &strict, to("b@example.org"), &hello()).await;
        assert!(said(&report).starts_with(reply), "{road:?} {extensions:?}: {}", said(&report));
        let taken = host.taken();
        assert_eq!(taken.len(), usize::from(reply == "250 "));
        assert!(taken.iter().all(|taken| taken.tls && taken.mail.ends_with(" REQUIRETLS")));
    }
    // Without TLS nobody is proven, whatever the host promises.
    let host = plain_host(offers).await;
    let hosts = vec![host.hop(HOST, Road::Opportunistic)];
    let report = send_with(&courier, hosts, &strict, to("b@example.org"), &hello()).await;
    assert!(said(&report).starts_with("550 5.7.10 "), "{}", said(&report));
    let hosts = vec![host.hop(HOST, sts(false))];
    let report = send_with(&courier, hosts, &strict, to("b@example.org"), &hello()).await;
    assert!(said(&report).starts_with("451 4.7.4 "), "{}", said(&report));
}

#[tokio::test]
async fn a_bounce_is_not_lost_for_want_of_requiretls_and_never_travels_in_clear() {
    let (leaf, courier) = (Identity::alone(&["whoever.example"], |_| {}), courier(|_| {}));
    let bounce = Envelope { require_tls: true, ..Envelope::default() };
    let proven = dane(&[leaf.tlsa(3, 1, 1)]);
    let unusable = Road::DaneUnusable { base: HOST.to_owned() };
    let offers: &[&'static str] = &["REQUIRETLS"];
    for (road, mx_secure, extensions, reply, mail) in [
        (proven.clone(), true, offers, "250 ", "MAIL FROM:<> REQUIRETLS"),
        (proven.clone(), false, offers, "250 ", "MAIL FROM:<>"),
        (proven, true, &[][..], "250 ", "MAIL FROM:<>"),
        (unusable, true, offers, "250 ", "MAIL FROM:<>"),
        (Road::Opportunistic, false, offers, "250 ", "MAIL FROM:<>"),
        (dane(&[leaf.wrong_tlsa(3, 1, 1)]), true, offers, "451 4.7.5 ", ""),
        (Road::StsMismatch { testing: false }, false, offers, "451 4.7.5 ", ""),
        (Road::Cleartext, true, offers, "550 5.7.10 ", ""),
    ] {
        let host = tls_host(&leaf, extensions).await;
        let hop = Hop { mx_secure, ..host.hop(HOST, road.clone()) };
        let report = send_with(&courier, vec![hop], &bounce, to("b@example.org"), &hello()).await;
        assert!(said(&report).starts_with(reply), "{road:?} {extensions:?}: {}", said(&report));
        let mails: Vec<String> = host.taken().into_iter().map(|taken| taken.mail).collect();
        assert_eq!(mails.concat(), mail, "{road:?} {extensions:?}");
        assert!(host.taken().iter().all(|taken| taken.tls));
    }
    let host = plain_host(&[]).await;
    let hosts = vec![host.hop(HOST, Road::Opportunistic)];
    let report = send_with(&courier, hosts, &bounce, to("b@example.org"), &hello()).await;
    assert!(said(&report).starts_with("451 4.7.4 "), "{}", said(&report));
    assert!(host.taken().is_empty());
}

#[tokio::test]
async fn requiretls_does_not_bounce_on_an_insecure_denial() {
    let strict = Envelope { require_tls: true, ..envelope() };
    for (security, code) in
        [(None, "451 4.4.4"), (Some(Security::Insecure), "451 4.4.4"), (Some(Security::Secure), "550 5.1.2")]
    {
        let gone = Route {
            verdict: RouteVerdict::NoSuchDomain,
            mx_security: security,
            ..route("example.org", Vec::new())
        };
        let to = recipients(&["b@example.org"]);
        let report = courier(|_| {})
            .deliver(Instant::now(), Arc::new(gone), &strict, &to, &hello(), &Abandon::default())
            .await;
        assert!(said(&report).starts_with(code), "{}", said(&report));
    }
}

#[tokio::test]
async fn tls_required_no_sets_the_recipients_policy_aside_for_one_message() {
    let wrong = Identity::alone(&["whoever.example"], |_| {});
    let waiver = letter("TLS-Required: No\r\nSubject: your certificate is wrong\r\n\r\nx\r\n");
    let courier = courier(|_| {});
    for road in [
        dane(&[wrong.wrong_tlsa(3, 1, 1)]),
        Road::Sts { name: HOST.to_owned(), testing: false },
        Road::StsMismatch { testing: false },
        Road::Unreachable { why: "TLSA look-up failed".to_owned() },
    ] {
        let host = tls_host(&wrong, &["REQUIRETLS"]).await;
        let hosts = || vec![host.hop(HOST, road.clone())];
        let report = send_with(&courier, hosts(), &envelope(), to("b@example.org"), &waiver).await;
        assert!(said(&report).contains(" unauthenticated TLSv1.3;"), "{}", said(&report));
        assert!(report.waived);
        // The next message is held to the policy again.
        let report = send_with(&courier, hosts(), &envelope(), to("b@example.org"), &hello()).await;
        assert!(said(&report).starts_with("451 4.7.5"), "{}", said(&report));
        assert!(!report.waived);
        // REQUIRETLS in the envelope wins over the header (RFC 8689 section 4.1).
        let strict = Envelope { require_tls: true, ..envelope() };
        let report = send_with(&courier, hosts(), &strict, to("b@example.org"), &waiver).await;
        assert!(said(&report).starts_with("451 4.7.5") && !report.waived, "{}", said(&report));
        assert_eq!(host.taken().len(), 1);
        // What the administrator asks for, no sender can waive.
        let demanded = Route { demand: Demand::DaneOnly, ..route("example.org", hosts()) };
        let to = recipients(&["b@example.org"]);
        let report = courier
            .deliver(Instant::now(), Arc::new(demanded), &envelope(), &to, &waiver, &Abandon::default())
            .await;
        assert!(said(&report).starts_with("451 4.7.5"), "{}", said(&report));
    }
    let stubborn = super::courier(|config| config.honour_tls_required = false);
    let host = tls_host(&wrong, &[]).await;
    let hosts = vec![host.hop(HOST, dane(&[wrong.wrong_tlsa(3, 1, 1)]))];
    let report = send_with(&stubborn, hosts, &envelope(), to("b@example.org"), &waiver).await;
    assert!(said(&report).starts_with("451 4.7.5"), "{}", said(&report));
}
