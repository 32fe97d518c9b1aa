//! Every case of the table, by both ways out: Postfix with our policy server, and our relay behind Postfix.

use std::fmt::Write as _;
use std::time::Duration;

use tests::Postfix;
use tests::SmtpClient;
use tests::world::Arrivals;
use tests::world::RunningWorld;
use tests::world::in_private_network;

use super::cases::Case;
use super::cases::Cases;
use super::cases::Verdict;
use super::room;
use super::room::Said;
use super::room::asking;
use super::room::first_said;
use super::room::handing;
use super::room::is_proven;

/// The silent name server costs unbound 20 s; the rest is for a busy machine.
const LONGEST: Duration = Duration::from_secs(120);

#[test]
fn every_case_by_both_ways() {
    in_private_network("relay::verdicts::every_case_by_both_ways", || {
        let Cases { world, table } = Cases::all();
        let world = world.start();
        let _room = room::start(&world);
        let asking = asking(&world).parameter("transport_maps", &hops(&world, &table)).start();
        let handing = handing(&world).start();
        send(&asking, &table, "asking");
        send(&handing, &table, "handing");
        let mut wrong = 0;
        let mut print = String::new();
        for case in &table {
            let by_postfix = judged(&asking, case, "asking", &world.arrivals);
            let by_relay =
                case.next_hop.is_none().then(|| judged(&handing, case, "handing", &world.arrivals));
            let bad = |seen: &Result<(Verdict, String), String>| !matches!(seen, Ok((verdict, _)) if *verdict == case.verdict);
            let failed = bad(&by_postfix) || by_relay.as_ref().is_some_and(bad);
            wrong += usize::from(failed);
            let shown = |seen: &Result<(Verdict, String), String>| {
                seen.as_ref().map_or_else(String::clone, |(verdict, _)| verdict.to_string())
            };
            let relay = by_relay.as_ref().map_or("-".to_owned(), shown);
            let mark = if failed { "WRONG" } else { "ok" };
            let _ = writeln!(
                print,
                "{:14} {:13} {:13} {:13} {mark:5} {:14} {}",
                case.domain.trim_end_matches(".world"),
                case.verdict,
                shown(&by_postfix),
                relay,
                case.rule,
                case.what
            );
            if failed {
                let _ = writeln!(print, "    Postfix: {by_postfix:?}\n    relay: {by_relay:?}");
            }
        }
        println!(
            "{:14} {:13} {:13} {:13}\n{print}{} cases, {wrong} wrong",
            "case",
            "expected",
            "policy server",
            "relay",
            table.len()
        );
        assert_eq!(wrong, 0);
    });
}

/// The administrator's next-hops as Postfix' `transport_maps`; there they are what `[mx.example]:25` is.
pub(super) fn hops(world: &RunningWorld, table: &[Case]) -> String {
    let named = table.iter().filter_map(|case| Some((case, case.next_hop.as_ref()?)));
    let hops = named.fold(String::new(), |mut text, (case, hop)| {
        let _ = writeln!(text, "{} smtp:{hop}", case.domain);
        text
    });
    let file = world.path().join("hops");
    std::fs::write(&file, hops).unwrap();
    format!("texthash:{}", file.display())
}

pub(super) fn send(postfix: &Postfix, table: &[Case], who: &str) {
    let mut client = SmtpClient::connect(postfix.ports.plain);
    for case in table.iter().filter(|case| who == "asking" || case.next_hop.is_none()) {
        let to = format!("{who}@{}", case.domain);
        assert!(client.send("", &[&to], b"Subject: case\r\n\r\nhello\r\n").accepted(), "{to}");
    }
}

/// What became of the message, or what must never happen.
pub(super) fn judged(
    postfix: &Postfix,
    case: &Case,
    who: &str,
    arrivals: &Arrivals,
) -> Result<(Verdict, String), String> {
    let recipient = format!("{who}@{}", case.domain);
    let said = first_said(postfix, &recipient, LONGEST);
    let arrived = arrivals.of(&recipient);
    let verdict = match (said.status.as_str(), arrived.as_slice()) {
        ("sent", []) => return Err(format!("LOST: {}", said.text)),
        ("sent", [one]) => delivered(one.tls, &said),
        (_, [_, ..]) => return Err(format!("LEAK or twice: {} {}", said.status, said.text)),
        ("bounced", []) => Verdict::Bounced,
        _ => Verdict::Deferred,
    };
    Ok((verdict, said.text))
}

fn delivered(tls: bool, said: &Said) -> Verdict {
    match said.tls.as_deref() {
        _ if !tls => Verdict::Clear,
        Some("Verified") => Verdict::Authenticated,
        Some("Trusted") => Verdict::Matched,
        None if is_proven(&said.text) => Verdict::Authenticated,
        None if said.text.contains(" DANE-matched (insecure MX) ") => Verdict::Matched,
        _ => Verdict::Encrypted,
    }
}
