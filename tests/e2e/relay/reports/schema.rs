//! The fields that RFC 8460 section 4.4 has, read strictly: none missing, none more, each of its type.

use std::net::IpAddr;

use serde_json::Map;
use serde_json::Value;

/// Section 4.3, in alphabetical order.
pub(super) const RESULT_TYPES: [&str; 11] = [
    "certificate-expired",
    "certificate-host-mismatch",
    "certificate-not-trusted",
    "dane-required",
    "dnssec-invalid",
    "starttls-not-supported",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
    "tlsa-invalid",
    "validation-failure",
];

/// Checks a report of `submitter` about one full day.
#[track_caller]
pub(super) fn check(report: &Value, submitter: &str) {
    let fields = ["organization-name", "date-range", "contact-info", "report-id", "policies"];
    let report = object(report, &fields, &[]);
    assert_eq!(report["contact-info"], format!("tls-reports@{submitter}"));
    assert!(!text(&report["organization-name"]).is_empty());
    assert!(text(&report["report-id"]).ends_with(&format!("@{submitter}")));
    let range = object(&report["date-range"], &["start-datetime", "end-datetime"], &[]);
    let (start, end) = (text(&range["start-datetime"]), text(&range["end-datetime"]));
    let day = start.strip_suffix("T00:00:00Z").unwrap();
    assert_eq!(end, format!("{day}T23:59:59Z"), "section 4.1: a full day of UTC");
    let policies = report["policies"].as_array().unwrap();
    assert!(!policies.is_empty());
    policies.iter().for_each(check_policy);
}

#[track_caller]
fn check_policy(told: &Value) {
    let told = object(told, &["policy", "summary"], &["failure-details"]);
    let policy = object(&told["policy"], &["policy-type", "policy-domain"], &["policy-string", "mx-host"]);
    let kind = text(&policy["policy-type"]);
    assert!(["tlsa", "sts", "no-policy-found"].contains(&kind), "{kind}");
    for (name, kinds) in [("policy-string", &["tlsa", "sts"][..]), ("mx-host", &["sts"])] {
        if let Some(list) = policy.get(name) {
            assert!(kinds.contains(&kind), "{name} of {kind}");
            assert!(list.as_array().unwrap().iter().all(|entry| !text(entry).is_empty()));
        }
    }
    let counts = ["total-successful-session-count", "total-failure-session-count"];
    let summary = object(&told["summary"], &counts, &[]);
    let failed = summary["total-failure-session-count"].as_u64().unwrap();
    assert!(summary["total-successful-session-count"].is_u64());
    let details = told.get("failure-details").map_or(&[][..], |list| list.as_array().unwrap());
    assert_eq!(details.is_empty(), failed == 0, "{told:?}");
    details.iter().for_each(check_failure);
}

#[track_caller]
fn check_failure(failure: &Value) {
    let optional = [
        "sending-mta-ip",
        "receiving-mx-hostname",
        "receiving-mx-helo",
        "receiving-ip",
        "additional-information",
        "failure-reason-code",
    ];
    let failure = object(failure, &["result-type", "failed-session-count"], &optional);
    assert!(RESULT_TYPES.contains(&text(&failure["result-type"])), "{failure:?}");
    assert!(failure["failed-session-count"].as_u64().is_some_and(|count| count > 0));
    for name in ["sending-mta-ip", "receiving-ip"] {
        if let Some(address) = failure.get(name) {
            text(address).parse::<IpAddr>().unwrap();
        }
    }
    // Where there was a connection, both ends are named, and the host.
    if failure.contains_key("receiving-ip") {
        assert!(failure.contains_key("sending-mta-ip") && failure.contains_key("receiving-mx-hostname"));
        assert!(
            !failure.get("receiving-mx-helo").is_some_and(|helo| text(helo).contains(' ')),
            "{failure:?}"
        );
    }
}

/// An object with all of the `needed` fields, and no others than these and the `optional` ones.
#[track_caller]
fn object<'v>(value: &'v Value, needed: &[&str], optional: &[&str]) -> &'v Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for name in needed {
        assert!(object.contains_key(*name), "{name} is missing: {value}");
    }
    for name in object.keys() {
        assert!(needed.contains(&name.as_str()) || optional.contains(&name.as_str()), "{name}: {value}");
    }
    object
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}"))
}
