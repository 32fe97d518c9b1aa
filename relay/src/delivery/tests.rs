//! Deliveries to scripted hosts.

mod content;
mod hosts;
mod roads;
mod sender;

use net::Clock;
use rustls::RootCertStore;

use super::*;
use crate::dns::Tlsa;
use crate::fixtures::certificates::Identity;
use crate::fixtures::smtp_server::route;

const HOST: &str = "mx.example.org";

/// Delivers with short patience, and reuses nothing unless told so.
fn courier(change: impl FnOnce(&mut CourierConfig)) -> Courier {
    courier_trusting(None, change)
}

fn courier_trusting(root: Option<&Identity>, change: impl FnOnce(&mut CourierConfig)) -> Courier {
    let step = Duration::from_secs(2);
    let mut config = CourierConfig {
        name: "relay.gatepost.example".to_owned(),
        times: Times {
            connect: step,
            greeting: step,
            command: step,
            block: step,
            done: step,
            total: Duration::from_secs(20),
        },
        pool: PoolConfig { idle: 0, ..PoolConfig::default() },
        ..CourierConfig::default()
    };
    change(&mut config);
    let mut roots = RootCertStore::empty();
    if let Some(root) = root {
        roots.add(root.certificate()).unwrap();
    }
    Courier::new(config, Tls::new(roots, Clock::system()))
}

fn letter(text: &str) -> Letter {
    let mut writer = LetterWriter::new(&mail::Spill::default());
    writer.write(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn hello() -> Letter {
    letter("From: a@gatepost.example\r\nSubject: hello\r\n\r\nhello\r\n")
}

fn envelope() -> Envelope {
    Envelope { reverse_path: "a@gatepost.example".to_owned(), ..Envelope::default() }
}

fn recipients(addresses: &[&str]) -> Vec<Recipient> {
    addresses
        .iter()
        .map(|address| Recipient { address: (*address).to_owned(), ..Recipient::default() })
        .collect()
}

/// One plain message to one recipient.
async fn send(courier: &Courier, hosts: Vec<Hop>) -> Report {
    let route = Arc::new(route("example.org", hosts));
    courier
        .deliver(
            Instant::now(),
            route,
            &envelope(),
            &recipients(&["b@example.org"]),
            &hello(),
            &Abandon::default(),
        )
        .await
}

/// The reply to the only recipient.
fn said(report: &Report) -> String {
    assert_eq!(report.outcomes.len(), 1);
    report.outcomes[0].reply.to_string()
}

fn dane(records: &[Tlsa]) -> Road {
    Road::Dane { base: HOST.to_owned(), names: vec![HOST.to_owned()], records: records.to_vec() }
}
