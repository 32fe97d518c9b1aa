use std::net::Ipv4Addr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::*;
use crate::dns::Dns;
use crate::dns::DnsConfig;
use crate::engine::Demands;
use crate::sts::StsCache;
use crate::sts::StsConfig;

/// Tables over a resolver that is not there.
struct Blind {
    tables: PolicyTables,
    asked: Arc<AtomicUsize>,
    _port: UdpSocket,
}

async fn blind() -> Blind {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let resolver = port.local_addr().unwrap();
    let dns = Dns::new(DnsConfig { resolver, timeout: Duration::from_millis(100), ..DnsConfig::default() });
    let clock = Clock::system();
    let sts = StsCache::open(StsConfig::default(), dns.clone(), clock.clone()).unwrap();
    let mut demands = Demands::default();
    demands.add("may.example", Demand::May).unwrap();
    demands.add("only.example", Demand::DaneOnly).unwrap();
    let engine = Engine::new(dns, sts, demands, clock.clone());
    let transport = TransportTable {
        local: Arc::new(|domain| domain == "own.example"),
        transport: "gw".to_owned(),
        port: 2424,
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let tell = move |_: &Arc<Route>, _: &Answer| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let tables = PolicyTables::new(engine, clock, None, Some(transport), Box::new(tell));
    Blind { tables, asked, _port: port }
}

impl Blind {
    async fn says(&self, map: &str, key: &str) -> Answer {
        let request = Request { map, key };
        match self.tables.at_once(request) {
            Some(answer) => answer,
            None => self.tables.look_up(request).await,
        }
    }
}

#[tokio::test]
async fn without_a_resolver_every_road_is_temporary_but_what_the_configuration_says() {
    let blind = blind().await;
    for map in ["QUERY", "QUERYwithTLSRPT", "sts"] {
        assert!(matches!(blind.says(map, "example.org").await, Answer::Temp(_)), "{map}");
    }
    assert_eq!(blind.says("QUERY", "may.example").await, Answer::Ok("may".to_owned()));
    // Postfix asks the same resolver and cannot be told apart from one that sees no DNSSEC.
    assert!(matches!(blind.says("QUERY", "only.example").await, Answer::Temp(_)));
    assert_eq!(blind.asked.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn parent_domains_are_not_asked_for_and_unknown_maps_are_refused() {
    let blind = blind().await;
    assert_eq!(blind.says("QUERY", ".org").await, Answer::NotFound);
    assert_eq!(blind.says("QUERY", "").await, Answer::NotFound);
    assert!(matches!(blind.says("QUERi", "example.org").await, Answer::Perm(_)));
    assert_eq!(blind.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn names_that_are_none_get_a_defined_answer() {
    let blind = blind().await;
    let label = "x".repeat(64);
    let names =
        [format!("{label}.example"), "a..example".to_owned(), "x.".repeat(200), "[192.0.2.1".to_owned()];
    for name in names.iter().map(String::as_str).chain([
        "user@example.org",
        "*",
        "192.0.2.1",
        "example.org:0",
        "\u{202e}",
    ]) {
        assert!(matches!(blind.says("QUERY", name).await, Answer::Perm(_) | Answer::Temp(_)), "{name}");
    }
}

#[tokio::test]
async fn the_relay_takes_whole_addresses_and_nothing_local() {
    let blind = blind().await;
    let leads = |answer: &Answer| matches!(answer, Answer::Ok(text) if text.starts_with("gw:inet:[127."));
    let one = blind.says("transport", "bob@Example.org").await;
    assert!(leads(&one), "{one:?}");
    assert_eq!(one, blind.says("transport", "example.org").await, "the same domain, the same next-hop");
    assert_ne!(one, blind.says("transport", "bob@example.net").await);
    assert!(leads(&blind.says("transport", "\"odd@place\"@[192.0.2.1]").await));
    for local in
        ["*", "bob@own.example", "bob@OWN.example.", "root@localhost", "root", "", "@", ".example.org"]
    {
        assert_eq!(blind.says("transport", local).await, Answer::NotFound, "{local}");
    }
}
