use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use super::*;
use crate::dns::Security;
use crate::dns::Tlsa;
use crate::road::Demand;
use crate::road::PolicyKind;
use crate::sts::StsPolicy;

const NOW: i64 = 1_790_000_000;

fn dane() -> Road {
    let records = vec![Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }];
    Road::Dane { base: "mx.example.org".to_owned(), names: Vec::new(), records }
}

fn sts(testing: bool) -> Road {
    Road::Sts { name: "a.example.org".to_owned(), testing }
}

fn unreachable() -> Road {
    Road::Unreachable { why: "SERVFAIL".to_owned() }
}

fn route(roads: Vec<Road>) -> Arc<Route> {
    let hosts = roads.into_iter().zip('a'..).map(|(road, letter)| Hop {
        host: format!("{letter}.example.org"),
        preference: 10,
        addresses: Vec::new(),
        road,
        mx_secure: true,
    });
    Arc::new(Route {
        next_hop: "example.org".to_owned(),
        domain: "example.org".to_owned(),
        port: 25,
        kind: PolicyKind::Dane,
        demand: Demand::Dane,
        verdict: RouteVerdict::Hosts,
        hosts: hosts.collect(),
        mx_security: Some(Security::Secure),
        sts: None,
        troubles: Vec::new(),
        steps: Vec::new(),
        expires: NOW + 300,
    })
}

fn by(route: &Route) -> Option<String> {
    match authentication(route) {
        Authentication::By(what) => Some(what),
        _ => None,
    }
}

#[test]
fn a_road_counts_only_if_no_host_can_be_used_without_authentication() {
    assert_eq!(by(&route(vec![dane(), dane()])).as_deref(), Some("DANE"));
    assert_eq!(by(&route(vec![sts(false)])).as_deref(), Some("MTA-STS"));
    assert_eq!(by(&route(vec![dane(), sts(false)])).as_deref(), Some("DANE and MTA-STS"));
    let unlisted = vec![sts(false), Road::StsMismatch { testing: false }];
    assert_eq!(by(&route(unlisted)).as_deref(), Some("MTA-STS"), "a host that is not listed is never used");
    for lesser in [
        Road::Opportunistic,
        Road::Encrypted,
        Road::Cleartext,
        sts(true),
        Road::StsMismatch { testing: true },
        Road::DaneUnusable { base: "a.example.org".to_owned() },
    ] {
        assert!(matches!(authentication(&route(vec![dane(), lesser])), Authentication::No(_)));
    }
    let only_unlisted = route(vec![Road::StsMismatch { testing: false }]);
    assert!(matches!(authentication(&only_unlisted), Authentication::No(_)));
}

#[test]
fn a_host_that_could_not_be_judged_leaves_it_open_and_a_bad_one_settles_it() {
    let open = authentication(&route(vec![dane(), unreachable()]));
    assert_eq!(open, Authentication::Unknown("b.example.org: SERVFAIL".to_owned()));
    let settled = authentication(&route(vec![unreachable(), Road::Opportunistic]));
    assert_eq!(settled, Authentication::No(vec!["b.example.org: neither DANE nor MTA-STS".to_owned()]));
}

#[test]
fn dane_behind_an_insecure_mx_proves_the_domain_only_if_mta_sts_names_the_host() {
    let mut insecure = Route::clone(&route(vec![dane()]));
    insecure.hosts[0].mx_secure = false;
    assert!(matches!(authentication(&insecure), Authentication::No(_)));
    let mx = vec!["a.example.org".to_owned()];
    let policy = StsPolicy { id: String::new(), mode: Mode::Enforce, max_age: 1, mx, lines: Vec::new() };
    insecure.sts = Some(policy.clone());
    assert_eq!(by(&insecure).as_deref(), Some("DANE"));
    insecure.sts = Some(StsPolicy { mode: Mode::Testing, ..policy });
    assert_eq!(by(&insecure), None);
}

#[test]
fn no_hosts_are_no_road_and_a_failure_is_neither() {
    let verdict =
        |verdict| authentication(&Route { verdict, hosts: Vec::new(), ..Route::clone(&route(Vec::new())) });
    assert!(matches!(verdict(RouteVerdict::NullMx), Authentication::No(_)));
    assert!(matches!(verdict(RouteVerdict::NoSuchDomain), Authentication::No(_)));
    let why = "no resolver".to_owned();
    assert_eq!(verdict(RouteVerdict::Temporary { why: why.clone() }), Authentication::Unknown(why));
}

#[test]
fn a_pledge_takes_lesser_roads_away_survives_a_restart_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    let time = Arc::new(AtomicI64::new(NOW));
    let clock = {
        let time = time.clone();
        Clock::from_fn(move || time.load(Ordering::SeqCst))
    };
    let pledges = Pledges::open(&path, clock.clone()).unwrap();
    let lost = route(vec![dane(), Road::Opportunistic]);
    assert!(Arc::ptr_eq(&pledges.keep(&lost), &lost), "nothing was promised");
    pledges.pledge("example.org").unwrap();
    drop(pledges);
    let pledges = Pledges::open(&path, clock.clone()).unwrap();
    let kept = pledges.keep(&lost);
    assert_eq!(kept.hosts[0].road, dane());
    assert!(matches!(&kept.hosts[1].road, Road::Unreachable { why } if why.contains("promised")));
    let good = route(vec![dane()]);
    assert!(Arc::ptr_eq(&pledges.keep(&good), &good));
    time.store(NOW + HOLDS + 1, Ordering::SeqCst);
    assert!(!pledges.holds("example.org"));
    assert!(Arc::ptr_eq(&pledges.keep(&lost), &lost));
}

#[test]
fn a_pledge_is_renewed_by_the_next_message_and_not_by_each() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(NOW));
    let clock = {
        let time = time.clone();
        Clock::from_fn(move || time.load(Ordering::SeqCst))
    };
    let pledges = Pledges::open(&dir.path().join("relay.db"), clock).unwrap();
    pledges.pledge("example.org").unwrap();
    time.store(NOW + RENEWED - 1, Ordering::SeqCst);
    pledges.pledge("example.org").unwrap();
    assert_eq!(pledges.until("example.org"), Some(NOW + HOLDS));
    time.store(NOW + RENEWED, Ordering::SeqCst);
    pledges.pledge("example.org").unwrap();
    assert_eq!(pledges.until("example.org"), Some(NOW + RENEWED + HOLDS));
}
