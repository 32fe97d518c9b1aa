use proptest::prelude::*;

use super::*;

fn fingerprint() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["A", "B", "C", "D"]).prop_map(str::to_owned)
}

fn origin() -> impl Strategy<Value = Origin> {
    prop::sample::select(Origin::ALL.to_vec())
}

fn first_contact() -> impl Strategy<Value = FirstContact> {
    prop::sample::select(vec![FirstContact::Off, FirstContact::Hold, FirstContact::Tofu])
}

fn rules() -> impl Strategy<Value = Rules> {
    (first_contact(), first_contact()).prop_map(|(harvested, key_servers)| Rules { harvested, key_servers })
}

fn sightings() -> impl Strategy<Value = Vec<Sighting>> {
    let one = (fingerprint(), origin(), 1..50i64, 0..50i64, any::<bool>());
    let one = one.prop_map(|(fingerprint, origin, first, later, revoked)| Sighting {
        fingerprint,
        origin,
        first,
        last: first + later,
        revoked,
    });
    prop::collection::vec(one, 0..5)
}

proptest! {
    #[test]
    fn an_unrelated_change_is_never_used(
        seen in sightings(), new in fingerprint(), origin in origin(), rules in rules(),
        succeeds in prop::collection::vec(fingerprint(), 0..3),
    ) {
        let offer = Offer { fingerprint: &new, origin, succeeds: &succeeds, announced: false };
        let decision = decide(&seen, &offer, &rules);
        prop_assert_eq!(&decision, &decide(&seen, &offer, &rules));
        let Some(current) = current(&seen) else { return Ok(()) };
        if current.fingerprint != new && !succeeds.contains(&current.fingerprint) {
            prop_assert!(!matches!(decision, Decision::Use(_)), "{:?}", decision);
        }
    }

    #[test]
    fn what_was_revoked_is_never_used(
        mut seen in sightings(), at in any::<prop::sample::Index>(), origin in origin(), rules in rules(),
        announced in any::<bool>(), succeeds in prop::collection::vec(fingerprint(), 0..4),
    ) {
        prop_assume!(!seen.is_empty());
        let at = at.index(seen.len());
        seen[at].revoked = true;
        let new = seen[at].fingerprint.clone();
        let offer = Offer { fingerprint: &new, origin, succeeds: &succeeds, announced };
        prop_assert!(matches!(decide(&seen, &offer, &rules), Decision::Refuse(_)));
    }

    #[test]
    fn whoever_is_off_brings_nothing_new(
        seen in sightings(), new in fingerprint(), key_server in any::<bool>(), announced in any::<bool>(),
        succeeds in prop::collection::vec(fingerprint(), 0..4),
    ) {
        let origin = if key_server { Origin::Hkp } else { Origin::Harvested };
        let rules = Rules { harvested: FirstContact::Off, key_servers: FirstContact::Off };
        let offer = Offer { fingerprint: &new, origin, succeeds: &succeeds, announced };
        let decision = decide(&seen, &offer, &rules);
        prop_assert!(matches!(decision, Decision::Refuse(_) | Decision::Use(Grounds::Same)), "{:?}", decision);
    }

    #[test]
    fn first_contacts_follow_the_rules(new in fingerprint(), origin in origin(), rules in rules()) {
        let offer = Offer { fingerprint: &new, origin, succeeds: &[], announced: false };
        let decision = decide(&[], &offer, &rules);
        if speaks_for_the_domain(origin) {
            prop_assert_eq!(decision, Decision::Use(Grounds::First));
        } else {
            let expected = match rules.first_contact(origin) {
                FirstContact::Off => Decision::Refuse("certificates of this origin are not used"),
                FirstContact::Hold => Decision::Hold { old: None, new },
                FirstContact::Tofu => Decision::Use(Grounds::First),
            };
            prop_assert_eq!(decision, expected);
        }
    }

    #[test]
    fn a_hold_names_both(seen in sightings(), new in fingerprint(), origin in origin(), rules in rules()) {
        let offer = Offer { fingerprint: &new, origin, succeeds: &[], announced: false };
        if let Decision::Hold { old, new: held } = decide(&seen, &offer, &rules) {
            prop_assert_eq!(held, new.clone());
            prop_assert_eq!(old, current(&seen).map(|current| current.fingerprint.clone()));
        }
    }
}

#[test]
fn origins_rank_as_documented() {
    let ranked = [
        Origin::Imported,
        Origin::Peer,
        Origin::Wkd,
        Origin::Dane,
        Origin::Ldap,
        Origin::Harvested,
        Origin::Hkp,
    ];
    assert!(ranked.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
    assert_eq!(rank(Origin::Generated), rank(Origin::Imported));
}

#[test]
fn what_was_only_heard_to_be_revoked_was_never_in_use() {
    let fingerprint = "A".to_owned();
    let heard = Sighting { fingerprint, origin: Origin::Wkd, first: 5, last: 0, revoked: true };
    let offer = Offer { fingerprint: "B", origin: Origin::Wkd, succeeds: &[], announced: false };
    assert_eq!(decide(&[heard], &offer, &Rules::default()), Decision::Use(Grounds::First));
}
