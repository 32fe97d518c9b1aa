//! The local authority cannot issue, revoke or publish: it says so, what was in force stays in force, and mail goes on.

use std::fs;
use std::fs::rename;

use rusqlite::Connection;
use tests::PATIENCE;
use tests::wait_for;

use super::lasting::Lasting;
use super::letter::Shape;
use super::matrix::Section;
use super::office::OVERWRITTEN;
use super::office::Office;
use super::office::reason;
use super::storage::fill;
use super::trace::Fault;
use super::trust::overwritten;

const COLUMNS: [&str; 6] = [
    "Fault",
    "What was to be done",
    "The administrator is told",
    "In force meanwhile",
    "Mail meanwhile: the client saw",
    "And when it is mended",
];

#[test]
fn an_authority_that_cannot_work_says_so_and_takes_nothing_back() {
    let mut office = Office::new();
    let mut section = Section::new("The local authority fails", &COLUMNS);
    database(&mut office, &mut section);
    keys(&mut office, &mut section);
    accounts(&mut office, &mut section);
    start(&mut office, &mut section);
    full(&mut office, &mut section);
    section.compare();
}

fn database(office: &mut Office, section: &mut Section) {
    let database = office.world.state("ca.db");
    let other = Connection::open(&database).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    office.row(section, "another process is writing to ca.db", None, move |_| drop(other));
    let files = vec![database.clone(), office.world.state("ca.db-wal")];
    let fault = Fault { calls: "pwrite64", paths: files, injection: "error=EIO" };
    office.row(section, "ca.db cannot be written (EIO)", Some(&fault), |_| {});
    let mend = overwritten(&database);
    office.row(section, OVERWRITTEN, None, |_| mend());
}

fn keys(office: &mut Office, section: &mut Section) {
    let issuing = office.world.command(&["ca", "list", "issuing-1", "--json"]).success();
    let told: serde_json::Value = serde_json::from_slice(&issuing.stdout).unwrap();
    let key = office.world.key_file(told[0]["fingerprint"].as_str().unwrap());
    let away = office.world.state("away");
    rename(&key, &away).unwrap();
    let back = key.clone();
    office.row(section, "the authority's key is gone", None, move |_| rename(&away, &back).unwrap());
    let good = fs::read(&key).unwrap();
    fs::write(&key, vec![0x5a; good.len()]).unwrap();
    office.row(section, "the authority's key is damaged", None, |_| fs::write(&key, &good).unwrap());
}

/// The source of accounts is gone: that is no reason to revoke anything.
fn accounts(office: &mut Office, section: &mut Section) {
    let source = office.world.dir().join("accounts");
    let policy = office.world.gatepost.policy().to_owned();
    let lines = format!("[accounts]\nsource = \"file:{}\"\nwatch_seconds = 1\n", source.display());
    office.world.gatepost.write_config(&format!("{policy}\n{lines}"));
    fs::write(&source, "somebody@alpha.example\n").unwrap();
    office.world.start();
    let failed = "gatepost_accounts_sync_failed{reason=\"source\"}";
    let alarm = |office: &Office, value: f64| {
        wait_for("the alarm", PATIENCE, || {
            (office.world.gatepost.metric(failed) == Some(value)).then_some(())
        });
    };
    office.world.gatepost.wait_log(&["issued a certificate", "somebody@"]);
    let listed = office.world.command(&["ca", "list", "somebody@alpha.example", "--json"]).success();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    office.question(listed[0]["fingerprint"].as_str().unwrap().to_owned());
    fs::remove_file(&source).unwrap();
    alarm(office, 1.0);
    let name = "the source of accounts is gone";
    let lasting = Lasting::begin(&office.world, name, Shape::One);
    let said = "accounts and certificates are not brought into agreement";
    office.world.gatepost.wait_log(&[said]);
    let status = office.status();
    fs::write(&source, "somebody@alpha.example\nother@alpha.example\n").unwrap();
    alarm(office, 0.0);
    office.world.gatepost.wait_log(&["issued a certificate", "other@"]);
    let mail = lasting.over(&office.world);
    assert_eq!(office.status(), "good");
    section.row(&[name, "follow the accounts", &format!("log: {said}"), status, &mail, "followed again"]);
    office.world.gatepost.write_config(&policy);
    office.world.start();
}

/// Without what was revoked the gateway does not begin.
fn start(office: &mut Office, section: &mut Section) {
    office.world.gatepost.term();
    let mend = overwritten(&office.world.state("ca.db"));
    let ended = office.world.command(&["run"]);
    assert_eq!(ended.code, 69, "{}", ended.stderr);
    let lasting = Lasting::begin(&office.world, "ca.db is overwritten, at start", Shape::One);
    mend();
    office.world.start();
    let mail = lasting.over(&office.world);
    let told = format!("exit 69: {}", reason(&ended));
    section.row(&[OVERWRITTEN, "start the gateway", &told, "no answer", &mail, office.status()]);
}

fn full(office: &mut Office, section: &mut Section) {
    let state = office.world.gatepost.state();
    let state = state.display();
    office.world.start_secluded(&format!(
        "cp -a {state} {state}.copy; mount -t tmpfs -o size=16m,mode=0700 tmpfs {state}; cp -a {state}.copy/. {state}/"
    ));
    let ballast = office.world.spool().parent().unwrap().join("ballast");
    fill(&ballast);
    office.row(section, "the file system of all state is full", None, |_| fs::remove_file(&ballast).unwrap());
}
