use ::relay::road::{Demand, PolicyKind};

use super::*;

#[test]
fn a_next_hop_belongs_to_its_domain_and_those_above() {
    for (next_hop, domain, belongs) in [
        ("beta.example", "beta.example", true),
        ("mail.beta.example", "Beta.example", true),
        ("[mx.beta.example]:587", "beta.example", true),
        ("beta.example:587", "beta.example", true),
        ("alphabeta.example", "beta.example", false),
        ("xn--bcher-kva.example", "b\u{fc}cher.example", true),
    ] {
        assert_eq!(concerns(next_hop, domain), belongs, "{next_hop} {domain}");
    }
}

#[test]
fn an_entry_is_told_with_its_last_failure() {
    let entry = Entry {
        next_hop: "beta.example".to_owned(),
        kind: "dane".to_owned(),
        verdict: "hosts".to_owned(),
        hosts: vec![HostRoad {
            host: "mx.beta.example".to_owned(),
            preference: 10,
            road: "dane".to_owned(),
            why: None,
        }],
        decided: 1_790_000_000,
        delivered: None,
        host: None,
        channel: None,
        failed: Some(1_790_000_000),
        failure: Some("mx.beta.example: no TLSA record matches".to_owned()),
    };
    assert_eq!(
        entry_in_words(&entry),
        "beta.example  dane  (mx.beta.example dane)\n  decided    2026-09-21T14:13:20Z\n  \
failed     2026-09-21T14:13:20Z mx.beta.example: no TLSA record matches"
    );
}

#[test]
fn the_exit_code_says_whether_mail_could_leave() {
    let code = |verdict: RouteVerdict, open: bool| {
        let route = Route {
            next_hop: "beta.example".to_owned(),
            domain: "beta.example".to_owned(),
            port: 25,
            kind: PolicyKind::None,
            demand: Demand::Dane,
            verdict,
            hosts: Vec::new(),
            mx_security: None,
            sts: None,
            troubles: Vec::new(),
            steps: Vec::new(),
            expires: 0,
        };
        somewhere("beta.example", &route, open).map_or_else(|exit| exit.code, |()| 0)
    };
    let why = || "why".to_owned();
    assert_eq!(code(RouteVerdict::Hosts, true), 0);
    assert_eq!(code(RouteVerdict::Hosts, false), 75);
    assert_eq!(code(RouteVerdict::Temporary { why: why() }, false), 75);
    assert_eq!(code(RouteVerdict::NullMx, false), 66);
    assert_eq!(code(RouteVerdict::NoSuchDomain, false), 66);
    assert_eq!(code(RouteVerdict::Malformed { why: why() }, false), 65);
    assert!(is_closed(&Road::Unreachable { why: why() }));
    assert!(is_closed(&Road::StsMismatch { testing: false }));
    assert!(!is_closed(&Road::StsMismatch { testing: true }) && !is_closed(&Road::Opportunistic));
}
