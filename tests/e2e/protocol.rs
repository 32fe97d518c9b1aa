//! Corners of the milter protocol: what an MTA may do that Postfix seldom does, and what none should.

use std::path::Path;
use std::process::Command;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::MilterClient;
use tests::PATIENCE;
use tests::armored_message;
use tests::messages;
use tests::milter_client::ALL_ACTIONS;
use tests::milter_client::ALL_OPTIONS;
use tests::milter_client::LEADING_SPACE;
use tests::milter_client::NO_BODY;
use tests::milter_client::REPLACE_BODY;
use tests::wait_for;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const SECRET: &str = "the vault opens at nine";
const CONNECTIONS: &str = "gatepost_milter_connections";

fn started(plan: GatepostPlan) -> Gatepost {
    let mut gatepost = plan.prepare();
    gatepost.start();
    gatepost
}

fn alpha() -> GatepostPlan {
    GatepostPlan::new("alpha.example")
}

/// A gateway that knows a certificate of Bob's.
fn alpha_with_bob(policy: &str) -> (Gatepost, Gpg) {
    let mut gatepost = alpha().policy(policy).prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    gatepost.start();
    (gatepost, bob)
}

/// Runs a dialogue of tests/scenarios with miltertest.
#[track_caller]
fn scenario(gatepost: &Gatepost, name: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    // miltertest writes addresses as Sendmail does.
    let address = gatepost.milter();
    let socket = match address.strip_prefix("inet:").and_then(|inet| inet.split_once(':')) {
        Some((host, port)) => format!("inet:{port}@{host}"),
        None => address.to_owned(),
    };
    let mut miltertest = Command::new("miltertest");
    miltertest.arg("-D").arg(format!("socket={socket}")).arg("-s").arg(script);
    let ran = tests::run(&mut miltertest, b"");
    assert_eq!(ran.code, 0, "{name}: {}{}\n{}", ran.text(), ran.stderr, gatepost.log());
}

fn news(to: &str) -> Vec<u8> {
    messages::plain(ALICE, to, "news", SECRET)
}

/// Shows that mail is served, on a fresh connection.
#[track_caller]
fn serves(gatepost: &Gatepost, queue_id: &str) {
    let verdict = MilterClient::with_own_client(gatepost.milter()).transaction(
        queue_id,
        ALICE,
        &["dave@gamma.example"],
        &news(BOB),
    );
    assert!(verdict.accepted(), "{verdict:?}");
    gatepost.wait_log(&[&format!(" {queue_id}: "), "verdict=continue"]);
}

#[test]
fn a_message_may_be_aborted_at_every_stage() {
    let gatepost = started(alpha().unix());
    scenario(&gatepost, "abort.lua");
    let line = gatepost.wait_log(&["WHOLE: "]);
    assert!(line.contains("to=<bob@beta.example>"), "{line}");
    assert!(!gatepost.log().contains("ABORT"), "an aborted message has no verdict: {}", gatepost.log());
    wait_for("every connection to be counted out", PATIENCE, || {
        (gatepost.metric(CONNECTIONS) == Some(0.0)).then_some(())
    });
    // Nothing is left under way: draining has nothing to wait for.
    let mut gatepost = gatepost;
    assert!(gatepost.term().success());
    assert!(!gatepost.log().contains("still under way"), "{}", gatepost.log());
}

#[test]
fn several_messages_on_one_connection_keep_to_themselves() {
    let gatepost = started(alpha());
    scenario(&gatepost, "several.lua");
    for number in 1..=3 {
        let line = gatepost.wait_log(&[&format!("SEVERAL{number}: ")]);
        // The client is a stranger's; the name of the service, told once, made it ours.
        assert!(line.contains("direction=outbound"), "{line}");
        assert!(line.contains(&format!("message-id=<several.{number}@client.example>")), "{line}");
        assert!(line.contains(&format!("to=<r{number}@beta.example>")), "{line}");
        assert_eq!(line.contains("carol@alpha.example"), number == 2, "{line}");
        let records = gatepost.notary(&format!("SEVERAL{number}"));
        assert_eq!(records.as_array().unwrap().len(), 1, "{records}");
        let helo = records[0].pointer("/private/client/helo").unwrap();
        assert_eq!(helo, "after-starttls.example", "the last HELO counts");
    }
}

#[test]
fn an_mta_may_tell_next_to_nothing() {
    let gatepost = started(alpha());
    scenario(&gatepost, "bare.lua");
    let log = gatepost.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" NOQUEUE: from=")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines.iter().all(|line| line.contains("direction=inbound")), "{log}");
    // What has no queue id is found by its Message-ID.
    gatepost.notary("bare.header-only@client.example");
}

#[test]
fn the_queue_id_may_come_late_or_never() {
    let gatepost = started(alpha());
    scenario(&gatepost, "queue_id.lua");
    gatepost.wait_log(&[" TOLD-AT-mail: "]);
    gatepost.wait_log(&[" TOLD-AT-rcpt: "]);
    gatepost.wait_log(&[" NOQUEUE: ", "<TOLD-AT-never@client.example>"]);

    // miltertest cannot send macros with the end of the message, nor a packet without any.
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    mta.macros('M', &[]);
    mta.mail(&["<alice@alpha.example>"]);
    mta.macros('R', &[]);
    mta.rcpt(&["<bob@beta.example>"]);
    mta.content(&news(BOB));
    mta.macros('E', &[("i", "TOLD-AT-END")]);
    assert!(mta.end().accepted());
    gatepost.wait_log(&[" TOLD-AT-END: ", "verdict=continue"]);
    gatepost.notary("TOLD-AT-END");
}

#[test]
fn a_recipient_is_refused_alone_at_rcpt() {
    let (gatepost, _) = alpha_with_bob("[policy]\nencrypt = \"required\"");
    scenario(&gatepost, "refused.lua");
    let line = gatepost.wait_log(&["REFUSED1: ", "verdict=refuse"]);
    assert!(line.contains("to=<nobody@beta.example>") && line.contains("reply=550 5.7.1 "), "{line}");
    let line = gatepost.wait_log(&["REFUSED1: ", "verdict=continue"]);
    assert!(line.contains("to=<bob@beta.example>,") && line.contains("action=encrypt"), "{line}");
}

#[test]
fn authentication_makes_a_stranger_one_of_our_own() {
    let gatepost = started(alpha());
    let mut mta = MilterClient::open(gatepost.milter());
    mta.client("roaming.example", "192.0.2.9");
    mta.helo("roaming.example");
    for (queue_id, macros, direction) in [
        ("AUTH1", &[("{auth_authen}", "alice"), ("{auth_type}", "PLAIN")][..], "internal"),
        ("AUTH2", &[("{auth_authen}", ""), ("{auth_type}", "")][..], "inbound"),
        ("AUTH3", &[("{daemon_name}", "ORIGINATING")][..], "internal"),
        ("AUTH4", &[("{daemon_name}", "INBOUND"), ("{auth_authen}", "alice")][..], "inbound"),
    ] {
        mta.macros('M', macros);
        mta.mail(&["<alice@alpha.example>"]);
        mta.macros('R', &[("i", queue_id)]);
        mta.rcpt(&["<carol@alpha.example>"]);
        assert!(mta.message(&news("carol@alpha.example")).accepted());
        gatepost.wait_log(&[&format!(" {queue_id}: "), &format!("direction={direction}")]);
    }
}

#[test]
fn only_what_the_policy_needs_is_asked_for() {
    let (full, _) = alpha_with_bob("");
    let mta = MilterClient::open(full.milter());
    assert!(mta.actions & REPLACE_BODY != 0 && mta.options & NO_BODY == 0, "{mta:?}");
    assert!(mta.options & LEADING_SPACE != 0, "{mta:?}");
    // Every stage that never has an objection is silent: connect, helo, mail, header, body.
    assert_eq!(mta.options & 0x8_7080, 0x8_7080, "{mta:?}");

    // A look-up that fails is answered at RCPT, so the reply to that is not given up.
    assert_eq!(mta.options & 0x8000, 0, "{mta:?}");

    let idle = started(alpha().policy("[policy]\nencrypt = \"never\"\nopen = false"));
    let mut mta = MilterClient::with_own_client(idle.milter());
    assert!(mta.actions & REPLACE_BODY == 0, "{mta:?}");
    assert_eq!(mta.options & (NO_BODY | 0x8000), NO_BODY | 0x8000, "no body, and silent at RCPT: {mta:?}");
    assert!(mta.transaction("IDLE1", ALICE, &[BOB], &news(BOB)).accepted());
    idle.wait_log(&[" IDLE1: ", "action=pass"]);
}

#[test]
fn an_mta_that_cannot_do_what_is_needed_is_refused_by_name() {
    let (gatepost, _) =
        alpha_with_bob("[[rule]]\nid = \"hold\"\nsubject = \"hold\"\nverdict = \"quarantine\"\ntext = \"x\"");
    for (actions, options, missing) in [
        (ALL_ACTIONS, ALL_OPTIONS & !LEADING_SPACE, &["LEADING_SPACE"][..]),
        (ALL_ACTIONS & !REPLACE_BODY, ALL_OPTIONS, &["REPLACE_BODY"]),
        (ALL_ACTIONS & !0x20, ALL_OPTIONS, &["QUARANTINE"]),
        (
            ALL_ACTIONS & !0x18,
            ALL_OPTIONS & !LEADING_SPACE,
            &["CHANGE_HEADER", "DELETE_RCPT", "LEADING_SPACE"],
        ),
        // Protocol version 2, as an MTA of 2003 speaks it.
        (0x3f, 0x7f, &["LEADING_SPACE"]),
    ] {
        let before = gatepost.log().len();
        let mut mta = MilterClient::dial(gatepost.milter()).unwrap();
        assert!(!mta.negotiate(6, actions, options), "{missing:?}");
        let line = wait_for("the refusal in the log", PATIENCE, || {
            gatepost.log()[before..].lines().find(|line| line.contains("does not offer")).map(str::to_owned)
        });
        let listed = line.split_once("needs: ").unwrap().1.split_once(';').unwrap().0;
        let mut listed: Vec<&str> = listed.split(", ").collect();
        listed.sort_unstable();
        assert_eq!(listed, missing, "{line}");
    }
    serves(&gatepost, "AFTER");
    assert!(!gatepost.log().contains("was ended"), "said once is enough: {}", gatepost.log());
}

#[test]
fn an_mta_without_silent_stages_gets_an_answer_to_each() {
    let (gatepost, bob) = alpha_with_bob("");
    let mut mta = MilterClient::dial(gatepost.milter()).unwrap();
    // Sendmail 8.13 knew neither silent stages nor requested macros, but imagine the leading space.
    assert!(mta.negotiate(6, 0x3f, 0x7f | LEADING_SPACE));
    assert_eq!(mta.options & !(0x7f | LEADING_SPACE), 0, "{mta:?}");
    // The client waits for a reply to each of these.
    assert_eq!(mta.client("client.example", "127.0.0.1").kind, 'c');
    assert_eq!(mta.helo("client.example").kind, 'c');
    let verdict = mta.transaction("LOUD1", ALICE, &[BOB], &news(BOB));
    assert!(verdict.accepted(), "{verdict:?}");
    let sealed = verdict.body().unwrap();
    assert!(bob.decrypt(armored_message(&sealed).unwrap()).decrypted());
}

#[test]
fn the_end_of_a_message_may_carry_its_last_piece() {
    let (gatepost, bob) = alpha_with_bob("");
    let silent = MilterClient::with_own_client(gatepost.milter());
    let mut loud = MilterClient::dial(gatepost.milter()).unwrap();
    assert!(loud.negotiate(6, 0x3f, 0x7f | LEADING_SPACE));
    loud.client("client.example", "127.0.0.1");
    for (mut mta, queue_id) in [(silent, "END1"), (loud, "END2")] {
        mta.macros('M', &[("{daemon_name}", "ORIGINATING")]);
        mta.mail(&["<alice@alpha.example>"]);
        mta.macros('R', &[("i", queue_id)]);
        mta.rcpt(&["<bob@beta.example>"]);
        mta.content(b"From: alice@alpha.example\r\n\r\nthe first piece\r\n");
        let verdict = mta.end_with(b"and the last\r\n");
        assert!(verdict.accepted(), "{verdict:?}");
        let opened = bob.decrypt(armored_message(&verdict.body().unwrap()).unwrap());
        let text = String::from_utf8(opened.plaintext).unwrap();
        assert!(text.ends_with("the first piece\r\nand the last\r\n"), "{text}");
    }
    assert!(!gatepost.log().contains(" warn "), "{}", gatepost.log());
}

#[test]
fn packets_no_mta_should_send_end_their_connection_and_nothing_else() {
    let gatepost = started(alpha());
    let log_after = |what: &[u8], complaint: &str| {
        let mut mta = MilterClient::with_own_client(gatepost.milter());
        mta.mail(&["<alice@alpha.example>"]);
        mta.send_bytes(what);
        assert_eq!(mta.read(), None, "{complaint}");
        gatepost.wait_log(&["NOQUEUE: a connection from the MTA was ended: ", complaint]);
    };
    log_after(b"\xff\xff\xff\xffB", "a packet `B` of 4294967295 bytes is longer than");
    log_after(b"\x00\x20\x00\x00L", "a packet `L` of 2097152 bytes is longer than");
    log_after(b"\0\0\0\x02!x", "unknown command `!`");
    log_after(b"\0\0\0\x00\0", "unknown command `\\u{0}`");
    log_after(b"GET / HTTP/1.1\r\n\r\n", "bytes");
    // Strings without their end, empty where something must be.
    log_after(b"\0\0\0\x06R<a@b>", "a packet `R` of 6 bytes cannot be understood");
    log_after(b"\0\0\0\x01R", "a packet `R` of 1 bytes cannot be understood");
    let mut mta = MilterClient::open(gatepost.milter());
    mta.send('C', b"host\0X\0\0address\0");
    assert_eq!(mta.read(), None);
    gatepost.wait_log(&["a packet `C` of 17 bytes cannot be understood"]);
    // Options that are no options.
    let mut mta = MilterClient::dial(gatepost.milter()).unwrap();
    mta.send('O', b"\0\0");
    assert_eq!(mta.read(), None);
    gatepost.wait_log(&["a packet `O` of 3 bytes cannot be understood"]);

    // The MTA dies inside a packet.
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    mta.mail(&["<alice@alpha.example>"]);
    mta.send_bytes(b"\0\0\x10\0Bhalf of a chu");
    drop(mta);
    gatepost.wait_log(&["the MTA hung up inside or after a packet `B` of 4096 bytes"]);

    // Macros that make no sense are ignored, as libmilter does: Postfix sends empty ones.
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    for macros in [b"X{name}\0value\0".as_slice(), b"M", b"Modd\0", b"Munended", b"M\0\0\0\0"] {
        mta.send('D', macros);
    }
    assert!(mta.transaction("SENSELESS", ALICE, &[BOB], &news(BOB)).accepted());
    drop(mta);
    wait_for("every connection to be counted out", PATIENCE, || {
        (gatepost.metric(CONNECTIONS) == Some(0.0)).then_some(())
    });
    serves(&gatepost, "AFTER");
    assert!(!gatepost.log().contains("panic"), "{}", gatepost.log());
}

#[test]
fn commands_out_of_order_do_no_harm() {
    let gatepost = started(alpha());
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    // A body before any message, an end without one, recipients without a sender.
    for (kind, data) in [('B', b"x".as_slice()), ('L', b"A\0 b\0"), ('R', b"<a@b>\0"), ('N', b""), ('T', b"")]
    {
        mta.send(kind, data);
    }
    mta.send('O', &[0; 12]);
    let verdict = mta.transaction("ORDER1", ALICE, &[BOB], &news(BOB));
    assert!(verdict.accepted(), "{verdict:?}");
    let line = gatepost.wait_log(&[" ORDER1: "]);
    assert!(line.contains("to=<bob@beta.example>, "), "{line}");

    // The connection goes on for another client (SMFIC_QUIT_NC).
    mta.send('K', b"");
    mta.client("other.example", "192.0.2.77");
    mta.helo("other.example");
    mta.macros('M', &[("{daemon_name}", "INBOUND")]);
    mta.mail(&["<stranger@beta.example>"]);
    mta.macros('R', &[("i", "ORDER2")]);
    mta.rcpt(&["<carol@alpha.example>"]);
    assert!(mta.message(&news("carol@alpha.example")).accepted());
    let records = gatepost.notary("ORDER2");
    assert_eq!(records[0].pointer("/private/client/ip").unwrap(), "192.0.2.77");
    assert_eq!(gatepost.metric(CONNECTIONS), Some(1.0));
    drop(mta);
    wait_for("the connection to be counted out", PATIENCE, || {
        (gatepost.metric(CONNECTIONS) == Some(0.0)).then_some(())
    });
}

#[test]
fn a_thousand_recipients_and_a_thousand_fields_are_taken() {
    let (gatepost, bob) = alpha_with_bob("");
    let mut to: Vec<String> = (0..1000).map(|number| format!("r{number}@gamma.example")).collect();
    to.insert(500, BOB.to_owned());
    let recipients: Vec<&str> = to.iter().map(String::as_str).collect();
    let fields: String = (0..1000).map(|number| format!("X-Trace-{number}: one\r\n\ttwo\r\n")).collect();
    let message = [fields.as_bytes(), &news(BOB)].concat();
    let verdict =
        MilterClient::with_own_client(gatepost.milter()).transaction("MANY", ALICE, &recipients, &message);
    // Bob's form is the original; re-injection of the other group would need the MTA, so it is spooled.
    assert!(verdict.accepted(), "{verdict:?}\n{}", gatepost.log());
    let removed: Vec<_> = verdict.changes.iter().filter(|change| change.kind == '-').collect();
    assert_eq!(removed.len(), 1000);
    assert!(bob.decrypt(armored_message(&verdict.body().unwrap()).unwrap()).decrypted());
}
