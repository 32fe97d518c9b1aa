//! The road to each host, case by case, against a scripted resolver and a policy host in this process.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Instant;

use domain::base::Rtype;

use super::*;
use crate::dns::script::Fault;
use crate::dns::script::Script;
use crate::road::PolicyKind;
use crate::road::Road;
use crate::road::TroubleKind;
use crate::sts::StsConfig;
use crate::sts::host::POLICY;
use crate::sts::host::PolicyHost;

struct Bench {
    engine: Engine,
    time: Arc<AtomicI64>,
}

impl Bench {
    async fn new(script: &Script) -> Self {
        Self::with(script, StsConfig::default(), Demands::default()).await
    }

    async fn with(script: &Script, config: StsConfig, demands: Demands) -> Self {
        let time = Arc::new(AtomicI64::new(1_000_000_000));
        let clock = {
            let time = Arc::clone(&time);
            Clock::from_fn(move || time.load(Ordering::SeqCst))
        };
        let dns = script.start().await;
        let sts = StsCache::open(config, dns.clone(), clock.clone()).unwrap();
        Self { engine: Engine::new(dns, sts, demands, clock), time }
    }

    /// With an MTA-STS policy of the given mode for a.example and a.plain, listing mx.a.example.
    async fn with_policy(script: Script, mode: &str) -> Self {
        let script =
            script.txt("_mta-sts.a.example", &["v=STSv1; id=1"]).txt("_mta-sts.a.plain", &["v=STSv1; id=1"]);
        let root = crate::fixtures::certificates::Identity::root("test only root");
        let leaf = root.issue(&["mta-sts.a.example", "mta-sts.a.plain"], |_| {});
        let host = PolicyHost::start_with(&root, leaf).await;
        host.serve(&POLICY.replace("enforce", mode));
        Self::with(&script, host.config(), Demands::default()).await
    }

    async fn demanding(script: &Script, demand: Demand) -> Self {
        Self::with(script, StsConfig::default(), Demands { default: demand, ..Demands::default() }).await
    }

    async fn route(&self, next_hop: &str) -> Arc<Route> {
        self.engine.route(next_hop).await
    }

    async fn road(&self, next_hop: &str) -> Road {
        let route = self.route(next_hop).await;
        assert_eq!(route.verdict, RouteVerdict::Hosts, "{:?}", route.steps);
        route.hosts[0].road.clone()
    }

    async fn verdict(&self, next_hop: &str) -> RouteVerdict {
        self.route(next_hop).await.verdict.clone()
    }

    fn pass(&self, seconds: i64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }
}

/// a.example, signed, with one host mx.a.example; nothing about TLS yet.
fn a_example() -> Script {
    Script::new().mx("a.example", 10, "mx.a.example").addr("mx.a.example", "192.0.2.1")
}

/// a.plain, unsigned, whose mail is taken by the signed mx.a.example.
fn a_plain() -> Script {
    a_example().mx("a.plain", 10, "mx.a.example")
}

fn bound(road: &Road) -> Option<(&str, Vec<&str>)> {
    match road {
        Road::Dane { base, names, .. } => Some((base, names.iter().map(String::as_str).collect())),
        _ => None,
    }
}

fn is_unreachable(road: &Road) -> bool {
    matches!(road, Road::Unreachable { .. })
}

#[tokio::test]
async fn secure_records_bind() {
    let bench =
        Bench::new(&a_example().tlsa("mx.a.example", [3, 1, 1], 32).tlsa("mx.a.example", [1, 1, 1], 32))
            .await;
    let route = bench.route("A.Example").await;
    assert_eq!((route.kind, route.port, route.domain.as_str()), (PolicyKind::Dane, 25, "a.example"));
    let hop = &route.hosts[0];
    assert!(hop.mx_secure && hop.preference == 10);
    assert_eq!(bound(&hop.road), Some(("mx.a.example", vec!["mx.a.example", "a.example"])));
    let Road::Dane { records, .. } = &hop.road else { panic!() };
    assert_eq!(records.len(), 1, "usable ones only");
    let told: Vec<_> = route.steps.iter().map(|step| step.text.as_str()).collect();
    assert!(told.contains(&"MX: 10 mx.a.example (secure)"), "{told:?}");
    assert!(told.iter().any(|text| text.starts_with("_25._tcp.mx.a.example TLSA: 3 1 1 07")), "{told:?}");
}

#[tokio::test]
async fn an_insecure_mx_may_lead_to_a_bound_host() {
    // RFC 7672 section 2.2.1; the next-hop domain is then no reference name.
    let bench = Bench::new(&a_plain().tlsa("mx.a.example", [3, 1, 1], 32)).await;
    let route = bench.route("a.plain").await;
    assert!(!route.hosts[0].mx_secure);
    assert_eq!(bound(&route.hosts[0].road), Some(("mx.a.example", vec!["mx.a.example"])));
}

#[tokio::test]
async fn hosts_with_insecure_addresses_are_not_asked_for_tlsa() {
    let script = Script::new().mx("a.example", 10, "mx.plain").addr("mx.plain", "192.0.2.1");
    let script = script.tlsa("mx.plain", [3, 1, 1], 32);
    assert_eq!(Bench::new(&script).await.road("a.example").await, Road::Opportunistic);
    assert_eq!(script.asked("_25._tcp.mx.plain", Rtype::TLSA), 0);
}

#[tokio::test]
async fn insecure_records_are_ignored() {
    // _25._tcp is delegated insecurely, or an alias into an insecure zone.
    let script = a_example().cname("_25._tcp.mx.a.example", "dane.plain").raw(
        "dane.plain",
        Rtype::TLSA,
        &[3, 1, 1, 9],
    );
    assert_eq!(Bench::new(&script).await.road("a.example").await, Road::Opportunistic);
}

#[tokio::test]
async fn a_failed_look_up_is_never_no_dane() {
    for (owner, rtype) in [("_25._tcp.mx.a.example", Rtype::TLSA), ("mx.a.example", Rtype::A)] {
        for fault in [Fault::ServFail, Fault::Bogus, Fault::Silent, Fault::LyingAd, Fault::ShortData] {
            let script = a_example().tlsa("mx.a.example", [3, 1, 1], 32).fault(owner, rtype, fault);
            let bench = Bench::new(&script).await;
            let route = bench.route("a.example").await;
            assert!(is_unreachable(&route.hosts[0].road), "{owner} {fault:?}: {:?}", route.steps);
            assert!(route.expires <= 1_000_000_015);
            if fault == Fault::Bogus {
                assert_eq!(route.troubles[0].kind, TroubleKind::DnssecInvalid);
            } else if rtype == Rtype::TLSA {
                assert_eq!(route.troubles[0].kind, TroubleKind::TlsaInvalid);
            }
        }
    }
    for fault in [Fault::ServFail, Fault::Bogus, Fault::Silent] {
        let bench = Bench::new(&a_example().fault("a.example", Rtype::MX, fault)).await;
        assert!(matches!(bench.verdict("a.example").await, RouteVerdict::Temporary { .. }), "{fault:?}");
    }
}

#[tokio::test]
async fn one_bad_host_does_not_spoil_the_others() {
    let script = a_example()
        .mx("a.example", 20, "mx2.a.example")
        .addr("mx2.a.example", "192.0.2.2")
        .tlsa("mx2.a.example", [3, 1, 1], 32)
        .fault("_25._tcp.mx.a.example", Rtype::TLSA, Fault::ServFail);
    let route = Bench::new(&script).await.route("a.example").await;
    assert!(is_unreachable(&route.hosts[0].road));
    assert!(bound(&route.hosts[1].road).is_some());
}

#[tokio::test]
async fn unusable_records_make_tls_mandatory() {
    for (parameters, length) in
        [([1, 1, 1], 32), ([0, 0, 1], 32), ([3, 9, 1], 32), ([3, 1, 9], 32), ([3, 1, 1], 31)]
    {
        let bench = Bench::new(&a_example().tlsa("mx.a.example", parameters, length)).await;
        let route = bench.route("a.example").await;
        assert_eq!(
            route.hosts[0].road,
            Road::DaneUnusable { base: "mx.a.example".to_owned() },
            "{parameters:?}"
        );
        assert_eq!((route.kind, route.troubles[0].kind), (PolicyKind::Dane, TroubleKind::TlsaInvalid));
    }
}

#[tokio::test]
async fn secure_aliases_of_a_host_are_tried_from_the_end() {
    // RFC 7672 section 2.2.2 and RFC 7671 section 7: the expanded name first, then the original.
    let aliased = || {
        Script::new()
            .mx("a.example", 10, "mx.a.example")
            .cname("mx.a.example", "real.b.example")
            .addr("real.b.example", "192.0.2.1")
    };
    let both = aliased().tlsa("real.b.example", [3, 1, 1], 32).tlsa("mx.a.example", [3, 1, 1], 32);
    let road = Bench::new(&both).await.road("a.example").await;
    // Only the base domain and the next-hop domain may stand in the certificate (section 3.2.2).
    assert_eq!(bound(&road), Some(("real.b.example", vec!["real.b.example", "a.example"])));
    let original = aliased().tlsa("mx.a.example", [3, 1, 1], 32);
    let road = Bench::new(&original).await.road("a.example").await;
    assert_eq!(bound(&road), Some(("mx.a.example", vec!["mx.a.example", "a.example"])));
    let failing = original.fault("_25._tcp.real.b.example", Rtype::TLSA, Fault::ServFail);
    assert!(is_unreachable(&Bench::new(&failing).await.road("a.example").await));
}

#[tokio::test]
async fn a_secure_alias_into_an_insecure_zone_binds_at_the_original_name() {
    let script = Script::new()
        .mx("a.example", 10, "mx.a.example")
        .cname("mx.a.example", "hoster.plain")
        .addr("hoster.plain", "192.0.2.1")
        .tlsa("hoster.plain", [3, 1, 1], 32)
        .tlsa("mx.a.example", [3, 1, 1], 32);
    let road = Bench::new(&script).await.road("a.example").await;
    assert_eq!(bound(&road), Some(("mx.a.example", vec!["mx.a.example", "a.example"])));
    assert_eq!(script.asked("_25._tcp.hoster.plain", Rtype::TLSA), 0);
    for fault in [Fault::ServFail, Fault::Bogus] {
        let script = script.clone().fault("mx.a.example", Rtype::CNAME, fault);
        assert!(is_unreachable(&Bench::new(&script).await.road("a.example").await), "{fault:?}");
    }
}

#[tokio::test]
async fn an_insecure_alias_of_a_secure_host_binds_nothing() {
    // RFC 7672 section 2.1.3: after an insecure alias everything is insecure.
    let script = Script::new()
        .mx("a.example", 10, "mx.plain")
        .cname("mx.plain", "mx.b.example")
        .addr("mx.b.example", "192.0.2.1")
        .tlsa("mx.b.example", [3, 1, 1], 32);
    assert_eq!(Bench::new(&script).await.road("a.example").await, Road::Opportunistic);
}

#[tokio::test]
async fn an_aliased_domain_is_followed_and_its_names_count() {
    let script = a_example().cname("alias.example", "a.example").tlsa("mx.a.example", [2, 0, 1], 32);
    let road = Bench::new(&script).await.road("alias.example").await;
    assert_eq!(bound(&road), Some(("mx.a.example", vec!["mx.a.example", "alias.example", "a.example"])));
}

#[tokio::test]
async fn without_mx_the_domain_is_the_host() {
    let script = Script::new().addr("a.example", "192.0.2.1").tlsa("a.example", [3, 1, 1], 32);
    let route = Bench::new(&script).await.route("a.example").await;
    assert_eq!(bound(&route.hosts[0].road), Some(("a.example", vec!["a.example"])));
    assert!(route.hosts[0].mx_secure);
}

#[tokio::test]
async fn without_mx_an_alias_is_a_reference_name_beside_its_target() {
    // RFC 7672 section 3.2.2, "TLSA records for non-MX hostnames"; in brackets as well.
    let aliased = || Script::new().cname("a.example", "real.b.example").addr("real.b.example", "192.0.2.1");
    for next_hop in ["a.example", "[a.example]"] {
        let target = aliased().tlsa("real.b.example", [2, 0, 1], 32);
        let road = Bench::new(&target).await.road(next_hop).await;
        assert_eq!(bound(&road), Some(("real.b.example", vec!["real.b.example", "a.example"])));
        let alias = aliased().tlsa("a.example", [2, 0, 1], 32);
        let road = Bench::new(&alias).await.road(next_hop).await;
        assert_eq!(bound(&road), Some(("a.example", vec!["a.example"])));
    }
}

#[tokio::test]
async fn domains_that_take_no_mail() {
    let script = Script::new()
        .mx("null.example", 0, ".")
        .mx("odd.example", 0, ".")
        .mx("odd.example", 10, "mx.odd.example")
        .addr("mx.odd.example", "192.0.2.1")
        .mx("lost.example", 10, "gone.lost.example")
        .mx("lost.example", 20, "192.0.2.1")
        .txt("empty.example", &["nothing"]);
    let bench = Bench::new(&script).await;
    assert_eq!(bench.verdict("null.example").await, RouteVerdict::NullMx);
    assert_eq!(bench.route("odd.example").await.hosts.len(), 1);
    for domain in ["no.example", "empty.example", "lost.example"] {
        assert_eq!(bench.verdict(domain).await, RouteVerdict::NoSuchDomain, "{domain}");
    }
}

#[tokio::test]
async fn brackets_and_literals() {
    let script = a_example().tlsa("mx.a.example", [3, 1, 1], 32).mx("mx.a.example", 5, "other.example");
    let bench = Bench::new(&script).await;
    assert!(bound(&bench.road("[mx.a.example]").await).is_some());
    assert_eq!(script.asked("mx.a.example", Rtype::MX), 0);
    let route = bench.route("[mx.a.example]:587").await;
    assert_eq!((&route.hosts[0].road, route.port), (&Road::Opportunistic, 587));
    assert_eq!(script.asked("_587._tcp.mx.a.example", Rtype::TLSA), 1);
    let route = bench.route("[IPv6:2001:db8::1]").await;
    assert_eq!((&route.hosts[0].road, route.hosts[0].host.as_str()), (&Road::Opportunistic, "2001:db8::1"));
    assert_eq!(bench.road("[192.0.2.9]").await, Road::Opportunistic);
}

#[tokio::test]
async fn malformed_next_hops_are_permanent_and_international_ones_are_converted() {
    let script =
        Script::new().mx("xn--bcher-kva.example", 10, "mx.a.example").addr("mx.a.example", "192.0.2.1");
    let bench = Bench::new(&script).await;
    for next_hop in
        ["", "a..b", "192.0.2.1", "[x", "a b", &"a".repeat(64), &"a.".repeat(130), &"x".repeat(1 << 20)]
    {
        assert!(matches!(bench.verdict(next_hop).await, RouteVerdict::Malformed { .. }), "{next_hop:.40}");
    }
    assert_eq!(bench.route("Bücher.example").await.domain, "xn--bcher-kva.example");
}

#[tokio::test]
async fn an_enforced_policy_decides_where_dane_does_not_bind() {
    let script = a_example().mx("a.example", 20, "other.a.example").addr("other.a.example", "192.0.2.2");
    let route = Bench::with_policy(script, "enforce").await.route("a.example").await;
    assert_eq!(route.kind, PolicyKind::Sts);
    assert_eq!(route.hosts[0].road, Road::Sts { name: "mx.a.example".to_owned(), testing: false });
    assert_eq!(route.hosts[1].road, Road::StsMismatch { testing: false });
    assert_eq!(route.troubles[0].kind, TroubleKind::StsPolicyInvalid);
    assert_eq!(route.sts.as_ref().unwrap().lines.len(), 4);
}

#[tokio::test]
async fn testing_and_none_leave_the_road_open() {
    let script = a_example().mx("a.example", 20, "other.a.example").addr("other.a.example", "192.0.2.2");
    let route = Bench::with_policy(script, "testing").await.route("a.example").await;
    assert_eq!(route.kind, PolicyKind::StsTesting);
    assert_eq!(route.hosts[0].road, Road::Sts { name: "mx.a.example".to_owned(), testing: true });
    assert_eq!(route.hosts[1].road, Road::StsMismatch { testing: true });
    let bench = Bench::with_policy(a_example(), "none").await;
    assert_eq!(bench.road("a.example").await, Road::Opportunistic);
    assert_eq!(bench.route("a.example").await.kind, PolicyKind::None);
}

#[tokio::test]
async fn dane_wins_in_both_directions() {
    // RFC 8461 section 2: "MUST NOT allow MTA-STS Policy validation to override a failing DANE validation."
    let bench = Bench::with_policy(a_example().tlsa("mx.a.example", [3, 1, 1], 32), "enforce").await;
    assert!(bound(&bench.road("a.example").await).is_some());
    let failing = a_example().fault("_25._tcp.mx.a.example", Rtype::TLSA, Fault::ServFail);
    assert!(is_unreachable(&Bench::with_policy(failing, "enforce").await.road("a.example").await));
    let unlisted = Script::new().mx("a.example", 10, "x.example").addr("x.example", "192.0.2.1");
    let bench = Bench::with_policy(unlisted.tlsa("x.example", [3, 1, 1], 32), "enforce").await;
    assert!(bound(&bench.road("a.example").await).is_some());
}

#[tokio::test]
async fn unusable_records_leave_the_host_to_an_enforced_policy() {
    let script = || a_example().tlsa("mx.a.example", [1, 1, 1], 32);
    let road = Bench::with_policy(script(), "enforce").await.road("a.example").await;
    assert_eq!(road, Road::Sts { name: "mx.a.example".to_owned(), testing: false });
    let road = Bench::with_policy(script(), "testing").await.road("a.example").await;
    assert_eq!(road, Road::DaneUnusable { base: "mx.a.example".to_owned() });
}

#[tokio::test]
async fn a_forged_insecure_mx_cannot_get_round_an_enforced_policy_by_dane() {
    let bench = Bench::with_policy(a_plain().tlsa("mx.a.example", [3, 1, 1], 32), "enforce").await;
    assert!(bound(&bench.road("a.plain").await).is_some(), "listed, so DANE authenticates it");
    let forged = Script::new().mx("a.plain", 10, "mx.evil.example").addr("mx.evil.example", "192.0.2.66");
    let bench = Bench::with_policy(forged.tlsa("mx.evil.example", [3, 1, 1], 32), "enforce").await;
    assert_eq!(bench.road("a.plain").await, Road::StsMismatch { testing: false });
}

/// What failed or was denied here may be answered a moment later when Postfix asks the same.
#[tokio::test]
async fn a_failed_or_forged_look_up_does_not_hide_an_enforced_policy() {
    let failing = |script: Script| script.fault("_25._tcp.mx.a.example", Rtype::TLSA, Fault::ServFail);
    for (script, domain) in [(a_example(), "a.example"), (a_plain(), "a.plain")] {
        let route = Bench::with_policy(failing(script), "enforce").await.route(domain).await;
        assert!(is_unreachable(&route.hosts[0].road));
        assert!(route.sts.as_ref().is_some_and(|sts| sts.lists("mx.a.example")), "{domain}");
    }
    for (script, verdict) in [
        (Script::new(), RouteVerdict::NoSuchDomain),
        (Script::new().mx("a.plain", 0, "."), RouteVerdict::NullMx),
        (Script::new().mx("a.plain", 10, "mx.gone.plain"), RouteVerdict::NoSuchDomain),
    ] {
        let route = Bench::with_policy(script, "enforce").await.route("a.plain").await;
        assert_eq!(route.verdict, verdict);
        assert!(route.sts.is_some(), "{verdict:?} by an answer that proves nothing");
    }
}

#[tokio::test]
async fn the_policy_host_is_not_waited_for_when_dane_decides_everything() {
    let script =
        a_example().tlsa("mx.a.example", [3, 1, 1], 32).txt("_mta-sts.a.example", &["v=STSv1; id=1"]);
    let host = PolicyHost::start("mta-sts.a.example").await;
    host.fall_silent();
    let bench = Bench::with(&script, host.config(), Demands::default()).await;
    let begun = Instant::now();
    assert!(bound(&bench.road("a.example").await).is_some());
    assert!(begun.elapsed() < Duration::from_millis(400));
}

#[tokio::test]
async fn exceptions_of_the_configuration() {
    let script = a_plain()
        .tlsa("mx.a.example", [3, 1, 1], 32)
        .mx("b.example", 1, "b.example")
        .addr("b.example", "192.0.2.2");
    for (demand, road) in [
        (Demand::Encrypt, Road::Encrypted),
        (Demand::May, Road::Opportunistic),
        (Demand::Off, Road::Cleartext),
    ] {
        assert_eq!(Bench::demanding(&script, demand).await.road("a.example").await, road);
    }
    assert_eq!(script.asked("_25._tcp.mx.a.example", Rtype::TLSA), 0);
    assert_eq!(script.asked("_mta-sts.a.example", Rtype::TXT), 0);
    let only = Bench::demanding(&script, Demand::DaneOnly).await;
    assert!(bound(&only.road("a.example").await).is_some());
    for next_hop in ["a.plain", "b.example", "[192.0.2.1]"] {
        let route = only.route(next_hop).await;
        assert!(is_unreachable(&route.hosts[0].road), "{next_hop}");
        assert_eq!(route.troubles[0].kind, TroubleKind::DaneRequired);
    }
    assert!(is_unreachable(&Bench::demanding(&script, Demand::Sts).await.road("a.example").await));
    let bench = Bench::with_policy(a_example().tlsa("mx.a.example", [3, 1, 1], 32), "enforce").await;
    let mut demands = Demands::default();
    demands.add("A.example", Demand::Sts).unwrap();
    bench.engine.set_demands(demands);
    assert_eq!(bench.road("a.example").await, Road::Sts { name: "mx.a.example".to_owned(), testing: false });
}

#[test]
fn the_nearest_demand_counts() {
    let mut demands = Demands { default: Demand::May, ..Demands::default() };
    demands.add("Example.ORG", Demand::DaneOnly).unwrap();
    demands.add(".example.org", Demand::Encrypt).unwrap();
    demands.add(".b.example.org", Demand::Off).unwrap();
    demands.add("[mx.example.org]:587", Demand::Sts).unwrap();
    assert!(demands.add("a..b", Demand::Off).is_err());
    for (next_hop, demand) in [
        ("example.org", Demand::DaneOnly),
        ("example.org:587", Demand::DaneOnly),
        ("[example.org]", Demand::DaneOnly),
        ("x.example.org", Demand::Encrypt),
        ("x.b.example.org", Demand::Off),
        ("[mx.example.org]:587", Demand::Sts),
        ("[mx.example.org]", Demand::Encrypt),
        ("notexample.org", Demand::May),
        ("[192.0.2.1]", Demand::May),
    ] {
        assert_eq!(demands.of(&NextHop::parse(next_hop).unwrap()), demand, "{next_hop}");
    }
}

#[tokio::test]
async fn hosts_are_ordered_by_preference_and_chance() {
    let mut script = Script::new();
    for (preference, host) in
        [(20, "last.example"), (10, "b.example"), (10, "a.example"), (5, "first.example")]
    {
        script = script.mx("example", preference, host).addr(host, "192.0.2.1");
    }
    let route = Bench::new(&script).await.route("example").await;
    let order = |seed| route.order(seed).into_iter().map(|hop| hop.host.clone()).collect::<Vec<_>>();
    let orders: std::collections::HashSet<_> = (0..64).map(order).collect();
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|order| order[0] == "first.example" && order[3] == "last.example"));
}

#[tokio::test]
async fn decisions_are_shared_and_kept_by_ttl() {
    let script = a_example().ttl("a.example", Rtype::MX, 40).fault("a.example", Rtype::MX, Fault::Slow);
    let bench = Bench::new(&script).await;
    assert!(bench.engine.cached("a.example").is_none());
    let (one, two) = tokio::join!(bench.route("a.example"), bench.route("A.EXAMPLE.:25"));
    assert!(Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&one, &bench.engine.cached("a.example").unwrap()));
    assert_eq!(one.expires, 1_000_000_040);
    assert_eq!(script.asked("a.example", Rtype::MX), 1);
    bench.pass(40);
    assert!(bench.engine.cached("a.example").is_none());
    bench.route("a.example").await;
    assert_eq!(script.asked("a.example", Rtype::MX), 2);
    bench.engine.route_afresh("a.example").await;
    assert_eq!(script.asked("a.example", Rtype::MX), 3);
    bench.engine.set_demands(Demands::default());
    assert!(bench.engine.is_empty());
}

#[tokio::test]
async fn decisions_in_use_are_renewed_before_they_expire_and_others_are_forgotten() {
    let script = a_example().ttl("a.example", Rtype::MX, 100);
    let bench = Bench::new(&script).await;
    bench.route("a.example").await;
    bench.pass(91);
    bench.engine.freshen().await;
    assert_eq!(script.asked("a.example", Rtype::MX), 1, "nobody asked for it again");
    bench.route("a.example").await;
    bench.engine.freshen().await;
    assert_eq!(script.asked("a.example", Rtype::MX), 2);
    assert_eq!(bench.engine.cached("a.example").unwrap().expires, 1_000_000_191);
    bench.pass(95);
    let _ = script.clone().fault("a.example", Rtype::MX, Fault::ServFail);
    bench.engine.freshen().await;
    assert_eq!(
        bench.verdict("a.example").await,
        RouteVerdict::Hosts,
        "a failure does not take away what still holds"
    );
    bench.pass(6);
    assert!(matches!(bench.verdict("a.example").await, RouteVerdict::Temporary { .. }));
    bench.pass(100);
    bench.engine.freshen().await;
    assert!(bench.engine.is_empty());
}

#[tokio::test]
async fn without_validation_every_answer_is_temporary_also_from_the_cache() {
    let script = a_example();
    let bench = Bench::new(&script).await;
    assert_eq!(bench.verdict("a.example").await, RouteVerdict::Hosts);
    script.with(|world| world.not_validating = true);
    let watch = bench.engine.dns().clone();
    let mut health = watch.health();
    health.mark_unchanged();
    let watcher = tokio::spawn(async move { watch.watch_over().await });
    health.changed().await.unwrap();
    let RouteVerdict::Temporary { why } = bench.verdict("a.example").await else { panic!() };
    assert!(why.contains("does not validate"), "{why}");
    assert!(bench.engine.cached("a.example").is_none());
    assert_eq!(bench.road("[192.0.2.1]").await, Road::Opportunistic, "an address needs no resolver");
    watcher.abort();
}

#[tokio::test]
async fn more_hosts_than_anybody_needs_are_cut() {
    let mut script = Script::new();
    for number in 0..40 {
        let host = format!("mx{number}.example");
        script = script.mx("example", number, &host).addr(&host, "192.0.2.1");
    }
    let route = Bench::new(&script).await.route("example").await;
    assert_eq!((route.hosts.len(), route.hosts[19].host.as_str()), (20, "mx19.example"));
}
