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
