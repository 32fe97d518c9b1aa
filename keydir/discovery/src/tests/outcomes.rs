//! Found, certainly none, could not tell: what each source's answers come to.

use std::time::Duration;

use base64_simd::STANDARD;
use keydir::Origin;
use keydir::Scheme;
use keydir::openpgpkey_owner;
use net::dns::script::Fault;
use net::dns::script::Script;
use net::dns::script::Type;
use net::https::script::Reply;

use super::certificates::Gpg;
use super::certificates::smime;
use super::world::*;
use crate::Outcome;
use crate::Source;
use crate::SourceKind;
use crate::StepOutcome;
use crate::trust::FirstContact;

#[tokio::test]
async fn a_web_key_directory_is_asked_and_the_story_told() {
    let gpg = Gpg::new();
    let bob = gpg.generate("Bob <bob@a.example>");
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&bob)));
    let found = world.find("bob@A.example").await;
    assert_eq!(found.fingerprint(), bob);
    let text = found.trace.to_string();
    assert!(text.contains("wkd: found") && text.contains("https://openpgpkey.a.example/"), "{text}");
    assert!(text.contains("dane: not asked: a source before it has a certificate"), "{text}");
    assert!(text.contains("first contact"), "{text}");
    let json = serde_json::to_value(&found.trace).unwrap();
    assert_eq!(json["steps"][0]["outcome"]["certificates"][0], bob.as_str());
    assert_eq!(json["steps"][0]["kept_for"], serde_json::Value::Null);
    let again = world.find(BOB).await;
    assert_eq!((again.fingerprint(), world.asked()), (bob.as_str(), 1));
    assert!(again.trace.steps[0].kept_for.is_some());
    assert_eq!(again.trace.seen[0].fingerprint, bob);
    assert!(again.trace.to_string().contains(&format!("used: {bob}, from wkd, since 2")), "{}", again.trace);
}

/// Law 1: what failed is never "no key".
#[tokio::test]
async fn trouble_is_never_none() {
    let html = Reply::Whole(200, "Content-Type: text/html\r\n".to_owned(), b"<html>hello</html>".to_vec());
    let secret = {
        let gpg = Gpg::new();
        let bob = gpg.generate("bob@a.example");
        gpg.run(&["--export-secret-keys", &bob], b"")
    };
    for reply in [
        Reply::status(500),
        Reply::status(503),
        Reply::status(429),
        Reply::status(301),
        Reply::status(204),
        Reply::moved("https://b.example/"),
        Reply::moved("http://openpgpkey.a.example/"),
        Reply::moved("https://127.0.0.1/"),
        Reply::moved(&format!("https://{}", advanced("bob"))),
        Reply::Flood,
        Reply::Silence,
        Reply::Drip,
        Reply::Raw(b"220 mail.a.example ESMTP\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\x99".to_vec()),
        Reply::Whole(200, "Content-Encoding: gzip\r\n".to_owned(), vec![0x1f, 0x8b, 8]),
        Reply::ok(&[0x99; 300]),
        Reply::ok(&vec![0x99; 300 * 1024]),
        Reply::ok(&secret),
    ] {
        let world =
            World::configured(|_, config| config.sources[0].deadline = Duration::from_millis(700)).await;
        let policy = "openpgpkey.a.example/.well-known/openpgpkey/a.example/policy";
        world.web.reply(policy, Reply::ok(b"# ours\nmailbox-only\n"));
        world.wkd(reply.clone());
        let found = world.find(BOB).await;
        assert!(matches!(found.outcome, Outcome::CouldNotTell { .. }), "{reply:?}\n{}", found.trace);
        assert!(!world.web.asked().iter().any(|asked| asked.starts_with("b.example")));
        // A directory that is one, but does not give a key.
        for odd in [html.clone(), Reply::status(403), Reply::ok(b"")] {
            let other = "carol@a.example";
            world.web.reply(&advanced("carol"), odd);
            world.find(other).await.doubt();
            world.pass(1000);
        }
    }
}

#[tokio::test]
async fn a_web_site_without_directory_has_none() {
    let html = Reply::Whole(200, String::new(), b"\n <!DOCTYPE html><p>hello".to_vec());
    for (key, policy) in [
        (Reply::status(404), Reply::status(500)),
        (Reply::status(410), Reply::status(500)),
        (html.clone(), Reply::status(404)),
        (html.clone(), html.clone()),
        (Reply::status(403), Reply::status(403)),
        (Reply::ok(b""), Reply::status(404)),
    ] {
        let world = World::new(&script()).await;
        world.wkd(key.clone());
        world.web.reply("openpgpkey.a.example/.well-known/openpgpkey/a.example/policy", policy);
        let found = world.find(BOB).await;
        assert!(matches!(found.outcome, Outcome::None { .. }), "{key:?}\n{}", found.trace);
    }
    let world = World::new(&script()).await;
    world
        .wkd(html)
        .web
        .reply("openpgpkey.a.example/.well-known/openpgpkey/a.example/policy", Reply::status(502));
    world.find(BOB).await.doubt();
}

#[tokio::test]
async fn the_direct_method_is_used_only_where_the_advanced_host_does_not_exist() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let key = Reply::ok(&gpg.export(&bob));
    let without = Script::new().addr("a.example", "9.9.9.10");
    let world = World::new(&without).await;
    world.web.reply(&direct("bob"), key.clone());
    assert_eq!(world.find(BOB).await.fingerprint(), bob);

    let world = World::new(&script()).await;
    world.wkd(Reply::status(404)).web.reply(&direct("bob"), key.clone());
    world.find(BOB).await.none();

    for broken in [
        without.clone().fault("openpgpkey.a.example", Type::A, Fault::ServFail),
        Script::new().addr("a.example", "9.9.9.10").addr("openpgpkey.a.example", "192.168.0.1"),
        Script::new().addr("a.example", "9.9.9.10").fault("openpgpkey.a.example", Type::A, Fault::Bogus),
    ] {
        let world = World::new(&broken).await;
        world.web.reply(&direct("bob"), key.clone());
        world.find(BOB).await.doubt();
        assert!(world.web.asked().is_empty(), "{:?}", world.web.asked());
    }
    // Nobody has a web server there, which is no trouble.
    World::new(&Script::new().mx("a.example", 10, "mx.a.example")).await.find(BOB).await.none();
}

#[tokio::test]
async fn keys_of_others_and_keys_that_cannot_encrypt_are_none_with_the_reason() {
    let gpg = Gpg::new();
    let eve = gpg.generate("Eve <eve@a.example>");
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&eve)));
    let why = world.find(BOB).await.none();
    assert!(why.contains(&eve) && why.contains("no valid User ID for bob@a.example"), "{why}");
    gpg.run(&["--quick-generate-key", "carol@a.example", "ed25519", "sign", "1y"], b"");
    world.web.reply(&advanced("carol"), Reply::ok(&gpg.run(&["--export", "carol@a.example"], b"")));
    let why = world.find("carol@a.example").await.none();
    assert!(why.contains("no encryption subkey"), "{why}");
    for address in ["bob@localhost", "bob@corp.local", "bob@intranet"] {
        world.find(address).await.none();
    }
    for address in ["bob", "\"bob smith\"@a.example", "a@b@a.example", "bob@[192.0.2.1]", "bob@", ""] {
        world.find(address).await.none();
    }
}

#[tokio::test]
async fn of_several_the_newest_that_encrypts_wins() {
    let gpg = Gpg::new();
    let faked = |time: &str, user_id: &str| {
        let words = ["--faked-system-time", time, "--status-fd", "1", "--quick-generate-key", user_id];
        let words = [&words[..], &["future-default", "default", "20y"]].concat();
        let status = String::from_utf8(gpg.run(&words, b"")).unwrap();
        let created = status.lines().find(|line| line.contains("KEY_CREATED")).unwrap();
        created.split(' ').nth(3).unwrap().to_owned()
    };
    let old = faked("20200101T000000!", "Bob <bob@a.example>");
    let new = faked("20240101T000000!", "Bob (new) <bob@a.example>");
    let revoked = faked("20250101T000000!", "Bob (revoked) <bob@a.example>");
    gpg.revoke(&revoked);
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&[gpg.export(&old), gpg.export(&revoked), gpg.export(&new)].concat()));
    let found = world.find(BOB).await;
    assert_eq!(found.fingerprint(), new);
    assert_eq!(found.revoked.len(), 1, "the store should hear of it");
}

#[tokio::test]
async fn records_in_the_dns_count_only_with_dnssec() {
    let gpg = Gpg::new();
    let bob = gpg.generate("Bob <bob@a.example>");
    let owner = |domain: &str| format!("{}._openpgpkey.{domain}", openpgpkey_owner("bob"));
    let key = gpg.export(&bob);
    let (found, none) = (Script::new().raw(&owner("a.example"), 61.into(), &key), Script::new());
    let world = World::new(&found).await;
    let answer = world.find("Bob@a.example").await;
    assert_eq!(answer.fingerprint(), bob);
    assert_eq!(answer.trace.steps[1].origin, Origin::Dane);
    World::new(&none).await.find(BOB).await.none();
    let bogus = found.fault(&owner("a.example"), 61.into(), Fault::Bogus);
    World::new(&bogus).await.find(BOB).await.doubt();

    let plain = gpg.generate("Bob <bob@a.plain>");
    let insecure = Script::new().raw(&owner("a.plain"), 61.into(), &gpg.export(&plain));
    let answer = World::new(&insecure).await.find("bob@a.plain").await;
    answer.none();
    assert!(answer.trace.to_string().contains("DNSSEC does not protect them"), "{}", answer.trace);
}

#[tokio::test]
async fn certificates_of_smime_come_from_the_dns_too() {
    let der = smime(BOB);
    let owner = format!("{}._smimecert.a.example", openpgpkey_owner("bob"));
    let record = [&[3, 0, 0][..], &der].concat();
    let other = [&[3, 0, 0][..], &smime("eve@a.example")].concat();
    let world =
        World::new(&Script::new().raw(&owner, 53.into(), &other).raw(&owner, 53.into(), &record)).await;
    let found = world.discovery.find(BOB, Scheme::Smime, PATIENCE).await;
    let Outcome::Found(candidate) = &found.outcome else { panic!("{}", found.trace) };
    assert_eq!((candidate.scheme, &candidate.bytes[..]), (Scheme::Smime, &der[..]));
    assert!(matches!(found.trace.steps[0].outcome, StepOutcome::Skipped { .. }), "no WKD for S/MIME");

    let digest = World::new(&Script::new().raw(&owner, 53.into(), &[3, 0, 1, 7, 7])).await;
    let found = digest.discovery.find(BOB, Scheme::Smime, PATIENCE).await;
    found.none();
    let garbage = World::new(&Script::new().raw(&owner, 53.into(), &[3, 0, 0, 7, 7])).await;
    garbage.discovery.find(BOB, Scheme::Smime, PATIENCE).await.doubt();
}

#[tokio::test]
async fn a_partner_answers_for_its_domains_only() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let world = World::configured(|web, config| {
        let peer = Source::new("partner", SourceKind::Peer(base(web))).for_domains(&["a.example"]);
        config.sources.insert(0, peer);
    })
    .await;
    let answer = serde_json::json!({
        "address": BOB,
        "openpgp": [STANDARD.encode_to_string(gpg.export(&bob))],
        "smime": [STANDARD.encode_to_string(smime(BOB))],
    });
    let path = "/.well-known/tmg/v1/lookup?address=bob%40a.example";
    world.web.reply(&format!("{}{path}", host(&world.web)), Reply::ok(answer.to_string().as_bytes()));
    let found = world.find(BOB).await;
    assert_eq!(found.fingerprint(), bob);
    assert_eq!(found.trace.steps[0].origin, Origin::Peer);
    let found = world.discovery.find(BOB, Scheme::Smime, PATIENCE).await;
    assert!(matches!(found.outcome, Outcome::Found(_)), "{}", found.trace);
    let other = world.find("x@b.example").await;
    assert!(matches!(other.trace.steps[0].outcome, StepOutcome::Skipped { .. }));
}

#[tokio::test]
async fn a_verifying_key_server_is_asked_by_address() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let world = World::configured(|web, config| {
        config.sources = vec![Source::new("vks", SourceKind::Vks(base(web)))];
        config.rules.key_servers = FirstContact::Tofu;
    })
    .await;
    let armored = gpg.run(&["--armor", "--export", &bob], b"");
    world.web.reply(&format!("{}/vks/v1/by-email/bob@a.example", host(&world.web)), Reply::ok(&armored));
    assert_eq!(world.find(BOB).await.fingerprint(), bob);
    world.find("eve@a.example").await.none();
}

/// Who can block a domain's own directory must not lead us to a certificate that he uploaded somewhere.
#[tokio::test]
async fn a_key_server_is_not_believed_while_the_domain_cannot_be_asked() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let key = Reply::ok(&gpg.export(&bob));
    let world = World::with_key_server(FirstContact::Tofu).await;
    world.wkd(Reply::status(503)).key_server(key);
    let found = world.find(BOB).await;
    assert!(found.doubt().contains("wkd could not be asked"), "{}", found.trace);
    world.wkd(Reply::status(404)).pass(1000);
    assert_eq!(world.find(BOB).await.fingerprint(), bob);
    world.wkd(Reply::status(503)).pass(4000);
    assert_eq!(world.find(BOB).await.fingerprint(), bob, "known by now");
}

#[tokio::test]
async fn the_dns_may_answer_while_the_web_is_in_trouble() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let owner = format!("{}._openpgpkey.a.example", openpgpkey_owner("bob"));
    let world = World::new(&script().raw(&owner, 61.into(), &gpg.export(&bob))).await;
    world.wkd(Reply::status(500));
    assert_eq!(world.find(BOB).await.fingerprint(), bob);
}

#[tokio::test]
async fn a_dead_key_server_without_answer_is_trouble() {
    let world = World::configured(|_, config| {
        let url = "http://127.0.0.1:1/".parse().unwrap();
        config.sources.push(Source::new("hkp", SourceKind::Hkp(url)));
    })
    .await;
    world.wkd(Reply::status(404));
    assert!(world.find(BOB).await.doubt().starts_with("hkp: "));
}
