//! What is to be done so that exactly the accounts in use have certificates. Pure: no clock, no input, no output.

mod draft;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use keydir::{Issued, Profile, RevocationReason};
use serde::Serialize;

use self::draft::Draft;
use super::Accounts;
use super::config::UserProfile;
use super::state::State;

/// CRLReason of the two compromises (RFC 5280 section 5.3.1).
const COMPROMISES: [u32; 2] = [1, 2];

/// A certificate of a user that the local authority issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// SHA-256, upper-case hexadecimal.
    pub fingerprint: String,
    /// The mailbox in lower case.
    pub address: String,
    /// What it is for.
    pub profile: Profile,
    /// Unix seconds.
    pub not_after: i64,
    /// The CRLReason if it is revoked.
    pub revoked: Option<u32>,
    /// A crash kept its key from custody or itself from the store.
    pub lost: bool,
}

impl Certified {
    /// `None` if it is not a user's.
    pub fn of(issued: &Issued) -> Option<Self> {
        let user = matches!(issued.profile, Profile::User | Profile::UserSign | Profile::UserEncrypt);
        user.then(|| Self {
            fingerprint: issued.fingerprint.clone(),
            address: issued.subject.clone(),
            profile: issued.profile,
            not_after: issued.certificate.not_after(),
            revoked: issued.revoked.map(|(_, reason)| reason),
            lost: false,
        })
    }

    /// Whether it can be used at `now`.
    pub fn is_live(&self, now: i64) -> bool {
        self.revoked.is_none() && self.not_after > now
    }

    fn is_compromised(&self) -> bool {
        self.revoked.is_some_and(|reason| COMPROMISES.contains(&reason))
    }
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What happened to accounts, for people.
    pub changes: Vec<Change>,
    /// Certificates to revoke, by fingerprint.
    pub revocations: BTreeMap<String, Revocation>,
    /// Certificates to issue.
    pub issues: Vec<Issue>,
    /// Accounts that were in use before.
    pub active: usize,
    /// Accounts among them whose certificates are revoked although nobody called them compromised.
    pub lost: usize,
    /// The source names no account in use.
    pub empty: bool,
    /// What is known afterwards.
    #[serde(skip)]
    pub next: State,
}

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The mailbox.
    pub address: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum What {
    /// A certificate is missing, revoked or expired.
    Complete,
    /// It is new.
    Create,
    /// It must not be used any more.
    Disable,
    /// It may be used again.
    Enable,
    /// Its keys are in wrong hands.
    Rekey,
    /// The source does not know it any more.
    Remove,
    /// It had another address.
    Rename {
        /// That one.
        from: String,
    },
    /// The address belongs to another account now.
    Replace,
}

impl Plan {
    /// Addresses that are nobody's any more, or somebody else's.
    pub fn vacated(&self) -> Vec<&str> {
        self.changes
            .iter()
            .filter_map(|change| match &change.what {
                What::Remove | What::Replace => Some(change.address.as_str()),
                What::Rename { from } => Some(from.as_str()),
                What::Complete | What::Create | What::Disable | What::Enable | What::Rekey => None,
            })
            .collect()
    }
}

/// A certificate to revoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// The mailbox.
    pub address: String,
    /// Why.
    pub reason: RevocationReason,
}

/// A certificate to issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// The mailbox.
    pub address: String,
    /// Name of the person.
    pub name: Option<String>,
    /// What it is for.
    pub profile: Profile,
}

impl Plan {
    /// Compares what the source says with what is known and what was issued.
    pub fn compute(
        source: &Accounts,
        state: &State,
        certificates: &[Certified],
        profile: UserProfile,
        now: i64,
    ) -> Self {
        let mut draft = Draft::new(source, state, certificates, now);
        draft.go_on();
        draft.compare_known();
        draft.compare_source();
        draft.change_profile(profile);
        draft.issue_missing(profile);
        draft.finish(profile)
    }

    /// Nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.revocations.is_empty() && self.issues.is_empty()
    }

    /// Whether more than this share of the accounts, in percent, loses its certificates. One account alone may
    /// always go, unless it was the last one.
    pub fn loses_more_than(&self, share: u8) -> bool {
        self.lost * 100 > usize::from(share) * self.active && (self.lost > 1 || self.empty)
    }
}
