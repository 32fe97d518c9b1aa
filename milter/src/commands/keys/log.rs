//! `gatepost keys log`.

use std::sync::Arc;

use program::{Exit, output};
use serde_json::json;

use crate::config::Config;
use crate::keyring::KeyRing;
use crate::publication::{PublicationRoom, witness};
use crate::rooms;

/// Prints the public keys of the log and of the witness, or lets a stopped log go on.
///
/// # Errors
/// Nothing is published, or without a log.
pub(super) fn run(config: &Config, keys: KeyRing, resume: bool, as_json: bool) -> Result<(), Exit> {
    let Some(room) = PublicationRoom::open(config, Arc::new(keys))? else {
        return Err(Exit::config("nothing is published: write a section [keydir] into the configuration"));
    };
    if resume {
        return absolve(&room);
    }
    let cosigner = witness::cosigner(&rooms::master_key(&config.gateway)?, &config.gateway)?;
    let witness = cosigner.verifier().to_string();
    let (mut log, mut labels) = (None, None);
    if let Some(keys) = room.log_keys() {
        let signer = keys.signer().map_err(|error| Exit::unavailable("the key log has no key", error))?;
        log = Some(signer.verifier().to_string());
        let digits = keys.vrf.public().as_bytes().iter().map(|byte| format!("{byte:02x}"));
        labels = Some(digits.collect::<String>());
    }
    let origin = room.log_keys().map(|keys| keys.origin.clone());
    let records = records(config, log.as_deref(), labels.as_deref());
    if as_json {
        return output::json(&json!({
            "origin": origin, "log_key": log, "vrf_key": labels, "witness_key": witness, "records": records
        }));
    }
    for (what, key) in
        [("origin", origin), ("log key", log), ("label key", labels), ("witness key", Some(witness))]
    {
        if let Some(key) = key {
            output::line(&format!("{what}: {key}"))?;
        }
    }
    for (name, text) in &records {
        output::line(&format!("DNS: {name}. TXT {}", strings(text)))?;
    }
    Ok(())
}

/// For each of our domains the record with which others find the log's keys: name and text.
fn records(config: &Config, log: Option<&str>, labels: Option<&str>) -> Vec<(String, String)> {
    let (Some(log), Some(labels)) = (log, labels) else { return Vec::new() };
    let text = format!("v=gkl1; k={log}; vrf={labels}");
    config.gateway.domains.iter().map(|domain| (format!("_key-log.{domain}"), text.clone())).collect()
}

/// The character strings of a TXT record (RFC 1035 section 3.3.14): at most 255 octets each.
fn strings(text: &str) -> String {
    let mut strings = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (one, after) = rest.split_at_checked(255).unwrap_or((rest, ""));
        strings.push(format!("\"{one}\""));
        rest = after;
    }
    strings.join(" ")
}

fn absolve(room: &PublicationRoom) -> Result<(), Exit> {
    let known = room.absolve_log().map_err(|error| Exit::unavailable("the key log does not go on", error))?;
    output::line(&match known {
        Some(known) => format!("the key log goes on although a witness claims to have seen {known} entries"),
        None => "no witness has stopped the key log".to_owned(),
    })
}
