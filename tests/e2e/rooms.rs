//! The rooms of the house use each other only in the directions that docs/architecture.md allows.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// All of them, from the bottom to the top.
const ALL: &[&str] = &[
    "gatepost-mail",
    "gatepost-net",
    "gatepost-tlog",
    "gatepost-program",
    "gatepost-policy",
    "gatepost-keydir",
    "gatepost-keylog",
    "gatepost-discovery",
    "gatepost-sidecar",
    "gatepost-notary",
    "gatepost-relay",
    "gatepost-sealing",
    "gatepost-milter",
];

/// Which of our packages each of them may use, also for its own tests.
const ROOMS: [(&str, &[&str]); 14] = [
    ("gatepost-mail", &[]),
    ("gatepost-net", &[]),
    ("gatepost-tlog", &[]),
    ("gatepost-program", &[]),
    ("gatepost-policy", &["gatepost-mail"]),
    ("gatepost-keydir", &["gatepost-mail"]),
    ("gatepost-keylog", &["gatepost-tlog"]),
    ("gatepost-discovery", &["gatepost-mail", "gatepost-net", "gatepost-keydir"]),
    (
        "gatepost-sidecar",
        &[
            "gatepost-mail",
            "gatepost-net",
            "gatepost-tlog",
            "gatepost-program",
            "gatepost-policy",
            "gatepost-keydir",
            "gatepost-keylog",
        ],
    ),
    ("gatepost-notary", &["gatepost-mail", "gatepost-tlog"]),
    ("gatepost-relay", &["gatepost-mail", "gatepost-net"]),
    ("gatepost-sealing", &["gatepost-mail", "gatepost-keydir"]),
    (
        "gatepost-milter",
        &[
            "gatepost-mail",
            "gatepost-net",
            "gatepost-tlog",
            "gatepost-program",
            "gatepost-policy",
            "gatepost-keydir",
            "gatepost-keylog",
            "gatepost-discovery",
            "gatepost-notary",
            "gatepost-relay",
            "gatepost-sealing",
        ],
    ),
    ("gatepost-tests", ALL),
];

/// Foreign packages that only some rooms may know. gatepost-tests may use all of them.
const KNOWN_ONLY_BY: [(&str, &[&str]); 16] = [
    ("indymilter", &["gatepost-milter"]),
    ("prometheus", &["gatepost-milter"]),
    ("axum", &["gatepost-milter", "gatepost-sidecar"]),
    ("clap", &["gatepost-milter", "gatepost-sidecar", "gatepost-program"]),
    ("clap_complete", &["gatepost-program"]),
    ("clap_mangen", &["gatepost-program"]),
    ("der", &["gatepost-keydir"]),
    ("ldap3", &["gatepost-milter", "gatepost-discovery"]),
    ("redis", &["gatepost-discovery"]),
    ("sequoia-openpgp", &["gatepost-keydir", "gatepost-sealing"]),
    (
        "rusqlite",
        &[
            "gatepost-keydir",
            "gatepost-keylog",
            "gatepost-discovery",
            "gatepost-notary",
            "gatepost-relay",
            "gatepost-milter",
        ],
    ),
    (
        "tokio",
        &[
            "gatepost-milter",
            "gatepost-notary",
            "gatepost-relay",
            "gatepost-net",
            "gatepost-discovery",
            "gatepost-sidecar",
        ],
    ),
    ("curve25519-dalek", &["gatepost-keylog"]),
    ("x509-cert", &["gatepost-keydir"]),
    ("tracing-subscriber", &["gatepost-program"]),
    ("x509-ocsp", &["gatepost-keydir"]),
];

/// Rooms that decide and nothing else: no clock, no network, no database, no runtime.
const PURE: [&str; 2] = ["gatepost-mail", "gatepost-policy"];

#[test]
fn rooms_use_each_other_only_downwards() {
    let packages = workspace();
    for (package, dependencies) in &packages {
        let allowed = ROOMS.iter().find(|(room, _)| room == package);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{package} has no place in the house"));
        for dependency in dependencies.iter().filter(|name| packages.contains_key(*name)) {
            assert!(allowed.contains(&dependency.as_str()), "{package} must not use {dependency}");
        }
    }
}

#[test]
fn foreign_packages_stay_in_their_rooms() {
    for (package, dependencies) in workspace() {
        for (foreign, rooms) in KNOWN_ONLY_BY {
            let knows = dependencies.iter().any(|name| name == foreign);
            let may = package == "gatepost-tests" || rooms.contains(&package.as_str());
            assert!(!knows || may, "{package} must not use {foreign}");
        }
    }
}

#[test]
fn pure_rooms_have_no_way_to_the_world() {
    let worldly =
        ["tokio", "rusqlite", "hickory-resolver", "reqwest", "jiff", "chrono", "time", "rand", "openssl"];
    for (package, dependencies) in workspace() {
        if PURE.contains(&package.as_str()) {
            let found = dependencies.iter().find(|name| worldly.contains(&name.as_str()));
            assert_eq!(found, None, "{package} must stay pure");
        }
    }
}

/// Every member of the workspace with all its direct dependencies of every kind.
fn workspace() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // Without --no-deps cargo would want the sources of packages for other platforms.
    command.args(["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let metadata: Value = serde_json::from_slice(&tests::run(&mut command, b"").success().stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|p| (name(p), p["dependencies"].as_array().unwrap().iter().map(name).collect())).collect()
}
