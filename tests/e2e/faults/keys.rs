//! The key store is locked: certificates or secret keys cannot be had.

use std::fs::rename;

use rusqlite::Connection;

use super::door::Stand;
use super::lasting::COLUMNS;
use super::lasting::Lasting;
use super::letter::ALICE;
use super::letter::Shape;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;

/// Everything is signed, so that each letter needs a secret key of ours.
const SIGNED: &str = "[policy]\nsign = \"always\"\n";

#[test]
fn a_locked_key_store_makes_mail_wait() {
    let mut world = World::new("");
    world.door.set(Stand::Open);
    world.start();
    let mut section = Section::new("The key store fails", &COLUMNS);
    locked_certificates(&mut world, &mut section);
    let mut world = World::new(SIGNED);
    world.gatepost.generate(&["--user", ALICE]);
    world.door.set(Stand::Open);
    locked_secrets(&mut world, &mut section);
    section.compare();
}

/// Another process locks the certificate store, or it cannot be read.
fn locked_certificates(world: &mut World, section: &mut Section) {
    let database = world.state("certificates.db");
    let other = Connection::open(&database).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let lasting = Lasting::begin(world, "another process is writing to the certificate store", Shape::One);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    lasting.mended(world, section);

    let fault = Fault {
        calls: "pread64",
        paths: vec![database.clone(), world.state("certificates.db-wal")],
        injection: "error=EIO",
    };
    for shape in [Shape::One, Shape::Groups, Shape::Clear] {
        // So that what the gateway has in memory is out of date.
        world.gatepost.generate(&["--user", &format!("{shape:?}@alpha.example")]);
        let trace = world.inject(&fault);
        let lasting = Lasting::begin(world, "the certificate store cannot be read (EIO)", shape);
        drop(trace);
        lasting.mended(world, section);
    }

    world.gatepost.kill9();
    let other = Connection::open(&database).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let ended = world.gatepost.command(&["run"]);
    assert_eq!(ended.code, 69, "{}", ended.stderr);
    let name = "the certificate store is locked at start: the gateway ends with 69";
    let lasting = Lasting::begin(world, name, Shape::One);
    drop(other);
    world.start();
    lasting.mended(world, section);
}

fn locked_secrets(world: &mut World, section: &mut Section) {
    let (secrets, away) = (world.state("secrets"), world.state("secrets.away"));
    world.start();
    for shape in [Shape::One, Shape::Groups] {
        rename(&secrets, &away).unwrap();
        let lasting = Lasting::begin(world, "the directory of secret keys is gone", shape);
        rename(&away, &secrets).unwrap();
        lasting.mended(world, section);
    }
    let (key, away) = (world.master_key(), world.state("master.key.away"));
    for shape in [Shape::One, Shape::Groups] {
        rename(&key, &away).unwrap();
        world.gatepost.kill9();
        let ended = world.gatepost.command(&["run"]);
        assert_eq!(ended.code, 77, "{}", ended.stderr);
        let name = "the master key is gone at start: the gateway ends with 77";
        let lasting = Lasting::begin(world, name, shape);
        rename(&away, &key).unwrap();
        world.start();
        lasting.mended(world, section);
    }
}
