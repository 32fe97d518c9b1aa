use std::collections::HashMap;
use std::process::Command;

use domain::base::Rtype;
use net::Clock;

use super::*;
use crate::dns::Tlsa;
use crate::dns::script::Fault;
use crate::dns::script::Script;
use crate::fixtures::certificates::Identity;
use crate::sts::Mode;
use crate::sts::StsCache;
use crate::sts::host::PolicyHost;
use crate::tlsrpt::Rua;

const HOUR: u32 = 3600;

fn pem(identity: &Identity) -> String {
    let base64 = base64_simd::STANDARD.encode_to_string(identity.certificate());
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn certificate(identity: &Identity) -> Certificate {
    Certificate::from_pem(pem(identity).as_bytes()).unwrap()
}

fn own(current: &Identity, next: Option<&Identity>) -> Own {
    let host = OwnHost {
        name: "mx.a.example".to_owned(),
        port: 25,
        current: certificate(current),
        next: next.map(|next| certificate(next).key),
    };
    Own {
        domain: "a.example".to_owned(),
        hosts: vec![host],
        sts: Some(OwnSts { mode: Mode::Enforce, max_age: 604_800, mx: Vec::new() }),
        reports: vec![
            Rua::parse("mailto:tls@a.example").unwrap(),
            Rua::parse("https://r.a.example/x").unwrap(),
        ],
        dkim: Some((
            "tlsrpt._domainkey.a.example".to_owned(),
            format!("v=DKIM1; k=rsa; p={}", "A".repeat(300)),
        )),
        ttl: HOUR,
    }
}

/// Publishes lines of the zone; what is read is what [`Record`] writes.
fn publishing(records: &[Record]) -> Script {
    records.iter().fold(Script::new().mx("a.example", 10, "mx.a.example"), |script, record| {
        match &record.data {
            Data::Txt(text) => {
                let strings: Vec<&str> =
                    text.as_bytes().chunks(255).map(|string| std::str::from_utf8(string).unwrap()).collect();
                script.txt(&record.name, &strings)
            }
            Data::Tlsa(Tlsa { usage, selector, matching, data }) => script.raw(
                &record.name,
                Rtype::TLSA,
                &[&[*usage, *selector, *matching], data.as_slice()].concat(),
            ),
        }
    })
}

async fn check(
    own: &Own,
    script: &Script,
    policy: Option<&str>,
    sightings: Option<&mut Sightings>,
    now: i64,
) -> Vec<Finding> {
    let dns = script.start().await;
    let host = PolicyHost::start("mta-sts.a.example").await;
    match policy {
        Some(policy) => host.serve(policy),
        None => host.answer_with("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    }
    let policies = StsCache::open(host.config(), dns.clone(), Clock::system()).unwrap();
    let published = look(own, &dns, &policies, sightings, now).await.unwrap();
    judge(own, &published, now)
}

/// Everything that is not ok, as `verdict subject`.
fn complaints(findings: &[Finding]) -> Vec<String> {
    let bad = findings.iter().filter(|finding| finding.verdict != Verdict::Ok);
    bad.map(|finding| format!("{} {}", finding.verdict, finding.subject)).collect()
}

fn now() -> i64 {
    Clock::system().now()
}

fn openssl(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn digests_are_those_of_openssl() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    for kind in ["rsa -pkeyopt rsa_keygen_bits:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ed25519"] {
        let digest = openssl(&format!(
            "cd {place}; openssl genpkey -quiet -algorithm {kind} -out key.pem 2>/dev/null || openssl genpkey -algorithm {kind} -out key.pem 2>/dev/null;
             openssl req -x509 -new -key key.pem -subj /CN=mx.a.example -addext subjectAltName=DNS:mx.a.example,DNS:*.b.example -days 30 -out cert.pem;
             openssl pkey -in key.pem -pubout -out public.pem;
             openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r | cut -c1-64"
        ));
        let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
        let certificate = Certificate::from_pem(&read("cert.pem")).unwrap();
        assert_eq!(certificate.key.to_string(), digest, "{kind}");
        assert_eq!(Key::from_pem(&read("public.pem")).unwrap(), certificate.key, "{kind}: the key alone");
        assert_eq!(Key::from_pem(&read("cert.pem")).unwrap(), certificate.key);
        let end = openssl(&format!(
            "date -u +%s -d \"$(openssl x509 -in {place}/cert.pem -noout -enddate | cut -d= -f2)\""
        ));
        assert_eq!(certificate.not_after.to_string(), end);
        assert!(certificate.covers("mx.a.example") && certificate.covers("mx.b.example"));
        assert!(!certificate.covers("a.example"));
    }
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Certificate::from_pem(text.as_bytes()).is_err() && Key::from_pem(text.as_bytes()).is_err());
    }
}

#[test]
fn lines_of_the_zone_are_read_by_ldns() {
    let own =
        own(&Identity::alone(&["mx.a.example"], |_| {}), Some(&Identity::alone(&["mx.a.example"], |_| {})));
    let lines: Vec<String> = own.records().iter().map(Record::to_string).collect();
    assert_eq!(lines.len(), 5, "two TLSA, MTA-STS, TLSRPT, DKIM");
    assert!(lines[0].starts_with("_25._tcp.mx.a.example. 3600 IN TLSA 3 1 1 "));
    assert_eq!(
        lines[3],
        "_smtp._tls.a.example. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:tls@a.example,https://r.a.example/x\""
    );
    let odd = Record { name: "x.a.example".to_owned(), ttl: 1, data: Data::Txt("a\"b\\c;ü".to_owned()) };
    assert_eq!(odd.to_string(), "x.a.example. 1 IN TXT \"a\\\"b\\\\c;\\195\\188\"");
    if Command::new("ldns-read-zone").arg("-v").output().is_err() {
        eprintln!("ldns-read-zone is not installed: the lines were not read by it");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let zone = directory.path().join("zone");
    let soa = "a.example. 3600 IN SOA ns.a.example. root.a.example. 1 3600 600 86400 60\n";
    std::fs::write(&zone, format!("{soa}{}\n{odd}\n", lines.join("\n"))).unwrap();
    let read = openssl(&format!("ldns-read-zone {}", zone.display()));
    for record in own.records() {
        let Data::Tlsa(tlsa) = record.data else { continue };
        let data: String = tlsa.data.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(read.contains(&format!("{}.\t3600\tIN\tTLSA\t3 1 1 {data}", record.name)), "{read}");
    }
    assert_eq!(read.lines().count(), 7, "{read}");
}

#[test]
fn the_id_changes_with_the_policy_and_only_then() {
    let own = own(&Identity::alone(&["mx.a.example"], |_| {}), None);
    assert_eq!(
        own.policy().unwrap(),
        "version: STSv1\r\nmode: enforce\r\nmx: mx.a.example\r\nmax_age: 604800\r\n"
    );
    let id = own.policy_id().unwrap();
    assert_eq!(crate::sts::record::parse(&format!("v=STSv1; id={id};")), Ok(id.as_str()));
    let sts = |mode, max_age| Own { sts: Some(OwnSts { mode, max_age, mx: Vec::new() }), ..own.clone() };
    assert_eq!(sts(Mode::Enforce, 604_800).policy_id().unwrap(), id);
    assert_ne!(sts(Mode::Testing, 604_800).policy_id().unwrap(), id);
    assert_ne!(sts(Mode::Enforce, 604_801).policy_id().unwrap(), id);
    assert_eq!(Own { sts: None, ..own }.policy_id(), None);
}

#[tokio::test]
async fn what_we_print_is_what_the_check_accepts() {
    let (current, next) =
        (Identity::alone(&["mx.a.example"], |_| {}), Identity::alone(&["mx.a.example"], |_| {}));
    let own = own(&current, Some(&next));
    let directory = tempfile::tempdir().unwrap();
    let mut sightings = Sightings::open(&directory.path().join("relay.db")).unwrap();
    let script = publishing(&own.records());
    let findings = check(&own, &script, own.policy().as_deref(), Some(&mut sightings), now()).await;
    assert_eq!(complaints(&findings), ["warning mx.a.example"], "{findings:#?}");
    let two_hours = now() + 2 * i64::from(HOUR);
    let findings = check(&own, &script, own.policy().as_deref(), Some(&mut sightings), two_hours).await;
    assert_eq!(complaints(&findings), [""; 0], "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.remark.contains("can be used")), "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.publish.is_none()));
}

#[tokio::test]
async fn nothing_published_gives_every_line_to_publish() {
    let own = own(&Identity::alone(&["mx.a.example"], |_| {}), None);
    let script = publishing(&[]);
    let findings = check(&own, &script, own.policy().as_deref(), None, now()).await;
    let lines: Vec<Record> = findings.iter().filter_map(|finding| finding.publish.clone()).collect();
    assert_eq!(lines, own.records());
    assert!(
        findings.iter().filter(|finding| finding.publish.is_some()).all(|f| f.verdict == Verdict::Missing)
    );
    let text = findings.iter().find(|finding| finding.publish.is_some()).unwrap().to_string();
    assert!(text.contains("\n    publish: _25._tcp.mx.a.example. 3600 IN TLSA 3 1 1 "), "{text}");
}

#[tokio::test]
async fn a_roll_over_that_breaks_dane_is_told_before_and_after() {
    let (old, new) = (Identity::alone(&["mx.a.example"], |_| {}), Identity::alone(&["mx.a.example"], |_| {}));
    let published = own(&old, None).records();
    // Before: the next certificate is made, its record is not there.
    let before = own(&old, Some(&new));
    let script = publishing(&published);
    let findings = check(&before, &script, before.policy().as_deref(), None, now()).await;
    assert_eq!(complaints(&findings), ["missing _25._tcp.mx.a.example", "warning mx.a.example"]);
    assert_eq!(findings.iter().find_map(|f| f.publish.clone()), Some(before.records()[1].clone()));
    assert!(findings.iter().any(|f| f.remark.contains("must not be used yet")));
    // After: it is in use all the same.
    let after = own(&new, None);
    let findings = check(&after, &script, after.policy().as_deref(), None, now()).await;
    assert!(
        findings.iter().any(|f| f.verdict == Verdict::Wrong && f.remark.contains("defer all mail")),
        "{findings:#?}"
    );
    // Done: the old record is only in the way.
    let both: Vec<Record> = [published, own(&new, None).records()[..1].to_vec()].concat();
    let findings = check(&after, &publishing(&both), after.policy().as_deref(), None, now()).await;
    assert_eq!(complaints(&findings), ["warning _25._tcp.mx.a.example"]);
}

#[tokio::test]
async fn waiting_is_for_twice_the_larger_ttl_and_begins_anew_when_a_record_goes() {
    let (current, next) =
        (Identity::alone(&["mx.a.example"], |_| {}), Identity::alone(&["mx.a.example"], |_| {}));
    let own = Own { ttl: 60, ..own(&current, Some(&next)) };
    let directory = tempfile::tempdir().unwrap();
    let mut sightings = Sightings::open(&directory.path().join("relay.db")).unwrap();
    let start = now();
    // Answers of the script live for 300 seconds.
    let all = publishing(&own.records());
    let without = publishing(&[&own.records()[..1], &own.records()[2..]].concat());
    let ready = async |script: &Script, sightings: &mut Sightings, after: i64| {
        let findings = check(&own, script, own.policy().as_deref(), Some(sightings), start + after).await;
        findings.iter().any(|finding| finding.remark.contains("can be used"))
    };
    assert!(!ready(&all, &mut sightings, 0).await);
    assert!(!ready(&all, &mut sightings, 599).await);
    assert!(ready(&all, &mut sightings, 600).await);
    assert!(!ready(&without, &mut sightings, 601).await);
    assert!(!ready(&all, &mut sightings, 602).await, "it was away");
    let silent = publishing(&own.records()).fault("_25._tcp.mx.a.example", Rtype::TLSA, Fault::ServFail);
    ready(&silent, &mut sightings, 900).await;
    assert!(ready(&all, &mut sightings, 1202).await, "a failed look-up is not its absence");
}

#[tokio::test]
async fn certificates_near_their_end_are_told() {
    let current = Identity::alone(&["mx.a.example"], |_| {});
    let own = own(&current, None);
    let end = certificate(&current).not_after;
    for (left, wrong) in [(30, None), (20, Some("warning mx.a.example")), (-1, Some("WRONG mx.a.example"))] {
        let findings =
            check(&own, &publishing(&own.records()), own.policy().as_deref(), None, end - left * 86_400)
                .await;
        assert_eq!(complaints(&findings), wrong.into_iter().collect::<Vec<_>>(), "{left} days left");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let current = Identity::alone(&["mx.a.example"], |_| {});
    let own = own(&current, None);
    let records = own.records();
    let good = || publishing(&records);
    let without = |name: &str| {
        publishing(&records.iter().filter(|record| record.name != name).cloned().collect::<Vec<_>>())
    };
    let (sts, rpt, key) = ("_mta-sts.a.example", "_smtp._tls.a.example", "tlsrpt._domainkey.a.example");
    let tlsa = "_25._tcp.mx.a.example";
    for (script, expected) in [
        (without(sts).txt(sts, &["v=STSv1; id=1;"]), vec!["WRONG _mta-sts.a.example"]),
        (
            good().txt(sts, &["v=STSv1; id=1;"]),
            vec!["WRONG _mta-sts.a.example", "WRONG https://mta-sts.a.example/.well-known/mta-sts.txt"],
        ),
        (
            without(rpt).txt(rpt, &["v=TLSRPTv1; rua=mailto:old@a.example"]),
            vec!["WRONG _smtp._tls.a.example"],
        ),
        (good().txt(rpt, &["v=TLSRPTv1; rua=mailto:old@a.example"]), vec!["WRONG _smtp._tls.a.example"]),
        (without(key).txt(key, &["v=DKIM1; p=BBBB"]), vec!["WRONG tlsrpt._domainkey.a.example"]),
        (good().fault(rpt, Rtype::TXT, Fault::ServFail), vec!["unclear _smtp._tls.a.example"]),
        (good().fault(tlsa, Rtype::TLSA, Fault::Bogus), vec!["WRONG _25._tcp.mx.a.example"]),
        (good().raw(tlsa, Rtype::TLSA, &[1, 1, 1, 7]), vec!["warning _25._tcp.mx.a.example"]),
        (good().mx("a.example", 20, "mx2.a.example"), vec!["warning a.example", "WRONG a.example"]),
    ] {
        let findings = check(&own, &script, own.policy().as_deref(), None, now()).await;
        assert_eq!(complaints(&findings), expected, "{findings:#?}");
    }
}

#[tokio::test]
async fn the_policy_host_is_checked() {
    let own = own(&Identity::alone(&["mx.a.example"], |_| {}), None);
    let policy = own.policy().unwrap();
    let wrong = "WRONG https://mta-sts.a.example/.well-known/mta-sts.txt";
    for (served, expected) in [
        (Some(policy.clone()), vec![]),
        // In other words the same.
        (Some(policy.replace("\r\n", "\n").replace("mode: enforce\n", "") + "mode: Enforce\n"), vec![]),
        (Some(policy.replace("enforce", "testing")), vec![wrong]),
        (Some(policy.replace("mx.a", "mx.b")), vec![wrong]),
        (Some("hello".to_owned()), vec![wrong]),
        (None, vec![wrong]),
    ] {
        let findings = check(&own, &publishing(&own.records()), served.as_deref(), None, now()).await;
        assert_eq!(complaints(&findings), expected, "{served:?}");
    }
}

#[test]
fn a_name_that_the_certificate_lacks_matters_for_mta_sts_alone() {
    let other = Identity::alone(&["other.example"], |_| {});
    let own = own(&other, None);
    let seen = || PublishedHost {
        tlsa: crate::dns::Resolved {
            lookup: crate::dns::Lookup::Found {
                records: vec![certificate(&other).key.tlsa()],
                security: crate::dns::Security::Secure,
            },
            canonical: String::new(),
            canonical_security: crate::dns::Security::Secure,
            ttl: 1,
        },
        since: HashMap::new(),
    };
    let judge = |own: &Own| complaints(&tlsa::judge(own, &own.hosts[0], &seen(), now()));
    assert_eq!(judge(&own), ["WRONG mx.a.example"]);
    assert_eq!(judge(&Own { sts: None, ..own }), [""; 0]);
}

#[tokio::test]
async fn tlsa_records_in_an_unsigned_zone_have_no_effect() {
    let mut own = own(&Identity::alone(&["mx.plain"], |_| {}), None);
    own.hosts[0].name = "mx.plain".to_owned();
    let script = |own: &Own| publishing(&own.records()).mx("a.example", 10, "mx.plain");
    let unsigned = |findings: &[Finding]| {
        let about = |finding: &&Finding| {
            finding.subject == "_25._tcp.mx.plain" && finding.verdict == Verdict::Warning
        };
        findings.iter().find(about).map(|finding| finding.remark.clone())
    };
    let findings = check(&own, &script(&own), own.policy().as_deref(), None, now()).await;
    assert_eq!(unsigned(&findings).as_deref(), Some("the zone is not signed: TLSA records have no effect"));
    let without = publishing(&own.records()[1..]);
    let findings = check(&own, &without, own.policy().as_deref(), None, now()).await;
    assert!(unsigned(&findings).unwrap().contains("there are none"), "{findings:#?}");
}
