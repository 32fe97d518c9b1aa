//! The relay room as a process of its own, and Postfix before it.

use std::path::Path;
use std::time::Duration;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Postfix;
use tests::PostfixPlan;
use tests::wait_for;
use tests::world::RunningWorld;

/// Where Postfix asks for policies and transports.
pub(super) const POLICY: u16 = 8461;
/// Where Postfix hands over mail.
pub(super) const INBOX: u16 = 2424;

/// A gatepost in this world: policy server and relay beside the milter.
pub(super) fn gatepost(authorities: &Path) -> Gatepost {
    gatepost_plan(authorities).prepare()
}

/// The same, to be completed. The last section of its configuration is `[relay]`.
pub(super) fn gatepost_plan(authorities: &Path) -> GatepostPlan {
    GatepostPlan::new("gate.example")
        .policy(&format!(
            "[relay]\nresolver = \"127.0.0.1:53\"\npolicy_listen = [\"inet:127.0.0.1:{POLICY}\"]\n\
             lmtp_listen = \"0.0.0.0:{INBOX}\"\nlocal_domains = [\"asking.example\", \"handing.example\"]\n"
        ))
        .env("SSL_CERT_FILE", authorities.to_str().unwrap())
}

/// The same, running.
pub(super) fn start(world: &RunningWorld) -> Gatepost {
    let mut gatepost = gatepost(&world.authorities);
    gatepost.start();
    gatepost
}

/// A Postfix that asks the room for policies and delivers by itself.
pub(super) fn asking(world: &RunningWorld) -> PostfixPlan {
    plan(world, "asking.example")
        .parameter("smtp_tls_security_level", "dane")
        .parameter("smtp_tls_policy_maps", &format!("socketmap:inet:127.0.0.1:{POLICY}:QUERY"))
        .parameter("smtp_tls_loglevel", "1")
        .parameter("smtp_tls_CAfile", world.authorities.to_str().unwrap())
        .parameter("smtp_dns_support_level", "dnssec")
        .parameter("smtp_host_lookup", "dns")
        .parameter("smtp_connect_timeout", "5s")
}

/// A Postfix that hands its mail to the relay.
pub(super) fn handing(world: &RunningWorld) -> PostfixPlan {
    plan(world, "handing.example")
        .parameter("transport_maps", &format!("socketmap:inet:127.0.0.1:{POLICY}:transport"))
        .parameter("lmtp_send_xforward_command", "yes")
        .parameter("lmtp_host_lookup", "native")
        .service("gw unix - - n - - lmtp\n")
}

fn plan(_world: &RunningWorld, domain: &str) -> PostfixPlan {
    PostfixPlan::new(domain)
        .parameter("disable_dns_lookups", "no")
        .parameter("default_transport", "smtp")
        .parameter("queue_run_delay", "3000s")
        .parameter("minimal_backoff_time", "3000s")
        .parameter("maximal_backoff_time", "6000s")
        .service("tlsmgr unix - - n 1000? 1 tlsmgr\n")
}

/// What Postfix logged about one recipient of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// `sent`, `deferred`, `bounced`.
    pub(super) status: String,
    pub(super) dsn: String,
    pub(super) text: String,
    /// The word of Postfix' own TLS client: `Verified`, `Trusted`, `Untrusted`, `Anonymous`.
    pub(super) tls: Option<String>,
}

/// Everything that was logged about `recipient`, oldest first.
pub(super) fn said(postfix: &Postfix, recipient: &str) -> Vec<Said> {
    let log = postfix.log();
    let mut words: Vec<(String, String)> = Vec::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let process = line.split("]: ").next().unwrap_or_default().rsplit(' ').next().unwrap_or_default();
        if let Some((before, after)) = line.split_once(" TLS connection established to ") {
            let word = before.rsplit(' ').next().unwrap_or_default();
            let peer = after.split(": ").next().unwrap_or_default();
            words.push((format!("{process} {peer}"), word.to_owned()));
        }
        let Some((_, rest)) = line.split_once(&format!(": to=<{recipient}>, ")) else { continue };
        let field = |name: &str| {
            let rest = rest.split_once(name).map_or("", |(_, rest)| rest);
            rest.split([',', ' ']).next().unwrap_or_default().to_owned()
        };
        let key = format!("{process} {}", field("relay="));
        let tls = words.iter().rposition(|(known, _)| *known == key).map(|at| words.remove(at).1);
        let text = rest.split_once(" (").map_or("", |(_, text)| text.trim_end_matches(')')).to_owned();
        found.push(Said { status: field("status="), dsn: field("dsn="), text, tls });
    }
    found
}

/// Waits until Postfix has had its first word about `recipient`.
#[track_caller]
pub(super) fn first_said(postfix: &Postfix, recipient: &str, limit: Duration) -> Said {
    wait_for(&format!("Postfix' word about {recipient}"), limit, || {
        said(postfix, recipient).into_iter().next()
    })
}

/// True if the reply of the relay says that the peer was authenticated.
pub(super) fn is_proven(text: &str) -> bool {
    text.contains(" DANE-verified ") || text.contains(" WebPKI-verified ")
}
