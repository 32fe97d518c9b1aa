//! Limits, and many mailboxes.

use keydir::Change;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::packet::signature::subpacket::NotationDataFlags;
use sequoia_openpgp::types::SignatureType;

use super::world::DAY;
use super::world::NOW;
use super::world::World;
use super::world::cert;
use super::world::made;
use super::world::secret;
use super::world::time;

/// A certificate whose holder wrote `size` octets into each of five valid signatures.
fn heavy(address: &str, size: usize) -> Cert {
    let tsk = secret(&[address]);
    let mut signer = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let uid = UserID::from(address);
    let mut packets = vec![Packet::from(uid.clone())];
    for day in 1..=5 {
        let signature = SignatureBuilder::new(SignatureType::PositiveCertification)
            .set_signature_creation_time(time(NOW - day * DAY))
            .unwrap()
            .add_notation("ballast@gate.example", vec![b'x'; size], NotationDataFlags::empty(), false)
            .unwrap()
            .sign_userid_binding(&mut signer, None, &uid)
            .unwrap();
        packets.push(signature.into());
    }
    tsk.insert_packets(packets).unwrap().0.strip_secret_key_material()
}

#[test]
fn a_large_answer_is_warned_of_and_a_huge_one_shortened() {
    let mut world = World::new();
    world.own(&heavy("large@gate.example", 10_000));
    let summary = world.refresh();
    assert!(summary.warnings[0].contains("large@gate.example"), "{:?}", summary.warnings);
    assert!(summary.omitted.is_empty());
    for _ in 0..6 {
        world.own(&heavy("huge@gate.example", 12_000));
    }
    let summary = world.refresh();
    let answer = world.wkd_bytes("huge@gate.example").unwrap();
    assert!(answer.len() <= 256 << 10, "{}", answer.len());
    assert_eq!(world.wkd("huge@gate.example").len(), 4);
    assert_eq!(summary.omitted.len(), 2, "{:?}", summary.omitted);
}

#[test]
fn no_more_than_sixteen_certificates_answer_for_a_mailbox() {
    let mut world = World::new();
    for day in 0..20 {
        world.own(&made(&["bob@gate.example"], NOW - (100 + day) * DAY, None).strip_secret_key_material());
    }
    let summary = world.refresh();
    assert_eq!(world.wkd("bob@gate.example").len(), 16);
    assert!(summary.omitted[0].contains("20 OpenPGP certificates"), "{:?}", summary.omitted);
}

#[test]
fn readers_see_whole_mailboxes_while_thousands_are_written() {
    let mut world = World::new();
    let template = cert(&["bob@gate.example"]);
    let names: Vec<String> = (0..2500).map(|n| format!("user{n}@gate.example")).collect();
    for chunk in names.chunks(5) {
        let ids: Vec<&str> = chunk.iter().map(String::as_str).collect();
        world.own(&cert(&ids));
    }
    world.own(&template);
    let reader = world.publication.clone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut looks = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) || looks == 0 {
                let mailbox = reader.mailbox(&names[looks % names.len()]).unwrap();
                let counts = reader.counts().unwrap();
                assert_eq!(counts.mailboxes, counts.openpgp, "each mailbox has one certificate");
                assert!(mailbox.is_none_or(|mailbox| mailbox.openpgp.len() == 1));
                looks += 1;
            }
            looks
        });
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let progress = seen.clone();
        world.publisher.on_progress(move |done, todo| progress.lock().unwrap().push((done, todo)));
        let mut batches = 0;
        let mut commit = |changes: &mut [Change]| -> Result<(), std::convert::Infallible> {
            assert!(changes.len() <= 2000);
            batches += 1;
            Ok(())
        };
        world.publisher.refresh(&world.store, &world.rules, NOW, &mut commit).unwrap();
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(watching.join().unwrap() > 0);
        assert_eq!(batches, 2);
        assert_eq!(*seen.lock().unwrap(), [(2000, 2501), (2501, 2501)]);
    });
    assert_eq!(world.publication.counts().unwrap().mailboxes, 2501);
}

#[test]
fn a_certificate_that_only_signs_is_published_for_its_signatures() {
    let mut world = World::new();
    let builder = CertBuilder::new().set_creation_time(time(NOW - DAY)).add_userid("bob@gate.example");
    let (signs, _) = builder.add_signing_subkey().generate().unwrap();
    world.own(&signs.strip_secret_key_material());
    world.refresh();
    let mailbox = world.publication.mailbox("bob@gate.example").unwrap().unwrap();
    assert!(!mailbox.openpgp[0].usable && !mailbox.openpgp[0].revoked);
}
