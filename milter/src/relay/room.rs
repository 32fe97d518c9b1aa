//! Everything the relay room consists of, opened from its configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::relay::delivery::Courier;
use ::relay::engine::Engine;
use ::relay::map::RoadMap;
use ::relay::pledge::{Authentication, KeptRoutes, Pledges, authentication};
use ::relay::road::Route;
use ::relay::sts::StsCache;
use ::relay::tls::{Tls, system_roots};
use ::relay::tlsrpt::{Collector, Https, Reporter, Reporting, Signer};
use mail::Failure;
use net::Clock;
use net::dns::{Dns, DnsConfig, a_labels};
use policy::{Encrypt, KeyAnswer, KeyKind, Plan};
use program::Exit;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::Config;
use crate::relay::config::{RelayConfig, ReportsConfig, Validation};
use crate::telemetry::Telemetry;
use crate::transaction::domain_of;

/// The file of the relay's tables in the state directory.
pub const DATABASE: &str = "relay.db";
/// How long RCPT may wait for a decision; clients wait five minutes (RFC 5321 section 4.5.3.2.3).
const PATIENCE: Duration = Duration::from_secs(45);

/// The relay room of one process.
#[derive(Debug)]
pub struct RelayRoom {
    /// As configured at start.
    pub config: RelayConfig,
    /// Decides roads.
    pub engine: Engine,
    /// What was promised to mail that is under way.
    pub pledges: Pledges,
    /// The table for people.
    pub map: RoadMap,
    /// Counts for TLS reports.
    pub collector: Collector,
    /// Counters.
    pub telemetry: Arc<Telemetry>,
    /// The tables' file.
    pub database: PathBuf,
    /// The clock.
    pub clock: Clock,
}

/// The look-ups, validated as configured. Must be called within a runtime.
///
/// # Errors
/// The trust anchors cannot be read.
pub fn dns(config: &RelayConfig) -> Result<Dns, Exit> {
    dns_of(&config.dns, &config.validation)
}

/// The look-ups of one resolver. Must be called within a runtime.
///
/// # Errors
/// As [`dns`].
pub fn dns_of(config: &DnsConfig, validation: &Validation) -> Result<Dns, Exit> {
    let Validation::Own(path) = validation else { return Ok(Dns::new(config.clone())) };
    let anchors = std::fs::read_to_string(path).map_err(|error| {
        let advice = "`trust_anchors` must name the keys of the root, as in Debian's package dns-root-data";
        Exit::input(format!("cannot read {}; {advice}", path.display()), error)
    })?;
    Dns::validating(config.clone(), &anchors)
        .map_err(|error| Exit::config(format!("{} has no trust anchors: {error}", path.display())))
}

/// The decision engine alone, for commands that must not touch the daemon's tables. Must be called within a runtime.
///
/// # Errors
/// The directory of MTA-STS policies cannot be made, or the trust anchors cannot be read.
pub fn engine(config: &RelayConfig, clock: &Clock, keep: bool) -> Result<Engine, Exit> {
    let dns = dns(config)?;
    let mut sts = config.sts.clone();
    if !keep {
        sts.directory = None;
    }
    let sts = StsCache::open(sts, dns.clone(), clock.clone())
        .map_err(|error| Exit::output("cannot keep MTA-STS policies", error))?;
    Ok(Engine::new(dns, sts, config.demands.clone(), clock.clone()))
}

/// The relay section, which a command needs.
///
/// # Errors
/// There is none.
pub fn needed(config: &Config) -> Result<&RelayConfig, Exit> {
    config.relay.as_ref().ok_or_else(|| Exit::config("there is no [relay] section in the configuration"))
}

impl RelayRoom {
    /// Opens the room, if it is configured. Must be called within a runtime.
    ///
    /// # Errors
    /// Its tables or directories cannot be used.
    pub fn open(config: &Config, telemetry: Arc<Telemetry>) -> Result<Option<Arc<Self>>, Exit> {
        let Some(relay) = config.relay.clone() else { return Ok(None) };
        crate::rooms::prepare_state(&config.gateway)?;
        let clock = Clock::system();
        let database = config.gateway.state.join(DATABASE);
        let engine = engine(&relay, &clock, true)?;
        telemetry.relay.enable();
        Ok(Some(Arc::new(Self {
            engine,
            pledges: Pledges::open(&database, clock.clone()).map_err(|error| tables(&database, error))?,
            map: RoadMap::open(&database, clock.clone()).map_err(|error| tables(&database, error))?,
            collector: Collector::start(&database, clock.clone())
                .map_err(|error| tables(&database, error))?,
            config: relay,
            telemetry,
            database,
            clock,
        })))
    }

    /// Delivers mail over roads as they are.
    pub fn courier(&self) -> Courier {
        Courier::new(self.config.courier.clone(), Tls::with_system_roots(self.clock.clone()))
    }

    /// Sends TLS reports, if there is somebody to send them as.
    ///
    /// # Errors
    /// The DKIM key cannot be used, or there are no root certificates.
    pub fn reporter(&self) -> Result<Option<Reporter>, Exit> {
        let reports = &self.config.reports;
        let (Some(contact), Some(submission)) = (&reports.contact, reports.submission) else {
            return Ok(None);
        };
        let dns = self.engine.dns().clone();
        let https = Https::new(dns.clone(), Arc::new(system_roots()))
            .map_err(|error| Exit::unavailable("cannot send TLS reports by HTTPS", error))?;
        let reporting = Reporting {
            organization: reports.organization.clone(),
            contact: contact.clone(),
            signer: signer(reports)?,
            submission,
            hello: self.config.courier.name.clone(),
        };
        Reporter::open(&self.database, dns, https, reporting, self.clock.clone())
            .map(Some)
            .map_err(|error| tables(&self.database, error))
    }

    /// The roads that mail may take.
    pub fn routes(&self) -> KeptRoutes {
        KeptRoutes { engine: self.engine.clone(), pledges: Some(self.pledges.clone()) }
    }

    /// Whether mail to this domain reaches nobody but authenticated hosts, as the answer for
    /// [`KeyKind::EnforcedTls`].
    pub async fn enforced_tls(&self, domain: &str) -> KeyAnswer {
        let (answer, route) = ask(&self.engine, domain).await;
        if let Some(route) = route {
            self.map.decided(&route);
        }
        if let KeyAnswer::CouldNotTell { why } = &answer {
            // The client is told no more than that it cannot be told.
            tracing::warn!("cannot tell whether the road to {domain:?} is authenticated: {why}");
        }
        self.telemetry.road_lookup(match &answer {
            KeyAnswer::Found { .. } => "found",
            KeyAnswer::None { .. } => "none",
            KeyAnswer::CouldNotTell { .. } | KeyAnswer::GivenUp { .. } => "could_not_tell",
        });
        answer
    }

    /// Writes down the promise that the plan makes: where encryption is required and the road is what protects, mail
    /// to that domain takes no lesser road from now on.
    ///
    /// # Errors
    /// It could not be written down; the message must not be accepted.
    pub async fn promise(&self, plan: &Plan) -> Result<(), Failure> {
        let domains = promised(plan);
        if domains.is_empty() {
            return Ok(());
        }
        let pledges = self.pledges.clone();
        let written =
            spawn_blocking(move || domains.iter().try_for_each(|domain| pledges.pledge(domain))).await;
        let failure = || Failure::temporary((3, 0), "cannot write down what road the message must take");
        written.map_err(|error| failure().because(error))?.map_err(|error| failure().because(error))
    }
}

/// The domains to which mail goes only because its road is authenticated.
fn promised(plan: &Plan) -> Vec<String> {
    let by_road = |recipient: &&policy::RecipientPlan| {
        recipient.encrypt == Encrypt::Required
            && recipient.key.as_ref().is_some_and(|key| key.kind == KeyKind::EnforcedTls)
    };
    let domains = plan.recipients.iter().filter(by_road).map(|recipient| domain_of(&recipient.address));
    let mut domains: Vec<String> = domains.map(|domain| a_labels(&domain).unwrap_or(domain)).collect();
    domains.sort();
    domains.dedup();
    domains
}

/// Asks an engine, no longer than a client at RCPT waits.
pub async fn enforced_tls(engine: &Engine, domain: &str) -> KeyAnswer {
    ask(engine, domain).await.0
}

async fn ask(engine: &Engine, domain: &str) -> (KeyAnswer, Option<Arc<Route>>) {
    let Ok(route) = timeout(PATIENCE, engine.route(domain)).await else {
        let why = format!("the look-ups for {domain} take too long");
        return (KeyAnswer::CouldNotTell { why }, None);
    };
    let answer = match authentication(&route) {
        Authentication::By(what) => KeyAnswer::Found { fingerprint: what, aead: false },
        Authentication::No(why) => KeyAnswer::None { why },
        Authentication::Unknown(why) => KeyAnswer::CouldNotTell { why },
    };
    (answer, Some(route))
}

/// The key that signs our TLS reports.
///
/// # Errors
/// It cannot be read, or is of no use.
pub fn signer(reports: &ReportsConfig) -> Result<Option<Signer>, Exit> {
    let (Some(contact), Some(path)) = (&reports.contact, &reports.dkim_key) else { return Ok(None) };
    let pem =
        std::fs::read(path).map_err(|error| Exit::input(format!("cannot read {}", path.display()), error))?;
    Signer::from_pem(&pem, contact.domain(), &reports.dkim_selector)
        .map(Some)
        .map_err(|error| Exit::data(format!("{} is no key for DKIM", path.display()), error))
}

fn tables(path: &Path, error: impl std::error::Error) -> Exit {
    Exit::unavailable(format!("cannot use {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use policy::{Direction, KeyChoice, RecipientPlan, Sign, Verdict};

    use super::*;

    fn recipient(address: &str, encrypt: Encrypt, kind: KeyKind) -> RecipientPlan {
        RecipientPlan {
            address: address.to_owned(),
            direction: Direction::Outbound,
            encrypt,
            encrypt_from: String::new(),
            sign: Sign::Never,
            sign_from: String::new(),
            key: Some(KeyChoice { fingerprint: "DANE".to_owned(), kind }),
            sign_with: None,
            opened: false,
            at_rest: None,
            rules: Vec::new(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_promise_is_made_where_the_road_is_what_is_required() {
        let plan = Plan {
            verdict: Verdict::Accept,
            groups: Vec::new(),
            remove_fields: Vec::new(),
            subject_triggers: Vec::new(),
            tag: None,
            rules: Vec::new(),
            recipients: vec![
                recipient("bob@Beta.example", Encrypt::Required, KeyKind::EnforcedTls),
                recipient("eve@beta.example", Encrypt::Required, KeyKind::EnforcedTls),
                recipient("dan@b\u{fc}cher.example", Encrypt::Required, KeyKind::EnforcedTls),
                recipient("a@gamma.example", Encrypt::Opportunistic, KeyKind::EnforcedTls),
                recipient("a@delta.example", Encrypt::Required, KeyKind::UserOpenpgp),
            ],
        };
        assert_eq!(promised(&plan), ["beta.example", "xn--bcher-kva.example"]);
    }
}
