//! Sendmail 8.18 asks our policy server through FEATURE(`sts'), with the rules of its own m4 files.

use tests::StsSendmail;
use tests::world::Ds;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::POLICY_ADDRESS;
use tests::world::PolicyFile;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::POLICY;

/// A domain with hosts `mx1` and so on, and a policy if there is a mode.
fn domain(world: &mut World, name: &str, mode: Option<&str>, listed: &str, hosts: &[Identity]) {
    if let Some(mode) = mode {
        let host = format!("mta-sts.{name}");
        let policy = format!("version: STSv1\r\nmode: {mode}\r\nmx: {listed}\r\nmax_age: 86400\r\n");
        let file = PolicyFile::new(world.web.issue(&host), &policy);
        world.policy(&host, file);
        world.zone(name).record(&format!("{host}. A {POLICY_ADDRESS}"));
        world.zone(name).record(&format!("_mta-sts.{name}. TXT \"v=STSv1; id=1;\""));
    }
    for (number, identity) in (1..).zip(hosts) {
        let address = world.host(MailHost::new(name, identity));
        // Unsigned: Sendmail judges DANE by itself, and this is about MTA-STS.
        let zone = world.zone(name).unsigned();
        zone.record(&format!("{name}. MX {number}0 mx{number}.{name}."));
        zone.record(&format!("mx{number}.{name}. A {address}"));
    }
}

fn world() -> RunningWorld {
    let mut world = World::new();
    let web = world.web.clone();
    let alone = || [Identity::alone("self.example")];
    let enforce = Some("enforce");
    domain(&mut world, "good.world", enforce, "*.good.world", &[web.issue("mx1.good.world")]);
    domain(&mut world, "named.world", enforce, "mx1.named.world", &[web.issue("other.example")]);
    domain(&mut world, "self.world", enforce, "mx1.self.world", &alone());
    let two = [web.issue("mx1.second.world"), web.issue("mx2.second.world")];
    domain(&mut world, "second.world", enforce, "mx2.second.world", &two);
    domain(&mut world, "testing.world", Some("testing"), "mx1.testing.world", &alone());
    domain(&mut world, "none.world", None, "", &alone());
    world.zone("bogus.world").record("bogus.world. MX 10 mx1.good.world.").ds(Ds::Wrong);
    world.start()
}

/// What its rule set says about a host for a recipient.
fn check(sendmail: &StsSendmail, host: &str, recipient: &str) -> String {
    let said = sendmail.test(&format!(
        ".D{{rcpt_addr}}{recipient}\n.D{{server_name}}{host}\n.D{{cert_altnames}}{host}\nSTS_Check {recipient}\n"
    ));
    let line = said.lines().rfind(|line| line.contains("STS_Check        returns:"));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn the_answers_are_what_its_rules_read() {
    in_private_network("relay::sendmail::the_answers_are_what_its_rules_read", || {
        let world = world();
        let mut room = room::start(&world);
        let sendmail = StsSendmail::new(POLICY, &world.authorities);
        for (domain, answer) in [
            // Exact names, never the pattern; and only those that the policy lists.
            ("good.world", "returns secure match=mx1.good.world servername=hostname (0)"),
            ("second.world", "returns secure match=mx2.second.world servername=hostname (0)"),
            ("testing.world", "no match (68)"),
            ("none.world", "no match (68)"),
            ("absent.world", "no match (68)"),
            ("a..b", "no match (68)"),
            ("bogus.world", "no match (75)"),
        ] {
            let said = sendmail.test(&format!("/map sts {domain}\n"));
            assert!(said.contains(&format!("map_lookup: sts ({domain}) {answer}")), "{domain}: {said}");
        }
        let temporary = "450 STS lookup temp fail";
        assert!(check(&sendmail, "mx1.good.world", "u@bogus.world").ends_with(temporary));
        assert!(check(&sendmail, "mx1.none.world", "u@none.world").ends_with("returns: ok"));
        let unlisted = check(&sendmail, "mx1.second.world", "u@second.world");
        assert!(unlisted.contains("450 mx1 . second . world not found in"), "{unlisted}");
        room.term();
        assert!(check(&sendmail, "mx1.good.world", "u@good.world").ends_with(temporary));
    });
}

#[test]
fn it_delivers_to_nobody_else() {
    in_private_network("relay::sendmail::it_delivers_to_nobody_else", || {
        let world = world();
        let mut room = room::start(&world);
        let sendmail = StsSendmail::new(POLICY, &world.authorities);
        for (domain, outcome) in [
            ("good.world", "Sent (2.0.0 taken by good.world)"),
            ("named.world", "Deferred"),
            ("self.world", "Deferred: 403 4.7.0 authentication failed"),
            ("testing.world", "Sent (2.0.0 taken by testing.world)"),
            ("none.world", "Sent (2.0.0 taken by none.world)"),
        ] {
            let to = format!("u@{domain}");
            let said = sendmail.send(&to, "Subject: x\n\nhello\n");
            assert!(said.contains(&format!("{to}... {outcome}")), "{to}: {said}");
            let arrived = world.arrivals.of(&to);
            assert_eq!(arrived.len(), usize::from(outcome.starts_with("Sent")), "{to}");
            assert!(arrived.iter().all(|arrived| arrived.tls), "{to}");
        }
        // The first host is not listed, though its certificate is good: it gets nothing, the second everything.
        let said = sendmail.send("u@second.world", "Subject: x\n\nhello\n");
        let (first, second) = said.split_once("Connecting to mx2.second.world.").unwrap();
        assert!(first.contains("Connecting to mx1.second.world.") && !first.contains(">>> RCPT"), "{said}");
        assert!(second.contains("u@second.world... Sent (2.0.0 taken by second.world)"), "{said}");
        assert_eq!(world.arrivals.of("u@second.world").len(), 1);
        // Nobody answers: mail waits.
        room.term();
        let said = sendmail.send("later@good.world", "Subject: x\n\nhello\n");
        assert!(said.contains("later@good.world... Deferred"), "{said}");
        assert_eq!(world.arrivals.of("later@good.world"), []);
        assert!(!sendmail.queue().is_empty());
    });
}
