//! The secret keys of the domain cannot be used: nothing leaves without the signature that policy wants.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::fs::rename;
use std::os::unix::fs::PermissionsExt;

use super::door::Stand;
use super::lasting::Lasting;
use super::lasting::TOLD;
use super::letter::Shape;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;

const SIGNS: &str = "domain-signing-authority";
const OPENS: &str = "domain-confidentiality-authority";

#[test]
fn keys_that_cannot_be_used_make_mail_wait() {
    let mut world = World::smime("");
    let [signs, opens] = [SIGNS, OPENS].map(|profile| world.issue(profile, "alpha.example"));
    world.door.set(Stand::Open);
    world.start();
    let mut section = Section::new("S/MIME: the domain's keys fail", &TOLD);
    locked(&world, &mut section);
    gone(&world, &mut section, &signs);
    damaged(&world, &mut section, &signs, &opens);
    unreadable(&mut world, &mut section, &signs);
    at_start(&mut world, &mut section);
    section.compare();
}

/// Who writes keys keeps nobody from reading them.
fn locked(world: &World, section: &mut Section) {
    let lock = File::open(world.state("secrets/.lock")).unwrap();
    lock.lock().unwrap();
    let lasting = Lasting::begin(world, "another process is writing secret keys", Shape::One);
    drop(lock);
    lasting.told(&world.log(), "nothing").mended(world, section);
}

fn gone(world: &World, section: &mut Section, signs: &str) {
    let key = world.key_file(signs);
    for (name, path) in [
        ("the directory of secret keys is gone", world.state("secrets")),
        ("the file of the signing key is gone", key),
    ] {
        let away = world.state("away");
        for shape in [Shape::One, Shape::Groups] {
            rename(&path, &away).unwrap();
            let lasting =
                Lasting::begin(world, name, shape).told(&world.log(), "a signing key cannot be used");
            rename(&away, &path).unwrap();
            lasting.mended(world, section);
        }
    }
}

fn damaged(world: &World, section: &mut Section, signs: &str, opens: &str) {
    let (key, other) = (world.key_file(signs), world.key_file(opens));
    let good = fs::read(&key).unwrap();
    let flipped = {
        let mut content = good.clone();
        *content.last_mut().unwrap() ^= 1;
        content
    };
    for (name, content) in [
        ("one bit of the signing key's file is another", flipped),
        ("the signing key's file is empty", Vec::new()),
        ("the signing key's file holds another key of the domain", fs::read(&other).unwrap()),
    ] {
        replace(&key, &content);
        let lasting =
            Lasting::begin(world, name, Shape::One).told(&world.log(), "a signing key cannot be used");
        replace(&key, &good);
        lasting.mended(world, section);
    }
}

/// As an editor or a restored backup does it.
fn replace(path: &std::path::Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
    rename(new, path).unwrap();
}

/// Reading fails, with nothing in memory yet.
fn unreadable(world: &mut World, section: &mut Section, signs: &str) {
    world.start();
    let fault = Fault { calls: "openat", paths: vec![world.key_file(signs)], injection: "error=EIO" };
    for shape in [Shape::One, Shape::Groups] {
        let trace = world.inject(&fault);
        let lasting = Lasting::begin(world, "the signing key's file cannot be read (EIO)", shape);
        drop(trace);
        lasting.told(&world.log(), "cannot be read").mended(world, section);
        world.start();
    }
}

fn at_start(world: &mut World, section: &mut Section) {
    let (key, away) = (world.master_key(), world.state("master.key.away"));
    // 64 hexadecimal digits and a line end.
    let other: Vec<u8> =
        fs::read(&key).unwrap().iter().map(|byte| if *byte == b'\n' { b'\n' } else { b'4' }).collect();
    let secrets = world.state("secrets");
    let mut row = |world: &mut World, name, code, said, begin: &dyn Fn(), end: &dyn Fn()| {
        world.gatepost.kill9();
        begin();
        let ended = world.gatepost.command(&["run"]);
        assert_eq!(ended.code, code, "{name}: {}", ended.stderr);
        let lasting = Lasting::begin(world, name, Shape::One).told(&ended.stderr, said);
        end();
        world.start();
        lasting.mended(world, section);
    };
    row(
        world,
        "the master key is gone at start: the gateway ends with 77",
        77,
        "cannot use the master key",
        &|| rename(&key, &away).unwrap(),
        &|| rename(&away, &key).unwrap(),
    );
    row(
        world,
        "the master key is another one at start: the gateway ends with 69",
        69,
        "cannot open",
        &|| {
            rename(&key, &away).unwrap();
            replace(&key, &other);
        },
        &|| rename(&away, &key).unwrap(),
    );
    row(
        world,
        "others may read the secret keys at start: the gateway ends with 69",
        69,
        "cannot open the key custody",
        &|| fs::set_permissions(&secrets, Permissions::from_mode(0o755)).unwrap(),
        &|| fs::set_permissions(&secrets, Permissions::from_mode(0o700)).unwrap(),
    );
}
