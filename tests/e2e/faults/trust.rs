//! Certificates, trust anchors or revocation lists cannot be had: a question without an answer is never "no key".

use std::fs;
use std::fs::rename;
use std::path::Path;

use rusqlite::Connection;
use tests::PATIENCE;
use tests::wait_for;

use super::door::Stand;
use super::lasting::Lasting;
use super::lasting::TOLD;
use super::letter::Shape;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;
use crate::smime::revocation;

#[test]
fn what_cannot_be_told_about_certificates_makes_mail_wait() {
    let mut world = World::smime("crls = [\"LISTS\"]\n");
    world.issue("domain-signing-authority", "alpha.example");
    world.door.set(Stand::Open);
    world.start();
    let title = "S/MIME: certificates, trust anchors and revocation lists fail";
    let mut section = Section::new(title, &TOLD);
    store(&mut world, &mut section);
    anchors(&mut world, &mut section);
    lists(&mut world, &mut section);
    section.compare();
}

fn store(world: &mut World, section: &mut Section) {
    let database = world.state("certificates.db");
    let other = Connection::open(&database).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let lasting = Lasting::begin(world, "another process is writing to the certificate store", Shape::One);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    lasting.told(&world.log(), "nothing").mended(world, section);

    let files = vec![database.clone(), world.state("certificates.db-wal")];
    let fault = Fault { calls: "pread64", paths: files, injection: "error=EIO" };
    for shape in [Shape::One, Shape::Groups, Shape::Clear] {
        // So that what the gateway has in memory is out of date.
        world.issue("user-sign", &format!("{shape:?}@alpha.example"));
        let trace = world.inject(&fault);
        let lasting = Lasting::begin(world, "the certificate store cannot be read (EIO)", shape);
        drop(trace);
        lasting.told(&world.log(), "the certificate store cannot be used").mended(world, section);
    }
    let other = Connection::open(&database).unwrap();
    let name = "the certificate store is locked at start: the gateway ends with 69";
    stopped(world, section, name, "cannot open the certificate store", |world| {
        world.gatepost.kill9();
        other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
        move || drop(other)
    });
    let name = "the certificate store is damaged at start: the gateway ends with 69";
    stopped(world, section, name, "cannot open the certificate store", |world| {
        world.gatepost.term();
        overwritten(&database)
    });
}

fn anchors(world: &mut World, section: &mut Section) {
    let root = world.pki().root();
    let away = world.pki().path("root.away");
    rename(&root, &away).unwrap();
    world.gatepost.reload();
    let said = "configuration NOT reloaded, the trust anchors stay as they were";
    let line = world.gatepost.wait_log(&[said]);
    assert!(line.contains("root.pem"), "{line}");
    let name = "a trust anchor cannot be read at a reload: those from before stay";
    let lasting = Lasting::begin(world, name, Shape::One).told(&line, said);
    assert_eq!(world.gatepost.metric("gatepost_config_last_reload_successful"), Some(0.0));
    rename(&away, &root).unwrap();
    reload(world);
    lasting.mended(world, section);
    let name = "a trust anchor cannot be read at start: the gateway ends with 69";
    stopped(world, section, name, "cannot read the trust anchors", |world| {
        world.gatepost.kill9();
        rename(&root, &away).unwrap();
        move || rename(&away, &root).unwrap()
    });
}

fn lists(world: &mut World, section: &mut Section) {
    let list = world.pki().path("lists/root.crl");
    for shape in [Shape::One, Shape::Groups] {
        let stale = ["-crl_lastupdate", "20250101000000Z", "-crl_nextupdate", "20250102000000Z"];
        world
            .pki()
            .openssl(&[&["ca", "-config", "ca.cnf", "-gencrl", "-out", "old.crl"][..], &stale].concat());
        fs::copy(world.pki().path("old.crl"), &list).unwrap();
        reload(world);
        let name = "the revocation list of the recipients' authority is out of date";
        let lasting =
            Lasting::begin(world, name, shape).told(&world.log(), "the revocation list was valid until");
        fs::write(&list, revocation::list(world.pki())).unwrap();
        reload(world);
        lasting.mended(world, section);
    }
    let good = fs::read(&list).unwrap();
    fs::write(&list, &good[..good.len() / 2]).unwrap();
    world.gatepost.reload();
    let line = world.gatepost.wait_log(&["trust anchors stay as they were", "root.crl"]);
    let name = "the revocation list is damaged at a reload: the one from before stays";
    let lasting = Lasting::begin(world, name, Shape::One).told(&line, "no usable revocation list");
    fs::write(&list, &good).unwrap();
    reload(world);
    lasting.mended(world, section);
    let (lists, away) = (world.pki().path("lists"), world.pki().path("lists.away"));
    let name = "the revocation lists cannot be read at start: the gateway ends with 69";
    stopped(world, section, name, "cannot read the trust anchors", |world| {
        world.gatepost.kill9();
        rename(&lists, &away).unwrap();
        move || rename(&away, &lists).unwrap()
    });
}

/// The gateway does not start; `begin` stops it, makes the fault and gives what mends it.
fn stopped<M: FnOnce()>(
    world: &mut World,
    section: &mut Section,
    name: &'static str,
    said: &'static str,
    begin: impl FnOnce(&mut World) -> M,
) {
    let mend = begin(world);
    let ended = world.gatepost.command(&["run"]);
    assert_eq!(ended.code, 69, "{name}: {}", ended.stderr);
    let lasting = Lasting::begin(world, name, Shape::One).told(&ended.stderr, said);
    mend();
    world.start();
    lasting.mended(world, section);
}

/// Overwrites a database that nobody has open; gives what restores it.
pub(super) fn overwritten(database: &Path) -> impl FnOnce() + use<> {
    let database = database.to_owned();
    let good = fs::read(&database).unwrap();
    fs::write(&database, vec![0x5a; good.len()]).unwrap();
    move || fs::write(database, good).unwrap()
}

/// Reads everything again, successfully.
fn reload(world: &World) {
    let done = || world.gatepost.log().matches("configuration reloaded").count();
    let before = done();
    world.gatepost.reload();
    wait_for("the configuration to be read", PATIENCE, || (done() > before).then_some(()));
}
