//! Storage fails while the gateway runs, or when it starts.

use std::io::Write;
use std::path::Path;

use super::door::Stand;
use super::lasting::COLUMNS;
use super::lasting::Lasting;
use super::letter::Shape;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;

#[test]
fn storage_that_fails_makes_mail_wait() {
    let mut world = World::new("");
    world.door.set(Stand::Open);
    let mut section = Section::new("Storage fails", &COLUMNS);
    read_only_notary(&mut world, &mut section);
    failing_spool(&mut world, &mut section);
    full_spool(&mut world, &mut section);
    full_state(&mut world, &mut section);
    section.compare();
}

fn read_only_notary(world: &mut World, section: &mut Section) {
    world.start();
    let fault = Fault {
        calls: "pwrite64,fsync,fdatasync,ftruncate",
        paths: vec![world.state("notary.db"), world.state("notary.db-wal")],
        injection: "error=EROFS",
    };
    for shape in [Shape::One, Shape::Groups] {
        let trace = world.inject(&fault);
        let lasting = Lasting::begin(world, "the notary's file becomes read-only", shape);
        drop(trace);
        lasting.mended(world, section);
    }
    world.gatepost.kill9();
    let database = world.state("notary.db");
    let database = database.display();
    let mut daemon =
        world.secluded(&format!("mount --bind {database} {database}; mount -o remount,bind,ro {database}"));
    let status = tests::wait_for("gatepost to end", tests::PATIENCE, || daemon.ended());
    assert_eq!(status.code(), Some(69), "{}", daemon.log());
    assert!(daemon.log().contains("cannot open the notary"), "{}", daemon.log());
    let name = "the notary's file is read-only at start: the gateway ends with 69";
    let lasting = Lasting::begin(world, name, Shape::Groups);
    world.start();
    lasting.mended(world, section);
}

fn failing_spool(world: &mut World, section: &mut Section) {
    let incoming = vec![world.state("spool/incoming")];
    for (name, calls, paths, injection) in [
        ("a copy cannot be written to disk (EIO)", "fsync", incoming, "error=EIO"),
        ("the spool becomes read-only before copies are published", "rename", Vec::new(), "error=EROFS"),
    ] {
        let trace = world.inject(&Fault { calls, paths, injection });
        let lasting = Lasting::begin(world, name, Shape::Groups);
        drop(trace);
        lasting.mended(world, section);
    }
}

fn full_spool(world: &mut World, section: &mut Section) {
    let spool = world.state("spool");
    world.start_secluded(&format!("mount -t tmpfs -o size=256k,mode=0700 tmpfs {}", spool.display()));
    let ballast = world.spool().join("ballast");
    for shape in [Shape::One, Shape::Groups] {
        fill(&ballast);
        let lasting = Lasting::begin(world, "the spool is full", shape);
        std::fs::remove_file(&ballast).unwrap();
        lasting.mended(world, section);
    }
}

fn full_state(world: &mut World, section: &mut Section) {
    let state = world.gatepost.state();
    let state = state.display();
    world.start_secluded(&format!(
        "cp -a {state} {state}.copy; mount -t tmpfs -o size=16m,mode=0700 tmpfs {state}; cp -a {state}.copy/. {state}/"
    ));
    let ballast = world.spool().parent().unwrap().join("ballast");
    for shape in [Shape::One, Shape::Groups] {
        fill(&ballast);
        let lasting = Lasting::begin(world, "the file system of all state is full", shape);
        std::fs::remove_file(&ballast).unwrap();
        lasting.mended(world, section);
    }
}

/// Writes until there is no room left.
pub(super) fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}
