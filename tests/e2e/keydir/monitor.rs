//! The gateway reads its own key log as everybody sees it: users hear of every change of their keys, and the
//! administrator of every entry that the gateway did not make.

use std::process::Command;

use serde_json::Value;
use tests::Mail;
use tests::PATIENCE;
use tests::Site;
use tests::SitePlan;
use tests::directory;
use tests::gatepost_binary;
use tests::keydir_binary;
use tests::run;
use tests::wait_for;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@alpha.example";
const CHANGED: &str = "Your published keys have changed";
const STRANGE: &str = "gatepost_key_log_strange";

/// Alpha with a key log, and the directory that it publishes in.
fn world(lines: &str) -> (Site, tempfile::TempDir) {
    let scratch = directory("monitor");
    let place = scratch.path().join("publication");
    let section = format!(
        "[keydir]\npublication = \"{}\"\ntell = \"postmaster@alpha.example\"\n{lines}",
        place.display()
    );
    (SitePlan::new("alpha.example").policy(&section).prepare(), scratch)
}

fn fingerprints(alpha: &Site, address: &str) -> Vec<String> {
    let listed = alpha.gatepost.command(&["keys", "list", address, "--json"]).success();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let all = listed.as_array().unwrap().iter();
    all.map(|one| one["record"]["fingerprint"].as_str().or(one["fingerprint"].as_str()).unwrap().to_owned())
        .collect()
}

fn told(alpha: &Site, user: &str, count: usize) -> Mail {
    // The publication is looked after four times a minute.
    wait_for("a notice", PATIENCE * 2, || alpha.postfix.mailbox(user).get(count - 1).cloned())
}

#[test]
fn users_hear_of_changes_of_their_keys_and_not_of_new_subkeys() {
    let (mut alpha, _scratch) = world("notify_users = true\n[rotation]\nepoch_days = 7\n");
    alpha.gatepost.generate(&["--user", ALICE]);
    alpha.gatepost.start();
    let first = told(&alpha, "alice", 1);
    assert_eq!(first.field("Subject").as_deref(), Some(CHANGED));
    let keys = fingerprints(&alpha, ALICE);
    assert!(first.text().contains("(none)") && first.text().contains(&keys[0]), "{}", first.text());
    // Another subkey for encryption is published and logged, and nobody is bothered.
    alpha.gatepost.command(&["keys", "rotate"]).success();
    alpha.gatepost.generate(&["--user", BOB]);
    assert!(told(&alpha, "bob", 1).text().contains(&fingerprints(&alpha, BOB)[0]));
    assert_eq!(alpha.postfix.mailbox("alice").len(), 1);
    // Revoked, and another one in its place.
    alpha.gatepost.command(&["keys", "revoke", &keys[0], "--reason", "compromised"]).success();
    alpha.gatepost.generate(&["--user", ALICE]);
    let second = told(&alpha, "alice", 2);
    assert!(second.text().contains("(revoked)"), "{}", second.text());
    assert_eq!(alpha.gatepost.metric(STRANGE), Some(0.0));
}

/// What the log says of an address.
#[track_caller]
fn logged(scratch: &tempfile::TempDir, address: &str) -> String {
    let place = scratch.path().join("publication");
    run(Command::new(keydir_binary()).args(["log", "prove"]).arg(place).arg(address), b"").success().text()
}

#[test]
fn the_key_of_a_whole_domain_and_a_lost_index_are_no_alarm() {
    let (mut alpha, scratch) = world("notify_users = true\ncatch_all = [\"alpha.example\"]\n");
    alpha.gatepost.generate(&["--domain", "alpha.example"]);
    alpha.gatepost.generate(&["--user", ALICE]);
    alpha.gatepost.start();
    told(&alpha, "alice", 1);
    assert_eq!(alpha.gatepost.metric(STRANGE), Some(0.0));
    assert!(logged(&scratch, ALICE).contains("entry number 1 of the label: 1 certificates"));
    // With the index the salts are lost: what was logged cannot be opened any more, and is logged anew.
    alpha.gatepost.term();
    std::fs::remove_file(scratch.path().join("publication/log/log.db")).unwrap();
    alpha.gatepost.generate(&["--user", BOB]);
    alpha.gatepost.start();
    told(&alpha, "bob", 1);
    assert_eq!(alpha.gatepost.metric(STRANGE), Some(0.0));
    assert!(logged(&scratch, ALICE).contains("entry number 2 of the label: 1 certificates"));
    assert_eq!(alpha.postfix.mailbox("alice").len(), 1, "nothing has changed for her");
}

#[test]
fn a_log_that_is_begun_later_has_what_was_published_before() {
    let (mut alpha, scratch) = world("log = false\n");
    let publish = |alpha: &Site, log: bool| {
        let text = std::fs::read_to_string(alpha.gatepost.config()).unwrap();
        let text = text.replace(&format!("log = {}", !log), &format!("log = {log}"));
        std::fs::write(alpha.gatepost.config(), text).unwrap();
        alpha.gatepost.command(&["keys", "publish"]).success();
    };
    alpha.gatepost.generate(&["--user", ALICE]);
    publish(&alpha, false);
    publish(&alpha, true);
    assert!(logged(&scratch, ALICE).contains("entry number 1 of the label: 1 certificates"));
    // Once.
    publish(&alpha, true);
    assert!(logged(&scratch, ALICE).contains("entry number 1 of the label"));
    // What was withdrawn in between is gone from the log, too.
    let key = fingerprints(&alpha, ALICE).remove(0);
    alpha.gatepost.command(&["keys", "trust", &key, "distrusted"]).success();
    publish(&alpha, false);
    publish(&alpha, true);
    alpha.gatepost.start();
    assert!(logged(&scratch, ALICE).contains("entry number 2 of the label: 0 certificates"));
}

#[test]
fn an_entry_that_the_gateway_did_not_make_is_an_alarm() {
    let (mut alpha, scratch) = world("");
    alpha.gatepost.generate(&["--user", ALICE]);
    alpha.gatepost.start();
    alpha.gatepost.wait_log(&["published: 1 mailboxes changed"]);
    // Somebody has a copy of everything, the keys of the log included, and gives Alice another key.
    let copy = scratch.path().join("copy");
    let state = alpha.gatepost.state();
    // Whole, that is: not in the middle of a write.
    alpha.gatepost.term();
    run(Command::new("cp").arg("-a").arg(&state).arg(&copy), b"").success();
    alpha.gatepost.start();
    let text = std::fs::read_to_string(alpha.gatepost.config()).unwrap();
    let config = scratch.path().join("thief.toml");
    std::fs::write(&config, text.replace(state.to_str().unwrap(), copy.to_str().unwrap())).unwrap();
    let thief = |words: &[&str]| {
        run(Command::new(gatepost_binary()).args(words).arg("--config").arg(&config), b"").success();
    };
    thief(&["keys", "generate", "--user", ALICE]);
    thief(&["keys", "publish"]);
    let mail = told(&alpha, "postmaster", 1);
    assert_eq!(mail.field("Subject").as_deref(), Some("ALARM: the key log"));
    assert!(mail.text().contains("a change of alice@alpha.example that we did not make"), "{}", mail.text());
    assert!(alpha.gatepost.metric(STRANGE).unwrap() >= 1.0);
    alpha.gatepost.wait_log(&["error", "KEY LOG: entry"]);
    assert_eq!(alpha.postfix.mailbox("alice").len(), 0, "users are told only where that is wanted");
}
