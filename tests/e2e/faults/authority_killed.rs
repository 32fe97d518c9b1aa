//! The process that issues is killed at every step: what was recorded can be used in the end, or was never issued.

use serde_json::Value;
use tests::PATIENCE;
use tests::wait_for;

use super::door::Stand;
use super::lasting::Lasting;
use super::letter::Shape;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;
use super::world::names;

const COLUMNS: [&str; 7] = [
    "The process was killed",
    "What it did",
    "Recorded as issued",
    "Key in custody",
    "In the store",
    "After the next start",
    "Mail",
];

#[test]
fn whatever_is_recorded_as_issued_can_be_used() {
    let mut world = World::smime("");
    world.issue("domain-signing-authority", "alpha.example");
    world.door.set(Stand::Open);
    let mut section = Section::new("The local authority is killed", &COLUMNS);
    let issue = |address: &str| ["ca", "issue", "user-sign", address].map(str::to_owned).to_vec();
    for (number, (name, fault)) in steps(&world).into_iter().enumerate() {
        let address = format!("new{number}@alpha.example");
        row(&mut world, &mut section, name, "issue", &fault, &address, &issue(&address));
    }
    // 84 days later everything that was issued is due, and the domain's certificate first.
    world.stop();
    world.gatepost.set_clock("+84d");
    let renew = ["ca", "renew"].map(str::to_owned);
    let (_, fault) = steps(&world).pop().unwrap();
    let name = "the next certificate is recorded, and not in the store";
    row(&mut world, &mut section, name, "renew", &fault, "alpha.example", &renew);
    section.compare();
}

/// Where it is killed.
fn steps(world: &World) -> Vec<(&'static str, Fault)> {
    let file = |name: &str| vec![world.state(name)];
    vec![
        ("before the key is in custody", Fault::kill("/^rename", &[])),
        (
            "the key is in custody, the certificate is not recorded",
            Fault::kill("pwrite64", &file("ca.db-wal")),
        ),
        (
            "the certificate is recorded, and not on disk",
            // The first time it is the head of the log, which is new.
            Fault { calls: "fdatasync,fsync", paths: file("ca.db-wal"), injection: "signal=KILL:when=2" },
        ),
        (
            "the certificate is recorded, and not in the store",
            Fault::kill("pwrite64", &file("certificates.db-wal")),
        ),
    ]
}

fn row(
    world: &mut World,
    section: &mut Section,
    name: &'static str,
    what: &str,
    fault: &Fault,
    address: &str,
    words: &[String],
) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // So that the database has no log, and each process begins one.
    world.stop();
    let before = (recorded(world, address), keys(world), stored(world, address));
    let ran = world.command_with(fault, &words);
    assert_ne!(ran.code, 0, "{name}: nobody killed it: {ran:?}");
    let now = (recorded(world, address), keys(world), stored(world, address));
    let yes = |more: bool| if more { "yes" } else { "no" };
    let (is_recorded, is_kept) = (now.0.len() > before.0.len(), now.1 > before.1);
    let is_stored = now.2.len() > before.2.len();
    assert!(!is_recorded || is_kept, "{name}: recorded, and the key is lost");
    world.start();
    // Everything that is recorded and was not revoked can be used.
    wait_for("all that was issued to be in the store", PATIENCE, || {
        let stored = stored(world, address);
        recorded(world, address).iter().all(|fingerprint| stored.contains(fingerprint)).then_some(())
    });
    let after = if is_recorded { "in use" } else { "not there: it can be issued again" };
    if !is_recorded {
        assert_eq!(what, "issue");
        let issued = world.issue("user-sign", address);
        assert!(stored(world, address).contains(&issued));
    }
    let mail = Lasting::begin(world, name, Shape::One).over(world);
    section.row(&[name, what, yes(is_recorded), yes(is_kept), yes(is_stored), after, &mail]);
}

/// The certificates that the authority says it issued to an address and did not revoke.
fn recorded(world: &World, address: &str) -> Vec<String> {
    fingerprints(&world.command(&["ca", "list", address, "--json"]).success().stdout, |listed| {
        listed["revoked"].is_null()
    })
}

/// The number of S/MIME keys in custody.
fn keys(world: &World) -> usize {
    names(&world.state("secrets")).iter().filter(|name| name.ends_with(".smime")).count()
}

/// The certificates of an address in the store.
fn stored(world: &World, address: &str) -> Vec<String> {
    let ran = world.command(&["keys", "list", address, "--json"]);
    if ran.code == 66 { Vec::new() } else { fingerprints(&ran.success().stdout, |_| true) }
}

fn fingerprints(json: &[u8], wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let listed: Value = serde_json::from_slice(json).unwrap();
    let listed = listed.as_array().unwrap().iter().filter(|listed| wanted(listed));
    listed.map(|listed| listed["fingerprint"].as_str().unwrap().to_owned()).collect()
}
