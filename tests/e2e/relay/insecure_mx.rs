//! An enforced MTA-STS policy of a domain whose MX answer is not secure, and whose host has TLSA records.
//!
//! Postfix 3.7.11 takes `dane` for `may` there, unless its own level is `dane` too.

use std::time::Duration;

use tests::SmtpClient;
use tests::world::Identity;
use tests::world::LAME;
use tests::world::MailHost;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::asking;
use super::room::first_said;
use super::room::handing;
use super::settled::publish_sts;

const LONG: Duration = Duration::from_secs(60);

/// Each domain is unsigned; its host lies in a signed zone: certificate of the web or not, TLSA right or wrong.
const DOMAINS: [(&str, bool, bool); 4] = [
    ("webright", true, true),
    ("webwrong", true, false),
    ("selfright", false, true),
    ("selfwrong", false, false),
];

fn world() -> RunningWorld {
    let mut world = World::new();
    for (name, web, right) in DOMAINS {
        let host = format!("{name}.hosts.world");
        let identity = if web { world.web.issue(&host) } else { Identity::alone(&host) };
        let address = world.host(MailHost::new(name, &identity));
        let record = if right { identity.tlsa(3, 1, 1) } else { identity.wrong_tlsa(3, 1, 1) };
        let zone = world.zone("hosts.world");
        zone.record(&format!("{host}. A {address}"));
        zone.record(&format!("_25._tcp.{host}. TLSA {record}"));
        let domain = format!("{name}.world");
        world.zone(&domain).unsigned().record(&format!("{domain}. MX 10 {host}."));
        publish_sts(&mut world, &domain, "enforce", &host);
    }
    world.start()
}

#[test]
fn postfix_never_delivers_to_whoever_answers_at_any_level() {
    in_private_network("relay::insecure_mx::postfix_never_delivers_to_whoever_answers_at_any_level", || {
        let world = world();
        let _room = room::start(&world);
        for level in ["may", "encrypt", "dane"] {
            let postfix = asking(&world).parameter("smtp_tls_security_level", level).start();
            for (name, web, _) in DOMAINS {
                let to = format!("{level}@{name}.world");
                let outcome =
                    SmtpClient::connect(postfix.ports.plain).send("", &[&to], b"Subject: x\r\n\r\nx\r\n");
                assert!(outcome.accepted(), "{outcome:?}");
                let said = first_said(&postfix, &to, LONG);
                let arrived = world.arrivals.of(&to).len();
                println!("{level} {name}: {} {:?} {}", said.status, said.tls, said.text);
                if web {
                    assert_eq!((said.status.as_str(), arrived), ("sent", 1), "{said:?}");
                    assert_eq!(said.tls.as_deref(), Some("Verified"), "{said:?}");
                } else {
                    assert_eq!((said.status.as_str(), arrived), ("deferred", 0), "{said:?}");
                    assert_eq!(said.dsn, "4.7.5");
                }
            }
        }
    });
}

#[test]
fn the_relay_has_dane_decide() {
    in_private_network("relay::insecure_mx::the_relay_has_dane_decide", || {
        let world = world();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        for (name, _, right) in DOMAINS {
            let to = format!("bob@{name}.world");
            let outcome =
                SmtpClient::connect(postfix.ports.plain).send("", &[&to], b"Subject: x\r\n\r\nx\r\n");
            assert!(outcome.accepted(), "{outcome:?}");
            let said = first_said(&postfix, &to, LONG);
            println!("{name}: {} {}", said.status, said.text);
            let (status, text) = match right {
                true => ("sent", " DANE-matched (insecure MX) "),
                false => ("deferred", "matches no TLSA record"),
            };
            assert!(said.status == status && said.text.contains(text), "{said:?}");
            assert_eq!(world.arrivals.of(&to).len(), usize::from(right));
        }
    });
}

/// The TLSA look-up fails for us, and the policy still holds: no level may take the host for one without any.
#[test]
fn a_look_up_that_fails_does_not_hide_the_policy() {
    in_private_network("relay::insecure_mx::a_look_up_that_fails_does_not_hide_the_policy", || {
        let mut world = World::new();
        let domains = ["signed.world", "unsigned.world"];
        for domain in domains {
            let host = format!("{}.hosts.world", domain.trim_end_matches(".world"));
            let address = world.host(MailHost::new(domain, &Identity::alone(&host)));
            let zone = world.zone("hosts.world");
            zone.record(&format!("{host}. A {address}")).record(&format!("_tcp.{host}. NS {LAME}"));
            world.zone(domain).record(&format!("{domain}. MX 10 {host}."));
            publish_sts(&mut world, domain, "enforce", &host);
        }
        world.zone("unsigned.world").unsigned();
        let world = world.start();
        let _room = room::start(&world);
        let handing = handing(&world).start();
        let asking =
            ["may", "dane"].map(|level| asking(&world).parameter("smtp_tls_security_level", level).start());
        for domain in domains {
            for (number, postfix) in asking.iter().chain([&handing]).enumerate() {
                let to = format!("u{number}@{domain}");
                let outcome =
                    SmtpClient::connect(postfix.ports.plain).send("", &[&to], b"Subject: x\r\n\r\nx\r\n");
                assert!(outcome.accepted(), "{outcome:?}");
                let said = first_said(postfix, &to, LONG);
                println!("{to}: {} {} {}", said.status, said.dsn, said.text);
                assert_eq!((said.status.as_str(), world.arrivals.of(&to).len()), ("deferred", 0), "{said:?}");
            }
        }
    });
}
