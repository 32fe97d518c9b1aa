//! Domains whose directory is broken for long.

use std::time::Duration;

use net::https::script::Reply;

use super::certificates::Gpg;
use super::world::*;
use crate::Found;
use crate::Outcome;

const HOUR: i64 = 3600;

async fn world(hours: Option<u64>) -> World {
    World::configured(|_, config| {
        config.patience = hours.map(|hours| Duration::from_secs(hours * 3600));
    })
    .await
}

/// Whether it is given up, if it cannot be told.
#[track_caller]
fn given_up(found: &Found) -> bool {
    match &found.outcome {
        Outcome::CouldNotTell { given_up, .. } => given_up.is_some(),
        other => panic!("{other:?}\n{}", found.trace),
    }
}

#[tokio::test]
async fn without_patience_set_it_is_never_given_up() {
    let world = world(None).await;
    world.wkd(Reply::status(503));
    for _ in 0..20 {
        assert!(!given_up(&world.find(BOB).await));
        world.pass(20 * HOUR);
    }
}

#[tokio::test]
async fn what_nobody_could_tell_for_long_is_given_up_until_somebody_can() {
    let world = world(Some(4)).await;
    world.wkd(Reply::status(503));
    for (hour, over) in [false, false, false, false, true, true].into_iter().enumerate() {
        let found = world.find(BOB).await;
        assert_eq!(given_up(&found), over, "hour {hour}: {}", found.trace);
        let word = if over { "given up" } else { "waits" };
        assert!(found.trace.conclusion.contains(word), "{}", found.trace);
        world.pass(HOUR);
    }
    // Somebody else's look-up is another one.
    world.web.reply(&advanced("ann"), Reply::status(503));
    assert!(!given_up(&world.find("ann@a.example").await));
    // One answer, and it begins anew.
    world.wkd(Reply::status(404)).pass(HOUR);
    world.find(BOB).await.none();
    world.wkd(Reply::status(503)).pass(HOUR + 1);
    assert!(!given_up(&world.find(BOB).await));
    // Nobody knows how it was while nobody asked.
    world.pass(25 * HOUR);
    assert!(!given_up(&world.find(BOB).await));
}

#[tokio::test]
async fn at_once_if_the_administrator_has_none() {
    let world = world(Some(0)).await;
    world.wkd(Reply::status(503));
    assert!(given_up(&world.find(BOB).await));
}

/// The room says so; that a certificate was used is told by what was seen, and counts with whoever decides.
#[tokio::test]
async fn what_was_used_before_is_told_along_with_it() {
    let gpg = Gpg::new();
    let bob = gpg.generate("bob@a.example");
    let world = world(Some(1)).await;
    world.wkd(Reply::ok(&gpg.export(&bob)));
    assert_eq!(world.find(BOB).await.fingerprint(), bob);
    world.wkd(Reply::status(503)).pass(20 * HOUR);
    assert!(!given_up(&world.find(BOB).await));
    world.pass(2 * HOUR);
    let found = world.find(BOB).await;
    assert!(given_up(&found));
    assert!(found.trace.seen.iter().any(|seen| seen.last > 0), "{}", found.trace);
}
