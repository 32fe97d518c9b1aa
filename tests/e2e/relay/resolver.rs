//! A resolver that is dead, silent or does not validate: mail waits, and the log says what to do.

use std::net::UdpSocket;
use std::time::Duration;

use tests::PATIENCE;
use tests::Postfix;
use tests::SmtpClient;
use tests::wait_for;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::asking;
use super::room::first_said;
use super::room::handing;
use super::room::said;

/// The alarm.
const VALIDATING: &str = "gatepost_relay_resolver_validating";

/// A signed domain with TLSA, and one that takes mail in clear: no resolver, no clear text either.
fn world() -> RunningWorld {
    let mut world = World::new();
    let identity = Identity::alone("mx.good.world");
    let good = world.host(MailHost::new("good", &identity));
    let plain = world.host(MailHost::plain("plain"));
    for (name, address) in [("good", good), ("plain", plain)] {
        let zone = world.zone(&format!("{name}.world"));
        zone.record(&format!("{name}.world. MX 10 mx.{name}.world."));
        zone.record(&format!("mx.{name}.world. A {address}"));
    }
    world.zone("good.world").record(&format!("_25._tcp.mx.good.world. TLSA {}", identity.tlsa(3, 1, 1)));
    world.start()
}

fn submit(postfix: &Postfix, to: &str) {
    assert!(
        SmtpClient::connect(postfix.ports.plain).send("", &[to], b"Subject: x\r\n\r\nhello\r\n").accepted()
    );
}

/// Sends to both domains by both ways; nothing may be delivered. Gives what the relay said.
fn nothing_leaves(world: &RunningWorld, ways: &[&Postfix; 2], who: &str) -> String {
    let mut text = String::new();
    for postfix in ways {
        for domain in ["good.world", "plain.world"] {
            let to = format!("{who}@{domain}");
            submit(postfix, &to);
            let said = first_said(postfix, &to, Duration::from_secs(90));
            println!("{} {to}: {} {}", postfix.domain, said.status, said.text);
            assert_eq!(said.status, "deferred", "{said:?}");
            assert_eq!(world.arrivals.of(&to), []);
            text = said.text;
        }
    }
    text
}

/// After the resolver has recovered everything leaves.
fn all_leaves(ways: &[&Postfix; 2], who: &str) {
    for postfix in ways {
        for domain in ["good.world", "plain.world"] {
            let to = format!("{who}@{domain}");
            wait_for(&format!("{to} to leave {}", postfix.domain), PATIENCE, || {
                postfix.flush();
                std::thread::sleep(Duration::from_secs(1));
                said(postfix, &to).into_iter().find(|said| said.status == "sent")
            });
        }
    }
}

#[test]
fn dead_then_silent_then_not_validating_then_well() {
    in_private_network("relay::resolver::dead_then_silent_then_not_validating_then_well", || {
        let mut world = world();
        world.stop_resolver();
        let room = room::start(&world);
        let (asking, handing) = (asking(&world).start(), handing(&world).start());
        let ways = [&asking, &handing];
        nothing_leaves(&world, &ways, "dead");
        let silent = UdpSocket::bind("127.0.0.1:53").unwrap();
        nothing_leaves(&world, &ways, "silent");
        drop(silent);
        world.start_resolver("iterator");
        // What was found out a moment ago holds for a few seconds.
        std::thread::sleep(Duration::from_secs(6));
        let text = nothing_leaves(&world, &ways, "lax");
        assert!(text.contains("does not validate"), "{text}");
        assert_eq!(room.metric(VALIDATING), Some(0.0));
        let alarm = room.log().lines().find(|line| line.contains("does not validate")).map(str::to_owned);
        assert!(alarm.is_some_and(|line| line.contains("Name a validating resolver")), "{}", room.log());
        world.start_resolver("validator iterator");
        for who in ["dead", "silent", "lax"] {
            all_leaves(&ways, who);
        }
        assert_eq!(room.metric(VALIDATING), Some(1.0));
    });
}

#[test]
fn a_resolver_that_dies_later_weakens_nothing() {
    in_private_network("relay::resolver::a_resolver_that_dies_later_weakens_nothing", || {
        let mut world = world();
        let _room = room::start(&world);
        let handing = handing(&world).start();
        submit(&handing, "first@good.world");
        assert_eq!(first_said(&handing, "first@good.world", PATIENCE).status, "sent");
        world.stop_resolver();
        // What is known holds for its TTL; what is not known waits.
        submit(&handing, "second@good.world");
        let second = first_said(&handing, "second@good.world", PATIENCE);
        assert!(second.status == "deferred" || second.text.contains(" DANE-verified "), "{second:?}");
        submit(&handing, "second@plain.world");
        // The death is noticed by the time a look-up takes, 30 s, or the probe of every minute.
        let plain = first_said(&handing, "second@plain.world", Duration::from_secs(60));
        assert_eq!(plain.status, "deferred", "{plain:?}");
        assert_eq!(world.arrivals.of("second@plain.world"), []);
    });
}

#[test]
fn a_slow_resolver_costs_time_and_nothing_else() {
    in_private_network("relay::resolver::a_slow_resolver_costs_time_and_nothing_else", || {
        let mut world = world();
        world.resolver_behind(Duration::from_secs(1), false, "validator iterator");
        let _room = room::start(&world);
        let handing = handing(&world).start();
        submit(&handing, "slow@good.world");
        let said = first_said(&handing, "slow@good.world", Duration::from_secs(60));
        assert!(said.status == "sent" && said.text.contains(" DANE-verified "), "{said:?}");
    });
}

/// What a resolver on loopback says is believed (RFC 7672 section 2.1.1), but AD on data without signatures gives it
/// away. One that lies about signed data only, and strips nothing, cannot be told from an honest one.
#[test]
fn a_resolver_that_says_ad_about_unsigned_data_is_caught() {
    in_private_network("relay::resolver::a_resolver_that_says_ad_about_unsigned_data_is_caught", || {
        let mut world = World::new();
        let identity = Identity::alone("mx.unsigned.world");
        let address = world.host(MailHost::new("unsigned", &identity));
        let zone = world.zone("unsigned.world").unsigned();
        zone.record("unsigned.world. MX 10 mx.unsigned.world.");
        zone.record(&format!("mx.unsigned.world. A {address}"));
        zone.record(&format!("_25._tcp.mx.unsigned.world. TLSA {}", identity.tlsa(3, 1, 1)));
        let mut world = world.start();
        world.resolver_behind(Duration::ZERO, true, "iterator");
        let _room = room::start(&world);
        let handing = handing(&world).start();
        submit(&handing, "lie@unsigned.world");
        let said = first_said(&handing, "lie@unsigned.world", PATIENCE);
        assert!(said.status == "deferred" && said.text.contains("do not trust this resolver"), "{said:?}");
        assert_eq!(world.arrivals.count(""), 0);
    });
}
