//! What is decided for one domain: the hosts in order, and the road to each.

use std::fmt;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::dns::Security;
use crate::dns::Tlsa;
use crate::sts::StsPolicy;

/// Where mail for one next-hop goes, and how each host must be authenticated.
#[derive(Clone, Debug)]
pub struct Route {
    /// The next-hop as asked, lower-case A-labels, brackets and port kept.
    pub next_hop: String,
    /// The policy domain: the next-hop without brackets and port.
    pub domain: String,
    /// The port of every host; 25 unless the next-hop says otherwise.
    pub port: u16,
    /// The strictest policy found; what TLS reports and the relay map name.
    pub kind: PolicyKind,
    /// The exception of the configuration that was applied.
    pub demand: Demand,
    /// Whether there is a host to try at all.
    pub verdict: RouteVerdict,
    /// Hosts in the order to try them; empty unless the verdict is [`RouteVerdict::Hosts`].
    pub hosts: Vec<Hop>,
    /// Security of the MX look-up; nothing if none was made or none succeeded.
    pub mx_security: Option<Security>,
    /// The MTA-STS policy in force, of any mode.
    pub sts: Option<StsPolicy>,
    /// What TLS reports must tell about this route even if no connection is made.
    pub troubles: Vec<Trouble>,
    /// Every look-up and conclusion, in words and in order.
    pub steps: Vec<Step>,
    /// Until when this may be used, Unix seconds.
    pub expires: i64,
}

impl Route {
    /// The hosts in the order to try them for one delivery: by preference, and by chance (`seed`) among those of
    /// equal preference (RFC 5321 section 5.1: the sender "MUST randomize them").
    pub fn order(&self, seed: u64) -> Vec<&Hop> {
        let mut hosts: Vec<&Hop> = self.hosts.iter().collect();
        // An order by digest is as good as a shuffle, and the same seed gives the same order.
        hosts.sort_by_cached_key(|hop| {
            let mut hasher = DefaultHasher::new();
            (seed, &hop.host).hash(&mut hasher);
            (hop.preference, hasher.finish())
        });
        hosts
    }
}

/// One host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Host name, lower-case A-labels without a final dot, or the text of an address literal.
    pub host: String,
    /// MX preference; 0 where no MX was asked.
    pub preference: u16,
    /// Its addresses, IPv6 first.
    pub addresses: Vec<IpAddr>,
    /// How it must be authenticated.
    pub road: Road,
    /// The name of this host came from a secure answer (or from the administrator).
    pub mx_secure: bool,
}

/// How one host must be authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Road {
    /// By DANE (RFC 7672): TLS is mandatory and one of the records must match.
    Dane {
        /// TLSA base domain, also the SNI (RFC 7672 section 8.1).
        base: String,
        /// Reference names for DANE-TA (RFC 7672 section 3.2.2), the base domain first.
        names: Vec<String>,
        /// Usable records only, at least one.
        records: Vec<Tlsa>,
    },
    /// TLSA records exist but none is usable: TLS is mandatory, unauthenticated (RFC 7672 section 2.2).
    DaneUnusable {
        /// TLSA base domain, also the SNI.
        base: String,
    },
    /// TLS is mandatory, unauthenticated, because the configuration says so.
    Encrypted,
    /// TLS if offered, else in clear (RFC 3207).
    Opportunistic,
    /// In clear, because the configuration says so.
    Cleartext,
    /// By the certificates of the web, for the MX name (RFC 8461 section 4.2).
    Sts {
        /// The name that the certificate must carry, also the SNI.
        name: String,
        /// Mode testing: a failure is reported and mail is delivered all the same.
        testing: bool,
    },
    /// The policy does not list this host (RFC 8461 section 4.1).
    StsMismatch {
        /// Mode testing: reported and used all the same. Otherwise the host must never be used.
        testing: bool,
    },
    /// A look-up failed or the configuration asks for more than there is: try another host, else wait. Never
    /// fall back.
    Unreachable {
        /// What happened, for the bounce and the log.
        why: String,
    },
}

impl fmt::Display for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dane { base, records, .. } => {
                let count = records.len();
                let records = if count == 1 { "record" } else { "records" };
                write!(f, "DANE, by {count} usable TLSA {records} at {base}; TLS is mandatory")
            }
            Self::DaneUnusable { base } => {
                write!(f, "no TLSA record at {base} is usable; TLS is mandatory, unauthenticated")
            }
            Self::Encrypted => f.write_str("TLS is mandatory, unauthenticated"),
            Self::Opportunistic => f.write_str("TLS if offered, unauthenticated"),
            Self::Cleartext => f.write_str("in clear"),
            Self::Sts { name, testing: false } => {
                write!(f, "MTA-STS, by a certificate of the web for {name}; TLS is mandatory")
            }
            Self::Sts { name, testing: true } => {
                write!(
                    f,
                    "MTA-STS in mode testing: a certificate of the web for {name} is looked for, not demanded"
                )
            }
            Self::StsMismatch { testing: false } => f.write_str("never: the MTA-STS policy does not list it"),
            Self::StsMismatch { testing: true } => {
                f.write_str("TLS if offered; the MTA-STS policy in mode testing does not list it")
            }
            Self::Unreachable { why } => write!(f, "not now: {why}"),
        }
    }
}

/// The strictest policy of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// At least one host has secure TLSA records.
    Dane,
    /// An MTA-STS policy in mode enforce.
    Sts,
    /// An MTA-STS policy in mode testing.
    StsTesting,
    /// Neither.
    None,
}

/// What the administrator asks for one domain; [`Demand::Dane`] is the rule, all others are exceptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// Per host: DANE, else MTA-STS, else opportunistic TLS.
    #[default]
    Dane,
    /// Only hosts with usable, secure TLSA records; nothing else is used.
    DaneOnly,
    /// Only hosts that an MTA-STS policy in mode enforce lists; TLSA records are not asked for.
    Sts,
    /// TLS is mandatory, the peer is not authenticated; neither DANE nor MTA-STS is asked for.
    Encrypt,
    /// TLS if offered; neither DANE nor MTA-STS is asked for.
    May,
    /// No TLS.
    Off,
}

/// Whether there is anything to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteVerdict {
    /// Try the hosts in order.
    Hosts,
    /// The domain takes no mail (RFC 7505): permanent, 5.1.10.
    NullMx,
    /// The domain does not exist, has neither MX nor address, or none of its MX hosts has an address: permanent,
    /// 5.1.2.
    NoSuchDomain,
    /// Nothing can be said now: temporary, 4.4.3.
    Temporary {
        /// What happened, for the bounce and the log.
        why: String,
    },
    /// The next-hop is no domain, address or bracketed host: permanent, 5.1.2.
    Malformed {
        /// What is wrong with it.
        why: String,
    },
}

/// A failure that TLS reports name (RFC 8460 section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The result type.
    pub kind: TroubleKind,
    /// The host concerned, if one is.
    pub host: Option<String>,
    /// What happened.
    pub why: String,
}

/// Result types of RFC 8460 section 4.3 that arise before a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// Signatures did not hold.
    DnssecInvalid,
    /// No usable TLSA record, or the look-up failed.
    TlsaInvalid,
    /// The configuration asks for DANE and there is none.
    DaneRequired,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// The policy could not be understood, or does not list the host.
    StsPolicyInvalid,
    /// The policy host could not be authenticated.
    StsWebpkiInvalid,
}

/// One line of `gatepost relay query --explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The host concerned, if one is.
    pub host: Option<String>,
    /// What was asked or concluded.
    pub text: String,
}
