//! The `[relay]` section and the `[relay.domain."…"]` sections below it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ::relay::delivery::{CourierConfig, Times};
use ::relay::engine::Demands;
use ::relay::road::Demand;
use ::relay::socketmap::ServerLimits;
use ::relay::sts::{Mode, StsConfig};
use ::relay::tlsrpt::Rua;
use mail::Address;
use net::dns::{DnsConfig, a_labels};
use policy::{Located, Section};

use crate::config::GatewayConfig;
use crate::listen::Endpoint;

/// Names and values of `policy`.
const DEMANDS: [(&str, Demand); 6] = [
    ("dane", Demand::Dane),
    ("dane-only", Demand::DaneOnly),
    ("sts", Demand::Sts),
    ("encrypt", Demand::Encrypt),
    ("may", Demand::May),
    ("off", Demand::Off),
];

/// Who checks DNSSEC signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Gatepost itself, from the root's keys in this file.
    Own(PathBuf),
    /// The resolver, which says so with the AD bit.
    Resolver,
}

/// The `[relay]` section.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The resolver.
    pub dns: DnsConfig,
    /// Who validates its answers.
    pub validation: Validation,
    /// How MTA-STS policies are fetched and kept.
    pub sts: StsConfig,
    /// What is asked for by domain.
    pub demands: Demands,
    /// Where Postfix and Sendmail ask for policies.
    pub policy_listen: Vec<Endpoint>,
    /// Bounds of the policy server.
    pub policy_limits: ServerLimits,
    /// Where Postfix hands over mail.
    pub lmtp_listen: Option<SocketAddr>,
    /// The transport in Postfix's master.cf that leads there.
    pub transport: String,
    /// Domains, the gateway's own among them, whose mail the MTA delivers by itself, as A-labels; `.name` covers all
    /// below it.
    pub local: Vec<String>,
    /// How mail is delivered.
    pub courier: CourierConfig,
    /// TLS reports.
    pub reports: ReportsConfig,
    /// What our own domains publish, for `relay publish`.
    pub own: Vec<OwnConfig>,
}

/// The `[relay.reports]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportsConfig {
    /// Who we are, for those who get our reports.
    pub organization: String,
    /// Contact, author and envelope sender of reports; without it none is sent.
    pub contact: Option<Address>,
    /// The local MTA, to which reports are handed by SMTP.
    pub submission: Option<SocketAddr>,
    /// The DKIM key, a PEM file.
    pub dkim_key: Option<PathBuf>,
    /// Its selector.
    pub dkim_selector: String,
    /// Where Postfix 3.10 and later tells its results (`smtp_tlsrpt_socket_name`).
    pub postfix_socket: Option<PathBuf>,
}

/// One `[relay.own."…"]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnConfig {
    /// The domain of our addresses.
    pub domain: String,
    /// Its mail hosts: name, certificate, and that of the next certificate or its key.
    pub hosts: Vec<OwnHostConfig>,
    /// Mode of our MTA-STS policy, if there is to be one.
    pub mta_sts: Option<Mode>,
    /// Its life time, seconds.
    pub max_age: u32,
    /// Its MX patterns; empty for the names of the hosts.
    pub mx: Vec<String>,
    /// Where we want TLS reports.
    pub tls_reports: Vec<Rua>,
    /// TTL of our records, seconds.
    pub ttl: u32,
}

/// One mail host of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnHostConfig {
    /// MX name.
    pub name: String,
    /// PEM file of the certificate in use.
    pub certificate: PathBuf,
    /// PEM file of the next certificate or of its public key.
    pub next: Option<PathBuf>,
}

impl RelayConfig {
    /// Takes the section's keys. `None` when a key is wrong; the section then holds the mistake.
    pub fn take(section: &mut Section, gateway: Option<&GatewayConfig>) -> Option<Self> {
        let before = section.mistakes();
        let validation = take_validation(section);
        let dns = take_dns(section, &validation);
        let sts = take_sts(section, gateway);
        let demands = take_demands(section);
        let policy_listen = section.take_parsed_list("policy_listen", str::parse).map(values);
        let policy_limits = take_limits(section);
        let lmtp_listen = section.take_parsed("lmtp_listen", lmtp_address).map(value);
        let transport = section.take_parsed("transport", transport_name).map(value);
        let local = section.take_parsed_list("local_domains", local_domain).map(values);
        let courier = take_courier(section, gateway);
        let reports = take_reports(section, gateway);
        let own = take_own(section);
        if section.mistakes() > before {
            return None;
        }
        let mut config = Self {
            dns,
            validation,
            sts,
            demands,
            policy_listen: policy_listen.unwrap_or_default(),
            policy_limits,
            lmtp_listen,
            transport: transport.unwrap_or_else(|| "gw".to_owned()),
            local: local.unwrap_or_default(),
            courier,
            reports,
            own,
        };
        config.local.push("localhost".to_owned());
        if let Some(gateway) = gateway {
            config.local.push(gateway.name.clone());
            config.local.extend(gateway.domains.iter().cloned());
        }
        for local in &mut config.local {
            let bare = local.trim_start_matches('.');
            if let Ok(ascii) = a_labels(bare) {
                *local = local.replace(bare, &ascii);
            }
        }
        Some(config)
    }

    /// Whether everything but `policy` and `[relay.domain."…"]` is the same.
    pub fn differs_only_in_demands(&self, other: &Self) -> bool {
        let servers = |config: &Self| {
            (
                config.policy_listen.clone(),
                config.policy_limits.clone(),
                config.lmtp_listen,
                config.transport.clone(),
            )
        };
        servers(self) == servers(other)
            && (&self.dns, &self.validation) == (&other.dns, &other.validation)
            && self.local == other.local
            && self.courier == other.courier
            && self.reports == other.reports
            && (self.sts.timeout, self.sts.capacity) == (other.sts.timeout, other.sts.capacity)
    }

    /// True for a domain, in lower-case A-labels, whose mail the MTA delivers by itself.
    pub fn is_local(&self, domain: &str) -> bool {
        self.local.iter().any(|local| match local.strip_prefix('.') {
            Some(_) => domain.ends_with(local.as_str()),
            None => domain == local,
        })
    }
}

/// Takes who validates.
pub(crate) fn take_validation(section: &mut Section) -> Validation {
    // The file of Debian's package dns-root-data.
    let own = || Validation::Own(PathBuf::from("/usr/share/dns/root.key"));
    let choices = [("own", own()), ("resolver", Validation::Resolver)];
    let validation = section.take_choice("validation", &choices).map_or(Validation::Resolver, value);
    let Some(anchors) = section.take_parsed("trust_anchors", crate::config::absolute) else {
        return validation;
    };
    if validation == Validation::Resolver {
        let message = "`trust_anchors` is of use only with `validation = \"own\"`: the resolver has its own";
        section.reject(anchors.at, "trust_anchors", message);
    }
    Validation::Own(anchors.value)
}

/// Takes the resolver and how it is asked.
pub(crate) fn take_dns(section: &mut Section, validation: &Validation) -> DnsConfig {
    let default = DnsConfig::default();
    let trusted = section.take_boolean("resolver_elsewhere").is_some_and(|trusted| trusted.value);
    // Whoever is on the way cannot forge what is validated here.
    let trusted = trusted || matches!(validation, Validation::Own(_));
    let resolver = section.take_parsed("resolver", |text| resolver(text, trusted));
    DnsConfig {
        resolver: resolver.map_or(default.resolver, value),
        timeout: seconds(section, "resolver_timeout_seconds", 60).unwrap_or(default.timeout),
        concurrent: count(section, "resolver_questions", 10_000).unwrap_or(default.concurrent),
        bogus_name: section.take_parsed("bogus_name", crate::config::host_name).map(value),
        ..default
    }
}

fn take_sts(section: &mut Section, gateway: Option<&GatewayConfig>) -> StsConfig {
    let default = StsConfig::default();
    StsConfig {
        directory: gateway.map(|gateway| gateway.state.join("mta-sts")),
        timeout: seconds(section, "sts_timeout_seconds", 60).unwrap_or(default.timeout),
        capacity: count(section, "sts_policies", 1_000_000).unwrap_or(default.capacity),
        ..default
    }
}

/// `policy` of the section itself, and those of `[relay.domain."…"]`.
fn take_demands(section: &mut Section) -> Demands {
    let default = section.take_choice("policy", &DEMANDS).map(value).unwrap_or_default();
    let mut demands = Demands { default, ..Demands::default() };
    for (name, mut domain) in section.take_named_sections("domain") {
        if !domain.has("policy") {
            domain.missing("policy");
        }
        let demand = domain.take_choice("policy", &DEMANDS).map(value);
        let before = demands.domains.len();
        match demands.add(&name.value, demand.unwrap_or_default()) {
            Err(error) => domain.reject(name.at, &name.value, format!("`{}`: {error}", name.value)),
            Ok(()) if demands.domains.len() == before => {
                let message = format!("{} is there twice, written differently", domain.title());
                domain.reject(name.at, &name.value, message);
            }
            Ok(()) => {}
        }
        section.close(domain);
    }
    demands
}

fn take_limits(section: &mut Section) -> ServerLimits {
    let default = ServerLimits::default();
    ServerLimits {
        connections: count(section, "policy_connections", 100_000).unwrap_or(default.connections),
        // Postfix waits 100 seconds for an answer.
        answer: seconds(section, "policy_answer_seconds", 90).unwrap_or(default.answer),
        ..default
    }
}

fn take_courier(section: &mut Section, gateway: Option<&GatewayConfig>) -> CourierConfig {
    let (default, times) = (CourierConfig::default(), Times::default());
    let helo = section.take_parsed("helo", crate::config::host_name).map(value);
    // Postfix waits 600 seconds after the final dot.
    let total = seconds(section, "delivery_seconds", 580).unwrap_or(times.total);
    let times = Times {
        connect: seconds(section, "connect_seconds", 300).unwrap_or(times.connect),
        greeting: seconds(section, "greeting_seconds", 300).unwrap_or(times.greeting),
        command: seconds(section, "command_seconds", 300).unwrap_or(times.command),
        done: times.done.min(total),
        total,
        ..times
    };
    let honour = section.take_boolean("honour_tls_required_no").map(value);
    CourierConfig {
        name: helo.or_else(|| gateway.map(|gateway| gateway.name.clone())).unwrap_or(default.name),
        times,
        deliveries: count(section, "deliveries", 100_000).unwrap_or(default.deliveries),
        honour_tls_required: honour.unwrap_or(default.honour_tls_required),
        pool: default.pool,
        addresses: default.addresses,
        sessions: default.sessions,
    }
}

fn take_reports(section: &mut Section, gateway: Option<&GatewayConfig>) -> ReportsConfig {
    let mut reports = section.take_section("reports");
    let lacks_contact = reports.is_present() && !reports.has("contact") && !reports.has("postfix_socket");
    let contact = reports.take_parsed("contact", address).map(value);
    if lacks_contact {
        reports.missing("contact");
    }
    let organization = reports.take_string("organization").map(value);
    let config = ReportsConfig {
        organization: organization
            .or_else(|| contact.as_ref().map(|contact: &Address| contact.domain().to_owned()))
            .or_else(|| gateway.map(|gateway| gateway.name.clone()))
            .unwrap_or_default(),
        submission: reports
            .take_parsed("submission", socket_address)
            .map(value)
            .or_else(|| contact.is_some().then(|| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 25))),
        contact,
        dkim_key: reports.take_parsed("dkim_key", crate::config::absolute).map(value),
        dkim_selector: reports
            .take_parsed("dkim_selector", crate::config::host_name)
            .map_or_else(|| "gatepost".to_owned(), value),
        postfix_socket: reports.take_parsed("postfix_socket", crate::config::absolute).map(value),
    };
    section.close(reports);
    config
}

fn take_own(section: &mut Section) -> Vec<OwnConfig> {
    const MODES: [(&str, Mode); 3] =
        [("enforce", Mode::Enforce), ("testing", Mode::Testing), ("none", Mode::None)];
    let mut all = Vec::new();
    for (name, mut own) in section.take_named_sections("own") {
        let domain = a_labels(&name.value).unwrap_or_else(|error| {
            own.reject(name.at, &name.value, format!("`{}`: {error}", name.value));
            String::new()
        });
        // RFC 8461 section 3.2: at most 31557600.
        let max_age = own.take_integer("mta_sts_max_age_seconds", 86_400, 31_557_600).map(value);
        let ttl = own.take_integer("ttl_seconds", 60, 604_800).map(value);
        all.push(OwnConfig {
            domain,
            hosts: own.take_parsed_list("hosts", own_host).map(values).unwrap_or_default(),
            mta_sts: own.take_choice("mta_sts", &MODES).map(value),
            max_age: max_age.and_then(|age| u32::try_from(age).ok()).unwrap_or(1_209_600),
            mx: own.take_parsed_list("mta_sts_mx", mx_pattern).map(values).unwrap_or_default(),
            tls_reports: own.take_parsed_list("tls_reports", rua).map(values).unwrap_or_default(),
            ttl: ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(3600),
        });
        section.close(own);
    }
    all
}

/// `NAME CERTIFICATE [NEXT]`.
fn own_host(text: &str) -> Result<OwnHostConfig, String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (name, certificate, next) = match words.as_slice() {
        [name, certificate] => (name, certificate, None),
        [name, certificate, next] => (name, certificate, Some(next)),
        _ => {
            return Err(
                "must be \"NAME CERTIFICATE\" or \"NAME CERTIFICATE NEXT\": a host name and one or two files"
                    .to_owned(),
            );
        }
    };
    Ok(OwnHostConfig {
        name: a_labels(name).map_err(|error| format!("`{name}`: {error}"))?,
        certificate: crate::config::absolute(certificate)?,
        next: next.map(|next| crate::config::absolute(next)).transpose()?,
    })
}

fn mx_pattern(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    let name = a_labels(bare).map_err(|error| format!("`{text}`: {error}"))?;
    Ok(if bare == text { name } else { format!("*.{name}") })
}

fn rua(text: &str) -> Result<Rua, String> {
    Rua::parse(text).ok_or_else(|| format!("`{text}` is neither mailto:ADDRESS nor https://URL"))
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| format!("`{text}`: {error}"))
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not address:port with an IP address"))
}

fn seconds(section: &mut Section, key: &'static str, most: i64) -> Option<Duration> {
    let seconds = section.take_integer(key, 1, most)?;
    Some(Duration::from_secs(seconds.value.unsigned_abs()))
}

fn count(section: &mut Section, key: &'static str, most: i64) -> Option<usize> {
    usize::try_from(section.take_integer(key, 1, most)?.value).ok()
}

fn resolver(text: &str, elsewhere: bool) -> Result<SocketAddr, String> {
    let address = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| format!("`{text}` is not address or address:port of a resolver"))?;
    if elsewhere || address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{} is not on this machine, and whoever is on the way could forge its answers; run a validating resolver on \
127.0.0.1, say `validation = \"own\"`, or `resolver_elsewhere = true` if you trust the way",
        address.ip()
    ))
}

/// Postfix reaches us at an address of its own for each domain, so all of 127.0.0.0/8 must lead here.
fn lmtp_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("inet:").unwrap_or(text);
    let address: SocketAddr = match address.parse::<u16>() {
        Ok(port) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
        Err(_) => address.parse().map_err(|_| format!("`{text}` is not a port, or address:port"))?,
    };
    match address.ip() {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => Ok(address),
        ip => Err(format!("{ip} would let others relay through us; write the port only, such as \"2424\"")),
    }
}

fn transport_name(text: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !text.is_empty() && text.chars().all(valid) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not the name of a service in master.cf")),
    }
}

fn local_domain(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('.').unwrap_or(text);
    let name = crate::config::host_name(bare)?;
    Ok(if bare == text { name } else { format!(".{name}") })
}

fn value<T>(located: Located<T>) -> T {
    located.value
}

fn values<T>(located: Vec<Located<T>>) -> Vec<T> {
    located.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests;
