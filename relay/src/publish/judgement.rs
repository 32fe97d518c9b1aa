//! Compares what is published with what should be.

use super::finding::Finding;
use super::finding::Verdict;
use super::look::Published;
use super::own::Own;
use super::record::Data;
use super::record::Record;
use super::tlsa;
use crate::dns::Lookup;
use crate::dns::Resolved;
use crate::sts;
use crate::sts::StsPolicy;
use crate::tlsrpt;

/// What is to be said, in the order of hosts, MTA-STS, TLS reports. Looks nothing up; `now` is in Unix seconds.
pub fn judge(own: &Own, published: &Published, now: i64) -> Vec<Finding> {
    let mut findings = mx(own, published);
    for (host, seen) in own.hosts.iter().zip(&published.hosts) {
        findings.extend(tlsa::judge(own, host, seen, now));
    }
    findings.extend(own.sts_record().map(|record| sts_record(&record, &published.sts, own)));
    if own.sts.is_some() {
        findings.push(policy(own, published));
    } else if published.sts.lookup.records().iter().any(|text| text.starts_with("v=STSv1")) {
        let name = format!("_mta-sts.{}", own.domain);
        findings.push(Finding::new(Verdict::Warning, &name, "published, but no policy is configured here"));
    }
    findings.extend(own.tlsrpt_record().map(|record| tlsrpt_record(&record, &published.tlsrpt, own)));
    let dkim = own.dkim_record().zip(published.dkim.as_ref());
    findings.extend(dkim.map(|(record, seen)| dkim_record(&record, seen)));
    findings
}

/// Every MX host must be one of ours and be listed by our policy, and the other way round.
fn mx(own: &Own, published: &Published) -> Vec<Finding> {
    let Lookup::Found { records, .. } = &published.mx.lookup else {
        let (verdict, remark) = match published.mx.lookup.trouble() {
            Some(why) => (Verdict::Unclear, format!("the MX records cannot be looked up: {why}")),
            None => (Verdict::Missing, "the domain has no MX records".to_owned()),
        };
        return vec![Finding::new(verdict, &own.domain, remark)];
    };
    let mut findings = Vec::new();
    let policy = own.policy().and_then(|text| StsPolicy::parse(&text, "0").ok());
    for mx in records {
        if !own.hosts.iter().any(|host| host.name == mx.host) {
            let remark = format!("the MX {} is not configured here: nothing can be said about it", mx.host);
            findings.push(Finding::new(Verdict::Warning, &own.domain, remark));
        }
        if policy.as_ref().is_some_and(|policy| !policy.lists(&mx.host)) {
            let remark =
                format!("the MX {} is not listed in the MTA-STS policy: senders must not use it", mx.host);
            findings.push(Finding::new(Verdict::Wrong, &own.domain, remark));
        }
    }
    for host in own.hosts.iter().filter(|host| !records.iter().any(|mx| mx.host == host.name)) {
        let remark = format!("{} is configured here and is no MX of the domain", host.name);
        findings.push(Finding::new(Verdict::Warning, &own.domain, remark));
    }
    findings
}

/// The texts, or what to say if there are none.
fn texts<'a>(record: &Record, seen: &'a Resolved<String>) -> Result<&'a [String], Finding> {
    match &seen.lookup {
        Lookup::Found { records, .. } => Ok(records),
        Lookup::None { .. } => Ok(&[]),
        Lookup::Bogus { why } => {
            Err(Finding::new(Verdict::Wrong, &record.name, format!("the signatures do not hold: {why}")))
        }
        Lookup::Failed { why } => {
            Err(Finding::new(Verdict::Unclear, &record.name, format!("no answer: {why}")))
        }
    }
}

fn sts_record(record: &Record, seen: &Resolved<String>, own: &Own) -> Finding {
    let texts = match texts(record, seen) {
        Ok(texts) => texts,
        Err(finding) => return finding,
    };
    match sts::record::discover(texts.iter().map(String::as_str)) {
        Ok(None) => Finding::about(Verdict::Missing, record, "not published: nobody looks for the policy"),
        Ok(Some(id)) if Some(id) == own.policy_id().as_deref() => {
            Finding::about(Verdict::Ok, record, "announces the policy")
        }
        Ok(Some(id)) => {
            let remark = format!("announces another policy, of id {id}: senders keep what they have");
            Finding::about(Verdict::Wrong, record, remark)
        }
        Err(error) => Finding::about(Verdict::Wrong, record, format!("senders ignore it: {error}")),
    }
}

fn policy(own: &Own, published: &Published) -> Finding {
    let url = format!("https://mta-sts.{}/.well-known/mta-sts.txt", own.domain);
    if let Some(trouble) = published.policy.troubles.first() {
        return Finding::new(Verdict::Wrong, &url, format!("senders cannot use it: {}", trouble.why));
    }
    let Some(found) = &published.policy.policy else {
        return Finding::new(Verdict::Unclear, &url, "not fetched: without a TXT record nobody does");
    };
    let wanted = match own.policy().map(|text| StsPolicy::parse(&text, &found.id)) {
        Some(Ok(wanted)) => wanted,
        Some(Err(error)) => {
            return Finding::new(Verdict::Wrong, &url, format!("the configured policy is none: {error}"));
        }
        None => return Finding::new(Verdict::Unclear, &url, "no policy is configured"),
    };
    let terms = |policy: &StsPolicy| {
        let mut mx = policy.mx.clone();
        mx.sort();
        (policy.mode, policy.max_age, mx)
    };
    let same = terms(&wanted) == terms(found);
    match same {
        true => Finding::new(Verdict::Ok, &url, "is the configured policy"),
        false => Finding::new(Verdict::Wrong, &url, format!("is another policy: {}", found.lines.join("; "))),
    }
}

fn tlsrpt_record(record: &Record, seen: &Resolved<String>, own: &Own) -> Finding {
    let texts = match texts(record, seen) {
        Ok(texts) => texts,
        Err(finding) => return finding,
    };
    match tlsrpt::record::discover(texts.iter().map(String::as_str)) {
        Ok(None) => Finding::about(Verdict::Missing, record, "not published: nobody sends us reports"),
        Ok(Some(mut found)) => {
            let mut wanted = own.reports.clone();
            wanted.sort();
            found.sort();
            let uris: Vec<String> = found.iter().map(tlsrpt::Rua::to_string).collect();
            match found == wanted {
                true => Finding::about(Verdict::Ok, record, "asks for reports"),
                false => {
                    Finding::about(Verdict::Wrong, record, format!("asks for reports to {}", uris.join(", ")))
                }
            }
        }
        Err(error) => Finding::about(Verdict::Wrong, record, format!("senders ignore it: {error}")),
    }
}

/// The key is what counts; other tags may differ.
fn dkim_record(record: &Record, seen: &Resolved<String>) -> Finding {
    let texts = match texts(record, seen) {
        Ok(texts) => texts,
        Err(finding) => return finding,
    };
    let Data::Txt(wanted) = &record.data else {
        return Finding::about(Verdict::Unclear, record, "is no text");
    };
    match texts {
        [] => Finding::about(Verdict::Missing, record, "not published: receivers ignore our reports"),
        [one] if dkim_key(one).is_some() && dkim_key(one) == dkim_key(wanted) => {
            Finding::about(Verdict::Ok, record, "is the key that signs our reports")
        }
        [_] => Finding::about(Verdict::Wrong, record, "is another key: receivers ignore our reports"),
        _ => Finding::about(Verdict::Wrong, record, "there are several records: which counts is undefined"),
    }
}

/// `p=` without white space (RFC 6376 section 3.6.1).
fn dkim_key(text: &str) -> Option<String> {
    let values = text.split(';').filter_map(|tag| tag.split_once('='));
    let key = values.into_iter().find(|(name, _)| name.trim() == "p").map(|(_, value)| value);
    key.map(|key| key.split_ascii_whitespace().collect())
}
