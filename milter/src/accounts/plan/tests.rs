use proptest::prelude::*;

use super::*;
use crate::accounts::source::{Account, Standing};

const NOW: i64 = 1_800_000_000;
const LIFE: i64 = 90 * 86_400;

/// The world that a plan is carried out in: the authority and what is known.
#[derive(Clone, Debug, Default)]
struct World {
    state: State,
    certificates: Vec<Certified>,
}

impl World {
    fn plan(&self, source: &Accounts, profile: UserProfile) -> Plan {
        Plan::compute(source, &self.state, &self.certificates, profile, NOW)
    }

    /// Carries out a plan as `apply` does, up to a crash after so many steps; true if it came to its end.
    fn carry_out(&mut self, plan: &Plan, mut steps: usize) -> bool {
        let mut step = || {
            steps = steps.saturating_sub(1);
            steps > 0
        };
        if !step() {
            return false;
        }
        self.state = plan.next.clone();
        for (fingerprint, revocation) in &plan.revocations {
            if !step() {
                return false;
            }
            let certificate = self.certificates.iter_mut().find(|c| c.fingerprint == *fingerprint).unwrap();
            certificate.revoked = Some(match revocation.reason {
                RevocationReason::KeyCompromise => 1,
                RevocationReason::Superseded => 4,
                _ => 5,
            });
        }
        if !step() {
            return false;
        }
        self.state.retiring.clear();
        for issue in &plan.issues {
            if !step() {
                return false;
            }
            self.certificates.push(Certified {
                fingerprint: format!("{:04}", self.certificates.len()),
                address: issue.address.to_ascii_lowercase(),
                profile: issue.profile,
                not_after: NOW + LIFE,
                revoked: None,
                lost: false,
            });
            if !step() {
                // The power failed before the key was kept.
                self.certificates.last_mut().unwrap().lost = true;
                return false;
            }
        }
        true
    }

    fn sync(&mut self, source: &Accounts) -> Plan {
        let plan = self.plan(source, UserProfile::User);
        assert!(self.carry_out(&plan, usize::MAX));
        assert!(self.plan(source, UserProfile::User).is_empty());
        plan
    }

    fn live(&self, address: &str) -> Vec<&Certified> {
        self.certificates.iter().filter(|c| c.address == address && c.is_live(NOW)).collect()
    }
}

/// Accounts as the file has them: `bob 7 compromised`.
fn source(lines: &[&str]) -> Accounts {
    let account = |line: &&str| {
        let mut words = line.split(' ');
        let mut account =
            Account { address: format!("{}@beta.example", words.next().unwrap()), ..Account::default() };
        for word in words {
            match word {
                "disabled" => account.standing = Standing::Disabled,
                "compromised" => account.compromised = true,
                id => account.id = Some(id.to_owned()),
            }
        }
        (account.address.clone(), account)
    };
    lines.iter().map(account).collect()
}

fn reasons(plan: &Plan) -> Vec<(&str, RevocationReason)> {
    plan.revocations.values().map(|r| (r.address.as_str(), r.reason)).collect()
}

fn changes(plan: &Plan) -> Vec<(&str, &What)> {
    plan.changes.iter().map(|change| (change.address.as_str(), &change.what)).collect()
}

const BOB: &str = "bob@beta.example";
const EVE: &str = "eve@beta.example";

#[test]
fn who_comes_is_certified_and_who_goes_is_revoked() {
    let mut world = World::default();
    let plan = world.sync(&source(&["bob", "eve"]));
    assert_eq!(changes(&plan), [(BOB, &What::Create), (EVE, &What::Create)]);
    assert_eq!((plan.issues.len(), plan.lost), (2, 0));
    let plan = world.sync(&source(&["bob"]));
    assert_eq!(changes(&plan), [(EVE, &What::Remove)]);
    assert_eq!(reasons(&plan), [(EVE, RevocationReason::CessationOfOperation)]);
    assert_eq!((plan.active, plan.lost), (2, 1));
    let plan = world.sync(&source(&["bob disabled"]));
    assert_eq!(changes(&plan), [(BOB, &What::Disable)]);
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::CessationOfOperation)]);
    let plan = world.sync(&source(&["bob"]));
    assert_eq!(changes(&plan), [(BOB, &What::Enable)]);
    assert_eq!(plan.issues.len(), 1);
}

#[test]
fn who_is_renamed_keeps_nothing_of_the_old_name() {
    let mut world = World::default();
    world.sync(&source(&["bob 7"]));
    let plan = world.sync(&source(&["rob 7"]));
    assert_eq!(changes(&plan), [("rob@beta.example", &What::Rename { from: BOB.to_owned() })]);
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::Superseded)]);
    assert!(world.live(BOB).is_empty());
    assert_eq!(world.live("rob@beta.example").len(), 1);
    // Without an id it is one account less and one more.
    world.sync(&source(&["eve"]));
    let plan = world.sync(&source(&["ava"]));
    assert_eq!(changes(&plan), [(EVE, &What::Remove), ("ava@beta.example", &What::Create)]);
}

#[test]
fn an_address_with_a_new_owner_gets_a_new_certificate() {
    let mut world = World::default();
    world.sync(&source(&["bob 1", "eve 2"]));
    // Both are renamed to each other.
    let plan = world.sync(&source(&["bob 2", "eve 1"]));
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::Superseded), (EVE, RevocationReason::Superseded)]);
    assert_eq!((plan.issues.len(), plan.lost), (2, 2));
    let plan = world.sync(&source(&["bob 3", "eve 1"]));
    assert_eq!(changes(&plan), [(BOB, &What::Replace)]);
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::CessationOfOperation)]);
    // A source that begins or ceases to give ids changes nobody.
    assert!(world.plan(&source(&["bob", "eve"]), UserProfile::User).is_empty());
}

#[test]
fn a_compromised_key_is_replaced_once() {
    let mut world = World::default();
    world.sync(&source(&["bob"]));
    let plan = world.sync(&source(&["bob compromised"]));
    assert_eq!(changes(&plan), [(BOB, &What::Rekey)]);
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::KeyCompromise)]);
    assert_eq!((plan.issues.len(), plan.lost), (1, 0));
    world.sync(&source(&["bob"]));
    let plan = world.sync(&source(&["bob compromised"]));
    assert_eq!((plan.revocations.len(), plan.issues.len()), (1, 1), "marked again");
    // Also what was already revoked for a lesser reason.
    let mut world = World::default();
    world.sync(&source(&["bob"]));
    world.sync(&source(&["bob disabled"]));
    let plan = world.sync(&source(&["bob disabled compromised"]));
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::KeyCompromise)]);
    assert!(plan.issues.is_empty());
}

#[test]
fn separate_certificates_replace_the_single_one() {
    let mut world = World::default();
    world.sync(&source(&["bob"]));
    let plan = world.plan(&source(&["bob"]), UserProfile::Separate);
    let profiles: Vec<Profile> = plan.issues.iter().map(|issue| issue.profile).collect();
    assert_eq!(profiles, [Profile::UserSign, Profile::UserEncrypt]);
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::Superseded)]);
    assert!(world.carry_out(&plan, usize::MAX));
    assert!(world.plan(&source(&["bob"]), UserProfile::Separate).is_empty());
}

#[test]
fn what_others_issued_stays_unless_the_source_disables_it() {
    let hand = Certified {
        fingerprint: "H".to_owned(),
        address: BOB.to_owned(),
        profile: Profile::User,
        not_after: NOW + LIFE,
        revoked: None,
        lost: false,
    };
    let world = World { certificates: vec![hand], ..World::default() };
    assert!(world.plan(&source(&[]), UserProfile::User).is_empty());
    let adopted = world.plan(&source(&["bob"]), UserProfile::User);
    assert!(adopted.issues.is_empty() && adopted.revocations.is_empty());
    let disabled = world.plan(&source(&["bob disabled"]), UserProfile::User);
    assert_eq!(reasons(&disabled), [(BOB, RevocationReason::CessationOfOperation)]);
}

#[test]
fn expired_and_revoked_certificates_are_replaced() {
    let mut world = World::default();
    world.sync(&source(&["bob", "eve"]));
    world.certificates[0].not_after = NOW;
    world.certificates[1].revoked = Some(0);
    let plan = world.sync(&source(&["bob", "eve"]));
    assert_eq!(changes(&plan), [(BOB, &What::Complete), (EVE, &What::Complete)]);
    assert!(plan.revocations.is_empty());
}

#[test]
fn a_certificate_renewed_during_a_crash_is_revoked_too() {
    let mut world = World::default();
    world.sync(&source(&["bob", "eve"]));
    let plan = world.plan(&source(&["bob"]), UserProfile::User);
    // The intention is on disk; then the power fails, and later the renewal comes first.
    world.carry_out(&plan, 2);
    let renewed = Certified { fingerprint: "R".to_owned(), ..world.live(EVE)[0].clone() };
    world.certificates.push(renewed);
    world.sync(&source(&["bob"]));
    assert!(world.live(EVE).is_empty());
}

#[test]
fn a_certificate_whose_key_a_crash_lost_is_replaced() {
    let mut world = World::default();
    let plan = world.plan(&source(&["bob"]), UserProfile::User);
    // The intention, the end of revocations, the certificate; then the power fails.
    assert!(!world.carry_out(&plan, 4));
    assert!(world.live(BOB)[0].lost && world.state.issuing.contains(BOB));
    let plan = world.sync(&source(&["bob"]));
    assert_eq!(reasons(&plan), [(BOB, RevocationReason::Superseded)]);
    assert!(!world.live(BOB)[0].lost);
}

#[test]
fn a_great_loss_is_noticed() {
    let mut world = World::default();
    let all = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    world.sync(&source(&all));
    let lost = |lines: &[&str]| world.plan(&source(lines), UserProfile::User).loses_more_than(20);
    assert!(!lost(&all[2..]), "two of ten are 20 %");
    assert!(lost(&all[3..]));
    assert!(lost(&[]));
    assert!(lost(&["a disabled", "b disabled", "c disabled", "d", "e", "f", "g", "h", "i", "j"]));
    assert!(!lost(&["a compromised", "b compromised", "c compromised", "d", "e", "f", "g", "h", "i", "j"]));
    let mut small = World::default();
    small.sync(&source(&["a", "b"]));
    assert!(!small.plan(&source(&["a"]), UserProfile::User).loses_more_than(20), "one may always go");
    small.sync(&source(&["a"]));
    assert!(small.plan(&source(&[]), UserProfile::User).loses_more_than(20), "unless it is the last");
    assert!(!World::default().plan(&source(&[]), UserProfile::User).loses_more_than(0), "nothing to lose");
}

fn accounts() -> impl Strategy<Value = Accounts> {
    let account = ("[a-d]", proptest::option::of("[1-4]"), any::<bool>(), any::<bool>()).prop_map(
        |(local, id, disabled, compromised)| Account {
            address: format!("{local}@beta.example"),
            name: None,
            id,
            standing: if disabled { Standing::Disabled } else { Standing::Active },
            compromised,
        },
    );
    proptest::collection::vec(account, 0..5)
        .prop_map(|list| list.into_iter().map(|account| (account.address.clone(), account)).collect())
}

proptest! {
    #[test]
    fn after_any_history_and_any_crash_the_source_is_obeyed(
        history in proptest::collection::vec((accounts(), 1_usize..12, any::<bool>()), 1..6),
    ) {
        let mut world = World::default();
        let profile = |separate: bool| if separate { UserProfile::Separate } else { UserProfile::User };
        for (source, steps, separate) in &history {
            let plan = world.plan(source, profile(*separate));
            world.carry_out(&plan, *steps);
        }
        let (source, _, separate) = history.last().unwrap();
        let profile = profile(*separate);
        let plan = world.plan(source, profile);
        prop_assert!(world.carry_out(&plan, usize::MAX));
        prop_assert!(world.plan(source, profile).is_empty(), "idempotent");
        for (key, account) in source {
            let live = world.live(key);
            let has: Vec<Profile> = live.iter().map(|certificate| certificate.profile).collect();
            match account.standing {
                Standing::Disabled => prop_assert!(has.is_empty(), "{key}: {has:?}"),
                Standing::Active => {
                    for wanted in profile.profiles() {
                        prop_assert_eq!(has.iter().filter(|p| *p == wanted).count(), 1, "{}: {:?}", key, has);
                    }
                }
            }
        }
        for certificate in &world.certificates {
            prop_assert!(!certificate.is_live(NOW) || !certificate.lost);
            prop_assert!(!certificate.is_live(NOW) || source.contains_key(&certificate.address));
        }
    }

    #[test]
    fn the_order_of_certificates_means_nothing(source in accounts(), later in accounts()) {
        let mut world = World::default();
        world.carry_out(&world.plan(&source, UserProfile::User), usize::MAX);
        let plan = world.plan(&later, UserProfile::User);
        world.certificates.reverse();
        prop_assert_eq!(plan, world.plan(&later, UserProfile::User));
    }
}
