//! `./setup`: what it writes and unpacks, and that it does nothing twice.

use std::path::Path;
use std::process::Command;

use tests::Ran;
use tests::directory;
use tests::run;

fn setup(words: &[&str]) -> Ran {
    run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../setup")).args(words), b"")
}

/// Debian's main file of unbound includes the directory of drop-ins.
#[track_caller]
fn unbound_accepts(dir: &Path) {
    let main = dir.join("unbound.conf");
    let include = format!("include-toplevel: \"{}/*.conf\"\n", dir.join("unbound.conf.d").display());
    std::fs::write(&main, include).unwrap();
    let ran = run(Command::new("/usr/sbin/unbound-checkconf").arg(&main), b"").success();
    assert!(ran.text().contains("no errors"), "{}", ran.text());
    for (option, value) in [
        ("module-config", "validator iterator"),
        ("prefetch", "yes"),
        ("serve-expired", "no"),
        ("interface", "127.0.0.1"),
    ] {
        let said =
            run(Command::new("/usr/sbin/unbound-checkconf").args(["-o", option]).arg(&main), b"").success();
        assert_eq!(said.text().trim(), value, "{option}");
    }
}

#[test]
fn the_resolver_drop_in_is_accepted_by_unbound() {
    let dir = directory("unbound");
    let drop_ins = dir.path().join("unbound.conf.d");
    std::fs::create_dir(&drop_ins).unwrap();
    let words = ["resolver", drop_ins.to_str().unwrap()];
    assert!(setup(&words).success().stderr.contains("gatepost.conf"));
    unbound_accepts(dir.path());
    let file = drop_ins.join("gatepost.conf");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("trust-anchor-file:"), "{written}");
    let again = setup(&words).success();
    assert_eq!((again.text(), again.stderr), (String::new(), String::new()), "the second time it is silent");
    // What somebody else wrote stays.
    std::fs::write(&file, "server:\n").unwrap();
    let refused = setup(&words);
    assert!(refused.code == 65 && refused.stderr.contains("remove it first"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "server:\n");
    assert_eq!(std::fs::read_dir(&drop_ins).unwrap().count(), 1, "nothing is left behind");
}

/// Two mentions of one anchor are an error for unbound.
#[test]
fn where_unbound_has_the_keys_of_the_root_the_drop_in_names_none() {
    let dir = directory("unbound");
    let drop_ins = dir.path().join("unbound.conf.d");
    std::fs::create_dir(&drop_ins).unwrap();
    let anchor = "server:\n    trust-anchor-file: \"/usr/share/dns/root.key\"\n";
    std::fs::write(drop_ins.join("root.conf"), anchor).unwrap();
    setup(&["resolver", drop_ins.to_str().unwrap()]).success();
    unbound_accepts(dir.path());
    assert!(!std::fs::read_to_string(drop_ins.join("gatepost.conf")).unwrap().contains("trust-anchor"));
}

#[test]
fn wrong_usage_of_setup_is_64() {
    for words in [&["resolver"][..], &["resolver", "/nowhere"], &["resolver", "a", "b"], &["everything"]] {
        assert_eq!(setup(words).code, 64, "{words:?}");
    }
}

/// `make test` runs it each time.
#[test]
fn setup_test_is_silent_when_nothing_is_missing() {
    let ran = setup(&["test"]).success();
    assert_eq!((ran.text(), ran.stderr), (String::new(), String::new()));
}
