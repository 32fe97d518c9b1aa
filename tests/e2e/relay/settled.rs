//! Domains of one kind each, and a site that sends to them: milter, policy server and relay in one gatepost.

use std::time::Duration;

use tests::Outcome;
use tests::Postfix;
use tests::Site;
use tests::SitePlan;
use tests::SmtpClient;
use tests::wait_for;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::POLICY_ADDRESS;
use tests::world::PolicyFile;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::Zone;

use super::room::INBOX;
use super::room::POLICY;
use super::room::Said;
use super::room::said;

/// Who sends.
pub(super) const ALICE: &str = "alice@alpha.example";
/// A message of hers without recipients in its header.
pub(super) const HELLO: &[u8] =
    b"From: alice@alpha.example\r\nSubject: hello\r\n\r\nthe vault opens at nine\r\n";

/// `mx.NAME` is the only host of a signed domain.
pub(super) fn domain<'w>(world: &'w mut World, name: &str, host: MailHost, tlsa: &[String]) -> &'w mut Zone {
    let address = world.host(MailHost { tag: name.to_owned(), ..host });
    let zone = world.zone(name);
    zone.record(&format!("{name}. MX 10 mx.{name}.")).record(&format!("mx.{name}. A {address}"));
    for record in tlsa {
        zone.record(&format!("_25._tcp.mx.{name}. TLSA {record}"));
    }
    zone
}

/// A host that nobody vouches for.
pub(super) fn selfish(name: &str) -> MailHost {
    MailHost::new(name, &Identity::alone(&format!("mx.{name}")))
}

/// A signed domain whose host is bound by DANE-EE.
pub(super) fn by_dane<'w>(
    world: &'w mut World,
    name: &str,
    change: impl FnOnce(MailHost) -> MailHost,
) -> &'w mut Zone {
    let identity = Identity::alone(&format!("mx.{name}"));
    domain(world, name, change(MailHost::new(name, &identity)), &[identity.tlsa(3, 1, 1)])
}

/// An unsigned domain with an MTA-STS policy that lists its host.
pub(super) fn by_sts<'w>(world: &'w mut World, name: &str, mode: &str, host: MailHost) -> &'w mut Zone {
    publish_sts(world, name, mode, &format!("mx.{name}"));
    domain(world, name, host, &[]).unsigned()
}

/// The policy alone.
pub(super) fn publish_sts(world: &mut World, name: &str, mode: &str, mx: &str) {
    let host = format!("mta-sts.{name}");
    let body = format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n");
    world.policy(&host, PolicyFile::new(world.web.issue(&host), &body));
    let zone = world.zone(name);
    zone.record(&format!("{host}. A {POLICY_ADDRESS}"));
    zone.record(&format!("_mta-sts.{name}. TXT \"v=STSv1; id=1;\""));
}

/// What makes a Postfix hand its mail to the relay, and never by itself a second time.
const MAIN_CF: [(&str, &str); 8] = [
    ("disable_dns_lookups", "no"),
    ("default_transport", "smtp"),
    ("lmtp_send_xforward_command", "yes"),
    ("lmtp_host_lookup", "native"),
    ("queue_run_delay", "3000s"),
    ("minimal_backoff_time", "3000s"),
    ("maximal_backoff_time", "6000s"),
    ("transport_retry_time", "1s"),
];

/// A site in this world whose mail leaves by its own relay. It does not run yet.
pub(super) fn site(world: &RunningWorld, policy: &str, main_cf: &[(&str, &str)]) -> Site {
    let SitePlan { mut postfix, gatepost } = SitePlan::new("alpha.example");
    let transport = format!("socketmap:inet:127.0.0.1:{POLICY}:transport");
    let ours = [("transport_maps", transport.as_str())];
    for (name, value) in MAIN_CF.iter().chain(&ours).chain(main_cf) {
        postfix = postfix.parameter(name, value);
    }
    let gatepost = gatepost
        .policy(&format!(
            "[relay]\nresolver = \"127.0.0.1:53\"\npolicy_listen = [\"inet:127.0.0.1:{POLICY}\"]\n\
             lmtp_listen = \"0.0.0.0:{INBOX}\"\n{policy}"
        ))
        .env("SSL_CERT_FILE", world.authorities.to_str().unwrap());
    SitePlan { postfix: postfix.service("gw unix - - n - - lmtp\n"), gatepost }.prepare()
}

/// The message of alice to one recipient, by the submission port.
pub(super) fn submit(site: &Site, to: &str) -> Outcome {
    site.submit(ALICE, &[to], HELLO)
}

/// Hands a message to Postfix past all milters.
pub(super) fn submit_plain(postfix: &Postfix, to: &[&str], message: &[u8]) -> String {
    SmtpClient::connect(postfix.ports.plain).send(ALICE, to, message).queue_id()
}

/// Tries again and again until Postfix says this status about the recipient.
#[track_caller]
pub(super) fn until(postfix: &Postfix, to: &str, status: &str) -> Said {
    wait_for(&format!("{to} to be {status}"), Duration::from_secs(60), || {
        let found = said(postfix, to).into_iter().find(|said| said.status == status);
        if found.is_none() {
            postfix.flush();
            std::thread::sleep(Duration::from_millis(500));
        }
        found
    })
}
