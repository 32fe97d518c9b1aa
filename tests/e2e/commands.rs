//! The administrator's commands: exit codes of sysexits.h with a clear word, nothing half-done.

use std::path::Path;
use std::process::Command;

use tests::GatepostPlan;
use tests::Gpg;
use tests::Pki;
use tests::directory;
use tests::gatepost_binary;
use tests::messages;
use tests::pki::Leaf;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";

/// Names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What cannot serve is bad input, and nothing of it is kept.
#[test]
fn certificates_and_keys_that_cannot_serve_are_65_and_the_word_says_why() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    let pki = Pki::new();
    let addresses = [ALICE];
    let weak = pki.issue("weak", &Leaf { key: "rsa:1024", ..Leaf::user(&addresses) });
    let web = pki.issue("web", &Leaf { usage: "critical,cRLSign", ..Leaf::user(&addresses) });
    let password = pki.path("password");
    std::fs::write(&password, "secret\n").unwrap();
    for (file, named) in [
        (&weak.certificate, "an RSA key of 1024 bits is too weak"),
        (&weak.p12, "an RSA key of 1024 bits is too weak"),
        (&pki.root(), "certification authority"),
        (&web.key, "a secret key without its certificate"),
    ] {
        let words = ["keys", "import", file.to_str().unwrap(), "--password-file", password.to_str().unwrap()];
        let ran =
            alpha.command(if file.extension().is_some_and(|e| e == "p12") { &words } else { &words[..3] });
        assert_eq!(ran.code, 65, "{file:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(named), "{named} in {}", ran.stderr);
    }
    assert_eq!(alpha.command(&["keys", "list"]).success().text(), "");
}

#[test]
fn wrong_usage_is_64_and_names_the_word() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    let message = messages::plain(ALICE, BOB, "news", "the vault opens at nine");
    for (words, named) in [
        (&["filter", "--from", ALICE, "--to", BOB][..], "--out"),
        (&["filter", "--from", ALICE, "--out", "/nowhere"], "--to"),
        (&["filter", "--to", BOB, "--out", "/nowhere"], "--from"),
        (&["explain", "--from", ALICE, "--to", "two words"], "two words"),
        (&["explain", "--from", ALICE, "--to", ""], "empty"),
        (&["explain", "--from", "a@b@c d", "--to", BOB], "a@b@c d"),
        (&["explain", "--from", ALICE, "--to", BOB, "--client", "300.1.1.1"], "300.1.1.1"),
        (&["explain", "--from", ALICE, "--to", BOB, "--jason"], "--json"),
        (&["kyes", "list"], "keys"),
        (&["keys", "generate"], "--domain"),
        (
            &["keys", "generate", "--domain", "elsewhere.example"],
            "not one of the gateway's domains (alpha.example)",
        ),
        (&["keys", "generate", "--user", "nobody"], "nobody"),
        (&["keys", "list", "@@"], "@@"),
        (&["completion", "tcsh"], "tcsh"),
        (&[], "Usage"),
    ] {
        let ran = match words {
            [] => tests::run(&mut Command::new(gatepost_binary()), b""),
            _ => alpha.command_with(words, &message),
        };
        assert_eq!(ran.code, 64, "{words:?}: {}{}", ran.text(), ran.stderr);
        assert!(ran.stderr.contains(named), "{named} in {}", ran.stderr);
    }
    // A bounce has no sender; postmaster needs no domain.
    for words in [["--from", "", "--to", BOB], ["--from", "<>", "--to", "postmaster"]] {
        alpha.command_with(&[&["explain"], &words[..]].concat(), &message).success();
    }
}

#[test]
fn malformed_keys_are_65_and_none_of_the_file_is_taken() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    let gpg = Gpg::new();
    gpg.generate(BOB);
    gpg.generate("Nobody In Particular");
    let dir = directory("keys");
    let file = dir.path().join("keys.asc");
    let refused = |words: &[&str], bytes: &[u8], named: &str| {
        std::fs::write(&file, bytes).unwrap();
        let ran = alpha.command(&[&["keys", "import"], words, &[file.to_str().unwrap()]].concat());
        assert_eq!(ran.code, 65, "{named}: {}{}", ran.text(), ran.stderr);
        assert!(ran.stderr.to_lowercase().contains(named), "{named} in {}", ran.stderr);
        let listed = alpha.command(&["keys", "list", "--json"]).success();
        assert_eq!(listed.text().trim(), "[]", "nothing of it was taken");
        let secrets = alpha.state().join("secrets");
        let kept = if secrets.exists() { names(&secrets) } else { Vec::new() };
        assert!(!kept.iter().any(|name| name.ends_with(".key") || name.ends_with(".rev")), "{kept:?}");
    };
    let good = gpg.certificate(BOB);
    refused(&[], b"", "key");
    refused(&[], b"certainly no key\n", "key");
    refused(&[], &good[..good.len() / 2], "key");
    // A good one, then half of one.
    let other = gpg.certificate("Nobody In Particular");
    refused(&[], &[good.as_slice(), &other[..other.len() / 2]].concat(), "key");
    // A passphrase nobody can be asked for, behind a good key.
    let locked = Gpg::new();
    // Or the agent takes seconds to make guessing slow.
    std::fs::write(locked.home().join("gpg-agent.conf"), "s2k-count 65536\n").unwrap();
    let guarded = [
        "--batch",
        "--passphrase",
        "secret",
        "--quick-generate-key",
        ALICE,
        "future-default",
        "default",
        "1y",
    ];
    locked.run(&guarded, b"").success();
    let secret = locked
        .run(&["--passphrase", "secret", "--armor", "--export-secret-keys", ALICE], b"")
        .success()
        .stdout;
    refused(&[], &secret, "passphrase");
    refused(&[], &[gpg.secret_key(BOB), secret].concat(), "passphrase");

    std::fs::write(&file, good).unwrap();
    alpha.command(&["keys", "import", file.to_str().unwrap()]).success();
    // Allowed, but it is nobody's certificate, and says so.
    std::fs::write(&file, other).unwrap();
    let ran = alpha.command(&["keys", "import", file.to_str().unwrap()]).success();
    assert!(ran.text().contains("bound to nobody"), "{}", ran.text());
}

#[test]
fn a_key_of_ours_that_was_held_or_distrusted_is_our_own_again_when_it_is_verified() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    alpha.generate(&["--user", ALICE]);
    let listed = alpha.command(&["keys", "list", ALICE]).success().text();
    let fingerprint = listed.split_whitespace().next().unwrap();
    for level in ["held", "distrusted"] {
        let said = alpha.command(&["keys", "trust", fingerprint, level]).success().text();
        assert!(said.contains(&format!("trust={level}")), "{said}");
        let said = alpha.command(&["keys", "trust", fingerprint, "verified"]).success().text();
        assert!(said.contains("trust=own"), "{said}");
    }
    assert_eq!(alpha.command(&["keys", "list", ALICE]).success().text(), listed);
}

#[test]
fn what_is_not_there_is_66() {
    let mut alpha = GatepostPlan::new("alpha.example").prepare();
    alpha.start();
    for words in [
        &["keys", "import", "/nowhere/keys.asc"][..],
        &["keys", "import", "/"],
        &["keys", "export", "0123456789ABCDEF0123456789ABCDEF01234567"],
        &["keys", "export", BOB],
        &["keys", "export", "--domain", "alpha.example"],
        &["keys", "trust", "0123456789ABCDEF0123456789ABCDEF01234567", "verified"],
        &["keys", "revoke", "0123456789ABCDEF0123456789ABCDEF01234567"],
        &["notary", "show", "NOSUCHID"],
    ] {
        let ran = alpha.command(words);
        assert_eq!(ran.code, 66, "{words:?}: {}{}", ran.text(), ran.stderr);
        assert!(ran.stdout.is_empty() && ran.stderr.starts_with("gatepost: "), "{}", ran.stderr);
    }
    // A directory is no message.
    let script = "exec \"$0\" explain --from a@alpha.example --to b@beta.example --config \"$1\" < /";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(gatepost_binary()).arg(alpha.config());
    let ran = tests::run(&mut command, b"");
    assert!(ran.code == 66 && ran.stderr.contains("cannot read the message"), "{}: {}", ran.code, ran.stderr);
}

#[test]
fn every_command_needs_a_right_configuration_and_a_master_key() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    let commands: [&[&str]; 4] = [
        &["filter", "--from", ALICE, "--to", BOB, "--out", "/tmp/never"],
        &["explain", "--from", ALICE, "--to", BOB],
        &["keys", "list"],
        &["notary", "verify"],
    ];
    let key = alpha.config().with_file_name("master.key");
    std::fs::rename(&key, key.with_extension("away")).unwrap();
    for words in commands {
        let ran = alpha.command_with(words, b"x");
        assert_eq!(ran.code, 77, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("make one with: gatepost keys init"), "{}", ran.stderr);
    }
    std::fs::rename(key.with_extension("away"), &key).unwrap();
    alpha.write_config("[policy]\nencrypt = 7");
    for words in commands {
        let ran = alpha.command_with(words, b"x");
        assert_eq!(ran.code, 78, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("gatepost.toml:14:11: "), "{}", ran.stderr);
    }
    assert!(!Path::new("/tmp/never").exists());
}

#[test]
fn output_that_cannot_be_written_is_73() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    for words in ["explain --from a@alpha.example --to b@beta.example", "keys list --json", "completion bash"]
    {
        let script = format!("exec \"$0\" {words} --config \"$1\" > /dev/full < /dev/null");
        let mut command = Command::new("sh");
        let ran = tests::run(command.arg("-c").arg(script).arg(gatepost_binary()).arg(alpha.config()), b"");
        assert_eq!(ran.code, 73, "{words}: {}", ran.stderr);
    }
}

#[test]
fn completion_scripts_are_scripts() {
    let complete = |shell: &str| {
        let mut command = Command::new(gatepost_binary());
        tests::run(command.args(["completion", shell]), b"").success().stdout
    };
    let bash = complete("bash");
    let checked = tests::run(Command::new("bash").arg("-n"), &bash);
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""));
    for (command, begun, whole) in [("keys", "gen", "generate"), ("relay", "que", "query")] {
        let ask = format!(
            "\nCOMP_WORDS=(gatepost {command} {begun}); COMP_CWORD=2; _gatepost gatepost {begun} {command}; \
             echo \"${{COMPREPLY[@]}}\"\n"
        );
        let script = [bash.as_slice(), ask.as_bytes()].concat();
        assert_eq!(tests::run(Command::new("bash").arg("--norc"), &script).success().text().trim(), whole);
    }
    for shell in ["fish", "zsh"] {
        assert!(String::from_utf8(complete(shell)).unwrap().contains("check-config"));
    }
}

#[test]
fn manual_pages_are_clean() {
    let dir = directory("man");
    let mut command = Command::new(gatepost_binary());
    tests::run(command.arg("manual").arg(dir.path()), b"").success();
    let pages = names(dir.path());
    for page in [
        "gatepost.1",
        "gatepost-filter.1",
        "gatepost-keys-generate.1",
        "gatepost-notary-show.1",
        "gatepost-relay-query.1",
    ] {
        assert!(pages.iter().any(|name| name == page), "{page} in {pages:?}");
    }
    for page in pages {
        let path = dir.path().join(&page);
        let mut mandoc = Command::new("mandoc");
        let linted = tests::run(mandoc.args(["-T", "lint", "-W", "warning"]).arg(&path), b"");
        assert_eq!((linted.code, linted.text().as_str()), (0, ""), "{page}: {}", linted.stderr);
        let mut man = Command::new("man");
        man.args(["--warnings", "--encoding=UTF-8", "--local-file"])
            .arg(&path)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "100");
        let shown = tests::run(&mut man, b"");
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{page}");
        assert!(shown.text().contains("SYNOPSIS"), "{page}");
    }
}
