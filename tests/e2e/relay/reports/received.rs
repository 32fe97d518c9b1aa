//! Reports that others send us.

use std::process::Command;

use serde_json::Value;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::Mail;
use tests::run;
use tests::world::RunningWorld;

/// A report about us in the least form.
const REPORT: &str = r#"{"organization-name":"Beta","date-range":{"start-datetime":"2026-01-01T00:00:00Z",
"end-datetime":"2026-01-01T23:59:59Z"},"contact-info":"tls@beta.example","report-id":"1@beta.example","policies":[
{"policy":{"policy-type":"sts","policy-domain":"ours.example"},"summary":{"total-successful-session-count":7,
"total-failure-session-count":2},"failure-details":[{"result-type":"certificate-expired",
"receiving-mx-hostname":"mx.ours.example","failed-session-count":2}]}]}"#;

/// A gatepost of the domain that a report is about.
fn reader(domain: &str) -> Gatepost {
    GatepostPlan::new(domain).policy("[relay]\nresolver = \"127.0.0.1:53\"\n").prepare()
}

/// Takes a report, which must end with this exit code and word.
#[track_caller]
fn take(gatepost: &Gatepost, input: &[u8], code: i32, word: &str) {
    let ran = gatepost.command_with(&["relay", "reports", "--take"], input);
    let said = format!("{}{}", ran.text(), ran.stderr);
    assert_eq!(ran.code, code, "{said}");
    assert!(said.contains(word), "{word} in {said}");
}

/// A report that came by mail, as an alias would pipe it.
pub(super) fn by_those_whom_it_concerns(world: &mut RunningWorld, sender: &Gatepost, letter: &Mail) {
    let reader = reader("letters.world");
    take(&reader, &letter.0, 0, "taken");
    take(&reader, &letter.0, 0, "known already");
    let shown = reader.command(&["relay", "reports", "--json"]).success();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["reports"], &shown["submitters"]), (&1.into(), &1.into()), "{shown:#}");
    let domain = &shown["domains"][0];
    assert_eq!(
        (&domain["policy_domain"], &domain["policy_type"]),
        (&"mx.letters.world".into(), &"tlsa".into())
    );
    assert_eq!((&domain["succeeded"], &domain["failed"]), (&1.into(), &0.into()), "{shown:#}");
    let words = reader.command(&["relay", "reports"]).success().text();
    assert!(words.contains("mx.letters.world (tlsa): 1 sessions as policy demands, 0 failed"), "{words}");
    // The policy domain of DANE is the mail host's, which may be a provider's; the letter says whom it is for.
    take(sender, &letter.0, 65, "letters.world, mx.letters.world, none of our domains");
    let forged = letter.text().replacen("Submitter: gate.world", "Submitter: late.world", 1);
    take(&reader, forged.as_bytes(), 65, "no valid DKIM signature of the reporting domain");
    let (header, body) = letter.text().split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let bare: String = header
        .lines()
        .skip_while(|line| !line.starts_with("From: "))
        .fold(String::new(), |t, l| t + l + "\n");
    take(
        &reader,
        format!("{bare}\n{body}").as_bytes(),
        65,
        "no valid DKIM signature of the reporting domain",
    );
    world.stop_resolver();
    take(&reader, &letter.0, 75, "cannot tell who signed the report");
}

#[test]
fn malformed_reports_have_defined_answers() {
    let reader = reader("ours.example");
    let packed = |bytes: &[u8]| run(Command::new("gzip").arg("-c9"), bytes).success().stdout;
    take(&reader, REPORT.as_bytes(), 0, "taken");
    take(&reader, &packed(REPORT.as_bytes()), 0, "known already");
    let bomb = packed(&vec![b' '; 200 << 20]);
    assert!(bomb.len() < 1 << 20, "{} octets", bomb.len());
    take(&reader, &bomb, 65, "too large");
    take(&reader, &packed(&bomb), 65, "not of the schema");
    take(&reader, &packed(REPORT.as_bytes())[..100], 65, "cannot be unpacked");
    take(&reader, b"\x1f\x8b\x08\0nonsense", 65, "cannot be unpacked");
    for json in ["{", "{}", "{\"policies\":7}", &REPORT.replace("T00:00:00Z", " at noon"), &REPORT[..300]] {
        take(&reader, json.as_bytes(), 65, "not of the schema");
    }
    take(&reader, &"{\"a\":".repeat(100_000).into_bytes(), 65, "not of the schema");
    let elsewhere = REPORT.replace("ours.example", "theirs.example");
    take(&reader, elsewhere.as_bytes(), 65, "the report is about theirs.example, none of our domains");
    take(&reader, REPORT.replace("ours.example", "notours.example").as_bytes(), 65, "none of our domains");
    take(&reader, b"", 65, "has no report");
    take(&reader, b"Subject: hello\r\n\r\nI am no report.\r\n", 65, "has no report");
    let unsigned = format!("From: tls@beta.example\r\nContent-Type: application/tlsrpt+json\r\n\r\n{REPORT}");
    take(&reader, unsigned.as_bytes(), 65, "no valid DKIM signature of the reporting domain");
    let shown = reader.command(&["relay", "reports", "--days", "400"]).success().text();
    assert!(shown.starts_with("1 reports of 1 senders"), "{shown}");
    assert!(shown.contains("ours.example (sts): 7 sessions as policy demands, 2 failed"), "{shown}");
    assert!(shown.contains("certificate-expired at mx.ours.example"), "{shown}");
}
