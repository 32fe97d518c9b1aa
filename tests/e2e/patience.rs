//! Work that lasts: progress for the MTA, a deadline of our own, and a reload in the middle.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::MilterClient;
use tests::armored_message;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";

fn news(to: &str) -> Vec<u8> {
    messages::plain(ALICE, to, "news", "the vault opens at nine")
}

/// Makes the daemon's next look at its signing key last until the key's file is given back.
struct StuckKey {
    file: PathBuf,
    content: Vec<u8>,
}

impl StuckKey {
    #[track_caller]
    fn take(gatepost: &Gatepost) -> Self {
        let mut entries = std::fs::read_dir(gatepost.state().join("secrets")).unwrap();
        let is_key = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "key");
        let file =
            entries.find_map(|entry| Some(entry.unwrap().path()).filter(is_key)).expect("a secret key");
        let content = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        // Opening a FIFO waits until somebody opens its other end.
        tests::run(Command::new("mkfifo").arg("-m").arg("600").arg(&file), b"").success();
        Self { file, content }
    }

    /// Puts the key back, and gives it to who waits for it.
    fn give_back(&self) {
        let mut waiting = std::fs::OpenOptions::new().write(true).open(&self.file).unwrap();
        let restored = self.file.with_extension("restored");
        std::fs::write(&restored, &self.content).unwrap();
        std::fs::rename(&restored, &self.file).unwrap();
        std::io::Write::write_all(&mut waiting, &self.content).unwrap();
    }
}

/// A gateway that signs for Alice, started anew so that no key is remembered.
fn alpha_that_signs(plan: GatepostPlan) -> Gatepost {
    let gatepost = plan.policy("[policy]\nsign = \"always\"").prepare();
    gatepost.generate(&["--user", ALICE]);
    gatepost
}

#[test]
fn progress_is_reported_while_work_lasts() {
    let mut gatepost = alpha_that_signs(GatepostPlan::new("alpha.example"));
    let stuck = StuckKey::take(&gatepost);
    gatepost.start();
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    mta.macros('M', &[("{daemon_name}", "ORIGINATING")]);
    mta.mail(&["<alice@alpha.example>"]);
    mta.macros('R', &[("i", "SLOW1")]);
    mta.rcpt(&["<bob@beta.example>"]);
    mta.content(&news(BOB));
    mta.send('E', b"");
    // Postfix starts its clock anew at each of these.
    for _ in 0..2 {
        assert_eq!(mta.read().unwrap().kind, 'p');
    }
    // Others are served meanwhile.
    let mut other = MilterClient::open(gatepost.milter());
    other.client("other.example", "192.0.2.1");
    other.mail(&["<stranger@beta.example>"]);
    other.rcpt(&["<carol@alpha.example>"]);
    assert!(
        other
            .message(&messages::plain("stranger@beta.example", "carol@alpha.example", "x", "y\n"))
            .accepted()
    );

    stuck.give_back();
    let mut kinds = String::new();
    while !kinds.ends_with(['c', 't', 'y']) {
        kinds.push(mta.read().unwrap().kind);
    }
    assert!(kinds.contains('b') && kinds.ends_with('c'), "{kinds}");
    gatepost.wait_log(&[" SLOW1: ", "action=sign", "verdict=continue"]);
}

#[test]
fn what_takes_longer_than_the_deadline_is_deferred_and_never_sent() {
    let mut gatepost = alpha_that_signs(GatepostPlan::new("alpha.example").gateway("deadline_seconds = 1"));
    let stuck = StuckKey::take(&gatepost);
    gatepost.start();
    let verdict =
        MilterClient::with_own_client(gatepost.milter()).transaction("LATE1", ALICE, &[BOB], &news(BOB));
    assert_eq!(verdict.answer.kind, 'y', "{verdict:?}");
    assert!(verdict.answer.text().starts_with("451 4.3.0 "), "{verdict:?}");
    assert!(verdict.changes.is_empty(), "{verdict:?}");
    gatepost.wait_log(&[" LATE1: ", "verdict=tempfail", "took too long"]);
    let records = gatepost.notary("LATE1");
    assert_eq!(records[0].pointer("/leaf/public/verdict").unwrap(), "tempfail", "{records}");
    stuck.give_back();
    let verdict =
        MilterClient::with_own_client(gatepost.milter()).transaction("LATE2", ALICE, &[BOB], &news(BOB));
    assert!(verdict.accepted() && verdict.body().is_some(), "{verdict:?}");
    assert!(gatepost.term().success());
}

#[test]
fn work_that_hangs_for_ever_does_not_keep_the_daemon_from_ending() {
    let mut gatepost = alpha_that_signs(GatepostPlan::new("alpha.example").gateway("deadline_seconds = 1"));
    let _stuck = StuckKey::take(&gatepost);
    gatepost.start();
    let verdict =
        MilterClient::with_own_client(gatepost.milter()).transaction("HUNG1", ALICE, &[BOB], &news(BOB));
    assert_eq!(verdict.answer.kind, 'y', "{verdict:?}");
    let start = Instant::now();
    assert!(gatepost.term().success());
    assert!(start.elapsed() < Duration::from_secs(20), "it hung");
}

#[test]
fn a_reload_that_needs_more_than_an_open_connection_granted_defers_its_mail() {
    let plan = GatepostPlan::new("alpha.example").policy("[policy]\nencrypt = \"never\"\nopen = false");
    let mut gatepost = plan.prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    gatepost.start();
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    assert!(mta.transaction("BEFORE", ALICE, &[BOB], &news(BOB)).accepted());
    gatepost.write_config("[policy]\nencrypt = \"required\"");
    gatepost.reload();
    gatepost.wait_log(&["configuration reloaded"]);
    // This connection sends no bodies and hears no refusals at RCPT; carol has no key.
    for to in [BOB, "carol@beta.example"] {
        let verdict = mta.transaction("BETWEEN", ALICE, &[to], &news(to));
        assert!(verdict.answer.text().starts_with("451 4.3.0 "), "{verdict:?}");
        assert!(verdict.changes.is_empty(), "{verdict:?}");
    }
    drop(mta);
    let verdict =
        MilterClient::with_own_client(gatepost.milter()).transaction("AFTER", ALICE, &[BOB], &news(BOB));
    assert!(verdict.accepted(), "{verdict:?}");
    assert!(bob.decrypt(armored_message(&verdict.body().unwrap()).unwrap()).decrypted());
}
