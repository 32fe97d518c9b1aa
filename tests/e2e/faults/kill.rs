//! The gateway is killed at every step of the path.

use super::door::Moment;
use super::door::Stand;
use super::letter::Letter;
use super::letter::Point;
use super::letter::Saw;
use super::letter::Shape;
use super::matrix::Section;
use super::milter_tap::Packet;
use super::trace::Fault;
use super::world::World;
use super::world::kill;

const COLUMNS: [&str; 7] = [
    "The gateway was killed",
    "The client saw",
    "Spool at that moment",
    "Record",
    "Left in clear",
    "Lost",
    "More than once",
];

/// When the gateway is killed.
enum When {
    /// The client has come to this point.
    Client(Point),
    /// This packet of the milter protocol.
    Milter(Packet),
    /// Just before this system call, on its way to the answer.
    Call(Fault),
    /// Just before this system call on the mark of a copy.
    Mark(&'static str),
    /// Just before this system call, after the answer, while copies are re-injected.
    Later(Fault),
    /// Just before it connects to re-inject a copy.
    Connect,
    /// This moment of re-injection.
    Door(Moment),
}

/// One row: sends a letter, kills the gateway on the way, starts it again, and lets the client retry
/// if it was told to.
fn row(world: &mut World, section: &mut Section, step: &str, shape: Shape, when: When) {
    let mut letter = Letter::new(step, shape);
    let when = match when {
        When::Mark(call) => When::Call(Fault::kill(call, &world.rehearse(&mut letter))),
        other => other,
    };
    world.door.set(if matches!(when, When::Connect) { Stand::Closed } else { Stand::Held });
    let saw = send_and_kill(world, &letter, &when);
    let (spool, recorded) = (world.spooled(), world.is_recorded(&letter));
    // Nothing is sent on before the gateway runs again; what has left by now holds no secret.
    world.arrived(&letter);
    world.door.set(Stand::Open);
    world.start();
    assert!(saw.accepted || saw.again, "refused for good: {saw:?}");
    if saw.again {
        world.send_again(&letter);
    }
    let arrived = world.settled(&letter);
    if saw.again {
        world.wait_no_marks();
    }
    let record = if recorded { "yes" } else { "no" };
    section.row(&[step, &saw.text, &spool, record, "nothing", "nothing", &arrived.duplicates()]);
}

fn send_and_kill(world: &mut World, letter: &Letter, when: &When) -> Saw {
    let mut trace = None;
    let saw = world.send(letter, |point| match (when, point) {
        (When::Client(wanted), _) if *wanted == point => kill(world.pid()),
        (When::Milter(packet), Point::Greeted) => world.tap.kill_at(*packet, world.pid()),
        (When::Call(fault), Point::Recipients) => trace = Some(world.inject(fault)),
        _ => {}
    });
    match when {
        When::Later(fault) => trace = Some(world.inject(fault)),
        When::Connect => trace = Some(world.inject(&Fault::kill("connect", &[]))),
        When::Door(moment) => world.door.kill_at(*moment, world.pid()),
        _ => {}
    }
    if matches!(when, When::Later(_) | When::Door(_)) {
        world.door.set(Stand::Open);
    }
    world.wait_dead();
    drop(trace);
    saw
}

/// A world with a running gateway.
fn running() -> World {
    let mut world = World::new("");
    world.gatepost.start();
    world
}

#[test]
fn killed_at_any_step_with_one_recipient_nothing_is_lost_or_leaves_in_clear() {
    let mut world = running();
    let log = [world.state("notary.db-wal")];
    let mut section = Section::new("Killed, with one recipient", &COLUMNS);
    let steps = [
        ("before MAIL", When::Client(Point::Greeted)),
        ("after RCPT", When::Client(Point::Recipients)),
        ("in the body", When::Milter(Packet::Body)),
        ("at end of message, before anything is done", When::Milter(Packet::End)),
        ("sealed; the record is not written", When::Call(Fault::kill("pwrite64", &log))),
        ("the record is written, and not on disk", When::Call(Fault::kill("fsync", &log))),
        ("the record is on disk; the answer is not written", When::Call(Fault::kill("sendto", &[]))),
        ("the first change of the answer is written", When::Milter(Packet::FirstChange)),
        ("the answer is written, and the MTA has not read it", When::Milter(Packet::Verdict)),
        ("after the answer", When::Client(Point::Accepted)),
    ];
    for (step, when) in steps {
        row(&mut world, &mut section, step, Shape::One, when);
    }
    section.compare();
}

#[test]
fn killed_before_the_answer_with_three_groups_nothing_is_lost_or_leaves_in_clear() {
    let mut world = running();
    let log = [world.state("notary.db-wal")];
    let on_directory = |call, name: &str| When::Call(Fault::kill(call, &[world.state("spool").join(name)]));
    let steps = [
        ("before MAIL", When::Client(Point::Greeted)),
        ("after RCPT", When::Client(Point::Recipients)),
        ("in the body", When::Milter(Packet::Body)),
        ("at end of message, before anything is done", When::Milter(Packet::End)),
        ("sealed; no copy is written", When::Mark("statx")),
        ("the first copy is written, and not on disk", When::Call(Fault::kill("fsync", &[]))),
        ("the copies are on disk; their directory is not", on_directory("fsync", "incoming")),
        ("the copies are in incoming/; the record is not written", When::Call(Fault::kill("pwrite64", &log))),
        ("the record is written, and not on disk", When::Call(Fault::kill("fsync", &log))),
        ("the record is on disk; the marks are not made", When::Mark("openat")),
        ("the marks are made, and not on disk", on_directory("fsync", "taken")),
        ("one copy is published in ready/, the other is not", When::Call(Fault::kill_at_second("rename"))),
        ("the copies are published; the directory is not on disk", on_directory("fsync", "ready")),
        ("the copies are published; the answer is not written", When::Call(Fault::kill("sendto", &[]))),
        ("the first change of the answer is written", When::Milter(Packet::FirstChange)),
        ("the answer is written, and the MTA has not read it", When::Milter(Packet::Verdict)),
    ];
    let mut section = Section::new("Killed, with three groups, until the answer", &COLUMNS);
    for (step, when) in steps {
        row(&mut world, &mut section, step, Shape::Groups, when);
    }
    section.compare();
}

#[test]
fn killed_after_the_answer_with_three_groups_nothing_is_lost_or_leaves_in_clear() {
    let mut world = running();
    let log = [world.state("notary.db-wal")];
    let on_directory = |call, name: &str| When::Later(Fault::kill(call, &[world.state("spool").join(name)]));
    let steps = [
        ("after the answer", When::Client(Point::Accepted)),
        ("before it connects to the MTA", When::Connect),
        ("during DATA", When::Door(Moment::InData)),
        (
            "a copy is back at the milter; its record is not written",
            When::Later(Fault::kill("pwrite64", &log)),
        ),
        ("the MTA has said 250, and the gateway has not read it", When::Door(Moment::Taken)),
        ("the 250 is read; the copy is not removed", on_directory("fsync", "incoming")),
        ("the copy is removed; the directory is not on disk", on_directory("fsync", "ready")),
    ];
    let mut section = Section::new("Killed, with three groups, after the answer", &COLUMNS);
    for (step, when) in steps {
        row(&mut world, &mut section, step, Shape::Groups, when);
    }
    section.compare();
}
