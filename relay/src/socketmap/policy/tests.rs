use super::*;
use crate::dns::Security;
use crate::dns::Tlsa;
use crate::road::PolicyKind;

const NOW: i64 = 1_790_000_000;
const REPORTING: Asking = Asking { now: NOW, tlsrpt: true, pledged: false };

fn dane() -> Road {
    let records = vec![Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }];
    Road::Dane { base: "mx.example.org".to_owned(), names: vec!["mx.example.org".to_owned()], records }
}

fn unusable() -> Road {
    Road::DaneUnusable { base: "mx.example.org".to_owned() }
}

fn sts(name: &str) -> Road {
    Road::Sts { name: name.to_owned(), testing: false }
}

fn unreachable() -> Road {
    Road::Unreachable { why: "TLSA of mx: SERVFAIL".to_owned() }
}

const MISMATCH: Road = Road::StsMismatch { testing: false };

/// A route to a.example.org, b.example.org, …
fn route(roads: Vec<Road>) -> Route {
    let hosts = roads.into_iter().zip('a'..).map(|(road, letter)| Hop {
        host: format!("{letter}.example.org"),
        preference: 10,
        addresses: vec![[192, 0, 2, 1].into()],
        road,
        mx_secure: true,
    });
    Route {
        next_hop: "example.org".to_owned(),
        domain: "example.org".to_owned(),
        port: 25,
        kind: PolicyKind::None,
        demand: Demand::Dane,
        verdict: RouteVerdict::Hosts,
        hosts: hosts.collect(),
        mx_security: Some(Security::Secure),
        sts: None,
        troubles: Vec::new(),
        steps: Vec::new(),
        expires: NOW + 300,
    }
}

fn with_sts(mode: Mode, roads: Vec<Road>) -> Route {
    let lines =
        ["version: STSv1", "mode: enforce", "mx: *.example.org", "max_age: 86400", "x: {evil}", "y: ä"];
    let sts = StsPolicy {
        id: "1".to_owned(),
        mode,
        max_age: 86_400,
        mx: vec!["*.example.org".to_owned()],
        lines: lines.map(str::to_owned).to_vec(),
    };
    Route { sts: Some(sts), ..route(roads) }
}

fn enforced(roads: Vec<Road>) -> Route {
    with_sts(Mode::Enforce, roads)
}

fn with_insecure_mx(mut route: Route) -> Route {
    route.hosts.iter_mut().for_each(|hop| hop.mx_secure = false);
    route
}

fn said(route: &Route) -> String {
    match for_postfix(route, Asking { now: NOW, ..Asking::default() }) {
        Answer::Ok(text) => text,
        Answer::NotFound => "NOTFOUND".to_owned(),
        Answer::Temp(why) => format!("TEMP {why}"),
        Answer::Perm(why) => format!("PERM {why}"),
    }
}

#[test]
fn dane_only_where_every_host_has_usable_records_and_the_mx_is_secure() {
    assert_eq!(said(&route(vec![dane(), dane()])), "dane-only");
    assert_eq!(said(&with_insecure_mx(route(vec![dane()]))), "dane");
    assert_eq!(said(&route(vec![dane(), Road::Opportunistic])), "dane");
}

#[test]
fn one_bad_host_does_not_hold_the_domain_where_postfix_judges_each() {
    assert_eq!(said(&route(vec![unreachable(), dane()])), "dane");
    assert_eq!(said(&route(vec![unreachable(), Road::Opportunistic])), "dane");
    assert_eq!(said(&route(vec![unusable()])), "dane");
    assert_eq!(said(&route(vec![unreachable()])), "dane", "never NOTFOUND: its default may be `may`");
}

#[test]
fn no_policy_leaves_the_decision_to_the_default_of_postfix() {
    assert_eq!(said(&route(vec![Road::Opportunistic])), "NOTFOUND");
    let testing = vec![Road::Sts { name: "a.example.org".to_owned(), testing: true }];
    assert_eq!(said(&with_sts(Mode::Testing, testing)), "NOTFOUND");
    assert_eq!(said(&with_sts(Mode::None, vec![Road::Opportunistic])), "NOTFOUND");
    for verdict in [RouteVerdict::NullMx, RouteVerdict::NoSuchDomain] {
        assert_eq!(said(&Route { verdict: verdict.clone(), ..route(Vec::new()) }), "NOTFOUND");
        let forged = said(&Route { verdict, ..enforced(Vec::new()) });
        assert!(forged.starts_with("TEMP "), "Postfix asks, so it has found a host: {forged}");
    }
}

#[test]
fn match_names_the_hosts_and_never_the_patterns_of_the_policy() {
    let listed = enforced(vec![sts("a.example.org"), sts("b.example.org")]);
    assert_eq!(said(&listed), "secure match=a.example.org:b.example.org servername=hostname");
    let one = enforced(vec![MISMATCH, sts("b.example.org"), unreachable()]);
    assert_eq!(said(&one), "secure match=b.example.org servername=hostname");
}

#[test]
fn dane_wins_over_mta_sts_and_neither_weakens_the_other() {
    assert_eq!(said(&enforced(vec![dane()])), "dane-only");
    assert_eq!(said(&enforced(vec![dane(), sts("b.example.org")])), "dane-only");
}

/// `dane` is `may` there to Postfix 3.7.11, unless its default level is `dane` too.
#[test]
fn behind_an_insecure_mx_only_mta_sts_can_be_said() {
    let insecure = with_insecure_mx(enforced(vec![dane()]));
    assert_eq!(said(&insecure), "secure match=a.example.org servername=hostname");
    let mixed = with_insecure_mx(enforced(vec![dane(), sts("b.example.org")]));
    assert_eq!(said(&mixed), "secure match=a.example.org:b.example.org servername=hostname");
    let unlisted = with_insecure_mx(enforced(vec![dane(), MISMATCH]));
    assert_eq!(said(&unlisted), "secure match=a.example.org servername=hostname");
    let mut elsewhere = with_insecure_mx(enforced(vec![dane()]));
    elsewhere.sts.as_mut().unwrap().mx = vec!["b.example.org".to_owned()];
    assert!(said(&elsewhere).starts_with("TEMP "));
    assert_eq!(said(&with_insecure_mx(with_sts(Mode::Testing, vec![dane()]))), "dane");
}

#[test]
fn in_force_and_nothing_usable_is_held_with_the_reason() {
    let said = said(&enforced(vec![MISMATCH, unreachable()]));
    assert_eq!(
        said,
        "TEMP no host of example.org may be used: a.example.org: the MTA-STS policy does not list it; \
b.example.org: TLSA of mx: SERVFAIL"
    );
}

#[test]
fn a_failed_decision_is_temporary_and_a_name_that_is_none_is_permanent() {
    let failed = RouteVerdict::Temporary { why: "MX of example.org: bogus".to_owned() };
    assert_eq!(said(&Route { verdict: failed, ..route(Vec::new()) }), "TEMP MX of example.org: bogus");
    let malformed = RouteVerdict::Malformed { why: "a label is too long".to_owned() };
    assert_eq!(said(&Route { verdict: malformed, ..route(Vec::new()) }), "PERM a label is too long");
}

#[test]
fn exceptions_of_the_configuration_need_no_look_up() {
    let failed = RouteVerdict::Temporary { why: "no resolver".to_owned() };
    let demands = [
        (Demand::DaneOnly, "dane-only"),
        (Demand::Encrypt, "encrypt"),
        (Demand::May, "may"),
        (Demand::Off, "none"),
    ];
    for (demand, expected) in demands {
        assert_eq!(said(&Route { demand, verdict: failed.clone(), ..route(Vec::new()) }), expected);
    }
    let unlisted = Route { demand: Demand::Sts, ..route(vec![unreachable()]) };
    assert!(said(&unlisted).starts_with("TEMP "), "MTA-STS is asked for and there is none");
}

#[test]
fn tls_report_attributes_only_when_asked_for_and_only_from_mta_sts() {
    let told = |route: &Route| match for_postfix(route, REPORTING) {
        Answer::Ok(text) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        told(&enforced(vec![sts("a.example.org")])),
        "secure match=a.example.org servername=hostname policy_type=sts policy_domain=example.org policy_ttl=300 \
mx_host_pattern=*.example.org { policy_string = version: STSv1 } { policy_string = mode: enforce } \
{ policy_string = mx: *.example.org } { policy_string = max_age: 86400 }"
    );
    assert_eq!(told(&enforced(vec![dane()])), "dane-only");
    let testing = with_sts(Mode::Testing, vec![Road::StsMismatch { testing: true }]);
    // Postfix would call a success what it did not check.
    assert_eq!(for_postfix(&testing, REPORTING), Answer::NotFound);
    let mismatch = told(&enforced(vec![MISMATCH]));
    assert!(
        mismatch.starts_with("secure servername=hostname policy_failure=sts-policy-invalid policy_type=sts ")
    );
    assert!(
        !mismatch.contains("mx_host_pattern"),
        "with them Postfix would pass the host over and say nothing"
    );
    assert_eq!(for_postfix(&route(vec![Road::Opportunistic]), REPORTING), Answer::NotFound);
}

#[test]
fn attributes_that_do_not_fit_a_reply_are_left_out() {
    let mut long = enforced(vec![sts("a.example.org")]);
    long.sts.as_mut().unwrap().lines = vec!["x: y".repeat(20); 1000];
    let answer = for_postfix(&long, REPORTING);
    assert_eq!(answer, Answer::Ok("secure match=a.example.org servername=hostname".to_owned()));
}

#[test]
fn sendmail_is_told_of_mta_sts_only() {
    assert_eq!(for_sendmail(&route(vec![dane()])), Answer::NotFound);
    let listed = enforced(vec![dane(), sts("b.example.org")]);
    let names = "secure match=a.example.org:b.example.org servername=hostname";
    assert_eq!(for_sendmail(&listed), Answer::Ok(names.to_owned()));
    let failed = RouteVerdict::Temporary { why: "MX: bogus".to_owned() };
    assert_eq!(
        for_sendmail(&Route { verdict: failed, ..route(Vec::new()) }),
        Answer::Temp("MX: bogus".to_owned())
    );
}

#[test]
fn a_promise_that_was_made_leaves_no_lesser_road() {
    let pledged = |route: &Route| match for_postfix(route, Asking { now: NOW, tlsrpt: false, pledged: true })
    {
        Answer::Ok(text) => text,
        Answer::Temp(_) => "TEMP".to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(pledged(&route(vec![dane(), unreachable()])), "dane-only");
    assert_eq!(pledged(&route(vec![unreachable()])), "TEMP");
    assert_eq!(pledged(&route(vec![unusable()])), "TEMP");
    assert_eq!(pledged(&with_insecure_mx(route(vec![dane()]))), "TEMP");
    for demand in [Demand::May, Demand::Off, Demand::Encrypt] {
        assert_eq!(pledged(&Route { demand, ..route(vec![unreachable()]) }), "TEMP");
    }
    assert_eq!(pledged(&Route { demand: Demand::DaneOnly, ..route(vec![unreachable()]) }), "dane-only");
    for verdict in [RouteVerdict::NullMx, RouteVerdict::NoSuchDomain] {
        assert_eq!(pledged(&Route { verdict, ..route(Vec::new()) }), "TEMP");
    }
    let listed = with_insecure_mx(enforced(vec![dane()]));
    assert_eq!(pledged(&listed), "secure match=a.example.org servername=hostname");
    let name = vec![sts("a.example.org"), unreachable()];
    assert_eq!(pledged(&enforced(name)), "secure match=a.example.org servername=hostname");
}
