//! Certificates that change, and who may say so.

use std::sync::Arc;

use keydir::Scheme;
use net::https::script::Reply;
use net::https::script::Web;

use super::certificates::Gpg;
use super::certificates::smime;
use super::world::*;
use crate::Config;
use crate::LogVerifier;
use crate::Outcome;
use crate::Source;
use crate::SourceKind;
use crate::trust::FirstContact;

const DAY: i64 = 86_400;

#[tokio::test]
async fn a_change_that_nobody_vouches_for_is_held_and_told_once() {
    let gpg = Gpg::new();
    let (old, new) = (gpg.generate("Bob <bob@a.example>"), gpg.generate("Bob 2 <bob@a.example>"));
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&old)));
    assert_eq!(world.find(BOB).await.fingerprint(), old);
    world.wkd(Reply::ok(&gpg.export(&new))).pass(DAY);
    let found = world.find(BOB).await;
    let held = found.held();
    assert_eq!((held.old.as_deref(), held.new.fingerprint.as_str(), held.news), (Some(&*old), &*new, true));
    assert!(found.trace.conclusion.contains("nothing vouches for the change"), "{}", found.trace);
    world.web.reply(&advanced("bob").replace("l=bob", "l=BOB"), Reply::ok(&gpg.export(&new)));
    assert!(!world.find("BOB@a.example").await.held().news, "told once, whatever the case");

    // Both on offer: the one in use goes on.
    world.wkd(Reply::ok(&[gpg.export(&new), gpg.export(&old)].concat())).pass(DAY);
    assert_eq!(world.find(BOB).await.fingerprint(), old);

    world.wkd(Reply::ok(&gpg.export(&new))).pass(DAY);
    world.discovery.approve(BOB, Scheme::Openpgp, &gpg.export(&new)).await.unwrap();
    assert_eq!(world.find(BOB).await.fingerprint(), new);
    // And going back is a change again, although the old one was used before.
    world.wkd(Reply::ok(&gpg.export(&old))).pass(DAY);
    assert!(world.find(BOB).await.held().news);
}

#[tokio::test]
async fn a_change_signed_by_the_old_key_is_accepted_also_from_the_memory() {
    let gpg = Gpg::new();
    let (old, new) = (gpg.generate("Bob <bob@a.example>"), gpg.generate("Bob 2 <bob@a.example>"));
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&old)));
    world.find(BOB).await.fingerprint();
    gpg.certify(&old, &new);
    world.wkd(Reply::ok(&gpg.export(&new))).pass(DAY);
    let found = world.find(BOB).await;
    assert_eq!(found.fingerprint(), new);
    assert!(found.trace.conclusion.contains("vouches for it"), "{}", found.trace);
    assert_eq!(world.find(BOB).await.fingerprint(), new);
}

#[tokio::test]
async fn new_subkeys_of_the_same_key_are_no_change() {
    let gpg = Gpg::new();
    let bob = gpg.generate("Bob <bob@a.example>");
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&bob)));
    let before = world.find(BOB).await;
    gpg.run(&["--quick-add-key", &bob, "cv25519", "encr", "1w"], b"");
    world.wkd(Reply::ok(&gpg.export(&bob))).pass(DAY / 2);
    let after = world.find(BOB).await;
    assert_eq!(before.fingerprint(), after.fingerprint());
    let bytes = |found: &crate::Found| match &found.outcome {
        Outcome::Found(candidate) => candidate.bytes.len(),
        _ => 0,
    };
    assert!(bytes(&after) > bytes(&before));
}

/// Believes every proof that says so.
#[derive(Debug)]
struct Believer;

impl LogVerifier for Believer {
    fn announces(&self, address: &str, _: Scheme, certificates: &[Arc<[u8]>], proof: &str) -> bool {
        address == BOB && certificates.len() == 1 && proof == r#"{"log":true}"#
    }
}

#[tokio::test]
async fn a_change_that_the_log_announced_is_accepted() {
    let gpg = Gpg::new();
    let (old, new) = (gpg.generate("Bob <bob@a.example>"), gpg.generate("Bob 2 <bob@a.example>"));
    let partner = |web: &Web, config: &mut Config| {
        config.sources = vec![Source::new("partner", SourceKind::Peer(base(web)))];
    };
    let world = World::with(script(), partner, Some(Arc::new(Believer))).await;
    let say = |key: &[u8], proof: &str| {
        let key = base64_simd::STANDARD.encode_to_string(key);
        let json = format!(r#"{{"address":"{BOB}","openpgp":["{key}"],"proof":{proof}}}"#);
        let path = format!("{}/.well-known/tmg/v1/lookup?address=bob%40a.example", host(&world.web));
        world.web.reply(&path, Reply::ok(json.as_bytes()));
    };
    say(&gpg.export(&old), "null");
    assert_eq!(world.find(BOB).await.fingerprint(), old);
    say(&gpg.export(&new), r#"{"log":false}"#);
    world.pass(DAY);
    world.find(BOB).await.held();
    say(&gpg.export(&new), r#"{"log":true}"#);
    world.pass(DAY);
    let found = world.find(BOB).await;
    assert_eq!(found.fingerprint(), new);
    assert!(found.trace.conclusion.contains("key log"), "{}", found.trace);
}

#[tokio::test]
async fn key_servers_are_off_held_or_trusted_first() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    for policy in [FirstContact::Off, FirstContact::Hold, FirstContact::Tofu] {
        let world = World::with_key_server(policy).await;
        world.wkd(Reply::status(404)).key_server(Reply::ok(&gpg.run(&["--armor", "--export", &bob], b"")));
        let found = world.find(BOB).await;
        match policy {
            FirstContact::Off => {
                found.none();
                assert!(!world.web.asked().iter().any(|asked| asked.contains("/pks/")));
            }
            FirstContact::Hold => assert_eq!(found.held().old, None),
            FirstContact::Tofu => assert_eq!(found.fingerprint(), bob),
        }
    }
}

/// The domain says that a key is revoked; a key server hands out the version before that.
#[tokio::test]
async fn a_revocation_cannot_be_rolled_back() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let before = gpg.export(&bob);
    let world = World::with_key_server(FirstContact::Tofu).await;
    world.wkd(Reply::ok(&before)).key_server(Reply::ok(&before));
    assert_eq!(world.find(BOB).await.fingerprint(), bob);
    gpg.revoke(&bob);
    world.wkd(Reply::ok(&gpg.export(&bob))).pass(DAY);
    let found = world.find(BOB).await;
    assert!(found.none().contains("revoked"), "{}", found.trace);
    assert_eq!(found.revoked.len(), 1);
    // Even if the domain itself goes back to it.
    world.wkd(Reply::ok(&before)).pass(DAY);
    assert!(world.find(BOB).await.none().contains("revoked"));
    let error = world.discovery.approve(BOB, Scheme::Openpgp, &before).await.unwrap_err();
    assert!(error.contains("revoked"), "{error}");
}

#[tokio::test]
async fn harvested_certificates_follow_their_own_rule() {
    let gpg = Gpg::new();
    let (bob, other) = (gpg.generate("bob@a.example"), gpg.generate("Bob <bob@a.example>"));
    let world = World::configured(|_, config| config.rules.harvested = FirstContact::Tofu).await;
    let harvest = async |key: &[u8]| world.discovery.harvest(BOB, Scheme::Openpgp, key).await;
    assert_eq!(harvest(&gpg.export(&bob)).await.fingerprint(), bob);
    assert_eq!(harvest(&gpg.export(&other)).await.held().old.as_deref(), Some(&*bob));
    harvest(b"no key").await.none();
    // What the mail taught is the one in use: the domain cannot change it unseen either.
    world.wkd(Reply::ok(&gpg.export(&other)));
    assert_eq!(world.find(BOB).await.held().old.as_deref(), Some(&*bob));
    let careful = World::new(&script()).await;
    let found = careful.discovery.harvest(BOB, Scheme::Smime, &smime(BOB)).await;
    assert_eq!(found.held().old, None, "held by default");
}
