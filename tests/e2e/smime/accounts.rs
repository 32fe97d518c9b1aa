//! Who has an account has a certificate, and who has none any more has none either: a file, a map of Postfix and
//! a directory are the source of truth.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::PATIENCE;
use tests::Slapd;
use tests::free_port;
use tests::run;
use tests::wait_for;

/// A gateway with an authority whose accounts come from `source`, and the port of its OCSP responder.
fn gateway(section: &str) -> (Gatepost, u16) {
    let port = free_port();
    let sections = format!(
        "[ca]\norganisation = \"Beta\"\nurl = \"http://127.0.0.1:{port}\"\nlisten = \"127.0.0.1:{port}\"\n\
         [accounts]\n{section}\n"
    );
    let beta = GatepostPlan::new("beta.example").policy(&sections).prepare();
    beta.command(&["ca", "init"]).success();
    (beta, port)
}

/// A gateway whose accounts come from a file beside its state, with these lines.
fn gateway_with_file(more: &str, lines: &str) -> (Gatepost, u16) {
    // The path is known only when the directory is.
    let (beta, port) = gateway("source = \"file:/nonexistent\"\nwatch_seconds = 1");
    let path = beta.state().join("../accounts");
    let sections = beta.policy().replace("/nonexistent", path.to_str().unwrap());
    beta.write_config(&format!("{sections}{more}"));
    write(&beta, lines);
    (beta, port)
}

fn write(beta: &Gatepost, lines: &str) {
    fs::write(beta.state().join("../accounts"), lines).unwrap();
}

fn json(beta: &Gatepost, words: &[&str]) -> Value {
    let ran = beta.command(&[words, &["--json"]].concat()).success();
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
}

/// The certificates in use of each known account that has any: profile and fingerprint.
fn certificates(beta: &Gatepost) -> BTreeMap<String, Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed = json(beta, &["accounts", "list"]);
    let of = |account: &Value| {
        let all = account["certificates"].as_array().unwrap().iter();
        let all: Vec<_> = all.map(|has| (text(&has["profile"]), text(&has["fingerprint"]))).collect();
        (!all.is_empty()).then(|| (text(&account["address"]), all))
    };
    listed.as_array().unwrap().iter().filter_map(of).collect()
}

fn addresses(beta: &Gatepost) -> Vec<String> {
    certificates(beta).into_keys().collect()
}

fn fingerprint(beta: &Gatepost, address: &str) -> String {
    certificates(beta)[address][0].1.clone()
}

/// Asks the running gateway's responder with openssl ocsp.
fn ocsp(beta: &Gatepost, port: u16, fingerprint: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, which) in [("root.pem", "root"), ("issuing.pem", "issuing"), ("leaf.pem", fingerprint)] {
        fs::write(dir.path().join(name), beta.command(&["ca", "export", which]).success().stdout).unwrap();
    }
    let url = format!("http://127.0.0.1:{port}/ocsp");
    let mut command = Command::new("openssl");
    command.current_dir(dir.path()).args([
        "ocsp",
        "-issuer",
        "issuing.pem",
        "-cert",
        "leaf.pem",
        "-url",
        &url,
    ]);
    command.args(["-CAfile", "root.pem", "-VAfile", "issuing.pem"]);
    run(&mut command, b"").text()
}

/// The revocation list that the running gateway serves, as openssl reads it.
fn list(port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/issuing-1.crl");
    let list = run(Command::new("curl").args(["-sf", &url]), b"").success().stdout;
    run(Command::new("openssl").args(["crl", "-inform", "DER", "-noout", "-text"]), &list).success().text()
}

fn serial(beta: &Gatepost, fingerprint: &str) -> String {
    let pem = beta.command(&["ca", "export", fingerprint]).success().stdout;
    let ran = run(Command::new("openssl").args(["x509", "-noout", "-serial"]), &pem).success();
    ran.text().trim().trim_start_matches("serial=").to_owned()
}

#[test]
fn a_disabled_account_is_revoked_for_everybody_in_less_than_a_minute() {
    let (mut beta, port) = gateway_with_file("", "bob@beta.example Bob Baker\neve@beta.example\n");
    beta.start();
    wait_for("certificates for new accounts", PATIENCE, || (addresses(&beta).len() == 2).then_some(()));
    let bob = fingerprint(&beta, "bob@beta.example");
    assert!(ocsp(&beta, port, &bob).contains("leaf.pem: good"));
    let pem = beta.command(&["ca", "export", &bob]).success().stdout;
    let subject = run(Command::new("openssl").args(["x509", "-noout", "-subject", "-email"]), &pem).text();
    assert!(subject.contains("Bob Baker") && subject.contains("bob@beta.example"), "{subject}");

    let began = Instant::now();
    write(&beta, "bob@beta.example Bob Baker disabled\neve@beta.example\n");
    let answer = wait_for("openssl ocsp to say revoked", Duration::from_secs(60), || {
        let answer = ocsp(&beta, port, &bob);
        answer.contains("leaf.pem: revoked").then_some(answer)
    });
    assert!(answer.contains("cessationOfOperation"), "{answer}");
    let serial = serial(&beta, &bob);
    wait_for("the revocation list", Duration::from_secs(60).saturating_sub(began.elapsed()), || {
        list(port).contains(&serial).then_some(())
    });
    assert_eq!(addresses(&beta), ["eve@beta.example"]);
    beta.wait_log(&["revoked a certificate of bob@beta.example"]);
    // Enabled again: a new key.
    write(&beta, "bob@beta.example Bob Baker\neve@beta.example\n");
    wait_for("another certificate", PATIENCE, || (addresses(&beta).len() == 2).then_some(()));
    assert_ne!(fingerprint(&beta, "bob@beta.example"), bob);
}

#[test]
fn a_plan_is_printed_and_carried_out_once() {
    let (beta, _) = gateway_with_file("profile = \"separate\"\n", "bob@beta.example id=7\n");
    let planned = beta.command(&["accounts", "plan"]).success().text();
    assert!(planned.contains("bob@beta.example: create"), "{planned}");
    assert!(planned.contains("issue   bob@beta.example  user-sign"), "{planned}");
    beta.command(&["accounts", "sync", "--dry-run"]).success();
    assert_eq!(addresses(&beta).len(), 0, "a dry run changes nothing");
    let done = json(&beta, &["accounts", "sync"]);
    assert_eq!((&done["issued"], &done["revoked"]), (&Value::from(2), &Value::from(0)));
    let again = json(&beta, &["accounts", "sync"]);
    assert_eq!((&again["issued"], &again["revoked"]), (&Value::from(0), &Value::from(0)));
    assert!(beta.command(&["accounts", "plan"]).success().text().contains("agree"));

    write(&beta, "rob@beta.example id=7\n");
    let plan = json(&beta, &["accounts", "plan"]);
    assert_eq!(plan["changes"][0]["change"], "rename");
    assert_eq!(plan["changes"][0]["from"], "bob@beta.example");
    beta.command(&["accounts", "sync"]).success();
    assert_eq!(addresses(&beta), ["rob@beta.example"]);

    let before = certificates(&beta);
    write(&beta, "rob@beta.example id=7 compromised\n");
    let plan = json(&beta, &["accounts", "plan"]);
    let reasons: Vec<&Value> =
        plan["revocations"].as_object().unwrap().values().map(|r| &r["reason"]).collect();
    assert_eq!(reasons, ["key-compromise", "key-compromise"]);
    beta.command(&["accounts", "sync"]).success();
    let after = certificates(&beta);
    assert_eq!(after["rob@beta.example"].len(), 2);
    assert!(after["rob@beta.example"].iter().all(|has| !before["rob@beta.example"].contains(has)));
    assert!(beta.command(&["accounts", "plan"]).success().text().contains("agree"), "the mark may stay");
}

#[test]
fn a_source_that_loses_many_accounts_stops_and_asks() {
    let all: Vec<String> = (0..6).map(|number| format!("user{number}@beta.example\n")).collect();
    let (mut beta, _) = gateway_with_file("max_loss = \"20%\"\n", &all.concat());
    beta.command(&["accounts", "sync"]).success();
    for fewer in [all[..4].concat(), String::new()] {
        write(&beta, &fewer);
        let ran = beta.command(&["accounts", "sync"]);
        assert_eq!(ran.code, 77, "{ran:?}");
        assert!(ran.stderr.contains("--accept-loss") && ran.stderr.contains("of 6 accounts"), "{ran:?}");
        assert_eq!(addresses(&beta).len(), 6);
    }
    // The daemon says so and keeps what there is, until somebody decides.
    beta.start();
    let failed = "gatepost_accounts_sync_failed{reason=\"loss\"}";
    wait_for("the alarm", PATIENCE, || (beta.metric(failed) == Some(1.0)).then_some(()));
    beta.wait_log(&["error", "6 of 6 accounts would lose"]);
    assert_eq!(addresses(&beta).len(), 6);
    write(&beta, &all[..4].concat());
    beta.command(&["accounts", "sync", "--accept-loss"]).success();
    assert_eq!(addresses(&beta).len(), 4);
    wait_for("the alarm to end", PATIENCE, || (beta.metric(failed) == Some(0.0)).then_some(()));
}

#[test]
fn a_source_that_cannot_be_meant_or_read_changes_nothing() {
    let (mut beta, _) = gateway_with_file("", "bob@beta.example\neve@beta.example\n");
    beta.command(&["accounts", "sync"]).success();
    write(&beta, "bob@beta.example\nx@alpha.example\nbob@beta.example disabled\ne\0ve@beta.example\n");
    let ran = beta.command(&["accounts", "sync", "--accept-loss"]);
    assert_eq!(ran.code, 65, "{ran:?}");
    for said in ["line 2: x@alpha.example", "line 3: bob@beta.example", "line 4: "] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
    fs::remove_file(beta.state().join("../accounts")).unwrap();
    assert_eq!(beta.command(&["accounts", "sync", "--accept-loss"]).code, 66);
    beta.start();
    let failed = "gatepost_accounts_sync_failed{reason=\"source\"}";
    wait_for("the alarm", PATIENCE, || (beta.metric(failed) == Some(1.0)).then_some(()));
    assert_eq!(addresses(&beta).len(), 2);
    let none =
        GatepostPlan::new("gamma.example").policy("[accounts]\nsource = \"file:/etc/hostname\"\n").prepare();
    let ran = none.command(&["accounts", "list"]);
    assert!(ran.code == 66 && ran.stderr.contains("gatepost ca init"), "{ran:?}");
}

#[test]
fn a_synchronisation_that_is_killed_is_completed_by_the_next() {
    let all: Vec<String> = (0..6).map(|number| format!("user{number}@beta.example\n")).collect();
    let (mut beta, _) = gateway_with_file("", &all.concat());
    beta.start();
    wait_for("the first certificates", PATIENCE, || (addresses(&beta).len() > 1).then_some(()));
    beta.kill9();
    assert!(addresses(&beta).len() >= 2);
    beta.command(&["accounts", "sync"]).success();
    let has = certificates(&beta);
    assert_eq!(has.len(), 6);
    assert!(has.values().all(|all| all.len() == 1), "{has:?}");
    let issued = json(&beta, &["ca", "list"]);
    let users = issued.as_array().unwrap().iter().filter(|issued| issued["profile"] == "user");
    let in_use = users.filter(|issued| issued["revoked"].is_null()).count();
    // One whose key or store entry the kill prevented is revoked and replaced.
    assert_eq!(in_use, 6);
}

#[test]
fn two_at_the_same_time_do_the_work_once() {
    let all: Vec<String> = (0..6).map(|number| format!("user{number}@beta.example\n")).collect();
    let (beta, _) = gateway_with_file("", &all.concat());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| beta.command(&["accounts", "sync"]).success());
        }
    });
    let has = certificates(&beta);
    assert_eq!(has.len(), 6);
    assert!(has.values().all(|all| all.len() == 1), "{has:?}");
}

#[test]
fn the_keys_of_a_postfix_map_are_accounts() {
    let dir = tempfile::tempdir().unwrap();
    // postmap wants a configuration; the machine's own is none of our business.
    fs::write(dir.path().join("main.cf"), "compatibility_level = 3.6\n").unwrap();
    let map = dir.path().join("virtual");
    let postmap = || {
        let path = format!("hash:{}", map.display());
        run(Command::new("postmap").env("MAIL_CONFIG", dir.path()).arg(&path), b"").success();
        path
    };
    fs::write(&map, "beta.example anything\nbob@beta.example bob\neve@beta.example eve\nx@other.example x\n")
        .unwrap();
    let source = postmap();
    let sections = format!("[accounts]\nsource = \"postmap:{source}\"\nwatch_seconds = 1\n");
    let mail_config = dir.path().to_str().unwrap();
    let plan = GatepostPlan::new("beta.example").env("MAIL_CONFIG", mail_config);
    let mut beta = plan.policy(&sections).prepare();
    beta.command(&["ca", "init"]).success();
    let planned = beta.command(&["accounts", "plan"]).success().text();
    assert!(planned.contains("x@other.example is outside of the domains"), "{planned}");
    beta.command(&["accounts", "sync"]).success();
    assert_eq!(addresses(&beta), ["bob@beta.example", "eve@beta.example"]);
    fs::write(&map, "beta.example anything\nbob@beta.example bob\n").unwrap();
    postmap();
    beta.start();
    wait_for("the watcher", PATIENCE, || (addresses(&beta) == ["bob@beta.example"]).then_some(()));
    // A map that is not there is not an empty one.
    fs::remove_file(dir.path().join("virtual.db")).unwrap();
    let ran = beta.command(&["accounts", "sync", "--accept-loss"]);
    assert_eq!(ran.code, 66, "{ran:?}");
    assert_eq!(addresses(&beta), ["bob@beta.example"]);
    // The text itself serves as well.
    let text = format!("[accounts]\nsource = \"postfix:{}\"\n", map.display());
    beta.write_config(&text);
    assert!(beta.command(&["accounts", "plan"]).success().text().contains("agree"));
}

/// An `[accounts]` section for a directory.
fn directory(slapd: &Slapd, url: &str, more: &str) -> String {
    let (dn, password) = slapd.credentials();
    format!(
        "source = \"{url}/ou=people,dc=beta,dc=example?mail?sub?(objectClass=inetOrgPerson)\"\nbind_dn = \"{dn}\"\n\
         password_file = \"{}\"\nwatch_seconds = 1\n{more}\n",
        password.display()
    )
}

#[test]
fn a_directory_is_followed_also_when_people_are_renamed() {
    let slapd = Slapd::start("");
    slapd.add_person("bob", &["bob@beta.example", "bob@elsewhere.example"]);
    slapd.add_person("eve", &["eve@beta.example"]);
    let more =
        "disabled_filter = \"(employeeType=disabled)\"\ncompromised_filter = \"(employeeType=compromised)\"";
    let (mut beta, port) = gateway(&directory(&slapd, &slapd.url(), more));
    let planned = beta.command(&["accounts", "plan"]).success().text();
    assert!(planned.contains("bob@elsewhere.example is outside"), "{planned}");
    beta.start();
    wait_for("certificates", PATIENCE, || (addresses(&beta).len() == 2).then_some(()));
    let (bob, eve) = (fingerprint(&beta, "bob@beta.example"), fingerprint(&beta, "eve@beta.example"));
    let modify = |uid: &str, change: &str| {
        slapd.change(&format!("dn: uid={uid},ou=people,dc=beta,dc=example\nchangetype: modify\n{change}\n"));
    };
    modify("bob", "replace: mail\nmail: rob@beta.example");
    wait_for("the new name", PATIENCE, || {
        (addresses(&beta) == ["eve@beta.example", "rob@beta.example"]).then_some(())
    });
    assert!(ocsp(&beta, port, &bob).contains("superseded"), "the old name");
    modify("eve", "replace: employeeType\nemployeeType: compromised");
    let other = wait_for("a new key", PATIENCE, || {
        let now = certificates(&beta);
        now.get("eve@beta.example").map(|has| has[0].1.clone()).filter(|now| *now != eve)
    });
    assert!(ocsp(&beta, port, &eve).contains("keyCompromise"));
    modify("eve", "replace: employeeType\nemployeeType: disabled");
    wait_for("the end of the account", PATIENCE, || {
        ocsp(&beta, port, &other).contains("cessationOfOperation").then_some(())
    });
    assert_eq!(addresses(&beta), ["rob@beta.example"]);
}

#[test]
fn a_directory_is_asked_over_tls_and_only_with_the_right_certificate() {
    let slapd = Slapd::start("");
    slapd.add_person("bob", &["bob@beta.example"]);
    let (beta, _) = gateway("source = \"file:/nonexistent\"");
    let anchor = format!("ca_file = \"{}\"", slapd.anchor().display());
    let starttls = format!("{anchor}\nstarttls = true");
    for (url, more, code) in [
        (slapd.tls_url(), anchor.as_str(), 0),
        (slapd.named_url(), starttls.as_str(), 0),
        // The system does not know this root; and the certificate is not for the number.
        (slapd.tls_url(), "", 69),
        (slapd.url(), starttls.as_str(), 69),
    ] {
        beta.write_config(&format!("[accounts]\n{}", directory(&slapd, &url, more)));
        let ran = beta.command(&["accounts", "plan"]);
        assert_eq!(ran.code, code, "{url} {more}: {ran:?}");
        assert!(code != 0 || ran.text().contains("bob@beta.example: create"), "{ran:?}");
    }
}

#[test]
fn a_part_of_a_directory_does_not_pass_for_the_whole() {
    // Who does not say who he is gets two entries.
    let slapd =
        Slapd::start("limits anonymous size.soft=2 size.hard=2 size.prtotal=2\nlimits users size=unlimited");
    for uid in ["a", "b", "c", "d", "e"] {
        slapd.add_person(uid, &[&format!("{uid}@beta.example")]);
    }
    let (beta, _) = gateway(&directory(&slapd, &slapd.url(), ""));
    beta.command(&["accounts", "sync"]).success();
    assert_eq!(addresses(&beta).len(), 5);
    let whole = beta.policy().to_owned();
    let anonymous: Vec<&str> = whole
        .lines()
        .filter(|line| !line.starts_with("bind_dn") && !line.starts_with("password_file"))
        .collect();
    beta.write_config(&anonymous.join("\n"));
    let ran = beta.command(&["accounts", "sync", "--accept-loss"]);
    assert_eq!(ran.code, 69, "{ran:?}");
    // Nor does a server that is away, or a wrong password.
    beta.write_config(&whole.replace(&slapd.url(), "ldap://127.0.0.1:9"));
    assert_eq!(beta.command(&["accounts", "sync", "--accept-loss"]).code, 69);
    beta.write_config(&whole);
    let (_, password) = slapd.credentials();
    fs::write(password, "wrong\n").unwrap();
    let ran = beta.command(&["accounts", "sync", "--accept-loss"]);
    assert!(ran.code == 69 && ran.stderr.contains("does not take us for cn=admin"), "{ran:?}");
    assert_eq!(addresses(&beta).len(), 5);
}
