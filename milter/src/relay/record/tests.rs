use std::sync::Arc;
use std::time::Duration;

use ::relay::delivery::{Attempt, Envelope, Recipient, Reply, Report};
use ::relay::road::{Demand, PolicyKind, Route, RouteVerdict};
use ::relay::tls::{Channel, SessionFailure};
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

/// A host that deferred, or whose certificate was wrong, had no last word; what was seen of it is told all the same.
#[test]
fn every_session_is_told_with_its_failure() {
    let mut message = message();
    let channel = message.report.outcomes[0].via.as_ref().unwrap().channel.clone();
    let seen = Attempt { channel: Some(channel), ..message.report.attempts[0].clone() };
    let failed = Attempt {
        failure: Some(SessionFailure::CertificateNotTrusted),
        why: Some("mx.beta.example shows another certificate".to_owned()),
        ..message.report.attempts[0].clone()
    };
    message.report.attempts.extend([failed, seen]);
    message.report.waived = true;
    let public = Value::Object(relayed(&message).unwrap().public);
    assert_eq!(public["waived"], true);
    let sessions = public["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "a host that did not answer has nothing to tell: {sessions:?}");
    assert_eq!((&sessions[0]["road"], &sessions[0]["channel"]), (&json!("no-road"), &Value::Null));
    assert_eq!(sessions[0]["failure"], "certificate-not-trusted");
    assert_eq!((&sessions[1]["road"], &sessions[1]["channel"]["tlsa"]), (&json!("dane"), &json!("3 1 1")));
    assert!(!public.to_string().contains("beta.example"), "{public}");
}

#[test]
fn names_are_committed_to_and_found_by_the_queue_id() {
    let entry = relayed(&message()).unwrap();
    let names: Vec<&str> = entry.committed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["mail-from", "domain", "rcpt", "rcpt", "rcpt", "host"]);
    assert_eq!(entry.lookup, [("queue-id".to_owned(), "4XyZ".to_owned())]);
    assert_eq!(entry.event, RELAYED);
}
