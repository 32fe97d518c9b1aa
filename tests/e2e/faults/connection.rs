//! The MTA, or the connection to it, goes away while the gateway works on a message.

use super::door::Stand;
use super::lasting::COLUMNS;
use super::lasting::Lasting;
use super::letter::Shape;
use super::matrix::Section;
use super::milter_tap::Packet;
use super::trace::Fault;
use super::world::World;

#[test]
fn a_broken_connection_to_the_mta_loses_nothing() {
    let mut world = World::new("");
    world.start();
    world.door.set(Stand::Open);
    let mut section = Section::new("The connection to the MTA breaks", &COLUMNS);
    for shape in [Shape::One, Shape::Groups] {
        for (name, packet) in [("in the body", Packet::Body), ("at end of message", Packet::End)] {
            world.tap.cut_at(packet);
            Lasting::begin(&world, name, shape).mended(&world, &mut section);
        }
        while_it_works(&world, &mut section, shape);
        world.tap.cut_at(Packet::Verdict);
        let name = "when all of the answer is written, and the verdict is not read";
        let lasting = Lasting::begin(&world, name, shape);
        // The gateway has seen the connection end.
        world.wait_no_marks();
        lasting.mended(&world, &mut section);
    }
    section.compare();
}

/// The connection is gone long before the answer can be written.
fn while_it_works(world: &World, section: &mut Section, shape: Shape) {
    let slow = Fault { calls: "fsync", paths: Vec::new(), injection: "delay_enter=200000" };
    let trace = world.inject(&slow);
    world.tap.cut_at(Packet::Ended);
    let told = "cannot tell the MTA";
    let before = world.gatepost.log().matches(told).count();
    let lasting = Lasting::begin(world, "while the gateway works on the message", shape);
    tests::wait_for("the gateway to find out", tests::PATIENCE, || {
        (world.gatepost.log().matches(told).count() > before).then_some(())
    });
    drop(trace);
    lasting.mended(world, section);
    world.wait_no_marks();
}
