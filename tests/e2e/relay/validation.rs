//! Who checks DNSSEC signatures: the resolver, found out if it only says so, or Gatepost itself.

use std::fmt::Write as _;
use std::time::Duration;

use tests::Gatepost;
use tests::PATIENCE;
use tests::wait_for;
use tests::world::Ds;
use tests::world::RunningWorld;
use tests::world::in_private_network;

use super::cases::Cases;
use super::room;
use super::room::first_said;
use super::room::handing;
use super::verdicts::judged;
use super::verdicts::send;

/// The silent name server costs the resolver 20 s; the rest is for a busy machine.
const LONGEST: Duration = Duration::from_secs(120);
/// The alarm.
const VALIDATING: &str = "gatepost_relay_resolver_validating";

/// A gatepost with these keys in its `[relay]` section.
fn gatepost(world: &RunningWorld, keys: &str) -> Gatepost {
    room::gatepost_plan(&world.authorities).policy(keys).prepare()
}

/// The keys for validation from the root of the world.
fn own(world: &RunningWorld) -> String {
    format!("validation = \"own\"\ntrust_anchors = \"{}\"", world.path().join("anchor.key").display())
}

#[test]
fn without_a_validating_resolver_every_case_has_its_verdict() {
    in_private_network("relay::validation::without_a_validating_resolver_every_case_has_its_verdict", || {
        let Cases { world, mut table } = Cases::all();
        table.retain(|case| case.next_hop.is_none());
        let mut world = world.start();
        world.start_resolver("iterator");
        let mut gatepost = gatepost(&world, &own(&world));
        gatepost.start();
        let handing = handing(&world).start();
        send(&handing, &table, "handing");
        let mut wrong = String::new();
        for case in &table {
            let seen = judged(&handing, case, "handing", &world.arrivals);
            if !matches!(&seen, Ok((verdict, _)) if *verdict == case.verdict) {
                let _ = writeln!(wrong, "{} should be {}: {} {seen:?}", case.domain, case.verdict, case.what);
            }
        }
        assert_eq!(wrong, "");
        assert_eq!(gatepost.metric(VALIDATING), Some(1.0));
    });
}

#[test]
fn a_resolver_that_only_says_so_is_no_match_for_our_own_check() {
    in_private_network(
        "relay::validation::a_resolver_that_only_says_so_is_no_match_for_our_own_check",
        || {
            let Cases { mut world, mut table } = Cases::all();
            table.retain(|case| {
                ["ee311.world", "bogustlsa.world", "bogusmx.world", "insecurebad.world", "denied.world"]
                    .contains(&case.domain.as_str())
            });
            let broken = world.zone("broken.world").ds(Ds::Wrong);
            broken.record("www.broken.world. A 127.0.0.1");
            let mut world = world.start();
            world.resolver_behind(Duration::ZERO, true, "iterator");
            let handing = handing(&world).start();
            // Who believes the resolver can be told of a name that an honest one refuses.
            let mut believer = gatepost(&world, "bogus_name = \"www.broken.world\"");
            believer.start();
            believer.wait_log(&["accepts www.broken.world, whose signatures are broken on purpose"]);
            assert_eq!(believer.metric(VALIDATING), Some(0.0));
            send(&handing, &table, "believing");
            for case in &table {
                let said = first_said(&handing, &format!("believing@{}", case.domain), LONGEST);
                assert_eq!(said.status, "deferred", "{said:?}");
            }
            believer.term();
            let mut gatepost = gatepost(&world, &own(&world));
            gatepost.start();
            send(&handing, &table, "handing");
            for case in &table {
                let seen = judged(&handing, case, "handing", &world.arrivals);
                assert_eq!(
                    seen.as_ref().map(|(verdict, _)| *verdict),
                    Ok(case.verdict),
                    "{} {seen:?}",
                    case.domain
                );
            }
            let route = gatepost.command(&["relay", "query", "ee311.world"]).success().text();
            assert!(route.contains("enforced-tls: yes, by DANE"), "{route}");
        },
    );
}

#[test]
fn wrong_keys_of_the_root_let_nothing_out() {
    in_private_network("relay::validation::wrong_keys_of_the_root_let_nothing_out", || {
        let Cases { world, mut table } = Cases::all();
        table.retain(|case| ["ee311.world", "plain.world"].contains(&case.domain.as_str()));
        let world = world.start();
        // The root of the real world.
        let mut gatepost =
            gatepost(&world, "validation = \"own\"\ntrust_anchors = \"/usr/share/dns/root.key\"");
        gatepost.start();
        let handing = handing(&world).start();
        send(&handing, &table, "handing");
        for case in &table {
            let to = format!("handing@{}", case.domain);
            assert_eq!(first_said(&handing, &to, LONGEST).status, "deferred");
            assert_eq!(world.arrivals.of(&to), []);
        }
        gatepost.wait_log(&["cannot be validated here", "`trust_anchors` names the keys of the root"]);
        wait_for("the alarm", PATIENCE, || gatepost.metric(VALIDATING).filter(|value| *value == 0.0));
        let missing = self::gatepost(&world, "validation = \"own\"\ntrust_anchors = \"/nowhere/root.key\"");
        let ran = missing.command(&["relay", "query", "ee311.world"]);
        assert!(ran.code == 66 && ran.stderr.contains("dns-root-data"), "{} {}", ran.code, ran.stderr);
    });
}
