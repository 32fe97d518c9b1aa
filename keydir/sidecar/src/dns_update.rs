//! `gatepost-keydir update-dns`: brings the records in a zone up to date by dynamic update (RFC 2136).
//!
//! The zone is read as it is (a transfer, RFC 5936) and compared with what is published; only what differs is
//! sent. Everything below `_openpgpkey.DOMAIN` and `_smimecert.DOMAIN` is taken to be ours, so what was
//! withdrawn disappears. Both ways are authenticated by TSIG with HMAC-SHA-256 (RFC 8945).

mod difference;
mod key;
mod message;
mod server;
mod tsig;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use keydir::{Publication, zone_records};
use program::{Exit, output};
use serde::Serialize;

use crate::export::{self, Source};
use crate::export_dns::{MAX_TTL, Types};
use difference::{Difference, Step};
use key::TsigKey;
use server::Server;

/// Options of `update-dns`.
#[derive(Args, Clone, Debug)]
pub struct UpdateDns {
    /// What is published.
    #[command(flatten)]
    pub source: Source,
    /// Which records.
    #[command(flatten)]
    pub types: Types,
    /// The primary name server, an address with port: 192.0.2.1:53.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub server: SocketAddr,
    /// The zone, if it is not the domain itself.
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// The file with the key for TSIG, as `tsig-keygen -a hmac-sha256` writes it.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// How long resolvers may keep a record, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(..=MAX_TTL))]
    pub ttl: u32,
    /// Tell what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// One line of JSON for each change and each zone.
    #[arg(long)]
    pub json: bool,
}

/// What was changed in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Updated {
    /// The zone.
    pub zone: String,
    /// Names and types that had no record.
    pub added: usize,
    /// Names and types whose records differed.
    pub replaced: usize,
    /// Names and types that are not published any more.
    pub removed: usize,
    /// Names and types that were right.
    pub unchanged: usize,
    /// Nothing was sent.
    pub dry_run: bool,
}

/// Brings the zones of our domains up to date and tells what changed.
///
/// # Errors
/// As [`update`]; 78 if the key cannot be read.
pub fn run(config: &Path, options: &UpdateDns) -> Result<(), Exit> {
    let publication = options.source.open(config)?;
    for domain in options.source.domains(&publication)? {
        let mut tell = |step: &Step| say(options, step);
        let updated = update(&publication, options, &domain, &mut tell)?;
        output::line(&match options.json {
            true => serde_json::to_string(&updated).map_err(|error| Exit::output("JSON", error))?,
            false => format!(
                "{}: {} added, {} replaced, {} removed, {} unchanged{}",
                updated.zone,
                updated.added,
                updated.replaced,
                updated.removed,
                updated.unchanged,
                if updated.dry_run { " (nothing was sent)" } else { "" }
            ),
        })?;
    }
    Ok(())
}

/// One change, for people or programs. Names are hashes.
fn say(options: &UpdateDns, step: &Step) -> Result<(), Exit> {
    match (options.json, options.dry_run) {
        (true, _) => output::line(&serde_json::to_string(step).map_err(|error| Exit::output("JSON", error))?),
        (false, true) => output::line(&format!("{} {} {}", step.change, step.owner, step.record_type)),
        (false, false) => Ok(()),
    }
}

/// Brings the records of one domain up to date.
///
/// # Errors
/// The server cannot be reached, refuses, or answers without a valid signature; the publication cannot be read.
/// What was sent before stays done; the next run does the rest.
fn update(
    publication: &Publication,
    options: &UpdateDns,
    domain: &str,
    tell: &mut dyn FnMut(&Step) -> Result<(), Exit>,
) -> Result<Updated, Exit> {
    let zone = options.zone.clone().unwrap_or_else(|| domain.to_owned());
    let key = TsigKey::load(&options.key)?;
    let server = Server::new(options.server, &zone, key, now)?;
    let mut difference = Difference::new(domain, options.types);
    server.transfer(&mut |owner, number, data| difference.is_there(owner, number, data))?;
    let mut updated = Updated { zone: zone.clone(), dry_run: options.dry_run, ..Updated::default() };
    let mut outbox = server.updates(options.ttl, options.dry_run);
    export::each_mailbox(publication, |mailbox| {
        if export::domain_of(&mailbox) != domain {
            return Ok(());
        }
        for records in zone_records(&mailbox).records {
            match difference.wanted(&records) {
                None => {}
                Some(Step { change: "keep", .. }) => updated.unchanged += 1,
                Some(step) => {
                    if step.change == "add" {
                        updated.added += 1
                    } else {
                        updated.replaced += 1
                    }
                    tell(&step)?;
                    outbox.replace(&records.owner, records.record_type.number(), &records.data)?;
                }
            }
        }
        Ok(())
    })?;
    for step in difference.left() {
        updated.removed += 1;
        tell(&step)?;
        outbox.replace(&step.owner, step.number, &[])?;
    }
    outbox.finish()?;
    Ok(updated)
}

/// Unix seconds, for the time in signatures.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
