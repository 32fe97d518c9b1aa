//! Reports of others: whatever comes, within limits.

use std::io::Write;

use mail::Message;
use proptest::prelude::*;

use super::super::gzip;
use super::super::*;
use super::world::*;

/// RFC 8460 Appendix B, with the line that its margins broke put together again.
const APPENDIX_B: &str = r#"{
     "organization-name": "Company-X",
     "date-range": {
       "start-datetime": "2016-04-01T00:00:00Z",
       "end-datetime": "2016-04-01T23:59:59Z"
     },
     "contact-info": "sts-reporting@company-x.example",
     "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
     "policies": [{
       "policy": {
         "policy-type": "sts",
         "policy-string": ["version: STSv1","mode: testing",
               "mx: *.mail.company-y.example","max_age: 86400"],
         "policy-domain": "company-y.example",
         "mx-host": ["*.mail.company-y.example"]
       },
       "summary": {
         "total-successful-session-count": 5326,
         "total-failure-session-count": 303
       },
       "failure-details": [{
         "result-type": "certificate-expired",
         "sending-mta-ip": "2001:db8:abcd:0012::1",
         "receiving-mx-hostname": "mx1.mail.company-y.example",
         "failed-session-count": 100
       }, {
         "result-type": "starttls-not-supported",
         "sending-mta-ip": "2001:db8:abcd:0013::1",
         "receiving-mx-hostname": "mx2.mail.company-y.example",
         "receiving-ip": "203.0.113.56",
         "failed-session-count": 200,
         "additional-information": "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"
       }, {
         "result-type": "validation-failure",
         "sending-mta-ip": "198.51.100.62",
         "receiving-ip": "203.0.113.58",
         "receiving-mx-hostname": "mx-backup.mail.company-y.example",
         "failed-session-count": 3,
         "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
       }]
     }]
   }"#;

fn example() -> Report {
    intake::from_json(APPENDIX_B.as_bytes()).unwrap()
}

fn message(media: &str, encoding: &str, name: &str, content: &[u8]) -> Message {
    let mut raw = format!(
        "From: tlsrpt@mail.sender.example.com\r\nSubject: Report Domain: example.net\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"x\"\r\n\r\n\
         --x\r\nContent-Type: text/plain\r\n\r\nThis is an aggregate TLS report\r\n--x\r\nContent-Type: {media}\r\n\
         Content-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment;\r\n filename=\"{name}\"\r\n\r\n"
    )
    .into_bytes();
    raw.extend_from_slice(content);
    raw.extend_from_slice(b"\r\n--x--\r\n");
    Message::parse(&raw)
}

#[test]
fn the_example_of_the_rfc_is_read_and_written_again() {
    let report = example();
    assert_eq!(report.policies[0].failure_details[2].failed_session_count, 3);
    let before: serde_json::Value = serde_json::from_str(APPENDIX_B).unwrap();
    assert_eq!(serde_json::to_value(&report).unwrap(), before, "nothing lost, nothing added");
    assert_eq!(
        report.file_name("mail.sndr.example.com", "company-y.example"),
        "mail.sndr.example.com!company-y.example!1459468800!1459555199!5065427c23d347cab6e0946ea0e8c4be.json.gz"
    );
}

#[test]
fn reports_are_found_however_they_are_wrapped() {
    let packed = gzip::pack(APPENDIX_B.as_bytes()).unwrap();
    let base64 = base64_simd::STANDARD.encode_to_string(&packed);
    for (media, encoding, name, content) in [
        ("application/tlsrpt+json", "8bit", "a!b!1!2.json", APPENDIX_B.as_bytes()),
        ("application/tlsrpt+gzip", "base64", "a!b!1!2.json.gz", base64.as_bytes()),
        ("Application/TLSRPT+GZIP", "base64", "", base64.as_bytes()),
        ("application/gzip", "base64", "a!b!1!2.json.gz", base64.as_bytes()),
        ("application/octet-stream", "base64", "REPORT.JSON.GZ", base64.as_bytes()),
        // The media type is wrong about packing.
        ("application/tlsrpt+json", "base64", "a.json.gz", base64.as_bytes()),
    ] {
        let report = intake::from_message(&message(media, encoding, name, content));
        assert_eq!(report.unwrap(), example(), "{media} {name}");
    }
    let alone = format!("Subject: x\r\nContent-Type: application/tlsrpt+json\r\n\r\n{APPENDIX_B}");
    assert_eq!(intake::from_message(&Message::parse(alone.as_bytes())).unwrap(), example());
    assert_eq!(intake::from_bytes(&[b"\xef\xbb\xbf", APPENDIX_B.as_bytes()].concat()).unwrap(), example());
}

#[test]
fn other_messages_have_no_report() {
    for (media, name) in [("application/pdf", "a.pdf"), ("text/plain", "")] {
        let found = intake::from_message(&message(media, "8bit", name, APPENDIX_B.as_bytes()));
        assert!(matches!(found, Err(intake::BadReport::NoReport)), "{media}");
    }
    assert!(matches!(intake::from_message(&Message::parse(b"")), Err(intake::BadReport::NoReport)));
}

#[test]
fn reports_in_the_forms_of_the_wild_are_read() {
    for (from, to) in [
        ("[\"*.mail.company-y.example\"]", "\"*.mail.company-y.example\""),
        ("\"mx-host\": [\"*.mail.company-y.example\"]", "\"mx-host\": null"),
        ("\"certificate-expired\"", "\"something-new\""),
        ("\"organization-name\"", "\"new-field\": {\"a\": [1]}, \"organization-name\""),
        ("2016-04-01T00:00:00Z", "2016-04-01T02:00:00.5+02:00"),
        ("\"policy-type\": \"sts\",", ""),
    ] {
        assert!(APPENDIX_B.contains(from));
        let report = intake::from_json(APPENDIX_B.replace(from, to).as_bytes()).unwrap();
        assert_eq!(report.date_range.start_datetime, 1_459_468_800, "{to}");
        assert_eq!(report.policies[0].failure_details.len(), 3, "{to}");
    }
    let cut = APPENDIX_B.find("\"failure-details\"").unwrap();
    let without = APPENDIX_B[..cut].to_owned() + "\"failure-details\": null}]}";
    assert_eq!(intake::from_json(without.as_bytes()).unwrap().policies[0].failure_details.len(), 0);
}

#[test]
fn what_is_no_report_is_refused() {
    for (from, to) in [
        ("\"report-id\"", "\"id\""),
        ("\"date-range\"", "\"range\""),
        ("2016-04-01T00:00:00Z", "yesterday"),
        ("5326", "-1"),
        ("5326", "99999999999999999999999"),
        ("\"policies\": [", "\"policies\": ["),
        ("[{\n       \"policy\"", "[[{\n       \"policy\""),
    ] {
        let text = APPENDIX_B.replace(from, to);
        assert_eq!(intake::from_json(text.as_bytes()).is_ok(), from == to, "{to}");
    }
    for bytes in [&b""[..], b"{}", b"[]", b"null", b"\x1f\x8b", b"\x1f\x8b\x08\x00 no gzip at all", b"<xml/>"]
    {
        assert!(intake::from_bytes(bytes).is_err());
    }
    assert!(intake::from_json(&b"[".repeat(1_000_000)).is_err(), "deep nesting is no stack overflow");
}

#[test]
fn bombs_and_floods_are_refused() {
    let bomb = gzip::pack(&vec![b' '; 100 << 20]).unwrap();
    assert!(bomb.len() < 200_000);
    assert!(matches!(intake::from_bytes(&bomb), Err(intake::BadReport::TooLarge)));
    let base64 = base64_simd::STANDARD.encode_to_string(&bomb);
    let mailed = message("application/tlsrpt+gzip", "base64", "a.json.gz", base64.as_bytes());
    assert!(matches!(intake::from_message(&mailed), Err(intake::BadReport::TooLarge)));
    // A bomb in a bomb is no JSON.
    assert!(matches!(intake::from_bytes(&gzip::pack(&bomb).unwrap()), Err(intake::BadReport::Json(_))));
    let mut report = example();
    report.policies = vec![report.policies[0].clone(); 1_001];
    assert!(matches!(
        intake::from_json(&serde_json::to_vec(&report).unwrap()),
        Err(intake::BadReport::TooLarge)
    ));
    assert!(matches!(intake::from_json(&vec![b' '; (10 << 20) + 1]), Err(intake::BadReport::TooLarge)));
}

#[test]
fn only_the_reporting_domain_vouches() {
    let report = example();
    assert_eq!(intake::submitter(&report).as_deref(), Some("company-x.example"));
    for signer in ["company-x.example", "Company-X.example.", "mail.company-x.example"] {
        assert!(intake::vouched(&report, &["other.example", signer]), "{signer}");
    }
    for signer in ["", "example", "y-company-x.example", "company-x.example.evil.example", "x.example"] {
        assert!(!intake::vouched(&report, &[signer]), "{signer}");
    }
    assert!(!intake::vouched(&report, &[] as &[&str]));
    let nobody = Report { contact_info: "call us".to_owned(), ..report };
    assert!(!intake::vouched(&nobody, &["company-x.example"]));
}

#[test]
fn received_reports_are_added_up_once_for_people() {
    let (_directory, path) = file();
    let mut ledger = Ledger::open(&path).unwrap();
    let first = example();
    let mut second =
        Report { report_id: "2".to_owned(), contact_info: "tls@z.example".to_owned(), ..example() };
    second.policies[0].failure_details[0].failure_reason_code = Some("line\r\n\u{1b}[31mred".to_owned());
    assert_eq!(ledger.receive(&first, NOON).unwrap(), Kept::New);
    assert_eq!(ledger.receive(&first, NOON + 1).unwrap(), Kept::Known);
    assert_eq!(ledger.receive(&second, NOON).unwrap(), Kept::New);
    let summary = ledger.summary(Day::of(1_459_468_800)).unwrap();
    assert_eq!((summary.reports, summary.submitters, summary.trends.len()), (2, 2, 1));
    let trend = &summary.trends[0];
    assert_eq!((trend.succeeded, trend.failed), (2 * 5326, 2 * 303));
    assert_eq!((trend.failures[0].count, trend.failures[0].submitters), (400, 2));
    let page = summary.to_string();
    assert!(page.contains("company-y.example (sts): 10652 sessions as policy demands, 606 failed"), "{page}");
    assert!(page.contains("200  certificate-expired at mx1.mail.company-y.example, told by 2"), "{page}");
    assert!(!page.contains('\u{1b}') && page.lines().count() == 6, "{page}");
    assert_eq!(ledger.summary(Day::of(NOON)).unwrap().reports, 0);
    let late = Report { report_id: "3".to_owned(), ..example() };
    ledger.receive(&late, NOON + 500 * DAY).unwrap();
    assert_eq!(ledger.summary(Day(0)).unwrap().reports, 1, "after 400 days it is forgotten");
}

fn details() -> impl Strategy<Value = FailureDetails> {
    ("[a-z-]{0,12}", proptest::option::of("\\PC{0,9}"), any::<u64>()).prop_map(
        |(result_type, text, count)| FailureDetails {
            result_type,
            receiving_mx_hostname: text.clone(),
            failure_reason_code: text,
            failed_session_count: count,
            ..FailureDetails::default()
        },
    )
}

fn any_report() -> impl Strategy<Value = Report> {
    let policy = (
        "\\PC{0,9}",
        proptest::collection::vec("\\PC{0,9}", 0..3),
        any::<(u64, u64)>(),
        proptest::collection::vec(details(), 0..4),
    )
        .prop_map(|(domain, strings, (good, bad), failure_details)| {
            let policy = ReportedPolicy {
                policy_type: "tlsa".to_owned(),
                policy_string: strings,
                policy_domain: domain,
                mx_host: Vec::new(),
            };
            let summary = Totals { total_successful_session_count: good, total_failure_session_count: bad };
            PolicyReport { policy, summary, failure_details }
        });
    ("\\PC{0,20}", "\\PC{1,20}", 0..200_000i64, proptest::collection::vec(policy, 0..4)).prop_map(
        |(name, id, day, policies)| Report {
            organization_name: name.clone(),
            date_range: DateRange::of(Day(day)),
            contact_info: name,
            report_id: id,
            policies,
        },
    )
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..APPENDIX_B.len(), octet: u8) {
        let _ = intake::from_bytes(&bytes);
        let mut text = APPENDIX_B.as_bytes().to_vec();
        text[cut] = octet;
        let _ = intake::from_bytes(&text);
        let mut packed = gzip::pack(&text).unwrap();
        let place = cut % packed.len();
        packed[place] = octet;
        let _ = intake::from_bytes(&packed);
        let mut raw = b"Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
        raw.write_all(&bytes).unwrap();
        let _ = intake::from_message(&Message::parse(&raw));
    }

    #[test]
    fn what_is_written_is_read_again_and_can_be_kept(report in any_report()) {
        let json = serde_json::to_vec(&report).unwrap();
        prop_assert_eq!(&intake::from_bytes(&json).unwrap(), &report);
        prop_assert_eq!(&intake::from_bytes(&gzip::pack(&json).unwrap()).unwrap(), &report);
    }
}

#[test]
fn counts_beyond_what_a_table_holds_are_no_error() {
    let (_directory, path) = file();
    let mut ledger = Ledger::open(&path).unwrap();
    let mut report = example();
    report.policies[0].summary.total_successful_session_count = u64::MAX;
    ledger.receive(&report, NOON).unwrap();
    let another = Report { report_id: "2".to_owned(), ..report };
    ledger.receive(&another, NOON).unwrap();
    assert!(ledger.summary(Day(0)).is_ok());
}
