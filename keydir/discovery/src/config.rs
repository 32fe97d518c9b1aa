//! Which sources are asked, in which order, for how long, and what is kept of their answers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use keydir::Origin;
use keydir::Scheme;
use net::https::Reach;
use url::Url;

use crate::trust::Rules;

/// Everything that the administrator decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The sources, in the order in which they are asked. The first that has a usable certificate wins.
    pub sources: Vec<Source>,
    /// Which addresses and ports of the network may be reached although strangers name them.
    pub reach: Reach,
    /// How long answers are kept.
    pub lifetimes: Lifetimes,
    /// What to think of certificates and of changes.
    pub rules: Rules,
    /// Where answers and sightings are kept.
    pub place: Place,
    /// After how long without any answer about an address the look-up is said to be given up
    /// ([`Outcome::CouldNotTell`](crate::Outcome::CouldNotTell)); nothing for never.
    pub patience: Option<Duration>,
    /// Most look-ups under way at once; one more is "could not tell".
    pub concurrent: usize,
    /// Most refreshments in the background at once; one more is left for the next question.
    pub refreshing: usize,
}

impl Default for Config {
    /// WKD, then DANE; no key servers, no directories, nobody's private network; kept in memory.
    fn default() -> Self {
        Self {
            sources: vec![Source::new("wkd", SourceKind::Wkd), Source::new("dane", SourceKind::Dane)],
            reach: Reach::default(),
            lifetimes: Lifetimes::default(),
            rules: Rules::default(),
            place: Place::Memory,
            patience: None,
            concurrent: 256,
            refreshing: 8,
        }
    }
}

/// One source.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// A name for logs, metrics and the cache; unique.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// How long it may take in all.
    pub deadline: Duration,
    /// The domains for which it is asked; empty for all. Lower-case A-labels; subdomains are not included.
    pub domains: Vec<String>,
}

impl Source {
    /// A source for all domains, with five seconds.
    pub fn new(name: &str, kind: SourceKind) -> Self {
        Self { name: name.to_owned(), kind, deadline: Duration::from_secs(5), domains: Vec::new() }
    }

    /// The same, for these domains only.
    #[must_use]
    pub fn for_domains(mut self, domains: &[&str]) -> Self {
        self.domains = domains.iter().map(|&domain| domain.to_owned()).collect();
        self
    }

    /// The same with another deadline.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// What a source is.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// Another gateway's look-up: `GET BASE/.well-known/tmg/v1/lookup?address=A`. `https` only.
    Peer(Url),
    /// Web Key Directory of the address's domain: the advanced method, and the direct one only where
    /// `openpgpkey.DOMAIN` does not exist. OpenPGP only.
    Wkd,
    /// OPENPGPKEY (RFC 7929) and SMIMEA (RFC 8162) records; only what DNSSEC authenticates.
    Dane,
    /// A directory by LDAP: S/MIME certificates in `userCertificate;binary`.
    Ldap(Directory),
    /// A key server by HKP version 1: `https`, or `http` where the administrator says so. OpenPGP only.
    Hkp(Url),
    /// A verifying key server by its VKS interface version 1. `https` only, OpenPGP only.
    Vks(Url),
}

impl SourceKind {
    /// Where certificates of this source come from.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Peer(_) => Origin::Peer,
            Self::Wkd => Origin::Wkd,
            Self::Dane => Origin::Dane,
            Self::Ldap(_) => Origin::Ldap,
            Self::Hkp(_) | Self::Vks(_) => Origin::Hkp,
        }
    }

    /// Whether it can have certificates of this kind at all.
    pub fn has(&self, scheme: Scheme) -> bool {
        match self {
            Self::Peer(_) | Self::Dane => true,
            Self::Ldap(_) => scheme == Scheme::Smime,
            Self::Wkd | Self::Hkp(_) | Self::Vks(_) => scheme == Scheme::Openpgp,
        }
    }
}

/// A directory server.
#[derive(Clone, PartialEq)]
pub struct Directory {
    /// `ldap://HOST[:PORT]` or `ldaps://HOST[:PORT]`. It is the administrator's, so any address will do.
    pub url: Url,
    /// Where the search begins, such as `dc=example,dc=org`.
    pub base: String,
    /// StartTLS on `ldap://`.
    pub starttls: bool,
    /// Bind name and password; without them the bind is anonymous.
    pub bind: Option<(String, String)>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("url", &self.url.as_str())
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// How long answers are kept. Kept far below the week in which subkeys rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// An answer with certificates; no longer than DNS allows, and never past the end of the certificates.
    pub positive: Duration,
    /// "Certainly none".
    pub negative: Duration,
    /// "Could not tell": how long a source is spared after trouble.
    pub trouble: Duration,
    /// How long past its time a positive answer may serve while its source is in trouble; zero for never.
    pub stale: Duration,
    /// Most answers that are kept; the oldest go first.
    pub most: usize,
}

impl Default for Lifetimes {
    /// Four hours, one hour, two minutes; nothing stale; 100,000 answers.
    fn default() -> Self {
        Self {
            positive: Duration::from_secs(4 * 3600),
            negative: Duration::from_secs(3600),
            trouble: Duration::from_secs(120),
            stale: Duration::ZERO,
            most: 100_000,
        }
    }
}

/// Where answers and sightings are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: forgotten at the end of the process. Also what was seen before.
    Memory,
    /// One SQLite file, mode 0600, made if it is not there.
    Sqlite(PathBuf),
    /// A redis server that several gateways share: `redis://`, `rediss://` or `redis+unix://`. Sightings are kept
    /// without end, so the server must not evict and must be durable.
    Redis {
        /// The server.
        url: String,
        /// What all our keys begin with.
        prefix: String,
    },
}
