//! Which certificates come first, and how long those stay that ended.

use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::CertRevocationBuilder;
use sequoia_openpgp::cert::SubkeyRevocationBuilder;
use sequoia_openpgp::cert::UserIDRevocationBuilder;
use sequoia_openpgp::types::ReasonForRevocation;
use sequoia_openpgp::types::RevocationStatus;

use super::world::DAY;
use super::world::NOW;
use super::world::World;
use super::world::YEAR;
use super::world::cert;
use super::world::made;
use super::world::secret;
use super::world::time;

fn order(world: &World, address: &str) -> Vec<String> {
    world.wkd(address).iter().map(|cert| cert.fingerprint().to_hex()).collect()
}

fn revoked(tsk: &Cert, at: i64, reason: ReasonForRevocation) -> Cert {
    let mut signer = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let revocation = CertRevocationBuilder::new()
        .set_signature_creation_time(time(at))
        .unwrap()
        .set_reason_for_revocation(reason, b"")
        .unwrap()
        .build(&mut signer, tsk, None)
        .unwrap();
    tsk.clone().strip_secret_key_material().insert_packets(vec![revocation]).unwrap().0
}

#[test]
fn the_usable_come_first_and_the_newest_of_them_at_the_front() {
    let mut world = World::new();
    let address = ["bob@gate.example"];
    let old = made(&address, NOW - 300 * DAY, None).strip_secret_key_material();
    let new = made(&address, NOW - 10 * DAY, None).strip_secret_key_material();
    let expired = made(&address, NOW - 200 * DAY, Some(100 * DAY)).strip_secret_key_material();
    let gone = revoked(&made(&address, NOW - 5 * DAY, None), NOW - DAY, ReasonForRevocation::KeyCompromised);
    for cert in [&expired, &old, &gone, &new] {
        world.own(cert);
    }
    world.refresh();
    let expected: Vec<String> =
        [&new, &old, &expired, &gone].iter().map(|cert| cert.fingerprint().to_hex()).collect();
    assert_eq!(order(&world, "bob@gate.example"), expected);
    let mailbox = world.publication.mailbox("bob@gate.example").unwrap().unwrap();
    let flags: Vec<_> = mailbox.openpgp.iter().map(|it| (it.usable, it.revoked)).collect();
    assert_eq!(flags, [(true, false), (true, false), (false, false), (false, true)]);
    assert_eq!(mailbox.openpgp[2].valid_until, Some(NOW - 100 * DAY));
}

#[test]
fn a_revoked_certificate_stays_beside_its_successor_for_a_year() {
    let mut world = World::new();
    let tsk = made(&["bob@gate.example"], NOW - 900 * DAY, None);
    world.own(&tsk.clone().strip_secret_key_material());
    world.refresh();
    // The revocation was made together with the key, long ago, and is used today.
    let revoked = revoked(&tsk, NOW - 899 * DAY, ReasonForRevocation::KeyCompromised);
    let successor = cert(&["bob@gate.example"]);
    world.own(&revoked);
    world.own(&successor);
    world.refresh();
    let both = [successor.fingerprint().to_hex(), revoked.fingerprint().to_hex()];
    assert_eq!(order(&world, "bob@gate.example"), both);
    world.refresh_at(NOW + YEAR);
    assert_eq!(order(&world, "bob@gate.example"), both);
    world.refresh_at(NOW + YEAR + 2 * DAY);
    assert_eq!(order(&world, "bob@gate.example"), both[..1]);
    // It does not come back when everything is looked at again.
    world.rules.wkd_policy = vec!["mailbox-only".to_owned()];
    assert_eq!(world.refresh_at(NOW + YEAR + 3 * DAY).changed, 0);
    assert_eq!(order(&world, "bob@gate.example"), both[..1]);
}

#[test]
fn a_soft_revocation_does_not_take_back_a_hard_one() {
    let mut world = World::new();
    let tsk = made(&["bob@gate.example"], NOW - 90 * DAY, None);
    world.own(&revoked(&tsk, NOW - 20 * DAY, ReasonForRevocation::KeyCompromised));
    for day in 1..=10 {
        world.own(&revoked(&tsk, NOW - day * DAY, ReasonForRevocation::KeySuperseded));
    }
    world.own(&tsk.clone().strip_secret_key_material());
    world.refresh();
    let published = world.wkd("bob@gate.example").remove(0);
    let policy = sequoia_openpgp::policy::StandardPolicy::new();
    // Hard: revoked from the beginning, also for signatures made before.
    let status = published.revocation_status(&policy, time(NOW - 50 * DAY));
    assert!(matches!(status, RevocationStatus::Revoked(_)), "{status:?}");
    assert!(world.publication.mailbox("bob@gate.example").unwrap().unwrap().openpgp[0].revoked);
}

#[test]
fn expired_certificates_stay_a_year_and_time_alone_brings_changes() {
    let mut world = World::new();
    world.own(&made(&["bob@gate.example"], NOW - 10 * DAY, Some(20 * DAY)).strip_secret_key_material());
    let usable = |world: &World| {
        let mailbox = world.publication.mailbox("bob@gate.example").unwrap();
        mailbox.map(|mailbox| mailbox.openpgp[0].usable)
    };
    world.refresh();
    assert_eq!(usable(&world), Some(true));
    assert_eq!(world.refresh_at(NOW + 9 * DAY).examined, 0);
    assert_eq!(world.refresh_at(NOW + 10 * DAY + 1).examined, 1);
    world.refresh_at(NOW + 360 * DAY);
    assert!(usable(&world).is_some());
    let summary = world.refresh_at(NOW + 10 * DAY + YEAR + 2 * DAY);
    assert_eq!((summary.withdrawn, usable(&world)), (1, None));
}

#[test]
fn a_certificate_from_the_future_waits() {
    let mut world = World::new();
    world.own(&made(&["bob@gate.example"], NOW + 3 * DAY, None).strip_secret_key_material());
    assert_eq!(world.refresh().mailboxes, 0);
    assert_eq!(world.refresh_at(NOW + 2 * DAY).examined, 0);
    assert_eq!(world.refresh_at(NOW + 3 * DAY + 1).mailboxes, 1, "time alone brings it");
    assert!(world.publication.mailbox("bob@gate.example").unwrap().unwrap().openpgp[0].usable);
}

#[test]
fn a_user_id_that_the_holder_revoked_stays_revoked_for_all_to_see() {
    let mut world = World::new();
    let tsk = secret(&["bob@gate.example", "other@gate.example"]);
    world.own(&tsk.clone().strip_secret_key_material());
    world.refresh();
    let mut signer = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let uid = tsk.userids().find(|uid| uid.userid().value() == b"bob@gate.example").unwrap();
    let revocation = UserIDRevocationBuilder::new()
        .set_signature_creation_time(time(NOW))
        .unwrap()
        .set_reason_for_revocation(ReasonForRevocation::UIDRetired, b"")
        .unwrap()
        .build(&mut signer, &tsk, uid.userid(), None)
        .unwrap();
    let packets: Vec<Packet> = vec![uid.userid().clone().into(), revocation.into()];
    world.own(&tsk.clone().insert_packets(packets).unwrap().0.strip_secret_key_material());
    world.refresh_at(NOW + DAY);
    let mailbox = world.publication.mailbox("bob@gate.example").unwrap().unwrap();
    assert!(!mailbox.openpgp[0].usable);
    let published = world.wkd("bob@gate.example").remove(0);
    assert_eq!(published.userids().next().unwrap().self_revocations().count(), 1);
    let other = world.publication.mailbox("other@gate.example").unwrap().unwrap();
    assert!(other.openpgp[0].usable);
}

#[test]
fn revoked_subkeys_stay_and_spent_encryption_subkeys_go() {
    let mut world = World::new();
    let tsk = secret(&["bob@gate.example"]);
    let mut signer = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let spent = sequoia_openpgp::cert::prelude::KeyBuilder::new(
        sequoia_openpgp::types::KeyFlags::empty().set_transport_encryption(),
    )
    .set_creation_time(time(NOW - 20 * DAY))
    .subkey(tsk.with_policy(&sequoia_openpgp::policy::StandardPolicy::new(), time(NOW)).unwrap())
    .unwrap()
    .set_key_validity_period(std::time::Duration::from_secs(7 * DAY.cast_unsigned()))
    .unwrap()
    .attach_cert()
    .unwrap();
    let signing = spent
        .keys()
        .subkeys()
        .find(|key| key.self_signatures().any(|s| s.key_flags().is_some_and(|flags| flags.for_signing())))
        .unwrap();
    let revocation = SubkeyRevocationBuilder::new()
        .set_signature_creation_time(time(NOW - DAY))
        .unwrap()
        .set_reason_for_revocation(ReasonForRevocation::KeyRetired, b"")
        .unwrap()
        .build(&mut signer, &spent, signing.key(), None)
        .unwrap();
    let packets = vec![Packet::from(signing.key().clone().parts_into_public()), revocation.into()];
    let whole = spent.clone().insert_packets(packets).unwrap().0.strip_secret_key_material();
    assert_eq!(whole.keys().subkeys().count(), 3);
    world.own(&whole);
    world.refresh();
    let published = world.wkd("bob@gate.example").remove(0);
    assert_eq!(published.keys().subkeys().count(), 2, "the spent one is gone");
    assert_eq!(
        published.keys().subkeys().flat_map(|key| key.self_revocations().collect::<Vec<_>>()).count(),
        1
    );
    assert!(world.publication.mailbox("bob@gate.example").unwrap().unwrap().openpgp[0].usable);
}
