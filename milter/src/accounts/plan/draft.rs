//! Makes a plan, step by step.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use keydir::{Profile, RevocationReason};

use super::{Certified, Change, Issue, Plan, Revocation, What};
use crate::accounts::Accounts;
use crate::accounts::config::UserProfile;
use crate::accounts::source::{Account, Standing};
use crate::accounts::state::{Known, Stage, State};

/// A plan that is being made.
pub(super) struct Draft<'a> {
    source: &'a Accounts,
    state: &'a State,
    now: i64,
    certificates: HashMap<&'a str, Vec<&'a Certified>>,
    /// Old address of a new one.
    renamed: BTreeMap<&'a str, &'a str>,
    /// The old ones.
    moved: BTreeSet<&'a str>,
    plan: Plan,
}

impl<'a> Draft<'a> {
    /// Begins with what is known; nothing is planned yet.
    pub(super) fn new(
        source: &'a Accounts,
        state: &'a State,
        certificates: &'a [Certified],
        now: i64,
    ) -> Self {
        let mut by_address: HashMap<&str, Vec<&Certified>> = HashMap::new();
        for certificate in certificates {
            by_address.entry(&certificate.address).or_default().push(certificate);
        }
        let in_use = |account: &Account| account.standing == Standing::Active;
        let plan = Plan {
            active: state.accounts.values().filter(|known| known.stage == Stage::Active).count(),
            empty: !source.values().any(in_use),
            ..Plan::default()
        };
        let renamed = renames(source, state);
        let moved = renamed.values().copied().collect();
        Self { source, state, now, certificates: by_address, renamed, moved, plan }
    }

    /// What an earlier run wrote down and did not do, or not to its end.
    pub(super) fn go_on(&mut self) {
        let all: Vec<&Certified> = self.certificates.values().flatten().copied().collect();
        for certificate in all {
            if let Some(reason) = self.state.retiring.get(&certificate.fingerprint) {
                self.revoke(certificate, *reason);
            }
            if certificate.lost && certificate.is_live(self.now) {
                self.revoke(certificate, RevocationReason::Superseded);
            }
        }
    }

    /// What became of the accounts that are known.
    pub(super) fn compare_known(&mut self) {
        for (key, known) in &self.state.accounts {
            match self.source.get(key) {
                Some(account) if same(known, account) => self.stays(key, known, account),
                other => self.leaves(key, known, other.is_some()),
            }
        }
    }

    /// An account that is known and still there.
    fn stays(&mut self, key: &str, known: &Known, account: &Account) {
        let live = self.has_live(key);
        match (known.stage, account.standing) {
            (Stage::Active, Standing::Active) => {}
            (Stage::Disabled, Standing::Active) => self.change(key, What::Enable),
            (Stage::Gone, Standing::Active) => self.change(key, What::Create),
            (stage, Standing::Disabled) => {
                if stage == Stage::Active {
                    self.plan.lost += 1;
                }
                if stage == Stage::Active || live {
                    self.change(key, What::Disable);
                }
                self.retire(key, RevocationReason::CessationOfOperation);
            }
        }
        if account.compromised && !known.compromised {
            self.change(key, What::Rekey);
            self.compromise(key);
        }
    }

    /// An account that is known and no longer there, or no longer under this address.
    fn leaves(&mut self, key: &str, known: &Known, taken_over: bool) {
        let renamed = self.moved.contains(key);
        if known.stage == Stage::Active {
            self.plan.lost += 1;
            if !renamed && !taken_over {
                self.change(key, What::Remove);
            }
        }
        let reason = match renamed {
            true => RevocationReason::Superseded,
            false => RevocationReason::CessationOfOperation,
        };
        self.retire(key, reason);
    }

    /// What the source says of accounts that are not known.
    pub(super) fn compare_source(&mut self) {
        for (key, account) in self.source {
            let known = self.state.accounts.get(key);
            if known.is_some_and(|known| same(known, account)) {
                continue;
            }
            match account.standing {
                Standing::Active => {
                    let what = match (self.renamed.get(key.as_str()), known) {
                        (Some(from), _) => What::Rename { from: (*from).to_owned() },
                        (None, Some(_)) => What::Replace,
                        (None, None) => What::Create,
                    };
                    self.change(key, what);
                }
                Standing::Disabled => {
                    if self.has_live(key) || known.is_some_and(|known| known.stage == Stage::Active) {
                        self.change(key, What::Disable);
                    }
                    self.retire(key, RevocationReason::CessationOfOperation);
                }
            }
            if account.compromised {
                self.change(key, What::Rekey);
                self.compromise(key);
            }
        }
    }

    /// Another setting of `profile` replaces the certificates of the setting before.
    pub(super) fn change_profile(&mut self, profile: UserProfile) {
        let Some(before) = self.state.profile.filter(|before| *before != profile) else { return };
        for key in self.source.keys() {
            for certificate in self.live(key) {
                if before.profiles().contains(&certificate.profile) {
                    self.revoke(certificate, RevocationReason::Superseded);
                }
            }
        }
    }

    /// Whoever is in use and has no certificate gets one.
    pub(super) fn issue_missing(&mut self, profile: UserProfile) {
        let told: BTreeSet<String> = self.plan.changes.iter().map(|change| change.address.clone()).collect();
        for (key, account) in self.source.iter().filter(|(_, account)| account.standing == Standing::Active) {
            let has: Vec<Profile> = self.live(key).iter().map(|certificate| certificate.profile).collect();
            let missing = profile.profiles().iter().filter(|profile| !has.contains(profile));
            let before = self.plan.issues.len();
            self.plan.issues.extend(missing.map(|profile| Issue {
                address: account.address.clone(),
                name: account.name.clone(),
                profile: *profile,
            }));
            if self.plan.issues.len() > before && !told.contains(key) {
                self.change(key, What::Complete);
            }
        }
    }

    /// The plan, with what is known when it is carried out.
    pub(super) fn finish(mut self, profile: UserProfile) -> Plan {
        let next = &mut self.plan.next;
        next.profile = Some(profile);
        for (key, account) in self.source {
            let known = self.state.accounts.get(key).filter(|known| same(known, account));
            let id = account.id.clone().or_else(|| known.and_then(|known| known.id.clone()));
            let stage = match account.standing {
                Standing::Active => Stage::Active,
                Standing::Disabled => Stage::Disabled,
            };
            next.accounts.insert(key.clone(), Known { id, stage, compromised: account.compromised });
        }
        // Remembered until nothing of it is left: a certificate may have been renewed in the meantime.
        for (key, known) in &self.state.accounts {
            let all = self.certificates.get(key.as_str()).into_iter().flatten();
            if !self.source.contains_key(key)
                && all.into_iter().any(|certificate| certificate.is_live(self.now))
            {
                let gone = Known { stage: Stage::Gone, ..known.clone() };
                next.accounts.insert(key.clone(), gone);
            }
        }
        next.issuing = self.plan.issues.iter().map(|issue| issue.address.to_ascii_lowercase()).collect();
        next.retiring = self
            .plan
            .revocations
            .iter()
            .map(|(print, revocation)| (print.clone(), revocation.reason))
            .collect();
        self.plan
    }

    /// The certificates of an address that can be used and are not to be revoked.
    fn live(&self, key: &str) -> Vec<&'a Certified> {
        let all = self.certificates.get(key).into_iter().flatten().copied();
        all.filter(|c| c.is_live(self.now) && !self.plan.revocations.contains_key(&c.fingerprint)).collect()
    }

    fn has_live(&self, key: &str) -> bool {
        !self.live(key).is_empty()
    }

    fn retire(&mut self, key: &str, reason: RevocationReason) {
        for certificate in self.live(key) {
            self.revoke(certificate, reason);
        }
    }

    /// Every certificate that has not expired, also one that was revoked for a lesser reason.
    fn compromise(&mut self, key: &str) {
        let all: Vec<&Certified> = self.certificates.get(key).into_iter().flatten().copied().collect();
        let now = self.now;
        for certificate in all.into_iter().filter(|certificate| certificate.not_after > now) {
            self.revoke(certificate, RevocationReason::KeyCompromise);
        }
    }

    fn revoke(&mut self, certificate: &Certified, reason: RevocationReason) {
        let compromise = reason == RevocationReason::KeyCompromise;
        let done = if compromise { certificate.is_compromised() } else { certificate.revoked.is_some() };
        if done {
            return;
        }
        let revocation = Revocation { address: certificate.address.clone(), reason };
        let entry = self.plan.revocations.entry(certificate.fingerprint.clone());
        entry
            .and_modify(|there| {
                if compromise {
                    there.reason = reason
                }
            })
            .or_insert(revocation);
    }

    fn change(&mut self, key: &str, what: What) {
        self.plan.changes.push(Change { address: key.to_owned(), what });
    }
}

/// Whether an account of the source is the one that is known under its address: ids that are not given do not
/// contradict each other.
fn same(known: &Known, account: &Account) -> bool {
    match (&known.id, &account.id) {
        (Some(known), Some(id)) => known == id,
        _ => true,
    }
}

/// Which new address replaces which old one: those of one id, if there is exactly one of each.
fn renames<'a>(source: &'a Accounts, state: &'a State) -> BTreeMap<&'a str, &'a str> {
    let mut moves: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for (key, known) in state.accounts.iter().filter(|(_, known)| known.stage == Stage::Active) {
        let stays = source.get(key).is_some_and(|account| same(known, account));
        if let (Some(id), false) = (&known.id, stays) {
            moves.entry(id).or_default().0.push(key);
        }
    }
    for (key, account) in source.iter().filter(|(_, account)| account.standing == Standing::Active) {
        let known =
            state.accounts.get(key).is_some_and(|known| known.stage != Stage::Gone && same(known, account));
        if let (Some(id), false) = (&account.id, known) {
            moves.entry(id).or_default().1.push(key);
        }
    }
    let single = |(old, new): (Vec<&'a str>, Vec<&'a str>)| match (old.as_slice(), new.as_slice()) {
        ([old], [new]) => Some((*new, *old)),
        _ => None,
    };
    moves.into_values().filter_map(single).collect()
}
