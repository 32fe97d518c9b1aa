//! What is kept, for how long, and how often the network is asked.

use std::time::Duration;

use keydir::Scheme;
use net::https::script::Reply;

use super::certificates::Gpg;
use super::world::*;
use crate::Outcome;
use crate::Place;

const HOUR: i64 = 3600;

#[tokio::test]
async fn answers_of_each_kind_have_their_own_time() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let world = World::new(&script()).await;
    world.wkd(Reply::status(500));
    world.find(BOB).await.doubt();
    world.find(BOB).await.doubt();
    assert_eq!(world.asked(), 1, "trouble is spared for two minutes");
    world.wkd(Reply::status(404)).pass(121);
    world.find(BOB).await.none();
    world.pass(HOUR / 2);
    world.find(BOB).await.none();
    assert_eq!(world.asked(), 2, "a denial holds for an hour");
    world.wkd(Reply::ok(&gpg.export(&bob))).pass(HOUR);
    world.find(BOB).await.fingerprint();
    world.pass(2 * HOUR);
    world.find(BOB).await.fingerprint();
    assert_eq!(world.asked(), 3, "a certificate for four");
    world.wkd(Reply::status(404)).pass(3 * HOUR);
    world.find(BOB).await.none();
}

#[tokio::test]
async fn an_answer_past_its_time_serves_only_if_asked_for_and_not_for_long() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    for stale in [false, true] {
        let world = World::configured(|_, config| {
            config.lifetimes.stale = if stale { Duration::from_secs(8 * 3600) } else { Duration::ZERO };
        })
        .await;
        world.wkd(Reply::ok(&gpg.export(&bob)));
        world.find(BOB).await.fingerprint();
        world.web.reply(&advanced("none"), Reply::status(404));
        world.find("none@a.example").await.none();
        world.wkd(Reply::status(500)).web.reply(&advanced("none"), Reply::status(500));
        world.pass(5 * HOUR);
        let found = world.find(BOB).await;
        world.find("none@a.example").await.doubt();
        if !stale {
            found.doubt();
            continue;
        }
        assert_eq!(found.fingerprint(), bob);
        assert!(found.trace.to_string().contains("past its time"), "{}", found.trace);
        world.pass(6 * HOUR);
        assert_eq!(world.find(BOB).await.fingerprint(), bob);
        world.pass(2 * HOUR);
        world.find(BOB).await.doubt();
    }
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_look_up() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&bob)));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let discovery = world.discovery.clone();
        all.spawn(async move { discovery.find(BOB, Scheme::Openpgp, PATIENCE).await });
    }
    for found in all.join_all().await {
        assert_eq!(found.fingerprint(), bob);
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn too_many_look_ups_are_could_not_tell() {
    let world = World::configured(|_, config| config.concurrent = 1).await;
    world.wkd(Reply::Silence);
    let first = world.discovery.find(BOB, Scheme::Openpgp, Duration::from_millis(200)).await;
    assert!(first.doubt().contains("the look-up goes on"));
    assert!(world.find("carol@a.example").await.doubt().contains("too many look-ups"));
}

#[tokio::test]
async fn a_look_up_goes_on_when_nobody_waits_and_its_answer_is_kept() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&bob)));
    world.discovery.find(BOB, Scheme::Openpgp, Duration::ZERO).await.doubt();
    let found = world.find(BOB).await;
    assert_eq!((found.fingerprint(), world.asked()), (bob.as_str(), 1));
}

#[tokio::test]
async fn what_is_used_is_refreshed_before_its_end() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.export(&bob)));
    world.find(BOB).await.fingerprint();
    world.pass(3 * HOUR + 60);
    let found = world.find(BOB).await;
    assert!(found.trace.steps[0].kept_for.is_some_and(|age| age > 3 * HOUR), "nobody waits for it");
    let begun = std::time::Instant::now();
    while world.asked() < 2 {
        assert!(begun.elapsed() < PATIENCE, "no refreshment");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The answer may not be written down yet.
    while world.find(BOB).await.trace.steps[0].kept_for.is_some_and(|age| age > 60) {
        assert!(begun.elapsed() < PATIENCE, "not kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Used, and near its end again: whoever tends the memory sees to it.
    world.pass(3 * HOUR + 45 * 60);
    let before = world.asked();
    world.discovery.tend().await.unwrap();
    assert_eq!(world.asked(), before + 1);
    // Trouble during a refreshment takes nothing away.
    world.wkd(Reply::status(500)).pass(3 * HOUR + 45 * 60);
    world.find(BOB).await.fingerprint();
    world.discovery.tend().await.unwrap();
    assert_eq!(world.find(BOB).await.fingerprint(), bob);
}

#[tokio::test]
async fn a_certificate_that_ended_is_not_used_from_the_memory() {
    let gpg = Gpg::new();
    gpg.run(&["--quick-generate-key", BOB, "future-default", "default", "seconds=3600"], b"");
    let world = World::new(&script()).await;
    world.wkd(Reply::ok(&gpg.run(&["--export", BOB], b"")));
    world.find(BOB).await.fingerprint();
    world.pass(HOUR + 10);
    let found = world.find(BOB).await;
    assert!(found.none().contains("expired"), "{}", found.trace);
    assert_eq!(world.asked(), 2, "there might have been a new one");
}

#[tokio::test]
async fn sightings_survive_a_restart() {
    let gpg = Gpg::new();
    let (old, new) = (gpg.generate("Bob <bob@a.example>"), gpg.generate("Bob 2 <bob@a.example>"));
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Sqlite(directory.path().join("discovery.db"));
    for (key, changed) in [(&old, false), (&new, true)] {
        let world = World::configured(|_, config| config.place = place.clone()).await;
        world.wkd(Reply::ok(&gpg.export(key)));
        if changed {
            world.pass(24 * HOUR);
        }
        let found = world.find(BOB).await;
        assert_eq!(matches!(found.outcome, Outcome::Held(_)), changed, "{}", found.trace);
    }
}
