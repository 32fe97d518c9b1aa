//! The record of a relayed message: over which road it went, and what was proven on it.

use ::relay::delivery::{Outcome, Via};
use ::relay::lmtp::Relayed;
use ::relay::tls::{Channel, Matched};
use notary::{Detail, Entry};
use serde_json::{Map, Value, json};

use crate::relay::metrics::{result_of, road_named, road_of};
use crate::transaction::new_id;

/// Name of the event: a remote host, or we in its place, had the last word about a message.
pub const RELAYED: &str = "relayed";

/// The entry for one message to one domain.
///
/// # Errors
/// The private part cannot be written as JSON; a mistake of ours.
pub fn relayed(relayed: &Relayed) -> Result<Entry, serde_json::Error> {
    let ident = relayed.ident.clone();
    Ok(Entry {
        txid: new_id(),
        event: RELAYED.to_owned(),
        public: public(relayed),
        committed: committed(relayed),
        private: Detail::of(&private(relayed))?,
        lookup: ident.map(|id| ("queue-id".to_owned(), id)).into_iter().collect(),
    })
}

/// Roads and outcomes, without names: for each different one, how many recipients had it.
fn public(relayed: &Relayed) -> Map<String, Value> {
    let mut ways: Vec<(Value, u64)> = Vec::new();
    for outcome in &relayed.report.outcomes {
        let way = json!({
            "road": road_of(outcome),
            "outcome": result_of(outcome),
            "smtp": outcome.reply.code,
            "code": outcome.reply.enhanced_or_default().to_string(),
            "channel": outcome.via.as_ref().map(|via| channel(&via.channel, via.mx_secure)),
        });
        match ways.iter_mut().find(|(known, _)| *known == way) {
            Some((_, count)) => *count += 1,
            None => ways.push((way, 1)),
        }
    }
    let ways: Vec<Value> = ways
        .into_iter()
        .map(|(mut way, count)| {
            if let Value::Object(map) = &mut way {
                map.insert("recipients".to_owned(), json!(count));
            }
            way
        })
        .collect();
    let public = json!({
        "policy": relayed.report.route.kind,
        "demand": relayed.report.route.demand,
        "size": relayed.size,
        "recipients": relayed.recipients.len(),
        "require_tls": relayed.envelope.require_tls,
        "waived": relayed.report.waived,
        "ways": ways,
        "sessions": sessions(relayed),
        "build": concat!("gatepost ", env!("CARGO_PKG_VERSION")),
    });
    match public {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Every try that went far enough to tell something of TLS, in order: also those of hosts that did not have the last
/// word, or with whom it did not come to mail.
fn sessions(relayed: &Relayed) -> Vec<Value> {
    let hosts = &relayed.report.route.hosts;
    let told = relayed
        .report
        .attempts
        .iter()
        .filter(|attempt| attempt.channel.is_some() || attempt.failure.is_some());
    told.map(|attempt| {
        let hop = hosts.iter().find(|hop| hop.host == attempt.host);
        let mx_secure = hop.is_some_and(|hop| hop.mx_secure);
        json!({
            "road": attempt.channel.as_ref().map_or("no-road", |channel| road_named(&channel.matched)),
            "channel": attempt.channel.as_ref().map(|known| channel(known, mx_secure)),
            "failure": attempt.failure,
            "reused": attempt.reused,
        })
    })
    .collect()
}

/// TLS and who the peer was proven to be.
fn channel(channel: &Channel, mx_secure: bool) -> Value {
    let tlsa = match &channel.matched {
        Matched::Tlsa { usage, selector, matching } => Some(format!("{usage} {selector} {matching}")),
        _ => None,
    };
    json!({
        "tls": channel.tls_version,
        "cipher": channel.cipher,
        "key_exchange": channel.key_exchange,
        "certificate": channel.certificate_sha256,
        "tlsa": tlsa,
        "mx_secure": mx_secure,
    })
}

fn committed(relayed: &Relayed) -> Vec<(String, Vec<u8>)> {
    let mut committed = vec![
        ("mail-from".to_owned(), relayed.envelope.reverse_path.clone().into_bytes()),
        ("domain".to_owned(), relayed.report.route.domain.clone().into_bytes()),
    ];
    for recipient in &relayed.recipients {
        committed.push(("rcpt".to_owned(), recipient.address.clone().into_bytes()));
    }
    let mut hosts: Vec<&str> = vias(relayed).map(|via| via.host.as_str()).collect();
    hosts.dedup();
    committed.extend(hosts.into_iter().map(|host| ("host".to_owned(), host.as_bytes().to_vec())));
    committed
}

fn vias(relayed: &Relayed) -> impl Iterator<Item = &Via> {
    relayed.report.outcomes.iter().filter_map(|outcome| outcome.via.as_deref())
}

fn private(relayed: &Relayed) -> Value {
    let route = &relayed.report.route;
    let recipients = relayed.recipients.iter().zip(&relayed.report.outcomes).map(|(recipient, outcome)| {
        let Outcome { reply, via } = outcome;
        json!({
            "address": recipient.address,
            "reply": reply.to_string(),
            "via": via.as_ref().map(|via| via.describe()),
            "host": via.as_ref().map(|via| &via.host),
            "matched": via.as_ref().map(|via| &via.channel.matched),
        })
    });
    let attempts = relayed.report.attempts.iter().map(|attempt| {
        json!({ "host": attempt.host, "address": attempt.address, "why": attempt.why, "failure": attempt.failure })
    });
    json!({
        "queue_id": relayed.ident,
        "envelope": {
            "mail_from": relayed.envelope.reverse_path,
            "recipients": relayed.recipients.iter().map(|recipient| &recipient.address).collect::<Vec<_>>(),
        },
        "domain": route.domain,
        "next_hop": route.next_hop,
        "recipients": recipients.collect::<Vec<_>>(),
        "attempts": attempts.collect::<Vec<_>>(),
        "steps": route.steps,
        "milliseconds": u64::try_from(relayed.took.as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests;
