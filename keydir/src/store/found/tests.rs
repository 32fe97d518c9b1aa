use sequoia_openpgp::Cert;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::serialize::SerializeInto;

use super::*;
use crate::answer::Answer;
use crate::assess;
use crate::record::Custody;
use crate::record::Origin;
use crate::record::Scheme;
use crate::subject::Purpose;

const NOW: i64 = 1_900_000_000;
const DAY: i64 = 86_400;
const BOB: &str = "bob@beta.example";
const EVE: &str = "eve@beta.example";

fn cert(user_ids: &[&str]) -> Cert {
    let made = assess::system_time(NOW - DAY);
    let builder = CertBuilder::new().set_creation_time(made).add_transport_encryption_subkey();
    let builder = user_ids.iter().fold(builder, |builder, id| builder.add_userid(*id));
    builder.generate().unwrap().0.strip_secret_key_material()
}

fn subject(address: &str) -> Subject {
    Subject::address(address).unwrap()
}

fn give(
    store: &Store,
    cert: &Cert,
    to: &str,
    origin: Origin,
    trust: Trust,
    now: i64,
) -> Result<Record, StoreError> {
    let bytes = cert.to_vec().unwrap();
    let subjects = Some(vec![subject(to)]);
    let import = Import { bytes: &bytes, subjects, origin, trust, custody: Custody::None, now };
    store.import(&import).map(|mut records| records.remove(0))
}

/// `used`, or why not.
fn ask(store: &Store, address: &str) -> String {
    match store.find(&subject(address), Scheme::Openpgp, Purpose::Encrypt, NOW) {
        Answer::Found(_) => "used".to_owned(),
        Answer::None { why } => why.iter().map(|one| one.reason.to_string()).collect(),
        Answer::CouldNotTell { why } => panic!("{why}"),
    }
}

#[test]
fn a_source_binds_nobody_whom_the_certificate_does_not_name() {
    let store = Store::open_in_memory().unwrap();
    let eve = cert(&[EVE]);
    give(&store, &eve, EVE, Origin::Imported, Trust::Verified, NOW).unwrap();
    for origin in Origin::ALL.iter().filter(|origin| origin.is_found()) {
        let refused = give(&store, &eve, BOB, *origin, Trust::Accepted, NOW);
        assert!(matches!(refused, Err(StoreError::NotMadeOutTo { .. })), "{origin}: {refused:?}");
    }
    assert_eq!(ask(&store, BOB), "");
    // The administrator may: that is his word.
    let record = give(&store, &eve, BOB, Origin::Imported, Trust::Accepted, NOW).unwrap();
    assert_eq!(record.assigned, [subject(EVE), subject(BOB)]);
    assert_eq!(ask(&store, BOB), "used");
}

#[test]
fn what_was_checked_for_one_mailbox_is_not_checked_for_another() {
    let store = Store::open_in_memory().unwrap();
    let eve = cert(&[EVE, BOB]);
    give(&store, &eve, EVE, Origin::Imported, Trust::Verified, NOW).unwrap();
    let record = give(&store, &eve, BOB, Origin::Wkd, Trust::Accepted, NOW).unwrap();
    assert_eq!(record.trust_for(&subject(EVE)), Trust::Verified);
    assert_eq!(record.trust_for(&subject("BOB@Beta.example")), Trust::Accepted);
    assert!(record.is_found_for(&subject(BOB)) && !record.is_found_for(&subject(EVE)));
    assert!(!record.assigned.contains(&subject(BOB)));
    assert_eq!(ask(&store, BOB), "used");
    let fingerprint = record.fingerprint;
    store.set_trust(&fingerprint, Trust::Verified).unwrap();
    assert_eq!(store.get(&fingerprint).unwrap().unwrap().trust_for(&subject(BOB)), Trust::Verified);
}

#[test]
fn what_is_held_for_one_mailbox_is_held_although_it_is_good_for_another() {
    for trust in [Trust::Verified, Trust::Accepted] {
        let store = Store::open_in_memory().unwrap();
        let eve = cert(&[EVE, BOB]);
        give(&store, &eve, EVE, Origin::Imported, trust, NOW).unwrap();
        let record = give(&store, &eve, BOB, Origin::Harvested, Trust::Held, NOW).unwrap();
        assert!(ask(&store, BOB).contains("held"), "{trust}: {}", ask(&store, BOB));
        assert_eq!(ask(&store, EVE), "used", "{trust}");
        store.set_trust(&record.fingerprint, Trust::Accepted).unwrap();
        assert_eq!(ask(&store, BOB), "used", "{trust}");
        // And stays so, whatever a source says later.
        give(&store, &eve, BOB, Origin::Wkd, Trust::Held, NOW).unwrap();
        assert_eq!(ask(&store, BOB), "used", "{trust}");
    }
}

#[test]
fn what_was_held_is_used_once_a_source_is_believed_but_only_there() {
    let store = Store::open_in_memory().unwrap();
    let bob = cert(&[BOB, EVE]);
    for address in [BOB, EVE] {
        give(&store, &bob, address, Origin::Harvested, Trust::Held, NOW).unwrap();
        assert!(ask(&store, address).contains("held"));
    }
    let record = give(&store, &bob, BOB, Origin::Wkd, Trust::Accepted, NOW).unwrap();
    assert_eq!(ask(&store, BOB), "used");
    assert!(ask(&store, EVE).contains("held"));
    // A change that is held: it was used before, and is used no more.
    give(&store, &bob, BOB, Origin::Wkd, Trust::Held, NOW).unwrap();
    assert!(ask(&store, BOB).contains("held"));
    give(&store, &bob, BOB, Origin::Wkd, Trust::Accepted, NOW).unwrap();
    // What the administrator holds, no source takes out of his hands.
    for trust in [Trust::Held, Trust::Distrusted] {
        store.set_trust(&record.fingerprint, trust).unwrap();
        give(&store, &bob, BOB, Origin::Wkd, Trust::Accepted, NOW).unwrap();
        assert_ne!(ask(&store, BOB), "used", "{trust}");
    }
}

/// A change that was believed is a change, whichever key is the newer one.
#[test]
fn the_certificate_that_was_believed_last_is_used() {
    let used = |store: &Store| match store.find(&subject(BOB), Scheme::Openpgp, Purpose::Encrypt, NOW) {
        Answer::Found(usable) => usable.record().fingerprint.clone(),
        other => panic!("{other:?}"),
    };
    let (one, two) = (cert(&[BOB]), cert(&[BOB]));
    for (first, second) in [(&one, &two), (&two, &one)] {
        let store = Store::open_in_memory().unwrap();
        give(&store, first, BOB, Origin::Wkd, Trust::Accepted, NOW).unwrap();
        give(&store, second, BOB, Origin::Wkd, Trust::Accepted, NOW + 1).unwrap();
        assert_eq!(used(&store), second.fingerprint().to_hex());
        // What the administrator approves goes before, until there is something newer still.
        store.set_trust(&first.fingerprint().to_hex(), Trust::Accepted).unwrap();
        assert_eq!(used(&store), first.fingerprint().to_hex());
        let third = cert(&[BOB]);
        give(&store, &third, BOB, Origin::Wkd, Trust::Accepted, NOW + 9).unwrap();
        assert_eq!(used(&store), third.fingerprint().to_hex());
        // What he brings himself is the last word.
        let own = cert(&[BOB]);
        give(&store, &own, BOB, Origin::Imported, Trust::Accepted, NOW).unwrap();
        assert_eq!(used(&store), own.fingerprint().to_hex());
    }
}

#[test]
fn what_nobody_approves_goes_in_the_end() {
    let store = Store::open_in_memory().unwrap();
    let (bob, eve, ours) = (cert(&[BOB]), cert(&[EVE, BOB]), cert(&[BOB]));
    give(&store, &bob, BOB, Origin::Harvested, Trust::Held, NOW).unwrap();
    give(&store, &eve, EVE, Origin::Wkd, Trust::Accepted, NOW).unwrap();
    give(&store, &eve, BOB, Origin::Hkp, Trust::Held, NOW).unwrap();
    give(&store, &ours, BOB, Origin::Imported, Trust::Held, NOW).unwrap();
    assert_eq!(store.expire_held(NOW).unwrap(), 0);
    assert_eq!(store.expire_held(NOW + 1).unwrap(), 2);
    assert_eq!(store.expire_held(NOW + 1).unwrap(), 0);
    let left: Vec<String> = store.records().unwrap().into_iter().map(|record| record.fingerprint).collect();
    let kept = |cert: &Cert| left.contains(&cert.fingerprint().to_hex());
    assert!(!kept(&bob) && kept(&eve) && kept(&ours), "{left:?}");
    assert_eq!(ask(&store, EVE), "used");
    // Offered again it is there again, and held.
    give(&store, &bob, BOB, Origin::Harvested, Trust::Held, NOW + 2).unwrap();
    assert!(ask(&store, BOB).contains("held"));
}
