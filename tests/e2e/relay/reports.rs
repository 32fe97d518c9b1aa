//! TLS reports (RFC 8460), end to end: what is told, how it goes, what comes of those that others send.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tests::Gatepost;
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
/// A machine that is busy with something else.
const LONG: std::time::Duration = std::time::Duration::from_secs(90);

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
        let zone = world.zone(REPORTER);
        zone.record(&format!(
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

/// Ends the daemon's day: it stops and comes back today. Two days before is over for more than the four hours
/// within which all reports are due.
pub(super) fn end_the_day(gatepost: &mut Gatepost) {
    gatepost.term();
    gatepost.set_clock("+0");
    gatepost.start();
}

/// Waits for the report that was posted about `domain`.
#[track_caller]
pub(super) fn posted(world: &RunningWorld, domain: &str) -> Posted {
    wait_for(&format!("the report about {domain}"), LONG, || {
        world.posts.to(&format!("/{domain}")).into_iter().next()
    })
}

/// The JSON of a packed report, unpacked by the system's gzip.
#[track_caller]
pub(super) fn unpacked(packed: &[u8]) -> Value {
    let json = run(Command::new("gzip").arg("-dc"), packed).success().stdout;
    serde_json::from_slice(&json).unwrap()
}

/// What a report says, a line for each policy: kind, policy domain, sessions that went well and that failed, and
/// the failures.
#[track_caller]
pub(super) fn says(report: &Value) -> Vec<String> {
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

#[test]
fn the_relay_tells_every_kind() {
    in_private_network("relay::reports::the_relay_tells_every_kind", || {
        let Cases { mut world, table } = Cases::reported();
        let reporter = Reporter::new(&mut world);
        let world = world.start();
        let plan = handing(&world);
        let mut gatepost = reporter.gatepost(&world, plan.ports.plain, "");
        gatepost.start();
        let handing = plan.start();
        send(&handing, &table, "handing");
        for case in &table {
            let seen = judged(&handing, case, "handing", &world.arrivals);
            assert_eq!(seen.as_ref().map(|(verdict, _)| *verdict), Ok(case.verdict), "{case:?} {seen:?}");
        }
        end_the_day(&mut gatepost);
        for case in &table {
            let report = unpacked(&posted(&world, &case.domain).body);
            println!("{} {:?}\n{report:#}", case.domain, says(&report));
        }
    });
}
