//! The look-up of other gateways: certificates with a proof that they are the newest, or that there are none.

use std::process::Command;

use serde_json::Value;
use tests::Gpg;
use tests::PATIENCE;
use tests::run;
use tests::wait_for;

use super::doors::{ALICE, Doors, FOREIGN, NOBODY};

const PATH: &str = "/.well-known/tmg/v1/lookup?address=";
const PROOF: &str = "/.well-known/tmg/v1/proof?address=";

fn decoded(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    run(Command::new("base64").arg("-d"), text.as_bytes()).success().stdout
}

#[test]
fn certificates_come_with_a_proof_that_they_are_the_newest() {
    let doors = Doors::open();
    let answer = doors.get(&format!("{PATH}Alice%40ALPHA.example"));
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["address"], "Alice@ALPHA.example");
    assert_eq!(told["mailbox"], ALICE);
    let openpgp = decoded(&told["openpgp"][0]);
    assert!(!Gpg::new().fingerprint_in(&openpgp).is_empty());
    let smime = decoded(&told["smime"][0]);
    let pem = run(
        Command::new("openssl").args(["x509", "-inform", "DER", "-noout", "-ext", "subjectAltName"]),
        &smime,
    );
    assert!(pem.success().text().contains("email:alice@alpha.example"));
    let proof = decoded(&told["proof"]);
    let (key, leaf) = (doors.file("key", &openpgp), doors.file("leaf", &smime));
    let files = ["--openpgp", key.to_str().unwrap(), "--smime", leaf.to_str().unwrap()];
    let verdict: Value =
        serde_json::from_slice(&doors.verify(&proof, ALICE, &files).success().stdout).unwrap();
    assert_eq!(
        (verdict["state"].as_str(), verdict["certificates"].as_array().map(Vec::len)),
        (Some("keys"), Some(2))
    );
    // Neither for another mailbox nor for another certificate.
    assert_eq!(doors.verify(&proof, NOBODY, &[]).code, 65);
    let other = doors.file("other", b"another certificate");
    assert_eq!(doors.verify(&proof, ALICE, &["--smime", other.to_str().unwrap()]).code, 65);
    // The same proof alone; a sub-address is told whose proof it got.
    let alone = doors.get(&format!("{PROOF}alice%2Blist%40alpha.example"));
    assert_eq!((alone.status, alone.header("content-type")), (200, "application/octet-stream"));
    assert_eq!(alone.header("content-location"), format!("{PROOF}alice%40alpha.example"));
    doors.verify(&alone.body, ALICE, &[]).success();
}

#[test]
fn what_is_not_there_is_proved_to_be_absent_whatever_the_reason() {
    let mut doors = Doors::open();
    let mut shapes = Vec::new();
    for address in [NOBODY, FOREIGN] {
        let answer = doors.get(&format!("{PATH}{address}"));
        assert_eq!(answer.status, 404);
        let mut told: Value = serde_json::from_slice(&answer.body).unwrap();
        let proof = decoded(&told["proof"]);
        let verdict = doors.verify(&proof, address, &[]).success().text();
        assert!(verdict.contains("\"state\":\"absent\""), "{verdict}");
        assert_eq!(told["address"].as_str(), Some(address));
        assert_eq!(told["mailbox"].as_str(), Some(address));
        for name in ["address", "mailbox", "proof"] {
            told[name] = Value::Null;
        }
        shapes.push((
            told,
            answer.header("content-length").to_owned(),
            answer.header("cache-control").to_owned(),
        ));
    }
    assert_eq!(shapes[0], shapes[1]);
    // Without the gateway nothing is proved to be absent; what is there is proved all the same.
    doors.gateway.term();
    let answer = doors.get(&format!("{PATH}{NOBODY}"));
    assert_eq!(answer.status, 404);
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(told["proof"].is_null(), "{told}");
    assert_eq!(
        doors.bare(&format!("{PATH}{NOBODY}"), NOBODY),
        doors.bare(&format!("{PATH}{FOREIGN}"), FOREIGN)
    );
    assert_eq!(doors.get(&format!("{PROOF}{NOBODY}")).status, 503);
    let told: Value = serde_json::from_slice(&doors.get(&format!("{PATH}{ALICE}")).body).unwrap();
    doors.verify(&decoded(&told["proof"]), ALICE, &[]).success();
    for query in ["", "*", "alice", "@alpha.example", "a%ff@alpha.example"] {
        assert_eq!(doors.get(&format!("{PATH}{query}")).status, 400, "{query}");
    }
}

#[test]
fn a_change_is_in_the_log_before_anybody_sees_it() {
    let doors = Doors::open();
    let entries = |doors: &Doors| {
        let checkpoint = doors.get("/log/checkpoint").text();
        checkpoint.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = entries(&doors);
    doors.gateway.generate(&["--user", "bob@alpha.example"]);
    let told = wait_for("bob to be published", PATIENCE, || {
        let answer = doors.get(&format!("{PATH}bob@alpha.example"));
        (answer.status == 200).then(|| serde_json::from_slice::<Value>(&answer.body).unwrap())
    });
    assert!(entries(&doors) > before);
    doors.verify(&decoded(&told["proof"]), "bob@alpha.example", &[]).success();
}

#[test]
fn a_publication_that_is_behind_its_log_is_no_answer() {
    let mut doors = Doors::open();
    doors.gateway.term();
    let database = doors.directory.publication().join("publication.db");
    let (now, before) = (database.with_extension("now"), database.with_extension("before"));
    std::fs::copy(&database, &before).unwrap();
    doors.gateway.generate(&["--user", ALICE]);
    doors.gateway.command(&["keys", "publish"]).success();
    let changed = doors.get(&format!("{PATH}{ALICE}"));
    assert_eq!(changed.status, 200);
    // As if the gateway had been killed after the entry was signed and before the key was published.
    std::fs::rename(&database, &now).unwrap();
    std::fs::rename(&before, &database).unwrap();
    assert_eq!(doors.get(&format!("{PATH}{ALICE}")).status, 503);
    let page = doors.get(&format!("/?address={ALICE}"));
    assert!(page.status == 200 && page.text().contains("class=\"bad\""), "{}", page.text());
    std::fs::rename(&now, &database).unwrap();
    assert_eq!(doors.get(&format!("{PATH}{ALICE}")).body, changed.body);
}
