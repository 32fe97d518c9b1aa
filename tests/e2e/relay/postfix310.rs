//! The Postfix of Debian 13, which knows TLS reports, with our policy server.

use std::fmt::Write as _;

use tests::Postfix;
use tests::PostfixPlan;
use tests::world::RunningWorld;
use tests::world::in_private_network;

use super::cases::Case;
use super::cases::Cases;
use super::reports::Reporter;
use super::reports::end_the_day;
use super::reports::posted;
use super::reports::says;
use super::reports::unpacked;
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
        let log = asking.log();
        assert!(!log.contains("client TLS configuration problem"), "{log}");
    });
}

/// Prints the table.
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

#[test]
fn its_sessions_are_in_our_reports() {
    in_private_network("relay::postfix310::its_sessions_are_in_our_reports", || {
        let Cases { mut world, table } = Cases::reported();
        let reporter = Reporter::new(&mut world);
        let world = world.start();
        let asking = asking_for_reports(&world)
            .parameter("smtp_tlsrpt_enable", "yes")
            .parameter("smtp_tlsrpt_socket_name", "tlsrpt/socket")
            .start();
        let sockets = asking.queue().join("tlsrpt");
        std::fs::create_dir(&sockets).unwrap();
        let socket = format!("postfix_socket = \"{}\"\n", sockets.join("socket").display());
        let mut gatepost = reporter.gatepost(&world, asking.ports.plain, &socket);
        gatepost.start();
        send(&asking, &table, "asking");
        compare(&asking, &table, &world);
        end_the_day(&mut gatepost);
        for case in &table {
            println!("{}", case.domain);
            if world.posts.to(&format!("/{}", case.domain)).is_empty() {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            if world.posts.to(&format!("/{}", case.domain)).is_empty() {
                println!("NONE");
                continue;
            }
            let report = unpacked(&posted(&world, &case.domain).body);
            println!("{:?}\n{report:#}", says(&report));
        }
        println!("{}", asking.log());
    });
}
