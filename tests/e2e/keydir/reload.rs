//! What SIGHUP cannot do is said in the log, and never silently left undone.

use serde_json::Value;
use tests::GatepostPlan;
use tests::directory;

/// The key of a partner's log, and the one with which he cosigns.
fn partner() -> (String, String) {
    let place = directory("partner");
    let section = format!("[keydir]\npublication = \"{}\"\n", place.path().join("p").display());
    let beta = GatepostPlan::new("beta.example").policy(&section).prepare();
    beta.generate(&["--user", "bob@beta.example"]);
    beta.command(&["keys", "publish"]).success();
    let keys = beta.command(&["keys", "log", "--json"]).success().text();
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let key = |name: &str| keys[name].as_str().unwrap().to_owned();
    (key("log_key"), key("witness_key"))
}

#[test]
fn what_begins_with_the_next_start_is_named() {
    let mut gatepost = GatepostPlan::new("alpha.example").prepare();
    gatepost.start();
    let place = gatepost.state().join("publication");
    let keydir = format!("[keydir]\npublication = \"{}\"\n", place.display());
    gatepost.write_config(&format!("{keydir}[discovery]\nsources = []\n"));
    gatepost.reload();
    gatepost.wait_log(&["a [discovery] section was added; that takes effect after a restart"]);
    gatepost.wait_log(&["a [keydir] section was added; that takes effect after a restart"]);
    gatepost.restart();
    let said = |gatepost: &tests::Gatepost| gatepost.log().matches("takes effect after a restart").count();
    // What is read for each message needs none.
    let before = said(&gatepost);
    gatepost.write_config(&format!("{keydir}[discovery]\nsources = []\nautocrypt = false\n"));
    gatepost.reload();
    gatepost.wait_log(&["configuration reloaded"]);
    assert_eq!(said(&gatepost), before, "{}", gatepost.log());
    let (log_key, witness_key) = partner();
    gatepost.write_config(&format!(
        "{keydir}witness_for = [\"{log_key}\"]\n[[keydir.witnesses]]\nkey = \"{witness_key}\"\nurl = \"https://w.example\"\n\
         [discovery]\nsources = []\npatience_hours = 3\n"
    ));
    gatepost.reload();
    for what in [
        "keys of [discovery] other than `autocrypt` and `tell` changed",
        "the key log got its first witness",
        "the first partner was added to `witness_for`",
    ] {
        gatepost.wait_log(&[what, "after a restart"]);
    }
}
