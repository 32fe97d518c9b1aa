//! What DNS says about one mail host: its addresses, and whether DANE binds it (RFC 7672 section 2.2).

use std::net::IpAddr;

use crate::dane;
use crate::dns::Dns;
use crate::dns::Lookup;
use crate::dns::Resolved;
use crate::dns::Security;
use crate::dns::Tlsa;
use crate::dns::is_host_name;
use crate::road::Step;
use crate::road::Trouble;
use crate::road::TroubleKind;

/// More addresses of one host are not kept.
const ADDRESSES_MAX: usize = 16;
/// More TLSA records of one host are not shown by `--explain`; all are used.
const RECORDS_SHOWN: usize = 8;

/// What was found about one host.
#[derive(Clone, Debug)]
pub(crate) struct Explored {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) binding: Binding,
    pub(crate) steps: Vec<Step>,
    pub(crate) troubles: Vec<Trouble>,
    /// Seconds.
    pub(crate) ttl: u32,
}

/// Whether DANE binds the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// By usable records at `base`.
    Dane { base: String, records: Vec<Tlsa> },
    /// By records of which none is usable.
    Unusable { base: String },
    /// There are none, or none that are secure.
    Free,
    /// The host has no address, or no name that could have one.
    NoAddress { why: String },
    /// A look-up failed; whether DANE binds it is not known.
    Unknown { why: String },
}

/// Explores `host`. TLSA records are asked for only if `dane`.
pub(crate) async fn explore(dns: &Dns, host: &str, port: u16, dane: bool) -> Explored {
    let mut explorer = Explorer { dns, host, port, steps: Vec::new(), troubles: Vec::new(), ttl: u32::MAX };
    let (addresses, binding) = explorer.run(dane).await;
    let Explorer { steps, troubles, ttl, .. } = explorer;
    Explored { addresses, binding, steps, troubles, ttl }
}

struct Explorer<'a> {
    dns: &'a Dns,
    host: &'a str,
    port: u16,
    steps: Vec<Step>,
    troubles: Vec<Trouble>,
    ttl: u32,
}

impl Explorer<'_> {
    async fn run(&mut self, dane: bool) -> (Vec<IpAddr>, Binding) {
        if !is_host_name(self.host) {
            let why = "is no host name".to_owned();
            self.say(why.clone());
            return (Vec::new(), Binding::NoAddress { why: format!("{} {why}", self.host) });
        }
        let found = self.dns.addresses(self.host).await;
        self.ttl = self.ttl.min(found.ttl);
        let addresses: Vec<IpAddr> = found.lookup.records().iter().copied().take(ADDRESSES_MAX).collect();
        match &found.lookup {
            Lookup::Found { security, .. } => {
                let alias = if found.canonical == self.host {
                    String::new()
                } else {
                    format!(" at {}", found.canonical)
                };
                self.say(format!("addresses{alias}: {} ({})", join(&addresses), word(*security)));
            }
            Lookup::None { security, .. } => {
                self.say(format!("no address ({})", word(*security)));
                return (addresses, Binding::NoAddress { why: format!("{} has no address", self.host) });
            }
            Lookup::Bogus { .. } | Lookup::Failed { .. } => {
                return (addresses, self.unknown(&found.lookup, None));
            }
        }
        if !dane {
            return (addresses, Binding::Free);
        }
        let binding = match self.bases(&found).await {
            Ok(bases) => self.bind(&bases).await,
            Err(unknown) => unknown,
        };
        (addresses, binding)
    }

    /// The names that TLSA records may stand below, in the order to try them (RFC 7672 section 2.2.2).
    async fn bases(&mut self, found: &Resolved<IpAddr>) -> Result<Vec<String>, Binding> {
        let host = self.host.to_owned();
        let aliased = found.canonical != host;
        if found.canonical_security.is_secure() {
            return Ok(if aliased { vec![found.canonical.clone(), host] } else { vec![host] });
        }
        if !aliased {
            self.say("its addresses are insecure: no TLSA records are asked for".to_owned());
            return Ok(Vec::new());
        }
        // The alias leads into an insecure zone, but may itself be secure; then the original name counts.
        let alias = self.dns.alias(&host).await;
        self.ttl = self.ttl.min(alias.ttl);
        match &alias.lookup {
            Lookup::Found { security: Security::Secure, .. } => {
                self.say(
                    "a secure alias of an insecure name: TLSA records count at the original name".to_owned(),
                );
                Ok(vec![host])
            }
            Lookup::Found { .. } | Lookup::None { .. } => {
                self.say("an insecure alias: no TLSA records are asked for".to_owned());
                Ok(Vec::new())
            }
            Lookup::Bogus { .. } | Lookup::Failed { .. } => Err(self.unknown(&alias.lookup, None)),
        }
    }

    async fn bind(&mut self, bases: &[String]) -> Binding {
        for base in bases {
            let found = self.dns.tlsa(base, self.port).await;
            self.ttl = self.ttl.min(found.ttl);
            let name = format!("_{}._tcp.{base} TLSA", self.port);
            match &found.lookup {
                Lookup::Found { records, security: Security::Secure } => {
                    self.say(format!("{name}: {} (secure)", show(records)));
                    return self.usable(base, records);
                }
                Lookup::Found { .. } => self.say(format!("{name}: insecure, ignored")),
                Lookup::None { security, .. } => self.say(format!("{name}: none ({})", word(*security))),
                Lookup::Bogus { .. } | Lookup::Failed { .. } => {
                    return self.unknown(&found.lookup, Some(TroubleKind::TlsaInvalid));
                }
            }
        }
        Binding::Free
    }

    fn usable(&mut self, base: &str, records: &[Tlsa]) -> Binding {
        let usable = dane::usable(records);
        let base = base.to_owned();
        if usable.is_empty() {
            let why = "none of its TLSA records is usable".to_owned();
            self.say(why.clone());
            self.trouble(TroubleKind::TlsaInvalid, why);
            return Binding::Unusable { base };
        }
        Binding::Dane { base, records: usable }
    }

    /// A failed look-up is never "no DANE" (RFC 7672 section 2.1.2).
    fn unknown<T>(&mut self, lookup: &Lookup<T>, kind: Option<TroubleKind>) -> Binding {
        let why = lookup.trouble().unwrap_or("no answer").to_owned();
        let kind =
            if matches!(lookup, Lookup::Bogus { .. }) { Some(TroubleKind::DnssecInvalid) } else { kind };
        self.say(why.clone());
        if let Some(kind) = kind {
            self.trouble(kind, why.clone());
        }
        self.ttl = 0;
        Binding::Unknown { why }
    }

    fn say(&mut self, text: String) {
        self.steps.push(Step { host: Some(self.host.to_owned()), text });
    }

    fn trouble(&mut self, kind: TroubleKind, why: String) {
        self.troubles.push(Trouble { kind, host: Some(self.host.to_owned()), why });
    }
}

/// The word that `--explain` uses.
pub(crate) fn word(security: Security) -> &'static str {
    match security {
        Security::Secure => "secure",
        Security::Insecure => "insecure",
    }
}

fn join(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
}

fn show(records: &[Tlsa]) -> String {
    let shown = records.iter().take(RECORDS_SHOWN).map(|record| {
        let start: String = record.data.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{} {} {} {start}…", record.usage, record.selector, record.matching)
    });
    let more = records.len().saturating_sub(RECORDS_SHOWN);
    let more = if more > 0 { format!(", {more} more") } else { String::new() };
    shown.collect::<Vec<_>>().join(", ") + &more
}
