//! What everything is measured in: a hundred domains behind one mail host with DANE, a gatepost, a Postfix.

use std::fmt::Write as _;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Postfix;
use tests::PostfixPlan;
use tests::free_port;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::RunningWorld;
use tests::world::World;

/// Where gatepost answers questions.
pub(super) const POLICY: u16 = 8461;
/// Where gatepost takes mail.
const INBOX: u16 = 2424;
/// More than the twenty answers that one smtp process of Postfix remembers.
pub(super) const DOMAINS: usize = 100;
/// The policy of every domain here, as Postfix reads it.
pub(super) const ANSWER: &str = "dane-only";
/// Deliveries of Postfix at the same time, whoever makes them.
const PROCESSES: usize = 20;
/// Messages over one connection: what gatepost allows itself.
const REUSE: &str = "50";

/// Everything that runs. Dropping it ends it.
pub(super) struct Scene {
    /// DNS and the mail host.
    pub(super) world: RunningWorld,
    /// Policy server and relay.
    pub(super) gatepost: Gatepost,
    /// A transport for each contender; mail waits until it is released.
    pub(super) postfix: Postfix,
    /// Where mail goes in.
    pub(super) entrance: u16,
}

/// The domain with this number.
pub(super) fn domain(number: usize) -> String {
    format!("d{}.bulk.world", number % DOMAINS)
}

impl Scene {
    /// Starts everything.
    pub(super) fn set() -> Self {
        let world = world();
        let mut gatepost = GatepostPlan::new("gate.example")
            .policy(&format!(
                "[relay]\nresolver = \"127.0.0.1:53\"\npolicy_listen = [\"inet:127.0.0.1:{POLICY}\"]\n\
                 lmtp_listen = \"{INBOX}\"\nlocal_domains = [\"bench.example\"]\n"
            ))
            .env("SSL_CERT_FILE", world.authorities.to_str().unwrap())
            .prepare();
        gatepost.start();
        let entrance = free_port();
        let postfix = postfix(&world, entrance);
        postfix.command("postmap", &[&format!("hash:{}", world.path().join("policies").display())]).success();
        Self { world, gatepost, postfix, entrance }
    }

    /// The hash: map with the same answers as the policy server's.
    pub(super) fn hash_map(&self) -> String {
        format!("hash:{}", self.world.path().join("policies").display())
    }
}

fn world() -> RunningWorld {
    let mut world = World::new();
    let identity = Identity::alone("mx.bulk.world");
    let address = world.host(MailHost::new("bulk", &identity));
    let zone = world.zone("bulk.world");
    zone.record(&format!("mx.bulk.world. A {address}"));
    zone.record(&format!("_25._tcp.mx.bulk.world. TLSA {}", identity.tlsa(3, 1, 1)));
    for number in 0..DOMAINS {
        zone.record(&format!("{}. MX 10 mx.bulk.world.", domain(number)));
    }
    let world = world.start();
    let policies = (0..DOMAINS).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{} {ANSWER}", domain(number));
        text
    });
    std::fs::write(world.path().join("policies"), policies).unwrap();
    // What no line here takes is asked of gatepost, which names its relay.
    let routes = ["direct", "single", "socketmap", "hash"].map(|name| format!("/^{name}@/ {name}:\n"));
    std::fs::write(world.path().join("routes"), routes.concat()).unwrap();
    world
}

/// One Postfix, so that nothing else differs between the contenders.
fn postfix(world: &RunningWorld, entrance: u16) -> Postfix {
    let path = world.path().display();
    let socketmap = format!("socketmap:inet:127.0.0.1:{POLICY}");
    let client = |name: &str, options: &[&str]| {
        let options = options.iter().fold(String::new(), |text, option| text + "\n    -o " + option);
        format!("{name} unix - - n - {PROCESSES} {}{options}\n", if name == "gw" { "lmtp" } else { "smtp" })
    };
    PostfixPlan::new("bench.example")
        .parameter("disable_dns_lookups", "no")
        .parameter("default_transport", "smtp")
        .parameter("queue_run_delay", "3000s")
        .parameter("minimal_backoff_time", "3000s")
        .parameter("maximal_backoff_time", "6000s")
        .parameter("transport_maps", &format!("regexp:{path}/routes, {socketmap}:transport"))
        // tlsproxy(8), which keeps TLS connections for reuse, looks here and not at the options of the services.
        .parameter("smtp_tls_security_level", "dane")
        .parameter("smtp_dns_support_level", "dnssec")
        .parameter("smtp_host_lookup", "dns")
        .parameter("smtp_tls_CAfile", world.authorities.to_str().unwrap())
        .parameter("smtp_connection_reuse_count_limit", REUSE)
        .parameter("lmtp_host_lookup", "native")
        .parameter("lmtp_send_xforward_command", "yes")
        .service("tlsmgr unix - - n 1000? 1 tlsmgr\ntlsproxy unix - - n - 0 tlsproxy\n")
        .service(&client("gw", &[]))
        .service(&client(
            "direct",
            &["smtp_tls_connection_reuse=yes", "smtp_connection_cache_destinations=static:all"],
        ))
        .service(&client("single", &[]))
        .service(&client("socketmap", &[&format!("smtp_tls_policy_maps={socketmap}:QUERY")]))
        .service(&client("hash", &[&format!("smtp_tls_policy_maps=hash:{path}/policies")]))
        .service(&format!(
            "127.0.0.1:{entrance} inet n - n - - smtpd\n    -o smtpd_milters=\n    -o \
             smtpd_relay_restrictions=permit_mynetworks,reject\n    -o {{ smtpd_recipient_restrictions = \
             check_recipient_access static:HOLD, permit_mynetworks }}\n"
        ))
        .start()
}
