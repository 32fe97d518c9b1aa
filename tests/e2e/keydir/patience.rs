//! Directories that cannot be asked for long: mail that need not be encrypted goes on when the administrator's patience is
//! over, all other mail never.

use tests::Gpg;
use tests::Outcome;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::free_port;
use tests::messages;

use super::harvest::autocrypt;
use super::harvest::binary;
use crate::smime::people::find;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const SECRET: &str = "the treaty of the two houses";

/// Alpha, whose only source is a key server that nobody runs.
fn world(more: &str) -> (Site, SmtpSink) {
    let sink = SmtpSink::start();
    let policy = format!(
        "{more}\n[discovery.source.nobody]\nkind = \"hkp\"\nurl = \"http://127.0.0.1:{}/\"\n",
        free_port()
    );
    let plan = SitePlan::new("alpha.example").route("beta.example", sink.port()).policy(&policy);
    (plan.prepare(), sink)
}

fn discovery(patience: &str) -> String {
    format!("[discovery]\nsources = [\"nobody\"]\n{patience}")
}

fn submit(alpha: &Site) -> Outcome {
    alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "hello", SECRET))
}

/// The first digit of the answer.
fn send(alpha: &Site) -> u16 {
    digit(&submit(alpha))
}

fn digit(outcome: &Outcome) -> u16 {
    outcome.rcpt.iter().map(|reply| reply.code).find(|code| *code != 250).unwrap_or(outcome.end.code) / 100
}

#[test]
fn mail_that_need_not_be_encrypted_waits_as_long_as_the_administrator_says() {
    let (mut alpha, sink) = world(&discovery("patience_hours = 2"));
    alpha.gatepost.start();
    assert_eq!(send(&alpha), 4, "{}", alpha.gatepost.log());
    alpha.gatepost.set_clock("+3h");
    alpha.gatepost.restart();
    let outcome = submit(&alpha);
    assert_eq!(digit(&outcome), 2, "{}", alpha.gatepost.log());
    assert!(find(&sink.wait(1).remove(0).data, SECRET.as_bytes()));
    // It is told: in the log, in a metric, and in the record.
    alpha.gatepost.wait_log(&[BOB, "no answer for 3 hours", "goes on without"]);
    let series = "gatepost_keydir_lookups_total{result=\"given_up\",source=\"discovery\"}";
    assert!(alpha.gatepost.metric(series).unwrap() >= 1.0);
    let record = alpha.gatepost.notary(&outcome.queue_id()).to_string();
    assert!(record.contains("for longer than such mail waits"), "{record}");
    // And asked for it is not "none".
    let told = alpha.gatepost.command(&["keys", "lookup", BOB, "--explain"]);
    assert_eq!(told.code, 69, "{told:?}");
    assert!(told.text().contains("given up") && told.text().contains("waits no longer"), "{told:?}");
}

#[test]
fn mail_that_must_be_encrypted_waits_for_ever() {
    waits(&format!("[policy]\nencrypt = \"required\"\n{}", discovery("patience_hours = 0")));
}

#[test]
fn without_the_setting_nothing_leaves_in_clear() {
    waits(&discovery(""));
}

/// Under this policy mail waits, and half a day later still.
#[track_caller]
fn waits(policy: &str) {
    let (mut alpha, sink) = world(policy);
    alpha.gatepost.start();
    assert_eq!(send(&alpha), 4, "{}", alpha.gatepost.log());
    alpha.gatepost.set_clock("+12h");
    alpha.gatepost.restart();
    assert_eq!(send(&alpha), 4, "{}", alpha.gatepost.log());
    assert!(sink.received().is_empty());
}

/// An own user without a key gets none from a stranger's server, whoever asks.
#[test]
fn our_own_users_are_never_looked_for() {
    let (alpha, _sink) = world(&discovery(""));
    let told = alpha.gatepost.command(&["keys", "lookup", ALICE, "--explain"]);
    assert_eq!(told.code, 66, "{told:?}");
    assert!(told.text().contains("the domain is ours"), "{told:?}");
    assert_eq!(alpha.gatepost.command(&["keys", "lookup", BOB]).code, 69);
}

/// Who had a certificate is not taken for somebody who has none: what was found is used on.
#[test]
fn what_was_found_before_is_used_on() {
    let bob = Gpg::new();
    bob.generate(BOB);
    let section = format!("{}\nharvest = \"tofu\"", discovery("patience_hours = 1"));
    let (mut alpha, sink) = world(&section);
    alpha.gatepost.start();
    let field = autocrypt("Autocrypt", BOB, &binary(&bob, BOB));
    let mail = [field.as_bytes(), &messages::plain(BOB, ALICE, "hello", "x\n")].concat();
    assert!(alpha.receive(BOB, &[ALICE], &mail).accepted());
    alpha.gatepost.wait_log(&["harvested: certificate", &bob.fingerprint(BOB)]);
    assert_eq!(send(&alpha), 4, "the source may know of another one: {}", alpha.gatepost.log());
    alpha.gatepost.set_clock("+2h");
    alpha.gatepost.restart();
    assert_eq!(send(&alpha), 2, "{}", alpha.gatepost.log());
    assert!(!find(&sink.wait(1).remove(0).data, SECRET.as_bytes()));
}
