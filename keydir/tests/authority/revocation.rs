//! Revocation lists: OpenSSL reads them, and chains break by them.

use keydir::Anchors;
use keydir::AuthorityError;
use keydir::ChainError;
use keydir::CrlError;
use keydir::Profile;
use keydir::RevocationReason;
use keydir::Use;

use crate::world::DAY;
use crate::world::Key;
use crate::world::World;

#[test]
fn openssl_and_we_agree_on_what_is_revoked() {
    let world = World::new();
    let leaves: Vec<_> =
        (0..8).map(|n| world.leaf(Profile::User, &format!("user{n}@alpha.example"), &Key::p256())).collect();
    let issuing = world.issuing.fingerprint();
    let empty = world.authority.crl(&issuing, &world.issuing_key, world.now).unwrap();
    assert_eq!((empty.number, empty.next_update - empty.this_update), (1, DAY));
    for leaf in leaves.iter().skip(4) {
        let reason = RevocationReason::CessationOfOperation;
        world.authority.revoke(&leaf.fingerprint().to_lowercase(), reason, world.now).unwrap();
    }
    assert!(world.authority.crls_due(world.now).unwrap().iter().any(|due| due.fingerprint == issuing));
    let list = world.authority.crl(&issuing, &world.issuing_key, world.now).unwrap();
    assert_eq!(list.number, 2);
    assert_eq!(world.authority.latest_crl(&issuing).unwrap().unwrap(), list);
    let root = world.authority.crl(&world.root.fingerprint(), &world.root_key, world.now).unwrap();
    world.write("issuing.crl", &list.der);
    let (ok, text) = world.openssl("crl -inform DER -in issuing.crl -CAfile issuing.pem -noout -text");
    assert!(ok && text.contains("verify OK") && text.contains("Cessation Of Operation"), "{text}");
    assert_eq!(text.matches("Serial Number:").count(), 4, "{text}");
    world.openssl("crl -inform DER -in issuing.crl -out issuing.crl.pem");
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    for (n, leaf) in leaves.iter().enumerate() {
        world.write("leaf.pem", leaf.pem());
        let (ok, text) = world.openssl(
            "verify -crl_check -CRLfile issuing.crl.pem -CAfile root.pem -untrusted issuing.pem leaf.pem",
        );
        assert_eq!(ok, n < 4, "{text}");
        match anchors.verify(leaf, &[], world.now, Use::Encrypt) {
            Ok(chain) => assert!(n < 4 && chain.revocation_checked()),
            Err(ChainError::Revoked { when, why }) => {
                assert!(n >= 4 && when == world.now && why == "not used any more", "{when} {why}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let stale = anchors.verify(&leaves[0], &[], world.now + DAY + 1, Use::Sign).unwrap_err();
    assert!(matches!(stale, ChainError::RevocationUnknown(_)), "{stale}");
    let revoked = anchors.verify(&leaves[5], &[], world.now + DAY + 1, Use::Sign).unwrap_err();
    assert!(matches!(revoked, ChainError::Revoked { .. }), "revoked stays revoked: {revoked}");
    assert!(root.next_update > world.now + 300 * DAY);
}

#[test]
fn a_clock_that_goes_back_keeps_no_revocation_out_of_the_list() {
    let world = World::new();
    let leaves: Vec<_> =
        (0..2).map(|n| world.leaf(Profile::User, &format!("user{n}@alpha.example"), &Key::p256())).collect();
    let issuing = world.issuing.fingerprint();
    let due = |now| world.authority.crls_due(now).unwrap().iter().any(|due| due.fingerprint == issuing);
    let make = |now| world.authority.crl(&issuing, &world.issuing_key, now).unwrap();
    let revoke = |leaf: usize, now| {
        world.authority.revoke(&leaves[leaf].fingerprint(), RevocationReason::Superseded, now).unwrap()
    };
    // The clock was a year ahead; nobody believes that list before then.
    assert_eq!(make(world.now + 365 * DAY).number, 1);
    assert!(due(world.now));
    assert_eq!(make(world.now).number, 2, "numbers go on");
    assert!(!due(world.now));
    // Revoked while the clock was behind, looked at when it was right again.
    revoke(0, world.now - DAY);
    assert!(due(world.now + 1));
    let list = make(world.now + 1);
    assert_eq!(list.number, 3);
    assert!(!due(world.now + 1));
    revoke(1, world.now + 1);
    assert!(due(world.now + 1), "in the same second");
}

#[test]
fn a_list_of_somebody_else_counts_for_nothing_and_an_altered_one_is_no_list() {
    let (world, other) = (World::new(), World::new());
    let leaf = world.leaf(Profile::User, "alice@alpha.example", &Key::p256());
    // The same names, other keys.
    let foreign = other.authority.crl(&other.issuing.fingerprint(), &other.issuing_key, other.now).unwrap();
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    let chain = anchors.verify(&leaf, &[], world.now, Use::Sign).unwrap();
    assert!(!chain.revocation_checked(), "no list, no claim");
    anchors.add_crl(&foreign.der).unwrap();
    let chain = anchors.verify(&leaf, &[], world.now, Use::Sign).unwrap();
    assert!(!chain.revocation_checked(), "the list of another key is no list of ours");
    for junk in [&foreign.der[..foreign.der.len() - 1], b"", b"junk", world.root.der()] {
        assert!(Anchors::none().add_crl(junk).is_err());
    }
}

#[test]
fn a_fetched_list_counts_for_those_who_name_its_url_and_while_it_is_fresh() {
    let (world, other) = (World::new(), World::new());
    let leaf = world.leaf(Profile::User, "alice@alpha.example", &Key::p256());
    let bad = world.leaf(Profile::User, "eve@alpha.example", &Key::p256());
    let issuing = &world.issuing;
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    let url = leaf.crl_urls().pop().unwrap();
    let list = |world: &World| {
        world.authority.crl(&world.issuing.fingerprint(), &world.issuing_key, world.now).unwrap().der
    };
    let empty = list(&world);
    world.authority.revoke(&bad.fingerprint(), RevocationReason::KeyCompromise, world.now).unwrap();
    let full = list(&world);
    let learn = |url: &str, list: &[u8], at| anchors.learn_crl(url, list, &leaf, issuing, at);
    let verify = |leaf, at| anchors.verify(leaf, &[], at, Use::Sign);
    let about_leaf = |at| verify(&leaf, at).unwrap().unchecked().contains(&leaf);

    assert!(matches!(learn(&url, &list(&other), world.now), Err(CrlError::Foreign)));
    assert!(matches!(learn(&url, &empty, world.now + DAY + 1), Err(CrlError::Stale)));
    assert!(matches!(learn(&url, &empty, world.now - DAY), Err(CrlError::Stale)), "from the future");
    learn("http://elsewhere.example/part-2.crl", &empty, world.now).unwrap();
    assert!(about_leaf(world.now) && !anchors.knows_about(&leaf, issuing, world.now));
    learn(&url, &full, world.now).unwrap();
    assert!(!about_leaf(world.now) && anchors.knows_about(&leaf, issuing, world.now));
    assert!(matches!(verify(&bad, world.now), Err(ChainError::Revoked { .. })));
    // A day later it must be fetched again; until then nobody waits, and what it revoked stays revoked.
    assert!(about_leaf(world.now + DAY + 1) && !anchors.knows_about(&leaf, issuing, world.now + DAY + 1));
    assert!(matches!(verify(&bad, world.now + DAY + 1), Err(ChainError::Revoked { .. })));
    // Anchors that were read anew know it too.
    let mut anew = Anchors::none();
    anew.add_anchor(world.root.clone()).unwrap();
    anew.add_intermediate(world.issuing.clone());
    anew.learn_from(&anchors);
    assert!(matches!(anew.verify(&bad, &[], world.now, Use::Sign), Err(ChainError::Revoked { .. })));
}

#[test]
fn an_issuing_certificate_can_be_revoked_by_the_root_and_takes_its_leaves_along() {
    let world = World::new();
    let leaf = world.leaf(Profile::User, "alice@alpha.example", &Key::p256());
    let issuing = world.issuing.fingerprint();
    world.authority.crl(&issuing, &world.issuing_key, world.now).unwrap();
    world.authority.revoke(&issuing, RevocationReason::CaCompromise, world.now).unwrap();
    world.authority.crl(&world.root.fingerprint(), &world.root_key, world.now).unwrap();
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    let error = anchors.verify(&leaf, &[], world.now, Use::Sign).unwrap_err();
    assert!(matches!(&error, ChainError::Revoked { why, .. } if why == "authority compromised"), "{error}");
    assert!(matches!(world.authority.issuing(), Err(AuthorityError::NoAuthority)));
    let root = world.authority.revoke(&world.root.fingerprint(), RevocationReason::Unspecified, world.now);
    assert!(matches!(root, Err(AuthorityError::Invalid { .. })), "{root:?}");
    let unknown = world.authority.revoke(&"AB".repeat(32), RevocationReason::Unspecified, world.now);
    assert!(matches!(unknown, Err(AuthorityError::Unknown(_))), "{unknown:?}");
}

#[test]
fn a_second_revocation_keeps_the_date_and_can_only_become_a_compromise() {
    let world = World::new();
    let leaf = world.leaf(Profile::User, "alice@alpha.example", &Key::p256()).fingerprint();
    let revoke = |reason, at| world.authority.revoke(&leaf, reason, at).unwrap().revoked;
    assert_eq!(revoke(RevocationReason::Superseded, world.now), Some((world.now, 4)));
    assert_eq!(revoke(RevocationReason::Unspecified, world.now + 5), Some((world.now, 4)));
    assert_eq!(revoke(RevocationReason::KeyCompromise, world.now + 9), Some((world.now, 1)));
}
