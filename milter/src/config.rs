//! The configuration file: its `[gateway]` section here, the policy part in the policy room.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use keydir::Subject;
use mail::Spill;
use net::dns::a_labels;
use policy::{ConfigErrors, Located, Policy, Section, parse_document};
use program::{Exit, chain};

use crate::accounts::config::AccountsConfig;
use crate::authority::config::CaConfig;
use crate::disclaimer_config::{self, DisclaimerConfig};
use crate::discovery::config::DiscoveryConfig;
use crate::listen::Endpoint;
use crate::publication::config::KeydirConfig;
use crate::relay::config::RelayConfig;
use crate::rotation::RotationConfig;
use crate::smime_config::SmimeConfig;
use crate::transaction::domain_of;

/// Everything that one configuration file says.
#[derive(Debug)]
pub struct Config {
    /// The `[gateway]` section.
    pub gateway: GatewayConfig,
    /// The rule book.
    pub policy: Policy,
    /// The `[relay]` section, if there is one.
    pub relay: Option<RelayConfig>,
    /// The `[discovery]` section, if there is one.
    pub discovery: Option<DiscoveryConfig>,
    /// The `[keydir]` section, if there is one.
    pub keydir: Option<KeydirConfig>,
    /// The `[smime]` section.
    pub smime: SmimeConfig,
    /// The `[ca]` section.
    pub ca: CaConfig,
    /// The `[rotation]` section.
    pub rotation: RotationConfig,
    /// The `[accounts]` section, if there is one.
    pub accounts: Option<AccountsConfig>,
    /// The `[disclaimer."…"]` sections, by name.
    pub disclaimers: BTreeMap<String, DisclaimerConfig>,
}

/// The `[gateway]` section.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Host name in results and notices (authserv-id of RFC 8601).
    pub name: String,
    /// The domains whose mail this gateway protects, in lower case.
    pub domains: Vec<String>,
    /// The same in A-labels (RFC 5890), by which they are compared.
    own: BTreeSet<String>,
    /// Where the MTA connects.
    pub listen: Vec<Endpoint>,
    /// Directory of all state: certificates, secret keys, records, spool.
    pub state: PathBuf,
    /// Where the key comes from that protects secret keys and records at rest.
    pub master_key: MasterKeySource,
    /// Networks whose clients send as our own.
    pub trusted_networks: Vec<IpNet>,
    /// The MTA's listener for our copies, `host:port`; needed to treat recipients differently.
    pub reinject: Option<SocketAddr>,
    /// Listener for `/metrics`, `/healthz` and `/readyz`.
    pub metrics: Option<SocketAddr>,
    /// The MTA's message_size_limit in bytes; `None` when unknown or unlimited.
    pub message_size_limit: Option<u64>,
    /// Bytes of one body kept in memory; the rest of a larger one lies in an unlinked file.
    pub spill_limit: usize,
    /// Most connections from the MTA at the same time.
    pub max_connections: usize,
    /// Time for one message; below the MTA's content timeout (Postfix: 300 s).
    pub deadline: Duration,
}

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A file only we can read.
    File(PathBuf),
    /// A systemd credential of this name.
    Credential(String),
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Mistakes in it; one line each.
    #[error("{0}")]
    Mistakes(ConfigErrors),
}

impl From<LoadError> for Exit {
    fn from(error: LoadError) -> Self {
        Self::config(chain(&error))
    }
}

const DEFAULT_DEADLINE: Duration = Duration::from_secs(240);
/// The longest deadline: Postfix's milter_content_timeout is 300 s by default.
const LONGEST_DEADLINE: i64 = 290;
const DEFAULT_SPILL: u64 = 1 << 20;
const DEFAULT_CONNECTIONS: i64 = 1000;

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or has mistakes: all of them are reported.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text =
            fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Self::parse(&path.to_string_lossy(), &text).map_err(LoadError::Mistakes)
    }

    /// Checks a configuration text; `file` is its name in messages.
    ///
    /// # Errors
    /// All mistakes, in the order of the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        let mut root = parse_document(file, text)?;
        let mut section = root.take_section("gateway");
        let gateway = read_gateway(&mut section);
        root.close(section);
        let domains = gateway.as_ref().map(|g| g.domains.clone()).unwrap_or_default();
        let policy = Policy::from_sections(&mut root, &domains);
        // After the policy, which looks whether there is a relay.
        let mut section = root.take_section("relay");
        let relay = section.is_present().then(|| RelayConfig::take(&mut section, gateway.as_ref())).flatten();
        root.close(section);
        let mut section = root.take_section("discovery");
        let discovery =
            section.is_present().then(|| DiscoveryConfig::take(&mut section, gateway.as_ref())).flatten();
        root.close(section);
        let mut section = root.take_section("keydir");
        let keydir =
            section.is_present().then(|| KeydirConfig::take(&mut section, gateway.as_ref())).flatten();
        root.close(section);
        let mut section = root.take_section("smime");
        let smime = SmimeConfig::take(&mut section);
        root.close(section);
        let mut section = root.take_section("ca");
        let ca = CaConfig::take(&mut section);
        root.close(section);
        let mut section = root.take_section("rotation");
        let rotation = RotationConfig::take(&mut section);
        root.close(section);
        let mut section = root.take_section("accounts");
        let accounts = AccountsConfig::take(&mut section);
        root.close(section);
        let disclaimers = disclaimer_config::take(&mut root);
        if let Some(name) =
            policy.as_ref().ok().and_then(|policy| disclaimer_config::missing(policy, &disclaimers))
        {
            let at = root.at();
            let message =
                format!("`disclaimer` names `{name}`: write a section [disclaimer.\"{name}\"] with `text`");
            root.reject(at, "disclaimer", message);
        }
        let mut mistakes = ConfigErrors::default();
        let policy = mistakes.collect(policy);
        let _ = mistakes.collect(root.finish());
        mistakes.into_result()?;
        match (gateway, policy) {
            (Some(gateway), Some(policy)) => Ok(Self {
                gateway,
                policy,
                relay,
                discovery,
                keydir,
                smime,
                ca,
                rotation,
                accounts,
                disclaimers,
            }),
            // Unreachable: a missing half has left its mistakes above. An empty list says no more.
            _ => Err(ConfigErrors::default()),
        }
    }
}

impl Config {
    /// Where users send their own keys, if they may.
    pub fn submission_address(&self) -> Option<Subject> {
        let address = self.keydir.as_ref()?.submission_address.as_ref()?;
        Subject::address(address)
    }

    /// Whether the bodies of messages are needed.
    pub fn needs_body(&self) -> bool {
        self.policy.needs_body() || self.submission_address().is_some()
    }
}

impl GatewayConfig {
    /// True when the domain is one of ours, in A-labels or in U-labels (RFC 5890), whatever the case.
    pub fn is_own(&self, domain: &str) -> bool {
        a_labels(domain).is_ok_and(|name| self.own.contains(&name))
    }

    /// Our domains in A-labels.
    pub fn own_domains(&self) -> impl Iterator<Item = &str> {
        self.own.iter().map(String::as_str)
    }

    /// True when it is a mailbox in one of our domains.
    pub fn is_own_mailbox(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Address(address) => self.is_own(&domain_of(address)),
            Subject::AtRest(_) | Subject::Domain(_) => false,
        }
    }

    /// True when the client's address is in a trusted network.
    pub fn is_trusted(&self, client: IpAddr) -> bool {
        self.trusted_networks.iter().any(|network| network.contains(&client))
    }

    /// Memory limit and directory for bodies.
    pub fn spill(&self) -> Spill {
        Spill { limit: self.spill_limit, dir: self.state.join("tmp") }
    }
}

/// `None` when a needed key is missing or wrong; the section then holds the mistake.
fn read_gateway(section: &mut Section) -> Option<GatewayConfig> {
    let name = required(section, "name", |s| s.take_parsed("name", host_name));
    let domains = required(section, "domains", |s| s.take_parsed_list("domains", host_name));
    let listen = required(section, "listen", |s| s.take_parsed_list("listen", str::parse));
    let state = required(section, "state", |s| s.take_parsed("state", absolute));
    let master_key = section.take_parsed("master_key", master_key_source).map(value);
    let trusted_networks =
        section.take_parsed_list("trusted_networks", network).map(values).unwrap_or_else(loopback);
    let reinject = section.take_parsed("reinject", socket_address).map(value);
    let metrics = section.take_parsed("metrics", socket_address).map(value);
    let message_size_limit = section.take_size("message_size_limit").map(value).filter(|bytes| *bytes > 0);
    let spill_limit = section.take_size("spill_limit").map_or(DEFAULT_SPILL, value);
    let max_connections =
        section.take_integer("max_connections", 1, 100_000).map_or(DEFAULT_CONNECTIONS, value);
    let deadline = section
        .take_integer("deadline_seconds", 1, LONGEST_DEADLINE)
        .map_or(DEFAULT_DEADLINE, |seconds| Duration::from_secs(seconds.value.unsigned_abs()));
    let state = value(state?);
    let domains = values(domains?);
    Some(GatewayConfig {
        name: value(name?),
        own: domains.iter().filter_map(|domain| a_labels(domain).ok()).collect(),
        domains,
        listen: values(listen?),
        master_key: master_key.unwrap_or_else(|| MasterKeySource::File(state.join("master.key"))),
        state,
        trusted_networks,
        reinject,
        metrics,
        message_size_limit,
        spill_limit: usize::try_from(spill_limit).unwrap_or(usize::MAX),
        max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
        deadline,
    })
}

/// Takes a key that must be there; an empty list counts as missing.
fn required<T>(
    section: &mut Section,
    key: &'static str,
    take: impl FnOnce(&mut Section) -> Option<T>,
) -> Option<T> {
    if !section.has(key) {
        // Taking tells the section that the key exists, so that near misses are found.
        let nothing = take(section);
        section.missing(key);
        return nothing;
    }
    take(section)
}

fn value<T>(located: Located<T>) -> T {
    located.value
}

fn values<T>(located: Vec<Located<T>>) -> Vec<T> {
    located.into_iter().map(value).collect()
}

pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let valid = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    if text.len() > 253 || !text.split('.').all(valid) || a_labels(text).is_err() {
        return Err(format!("`{text}` is not a host or domain name"));
    }
    Ok(text.to_lowercase())
}

pub(crate) fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("`{text}` must be an absolute path")) }
}

fn master_key_source(text: &str) -> Result<MasterKeySource, String> {
    match text.strip_prefix("credential:") {
        Some("") => Err("`credential:` needs a name".to_owned()),
        Some(name) if name.contains('/') => Err(format!("`{name}` must be a name, not a path")),
        Some(name) => Ok(MasterKeySource::Credential(name.to_owned())),
        None => absolute(text).map(MasterKeySource::File),
    }
}

pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("`{text}` is not a network such as 192.0.2.0/24"))
}

pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.replacen("localhost:", "127.0.0.1:", 1)
        .parse()
        .map_err(|_| format!("`{text}` is not address:port with an IP address"))
}

fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
