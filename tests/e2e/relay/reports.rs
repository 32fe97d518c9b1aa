//! TLS reports (RFC 8460), end to end: what is told, how it goes, and what comes of those that others send.

mod received;
mod schema;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tests::Gatepost;
use tests::Mail;
use tests::directory;
use tests::run;
use tests::wait_for;
use tests::world::Posted;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

use super::cases::Cases;
use super::room::gatepost_plan;
use super::room::handing;
use super::verdicts::judged;
use super::verdicts::send;

/// Who reports: the domain with the DKIM key.
const REPORTER: &str = "gate.world";
/// Where the reports about letters.world go by mail.
const READER: &str = "alice@handing.example";
/// A machine that is busy with something else.
const LONG: Duration = Duration::from_secs(90);

/// What the report about each domain says after one message through the relay: kind of policy, policy domain,
/// sessions that went well and that failed, failures.
const BY_RELAY: [(&str, &[&str]); 23] = [
    ("open", &["no-policy-found open.world 1/0"]),
    ("clear", &["no-policy-found clear.world 0/1 starttls-not-supported"]),
    ("good", &["tlsa mx.good.world 1/0"]),
    ("letters", &["tlsa mx.letters.world 1/0"]),
    ("hidden", &["tlsa mx.hidden.world 0/1 starttls-not-supported"]),
    ("torn", &["tlsa mx.torn.world 0/1 validation-failure"]),
    ("trusted", &["sts trusted.world 1/0"]),
    ("strange", &["sts strange.world 0/1 certificate-not-trusted"]),
    ("other", &["sts other.world 0/1 certificate-host-mismatch"]),
    ("late", &["sts late.world 0/1 certificate-expired"]),
    ("bare", &["sts bare.world 0/1 starttls-not-supported"]),
    ("mismatch", &["tlsa mx.mismatch.world 0/1 certificate-not-trusted"]),
    ("named", &["tlsa mx.named.world 0/1 certificate-host-mismatch"]),
    ("aged", &["tlsa mx.aged.world 0/1 certificate-expired"]),
    ("rooted", &["tlsa mx.rooted.world 0/1 certificate-not-trusted"]),
    ("unusable", &["tlsa mx.unusable.world 0/1 tlsa-invalid"]),
    ("forged", &["tlsa mx.forged.world 0/1 dnssec-invalid"]),
    ("required", &["tlsa mx.required.world 0/1 dane-required"]),
    ("unlisted", &["sts unlisted.world 0/1 sts-policy-invalid"]),
    ("missing", &["no-policy-found missing.world 1/0", "sts missing.world 0/1 sts-policy-fetch-error"]),
    ("nonsense", &["no-policy-found nonsense.world 1/0", "sts nonsense.world 0/1 sts-policy-invalid"]),
    ("forger", &["no-policy-found forger.world 1/0", "sts forger.world 0/1 sts-webpki-invalid"]),
    ("testing", &["sts testing.world 0/1 certificate-not-trusted"]),
];

/// What signs reports, with its public half in DNS.
pub(super) struct Reporter {
    dir: TempDir,
}

impl Reporter {
    /// Makes a key with openssl and publishes what openssl says of it.
    pub(super) fn new(world: &mut World) -> Self {
        let dir = directory("reporter");
        let key = dir.path().join("dkim.pem");
        run(Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048"), b"").success();
        let mut openssl = Command::new("openssl");
        let public = run(openssl.args(["rsa", "-pubout", "-in"]).arg(&key), b"").success().text();
        let public: String = public.lines().filter(|line| !line.starts_with('-')).collect();
        let (first, second) = public.split_at(200);
        world.zone(REPORTER).record(&format!(
            "gatepost._domainkey.{REPORTER}. TXT \"v=DKIM1; k=rsa; s=email:tlsrpt; p={first}\" \"{second}\""
        ));
        Self { dir }
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("dkim.pem")
    }

    /// A gatepost whose day is the one before yesterday, which reports by the MTA at this port.
    pub(super) fn gatepost(&self, world: &RunningWorld, submission: u16, more: &str) -> Gatepost {
        let section = format!(
            "[relay.domain.\"required.world\"]\npolicy = \"dane-only\"\n\
             [relay.reports]\norganization = \"Gate\"\ncontact = \"tls-reports@{REPORTER}\"\n\
             dkim_key = \"{}\"\nsubmission = \"127.0.0.1:{submission}\"\n{more}",
            self.key().display()
        );
        let mut gatepost = gatepost_plan(&world.authorities).policy(&section).prepare();
        gatepost.set_clock("-2d");
        gatepost
    }
}

/// The daemon stops and comes back today. The day before yesterday is over for longer than the four hours within
/// which all its reports are due.
pub(super) fn end_the_day(gatepost: &mut Gatepost) {
    gatepost.term();
    gatepost.set_clock("+0");
    gatepost.start();
}

/// Compares the reports that are posted with what they should say, and each with the RFC's schema.
#[track_caller]
pub(super) fn compare(world: &RunningWorld, expected: &[(&str, &[&str])]) {
    for (name, lines) in expected {
        let domain = format!("{name}.world");
        let posted = posted(world, &domain);
        assert_eq!(posted.fields["content-type"], "application/tlsrpt+gzip", "RFC 8460 section 5.4");
        let report = unpacked(&posted.body);
        schema::check(&report, REPORTER);
        assert_eq!(says(&report), *lines, "{report:#}");
    }
}

/// Waits for the report that was posted about `domain`.
#[track_caller]
fn posted(world: &RunningWorld, domain: &str) -> Posted {
    wait_for(&format!("the report about {domain}"), LONG, || {
        world.posts.to(&format!("/{domain}")).into_iter().next()
    })
}

/// The JSON of a packed report, unpacked by the system's gzip.
#[track_caller]
fn unpacked(packed: &[u8]) -> Value {
    let json = run(Command::new("gzip").arg("-dc"), packed).success().stdout;
    serde_json::from_slice(&json).unwrap()
}

/// What a report says, a line for each policy.
#[track_caller]
fn says(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for told in report["policies"].as_array().unwrap() {
        let (policy, summary) = (&told["policy"], &told["summary"]);
        let mut line = format!(
            "{} {} {}/{}",
            policy["policy-type"].as_str().unwrap(),
            policy["policy-domain"].as_str().unwrap(),
            summary["total-successful-session-count"],
            summary["total-failure-session-count"]
        );
        for failure in told["failure-details"].as_array().into_iter().flatten() {
            line += &format!(" {}", failure["result-type"].as_str().unwrap());
        }
        lines.push(line);
    }
    lines.sort();
    lines
}

/// Each domain is sent one message through the relay, each in another state of TLS; then the day ends.
#[test]
fn the_relay_tells_every_kind_by_mail_and_by_https() {
    in_private_network("relay::reports::the_relay_tells_every_kind_by_mail_and_by_https", || {
        let Cases { mut world, table } = Cases::reported(READER);
        let reporter = Reporter::new(&mut world);
        let mut world = world.start();
        let plan = handing(&world);
        let mut gatepost = reporter.gatepost(&world, plan.ports.plain, "");
        gatepost.start();
        let handing = plan.start();
        send(&handing, &table, "handing");
        for case in &table {
            let seen = judged(&handing, case, "handing", &world.arrivals);
            assert_eq!(seen.as_ref().map(|(verdict, _)| *verdict), Ok(case.verdict), "{case:?} {seen:?}");
        }
        assert_eq!(world.posts.all(), [], "the day is not over");
        world.posts.refuse_once("/good.world");
        end_the_day(&mut gatepost);
        compare(&world, &BY_RELAY);
        assert_eq!(kinds(), schema::RESULT_TYPES.map(str::to_owned).into(), "each is shown");
        let letters = handing.wait_mail("alice", 1);
        is_signed(&letters[0]);
        is_as_the_rfc_has_it(&letters[0], &posted(&world, "letters.world"));
        what_was_refused_is_sent_again(&mut gatepost, &world);
        assert_eq!(handing.mailbox("alice").len(), 1, "no report is sent twice");
        received::by_those_whom_it_concerns(&mut world, &gatepost, &letters[0]);
    });
}

/// All result types of the table above.
fn kinds() -> BTreeSet<String> {
    let lines = BY_RELAY.iter().flat_map(|(_, lines)| *lines);
    lines.flat_map(|line| line.split(' ').skip(3)).map(str::to_owned).collect()
}

/// "a sender SHOULD attempt redelivery for up to 24 hours" (RFC 8460 section 5.5), with the same octets.
fn what_was_refused_is_sent_again(gatepost: &mut Gatepost, world: &RunningWorld) {
    let before = world.posts.all().len();
    gatepost.term();
    gatepost.set_clock("+20m");
    gatepost.start();
    let tries = wait_for("the second attempt", LONG, || {
        Some(world.posts.to("/good.world")).filter(|tries| tries.len() == 2)
    });
    assert_eq!([tries[0].status, tries[1].status], [503, 201]);
    assert_eq!(tries[0].body, tries[1].body);
    assert_eq!(world.posts.all().len(), before + 1, "nothing else is sent again");
}

/// OpenDKIM's opinion, with the key that openssl made public. Its exit code is 0 only for a good signature.
fn is_signed(letter: &Mail) {
    let message = letter.as_sent(1);
    run(&mut Command::new("opendkim-testmsg"), &message).success();
    let text = String::from_utf8(message).unwrap();
    for (from, to) in [("Sessions as policy", "Sessions as police"), ("Submitter: gate", "Submitter: late")] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert_ne!(run(&mut Command::new("opendkim-testmsg"), changed.as_bytes()).code, 0);
    }
    let signature = letter.field("DKIM-Signature").unwrap();
    assert!(
        signature.contains("d=gate.world;") && !signature.contains(" l="),
        "RFC 8460 section 3: {signature}"
    );
}

/// RFC 8460 sections 5.1 and 5.3.
fn is_as_the_rfc_has_it(letter: &Mail, posted: &Posted) {
    let report = unpacked(&posted.body);
    let id = report["report-id"].as_str().unwrap();
    let field = |name: &str| letter.field(name).unwrap_or_else(|| panic!("{name} in {}", letter.header()));
    assert_eq!(field("From"), "<tls-reports@gate.world>");
    assert_eq!(field("To"), format!("<{READER}>"));
    assert_eq!(field("TLS-Report-Domain"), "letters.world");
    assert_eq!(field("TLS-Report-Submitter"), "gate.world");
    assert_eq!(field("TLS-Required"), "No", "RFC 8689 section 3: reports tell of broken TLS");
    let subject = format!("Report Domain: letters.world Submitter: gate.world Report-ID: <{id}>");
    assert_eq!(field("Subject"), subject);
    let kind = field("Content-Type");
    assert!(kind.starts_with("multipart/report; report-type=\"tlsrpt\"; boundary="), "{kind}");
    let message = mail_parser::MessageParser::default().parse(&letter.0).unwrap();
    let [words, packed] = message.parts[1..].iter().collect::<Vec<_>>()[..] else { panic!("two parts") };
    use mail_parser::MimeHeaders;
    let kind = |part: &mail_parser::MessagePart<'_>| {
        let kind = part.content_type().unwrap();
        format!("{}/{}", kind.c_type, kind.c_subtype.as_deref().unwrap())
    };
    assert_eq!([kind(words), kind(packed)], ["text/plain", "application/tlsrpt+gzip"]);
    assert_eq!(packed.contents(), posted.body, "one report, by both ways");
    let (start, end) = (unix(&report, "start-datetime"), unix(&report, "end-datetime"));
    let name = packed.attachment_name().unwrap();
    assert!(name.starts_with(&format!("gate.world!letters.world!{start}!{end}!")), "{name}");
    assert!(name.ends_with(".json.gz"), "{name}");
}

/// A time of the report in Unix seconds, by date(1).
fn unix(report: &Value, name: &str) -> String {
    let time = report["date-range"][name].as_str().unwrap();
    run(Command::new("date").args(["-u", "+%s", "-d", time]), b"").success().text().trim().to_owned()
}
