//! `gatepost relay publish|reports`: what our own domains publish about their roads, and what others tell of them.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use ::relay::publish::{
    Certificate, Finding, Key, Own, OwnHost, OwnSts, Published, Sightings, Verdict, judge, look,
};
use ::relay::sts::StsCache;
use ::relay::tlsrpt::{Day, Ledger, Report, Summary, intake, signers};
use mail::Message;
use net::Clock;
use net::dns::a_labels;
use program::{Exit, output};
use serde_json::{Value, json};

use crate::commands::relay::wait;
use crate::config::Config;
use crate::relay::config::{OwnConfig, RelayConfig};
use crate::relay::room;

/// Prints what our own domains should publish, and whether they do. Exits 65 if something is missing or wrong, 75 if
/// it cannot be told.
///
/// # Errors
/// See above; a certificate that cannot be read; output.
pub fn publish(config: &Config, domain: Option<&str>, no_check: bool, as_json: bool) -> Result<(), Exit> {
    let relay = room::needed(config)?;
    let domains: Vec<&OwnConfig> = relay
        .own
        .iter()
        .filter(|own| domain.is_none_or(|domain| own.domain.eq_ignore_ascii_case(domain)))
        .collect();
    if domains.is_empty() {
        let text = "no domain to publish for: add [relay.own.\"example.org\"] with `hosts`";
        return Err(Exit::config(text));
    }
    let mut worst = Verdict::Ok;
    let mut values = Vec::new();
    for settings in domains {
        let own = own(settings, relay)?;
        let findings = if no_check { Vec::new() } else { check(config, relay, &own)? };
        worst = findings.iter().map(|finding| finding.verdict).fold(worst, Ord::max);
        if as_json {
            values.push(as_value(&own, &findings));
        } else {
            in_words(&own, &findings)?;
        }
    }
    if as_json {
        output::json(&values)?;
    }
    match worst {
        Verdict::Ok | Verdict::Warning => Ok(()),
        Verdict::Unclear => Err(Exit::later("not everything could be checked")),
        Verdict::Missing | Verdict::Wrong => {
            Err(Exit { code: 65, message: "something is missing or wrong".to_owned() })
        }
    }
}

fn own(settings: &OwnConfig, relay: &RelayConfig) -> Result<Own, Exit> {
    let mut hosts = Vec::new();
    for host in &settings.hosts {
        let current = Certificate::from_pem(&read(&host.certificate)?)
            .map_err(|error| bad(&host.certificate, error))?;
        let next = match &host.next {
            Some(path) => Some(Key::from_pem(&read(path)?).map_err(|error| bad(path, error))?),
            None => None,
        };
        hosts.push(OwnHost { name: host.name.clone(), port: 25, current, next });
    }
    let signer = room::signer(&relay.reports)?;
    let signs_for_it = |signer: &::relay::tlsrpt::Signer| signer.domain() == settings.domain;
    Ok(Own {
        domain: settings.domain.clone(),
        hosts,
        sts: settings.mta_sts.map(|mode| OwnSts { mode, max_age: settings.max_age, mx: settings.mx.clone() }),
        reports: settings.tls_reports.clone(),
        dkim: signer.filter(signs_for_it).map(|signer| (signer.record_name(), signer.record_text())),
        ttl: settings.ttl,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Exit> {
    fs::read(path).map_err(|error| Exit::input(format!("cannot read {}", path.display()), error))
}

fn bad(path: &Path, error: impl std::error::Error) -> Exit {
    Exit::data(format!("{} is no certificate", path.display()), error)
}

fn check(config: &Config, relay: &RelayConfig, own: &Own) -> Result<Vec<Finding>, Exit> {
    crate::rooms::prepare_state(&config.gateway)?;
    let clock = Clock::system();
    let database = config.gateway.state.join(room::DATABASE);
    let mut sightings = Sightings::open(&database)
        .map_err(|error| Exit::unavailable(format!("cannot use {}", database.display()), error))?;
    // In memory, so that the policy host is really asked.
    let policies = ::relay::sts::StsConfig { directory: None, ..relay.sts.clone() };
    let published: Published = wait(async {
        let dns = room::dns(relay)?;
        let policies = StsCache::open(policies, dns.clone(), clock.clone())
            .map_err(|error| Exit::unavailable("cannot fetch MTA-STS policies", error))?;
        look(own, &dns, &policies, Some(&mut sightings), clock.now())
            .await
            .map_err(|error| Exit::unavailable(format!("cannot use {}", database.display()), error))
    })??;
    Ok(judge(own, &published, clock.now()))
}

fn in_words(own: &Own, findings: &[Finding]) -> Result<(), Exit> {
    output::line(&format!("; {} publishes:", own.domain))?;
    for record in own.records() {
        output::line(&record.to_string())?;
    }
    if let Some(policy) = own.policy() {
        output::line(&format!("; https://mta-sts.{}/.well-known/mta-sts.txt:", own.domain))?;
        output::line(policy.replace("\r\n", "\n").trim_end())?;
    }
    if !findings.is_empty() {
        output::line("; checked:")?;
    }
    findings.iter().try_for_each(|finding| output::line(&finding.to_string()))
}

fn as_value(own: &Own, findings: &[Finding]) -> Value {
    let findings = findings.iter().map(|finding| {
        json!({
            "verdict": finding.verdict.to_string().to_lowercase(),
            "subject": finding.subject,
            "remark": finding.remark,
            "publish": finding.publish.as_ref().map(ToString::to_string),
        })
    });
    json!({
        "domain": own.domain,
        "records": own.records().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policy": own.policy(),
        "checked": findings.collect::<Vec<_>>(),
    })
}

/// Shows what others report.
///
/// # Errors
/// The table cannot be read; output.
pub fn reports(config: &Config, days: u16, as_json: bool) -> Result<(), Exit> {
    let since = Day::of(Clock::system().now()).before(i64::from(days));
    let summary = ledger(config)?
        .summary(since)
        .map_err(|error| Exit::unavailable("cannot read the TLS reports that were received", error))?;
    if as_json {
        return output::json(&summary_as_value(&summary));
    }
    output::line(summary.to_string().trim_end())
}

fn summary_as_value(summary: &Summary) -> Value {
    let trends = summary.trends.iter().map(|trend| {
        let failures = trend.failures.iter().map(|cause| {
            json!({ "result": cause.result, "mx": cause.mx, "count": cause.count,
                    "submitters": cause.submitters, "reason": cause.reason })
        });
        json!({
            "policy_domain": trend.policy_domain,
            "policy_type": trend.kind,
            "succeeded": trend.succeeded,
            "failed": trend.failed,
            "failures": failures.collect::<Vec<_>>(),
        })
    });
    json!({
        "since": jiff::Timestamp::from_second(summary.since.start()).map(|time| time.to_string()).ok(),
        "reports": summary.reports,
        "submitters": summary.submitters,
        "domains": trends.collect::<Vec<_>>(),
    })
}

/// Takes a report from standard input. Exits 65 if it is none, if nobody vouches for the message it came in, or if it
/// is about nobody of us, and 75 if that cannot be told now.
///
/// # Errors
/// See above; the table cannot be written.
pub fn take_report(config: &Config) -> Result<(), Exit> {
    let mut bytes = Vec::new();
    let most = u64::try_from(intake::REPORT_MAX).unwrap_or(u64::MAX).saturating_mul(2);
    io::stdin()
        .lock()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| Exit::input("cannot read the report", error))?;
    let report = report(config, &bytes)?;
    about_us(config, &bytes, &report)?;
    let kept = ledger(config)?
        .receive(&report, Clock::system().now())
        .map_err(|error| Exit::unavailable("cannot keep the TLS report", error))?;
    output::line(match kept {
        ::relay::tlsrpt::Kept::New => "taken",
        ::relay::tlsrpt::Kept::Known => "known already",
    })
}

/// A report as such, packed or not, rather than a message with one.
fn is_file(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{") || bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\xef\xbb\xbf")
}

/// A file is taken as it is; a message only if the reporting domain signed it (RFC 8460 section 3).
fn report(config: &Config, bytes: &[u8]) -> Result<Report, Exit> {
    if is_file(bytes) {
        return intake::from_bytes(bytes).map_err(|error| Exit::data("this is no TLS report", error));
    }
    let report = intake::from_message(&Message::parse(bytes))
        .map_err(|error| Exit::data("no TLS report was taken", error))?;
    let relay = room::needed(config)?;
    let signers = wait(async {
        let dns = room::dns(relay)?;
        let signers = signers(bytes, &dns).await;
        signers.map_err(|error| Exit::later(format!("cannot tell who signed the report: {error}")))
    })??;
    if intake::vouched(&report, &signers) {
        return Ok(report);
    }
    let message =
        "the message has no valid DKIM signature of the reporting domain: the report is ignored".to_owned();
    Err(Exit { code: 65, message })
}

/// Anybody can name our address in the record of any domain, so reports about others are not kept.
///
/// The policy domain of DANE is that of the mail host (RFC 8460 section 1.1), which may be somebody else's; whom the
/// report is for, the message says.
fn about_us(config: &Config, bytes: &[u8], report: &Report) -> Result<(), Exit> {
    let mut named: Vec<String> =
        report.policies.iter().map(|told| told.policy.policy_domain.clone()).collect();
    if !is_file(bytes) {
        let message = Message::parse(bytes);
        let domain = message.header().find("TLS-Report-Domain").map(|(_, field)| field.text());
        named.extend(domain.map(|domain| domain.trim().to_owned()));
    }
    if named.iter().any(|name| is_ours(config, name)) {
        return Ok(());
    }
    named.sort();
    named.dedup();
    named.truncate(3);
    let named: String = named.join(", ").chars().filter(|c| !c.is_control()).take(200).collect();
    let message = format!(
        "the report is about {}, none of our domains (`domains`, `local_domains`, [relay.own]): it is ignored",
        if named.is_empty() { "nothing" } else { &named }
    );
    Err(Exit { code: 65, message })
}

/// Whether a name is one of our domains or mail hosts, or below one.
fn is_ours(config: &Config, name: &str) -> bool {
    let Ok(name) = a_labels(name) else { return false };
    let Some(relay) = &config.relay else { return false };
    let below =
        |ours: &str| name.strip_suffix(ours).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    relay.is_local(&name)
        || config.gateway.own_domains().any(below)
        || relay.own.iter().any(|own| below(&own.domain) || own.hosts.iter().any(|host| host.name == name))
}

fn ledger(config: &Config) -> Result<Ledger, Exit> {
    crate::rooms::prepare_state(&config.gateway)?;
    let database = config.gateway.state.join(room::DATABASE);
    Ledger::open(&database)
        .map_err(|error| Exit::unavailable(format!("cannot use {}", database.display()), error))
}
