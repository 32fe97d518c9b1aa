//! TLSA records that make no sense: they authenticate nobody, and harm no record beside them.

use tests::PATIENCE;
use tests::SmtpClient;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::asking;
use super::room::first_said;
use super::room::handing;

/// A signed domain with this record, and perhaps with one that matches.
fn domain(world: &mut World, name: &str, record: &str, right: bool) {
    let identity = Identity::alone(&format!("mx.{name}"));
    let address = world.host(MailHost::new(name, &identity));
    let zone = world.zone(name);
    zone.record(&format!("{name}. MX 10 mx.{name}.")).record(&format!("mx.{name}. A {address}"));
    zone.record(&format!("_25._tcp.mx.{name}. {record}"));
    if record.starts_with("TYPE52") {
        // The signer writes it in a way that the server does not read.
        zone.tamper("TLSA", "TLSA\t3 1 1", record);
    }
    if right {
        zone.record(&format!("_25._tcp.mx.{name}. TLSA {}", identity.tlsa(3, 1, 1)));
    }
}

#[test]
fn senseless_records_prove_nothing_and_spoil_nothing() {
    in_private_network("relay::garbage::senseless_records_prove_nothing_and_spoil_nothing", || {
        let mut world = World::new();
        let digest = "ab".repeat(32);
        let mut cases = Vec::new();
        for (name, record) in [
            ("short", "TLSA 3 1 1 0102".to_owned()),
            ("longer", format!("TLSA 3 1 1 {digest}ff")),
            ("usage", format!("TLSA 255 1 1 {digest}")),
            ("selector", format!("TLSA 3 200 1 {digest}")),
            ("matching", format!("TLSA 3 1 77 {digest}")),
            ("nokey", "TLSA 3 1 0 00".to_owned()),
            // Above what UDP carries.
            ("large", format!("TLSA 2 0 0 {}", "30".repeat(9000))),
        ] {
            for (beside, right) in [("alone", false), ("beside", true)] {
                let name = format!("{name}{beside}.world");
                domain(&mut world, &name, &record, right);
                cases.push((format!("u@{name}"), right));
            }
        }
        // Postfix' own client dies of this one (mymalloc: requested length 0).
        domain(&mut world, "nodata.world", "TYPE52 \\# 3 030101", false);
        let world = world.start();
        let room = room::start(&world);
        let (asking, handing) = (asking(&world).start(), handing(&world).start());
        for postfix in [&asking, &handing] {
            let mut client = SmtpClient::connect(postfix.ports.plain);
            for (to, _) in &cases {
                assert!(client.send("", &[to], b"Subject: x\r\n\r\nx\r\n").accepted(), "{to}");
            }
        }
        let mut client = SmtpClient::connect(handing.ports.plain);
        assert!(client.send("", &["u@nodata.world"], b"Subject: x\r\n\r\nx\r\n").accepted());
        let said = first_said(&handing, "u@nodata.world", PATIENCE);
        assert!(said.status == "sent" && said.text.contains(" unauthenticated TLS"), "{said:?}");
        for (to, right) in &cases {
            let said = first_said(&asking, to, PATIENCE);
            println!("{to}: Postfix {} {:?} {}", said.status, said.tls, said.text);
            let word = if *right { "Verified" } else { "Untrusted" };
            assert_eq!((said.status.as_str(), said.tls.as_deref()), ("sent", Some(word)), "{to}: {said:?}");
            let said = first_said(&handing, to, PATIENCE);
            println!("{to}: relay {} {}", said.status, said.text);
            let words = if *right { " DANE-verified TLS" } else { " unauthenticated TLS" };
            assert!(said.status == "sent" && said.text.contains(words), "{to}: {said:?}");
            let arrived = world.arrivals.of(to);
            assert!(arrived.len() == 2 && arrived.iter().all(|arrived| arrived.tls), "{to}: {arrived:?}");
        }
        assert!(!room.log().contains("panicked"), "{}", room.log());
    });
}
