//! The daemon as its administrator meets it: signals, sockets, log lines, metrics.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::MilterClient;
use tests::PATIENCE;
use tests::Ran;
use tests::messages;
use tests::wait_for;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const REQUIRED: &str = "[policy]\nencrypt = \"required\"";
const RELOAD: &str = "gatepost_config_last_reload_successful";

fn alpha() -> GatepostPlan {
    GatepostPlan::new("alpha.example")
}

fn started(plan: GatepostPlan) -> Gatepost {
    let mut gatepost = plan.prepare();
    gatepost.start();
    gatepost
}

fn news() -> Vec<u8> {
    messages::plain(ALICE, BOB, "news", "hello\n")
}

/// The path of the unix socket.
fn socket(gatepost: &Gatepost) -> PathBuf {
    PathBuf::from(gatepost.milter().strip_prefix("unix:").unwrap())
}

/// Runs the daemon, which is expected to end by itself; its exit code must be the given one.
#[track_caller]
fn ends_with(gatepost: &Gatepost, code: i32) -> Ran {
    let ran = gatepost.command(&["run"]);
    assert_eq!(ran.code, code, "{}", ran.stderr);
    ran
}

/// Its memory holds secret keys and mail that was opened.
#[test]
fn nothing_that_it_keeps_in_memory_gets_into_a_core_dump() {
    let gatepost = started(alpha());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gatepost.running().pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<&str> = core.split_whitespace().skip(4).collect();
    assert_eq!(values[..2], ["0", "0"], "{core}");
}

#[test]
fn a_wrong_configuration_changes_nothing_and_says_so() {
    let gatepost = started(alpha().policy("[policy]\nencrypt = \"opportunistic\""));
    assert_eq!(gatepost.metric(RELOAD), Some(1.0));
    for (wrong, complaint) in [
        ("[policy]\nencrypt = \"requird\"", "gatepost.toml:14:11"),
        ("[policy]\nencrpyt = \"required\"", "did you mean `encrypt`"),
        ("[policy\n", "gatepost.toml:13"),
    ] {
        gatepost.write_config(REQUIRED);
        let before = gatepost.log().len();
        gatepost.write_config(wrong);
        gatepost.reload();
        let said = wait_for("the complaint in the log", PATIENCE, || {
            let log = gatepost.log().split_off(before);
            (log.contains("NOT reloaded") && log.ends_with('\n')).then_some(log)
        });
        assert!(said.contains(complaint), "{complaint} in {said}");
        wait_for("the metric", PATIENCE, || (gatepost.metric(RELOAD) == Some(0.0)).then_some(()));
    }
    // Bob has no certificate: under the old rules his mail goes out as it is.
    assert!(
        MilterClient::with_own_client(gatepost.milter())
            .transaction("OLD", ALICE, &[BOB], &news())
            .accepted()
    );
    gatepost.wait_log(&[" OLD: ", "action=pass"]);

    let before = gatepost.log().len();
    std::fs::remove_file(gatepost.config()).unwrap();
    gatepost.reload();
    let said = wait_for("the complaint in the log", PATIENCE, || {
        Some(gatepost.log().split_off(before))
            .filter(|log| log.contains("NOT reloaded") && log.ends_with('\n'))
    });
    assert!(said.contains("No such file"), "{said}");
}

#[test]
fn a_right_configuration_takes_effect_for_the_next_message_also_on_an_open_connection() {
    let gatepost = started(alpha().policy("[policy]\nencrypt = \"opportunistic\""));
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    assert!(mta.transaction("FIRST", ALICE, &[BOB], &news()).accepted());

    // A message that began before goes on as it began.
    mta.macros('M', &[("{daemon_name}", "ORIGINATING")]);
    mta.mail(&["<alice@alpha.example>"]);
    mta.macros('R', &[("i", "BETWEEN")]);
    mta.rcpt(&["<bob@beta.example>"]);
    gatepost.write_config("[gateway]\n");
    gatepost.reload();
    gatepost.wait_log(&["NOT reloaded"]);
    gatepost.write_config(REQUIRED);
    gatepost.reload();
    gatepost.wait_log(&["configuration reloaded"]);
    assert_eq!(gatepost.metric(RELOAD), Some(1.0));
    assert!(mta.message(&news()).accepted());
    gatepost.wait_log(&[" BETWEEN: ", "action=pass"]);

    mta.mail(&["<alice@alpha.example>"]);
    let refused = mta.rcpt(&["<bob@beta.example>"]);
    assert!(refused.text().starts_with("550 5.7.1 "), "{refused:?}");
}

#[test]
fn what_needs_a_restart_is_said_and_stays() {
    let gatepost = started(alpha());
    let text = std::fs::read_to_string(gatepost.config()).unwrap();
    std::fs::write(
        gatepost.config(),
        text.replace("reinject = \"127.0.0.1:9\"", "reinject = \"127.0.0.1:7\""),
    )
    .unwrap();
    gatepost.reload();
    gatepost.wait_log(&["`reinject` changed; it takes effect after a restart"]);
    gatepost.wait_log(&["configuration reloaded"]);
    assert!(!gatepost.log().contains("`listen` changed"), "{}", gatepost.log());
}

#[test]
fn draining_finishes_the_message_under_way_and_takes_no_other() {
    let mut gatepost = started(alpha().unix());
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    mta.macros('M', &[("{daemon_name}", "ORIGINATING")]);
    mta.mail(&["<alice@alpha.example>"]);
    mta.macros('R', &[("i", "LAST")]);
    mta.rcpt(&["<bob@beta.example>"]);
    let idle = MilterClient::with_own_client(gatepost.milter());
    gatepost.running().signal(tests::Signal::TERM);
    gatepost.wait_log(&["draining"]);
    wait_for("the door to close", PATIENCE, || MilterClient::dial(gatepost.milter()).is_err().then_some(()));
    assert!(!socket(&gatepost).exists(), "the socket file goes first");
    assert_eq!(gatepost.get("/readyz").unwrap().0, 503);
    assert_eq!(gatepost.get("/healthz").unwrap().0, 200);
    assert!(gatepost.ended().is_none(), "a message is under way");

    let verdict = mta.message(&news());
    assert!(verdict.accepted(), "{verdict:?}");
    let status = wait_for("the daemon to end", PATIENCE, || gatepost.ended());
    assert!(status.success(), "{status}");
    drop(idle);
    gatepost.wait_log(&[" LAST: ", "verdict=continue"]);
    assert!(gatepost.log().trim_end().ends_with("stopped"), "{}", gatepost.log());
    assert!(!gatepost.log().contains("was ended"), "closing is no complaint: {}", gatepost.log());
}

#[test]
fn the_unix_socket_is_for_its_group_and_a_stale_one_is_replaced() {
    let mut gatepost = started(alpha().unix());
    let path = socket(&gatepost);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o660, "{mode:o}");

    let ran = ends_with(&gatepost, 69);
    assert!(ran.stderr.contains("in use"), "{}", ran.stderr);
    assert!(
        MilterClient::with_own_client(gatepost.milter())
            .transaction("STILL", ALICE, &[BOB], &news())
            .accepted()
    );

    gatepost.kill9();
    assert!(path.exists(), "kill -9 leaves it");
    gatepost.start();
    assert!(
        MilterClient::with_own_client(gatepost.milter())
            .transaction("AGAIN", ALICE, &[BOB], &news())
            .accepted()
    );
}

#[test]
fn a_socket_in_use_ends_the_second_daemon_and_not_the_first() {
    for plan in [alpha().unix(), alpha()] {
        let first = started(plan);
        // Another gateway of its own, on the same address by mistake.
        let second = alpha().prepare();
        let text = std::fs::read_to_string(second.config()).unwrap();
        std::fs::write(second.config(), text.replace(second.milter(), first.milter())).unwrap();
        let ran = ends_with(&second, 69);
        assert!(ran.stderr.contains(&format!("cannot listen on {}", first.milter())), "{}", ran.stderr);
        assert!(
            MilterClient::with_own_client(first.milter())
                .transaction("FIRST", ALICE, &[BOB], &news())
                .accepted()
        );
    }
    let first = started(alpha());
    let second = alpha().prepare();
    let text = std::fs::read_to_string(second.config()).unwrap();
    let metrics = |gatepost: &Gatepost| format!("127.0.0.1:{}", gatepost.metrics_port());
    std::fs::write(second.config(), text.replace(&metrics(&second), &metrics(&first))).unwrap();
    let ran = ends_with(&second, 69);
    assert!(
        ran.stderr.contains(&format!("cannot listen on {} for metrics", metrics(&first))),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_file_at_the_sockets_path_is_not_removed() {
    let gatepost = alpha().unix().prepare();
    let path = socket(&gatepost);
    std::fs::write(&path, "precious").unwrap();
    let ran = ends_with(&gatepost, 69);
    assert!(ran.stderr.contains("no socket"), "{}", ran.stderr);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_master_key_that_is_missing_or_open_to_others_is_named_with_the_fix() {
    let gatepost = alpha().prepare();
    let key = gatepost.config().with_file_name("master.key");
    let content = std::fs::read(&key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = ends_with(&gatepost, 77);
    assert!(ran.stderr.contains("master.key") && ran.stderr.contains("0600"), "{}", ran.stderr);

    std::fs::remove_file(&key).unwrap();
    let ran = ends_with(&gatepost, 77);
    assert!(ran.stderr.contains("master.key") && ran.stderr.contains("gatepost keys init"), "{}", ran.stderr);

    // What it says helps. A key is never replaced.
    gatepost.command(&["keys", "init"]).success();
    let made = std::fs::read(&key).unwrap();
    assert_ne!(made, content);
    let again = gatepost.command(&["keys", "init"]);
    assert_eq!(again.code, 73, "{}", again.stderr);
    assert_eq!(std::fs::read(&key).unwrap(), made);

    std::fs::write(&key, "short").unwrap();
    assert!(ends_with(&gatepost, 77).stderr.contains("32 bytes"));
}

#[test]
fn every_mistake_in_the_configuration_is_named_with_line_and_nearest_name() {
    let gatepost = alpha().prepare();
    gatepost.write_config(
        "[policy]\nencrypt = \"requird\"\nsing = \"always\"\n[partner.\"beta.example\"]\nsign = 3\n[[rule]]\nid = \"r\"\nverdict = \"explode\"",
    );
    for command in ["run", "check-config"] {
        let ran = gatepost.command(&[command]);
        assert_eq!(ran.code, 78, "{}", ran.stderr);
        for mistake in [
            "gatepost.toml:14:11: ",
            "did you mean `required`",
            "gatepost.toml:15:1: unknown key `sing` in [policy]; did you mean `sign`?",
            "gatepost.toml:17:8: ",
            "gatepost.toml:20:11: ",
        ] {
            assert!(ran.stderr.contains(mistake), "{mistake} in {}", ran.stderr);
        }
        assert!(ran.stdout.is_empty(), "{}", ran.text());
    }
    // A kind of key that needs another section is known by name.
    gatepost.write_config("[policy]\nkeys = [\"user-smime\", \"enforced-tls\"]");
    let ran = gatepost.command(&["check-config"]);
    assert!(ran.code == 78 && ran.stderr.contains("add a [relay] section"), "{}", ran.stderr);

    std::fs::write(gatepost.config(), b"\xff\xfe = 1\n").unwrap();
    assert_eq!(gatepost.command(&["check-config"]).code, 78);
    std::fs::remove_file(gatepost.config()).unwrap();
    let ran = ends_with(&gatepost, 78);
    assert!(ran.stderr.contains("cannot read") && ran.stderr.contains("No such file"), "{}", ran.stderr);
}

#[test]
fn metrics_are_clean_start_at_zero_and_name_nobody() {
    let gatepost = alpha().policy("[policy]\nsign = \"always\"\nencrypt = \"required\"").prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    gatepost.generate(&["--user", ALICE]);
    let gatepost = started_again(gatepost);
    let (code, text) = gatepost.get("/metrics").unwrap();
    assert_eq!(code, 200);
    let checked = tests::run(Command::new("promtool").args(["check", "metrics"]), text.as_bytes());
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{}", checked.text());
    let moving = [
        "gatepost_build_info",
        "_timestamp_seconds",
        RELOAD,
        "gatepost_notary_tree_size",
        "_connections_max",
    ];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value == "0" || moving.iter().any(|name| series.contains(name)), "{line}");
    }
    let before = series(&text);

    let mut mta = MilterClient::with_own_client(gatepost.milter());
    mta.transaction("M1", ALICE, &[BOB, "nobody@beta.example"], &news());
    mta.transaction("M2", "", &["carol@alpha.example"], &news());
    mta.transaction("M3", ALICE, &["nobody@beta.example"], &news());
    let (_, text) = gatepost.get("/metrics").unwrap();
    assert_eq!(series(&text), before, "every series is there from the start");
    for word in ["@", "alice", "bob", "alpha.example", "beta.example", "M1"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let metric = |series: &str| gatepost.metric(series).unwrap();
    assert!(
        metric("gatepost_milter_messages_total{direction=\"outbound\",verdict=\"continue\"}") >= 1.0,
        "{text}"
    );
    assert_eq!(
        metric("gatepost_milter_recipients_refused_total{class=\"permanent\"}"),
        2.0,
        "{}",
        gatepost.log()
    );
    let sealed =
        "gatepost_sealing_operations_total{operation=\"sign+encrypt\",result=\"success\",scheme=\"openpgp\"}";
    assert_eq!(metric(sealed), 1.0);
    assert_eq!(metric("gatepost_milter_connections"), 1.0);
    assert_eq!(metric("gatepost_milter_connections_max"), 1000.0);
    assert_eq!(metric("gatepost_milter_unprotected_recipients_total{signed=\"no\"}"), 0.0);
    assert_eq!(gatepost.get("/nothing").unwrap().0, 404);
}

fn started_again(mut gatepost: Gatepost) -> Gatepost {
    gatepost.start();
    gatepost
}

/// Names and labels of all series.
fn series(metrics: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn too_many_open_files_are_waited_out() {
    let gatepost = started(alpha());
    let pid = gatepost.running().pid();
    let limit = |files: usize| {
        let mut prlimit = Command::new("prlimit");
        prlimit.arg(format!("--pid={pid}")).arg(format!("--nofile={files}:"));
        tests::run(&mut prlimit, b"").success();
    };
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let kept = MilterClient::with_own_client(gatepost.milter());
    limit(open() + 2);
    let mut crowd: Vec<MilterClient> =
        (0..6).map(|_| MilterClient::dial(gatepost.milter()).unwrap()).collect();
    gatepost.wait_log(&["cannot accept a connection", "open files"]);
    drop(kept);
    limit(1024);
    // Who waited in the backlog is served, and so is everybody after them.
    for mta in &mut crowd {
        assert!(mta.negotiate(6, tests::milter_client::ALL_ACTIONS, tests::milter_client::ALL_OPTIONS));
    }
    assert!(
        MilterClient::with_own_client(gatepost.milter())
            .transaction("AFTER", ALICE, &[BOB], &news())
            .accepted()
    );
}

#[test]
fn a_log_line_has_its_fields_and_never_a_word_of_the_message() {
    let rules = "[policy]\nencrypt = \"opportunistic\"\n[[rule]]\nid = \"urgent\"\nsubject = \"urgent\"\nsign = \"never\"\n\
        [[rule]]\nid = \"no-games\"\nsubject = \"lottery\"\nverdict = \"reject\"\ntext = \"not here\"\n";
    let plan = alpha().policy(rules).env("GATEPOST_LOG", "trace");
    let gatepost = plan.prepare();
    let bob = Gpg::new();
    bob.generate(BOB);
    gatepost.import(&["--for", BOB], &bob.certificate(BOB));
    let gatepost = started_again(gatepost);
    let send = |queue_id: &str, subject: &str, to: &[&str]| {
        let message = messages::plain(ALICE, BOB, &format!("{subject} SUBJECTWORD"), "BODYWORD\n");
        let message = [b"X-Other: HEADERWORD\r\n", message.as_slice()].concat();
        MilterClient::with_own_client(gatepost.milter()).transaction(queue_id, ALICE, to, &message);
        gatepost.wait_log(&[&format!(" {queue_id}: from=")])
    };
    let fields = |line: &str| -> Vec<String> {
        let (_, line) = line.split_once(": ").unwrap();
        line.split(", ").map(|field| field.split_once('=').unwrap().0.to_owned()).collect()
    };
    const EXACTLY: [&str; 8] = ["from", "to", "direction", "rule", "action", "scheme", "verdict", "ms"];

    let line = send("LINE1", "urgent", &[BOB, "carol@beta.example"]);
    assert_eq!(fields(&line), [&EXACTLY[..], &["message-id"]].concat(), "{line}");
    let expected = " info LINE1: from=<alice@alpha.example>, to=<bob@beta.example>,<carol@beta.example>, \
        direction=outbound, rule=urgent, action=encrypt,pass, scheme=openpgp, verdict=continue, ms=";
    assert!(line.contains(expected), "{line}");

    let line = send("LINE2", "lottery", &[BOB]);
    assert_eq!(fields(&line), [&EXACTLY[..], &["message-id", "reason"]].concat(), "{line}");
    assert!(line.contains("rule=no-games, action=none, scheme=-, verdict=reject, "), "{line}");
    assert!(line.ends_with(", reason=550 5.7.1 not here"), "{line}");
    for word in ["SUBJECTWORD", "BODYWORD", "HEADERWORD", "lottery"] {
        assert!(!gatepost.log().contains(word), "{word} in {}", gatepost.log());
    }
}

#[test]
fn under_systemd_a_line_begins_with_its_priority() {
    let gatepost = started(alpha().env("JOURNAL_STREAM", "8:1"));
    MilterClient::with_own_client(gatepost.milter()).transaction("JOURNAL", ALICE, &[BOB], &news());
    let line = gatepost.wait_log(&["JOURNAL: "]);
    assert!(line.starts_with("<6>JOURNAL: from=<alice@alpha.example>, to=<"), "{line}");
    gatepost.write_config("nonsense");
    gatepost.reload();
    assert!(gatepost.wait_log(&["NOT reloaded"]).starts_with("<3>"));
}

#[test]
fn an_address_cannot_forge_a_log_line() {
    let gatepost = started(alpha());
    let forged = "<a\r\nFORGED: from=<x>, verdict=continue@beta.example>";
    let mut mta = MilterClient::with_own_client(gatepost.milter());
    mta.mail(&[forged]);
    mta.macros('R', &[("i", "Q\nFORGED2: x")]);
    mta.rcpt(&[forged]);
    let message = [b"Message-ID: <a\rFORGED3: x@y>\r\n", news().as_slice()].concat();
    mta.message(&message);
    gatepost.wait_log(&["verdict=continue, ms="]);
    let log = gatepost.log();
    assert!(!log.lines().any(|line| line.starts_with("FORGED")) && !log.contains('\r'), "{log}");
}
