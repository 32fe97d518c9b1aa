use std::path::PathBuf;

use mail::EnhancedCode;

use super::*;
use crate::delivery::Attempt;
use crate::delivery::Outcome;
use crate::delivery::Reply;
use crate::delivery::Via;
use crate::road::Demand;
use crate::road::PolicyKind;
use crate::tls::Matched;

const NOW: i64 = 1_790_000_000;

fn route(road: Road) -> Arc<Route> {
    let host = "mx.example.org".to_owned();
    let hop = Hop { host, preference: 10, addresses: Vec::new(), road, mx_secure: true };
    Arc::new(Route {
        next_hop: "example.org".to_owned(),
        domain: "example.org".to_owned(),
        port: 25,
        kind: PolicyKind::StsTesting,
        demand: Demand::Dane,
        verdict: RouteVerdict::Hosts,
        hosts: vec![hop],
        mx_security: None,
        sts: None,
        troubles: Vec::new(),
        steps: Vec::new(),
        expires: NOW + 300,
    })
}

fn channel() -> Channel {
    let matched = Matched::Tlsa { usage: 3, selector: 1, matching: 1 };
    Channel { tls_version: Some("TLSv1.3".to_owned()), matched, ..Channel::cleartext() }
}

fn report(route: &Arc<Route>, reply: Reply, went: bool, why: Option<&str>) -> Report {
    let via = Via {
        host: "mx.example.org".to_owned(),
        address: [192, 0, 2, 1].into(),
        port: 25,
        channel: channel(),
        mx_secure: true,
    };
    let attempt = Attempt {
        host: "mx.example.org".to_owned(),
        address: None,
        channel: None,
        greeting: None,
        reused: false,
        failure: None,
        why: why.map(str::to_owned),
    };
    let outcome = Outcome { reply, via: went.then(|| Arc::new(via)) };
    Report { route: route.clone(), outcomes: vec![outcome], attempts: vec![attempt], waived: false }
}

/// What the map says after `notes`.
fn after(notes: impl FnOnce(&RoadMap)) -> Vec<Entry> {
    let (_dir, path) = place();
    let map = RoadMap::open(&path, Clock::from_fn(|| NOW)).unwrap();
    notes(&map);
    drop(map);
    RoadMap::read(&path).unwrap()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.db");
    (dir, path)
}

#[test]
fn a_decision_is_noted_with_the_road_of_each_host() {
    let entries = after(|map| map.decided(&route(Road::Unreachable { why: "SERVFAIL".to_owned() })));
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(
        (entry.next_hop.as_str(), entry.kind.as_str(), entry.decided),
        ("example.org", "sts-testing", NOW)
    );
    let host = HostRoad {
        host: "mx.example.org".to_owned(),
        preference: 10,
        road: "unreachable".to_owned(),
        why: Some("SERVFAIL".to_owned()),
    };
    assert_eq!(entry.hosts, [host]);
    assert_eq!((entry.delivered, &entry.failure), (None, &None));
}

#[test]
fn a_delivery_leaves_its_channel_and_keeps_the_last_failure() {
    let route = route(Road::Opportunistic);
    let refused = Reply::own(451, EnhancedCode(4, 7, 5), "no TLSA record matches");
    let taken = Reply::own(250, EnhancedCode(2, 0, 0), "queued");
    let entries = after(|map| {
        map.delivered(&report(&route, refused, false, Some("no TLSA record matches")));
        map.delivered(&report(&route, taken, true, None));
    });
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.delivered, entry.failed), (Some(NOW), Some(NOW)));
    assert_eq!(entry.host.as_deref(), Some("mx.example.org"));
    assert_eq!(entry.channel, Some(channel()));
    assert_eq!(entry.failure.as_deref(), Some("mx.example.org: no TLSA record matches"));
}

#[test]
fn a_failed_decision_is_the_last_failure() {
    let verdict = RouteVerdict::Temporary { why: "MX: bogus".to_owned() };
    let failed = Route { verdict, hosts: Vec::new(), ..Route::clone(&route(Road::Opportunistic)) };
    let entries = after(|map| map.decided(&Arc::new(failed)));
    assert_eq!(entries[0].failure.as_deref(), Some("MX: bogus"));
    assert_eq!(entries[0].verdict, "temporary");
}

#[test]
fn what_is_no_domain_is_not_on_the_map() {
    let verdict = RouteVerdict::Malformed { why: "too long".to_owned() };
    let malformed = Route { verdict, ..Route::clone(&route(Road::Opportunistic)) };
    assert!(after(|map| map.decided(&Arc::new(malformed))).is_empty());
}

#[test]
fn domains_long_unused_are_forgotten_at_the_next_start() {
    let (_dir, path) = place();
    RoadMap::open(&path, Clock::from_fn(|| NOW)).unwrap().decided(&route(Road::Opportunistic));
    assert_eq!(RoadMap::read(&path).unwrap().len(), 1);
    drop(RoadMap::open(&path, Clock::from_fn(|| NOW + FORGOTTEN + 1)).unwrap());
    assert!(RoadMap::read(&path).unwrap().is_empty());
}

#[test]
fn there_is_no_map_where_there_is_no_file() {
    let (_dir, path) = place();
    assert!(RoadMap::read(&path).is_err());
}
