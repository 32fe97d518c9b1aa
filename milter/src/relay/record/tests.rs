use std::sync::Arc;
use std::time::Duration;

use ::relay::delivery::{Attempt, Envelope, Recipient, Reply, Report};
use ::relay::road::{Demand, PolicyKind, Route, RouteVerdict};
use ::relay::tls::Channel;
use mail::EnhancedCode;

use super::*;

fn outcome(code: u16, went: bool) -> Outcome {
    let channel = Channel {
        tls_version: Some("TLSv1.3".to_owned()),
        cipher: Some("TLS13_AES_256_GCM_SHA384".to_owned()),
        key_exchange: Some("X25519MLKEM768".to_owned()),
        certificate_sha256: Some("ab".repeat(32)),
        matched: Matched::Tlsa { usage: 3, selector: 1, matching: 1 },
    };
    let via = Via {
        host: "mx.beta.example".to_owned(),
        address: [192, 0, 2, 1].into(),
        port: 25,
        channel,
        mx_secure: true,
    };
    let class = u8::try_from(code / 100).unwrap();
    let reply = Reply::own(code, EnhancedCode(class, 0, 0), "said");
    Outcome { reply, via: went.then(|| Arc::new(via)) }
}

fn message() -> Relayed {
    let route = Route {
        next_hop: "beta.example".to_owned(),
        domain: "beta.example".to_owned(),
        port: 25,
        kind: PolicyKind::Dane,
        demand: Demand::Dane,
        verdict: RouteVerdict::Hosts,
        hosts: Vec::new(),
        mx_security: None,
        sts: None,
        troubles: Vec::new(),
        steps: Vec::new(),
        expires: 0,
    };
    let recipient = |address: &str| Recipient { address: address.to_owned(), ..Recipient::default() };
    let attempt = Attempt {
        host: "mx.beta.example".to_owned(),
        address: None,
        channel: None,
        greeting: None,
        reused: false,
        failure: None,
        why: None,
    };
    Relayed {
        ident: Some("4XyZ".to_owned()),
        envelope: Envelope { reverse_path: "alice@alpha.example".to_owned(), ..Envelope::default() },
        recipients: ["bob@beta.example", "eve@beta.example", "dan@beta.example"].map(recipient).to_vec(),
        size: 1234,
        took: Duration::from_millis(7),
        report: Report {
            route: Arc::new(route),
            outcomes: vec![outcome(250, true), outcome(250, true), outcome(451, false)],
            attempts: vec![attempt],
            waived: false,
        },
    }
}

#[test]
fn the_leaf_tells_the_road_and_no_names() {
    let entry = relayed(&message()).unwrap();
    let public = Value::Object(entry.public.clone());
    assert_eq!(public["policy"], "dane");
    let ways = public["ways"].as_array().unwrap();
    assert_eq!(ways.len(), 2, "equal ways are counted: {ways:?}");
    assert_eq!((&ways[0]["road"], &ways[0]["recipients"]), (&json!("dane"), &json!(2)));
    let channel = &ways[0]["channel"];
    assert_eq!((&channel["tls"], &channel["tlsa"]), (&json!("TLSv1.3"), &json!("3 1 1")));
    assert_eq!(channel["key_exchange"], "X25519MLKEM768");
    assert_eq!(channel["certificate"], "ab".repeat(32));
    assert_eq!((&ways[1]["road"], &ways[1]["outcome"]), (&json!("no-road"), &json!("deferred")));
    let text = public.to_string();
    assert!(!text.contains("beta.example") && !text.contains("alice"), "{text}");
}

#[test]
fn names_are_committed_to_and_found_by_the_queue_id() {
    let entry = relayed(&message()).unwrap();
    let names: Vec<&str> = entry.committed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["mail-from", "domain", "rcpt", "rcpt", "rcpt", "host"]);
    assert_eq!(entry.lookup, [("queue-id".to_owned(), "4XyZ".to_owned())]);
    assert_eq!(entry.event, RELAYED);
}
