//! The road of every relayed message is in its notary record, found by Postfix's queue id.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::Gatepost;
use tests::Postfix;
use tests::run;
use tests::world::Arrived;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::RunningWorld;
use tests::world::Starttls;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::first_said;
use super::room::handing;
use super::settled::HELLO;
use super::settled::by_dane;
use super::settled::by_sts;
use super::settled::domain;
use super::settled::selfish;
use super::settled::submit_plain;

const LONG: Duration = Duration::from_secs(60);

/// What the record of one message must say.
struct Expected {
    to: &'static str,
    policy: &'static str,
    road: &'static str,
    outcome: &'static str,
    smtp: u16,
    tlsa: Option<&'static str>,
    /// The failure of the last session, as TLS reports name it.
    failure: Option<&'static str>,
    /// TLS came about, so that version, cipher, key exchange and certificate are known.
    tls: bool,
}

const DELIVERED: Expected = Expected {
    to: "",
    policy: "none",
    road: "no-road",
    outcome: "delivered",
    smtp: 250,
    tlsa: None,
    failure: None,
    tls: true,
};
const DEFERRED: Expected = Expected { outcome: "deferred", smtp: 451, tls: false, ..DELIVERED };

const MESSAGES: [Expected; 12] = [
    Expected { to: "bob@ee.world", policy: "dane", road: "dane", tlsa: Some("3 1 1"), ..DELIVERED },
    Expected { to: "bob@ta.world", policy: "dane", road: "dane", tlsa: Some("2 0 1"), ..DELIVERED },
    Expected { to: "bob@sts.world", policy: "sts", road: "sts", ..DELIVERED },
    Expected {
        to: "bob@testing.world",
        policy: "sts-testing",
        road: "unauthenticated",
        failure: Some("certificate-not-trusted"),
        ..DELIVERED
    },
    Expected { to: "bob@none.world", road: "unauthenticated", ..DELIVERED },
    Expected { to: "bob@plain.world", road: "cleartext", tls: false, ..DELIVERED },
    Expected {
        to: "no@ee.world",
        policy: "dane",
        road: "dane",
        tlsa: Some("3 1 1"),
        outcome: "refused",
        smtp: 550,
        ..DELIVERED
    },
    Expected { to: "later@ee.world", policy: "dane", tlsa: Some("3 1 1"), tls: true, ..DEFERRED },
    Expected { to: "bob@wrong.world", policy: "dane", failure: Some("certificate-not-trusted"), ..DEFERRED },
    Expected {
        to: "bob@stripped.world",
        policy: "dane",
        failure: Some("starttls-not-supported"),
        ..DEFERRED
    },
    Expected { to: "bob@selfsts.world", policy: "sts", failure: Some("certificate-not-trusted"), ..DEFERRED },
    Expected { to: "bob@gone.world", outcome: "refused", smtp: 550, tls: false, ..DELIVERED },
];

/// The world, and the certificate of its host by domain.
fn world() -> (World, Vec<(&'static str, Identity)>) {
    let mut world = World::new();
    let ee = Identity::alone("mx.ee.world");
    domain(&mut world, "ee.world", MailHost::new("", &ee), &[ee.tlsa(3, 1, 1)]);
    let (root, middle) = (world.root.clone(), world.intermediate.clone());
    let ta = middle.issue("mx.ta.world").with(&[&middle, &root]);
    domain(&mut world, "ta.world", MailHost::new("", &ta), &[middle.tlsa(2, 0, 1)]);
    let sts = world.web.issue("mx.sts.world");
    by_sts(&mut world, "sts.world", "enforce", MailHost::new("", &sts));
    by_sts(&mut world, "testing.world", "testing", selfish("testing.world"));
    let none = Identity::alone("mx.none.world");
    domain(&mut world, "none.world", MailHost::new("", &none), &[]);
    domain(&mut world, "plain.world", MailHost::plain(""), &[]);
    let wrong = Identity::alone("mx.wrong.world");
    domain(&mut world, "wrong.world", MailHost::new("", &wrong), &[wrong.wrong_tlsa(3, 1, 1)]);
    by_dane(&mut world, "stripped.world", |host| host.starttls(Starttls::Hidden));
    by_sts(&mut world, "selfsts.world", "enforce", selfish("selfsts.world"));
    (world, vec![("ee.world", ee), ("ta.world", ta), ("sts.world", sts), ("none.world", none)])
}

#[test]
fn every_message_has_its_road_in_its_record() {
    in_private_network("relay::record::every_message_has_its_road_in_its_record", || {
        let (world, certificates) = world();
        let world = world.start();
        let room = room::start(&world);
        let postfix = handing(&world).start();
        let ids: Vec<String> =
            MESSAGES.iter().map(|message| submit_plain(&postfix, &[message.to], HELLO)).collect();
        for (expected, id) in MESSAGES.iter().zip(ids) {
            first_said(&postfix, expected.to, LONG);
            let text = room.command(&["notary", "show", &id]).success().text();
            println!("{text}");
            let stories = room.notary(&id);
            assert_eq!(stories.as_array().unwrap().len(), 1, "{stories:#}");
            assert_eq!(stories[0]["event"], "relayed");
            let public = &stories[0]["leaf"]["public"];
            check(expected, public);
            let name = expected.to.split_once('@').unwrap().1;
            if let Some((_, identity)) = certificates.iter().find(|(known, _)| *known == name) {
                // Record data of usage 3, selector 0, matching type 1 is the SHA-256 digest of the certificate.
                let digest = identity.tlsa(3, 0, 1).rsplit_once(' ').unwrap().1.to_owned();
                assert_eq!(public["sessions"][0]["channel"]["certificate"], digest.as_str());
                assert!(text.contains(&digest), "{text}");
            }
            names_are_private(expected, &stories[0]);
        }
        one_message_of_several_domains(&world, &room, &postfix);
    });
}

#[track_caller]
fn check(expected: &Expected, public: &Value) {
    let to = expected.to;
    assert_eq!(public["policy"], expected.policy, "{to}: {public:#}");
    let way = &public["ways"][0];
    assert_eq!(way["road"], expected.road, "{to}: {public:#}");
    assert_eq!(way["outcome"], expected.outcome, "{to}: {public:#}");
    assert_eq!(way["smtp"], expected.smtp, "{to}: {public:#}");
    let last = public["sessions"].as_array().unwrap().last().unwrap_or(&Value::Null);
    assert_eq!(last["failure"].as_str(), expected.failure, "{to}: {public:#}");
    let channel = &last["channel"];
    assert_eq!(channel["tlsa"].as_str(), expected.tlsa, "{to}: {public:#}");
    for field in ["tls", "cipher", "key_exchange", "certificate"] {
        assert_eq!(channel[field].is_string(), expected.tls, "{to}: {field}: {public:#}");
    }
    if expected.tls {
        assert_eq!(
            (&channel["tls"], &channel["key_exchange"]),
            (&"TLSv1.3".into(), &"X25519MLKEM768".into())
        );
    }
    if expected.road != "no-road" {
        assert_eq!(way["channel"], *channel, "the last word came over the last session");
    }
}

/// Names stand in the encrypted part, with the reason in words.
#[track_caller]
fn names_are_private(expected: &Expected, story: &Value) {
    let name = expected.to.split_once('@').unwrap().1;
    assert!(!story["leaf"].to_string().contains(name), "{story:#}");
    let private = &story["private"];
    assert_eq!(
        (&private["domain"], &private["recipients"][0]["address"]),
        (&name.into(), &expected.to.into())
    );
    let reply = private["recipients"][0]["reply"].as_str().unwrap();
    assert!(reply.starts_with(&expected.smtp.to_string()), "{story:#}");
    assert!(!private["steps"].as_array().unwrap().is_empty());
}

/// One message to three domains: a record for each, under one queue id.
fn one_message_of_several_domains(world: &RunningWorld, room: &Gatepost, postfix: &Postfix) {
    let to = ["a@ee.world", "b@sts.world", "c@plain.world"];
    let id = submit_plain(postfix, &to, HELLO);
    for to in to {
        assert_eq!(first_said(postfix, to, LONG).status, "sent");
    }
    let stories = room.notary(&id);
    let mut roads: Vec<&str> = stories
        .as_array()
        .unwrap()
        .iter()
        .map(|story| story["leaf"]["public"]["ways"][0]["road"].as_str().unwrap())
        .collect();
    roads.sort_unstable();
    assert_eq!(roads, ["cleartext", "dane", "sts"]);
    assert_eq!(to.map(|to| world.arrivals.of(to).len()), [1, 1, 1]);
    room.command(&["notary", "verify"]).success();
}

/// What the record says of TLS is what the other side saw.
#[test]
fn the_record_agrees_with_openssl() {
    in_private_network("relay::record::the_record_agrees_with_openssl", || {
        let (world, _) = world();
        let world = world.start();
        let room = room::start(&world);
        let postfix = handing(&world).start();
        let id = submit_plain(&postfix, &["bob@ee.world"], HELLO);
        assert_eq!(first_said(&postfix, "bob@ee.world", LONG).status, "sent");
        let Arrived { tls, sni, .. } = world.arrivals.of("bob@ee.world").remove(0);
        assert!(tls && sni.as_deref() == Some("mx.ee.world"));
        let script = "openssl s_client -starttls smtp -connect mx.ee.world:25 -servername mx.ee.world </dev/null 2>/dev/null \
            | openssl x509 -outform DER | sha256sum | cut -d' ' -f1";
        let digest = run(Command::new("sh").args(["-c", script]), b"").success().text();
        let channel = &room.notary(&id)[0]["leaf"]["public"]["ways"][0]["channel"];
        assert_eq!(channel["certificate"], digest.trim());
        assert_eq!(channel["mx_secure"], true);
    });
}
