//! A message that is put on hold stays there whole.

use tests::PATIENCE;
use tests::wait_for;

use super::door::Stand;
use super::letter::Letter;
use super::letter::Shape;
use super::world::World;

const POLICY: &str =
    "[[rule]]\nid = \"hold\"\nsubject = \"[hold]\"\nverdict = \"quarantine\"\ntext = \"to be looked at\"\n";

#[test]
fn the_copies_of_a_message_on_hold_are_held_as_well() {
    let mut world = World::new(POLICY);
    world.start();
    world.door.set(Stand::Open);
    let letter = Letter::new("[hold] news", Shape::Groups);
    let saw = world.send(&letter, |_| {});
    assert!(saw.accepted, "{saw:?}");
    let queue = wait_for("three messages on hold", PATIENCE, || {
        let queue = world.postfix.mailq();
        (queue.len() == 3 && world.is_spool_empty()).then_some(queue)
    });
    assert!(queue.iter().all(|mail| mail["queue_name"] == "hold"), "{queue:?}");
    for (recipient, count) in world.arrived(&letter).counts {
        assert_eq!(count, 0, "{recipient} got what is on hold");
    }
}
