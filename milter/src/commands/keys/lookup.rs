//! `gatepost keys lookup`.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::discovery::{Found, Outcome, Trace};
use keydir::{Custody, Record, Scheme, Subject};
use net::Clock;
use policy::{KeyAnswer, KeyFacts, PasswordSource};
use program::{Exit, output};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::discovery::{DiscoveryRoom, asked_as};
use crate::keyring::{KeyRing, Lookup};
use crate::transaction::domain_of;

/// What is printed with `--json`.
#[derive(Serialize)]
struct Told<'t> {
    address: &'t str,
    /// What the store holds, by kind.
    store: &'t [KeyFacts],
    /// What a message to the address would be encrypted to, by kind.
    answer: &'t [KeyFacts],
    /// Every source that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<&'t [Trace]>,
}

/// Looks for the certificates of an address.
///
/// # Errors
/// It is none, or the rooms cannot be opened. Exit code 69 if it could not be told whether there is a certificate, 66
/// if there is none.
pub(super) fn run(
    config: &Config,
    keys: KeyRing,
    address: &str,
    explain: bool,
    json: bool,
) -> Result<(), Exit> {
    if Subject::address(address).is_none() {
        return Err(Exit::usage(format!("`{address}` is no address")));
    }
    runtime()?.block_on(look_up(config, Arc::new(keys), address, explain, json))
}

fn runtime() -> Result<Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Exit::unavailable("cannot start the runtime", error))
}

/// Tells discovery that the administrator approves of a certificate: from now on it is the one that is used for its
/// addresses, whatever was seen before.
///
/// # Errors
/// The memory of discovery cannot be written.
pub(super) fn approve(config: &Config, keys: KeyRing, record: &Record) -> Result<(), Exit> {
    if config.discovery.is_none() || record.custody == Custody::Local {
        return Ok(());
    }
    runtime()?.block_on(async {
        let Some((room, _)) = DiscoveryRoom::open(config, Arc::new(keys), Clock::system())? else {
            return Ok(());
        };
        // That of a domain may be the only one that its certificate names.
        let asked: BTreeSet<String> = record.subjects.iter().filter_map(asked_as).collect();
        for address in asked {
            let approved = room.sources().approve(&address, record.scheme, &record.bytes).await;
            approved.map_err(|why| {
                Exit::unavailable(format!("{address}: not approved"), std::io::Error::other(why))
            })?;
        }
        Ok(())
    })
}

async fn look_up(
    config: &Config,
    keys: Arc<KeyRing>,
    address: &str,
    explain: bool,
    json: bool,
) -> Result<(), Exit> {
    let now = Clock::system().now();
    let kinds = policy::KeyKind::ALL.iter().copied().filter(|kind| kind.scheme().is_some());
    let kinds: Vec<_> = kinds.collect();
    let stored = keys.encryption(address, &kinds, &PasswordSource::Generated, now);
    // As for mail: of our own users nobody else says anything.
    let own = config.gateway.is_own(&domain_of(address));
    let room = if own { None } else { DiscoveryRoom::open(config, keys, Clock::system())? };
    let mut traces = Vec::new();
    let answer = match &room {
        None => stored.clone(),
        Some((room, _)) => {
            if explain {
                for scheme in [Scheme::Openpgp, Scheme::Smime] {
                    traces.push(trace(room, address, scheme).await);
                }
            }
            room.complete(address, stored.clone(), now).await
        }
    };
    if json {
        let sources = explain.then_some(traces.as_slice());
        output::json(&Told { address, store: &stored.facts, answer: &answer.facts, sources })?;
    } else {
        print(config, address, &stored, &answer, &traces, explain)?;
    }
    verdict(address, &answer)
}

async fn trace(room: &DiscoveryRoom, address: &str, scheme: Scheme) -> Trace {
    let Found { outcome, mut trace, .. } = room.ask(address, scheme).await;
    if let (Outcome::Held(held), true) = (outcome, trace.conclusion.is_empty()) {
        trace.conclusion = held.why;
    }
    trace
}

fn print(
    config: &Config,
    address: &str,
    stored: &Lookup,
    answer: &Lookup,
    traces: &[Trace],
    explain: bool,
) -> Result<(), Exit> {
    if explain {
        output::line("store:")?;
        for facts in &stored.facts {
            output::line(&format!("  {}", words(facts)))?;
        }
        if config.gateway.is_own(&domain_of(address)) {
            output::line("no other source is asked: the domain is ours")?;
        } else if config.discovery.is_none() {
            output::line("no other source is asked: there is no [discovery] section")?;
        }
        for trace in traces {
            output::line(&trace.to_string())?;
        }
        output::line("answer:")?;
    }
    for facts in &answer.facts {
        output::line(&format!("{}{}", if explain { "  " } else { "" }, words(facts)))?;
    }
    Ok(())
}

fn words(facts: &KeyFacts) -> String {
    let kind = policy::kind_in_words(facts.kind);
    match &facts.answer {
        KeyAnswer::Found { fingerprint, aead: true } => {
            format!("{kind}: {fingerprint} (authenticated encryption)")
        }
        KeyAnswer::Found { fingerprint, aead: false } => format!("{kind}: {fingerprint}"),
        KeyAnswer::None { why } if why.is_empty() => format!("{kind}: none"),
        KeyAnswer::None { why } => format!("{kind}: none ({})", why.join("; ")),
        KeyAnswer::CouldNotTell { why } => format!("{kind}: could not tell: {why}"),
        KeyAnswer::GivenUp { why } => {
            format!("{kind}: could not tell, and mail that need not be encrypted waits no longer: {why}")
        }
    }
}

fn verdict(address: &str, answer: &Lookup) -> Result<(), Exit> {
    let is = |wanted: fn(&KeyAnswer) -> bool| answer.facts.iter().any(|facts| wanted(&facts.answer));
    if is(|answer| matches!(answer, KeyAnswer::Found { .. })) {
        return Ok(());
    }
    match is(|answer| matches!(answer, KeyAnswer::CouldNotTell { .. } | KeyAnswer::GivenUp { .. })) {
        true => Err(Exit::unavailable(
            format!("could not tell whether there is a certificate of {address}"),
            std::io::Error::other("see above"),
        )),
        false => Err(Exit::not_found(format!("no certificate of {address}"))),
    }
}
