//! The `[discovery]` section: where certificates of strangers are looked for, and what is believed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use discovery::trust::{FirstContact, Rules};
use discovery::{Config as Sources, Directory, Lifetimes, Place, Source, SourceKind};
use ipnet::IpNet;
use keylog::vrf::VrfPublic;
use mail::Address;
use net::dns::{DnsConfig, a_labels};
use net::https::Reach;
use policy::{Located, Section};
use tlog::policy::Policy;
use url::Url;

use super::partner_log::PartnerLog;
use crate::config::{GatewayConfig, absolute, host_name, network};
use crate::relay::config::{Validation, take_dns, take_validation};

const FIRST_CONTACT: [(&str, FirstContact); 3] =
    [("hold", FirstContact::Hold), ("off", FirstContact::Off), ("tofu", FirstContact::Tofu)];
/// Longest time that RCPT may wait; clients wait five minutes (RFC 5321 section 4.5.3.2.3).
const LONGEST_DEADLINE: i64 = 60;
const DEADLINE: Duration = Duration::from_secs(20);
/// The file of answers and sightings in the state directory.
const FILE: &str = "discovery.db";
const HOUR: Duration = Duration::from_secs(3600);
/// How long an answer serves while its source is in trouble: an outage of a day stops no mail.
const STALE: u32 = 24;

/// The `[discovery]` section.
#[derive(Clone, Debug)]
pub struct DiscoveryConfig {
    /// What is asked, and what is believed.
    pub sources: Sources,
    /// The resolver, if another than the relay's.
    pub dns: Option<(DnsConfig, Validation)>,
    /// How long one look-up may take in all.
    pub deadline: Duration,
    /// Who is told when a certificate is held.
    pub tell: Option<Address>,
    /// The key logs of partners, by domain in A-labels.
    pub logs: BTreeMap<String, PartnerLog>,
    /// Certificates that come with verified mail are learned at all.
    pub harvest: bool,
    /// Autocrypt fields are read.
    pub autocrypt: bool,
}

impl DiscoveryConfig {
    /// Takes the section. `None` when a key is wrong; the section then holds the mistake.
    pub fn take(section: &mut Section, gateway: Option<&GatewayConfig>) -> Option<Self> {
        let before = section.mistakes();
        let own_resolver = ["resolver", "validation", "trust_anchors"].iter().any(|key| section.has(key));
        let validation = take_validation(section);
        let dns = take_dns(section, &validation);
        let deadline = section
            .take_integer("deadline_seconds", 1, LONGEST_DEADLINE)
            .map_or(DEADLINE, |seconds| Duration::from_secs(seconds.value.unsigned_abs()));
        let rules = Rules {
            harvested: section.take_choice("harvest", &FIRST_CONTACT).map(value).unwrap_or_default(),
            key_servers: section.take_choice("key_servers", &FIRST_CONTACT).map(value).unwrap_or_default(),
        };
        let stale = section.take_integer("stale_hours", 0, 24 * 30).map_or(STALE, |hours| hours.value as u32);
        let patience = section.take_integer("patience_hours", 0, 24 * 30);
        let patience = patience.map(|hours| HOUR * hours.value as u32);
        let reach = take_reach(section);
        let place = take_place(section, gateway);
        let autocrypt = section.take_boolean("autocrypt").is_none_or(value);
        let tell = section.take_parsed("tell", address).map(value);
        let mut logs = BTreeMap::new();
        let sources = take_sources(section, &mut logs);
        if section.mistakes() > before {
            return None;
        }
        let lifetimes = Lifetimes { stale: HOUR * stale, ..Lifetimes::default() };
        Some(Self {
            harvest: rules.harvested != FirstContact::Off,
            autocrypt,
            sources: Sources { sources, reach, lifetimes, rules, place, patience, ..Sources::default() },
            dns: own_resolver.then_some((dns, validation)),
            deadline,
            tell,
            logs,
        })
    }
}

impl DiscoveryConfig {
    /// Whether anything differs that the room of discovery took when it was opened.
    pub fn differs_since_start(&self, other: &Self) -> bool {
        self.sources != other.sources || self.deadline != other.deadline || self.dns != other.dns
    }
}

fn take_reach(section: &mut Section) -> Reach {
    let networks = section.take_parsed_list("private_networks", network).unwrap_or_default();
    let ports = section
        .take_parsed_list("ports", |text| text.parse::<u16>().map_err(|_| format!("`{text}` is not a port")));
    let names = section.take_parsed_list("private_names", host_name).unwrap_or_default();
    Reach {
        names: names.into_iter().map(value).collect(),
        networks: networks.into_iter().map(value::<IpNet>).collect(),
        ports: ports.unwrap_or_default().into_iter().map(value).collect(),
        ..Reach::default()
    }
}

fn take_place(section: &mut Section, gateway: Option<&GatewayConfig>) -> Place {
    if let Some(redis) = section.take_parsed("redis", redis_url) {
        return Place::Redis { url: redis.value, prefix: "gatepost:".to_owned() };
    }
    gateway.map_or(Place::Memory, |gateway| Place::Sqlite(gateway.state.join(FILE)))
}

/// The names in `sources`, in their order; `wkd` and `dane` need no section of their own.
fn take_sources(section: &mut Section, logs: &mut BTreeMap<String, PartnerLog>) -> Vec<Source> {
    let listed = section.take_strings("sources");
    let mut described: Vec<(String, Option<Source>)> = Vec::new();
    for (name, mut source) in section.take_named_sections("source") {
        let taken = take_source(&mut source, &name.value);
        take_log(&mut source, taken.as_ref(), logs);
        section.close(source);
        described.push((name.value, taken));
    }
    let Some(listed) = listed else {
        // What is described is asked before what everybody has: an administrator knows his partners.
        let own = described.into_iter().filter_map(|(_, source)| source);
        return own.chain(Sources::default().sources).collect();
    };
    let mut sources = Vec::new();
    for name in listed {
        match described.iter().find(|(described, _)| *described == name.value) {
            Some((_, source)) => sources.extend(source.clone()),
            None => match name.value.as_str() {
                "wkd" => sources.push(Source::new("wkd", SourceKind::Wkd)),
                "dane" => sources.push(Source::new("dane", SourceKind::Dane)),
                other => {
                    let message =
                        format!("write a section [discovery.source.\"{other}\"], or `wkd` or `dane`");
                    section.reject(name.at, "sources", message);
                }
            },
        }
    }
    sources
}

/// What a source is, before its address is known.
#[derive(Clone, Copy)]
enum Kind {
    Peer,
    Wkd,
    Dane,
    Ldap,
    Hkp,
    Vks,
}

const KINDS: [(&str, Kind); 6] = [
    ("dane", Kind::Dane),
    ("hkp", Kind::Hkp),
    ("ldap", Kind::Ldap),
    ("peer", Kind::Peer),
    ("vks", Kind::Vks),
    ("wkd", Kind::Wkd),
];

fn take_source(section: &mut Section, name: &str) -> Option<Source> {
    if !section.has("kind") {
        section.missing("kind");
    }
    let kind = section.take_choice("kind", &KINDS).map(value);
    let url = section.take_parsed("url", url);
    let directory = take_directory(section);
    let domains = section.take_parsed_list("domains", |text| a_labels(text).map_err(|e| e.to_string()));
    let deadline = section.take_integer("deadline_seconds", 1, LONGEST_DEADLINE);
    let kind = match (kind?, url) {
        (Kind::Wkd, _) => SourceKind::Wkd,
        (Kind::Dane, _) => SourceKind::Dane,
        (_, None) => {
            section.missing("url");
            return None;
        }
        (Kind::Peer, Some(url)) => SourceKind::Peer(url.value),
        (Kind::Hkp, Some(url)) => SourceKind::Hkp(url.value),
        (Kind::Vks, Some(url)) => SourceKind::Vks(url.value),
        (Kind::Ldap, Some(url)) => SourceKind::Ldap(Directory { url: url.value, ..directory? }),
    };
    let mut source = Source::new(name, kind);
    source.domains = domains.unwrap_or_default().into_iter().map(value).collect();
    if let Some(deadline) = deadline {
        source.deadline = Duration::from_secs(deadline.value.unsigned_abs());
    }
    Some(source)
}

/// The key log of a partner: what it says of the partner's own domains is believed.
fn take_log(section: &mut Section, source: Option<&Source>, logs: &mut BTreeMap<String, PartnerLog>) {
    let policy = section.take_parsed("log_policy", log_policy);
    let vrf = section.take_parsed("log_vrf", vrf_key);
    let (policy, vrf) = match (policy, vrf) {
        (None, None) => return,
        (Some(_), None) => return section.missing("log_vrf"),
        (None, Some(_)) => return section.missing("log_policy"),
        (Some(policy), Some(vrf)) => (policy, vrf),
    };
    let Some(source) = source else { return };
    if !matches!(source.kind, SourceKind::Peer(_)) || source.domains.is_empty() {
        let message = "only a source of kind `peer` with `domains` has a key log that speaks for them";
        return section.reject(policy.at, "log_policy", message);
    }
    for domain in &source.domains {
        logs.insert(domain.clone(), PartnerLog { policy: policy.value.clone(), vrf: vrf.value });
    }
}

fn log_policy(text: &str) -> Result<Arc<Policy>, String> {
    let path = absolute(text)?;
    let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Policy::parse(&bytes).map(Arc::new).map_err(|error| format!("{}: {error}", path.display()))
}

fn vrf_key(text: &str) -> Result<VrfPublic, String> {
    let octet =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let octets: Option<Vec<u8>> = text.as_bytes().chunks(2).map(octet).collect();
    let octets = octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    octets
        .and_then(|octets| VrfPublic::from_bytes(&octets))
        .ok_or_else(|| "must be a key of 64 hexadecimal digits, as `gatepost-keydir` publishes it".to_owned())
}

/// The keys that only directories have; the URL is filled in by the caller.
fn take_directory(section: &mut Section) -> Option<Directory> {
    let base = section.take_string("base").map(value).unwrap_or_default();
    let starttls = section.take_boolean("starttls").is_some_and(value);
    let name = section.take_string("bind").map(value);
    let file = section.take_parsed("password_file", absolute);
    let bind = match (name, file) {
        (None, None) => None,
        (Some(name), Some(file)) => match password(&file.value) {
            Ok(password) => Some((name, password)),
            Err(message) => {
                section.reject(file.at, "password_file", message);
                None
            }
        },
        (Some(_), None) => {
            section.missing("password_file");
            None
        }
        (None, Some(_)) => {
            section.missing("bind");
            None
        }
    };
    Some(Directory { url: Url::parse("ldap://localhost").ok()?, base, starttls, bind })
}

fn password(path: &PathBuf) -> Result<String, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    match url.scheme() {
        "https" | "http" | "ldap" | "ldaps" if url.has_host() => Ok(url),
        _ => Err(format!("`{text}` must begin with https://, http://, ldaps:// or ldap://")),
    }
}

fn redis_url(text: &str) -> Result<String, String> {
    let known = ["redis://", "rediss://", "redis+unix://"].iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(text.to_owned()) } else { Err(format!("`{text}` must begin with redis:// or rediss://")) }
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| format!("`{text}`: {error}"))
}

fn value<T>(located: Located<T>) -> T {
    located.value
}
