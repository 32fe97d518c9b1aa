//! `gatepost filter` and `gatepost explain`: the daemon's own decisions, without an MTA.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use tests::GatepostPlan;
use tests::Gpg;
use tests::SitePlan;
use tests::SmtpSink;
use tests::armored_message;
use tests::directory;
use tests::gatepost_binary;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const CAROL: &str = "carol@beta.example";
const DAVE: &str = "dave@gamma.example";
const ERIN: &str = "erin@beta.example";
const SECRET: &str = "the vault opens at nine";

/// Rules with every verdict, and every change to a message that is not sealed.
const RULES: &str = r#"
[policy]
encrypt = "opportunistic"
[user."signer@alpha.example"]
sign = "always"
[[rule]]
id = "plain"
subject = "[plain]"
encrypt = "never"
remove_trigger = true
[[rule]]
id = "lottery"
subject = "lottery"
verdict = "reject"
text = "no games here"
[[rule]]
id = "hold"
header = { "X-Hold" = "yes" }
verdict = "quarantine"
text = "held by hand"
[[rule]]
id = "gone"
header = { "X-Gone" = "yes" }
verdict = "discard"
"#;

/// One domain to which nothing leaves in clear.
const STRICT: &str =
    "[policy]\nencrypt = \"opportunistic\"\n[partner.\"strict.example\"]\nencrypt = \"required\"\n";

/// The parts of facts and plan that do not depend on when and where.
fn decision(facts: &Value, plan: &Value) -> (Value, Value) {
    let mut facts = facts.clone();
    if let Some(facts) = facts.as_object_mut() {
        facts.remove("now");
    }
    (facts, plan.clone())
}

#[test]
fn filter_and_daemon_agree_on_mail_that_leaves() {
    let sink = SmtpSink::start();
    let mut plan = SitePlan::new("alpha.example");
    plan = plan.route("beta.example", sink.port());
    let mut alpha = plan.policy(RULES).prepare();
    let keys = Gpg::new();
    keys.generate(BOB);
    alpha.gatepost.import(&["--for", BOB], &keys.certificate(BOB));
    alpha.gatepost.start();

    let with = |field: &str, to: &str, subject: &str| {
        [field.as_bytes(), &messages::plain(ALICE, to, subject, "Grüße\n.\n")].concat()
    };
    let cases: [(&str, &[&str], Vec<u8>); 8] = [
        (ALICE, &[CAROL], with("", CAROL, "passes")),
        (ALICE, &[BOB], with("", BOB, "is sealed")),
        (ALICE, &[BOB, CAROL], with("", BOB, "goes two ways")),
        (ALICE, &[BOB], with("X-Odd:no space\r\n", BOB, "news [plain] more")),
        (ALICE, &[CAROL], with("", CAROL, "you won the lottery")),
        (ALICE, &[CAROL], with("X-Hold: yes\r\n", CAROL, "held")),
        (ALICE, &[CAROL], with("X-Gone: yes\r\n", CAROL, "gone")),
        ("signer@alpha.example", &[CAROL], messages::plain("signer@alpha.example", CAROL, "signed", "x\n")),
    ];
    for (from, to, message) in cases {
        let before = sink.received().len();
        let trial =
            alpha.gatepost.filter(from, to, &["--daemon", "ORIGINATING", "--client", "127.0.0.1"], &message);
        let outcome = alpha.submit(from, to, &message);
        let context = format!("{:#}\n{outcome:?}\n{}", trial.report, alpha.gatepost.log());

        // The record of the daemon's decision: facts and plan are the same values.
        let id = message_id(&message);
        let records = alpha.gatepost.notary(&id);
        let records = records.as_array().unwrap();
        let record = records.iter().find(|record| record["event"] == "screened").expect("a record");
        assert_eq!(record["leaf"]["public"]["verdict"], trial.report["verdict"], "{context}");
        assert_eq!(
            decision(&record["private"]["facts"], &record["private"]["plan"]),
            decision(&trial.report["facts"], &trial.report["plan"]),
            "{context}"
        );
        match trial.verdict() {
            "reject" | "tempfail" => {
                assert_eq!(
                    format!("{} {}", outcome.end.code, outcome.end.text()),
                    trial.reply(),
                    "{context}"
                );
            }
            "continue" => {
                assert!(outcome.accepted(), "{context}");
                let received = sink.wait(before + trial.copies.len());
                for copy in &trial.copies {
                    let got =
                        received[before..].iter().find(|one| one.to == copy.recipients).expect(&context);
                    if copy.action == "pass" {
                        assert!(got.data.ends_with(&copy.message), "{context}");
                        continue;
                    }
                    let open = |message: &[u8]| keys.decrypt(armored_message(message).unwrap()).plaintext;
                    assert_eq!(open(&got.data), open(&copy.message), "{context}");
                }
            }
            verdict => {
                assert!(["quarantine", "discard"].contains(&verdict) && outcome.accepted(), "{context}")
            }
        }
    }
}

#[test]
fn filter_and_daemon_agree_at_rcpt_word_for_word() {
    let sink = SmtpSink::start();
    let plan = SitePlan::new("alpha.example").route("beta.example", sink.port());
    let alpha = plan.route("strict.example", sink.port()).policy(STRICT).start();
    let message = messages::plain(ALICE, BOB, "strict", "x\n");
    let to = ["nobody@strict.example", BOB];
    let trial = alpha.gatepost.filter(ALICE, &to, &["--daemon", "ORIGINATING"], &message);
    let outcome = alpha.submit(ALICE, &to, &message);
    assert!(outcome.accepted(), "{outcome:?}");
    let (refused, said) = trial.refused().remove(0);
    assert_eq!(refused, "nobody@strict.example");
    // Postfix puts the address between the code and the milter's text.
    let reply = outcome.rcpt[0].to_string();
    let (code, text) = said.split_at("550 5.7.1 ".len());
    assert!(reply.starts_with(code) && reply.ends_with(text), "{reply} / {said}");
    assert_eq!(trial.only().recipients, [BOB]);
}

#[test]
fn filter_and_daemon_agree_on_mail_that_arrives() {
    let mut beta = SitePlan::new("beta.example").prepare();
    beta.gatepost.generate(&["--domain", "beta.example"]);
    let certificate = beta.gatepost.export(&["--domain", "beta.example"]);
    let gpg = Gpg::new();
    gpg.generate(ALICE);
    let domain_key = gpg.import(&certificate).fingerprint_in(&certificate);
    beta.gatepost.import(&["--for", ALICE], &gpg.certificate(ALICE));
    beta.gatepost.start();
    let inside = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
    let sealed = gpg.seal(Some(ALICE), &[&domain_key], inside.as_bytes());
    let forged = b"Authentication-Results: mx.beta.example; openpgp=pass\r\n".as_slice();
    for (number, message) in [
        messages::pgp_mime(ALICE, BOB, "opened", &sealed),
        [forged, &messages::plain(ALICE, BOB, "forged", "x\n")].concat(),
        messages::plain(ALICE, BOB, "plain", "x\n"),
    ]
    .iter()
    .enumerate()
    {
        let words = ["--daemon", "INBOUND", "--client", "127.0.0.1"];
        let trial = beta.gatepost.filter(ALICE, &[BOB], &words, message);
        let outcome = beta.receive(ALICE, &[BOB], message);
        assert!(outcome.accepted(), "{outcome:?}\n{}", beta.gatepost.log());
        let mail = beta.postfix.wait_mail("bob", number + 1).pop().unwrap();
        // The results stand above the Received field of this Postfix; the trial has no such field.
        let lines = |message: &[u8]| {
            let mut lines: Vec<String> =
                String::from_utf8_lossy(message).lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        let delivered = lines(&mail.as_sent(0));
        let added = delivered.len() - lines(&trial.only().message).len();
        assert!(added <= 6, "trace fields only: {mail:?}");
        for line in lines(&trial.only().message) {
            assert!(delivered.contains(&line), "{line} in {mail:?}");
        }
        let records = beta.gatepost.notary(&message_id(message));
        assert_eq!(
            decision(&records[0]["private"]["facts"], &records[0]["private"]["plan"]),
            decision(&trial.report["facts"], &trial.report["plan"])
        );
    }
}

/// The Message-ID without brackets.
fn message_id(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let (_, rest) = text.split_once("Message-ID: <").unwrap();
    rest.split_once('>').unwrap().0.to_owned()
}

#[test]
fn recipients_are_grouped_by_key_and_by_who_may_know_of_them() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    let keys = Gpg::new();
    for address in [BOB, ERIN] {
        keys.generate(address);
        alpha.import(&["--for", address], &keys.certificate(address));
    }
    keys.generate("gateway@gamma.example");
    alpha.import(&["--domain", "gamma.example"], &keys.certificate("gateway@gamma.example"));

    let message = messages::plain(ALICE, &format!("{BOB}, {CAROL}, {DAVE}"), "news", SECRET);
    let blind = "frank@gamma.example";
    // Twice the same address, in brackets and in capitals, is one recipient.
    let to = [BOB, CAROL, DAVE, ERIN, blind, "<bob@BETA.example>"];
    let trial = alpha.filter_ours(ALICE, &to, &message);
    assert_eq!(trial.verdict(), "continue", "{:#}", trial.report);
    let mut groups: Vec<Vec<String>> = trial.copies.iter().map(|copy| copy.recipients.clone()).collect();
    groups.sort();
    assert_eq!(groups, [vec![BOB, DAVE], vec![CAROL], vec![ERIN], vec![blind]]);
    assert_eq!(trial.copy_for(CAROL).message, message, "in clear means untouched");
    for (to, able) in [
        (BOB, vec![BOB, "gateway@gamma.example"]),
        (ERIN, vec![ERIN]),
        (blind, vec!["gateway@gamma.example"]),
    ] {
        let opened = keys.decrypt(armored_message(&trial.copy_for(to).message).unwrap());
        let mut expected: Vec<String> =
            able.into_iter().map(|address| keys.encryption_key(address)).collect();
        let mut found = opened.encrypted_to();
        expected.sort();
        found.sort_unstable();
        assert!(opened.decrypted());
        assert_eq!(found, expected, "for {to}");
    }
}

#[test]
fn explain_says_in_words_what_filter_does() {
    let alpha = GatepostPlan::new("alpha.example").policy(STRICT).prepare();
    let keys = Gpg::new();
    keys.generate(BOB);
    alpha.import(&["--for", BOB], &keys.certificate(BOB));
    let message = messages::plain(ALICE, BOB, "news", SECRET);
    let arguments =
        ["--from", ALICE, "--to", BOB, "--to", CAROL, "--to", "x@strict.example", "--auth", "alice"];
    let explain = |words: &[&str], message: &[u8]| {
        alpha.command_with(&[&["explain"], words, &arguments].concat(), message).success()
    };
    let words = explain(&[], &message).text();
    for part in [
        "authenticated as alice",
        "x@strict.example: refused at RCPT with: 550 5.7.1 ",
        "bob@beta.example (outbound): ",
        "carol@beta.example (outbound): ",
        "encrypt = opportunistic (from the gateway's [policy])",
        "The message goes on in 2 forms",
    ] {
        assert!(words.contains(part), "{part} in:\n{words}");
    }
    assert!(!words.contains(SECRET), "{words}");

    let json: Value = serde_json::from_slice(&explain(&["--json"], &message).stdout).unwrap();
    let trial = alpha.filter(ALICE, &[BOB, CAROL, "x@strict.example"], &["--auth", "alice"], &message);
    for part in ["verdict", "reply", "refused", "rules", "findings", "plan", "direction"] {
        assert_eq!(json[part], trial.report[part], "{part}");
    }

    alpha.write_config(RULES);
    let games = explain(&[], &messages::plain(ALICE, BOB, "lottery", "x\n")).text();
    assert!(games.contains("Rules that matched: lottery."), "{games}");
    assert!(games.contains("The message is refused with: 550 5.7.1 no games here"), "{games}");
}

#[test]
fn everybody_refused_at_rcpt_leaves_no_message() {
    let alpha = GatepostPlan::new("alpha.example").policy("[policy]\nencrypt = \"required\"").prepare();
    let trial = alpha.filter_ours(ALICE, &[CAROL], &messages::plain(ALICE, CAROL, "news", SECRET));
    assert_eq!((trial.verdict(), trial.copies.len()), ("reject", 0));
    assert!(trial.reply().starts_with("550 5.7.1 ") && trial.reply().contains(CAROL), "{}", trial.reply());
}

#[test]
fn any_bytes_are_a_message_and_pass_as_they_are() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    let long = vec![b'x'; 200_000];
    for message in [
        b"".as_slice(),
        b"\n",
        b"\0\0\xff\xfe",
        b"no header at all",
        b"Subject: unix\nFrom: a@b\n\nbare line feeds\n",
        b"Subject: x\rFrom: y\r\rmac\r",
        b": no name\r\n\r\n.\r\n",
        &long,
    ] {
        let trial = alpha.filter_ours(ALICE, &[CAROL], message);
        assert_eq!(trial.only().message, message);
    }
}

/// Names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn results_are_complete_or_not_there() {
    let alpha = GatepostPlan::new("alpha.example").prepare();
    let keys = Gpg::new();
    keys.generate(BOB);
    alpha.import(&["--for", BOB], &keys.certificate(BOB));
    let dir = directory("out");
    let out = dir.path().join("a/b");
    let filter = |out: &Path, to: &[&str], message: &[u8]| {
        let mut arguments =
            vec!["filter", "--from", ALICE, "--auth", "alice", "--out", out.to_str().unwrap()];
        arguments.extend(to.iter().flat_map(|address| ["--to", address]));
        alpha.command_with(&arguments, message)
    };
    let message = messages::plain(ALICE, BOB, "news", SECRET);
    filter(&out, &[BOB, CAROL], &message).success();
    assert_eq!(names(&out), ["0.eml", "1.eml", "disposition.json"]);
    // What an earlier message left would be taken for a copy of this one.
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    filter(&out, &[CAROL], &message).success();
    assert_eq!(names(&out), ["0.eml", "disposition.json", "notes.txt"]);

    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    for wrong in [&file, &file.join("below"), Path::new("/proc/nowhere")] {
        let ran = filter(wrong, &[BOB], &message);
        assert_eq!(ran.code, 73, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("cannot write to {}", wrong.display())), "{}", ran.stderr);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");

    // A disk that is full in the middle of the second copy.
    let mount = dir.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    let input = dir.path().join("large.eml");
    std::fs::write(&input, messages::with_attachment(ALICE, BOB, "large", 100_000)).unwrap();
    let script = "mount -t tmpfs -o size=200k none \"$1\" || exit 99; shift; dir=$1; shift; \"$@\" < \"$dir\"; \
        code=$?; ls -A \"${0}\"; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&mount).arg(&mount).arg(&input).arg(gatepost_binary());
    command
        .args(["filter", "--from", ALICE, "--to", BOB, "--to", CAROL, "--auth", "alice", "--out"])
        .arg(&mount);
    let ran = tests::run(command.arg("--config").arg(alpha.config()), b"");
    assert_eq!((ran.code, ran.text().as_str()), (73, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
}
