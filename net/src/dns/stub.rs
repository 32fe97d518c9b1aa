//! The stub resolver.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::base::ParsedRecord;
use domain::base::Rtype;
use domain::base::UnknownRecordData;
use domain::rdata;
use tokio::sync::watch;

use super::Lookup;
use super::Mx;
use super::Resolved;
use super::Security;
use super::Tlsa;
use super::answer;
use super::answer::Kind;
use super::name;
use super::probe::Health;
use super::probe::Probe;
use super::wire::Wire;

/// How often the resolver is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// Where and how to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// The validating resolver. It and the way to it are trusted, so it should be on loopback.
    pub resolver: SocketAddr,
    /// How long one look-up may take in all, retries, TCP and the second question after a failure included.
    pub timeout: Duration,
    /// How many questions may be on their way at once.
    pub concurrent: usize,
    /// The longest time that an answer is kept, seconds.
    pub ttl_max: u32,
    /// A name whose signatures are broken on purpose; a resolver that answers it is not trusted. Optional.
    pub bogus_name: Option<String>,
}

impl Default for DnsConfig {
    /// 127.0.0.1 port 53, 30 seconds (unbound gives up on dead servers after about 20), 256 at once, one day.
    fn default() -> Self {
        Self {
            resolver: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53),
            timeout: Duration::from_secs(30),
            concurrent: 256,
            ttl_max: 86_400,
            bogus_name: None,
        }
    }
}

/// A stub resolver. Cheap to clone; clones share everything.
///
/// Every look-up is gated by a probe of the resolver: while that does not validate, all of them are
/// [`Lookup::Failed`] with a text that says what to do.
#[derive(Clone, Debug)]
pub struct Dns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: DnsConfig,
    wire: Wire,
    probe: Probe,
}

impl Dns {
    /// A stub for the resolver of `config`. Nothing is sent before the first look-up or [`Dns::watch_over`].
    pub fn new(config: DnsConfig) -> Self {
        let wire = Wire::new(config.resolver, config.timeout, config.concurrent);
        Self { inner: Arc::new(Inner { config, wire, probe: Probe::new() }) }
    }

    /// Like [`Dns::new`], but validates in this process, from `anchors` (DS or DNSKEY records of the root in zone
    /// file form). The resolver may then be anybody who hands out signatures. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The anchors cannot be read.
    pub fn validating(config: DnsConfig, anchors: &str) -> Result<Self, String> {
        let DnsConfig { resolver, timeout, concurrent, .. } = config;
        let validator = super::validator::Validator::new(resolver, timeout, concurrent, anchors)?;
        let wire = Wire::new(resolver, timeout, concurrent).validating(validator);
        Ok(Self { inner: Arc::new(Inner { config, wire, probe: Probe::new() }) })
    }

    /// Probes the resolver now and every minute, for as long as the future is polled.
    pub async fn watch_over(&self) {
        let mut tick = tokio::time::interval(PROBE_INTERVAL);
        loop {
            tick.tick().await;
            self.inner.probe.now(&self.inner.wire, &self.inner.config).await;
        }
    }

    /// Whether the resolver validates: the last probe if it is fresh, else a new one.
    pub async fn validates(&self) -> bool {
        self.inner.probe.pass(&self.inner.wire, &self.inner.config).await.is_ok()
    }

    /// What the last probe showed, and a way to wait for the next change.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.probe.health()
    }

    /// The MX records of a domain, sorted by preference. A null MX (RFC 7505) has the host `.`.
    pub async fn mx(&self, domain: &str) -> Resolved<Mx> {
        let pick = |record: &ParsedRecord<'_, Bytes>| {
            let mx = record.to_record::<rdata::Mx<_>>().ok()??;
            Some(Mx { preference: mx.data().preference(), host: name::text(mx.data().exchange()) })
        };
        let mut resolved = self.look(domain, Rtype::MX, pick).await;
        if let Lookup::Found { records, .. } = &mut resolved.lookup {
            records.sort();
            records.dedup_by(|a, b| a.host == b.host);
        }
        resolved
    }

    /// The IPv6 and IPv4 addresses of a host, IPv6 first.
    ///
    /// What one family has can be used even if the look-up of the other failed; without any address, a bogus or
    /// failed look-up of either is kept, so that it is never taken for "no address". Secure only if all that was
    /// found is.
    pub async fn addresses(&self, host: &str) -> Resolved<IpAddr> {
        let six = self.look(host, Rtype::AAAA, |record| {
            Some(IpAddr::V6(record.to_record::<rdata::Aaaa>().ok()??.data().addr()))
        });
        let four = self.look(host, Rtype::A, |record| {
            Some(IpAddr::V4(record.to_record::<rdata::A>().ok()??.data().addr()))
        });
        let (six, four) = tokio::join!(six, four);
        both_families(six, four)
    }

    /// The TLSA records at `_port._tcp.host`.
    pub async fn tlsa(&self, host: &str, port: u16) -> Resolved<Tlsa> {
        self.look(&format!("_{port}._tcp.{host}"), Rtype::TLSA, |record| {
            let unparsed = record.to_record::<UnknownRecordData<_>>().ok()??;
            let [usage, selector, matching, data @ ..] = unparsed.data().data().as_ref() else { return None };
            Some(Tlsa { usage: *usage, selector: *selector, matching: *matching, data: data.to_vec() })
        })
        .await
    }

    /// The data of all records of a type, by its number, as they lie in the answer. For types whose data hold no
    /// names, such as OPENPGPKEY (61) and SMIMEA (53).
    pub async fn raw(&self, name: &str, rtype: u16) -> Resolved<Vec<u8>> {
        self.look(name, Rtype::from_int(rtype), |record| {
            Some(record.to_record::<UnknownRecordData<_>>().ok()??.data().data().to_vec())
        })
        .await
    }

    /// The TXT records of a name. The strings of one record are joined without a space.
    pub async fn txt(&self, name: &str) -> Resolved<String> {
        self.look(name, Rtype::TXT, |record| {
            let txt = record.to_record::<rdata::Txt<_>>().ok()??;
            let octets: Vec<u8> = txt.data().text::<Vec<u8>>();
            Some(String::from_utf8_lossy(&octets).into_owned())
        })
        .await
    }

    /// The name that `name` itself is an alias of; nothing further is followed.
    ///
    /// Tells whether an alias into an insecure zone is itself secure (RFC 7672 section 2.2.2).
    pub async fn alias(&self, name: &str) -> Resolved<String> {
        self.look(name, Rtype::CNAME, |record| {
            Some(name::text(record.to_record::<rdata::Cname<_>>().ok()??.data().cname()))
        })
        .await
    }

    async fn look<T>(
        &self,
        asked: &str,
        rtype: Rtype,
        pick: impl Fn(&ParsedRecord<'_, Bytes>) -> Option<T>,
    ) -> Resolved<T> {
        let name = match name::a_labels(asked) {
            Ok(name) => name,
            Err(error) => {
                return unanswered(asked, Lookup::Failed { why: format!("no domain name: {error}") });
            }
        };
        let limit = self.inner.config.timeout;
        let attempt = tokio::time::timeout(limit, self.attempt(&name, rtype, pick)).await;
        match attempt {
            Ok(Ok(resolved)) => resolved,
            Ok(Err(lookup)) => unanswered(&name, lookup),
            Err(_) => {
                let why = format!("{rtype} of {name}: no answer within {} s", limit.as_secs_f32());
                unanswered(&name, Lookup::Failed { why })
            }
        }
    }

    async fn attempt<T>(
        &self,
        name: &str,
        rtype: Rtype,
        pick: impl Fn(&ParsedRecord<'_, Bytes>) -> Option<T>,
    ) -> Result<Resolved<T>, Lookup<T>> {
        let Inner { config, wire, probe } = &*self.inner;
        let failed = |why: String| Lookup::Failed { why: format!("{rtype} of {name}: {why}") };
        probe.pass(wire, config).await.map_err(|why| Lookup::Failed { why })?;
        let message = wire.ask(name, rtype, false).await.map_err(failed)?;
        match answer::kind(&message) {
            Kind::Answer => answer::read(&message, name, rtype, config.ttl_max, pick).map_err(failed),
            Kind::Unusable(why) => Err(failed(why)),
            Kind::ServerFailure => {
                let detail =
                    answer::extended_error(&message).map_or(String::new(), |text| format!(" ({text})"));
                // RFC 4035 section 3.2.2: with CD set the resolver hands out what it would refuse as bogus.
                match wire.ask(name, rtype, true).await.map(|message| answer::kind(&message)) {
                    Ok(Kind::Answer) => Err(Lookup::Bogus {
                        why: format!("{rtype} of {name}: DNSSEC signatures do not hold{detail}"),
                    }),
                    _ => Err(failed(format!("the resolver answered SERVFAIL{detail}"))),
                }
            }
        }
    }
}

fn unanswered<T>(name: &str, lookup: Lookup<T>) -> Resolved<T> {
    Resolved { lookup, canonical: name.to_owned(), canonical_security: Security::Insecure, ttl: 0 }
}

fn both_families(six: Resolved<IpAddr>, four: Resolved<IpAddr>) -> Resolved<IpAddr> {
    let found = |side: &Resolved<IpAddr>| matches!(side.lookup, Lookup::Found { .. });
    let ttl = if six.lookup.trouble().is_some() || four.lookup.trouble().is_some() {
        // The family that failed is asked for again soon.
        six.ttl.max(four.ttl).min(60)
    } else {
        six.ttl.min(four.ttl)
    };
    let (first, second) = if found(&six) || !found(&four) { (six, four) } else { (four, six) };
    let Resolved { lookup, canonical, canonical_security, .. } = first;
    let (lookup, canonical_security) = match (lookup, second.lookup) {
        (Lookup::Found { mut records, security }, Lookup::Found { records: more, security: other }) => {
            records.extend(more);
            let security = security.and(other);
            (Lookup::Found { records, security }, canonical_security.and(second.canonical_security))
        }
        (found @ Lookup::Found { .. }, _) => (found, canonical_security),
        (bogus @ Lookup::Bogus { .. }, _) | (_, bogus @ Lookup::Bogus { .. }) => (bogus, Security::Insecure),
        (failed @ Lookup::Failed { .. }, _) | (_, failed @ Lookup::Failed { .. }) => {
            (failed, Security::Insecure)
        }
        (Lookup::None { security, nxdomain }, Lookup::None { security: other, nxdomain: also }) => {
            let security = security.and(other);
            (Lookup::None { security, nxdomain: nxdomain || also }, security)
        }
        (none, _) => (none, canonical_security),
    };
    Resolved { lookup, canonical, canonical_security, ttl }
}
