//! The way back into the MTA is closed, or the MTA does not take a copy.

use tests::PATIENCE;
use tests::wait_for;

use super::door::Answer;
use super::door::Stand;
use super::lasting::COLUMNS;
use super::lasting::Lasting;
use super::letter::BOB;
use super::letter::Letter;
use super::letter::Shape;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;
use super::world::names;

#[test]
fn copies_wait_until_the_mta_takes_them() {
    let mut world = World::new("");
    world.start();
    let mut section = Section::new("Re-injection fails", &COLUMNS);
    world.door.set(Stand::Closed);
    let lasting = Lasting::begin(&world, "the port is closed, and opened later", Shape::Groups);
    let metric = |series: &str| world.gatepost.metric(series).unwrap();
    let oldest = "gatepost_milter_copies_oldest_timestamp_seconds";
    wait_for("the age of the copies", PATIENCE, || (metric(oldest) > 1_700_000_000.0).then_some(()));
    // Carol alone gets hers in clear.
    assert_eq!(metric("gatepost_milter_unprotected_recipients_total{signed=\"no\"}"), 1.0);
    assert_eq!(metric("gatepost_milter_unprotected_recipients_total{signed=\"yes\"}"), 0.0);
    world.door.set(Stand::Open);
    lasting.mended(&world, &mut section);
    wait_for("no age without copies", PATIENCE, || (metric(oldest) == 0.0).then_some(()));

    world.door.set(Stand::Closed);
    let name = "the port is closed, and the gateway restarted before it is opened";
    let lasting = Lasting::begin(&world, name, Shape::Groups);
    world.gatepost.restart();
    world.door.set(Stand::Open);
    lasting.mended(&world, &mut section);

    for (name, answer) in [
        ("the MTA answers 451 to a copy", Answer::Refusal("451 4.3.0 later")),
        ("the connection breaks before the MTA's 250 is read", Answer::Silence),
    ] {
        world.door.answer(&[answer]);
        let lasting = Lasting::begin(&world, name, Shape::Groups);
        lasting.mended(&world, &mut section);
    }
    refused_for_good(&world, &mut section);
    unchangeable_spool(&world, &mut section);
    section.compare();
}

/// Both copies are refused: the sender is told about both recipients.
fn refused_for_good(world: &World, section: &mut Section) {
    world.door.set(Stand::Held);
    let name = "the MTA answers 550 to the copies: the sender gets a notice for each";
    let letter = Letter::new(name, Shape::Groups);
    let saw = world.send(&letter, |_| {});
    assert!(saw.accepted, "{saw:?}");
    world
        .door
        .answer(&[Answer::Refusal("550 5.1.1 no such user"), Answer::Refusal("550 5.1.1 no such user")]);
    world.door.set(Stand::Open);
    world.wait_idle();
    let notices = world.postfix.wait_mail("alice", 2);
    let told = |address: &str| {
        notices.iter().any(|notice| notice.text().contains(&format!("Final-Recipient: rfc822; {address}\n")))
    };
    for (recipient, count) in world.arrived(&letter).counts {
        assert_eq!(count > 0, recipient == BOB);
        assert!(recipient == BOB || told(recipient), "{notices:?}");
    }
    section.row(&[name, Shape::Groups.name(), &saw.text, "nothing", "nothing", "none"]);
}

/// The MTA takes the copies, and the gateway cannot remove them from its spool.
fn unchangeable_spool(world: &World, section: &mut Section) {
    world.door.set(Stand::Held);
    let name = "the spool becomes read-only before a copy is removed";
    let lasting = Lasting::begin(world, name, Shape::Groups);
    let trace = world.inject(&Fault { calls: "unlink", paths: Vec::new(), injection: "error=EROFS" });
    world.door.set(Stand::Open);
    let ready = world.state("spool/ready");
    // Twice for each copy: it was tried again, and must not have been sent again.
    tests::wait_for("the gateway to try again", tests::PATIENCE, || {
        (world.gatepost.log().matches("cannot update the spool").count() >= 4).then_some(())
    });
    assert_eq!(names(&ready).len(), 2);
    drop(trace);
    lasting.mended(world, section);
}
