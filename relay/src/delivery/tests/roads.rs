//! Whatever happens to STARTTLS and certificates, nothing is sent over a lesser road than the route says.

use rustls::version::TLS12;
use rustls::version::TLS13;

use super::*;
use crate::fixtures::smtp_server::MailHost;
use crate::fixtures::smtp_server::Script;
use crate::fixtures::smtp_server::Starttls;
use crate::fixtures::tls_server::configuration;
use crate::tls::Matched;
use crate::tls::SessionFailure;

async fn host(leaf: &Identity, starttls: Starttls) -> MailHost {
    let tls = Some(configuration(&[leaf], &[&TLS12, &TLS13]));
    MailHost::start(Script { tls, starttls, ..Script::default() }).await
}

fn sts(testing: bool) -> Road {
    Road::Sts { name: HOST.to_owned(), testing }
}

#[tokio::test]
async fn a_right_certificate_is_told_in_reply_and_report() {
    let leaf = Identity::alone(&["other.example"], |_| {});
    let host = host(&leaf, Starttls::Offer).await;
    let report = send(&courier(|_| {}), vec![host.hop(HOST, dane(&[leaf.tlsa(3, 1, 1)]))]).await;
    let expected = format!(
        "250 2.0.0 mx.example.org[{}]:2599 DANE-verified TLSv1.3; remote said: 250 2.0.0 queued as 4711",
        host.address
    );
    assert_eq!(said(&report), expected);
    assert!(host.taken()[0].tls);
    let via = report.outcomes[0].via.clone().unwrap();
    assert_eq!(via.channel.matched, Matched::Tlsa { usage: 3, selector: 1, matching: 1 });
    assert_eq!(report.attempts.len(), 1);
    assert_eq!(report.attempts[0].failure, None);
    assert_eq!(report.attempts[0].greeting.as_deref(), Some("mx.scripted.example"));
}

#[tokio::test]
async fn an_insecure_mx_is_never_called_verified() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let host = host(&leaf, Starttls::Offer).await;
    let hop = Hop { mx_secure: false, ..host.hop(HOST, dane(&[leaf.tlsa(3, 1, 1)])) };
    let report = send(&courier(|_| {}), vec![hop]).await;
    assert!(said(&report).contains("DANE-matched (insecure MX)"), "{}", said(&report));
}

#[tokio::test]
async fn a_wrong_certificate_is_temporary_and_gets_nothing() {
    let root = Identity::root("Web");
    let leaf = Identity::alone(&[HOST], |_| {});
    for (road, cause) in [
        (dane(&[leaf.wrong_tlsa(3, 1, 1)]), "DANE: the certificate matches no TLSA record"),
        (
            dane(&[leaf.tlsa(2, 0, 1)]),
            "DANE: the certificate matches no TLSA record and leads to no trust anchor",
        ),
        (sts(false), "MTA-STS: the certificate is not valid for mx.example.org: "),
    ] {
        let host = host(&leaf, Starttls::Offer).await;
        let report = send(&courier_trusting(Some(&root), |_| {}), vec![host.hop(HOST, road)]).await;
        let expected = format!("451 4.7.5 mx.example.org[{}]:2599: {cause}", host.address);
        assert!(said(&report).starts_with(&expected), "{}", said(&report));
        assert!(host.taken().is_empty());
        assert!(!host.commands().iter().any(|line| line.starts_with("MAIL")));
        // One connection: there is no second try in clear.
        assert_eq!(host.connections(), 1);
        assert_eq!(report.attempts[0].failure, Some(SessionFailure::CertificateNotTrusted));
    }
}

#[tokio::test]
async fn stripped_refused_and_broken_starttls_are_temporary_where_tls_is_mandatory() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let base = HOST.to_owned();
    for road in [dane(&[leaf.tlsa(3, 1, 1)]), Road::DaneUnusable { base }, Road::Encrypted, sts(false)] {
        let stripped = MailHost::start(Script::default()).await;
        for (host, code, cause) in [
            (stripped, "451 4.7.4", "STARTTLS was not offered"),
            (host(&leaf, Starttls::Refuse).await, "451 4.7.4", "host said: 454 4.7.0 no TLS now"),
            (host(&leaf, Starttls::Break).await, "451 4.7.5", "TLS handshake failed"),
            (host(&leaf, Starttls::Inject).await, "451 4.7.5", "TLS handshake failed"),
        ] {
            let report = send(&courier(|_| {}), vec![host.hop(HOST, road.clone())]).await;
            let said = said(&report);
            assert!(said.starts_with(code) && said.contains(cause), "{road:?}: {said}");
            assert!(host.taken().is_empty());
            assert!(!host.commands().iter().any(|line| line.starts_with("MAIL")));
            assert_eq!(host.connections(), 1);
            let failure = report.attempts[0].failure.unwrap();
            assert_eq!(failure == SessionFailure::StarttlsNotSupported, code == "451 4.7.4");
        }
    }
}

#[tokio::test]
async fn unusable_records_still_demand_tls_and_prove_nobody() {
    let leaf = Identity::alone(&["whoever.example"], |_| {});
    let host = host(&leaf, Starttls::Offer).await;
    let report =
        send(&courier(|_| {}), vec![host.hop(HOST, Road::DaneUnusable { base: HOST.to_owned() })]).await;
    assert!(said(&report).contains(" unauthenticated TLSv1.3;"), "{}", said(&report));
    assert!(host.taken()[0].tls);
}

#[tokio::test]
async fn opportunistic_roads_take_what_there_is() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let plain = MailHost::start(Script::default()).await;
    for (host, connections, how) in [
        (host(&leaf, Starttls::Offer).await, 1, "unauthenticated TLSv1.3;"),
        (plain, 1, "cleartext;"),
        (host(&leaf, Starttls::Refuse).await, 1, "cleartext;"),
        (host(&leaf, Starttls::Break).await, 2, "cleartext;"),
        (host(&leaf, Starttls::Inject).await, 2, "cleartext;"),
    ] {
        let report = send(&courier(|_| {}), vec![host.hop(HOST, Road::Opportunistic)]).await;
        assert!(said(&report).contains(how), "{}", said(&report));
        assert_eq!(host.taken().len(), 1);
        assert_eq!(host.connections(), connections);
    }
    // The configuration can say that TLS is not even to be tried.
    let host = host(&leaf, Starttls::Offer).await;
    let report = send(&courier(|_| {}), vec![host.hop(HOST, Road::Cleartext)]).await;
    assert!(said(&report).contains("cleartext;"));
    assert!(!host.commands().contains(&"STARTTLS".to_owned()));
}

#[tokio::test]
async fn a_policy_in_mode_testing_delivers_and_reports() {
    let root = Identity::root("Web");
    let good = root.issue(&[HOST], |_| {});
    let wrong = Identity::alone(&[HOST], |_| {});
    let courier = courier_trusting(Some(&root), |_| {});
    let stripped = MailHost::start(Script::default()).await;
    for (host, how, failure) in [
        (host(&good, Starttls::Offer).await, "WebPKI-verified TLSv1.3;", None),
        (
            host(&wrong, Starttls::Offer).await,
            "unauthenticated TLSv1.3;",
            Some(SessionFailure::CertificateNotTrusted),
        ),
        (host(&good, Starttls::Break).await, "cleartext;", Some(SessionFailure::ValidationFailure)),
        (stripped, "cleartext;", Some(SessionFailure::StarttlsNotSupported)),
    ] {
        let report = send(&courier, vec![host.hop(HOST, sts(true))]).await;
        assert!(said(&report).contains(how), "{}", said(&report));
        assert_eq!(report.attempts.last().unwrap().failure, failure);
        assert_eq!(host.taken().len(), 1);
    }
}

#[tokio::test]
async fn roads_that_must_not_be_used_are_passed_over() {
    for (road, reply) in [
        (
            Road::StsMismatch { testing: false },
            "451 4.7.5 mx.example.org: MTA-STS: the policy of the domain does not list",
        ),
        (
            Road::Unreachable { why: "TLSA look-up failed".to_owned() },
            "451 4.7.5 mx.example.org: TLSA look-up failed",
        ),
    ] {
        let bad = MailHost::start(Script::default()).await;
        let good = MailHost::start(Script::default()).await;
        let report = send(&courier(|_| {}), vec![bad.hop(HOST, road.clone())]).await;
        assert!(said(&report).starts_with(reply), "{}", said(&report));
        let hosts = vec![bad.hop(HOST, road), good.hop("mx2.example.org", Road::Opportunistic)];
        let report = send(&courier(|_| {}), hosts).await;
        assert!(said(&report).starts_with("250 "), "{}", said(&report));
        assert_eq!((bad.connections(), good.taken().len()), (0, 1));
    }
}

#[tokio::test]
async fn hosts_that_only_know_helo_get_mail_in_clear_and_only_where_clear_is_allowed() {
    let leaf = Identity::alone(&[HOST], |_| {});
    let script = Script { only_helo: true, ..Script::default() };
    let host = MailHost::start(script).await;
    let report = send(&courier(|_| {}), vec![host.hop(HOST, Road::Opportunistic)]).await;
    assert!(said(&report).contains("cleartext;"), "{}", said(&report));
    let report = send(&courier(|_| {}), vec![host.hop(HOST, dane(&[leaf.tlsa(3, 1, 1)]))]).await;
    assert!(said(&report).starts_with("451 4.7.4"), "{}", said(&report));
    assert_eq!(host.taken().len(), 1);
}
