//! `gatepost relay query|test|map`: what is decided about roads, and what became of it. What is published and
//! reported about our own domains is in [`own`].

pub mod own;

use ::relay::delivery::{Courier, Probe};
use ::relay::map::{Entry, HostRoad, RoadMap, road_name, verdict_name};
use ::relay::pledge::{Authentication, authentication};
use ::relay::road::{Hop, Road, Route, RouteVerdict};
use ::relay::socketmap::Answer;
use ::relay::socketmap::policy::{Asking, for_postfix, for_sendmail};
use ::relay::tls::{Matched, Tls};
use net::Clock;
use policy::KeyAnswer;
use program::{Exit, output};
use serde_json::{Value, json};

use crate::commands::cli::Relay;
use crate::config::Config;
use crate::relay::room;

/// Runs one of the commands; `serve` is none of them.
///
/// # Errors
/// Configuration, output, or what the command is about: see each.
pub fn run(config: &Config, command: &Relay) -> Result<(), Exit> {
    match command {
        Relay::Serve => Ok(()),
        Relay::Query { domain, explain, json } => query(config, domain, *explain, *json),
        Relay::Test { domain, json } => test(config, domain, *json),
        Relay::Map { domain, json } => map(config, domain.as_deref(), *json),
        Relay::Publish { domain, no_check, json } => {
            own::publish(config, domain.as_deref(), *no_check, *json)
        }
        Relay::Reports { take: true, .. } => own::take_report(config),
        Relay::Reports { days, json, .. } => own::reports(config, *days, *json),
    }
}

/// Runs a future of a command.
///
/// # Errors
/// There is no runtime.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::unavailable("cannot start the runtime", error))?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(result)
}

/// The answer for enforced TLS, for `filter` and `explain`.
pub(crate) fn enforced_tls(config: &Config, domain: &str) -> KeyAnswer {
    let asked = room::needed(config).and_then(|relay| {
        wait(async {
            let engine = room::engine(relay, &Clock::system(), false)?;
            Ok(room::enforced_tls(&engine, domain).await)
        })?
    });
    asked.unwrap_or_else(|exit| KeyAnswer::CouldNotTell { why: exit.to_string() })
}

/// Shows a decision, made afresh. Exits 75 if none can be made now or no host may be used, 65 if the name is none.
fn query(config: &Config, domain: &str, explain: bool, as_json: bool) -> Result<(), Exit> {
    let clock = Clock::system();
    let relay = room::needed(config)?;
    let route = wait(async {
        let engine = room::engine(relay, &clock, false)?;
        Ok::<_, Exit>(engine.route_afresh(domain).await)
    })??;
    if as_json {
        output::json(&route_as_value(&route, clock.now()))?;
    } else {
        output::line(&route_in_words(&route, clock.now(), explain))?;
    }
    match &route.verdict {
        RouteVerdict::NullMx | RouteVerdict::NoSuchDomain => Ok(()),
        _ => somewhere(domain, &route, route.hosts.iter().any(|hop| !is_closed(&hop.road))),
    }
}

/// Whether mail could leave, as an exit code; `open`: by one of the hosts.
fn somewhere(domain: &str, route: &Route, open: bool) -> Result<(), Exit> {
    match &route.verdict {
        RouteVerdict::Hosts if open => Ok(()),
        RouteVerdict::Hosts => Err(Exit::later(format!("{domain}: mail would have to wait"))),
        RouteVerdict::Temporary { why } => Err(Exit::later(format!("{domain}: {why}"))),
        RouteVerdict::Malformed { why } => Err(Exit { code: 65, message: format!("{domain}: {why}") }),
        _ => Err(Exit::not_found(format!("{domain}: {}", verdict_in_words(route)))),
    }
}

fn is_closed(road: &Road) -> bool {
    matches!(road, Road::Unreachable { .. } | Road::StsMismatch { testing: false })
}

fn route_in_words(route: &Route, now: i64, explain: bool) -> String {
    let mut lines = vec![format!("{}: {}", route.next_hop, verdict_in_words(route))];
    for hop in &route.hosts {
        let addresses: Vec<String> = hop.addresses.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "  {:>5} {} [{}]: {}",
            hop.preference,
            hop.host,
            addresses.join(", "),
            road_in_words(hop)
        ));
    }
    if explain {
        lines.push("look-ups and conclusions:".to_owned());
        for step in &route.steps {
            let host = step.host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
            lines.push(format!("  {host}{}", step.text));
        }
    }
    lines.push(format!("postfix:  {}", answer_in_words(&for_postfix(route, asking(now, false)))));
    lines.push(format!("sendmail: {}", answer_in_words(&for_sendmail(route))));
    lines.push(match authentication(route) {
        Authentication::By(what) => format!("enforced-tls: yes, by {what}"),
        Authentication::No(why) => format!("enforced-tls: no ({})", why.join("; ")),
        Authentication::Unknown(why) => format!("enforced-tls: cannot tell ({why})"),
    });
    lines.join("\n")
}

fn asking(now: i64, tlsrpt: bool) -> Asking {
    Asking { now, tlsrpt, pledged: false }
}

fn verdict_in_words(route: &Route) -> String {
    let policy = match serde_json::to_value(route.kind) {
        Ok(Value::String(kind)) if kind != "none" => kind,
        // Where a look-up failed nobody can say that there is none.
        _ if route.hosts.iter().any(|hop| matches!(hop.road, Road::Unreachable { .. })) => {
            "no policy that could be found".to_owned()
        }
        _ => "no policy".to_owned(),
    };
    match &route.verdict {
        RouteVerdict::Hosts => policy,
        RouteVerdict::NullMx => "takes no mail (null MX)".to_owned(),
        RouteVerdict::NoSuchDomain => "no such domain, or it has no mail host".to_owned(),
        RouteVerdict::Temporary { why } => format!("cannot be decided now: {why}"),
        RouteVerdict::Malformed { why } => format!("is no next-hop: {why}"),
    }
}

/// What is asked of one host.
fn road_in_words(hop: &Hop) -> String {
    let mx = if hop.mx_secure { "" } else { ", but the MX answer is not secure" };
    match &hop.road {
        Road::Dane { base, records, .. } => {
            let kinds: Vec<String> = records
                .iter()
                .map(|record| format!("{} {} {}", record.usage, record.selector, record.matching))
                .collect();
            format!("DANE, TLSA {} at {base}{mx}", kinds.join(", "))
        }
        Road::DaneUnusable { .. } => "TLS is mandatory, no TLSA record is usable".to_owned(),
        Road::Encrypted => "TLS is mandatory (configuration)".to_owned(),
        Road::Opportunistic => "TLS if offered".to_owned(),
        Road::Cleartext => "in clear (configuration)".to_owned(),
        Road::Sts { name, testing: false } => format!("MTA-STS, certificate for {name}"),
        Road::Sts { testing: true, .. } => "TLS if offered (MTA-STS for testing)".to_owned(),
        Road::StsMismatch { testing: false } => "never used: not listed in the MTA-STS policy".to_owned(),
        Road::StsMismatch { testing: true } => {
            "TLS if offered (not listed in the MTA-STS policy for testing)".to_owned()
        }
        Road::Unreachable { why } => format!("not used now: {why}"),
    }
}

fn answer_in_words(answer: &Answer) -> String {
    match answer {
        Answer::Ok(text) => text.clone(),
        Answer::NotFound => "NOTFOUND (smtp_tls_security_level decides)".to_owned(),
        Answer::Temp(why) => format!("TEMP {why}"),
        Answer::Perm(why) => format!("PERM {why}"),
    }
}

fn route_as_value(route: &Route, now: i64) -> Value {
    let hosts = route.hosts.iter().map(|hop| {
        let (base, records) = match &hop.road {
            Road::Dane { base, records, .. } => (Some(base), records.as_slice()),
            Road::DaneUnusable { base } => (Some(base), &[][..]),
            _ => (None, &[][..]),
        };
        let records = records.iter().map(|record| {
            json!({ "usage": record.usage, "selector": record.selector, "matching": record.matching,
                    "data": crate::token::hex(&record.data) })
        });
        json!({
            "host": hop.host,
            "preference": hop.preference,
            "addresses": hop.addresses,
            "road": road_name(&hop.road),
            "mx_secure": hop.mx_secure,
            "tlsa_base": base,
            "tlsa": records.collect::<Vec<_>>(),
            "in_words": road_in_words(hop),
        })
    });
    let enforced = match authentication(route) {
        Authentication::By(what) => json!({ "answer": "yes", "by": what }),
        Authentication::No(why) => json!({ "answer": "no", "why": why }),
        Authentication::Unknown(why) => json!({ "answer": "cannot tell", "why": [why] }),
    };
    let sts = route
        .sts
        .as_ref()
        .map(|sts| json!({ "mode": sts.mode, "id": sts.id, "max_age": sts.max_age, "mx": sts.mx }));
    let troubles = route
        .troubles
        .iter()
        .map(|trouble| json!({ "kind": trouble.kind, "host": trouble.host, "why": trouble.why }));
    let why = match &route.verdict {
        RouteVerdict::Temporary { why } | RouteVerdict::Malformed { why } => Some(why),
        _ => None,
    };
    json!({
        "next_hop": route.next_hop,
        "domain": route.domain,
        "port": route.port,
        "policy": route.kind,
        "demand": route.demand,
        "verdict": verdict_name(&route.verdict),
        "why": why,
        "hosts": hosts.collect::<Vec<_>>(),
        "mta_sts": sts,
        "enforced_tls": enforced,
        "answers": {
            "postfix": answer_in_words(&for_postfix(route, asking(now, false))),
            "postfix_with_tlsrpt": answer_in_words(&for_postfix(route, asking(now, true))),
            "sendmail": answer_in_words(&for_sendmail(route)),
        },
        "troubles": troubles.collect::<Vec<_>>(),
        "steps": route.steps,
        "valid_for_seconds": route.expires - now,
    })
}

/// Connects to each host. Exits 75 if mail would have to wait, 66 if there is no host.
fn test(config: &Config, domain: &str, as_json: bool) -> Result<(), Exit> {
    let clock = Clock::system();
    let relay = room::needed(config)?;
    let courier = Courier::new(relay.courier.clone(), Tls::with_system_roots(clock.clone()));
    let (route, probes) = wait(async {
        let engine = room::engine(relay, &clock, false)?;
        let route = engine.route_afresh(domain).await;
        let probes = courier.probe(&route).await;
        Ok::<_, Exit>((route, probes))
    })??;
    if as_json {
        let probes: Vec<Value> = probes.iter().map(probe_as_value).collect();
        output::json(&json!({ "route": route_as_value(&route, clock.now()), "hosts": probes }))?;
    } else {
        output::line(&format!("{}: {}", route.next_hop, verdict_in_words(&route)))?;
        for probe in &probes {
            output::line(&probe_in_words(probe))?;
        }
    }
    somewhere(domain, &route, probes.iter().any(|probe| probe.reached.is_ok()))
}

fn probe_in_words(probe: &Probe) -> String {
    let place = match probe.address {
        Some(address) => format!("{}[{address}]", probe.host),
        None => probe.host.clone(),
    };
    let mut text = match &probe.reached {
        Err(why) => return format!("  {place}: no: {why}"),
        Ok(via) => {
            let channel = &via.channel;
            let part = |name: &str, value: &Option<String>| {
                value.as_ref().map(|value| format!(", {name} {value}")).unwrap_or_default()
            };
            let by = match &channel.matched {
                Matched::Tlsa { usage, selector, matching } => {
                    format!("yes, DANE by TLSA {usage} {selector} {matching}")
                }
                Matched::WebPki { name } => format!("yes, certificate of the web PKI for {name}"),
                Matched::Unauthenticated => "yes, TLS with whoever answers".to_owned(),
                Matched::Cleartext => "yes, in clear".to_owned(),
            };
            let version = channel.tls_version.as_ref().map(|v| format!(", {v}")).unwrap_or_default();
            format!(
                "  {place}: {by}{version}{}{}{}",
                part("cipher", &channel.cipher),
                part("key exchange", &channel.key_exchange),
                part("certificate", &channel.certificate_sha256),
            )
        }
    };
    if let Some(why) = &probe.tolerated {
        text.push_str(&format!("\n      let pass, because the policy is not enforced: {why}"));
    }
    text
}

fn probe_as_value(probe: &Probe) -> Value {
    let (channel, why) = match &probe.reached {
        Ok(via) => (Some(&via.channel), None),
        Err(why) => (None, Some(why)),
    };
    json!({
        "host": probe.host,
        "address": probe.address,
        "reached": channel.is_some(),
        "channel": channel,
        "why": why,
        "tolerated": probe.tolerated,
    })
}

/// Shows the relay map. Exits 66 if there is none, or nothing about the domain.
fn map(config: &Config, domain: Option<&str>, as_json: bool) -> Result<(), Exit> {
    let path = config.gateway.state.join(room::DATABASE);
    if !path.exists() {
        return Err(Exit::not_found(format!("no relay map in {} yet", path.display())));
    }
    let entries = RoadMap::read(&path)
        .map_err(|error| Exit::unavailable(format!("cannot read {}", path.display()), error))?;
    let wanted = |entry: &Entry| domain.is_none_or(|domain| concerns(&entry.next_hop, domain));
    let entries: Vec<Entry> = entries.into_iter().filter(wanted).collect();
    if let (true, Some(domain)) = (entries.is_empty(), domain) {
        return Err(Exit::not_found(format!("nothing is known about {domain}")));
    }
    if as_json {
        return output::json(&entries);
    }
    for entry in &entries {
        output::line(&entry_in_words(entry))?;
    }
    Ok(())
}

/// Whether a next-hop is a domain or below it.
fn concerns(next_hop: &str, domain: &str) -> bool {
    let bare = next_hop.trim_start_matches('[').split([']', ':']).next().unwrap_or_default();
    let domain = net::dns::a_labels(domain).unwrap_or_else(|_| domain.to_lowercase());
    bare == domain || bare.strip_suffix(&domain).is_some_and(|above| above.ends_with('.'))
}

fn entry_in_words(entry: &Entry) -> String {
    let hosts: Vec<String> =
        entry.hosts.iter().map(|HostRoad { host, road, .. }| format!("{host} {road}")).collect();
    let mut text = match entry.verdict.as_str() {
        "hosts" => format!("{}  {}  ({})", entry.next_hop, entry.kind, hosts.join(", ")),
        verdict => format!("{}  {verdict}", entry.next_hop),
    };
    text.push_str(&format!("\n  decided    {}", time(entry.decided)));
    if let Some(delivered) = entry.delivered {
        let version = entry.channel.as_ref().and_then(|channel| channel.tls_version.clone());
        text.push_str(&format!(
            "\n  delivered  {} to {} {}",
            time(delivered),
            entry.host.as_deref().unwrap_or_default(),
            version.as_deref().unwrap_or("in clear")
        ));
    }
    if let (Some(failed), Some(failure)) = (entry.failed, &entry.failure) {
        text.push_str(&format!("\n  failed     {} {failure}", time(failed)));
    }
    text
}

fn time(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
