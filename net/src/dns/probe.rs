//! Whether the resolver validates. While it does not, nothing it says may be used.

use std::time::Duration;

use domain::base::Rtype;
use domain::base::iana::OptRcode;
use tokio::sync::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::DnsConfig;
use super::answer;
use super::wire::Wire;

/// A probe that went well holds this long; [`super::Dns::watch_over`] renews it every minute.
const GOOD_FOR: Duration = Duration::from_secs(150);
/// After a probe that went badly look-ups fail for this long without a new one.
const BAD_FOR: Duration = Duration::from_secs(5);
/// One probe takes no longer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(6);

/// What the last probe of the resolver showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not probed yet.
    Unknown,
    /// It validates: the root's NS and DNSKEY came with the AD bit and with signatures.
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

impl Health {
    /// What is wrong, if something is.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::NotValidating { why } | Self::Silent { why } => Some(why),
            Self::Unknown | Self::Validating => None,
        }
    }
}

/// Probes the resolver and remembers the result.
#[derive(Debug)]
pub(super) struct Probe {
    health: watch::Sender<Health>,
    last: Mutex<Option<Instant>>,
}

impl Probe {
    pub(super) fn new() -> Self {
        Self { health: watch::channel(Health::Unknown).0, last: Mutex::new(None) }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Passes if the resolver validates by a probe that is fresh enough; makes one if there is none.
    ///
    /// # Errors
    /// What is wrong with the resolver and what to do.
    pub(super) async fn pass(&self, wire: &Wire, config: &DnsConfig) -> Result<(), String> {
        let mut last = self.last.lock().await;
        let age = last.map(|at| at.elapsed());
        let fresh = match &*self.health.borrow() {
            Health::Unknown => false,
            Health::Validating => age.is_some_and(|age| age < GOOD_FOR),
            Health::NotValidating { .. } | Health::Silent { .. } => age.is_some_and(|age| age < BAD_FOR),
        };
        if !fresh {
            self.renew(wire, config, &mut last).await;
        }
        match self.health.borrow().trouble() {
            None => Ok(()),
            Some(why) => Err(why.to_owned()),
        }
    }

    /// Probes now.
    pub(super) async fn now(&self, wire: &Wire, config: &DnsConfig) {
        let mut last = self.last.lock().await;
        self.renew(wire, config, &mut last).await;
    }

    async fn renew(&self, wire: &Wire, config: &DnsConfig, last: &mut Option<Instant>) {
        let limit = PROBE_TIMEOUT.min(config.timeout);
        let seen = match tokio::time::timeout(limit, examine(wire, config)).await {
            Ok(seen) => seen,
            Err(_) => Health::Silent { why: silent(config, "it did not answer in time") },
        };
        *last = Some(Instant::now());
        let changed = self.health.send_if_modified(|health| {
            let changed = *health != seen;
            health.clone_from(&seen);
            changed
        });
        match seen.trouble() {
            Some(why) if changed => tracing::error!("{why}"),
            None if changed => tracing::info!("the resolver {} validates DNSSEC", config.resolver),
            _ => {}
        }
    }
}

async fn examine(wire: &Wire, config: &DnsConfig) -> Health {
    for rtype in [Rtype::NS, Rtype::DNSKEY] {
        let message = match wire.ask(".", rtype, false).await {
            Ok(message) => message,
            Err(error) => return Health::Silent { why: silent(config, &error) },
        };
        if message.opt_rcode() != OptRcode::NOERROR {
            let detail = format!("it answered {} for the root's {rtype}", message.opt_rcode());
            // Our own validator says SERVFAIL where signatures do not hold.
            return match wire.validates() {
                true => Health::NotValidating { why: not_validating(wire, config, &detail) },
                false => Health::Silent { why: silent(config, &detail) },
            };
        }
        if !message.header().ad() {
            let detail = format!("its answer for the root's {rtype} came without the AD bit");
            return Health::NotValidating { why: not_validating(wire, config, &detail) };
        }
        if let Err(error) = answer::read(&message, ".", rtype, 0, |_| Some(())) {
            return Health::NotValidating { why: not_validating(wire, config, &error) };
        }
    }
    let Some(bogus) = &config.bogus_name else { return Health::Validating };
    match wire.ask(bogus, Rtype::A, false).await {
        Ok(message) if message.opt_rcode() == OptRcode::NOERROR => {
            let detail = format!("it accepts {bogus}, whose signatures are broken on purpose");
            Health::NotValidating { why: not_validating(wire, config, &detail) }
        }
        _ => Health::Validating,
    }
}

fn not_validating(wire: &Wire, config: &DnsConfig, detail: &str) -> String {
    if wire.validates() {
        return format!(
            "what the resolver {} answers cannot be validated here: {detail}. No road can be decided and mail \
             waits. See that it hands out DNSSEC signatures, that `trust_anchors` names the keys of the root, and \
             that the time is right",
            config.resolver
        );
    }
    format!(
        "the resolver {} does not validate DNSSEC: {detail}. No road can be decided and mail waits. Name a \
         validating resolver, such as unbound on loopback with a trust anchor (auto-trust-anchor-file)",
        config.resolver
    )
}

fn silent(config: &DnsConfig, detail: &str) -> String {
    format!(
        "the resolver {} cannot be used: {detail}. No road can be decided and mail waits. See that it runs, that \
         it has a trust anchor and the right time, and that it may be asked from here",
        config.resolver
    )
}
