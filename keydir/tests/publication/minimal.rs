//! What leaves the house of a certificate: as much as the asked mailbox needs.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use keydir::Origin;
use keydir::Trust;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::PacketPile;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::Tag;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::packet::signature::subpacket::NotationDataFlags;
use sequoia_openpgp::packet::signature::subpacket::Subpacket;
use sequoia_openpgp::packet::signature::subpacket::SubpacketTag;
use sequoia_openpgp::packet::signature::subpacket::SubpacketValue;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::SignatureType;

use super::world::DAY;
use super::world::NOW;
use super::world::World;
use super::world::cert;
use super::world::certs;
use super::world::secret;
use super::world::time;

#[test]
fn each_mailbox_sees_its_own_user_ids_only() {
    let mut world = World::new();
    let ids = [
        "Bob <bob@gate.example>",
        "Bob at work <Bob@gate.example>",
        "secret@gate.example",
        "b@private.example",
    ];
    world.own(&cert(&ids));
    world.refresh();
    assert_eq!(world.user_ids("bob@gate.example").len(), 2);
    assert_eq!(world.user_ids("secret@gate.example"), ["secret@gate.example"]);
    assert!(world.wkd("b@private.example").is_empty());
    for certificate in world.publication.mailbox("bob@gate.example").unwrap().unwrap().openpgp {
        let text = String::from_utf8_lossy(&certificate.bytes).into_owned();
        assert!(!text.contains("secret@") && !text.contains("private"));
        assert_eq!(certificate.user_ids.len(), 2);
    }
}

#[test]
fn the_unhashed_part_of_signatures_holds_what_is_needed_and_nothing_else() {
    let mut world = World::new();
    let clean = cert(&["bob@gate.example"]);
    let smuggled = || {
        let flags = NotationDataFlags::empty().set_human_readable();
        let notation = sequoia_openpgp::packet::signature::subpacket::NotationData::new(
            "smuggled@evil.example",
            vec![b'x'; 3000],
            flags,
        );
        Subpacket::new(SubpacketValue::NotationData(notation), false).unwrap()
    };
    let foreign = cert(&["eve@evil.example"]);
    let packets: Vec<Packet> = clean
        .clone()
        .into_packets()
        .map(|packet| match packet {
            Packet::Signature(mut signature) => {
                let area = signature.unhashed_area_mut();
                area.add(smuggled()).unwrap();
                area.add(Subpacket::new(SubpacketValue::Issuer(foreign.keyid()), false).unwrap()).unwrap();
                signature.into()
            }
            other => other,
        })
        .collect();
    let dirty: Vec<u8> = packets.iter().flat_map(|packet| packet.to_vec().unwrap()).collect();
    assert!(dirty.len() > 10_000);
    world.import_bytes(&dirty, None, Trust::Own, Origin::Imported);
    world.refresh();
    let bytes = world.wkd_bytes("bob@gate.example").unwrap();
    assert!(bytes.len() < 2_000, "{}", bytes.len());
    assert!(!String::from_utf8_lossy(&bytes).contains("smuggled"));
    for signature in signatures(&bytes) {
        assert!(!signature.get_issuers().iter().any(|issuer| issuer.aliases(foreign.key_handle())));
    }
    // And it still is a whole certificate: the signing subkey kept its consent.
    let policy = sequoia_openpgp::policy::StandardPolicy::new();
    let published = certs(&bytes).remove(0);
    let valid = published.with_policy(&policy, time(NOW)).unwrap();
    assert_eq!(valid.keys().subkeys().for_signing().count(), 1);
    assert_eq!(valid.keys().subkeys().for_transport_encryption().count(), 1);
}

fn signatures(bytes: &[u8]) -> Vec<Signature> {
    let pile = PacketPile::from_bytes(bytes).unwrap();
    let signature = |packet: &Packet| match packet {
        Packet::Signature(signature) => Some(signature.clone()),
        _ => None,
    };
    pile.descendants().filter_map(signature).collect()
}

#[test]
fn the_newest_signatures_of_the_holder_are_enough() {
    let mut world = World::new();
    let tsk = secret(&["bob@gate.example"]);
    let mut signer = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let uid = UserID::from("bob@gate.example");
    let again: Vec<Packet> = (1..=15)
        .map(|day| {
            SignatureBuilder::new(SignatureType::PositiveCertification)
                .set_signature_creation_time(time(NOW - 20 * DAY + day * DAY))
                .unwrap()
                .sign_userid_binding(&mut signer, None, &uid)
                .unwrap()
                .into()
        })
        .collect();
    let bound: Vec<Packet> = std::iter::once(uid.into()).chain(again).collect();
    world.own(&tsk.insert_packets(bound).unwrap().0.strip_secret_key_material());
    world.refresh();
    let published = world.wkd("bob@gate.example").remove(0);
    let uid = published.userids().next().unwrap();
    assert_eq!(uid.self_signatures().count(), 5);
    let newest = uid.self_signatures().next().unwrap().signature_creation_time();
    assert_eq!(newest, Some(time(NOW - 5 * DAY)));
}

#[test]
fn local_signatures_and_foreign_packets_stay_at_home() {
    let mut world = World::new();
    let tsk = secret(&["bob@gate.example"]);
    let mut signer = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let second = UserID::from("Local Bob <bob@gate.example>");
    let local = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_signature_creation_time(time(NOW - DAY))
        .unwrap()
        .set_exportable_certification(false)
        .unwrap()
        .sign_userid_binding(&mut signer, tsk.primary_key().key(), &second)
        .unwrap();
    let (tsk, _) = tsk.insert_packets(vec![Packet::from(second), local.into()]).unwrap();
    world.own(&tsk.strip_secret_key_material());
    world.refresh();
    assert_eq!(world.user_ids("bob@gate.example"), ["bob@gate.example"]);
    let bytes = world.wkd_bytes("bob@gate.example").unwrap();
    for packet in PacketPile::from_bytes(&*bytes).unwrap().descendants() {
        let tag = packet.tag();
        assert!(matches!(tag, Tag::PublicKey | Tag::PublicSubkey | Tag::UserID | Tag::Signature), "{tag}");
    }
}

#[test]
fn the_authority_of_the_domain_certifies_and_nobody_else() {
    let mut world = World::new();
    let authority = secret(&["authority@gate.example"]);
    let eve = secret(&["eve@evil.example"]);
    let signed = Arc::new(AtomicUsize::new(0));
    let clock = Arc::new(AtomicI64::new(NOW));
    let (key, counter, at) = (authority.clone(), signed.clone(), clock.clone());
    world.rules.endorsers = vec![authority.clone().strip_secret_key_material()];
    world.rules.endorser = Some(Arc::new(move |cert: &Cert, address: &str| {
        counter.fetch_add(1, Ordering::SeqCst);
        let made = at.load(Ordering::SeqCst);
        Ok(Some(certified(&certified(cert, &eve, address, made), &key, address, made)))
    }));
    world.own(&cert(&["bob@gate.example"]));
    world.refresh();
    let published = world.wkd("bob@gate.example").remove(0);
    let certifications: Vec<_> = published.userids().next().unwrap().certifications().collect();
    assert_eq!(certifications.len(), 1);
    assert!(certifications[0].get_issuers().contains(&authority.key_handle()));
    // It is kept as long as it holds, and what was published stays the same.
    let before = world.wkd_bytes("bob@gate.example");
    world.rules.wkd_policy = vec!["mailbox-only".to_owned()];
    let changed = world.refresh().changed;
    assert_eq!(signed.load(Ordering::SeqCst), 1);
    assert_eq!(world.wkd_bytes("bob@gate.example"), before);
    assert_eq!(changed, 0);
    assert_eq!(signed.load(Ordering::SeqCst), 1);
    // It ends a year after it was made, and is renewed a month before.
    assert_eq!(world.refresh_at(NOW + 300 * DAY).changed, 0);
    clock.store(NOW + 340 * DAY, Ordering::SeqCst);
    assert_eq!(world.refresh_at(NOW + 340 * DAY).changed, 1);
    assert_eq!(signed.load(Ordering::SeqCst), 2);
}

/// The certificate with a certification, made at `made`, that ends 365 days later.
fn certified(cert: &Cert, by: &Cert, address: &str, made: i64) -> Cert {
    let mut signer = by.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let uid = UserID::from(address);
    let signature = SignatureBuilder::new(SignatureType::GenericCertification)
        .set_signature_creation_time(time(made))
        .unwrap()
        .set_signature_validity_period(std::time::Duration::from_secs(365 * DAY.cast_unsigned()))
        .unwrap()
        .sign_userid_binding(&mut signer, cert.primary_key().key(), &uid)
        .unwrap();
    cert.clone().insert_packets(vec![Packet::from(uid), signature.into()]).unwrap().0
}

#[test]
fn what_is_published_reads_back_as_it_is() {
    let mut world = World::new();
    world.own(&cert(&["bob@gate.example"]));
    world.refresh();
    let bytes = world.wkd_bytes("bob@gate.example").unwrap();
    let cert = certs(&bytes).remove(0);
    assert_eq!(cert.to_vec().unwrap(), bytes.to_vec(), "canonical as it is");
    // Every packet has the header of RFC 9580, 4.2.1, and none holds a secret.
    let pile = PacketPile::from_bytes(&*bytes).unwrap();
    assert!(!pile.children().any(|packet| matches!(packet.tag(), Tag::SecretKey | Tag::SecretSubkey)));
    let has_unhashed = |tag: SubpacketTag| {
        signatures(&bytes).iter().any(|signature| signature.unhashed_area().subpacket(tag).is_some())
    };
    assert!(!has_unhashed(SubpacketTag::NotationData));
}
