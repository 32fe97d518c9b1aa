//! Sessions, counted per day and policy, within limits, and across restarts.

use std::sync::Arc;

use super::super::*;
use super::world::*;
use crate::delivery;
use crate::delivery::Attempt;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;
use crate::road::Trouble;
use crate::road::TroubleKind;
use crate::tls::Channel;
use crate::tls::Matched;
use crate::tls::SessionFailure;

fn policies(ledger: &Ledger, now: i64, domain: &str) -> Vec<PolicyReport> {
    ledger.policies(Day::of(now), domain).unwrap()
}

fn totals(policy: &PolicyReport) -> (u64, u64) {
    (policy.summary.total_successful_session_count, policy.summary.total_failure_session_count)
}

#[test]
fn the_names_of_results_are_those_of_the_rfc() {
    // RFC 8460 sections 4.3.1 and 4.3.2, in their order.
    let names = "starttls-not-supported certificate-host-mismatch certificate-expired certificate-not-trusted \
                 validation-failure tlsa-invalid dnssec-invalid dane-required sts-policy-fetch-error \
                 sts-policy-invalid sts-webpki-invalid";
    assert_eq!(ResultType::ALL.map(ResultType::as_str).join(" "), names);
    for result in ResultType::ALL {
        assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
    }
}

#[test]
fn sessions_are_counted_by_policy_and_failures_by_place() {
    let (_directory, path) = file();
    let collector = Collector::start(&path, Time::at(NOON).clock()).unwrap();
    let hosts = [
        dane("mx1.b.example"),
        sts("mx2.b.example"),
        Hop { road: Road::Opportunistic, ..sts("mx3.b.example") },
    ];
    let route = route("B.Example", &hosts);
    for hop in &hosts {
        collector.record(Session::succeeded(&route, hop));
    }
    for last in [1, 1, 2] {
        let peer = Peer { receiving_ip: Some([192, 0, 2, last].into()), ..Peer::default() };
        collector.record(Session::failed(&route, &hosts[1], ResultType::CertificateExpired, peer, "expired"));
    }
    collector.flush();
    let found = policies(&Ledger::open(&path).unwrap(), NOON, "b.example");
    let [tlsa, sts, none] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (tlsa.policy.policy_type.as_str(), tlsa.policy.policy_domain.as_str()),
        ("tlsa", "mx1.b.example")
    );
    assert_eq!(tlsa.policy.policy_string, [format!("3 1 1 {}", "AB".repeat(32))]);
    assert_eq!(totals(tlsa), (1, 0));
    assert_eq!((sts.policy.policy_domain.as_str(), totals(sts)), ("b.example", (1, 3)));
    assert_eq!(
        sts.policy.policy_string,
        ["version: STSv1", "mode: testing", "mx: *.b.example", "max_age: 86400"]
    );
    assert_eq!(sts.policy.mx_host, ["*.b.example"]);
    assert_eq!((none.policy.policy_type.as_str(), totals(none)), ("no-policy-found", (1, 0)));
    let [first, second] = sts.failure_details.as_slice() else { panic!() };
    assert_eq!((first.failed_session_count, first.receiving_ip.as_deref()), (2, Some("192.0.2.1")));
    assert_eq!(first.receiving_mx_hostname.as_deref(), Some("mx2.b.example"));
    assert_eq!((second.failed_session_count, second.failure_reason_code.as_deref()), (1, Some("expired")));
}

fn trouble(kind: TroubleKind, host: Option<&str>) -> Trouble {
    Trouble { kind, host: host.map(str::to_owned), why: "SERVFAIL".to_owned() }
}

#[test]
fn troubles_before_a_connection_are_told_under_their_own_policy() {
    let hosts = [dane("mx1.b.example"), Hop { road: Road::Opportunistic, ..sts("mx2.b.example") }];
    let troubles = vec![
        trouble(TroubleKind::StsPolicyFetchError, None),
        trouble(TroubleKind::TlsaInvalid, Some("mx1.b.example")),
    ];
    let route = Route { troubles, sts: None, ..route("b.example", &hosts) };
    let kinds = |session: &Session| -> Vec<(PolicyType, bool)> {
        session.outcomes.iter().map(|outcome| (outcome.policy.kind, outcome.succeeded)).collect()
    };
    // The trouble is under the very policy of the host: one outcome, and it failed.
    assert_eq!(
        kinds(&Session::succeeded(&route, &hosts[0])),
        [(PolicyType::Tlsa, false), (PolicyType::Sts, false)]
    );
    assert_eq!(
        kinds(&Session::succeeded(&route, &hosts[1])),
        [(PolicyType::NoPolicyFound, true), (PolicyType::Sts, false)]
    );
    let all = Session::troubled(&route, None).unwrap();
    assert_eq!(kinds(&all), [(PolicyType::Sts, false), (PolicyType::Tlsa, false)]);
    assert_eq!(
        kinds(&Session::troubled(&route, Some("mx1.b.example")).unwrap()),
        [(PolicyType::Tlsa, false)]
    );
    assert_eq!(Session::troubled(&route, Some("mx9.b.example")), None);
}

fn attempt(host: &str, matched: Option<Matched>, failure: Option<SessionFailure>) -> Attempt {
    Attempt {
        host: host.to_owned(),
        address: matched.is_some().then(|| [192, 0, 2, 1].into()),
        channel: matched.map(|matched| Channel { matched, ..Channel::cleartext() }),
        greeting: None,
        reused: false,
        failure,
        why: None,
    }
}

#[test]
fn a_delivery_tells_a_session_per_connection_and_nothing_of_hosts_that_are_down() {
    let opportunistic = Hop { road: Road::Opportunistic, ..sts("mx2.b.example") };
    let unreachable = Hop { road: Road::Unreachable { why: "SERVFAIL".to_owned() }, ..sts("mx3.b.example") };
    let hosts = [dane("mx1.b.example"), opportunistic, unreachable];
    let troubles = vec![trouble(TroubleKind::TlsaInvalid, Some("mx3.b.example"))];
    let route = Arc::new(Route { troubles, ..route("b.example", &hosts) });
    let tell = |attempts: Vec<Attempt>| -> Vec<Vec<ResultType>> {
        let route = Arc::clone(&route);
        let report = delivery::Report { route, outcomes: Vec::new(), attempts, waived: false };
        let results = |session: &Session| {
            session.outcomes.iter().flat_map(|outcome| outcome.failures.iter().map(|f| f.result)).collect()
        };
        Session::of_delivery(&report).iter().map(results).collect()
    };
    let tlsa = Matched::Tlsa { usage: 3, selector: 1, matching: 1 };
    let reused = Attempt { reused: true, ..attempt("mx1.b.example", Some(tlsa.clone()), None) };
    let down = attempt("mx1.b.example", None, None);
    assert_eq!(tell(vec![attempt("mx1.b.example", Some(tlsa.clone()), None), reused]), [vec![]]);
    assert_eq!(
        tell(vec![
            attempt("mx3.b.example", None, None),
            attempt("mx1.b.example", None, Some(SessionFailure::CertificateNotTrusted)),
            attempt("mx2.b.example", Some(Matched::Cleartext), None),
        ]),
        [
            vec![ResultType::TlsaInvalid],
            vec![ResultType::CertificateNotTrusted],
            vec![ResultType::StarttlsNotSupported]
        ]
    );
    let second = attempt("mx2.b.example", Some(Matched::Unauthenticated), None);
    assert_eq!(tell(vec![down, second]), [vec![]]);
    assert_eq!(tell(Vec::new()), [vec![ResultType::TlsaInvalid]], "nothing was tried: the look-ups are why");
}

#[test]
fn what_a_message_waived_or_asked_beyond_the_policy_is_not_told_as_the_policy() {
    let hosts = [dane("mx1.b.example"), Hop { road: Road::Opportunistic, ..sts("mx2.b.example") }];
    let troubles = vec![trouble(TroubleKind::TlsaInvalid, Some("mx1.b.example"))];
    let troubled = Arc::new(Route { troubles, ..route("b.example", &hosts) });
    let sound = Arc::new(route("b.example", &hosts));
    let told = |attempts: Vec<Attempt>, waived| {
        let route = Arc::clone(if attempts.is_empty() { &troubled } else { &sound });
        let report = delivery::Report { route, outcomes: Vec::new(), attempts, waived };
        Session::of_delivery(&report).len()
    };
    let failure = Some(SessionFailure::ValidationFailure);
    let tlsa = Matched::Tlsa { usage: 3, selector: 1, matching: 1 };
    for waiving in [
        attempt("mx1.b.example", Some(Matched::Unauthenticated), None),
        attempt("mx1.b.example", Some(Matched::Cleartext), None),
        attempt("mx1.b.example", Some(Matched::Cleartext), failure),
        attempt("mx1.b.example", None, failure),
        attempt("mx1.b.example", Some(tlsa), None),
        attempt("mx2.b.example", Some(Matched::Unauthenticated), None),
    ] {
        assert_eq!(told(vec![waiving.clone()], true), 0, "{waiving:?}");
    }
    assert_eq!(told(Vec::new(), true), 0, "the look-ups are no matter of a message that waives their result");
    assert_eq!(told(Vec::new(), false), 1);
    let expired = attempt("mx2.b.example", None, Some(SessionFailure::CertificateExpired));
    assert_eq!(told(vec![expired], false), 0, "REQUIRETLS");
    assert_eq!(told(vec![attempt("mx2.b.example", None, failure)], false), 1);
}

#[test]
fn midnight_utc_begins_another_day() {
    let (_directory, path) = file();
    let time = Time::at(Day::of(NOON).end());
    let collector = Collector::start(&path, time.clock()).unwrap();
    let host = dane("mx.b.example");
    let route = route("b.example", std::slice::from_ref(&host));
    collector.record(Session::succeeded(&route, &host));
    time.pass(1);
    collector.record(Session::succeeded(&route, &host));
    collector.record(Session::succeeded(&route, &host));
    collector.flush();
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(totals(&policies(&ledger, NOON, "b.example")[0]), (1, 0));
    assert_eq!(totals(&policies(&ledger, NOON + DAY, "b.example")[0]), (2, 0));
    assert_eq!(ledger.complete(Day::of(NOON + DAY)).unwrap().len(), 1, "the second day is not over");
}

#[test]
fn counts_survive_a_restart() {
    let (_directory, path) = file();
    let host = dane("mx.b.example");
    let route = route("b.example", std::slice::from_ref(&host));
    for _ in 0..3 {
        let collector = Collector::start(&path, Time::at(NOON).clock()).unwrap();
        collector.record(Session::succeeded(&route, &host));
        collector.flush();
        assert_eq!(collector.lost(), 0);
    }
    assert_eq!(totals(&policies(&Ledger::open(&path).unwrap(), NOON, "b.example")[0]), (3, 0));
}

#[test]
fn what_is_told_apart_is_bounded_and_nothing_goes_uncounted() {
    let (_directory, path) = file();
    let mut ledger = Ledger::open(&path).unwrap();
    let mut sessions = Vec::new();
    for number in 0..200u32 {
        let host = dane(&format!("mx{number}.b.example"));
        let route = route("b.example", std::slice::from_ref(&host));
        sessions.push((Day::of(NOON), Session::succeeded(&route, &host)));
        let host = sts("mx.b.example");
        let peer = Peer { receiving_ip: Some(number.to_be_bytes().into()), ..Peer::default() };
        let failed = Session::failed(&route, &host, ResultType::CertificateExpired, peer, "x");
        sessions.push((Day::of(NOON), failed));
    }
    assert_eq!(ledger.tally(&sessions).unwrap(), 0);
    let found = policies(&ledger, NOON, "b.example");
    assert!(found.len() <= 35, "{}", found.len());
    assert_eq!(found.iter().map(|policy| totals(policy).0).sum::<u64>(), 200);
    let sts = found.iter().find(|policy| policy.policy.policy_type == "sts").unwrap();
    assert_eq!((totals(sts).1, sts.failure_details.len()), (200, 101));
    assert_eq!(sts.failure_details.iter().map(|details| details.failed_session_count).sum::<u64>(), 200);
}

#[test]
fn texts_are_cut_and_names_that_are_none_are_not_counted() {
    let (_directory, path) = file();
    let collector = Collector::start(&path, Time::at(NOON).clock()).unwrap();
    let host = sts("mx.b.example");
    let literal = route("192.0.2.1", std::slice::from_ref(&host));
    collector.record(Session::succeeded(&literal, &host));
    let route = route("bücher.example", std::slice::from_ref(&host));
    let why = format!("first\r\nsecond\0{}", "ü".repeat(1000));
    collector.record(Session::failed(&route, &host, ResultType::ValidationFailure, Peer::default(), &why));
    collector.flush();
    let ledger = Ledger::open(&path).unwrap();
    let domains: Vec<String> =
        ledger.complete(Day::of(NOON + DAY)).unwrap().into_iter().map(|(_, d)| d).collect();
    assert_eq!(domains, ["xn--bcher-kva.example"], "A-labels (RFC 8460 section 4.4)");
    let found = policies(&ledger, NOON, &domains[0]);
    assert_eq!(found[0].policy.policy_domain, "xn--bcher-kva.example");
    let reason = found[0].failure_details[0].failure_reason_code.as_deref().unwrap();
    assert!(reason.starts_with("first  second ü") && reason.len() <= 256, "{reason}");
}

#[tokio::test]
async fn results_of_postfix_are_counted_with_our_own() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixDatagram;
    let (directory, path) = file();
    let collector = Collector::start(&path, Time::at(NOON).clock()).unwrap();
    let name = directory.path().join("tlsrpt");
    drop(UnixDatagram::bind(&name).unwrap());
    let socket = PostfixSocket::bind(&name, 0o666).unwrap();
    assert_eq!(std::fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o666);
    std::fs::write(directory.path().join("file"), "x").unwrap();
    assert!(
        PostfixSocket::bind(&directory.path().join("file"), 0o666).is_err(),
        "never removes what is no socket"
    );
    let listener = collector.clone();
    let listening = tokio::spawn(async move { socket.run(&listener).await });
    let postfix = UnixDatagram::unbound().unwrap();
    postfix.send_to(b"rubbish", &name).unwrap();
    let text = r#"{"d": "b.example","pr": "v=TLSRPTv1;rua=mailto:r@b.example","policies":[{"policy-type":1,"policy-domain": "mx.b.example","policy-string":["3 1 1 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"],"t":0,"f":0}]}"#;
    postfix.send_to(text.as_bytes(), &name).unwrap();
    let host = dane("mx.b.example");
    collector.record(Session::succeeded(&route("b.example", std::slice::from_ref(&host)), &host));
    let ledger = Ledger::open(&path).unwrap();
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        if policies(&ledger, NOON, "b.example").first().map(totals) == Some((2, 0)) {
            break;
        }
    }
    assert_eq!(policies(&ledger, NOON, "b.example").iter().map(totals).collect::<Vec<_>>(), [(2, 0)]);
    listening.abort();
}

#[test]
fn a_table_that_is_locked_never_holds_up_a_delivery() {
    let (_directory, path) = file();
    let collector = Collector::start(&path, Time::at(NOON).clock()).unwrap();
    let lock = Ledger::open(&path).unwrap();
    lock.database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let host = dane("mx.b.example");
    let route = route("b.example", std::slice::from_ref(&host));
    let session = Session::succeeded(&route, &host);
    let began = std::time::Instant::now();
    for _ in 0..30_000 {
        collector.record(session.clone());
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    let lost = collector.lost();
    assert!(lost >= 30_000 - 10_000 - 1_000 - 1, "{lost}");
    lock.database.execute_batch("COMMIT").unwrap();
    collector.flush();
    let counted = totals(&policies(&lock, NOON, "b.example")[0]).0;
    assert_eq!(counted + collector.lost(), 30_000, "what is not counted is known");
}
