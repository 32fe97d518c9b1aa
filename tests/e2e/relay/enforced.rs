//! Enforced TLS as protection: asked at RCPT, promised when mail is accepted, kept until it is delivered.

use std::time::Duration;

use tests::Gpg;
use tests::Site;
use tests::SmtpClient;
use tests::wait_for;
use tests::world::Identity;
use tests::world::LAME;
use tests::world::MailHost;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

use super::room::POLICY;
use super::room::first_said;
use super::settled::ALICE;
use super::settled::HELLO;
use super::settled::by_dane;
use super::settled::by_sts;
use super::settled::domain;
use super::settled::selfish;
use super::settled::site;
use super::settled::submit;
use super::settled::submit_plain;
use super::settled::until;

const LONG: Duration = Duration::from_secs(60);
const SECRET: &str = "the vault opens at nine";
const ROAD: &str = "[policy]\nencrypt = \"required\"\nkeys = [\"enforced-tls\"]\n";
const KEY_OR_ROAD: &str = "[policy]\nencrypt = \"required\"\nkeys = [\"user-openpgp\", \"enforced-tls\"]\n";

fn started(world: &RunningWorld, policy: &str, main_cf: &[(&str, &str)]) -> Site {
    let mut site = site(world, policy, main_cf);
    site.gatepost.start();
    site
}

/// Domains by the answer that RCPT must get, with words of its reason.
const ANSWERS: [(&str, u16, &str); 12] = [
    ("dane.world", 250, ""),
    ("sts.world", 250, ""),
    ("none.world", 550, "neither DANE nor MTA-STS"),
    ("plain.world", 550, "neither DANE nor MTA-STS"),
    ("testing.world", 550, "for testing only"),
    ("unusable.world", 550, "none of its TLSA records is usable"),
    ("half.world", 550, "b.half.world: neither DANE nor MTA-STS"),
    ("open.world", 550, "an MX answer that is not secure"),
    ("null.world", 550, "takes no mail"),
    ("gone.world", 550, "does not exist"),
    ("bogus.world", 451, "cannot tell"),
    ("lame.world", 451, "cannot tell"),
];

fn every_kind() -> World {
    let mut world = World::new();
    by_dane(&mut world, "dane.world", |host| host);
    let host = MailHost::new("", &world.web.issue("mx.sts.world"));
    by_sts(&mut world, "sts.world", "enforce", host);
    domain(&mut world, "none.world", selfish("none.world"), &[]);
    domain(&mut world, "plain.world", MailHost::plain(""), &[]);
    let host = MailHost::new("", &world.web.issue("mx.testing.world"));
    by_sts(&mut world, "testing.world", "testing", host);
    let identity = Identity::alone("mx.unusable.world");
    domain(&mut world, "unusable.world", MailHost::new("", &identity), &[identity.tlsa(1, 1, 1)]);
    let second = world.host(selfish("b.half.world"));
    let zone = by_dane(&mut world, "half.world", |host| host);
    zone.record("half.world. MX 20 b.half.world.").record(&format!("b.half.world. A {second}"));
    world.zone("open.world").unsigned().record("open.world. MX 10 mx.dane.world.");
    world.zone("null.world").record("null.world. MX 0 .");
    by_dane(&mut world, "bogus.world", |host| host).tamper("MX", "10", "11");
    domain(&mut world, "lame.world", selfish("lame.world"), &[])
        .record(&format!("_tcp.mx.lame.world. NS {LAME}"));
    by_dane(&mut world, "late.world", |host| host);
    world
}

#[test]
fn rcpt_is_answered_as_the_road_is() {
    in_private_network("relay::enforced::rcpt_is_answered_as_the_road_is", || {
        let mut world = every_kind().start();
        let site = started(&world, ROAD, &[]);
        let mut client = SmtpClient::connect(site.postfix.ports.submission);
        for (domain, code, why) in ANSWERS {
            assert_eq!(client.mail(ALICE).code, 250);
            let reply = client.rcpt(&format!("bob@{domain}"));
            println!("{domain}: {reply}");
            assert!(reply.code == code && reply.text().contains(why), "{domain}: {reply}");
            client.command("RSET");
        }
        site.gatepost.wait_log(&["\"bogus.world\"", "signatures do not hold"]);
        site.gatepost.wait_log(&["\"lame.world\"", "TLSA", "SERVFAIL"]);
        // Only what is accepted leaves, over the road that was looked at.
        for (to, proof) in [("bob@dane.world", " DANE-verified "), ("bob@sts.world", " WebPKI-verified ")] {
            let outcome = submit(&site, to);
            assert!(outcome.accepted(), "{outcome:?}");
            let said = first_said(&site.postfix, to, LONG);
            assert!(said.status == "sent" && said.text.contains(proof), "{said:?}");
            let arrived = world.arrivals.of(to);
            assert!(arrived.len() == 1 && arrived[0].tls && arrived[0].text.contains(SECRET), "{arrived:?}");
            site.gatepost.wait_log(&[&outcome.queue_id(), "action=tls", "verdict=continue"]);
        }
        assert_eq!(world.arrivals.count(""), 2);
        // What is not known when the resolver is dead is neither a yes nor a no.
        world.stop_resolver();
        let outcome = submit(&site, "bob@late.world");
        println!("late.world: {}", outcome.rcpt[0]);
        assert_eq!(outcome.rcpt[0].code, 451, "{outcome:?}");
        world.start_resolver("validator iterator");
        let outcome = wait_for("the resolver to be asked again", LONG, || {
            std::thread::sleep(Duration::from_secs(1));
            Some(submit(&site, "bob@late.world")).filter(tests::Outcome::accepted)
        });
        assert!(outcome.accepted());
    });
}

#[test]
fn one_recipient_is_refused_and_the_others_are_not() {
    in_private_network("relay::enforced::one_recipient_is_refused_and_the_others_are_not", || {
        let world = every_kind().start();
        let site = started(&world, ROAD, &[]);
        let outcome = site.submit(ALICE, &["a@none.world", "b@dane.world", "c@bogus.world"], HELLO);
        let codes: Vec<u16> = outcome.rcpt.iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [550, 250, 451]);
        assert!(outcome.accepted());
        assert_eq!(first_said(&site.postfix, "b@dane.world", LONG).status, "sent");
        site.postfix.wait_idle();
        assert_eq!(world.arrivals.count(""), 1);
    });
}

/// A site with bob's certificate, whose domain nobody can authenticate; carol's domain has DANE and no certificate.
fn key_and_road(world: &RunningWorld, main_cf: &[(&str, &str)]) -> (Site, Gpg) {
    let keys = Gpg::new();
    keys.generate("bob@none.world");
    let site = site(world, KEY_OR_ROAD, main_cf);
    site.gatepost.import(&["--for", "bob@none.world"], &keys.certificate("bob@none.world"));
    (site, keys)
}

#[test]
fn a_key_comes_before_the_road() {
    in_private_network("relay::enforced::a_key_comes_before_the_road", || {
        let world = every_kind().start();
        let (mut site, keys) = key_and_road(&world, &[]);
        site.gatepost.start();
        let outcome = site.submit(ALICE, &["bob@none.world", "carol@dane.world", "dave@none.world"], HELLO);
        let codes: Vec<u16> = outcome.rcpt.iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [250, 250, 550], "{outcome:?}");
        assert!(outcome.accepted(), "{outcome:?}");
        sealed_for_bob(&world, &keys);
        let said = until(&site.postfix, "carol@dane.world", "sent");
        assert!(said.text.contains(" DANE-verified "), "{said:?}");
        let carol = world.arrivals.of("carol@dane.world").remove(0);
        assert!(carol.text.contains(SECRET) && carol.tls, "{carol:?}");
    });
}

/// Bob's copy arrives, and only he can read it.
#[track_caller]
fn sealed_for_bob(world: &RunningWorld, keys: &Gpg) {
    let bob = wait_for("bob's copy", LONG, || world.arrivals.of("bob@none.world").pop());
    assert!(bob.text.contains("multipart/encrypted") && !bob.text.contains(SECRET), "{bob:?}");
    let opened = keys.decrypt(tests::armored_message(bob.text.as_bytes()).unwrap());
    assert!(String::from_utf8_lossy(&opened.plaintext).contains(SECRET));
}

/// Accepted while it has TLSA records, under way when it has none any more.
#[test]
fn a_domain_that_loses_its_records_gets_nothing_over_a_lesser_road() {
    in_private_network(
        "relay::enforced::a_domain_that_loses_its_records_gets_nothing_over_a_lesser_road",
        || {
            let mut world = World::new();
            by_dane(&mut world, "good.world", |host| host);
            let record = {
                // The same key after all: the domain comes back as it was.
                let identity = Identity::alone("mx.again.world");
                domain(&mut world, "again.world", MailHost::new("", &identity), &[identity.tlsa(3, 1, 1)]);
                format!("_25._tcp.mx.again.world. TLSA {}", identity.tlsa(3, 1, 1))
            };
            let mut world = world.start();
            // Delivered only when somebody says so.
            let mut site = started(&world, ROAD, &[("defer_transports", "gw")]);
            let both = ["bob@good.world", "bob@again.world"];
            for to in both {
                assert!(submit(&site, to).accepted());
            }
            site.gatepost.kill9();
            for name in ["good.world", "again.world"] {
                world.change_zone(name, |zone| {
                    zone.without(" TLSA ");
                });
            }
            site.gatepost.start();
            for to in both {
                let said = wait_for(&format!("{to} to be tried"), LONG, || {
                    site.postfix.flush();
                    std::thread::sleep(Duration::from_millis(500));
                    let all = super::room::said(&site.postfix, to);
                    all.into_iter().find(|said| said.text.contains("promised"))
                });
                println!("{to}: {} {}", said.status, said.text);
                assert!(said.status == "deferred" && said.dsn.starts_with("4.7."), "{said:?}");
            }
            // New mail is refused at once, and nobody can waive what was promised.
            assert_eq!(submit(&site, "carol@good.world").rcpt[0].code, 550);
            let waiver = b"TLS-Required: No\r\nSubject: x\r\n\r\nx\r\n";
            submit_plain(&site.postfix, &["dave@good.world"], waiver);
            let said = until(&site.postfix, "dave@good.world", "deferred");
            assert!(!said.text.contains("delivered"), "{said:?}");
            asked_by_postfix(&site, "good.world");
            assert_eq!(world.arrivals.count(""), 0);
            world.change_zone("again.world", |zone| {
                zone.record(&record);
            });
            site.gatepost.restart();
            let said = until(&site.postfix, "bob@again.world", "sent");
            assert!(said.text.contains(" DANE-verified "), "{said:?}");
            assert_eq!(world.arrivals.count(""), 1);
        },
    );
}

/// A Postfix that delivers by itself is told to wait.
#[track_caller]
fn asked_by_postfix(site: &Site, domain: &str) {
    let map = format!("socketmap:inet:127.0.0.1:{POLICY}:QUERY");
    let ran = site.postfix.command("postmap", &["-q", domain, &map]);
    println!("policy server about {domain}: {} {}{}", ran.code, ran.text(), ran.stderr);
    assert!(ran.code != 0 && ran.stdout.is_empty(), "{ran:?}");
    assert!(ran.stderr.contains("promised"), "{ran:?}");
}

#[test]
fn what_was_accepted_survives_a_kill_in_every_form() {
    in_private_network("relay::enforced::what_was_accepted_survives_a_kill_in_every_form", || {
        let world = every_kind().start();
        let (mut site, keys) = key_and_road(&world, &[("defer_transports", "gw")]);
        site.gatepost.start();
        let outcome = site.submit(ALICE, &["bob@none.world", "carol@dane.world"], HELLO);
        site.gatepost.kill9();
        assert!(outcome.accepted(), "{outcome:?}");
        assert_eq!(world.arrivals.count(""), 0);
        site.gatepost.start();
        let said = until(&site.postfix, "carol@dane.world", "sent");
        assert!(said.text.contains(" DANE-verified "), "{said:?}");
        until(&site.postfix, "bob@none.world", "sent");
        sealed_for_bob(&world, &keys);
        assert_eq!(world.arrivals.of("carol@dane.world").len(), 1);
        assert_eq!(world.arrivals.count(""), 2);
    });
}
