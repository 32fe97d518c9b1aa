//! The Postfix of Debian 13, which knows TLS reports, with our policy server.

use std::fmt::Write as _;

use tests::Postfix;
use tests::PostfixPlan;
use tests::SmtpClient;
use tests::world::RunningWorld;
use tests::world::in_private_network;

use super::cases::Case;
use super::cases::Cases;
use super::cases::Verdict;
use super::reports;
use super::reports::Reporter;
use super::reports::end_the_day;
use super::room;
use super::room::asking;
use super::verdicts::hops;
use super::verdicts::judged;
use super::verdicts::send;

/// A Postfix 3.10 that asks for answers with what TLS reports need.
fn asking_for_reports(world: &RunningWorld) -> PostfixPlan {
    asking(world).version310().parameter(
        "smtp_tls_policy_maps",
        &format!("socketmap:inet:127.0.0.1:{}:QUERYwithTLSRPT", room::POLICY),
    )
}

#[test]
fn every_case_equals_the_expected_verdict() {
    in_private_network("relay::postfix310::every_case_equals_the_expected_verdict", || {
        let Cases { world, table } = Cases::all();
        let world = world.start();
        let _room = room::start(&world);
        let asking = asking_for_reports(&world).parameter("transport_maps", &hops(&world, &table)).start();
        let version = asking.command("postconf", &["-h", "mail_version"]).success().text();
        assert!(version.starts_with("3.10."), "{version}");
        send(&asking, &table, "asking");
        compare(&asking, &table, &world);
        only_temporary_answers_are_problems(&asking.log());
    });
}

/// "client TLS configuration problem" is what Postfix says of an answer that it cannot read, and of TEMP.
fn only_temporary_answers_are_problems(log: &str) {
    let problems = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once("TLS policy lookup for ")?;
        rest.ends_with("client TLS configuration problem").then(|| rest.split_once('/'))?
    });
    for (domain, rest) in problems {
        let temporary = format!("QUERYwithTLSRPT lookup error for \"{domain}\"");
        assert!(log.contains(&temporary), "{domain}: {rest}\n{log}");
    }
}

/// Prints the table and compares.
fn compare(asking: &Postfix, table: &[Case], world: &RunningWorld) {
    let (mut print, mut wrong) = (String::new(), 0);
    for case in table {
        let seen = judged(asking, case, "asking", &world.arrivals);
        let good = matches!(&seen, Ok((verdict, _)) if *verdict == case.verdict);
        wrong += usize::from(!good);
        let verdict = seen.as_ref().map_or_else(String::clone, |(verdict, _)| verdict.to_string());
        let mark = if good { "ok" } else { "WRONG" };
        let name = case.domain.trim_end_matches(".world");
        let _ = writeln!(
            print,
            "{name:14} {:13} {verdict:13} {mark:5} {:14} {}",
            case.verdict, case.rule, case.what
        );
        if !good {
            let _ = writeln!(print, "    {seen:?}");
        }
    }
    println!(
        "{:14} {:13} {:13}\n{print}{} cases, {wrong} wrong",
        "case",
        "expected",
        "Postfix 3.10",
        table.len()
    );
    assert_eq!(wrong, 0);
}

/// What the report about each domain says after one message through Postfix 3.10 with our policy server. Postfix tells
/// how handshakes went and nothing of what goes wrong before: clear, forged, required are in no report.
const BY_POSTFIX: [(&str, &[&str]); 20] = [
    ("open", &["no-policy-found open.world 1/0"]),
    ("good", &["tlsa mx.good.world 1/0"]),
    ("letters", &["tlsa mx.letters.world 1/0"]),
    ("hidden", &["tlsa mx.hidden.world 0/1 starttls-not-supported"]),
    ("torn", &["tlsa mx.torn.world 0/1 validation-failure"]),
    ("trusted", &["sts trusted.world 1/0"]),
    // Its word for self-signed, with a reason code.
    ("strange", &["sts strange.world 0/1 validation-failure"]),
    ("other", &["sts other.world 0/1 certificate-host-mismatch"]),
    ("late", &["sts late.world 0/1 certificate-expired"]),
    ("bare", &["sts bare.world 0/1 starttls-not-supported"]),
    ("mismatch", &["tlsa mx.mismatch.world 0/1 certificate-not-trusted"]),
    ("named", &["tlsa mx.named.world 0/1 certificate-host-mismatch"]),
    ("aged", &["tlsa mx.aged.world 0/1 certificate-expired"]),
    ("rooted", &["tlsa mx.rooted.world 0/1 certificate-not-trusted"]),
    ("unusable", &["tlsa mx.unusable.world 0/1 tlsa-invalid"]),
    ("unlisted", &["sts unlisted.world 0/1 sts-policy-invalid"]),
    ("missing", &["no-policy-found missing.world 1/0"]),
    ("nonsense", &["no-policy-found nonsense.world 1/0"]),
    ("forger", &["no-policy-found forger.world 1/0"]),
    // Never "sts": at its level Postfix would call any certificate a success.
    ("testing", &["no-policy-found testing.world 1/0"]),
];

#[test]
fn its_sessions_are_in_our_reports() {
    in_private_network("relay::postfix310::its_sessions_are_in_our_reports", || {
        let Cases { mut world, table } = Cases::reported("alice@asking.example");
        let reporter = Reporter::new(&mut world);
        let world = world.start();
        let asking = asking_for_reports(&world)
            .parameter("smtp_tlsrpt_enable", "yes")
            .parameter("smtp_tlsrpt_socket_name", "gatepost/tlsrpt")
            .start();
        let sockets = asking.queue().join("gatepost");
        std::fs::create_dir(&sockets).unwrap();
        let socket = format!("postfix_socket = \"{}\"\n", sockets.join("tlsrpt").display());
        let mut gatepost = reporter.gatepost(&world, asking.ports.plain, &socket);
        gatepost.start();
        send(&asking, &table, "asking");
        compare(&asking, &table, &world);
        asking.wait_log(&["TLSRPT: status=success, domain=forger.world"]);
        end_the_day(&mut gatepost);
        reports::compare(&world, &BY_POSTFIX);
        assert_eq!(world.posts.all().len(), BY_POSTFIX.len());
        assert!(!gatepost.log().contains("not counted in TLS reports"), "{}", gatepost.log());
        // Postfix does not report on reports: their delivery is not its session with anybody that asks for them.
        assert_eq!(asking.wait_mail("alice", 1).len(), 1);
    });
}

/// RFC 8689 section 3, as Postfix 3.10 has it: for such a message it asks no policy server.
#[test]
fn tls_required_no_sets_the_policy_server_aside_unless_switched_off() {
    in_private_network(
        "relay::postfix310::tls_required_no_sets_the_policy_server_aside_unless_switched_off",
        || {
            let Cases { world, table } = Cases::reported("alice@asking.example");
            let world = world.start();
            let _room = room::start(&world);
            let honours = asking_for_reports(&world).start();
            let insists = asking_for_reports(&world).parameter("tls_required_enable", "no").start();
            for (postfix, who, verdict) in
                [(&insists, "insists", Verdict::Deferred), (&honours, "honours", Verdict::Encrypted)]
            {
                for name in ["mismatch", "strange"] {
                    let case = table.iter().find(|case| case.domain == format!("{name}.world")).unwrap();
                    let to = format!("{who}@{}", case.domain);
                    let message = b"TLS-Required: No\r\nSubject: case\r\n\r\nhello\r\n";
                    assert!(SmtpClient::connect(postfix.ports.plain).send("", &[&to], message).accepted());
                    let seen = judged(postfix, case, who, &world.arrivals);
                    assert_eq!(seen.as_ref().map(|(verdict, _)| *verdict), Ok(verdict), "{who} {seen:?}");
                }
            }
        },
    );
}

/// Postfix heeds the field before a milter can take it out, so a message that waives what policy counts on is refused.
#[test]
fn what_policy_counts_on_is_not_waived() {
    in_private_network("relay::postfix310::what_policy_counts_on_is_not_waived", || {
        let Cases { world, table } = Cases::reported("alice@asking.example");
        let world = world.start();
        let road = "[policy]\nencrypt = \"required\"\nkeys = [\"enforced-tls\"]\n";
        let mut gatepost = room::gatepost_plan(&world.authorities).policy(road).prepare();
        gatepost.start();
        let asking = asking_for_reports(&world).milter(gatepost.milter()).start();
        let case = table.iter().find(|case| case.domain == "mismatch.world").unwrap();
        let send = |to: &str, field: &str| {
            let from = "alice@gate.example";
            let message = format!("From: {from}\r\nTo: {to}\r\n{field}\r\nSubject: case\r\n\r\nhello\r\n");
            SmtpClient::connect(asking.ports.submission).send(from, &[to], message.as_bytes())
        };
        for field in ["TLS-Required: No", "tls-required:\r\n no"] {
            let outcome = send("waived@mismatch.world", field);
            let said = outcome.end.to_string();
            assert!(outcome.end.code == 550 && said.contains("TLS-Required: No"), "{outcome:?}");
        }
        let outcome = send("asking@mismatch.world", "X-TLS-Required: No");
        assert!(outcome.accepted(), "{outcome:?}");
        gatepost.wait_log(&[&outcome.queue_id(), "action=tls"]);
        let seen = judged(&asking, case, "asking", &world.arrivals);
        assert_eq!(seen.as_ref().map(|(verdict, _)| *verdict), Ok(case.verdict), "{seen:?}");
        assert_eq!(world.arrivals.of("waived@mismatch.world"), []);
    });
}
