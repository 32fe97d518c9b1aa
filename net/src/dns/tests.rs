//! Every outcome of a look-up, against a resolver that behaves well or badly.

use std::time::Duration;

use domain::base::Rtype;

use super::script::Fault;
use super::script::Script;
use super::*;

fn secure<T>(records: Vec<T>) -> Lookup<T> {
    Lookup::Found { records, security: Security::Secure }
}

#[tokio::test]
async fn records_of_a_signed_zone_are_secure() {
    let dns =
        Script::new().mx("a.example", 20, "mx2.a.example").mx("a.example", 10, "MX.a.example").start().await;
    let resolved = dns.mx("A.example.").await;
    let host = |preference, host: &str| Mx { preference, host: host.to_owned() };
    assert_eq!(resolved.lookup, secure(vec![host(10, "mx.a.example"), host(20, "mx2.a.example")]));
    assert_eq!((resolved.canonical.as_str(), resolved.ttl), ("a.example", 300));
}

#[tokio::test]
async fn records_of_an_unsigned_zone_are_insecure() {
    let dns = Script::new().addr("mx.plain", "192.0.2.1").start().await;
    let resolved = dns.addresses("mx.plain").await;
    assert_eq!(resolved.lookup.security(), Some(Security::Insecure));
    assert_eq!(resolved.lookup.records(), ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
}

#[tokio::test]
async fn denials_keep_security_and_kind_and_the_soa_bounds_their_life() {
    let dns = Script::new().addr("mx.a.example", "192.0.2.1").addr("mx.plain", "192.0.2.1").start().await;
    let nodata = dns.tlsa("mx.a.example", 25).await;
    assert_eq!(nodata.lookup, Lookup::None { security: Security::Secure, nxdomain: true });
    assert_eq!(nodata.ttl, 120);
    let nodata = dns.mx("mx.a.example").await;
    assert_eq!(nodata.lookup, Lookup::None { security: Security::Secure, nxdomain: false });
    assert_eq!(
        dns.mx("no.plain").await.lookup,
        Lookup::None { security: Security::Insecure, nxdomain: true }
    );
}

#[tokio::test]
async fn servfail_is_bogus_only_if_the_answer_exists_without_checking() {
    let dns = Script::new()
        .mx("bogus.example", 10, "mx.example")
        .fault("bogus.example", Rtype::MX, Fault::Bogus)
        .fault("lame.example", Rtype::MX, Fault::ServFail)
        .start()
        .await;
    assert!(matches!(dns.mx("bogus.example").await.lookup, Lookup::Bogus { .. }));
    assert!(matches!(dns.mx("lame.example").await.lookup, Lookup::Failed { .. }));
}

#[tokio::test]
async fn whatever_is_no_answer_is_failed_and_never_none() {
    let faults = [
        Fault::Refused,
        Fault::Silent,
        Fault::Garbage,
        Fault::WrongId,
        Fault::WrongQuestion,
        Fault::TruncatedTcpDead,
        Fault::LyingAd,
        Fault::NoRecursion,
        Fault::ShortData,
    ];
    for fault in faults {
        let dns =
            Script::new().tlsa("mx.plain", [3, 1, 1], 32).fault("_25._tcp.mx.plain", Rtype::TLSA, fault);
        let lookup = dns.start().await.tlsa("mx.plain", 25).await.lookup;
        assert!(matches!(lookup, Lookup::Failed { .. }), "{fault:?}: {lookup:?}");
    }
}

#[tokio::test]
async fn a_denial_with_a_lying_ad_bit_is_failed() {
    let dns = Script::new().fault("_25._tcp.mx.plain", Rtype::TLSA, Fault::LyingAd).start().await;
    assert!(matches!(dns.tlsa("mx.plain", 25).await.lookup, Lookup::Failed { .. }));
}

#[tokio::test]
async fn slow_and_truncated_answers_arrive() {
    let dns = Script::new()
        .tlsa("mx.example", [3, 1, 1], 32)
        .fault("_25._tcp.mx.example", Rtype::TLSA, Fault::Truncated)
        .mx("slow.example", 1, "mx.example")
        .fault("slow.example", Rtype::MX, Fault::Slow)
        .start()
        .await;
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    assert_eq!(dns.tlsa("mx.example", 25).await.lookup, secure(vec![tlsa]));
    assert_eq!(dns.mx("slow.example").await.lookup.records().len(), 1);
}

#[tokio::test]
async fn aliases_are_followed_and_the_weakest_part_counts() {
    let dns = Script::new()
        .cname("mx.a.example", "mx.b.example")
        .cname("mx.b.example", "mx.c.example")
        .addr("mx.c.example", "192.0.2.3")
        .cname("out.a.example", "mx.plain")
        .addr("mx.plain", "192.0.2.4")
        .start()
        .await;
    let inside = dns.addresses("mx.a.example").await;
    assert_eq!((inside.canonical.as_str(), inside.canonical_security), ("mx.c.example", Security::Secure));
    let outside = dns.addresses("out.a.example").await;
    assert_eq!((outside.canonical.as_str(), outside.canonical_security), ("mx.plain", Security::Insecure));
    assert_eq!(dns.alias("out.a.example").await.lookup, secure(vec!["mx.plain".to_owned()]));
    let none = dns.alias("mx.c.example").await.lookup;
    assert_eq!(none, Lookup::None { security: Security::Secure, nxdomain: false });
}

#[tokio::test]
async fn a_dname_is_followed_with_or_without_its_cname() {
    let dns =
        Script::new().dname("old.example", "new.example").addr("mx.new.example", "192.0.2.5").start().await;
    let resolved = dns.addresses("mx.old.example").await;
    assert_eq!(resolved.canonical, "mx.new.example");
    assert_eq!(resolved.lookup.security(), Some(Security::Secure));
}

#[tokio::test]
async fn alias_loops_and_double_aliases_are_failed() {
    let mut script = Script::new()
        .cname("a.example", "b.example")
        .cname("b.example", "a.example")
        .cname("two.example", "x.example")
        .cname("two.example", "y.example");
    for step in 0..18 {
        script = script.cname(&format!("n{step}.example"), &format!("n{}.example", step + 1));
    }
    let dns = script.start().await;
    for name in ["a.example", "two.example", "n0.example"] {
        assert!(matches!(dns.addresses(name).await.lookup, Lookup::Failed { .. }), "{name}");
    }
}

#[tokio::test]
async fn one_family_is_enough_but_no_address_is_only_said_when_both_deny_it() {
    let dns = Script::new()
        .addr("one.example", "192.0.2.1")
        .fault("one.example", Rtype::AAAA, Fault::ServFail)
        .fault("none.example", Rtype::A, Fault::ServFail)
        .addr("six.example", "2001:db8::6")
        .addr("six.example", "192.0.2.6")
        .start()
        .await;
    assert_eq!(dns.addresses("one.example").await.lookup.security(), Some(Security::Secure));
    assert!(matches!(dns.addresses("none.example").await.lookup, Lookup::Failed { .. }));
    let six = dns.addresses("six.example").await.lookup;
    assert!(six.records()[0].is_ipv6() && six.records()[1].is_ipv4());
    assert!(matches!(dns.addresses("gone.example").await.lookup, Lookup::None { nxdomain: true, .. }));
}

#[tokio::test]
async fn times_to_live_are_the_least_of_the_chain_capped_and_sane() {
    let dns = Script::new()
        .cname("a.example", "b.example")
        .ttl("a.example", Rtype::CNAME, 7)
        .txt("b.example", &["x"])
        .txt("huge.example", &["x"])
        .ttl("huge.example", Rtype::TXT, 2_000_000_000)
        .txt("wrong.example", &["x"])
        .ttl("wrong.example", Rtype::TXT, 0x8000_0001)
        .start()
        .await;
    assert_eq!(dns.txt("a.example").await.ttl, 7);
    assert_eq!(dns.txt("huge.example").await.ttl, 86_400);
    assert_eq!(dns.txt("wrong.example").await.ttl, 0);
}

#[tokio::test]
async fn strings_of_a_txt_record_are_joined_without_a_space() {
    let dns = Script::new().txt("a.example", &["v=STSv1; ", "id=1;"]).start().await;
    assert_eq!(dns.txt("a.example").await.lookup.records(), ["v=STSv1; id=1;"]);
}

#[tokio::test]
async fn bad_names_are_not_asked_for() {
    let dns = Script::new().start().await;
    for name in ["", "a..b", "a b.example", &"x.".repeat(200)] {
        assert!(matches!(dns.mx(name).await.lookup, Lookup::Failed { .. }), "{name}");
    }
}

#[tokio::test]
async fn without_validation_every_look_up_fails_and_says_what_to_do() {
    let script = Script::new().mx("a.example", 10, "mx.a.example");
    script.with(|world| world.not_validating = true);
    let dns = script.start().await;
    let resolved = dns.mx("a.example").await;
    let why = resolved.lookup.trouble().unwrap();
    assert!(why.contains("does not validate DNSSEC") && why.contains("unbound"), "{why}");
    assert_eq!(script.asked("a.example", Rtype::MX), 0);
    assert!(!dns.validates().await);
    assert!(matches!(&*dns.health().borrow(), Health::NotValidating { .. }));
}

#[tokio::test]
async fn a_dead_resolver_fails_at_once_after_the_first_probe() {
    let script = Script::new();
    script.with(|world| world.dead = true);
    let dns = script.start().await;
    assert!(matches!(dns.mx("a.example").await.lookup, Lookup::Failed { .. }));
    let begun = tokio::time::Instant::now();
    assert!(matches!(dns.mx("b.example").await.lookup, Lookup::Failed { .. }));
    assert!(begun.elapsed() < Duration::from_millis(200));
    assert!(matches!(&*dns.health().borrow(), Health::Silent { .. }));
}

#[tokio::test]
async fn a_resolver_that_accepts_a_name_made_bogus_is_not_trusted() {
    let script = Script::new().addr("broken.example", "192.0.2.1");
    let mut config = script.start_config().await;
    config.bogus_name = Some("broken.example".to_owned());
    let dns = Dns::new(config.clone());
    assert!(!dns.validates().await);
    let _script = script.fault("broken.example", Rtype::A, Fault::Bogus);
    assert!(Dns::new(config).validates().await);
}

#[tokio::test]
async fn health_tells_of_a_change() {
    let script = Script::new();
    let dns = script.start().await;
    let mut health = dns.health();
    assert!(dns.validates().await);
    health.changed().await.unwrap();
    assert_eq!(*health.borrow_and_update(), Health::Validating);
}
