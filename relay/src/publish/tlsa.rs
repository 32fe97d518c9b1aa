//! Judges the TLSA records of one host, and what a roll-over would do.

use super::certificate::Key;
use super::finding::Finding;
use super::finding::Verdict;
use super::look::PublishedHost;
use super::own::Own;
use super::own::OwnHost;
use super::record::Data;
use super::record::Record;
use crate::dane;
use crate::dns::Lookup;
use crate::dns::Security;
use crate::dns::Tlsa;

/// A certificate that ends within so many seconds should have a successor: 21 days.
const SOON: i64 = 21 * 86_400;

/// What is to be said of one host.
pub(super) fn judge(own: &Own, host: &OwnHost, published: &PublishedHost, now: i64) -> Vec<Finding> {
    let name = format!("_{}._tcp.{}", host.port, host.name);
    let mut findings = match &published.tlsa.lookup {
        Lookup::Bogus { why } => {
            let remark = format!("the signatures do not hold, senders with DANE defer all mail: {why}");
            vec![Finding::new(Verdict::Wrong, &name, remark)]
        }
        Lookup::Failed { why } => vec![Finding::new(Verdict::Unclear, &name, format!("no answer: {why}"))],
        Lookup::None { security: Security::Insecure, .. } => vec![Finding::new(
            Verdict::Warning,
            &name,
            "the zone is not signed: senders look for no TLSA records, and there are none",
        )],
        Lookup::None { .. } => missing(own, host, &[]),
        Lookup::Found { records, security } => found(own, host, records, *security),
    };
    findings.extend(roll_over(own, host, published, now));
    findings
}

fn found(own: &Own, host: &OwnHost, records: &[Tlsa], security: Security) -> Vec<Finding> {
    let name = format!("_{}._tcp.{}", host.port, host.name);
    let mut findings = Vec::new();
    if !security.is_secure() {
        let remark = "the zone is not signed: TLSA records have no effect";
        findings.push(Finding::new(Verdict::Warning, &name, remark));
    }
    for why in records.iter().filter_map(dane::unusable) {
        findings.push(Finding::new(Verdict::Warning, &name, format!("a record does not count: {why}")));
    }
    findings.extend(current(own, host, records));
    findings.extend(records.iter().filter(|record| is_stale(host, record)).map(|record| {
        let line = Record { name: name.clone(), ttl: own.ttl, data: Data::Tlsa(record.clone()) };
        let remark =
            format!("neither for the certificate in use nor for the next; after a roll-over, remove: {line}");
        Finding::new(Verdict::Warning, &name, remark)
    }));
    findings.extend(missing(own, host, records));
    findings
}

/// Whether senders with DANE accept the certificate in use.
fn current(own: &Own, host: &OwnHost, records: &[Tlsa]) -> Option<Finding> {
    let effective = dane::effective(records);
    let record = own.tlsa_record(host, host.current.key);
    if effective.iter().any(|record| record.usage == 3 && dane::matches(record, &host.current.der)) {
        return None;
    }
    let (verdict, remark) = if effective.is_empty() {
        (Verdict::Wrong, "no record counts: senders with DANE use TLS without authenticating us")
    } else if effective.iter().any(|record| record.usage == 2) {
        (
            Verdict::Unclear,
            "only a trust anchor (usage 2) may vouch for the certificate in use; try a handshake",
        )
    } else {
        (Verdict::Wrong, "no record matches the certificate in use: senders with DANE defer all mail")
    };
    Some(Finding::about(verdict, &record, remark))
}

fn is_stale(host: &OwnHost, record: &Tlsa) -> bool {
    let next = host.next.is_some_and(|next| *record == next.tlsa());
    let counts = record.usage == 3 && dane::unusable(record).is_none();
    counts && !next && !dane::matches(record, &host.current.der)
}

/// Each record that should be there, and whether it is.
fn missing(own: &Own, host: &OwnHost, records: &[Tlsa]) -> Vec<Finding> {
    let next = host.next.filter(|next| *next != host.current.key);
    let wanted = [(Some(host.current.key), "the certificate in use"), (next, "the next certificate")];
    let mut findings = Vec::new();
    for (key, whose) in wanted {
        let Some(key) = key else { continue };
        let (verdict, remark) = match records.contains(&key.tlsa()) {
            true => (Verdict::Ok, format!("3 1 1 for {whose} is published")),
            false => (Verdict::Missing, format!("3 1 1 for {whose} is not published")),
        };
        findings.push(Finding::about(verdict, &own.tlsa_record(host, key), remark));
    }
    findings
}

/// Whether the next certificate may come into use, and whether there must be one.
fn roll_over(own: &Own, host: &OwnHost, published: &PublishedHost, now: i64) -> Vec<Finding> {
    let name = &host.name;
    let mut findings = Vec::new();
    let left = host.current.not_after.saturating_sub(now);
    let ends = crate::tlsrpt::Day::of(host.current.not_after);
    match (left, host.next) {
        (..0, _) => findings.push(Finding::new(
            Verdict::Wrong,
            name,
            format!("the certificate in use expired on {ends}: senders with MTA-STS defer all mail"),
        )),
        (0..SOON, None) => findings.push(Finding::new(
            Verdict::Warning,
            name,
            format!("the certificate in use ends on {ends} and there is no next one whose record could be published"),
        )),
        (0..SOON, Some(_)) => {
            findings.push(Finding::new(Verdict::Warning, name, format!("the certificate in use ends on {ends}")));
        }
        _ => {}
    }
    if now < host.current.not_before {
        findings.push(Finding::new(Verdict::Wrong, name, "the certificate in use is not valid yet"));
    }
    if own.sts.is_some() && !host.current.covers(name) {
        let remark = "the certificate in use is not for this name: senders with MTA-STS defer all mail";
        findings.push(Finding::new(Verdict::Wrong, name, remark));
    }
    findings.extend(host.next.map(|next| readiness(own, host, published, next, now)));
    findings
}

/// Whether the next key may come into use.
fn readiness(own: &Own, host: &OwnHost, published: &PublishedHost, next: Key, now: i64) -> Finding {
    let name = &host.name;
    if next == host.current.key {
        return Finding::new(
            Verdict::Ok,
            name,
            "the next certificate has the same key: a roll-over changes nothing",
        );
    }
    // The TTL of the answer may be what is left of it in a cache.
    let wait = 2 * i64::from(own.ttl.max(published.tlsa.ttl));
    match published.since.get(&next) {
        None => Finding::new(
            Verdict::Warning,
            name,
            "the next certificate must not be used yet: its record is not published",
        ),
        Some(since) if now.saturating_sub(*since) < wait => {
            let minutes = (wait - now.saturating_sub(*since) + 59) / 60;
            let remark = format!(
                "the next certificate must not be used for another {minutes} minutes: caches may not know it"
            );
            Finding::new(Verdict::Warning, name, remark)
        }
        Some(_) => Finding::new(
            Verdict::Ok,
            name,
            "the next certificate can be used: its record is known everywhere",
        ),
    }
}
