//! What a source of accounts says, whatever it is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;

use keydir::Subject;
use serde::{Deserialize, Serialize};

use super::Accounts;

/// Most accounts of one source.
const MOST: usize = 500_000;
/// Most mistakes that are told one by one.
const TOLD: usize = 50;
/// Longest name and longest id, bytes.
const LONGEST: usize = 256;

/// Whether an account may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It may: it has a certificate.
    #[default]
    Active,
    /// It may not: it has none.
    Disabled,
}

/// An account as its source describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The mailbox; the domain in its canonical form, the local part as the source writes it.
    pub address: String,
    /// Name of the person, for people who look at the certificate.
    pub name: Option<String>,
    /// What stays the same when the account is renamed.
    pub id: Option<String>,
    /// Whether it may be used.
    pub standing: Standing,
    /// Its present keys are in wrong hands.
    pub compromised: bool,
}

impl Account {
    /// Whether both are the same account in the same state; the name of the person may differ.
    fn agrees(&self, other: &Self) -> bool {
        (&self.id, self.standing, self.compromised) == (&other.id, other.standing, other.compromised)
    }
}

/// What a source says as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The accounts.
    pub accounts: Accounts,
    /// What was left out, and why: entries of maps and directories that are no mailboxes of ours.
    pub skipped: Vec<String>,
}

/// Why a source cannot be used. Then nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The LDAP server.
    #[error("{what}")]
    Directory {
        /// What was tried.
        what: String,
        /// What came of it.
        source: Box<ldap3::LdapError>,
    },
    /// It answers what it must not.
    #[error("{0}")]
    Malformed(String),
    /// Lines or entries that cannot be meant.
    #[error("{what} has mistakes:\n{}", mistakes.join("\n"))]
    Mistakes {
        /// The source.
        what: String,
        /// Each with its place.
        mistakes: Vec<String>,
    },
    /// It cannot be read.
    #[error("cannot read {what}")]
    Unreadable {
        /// The source.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Collects the accounts of a source and objects to what cannot be meant.
#[derive(Debug)]
pub struct Gathering {
    domains: Vec<String>,
    /// The domain of names without one.
    pub(super) domain: Option<String>,
    accounts: BTreeMap<String, (Account, String)>,
    mistakes: Vec<String>,
    skipped: Vec<String>,
}

impl Gathering {
    /// Takes accounts of these domains; names without a domain belong to `domain`.
    pub fn new(domains: &[String], domain: Option<&str>) -> Self {
        Self {
            domains: domains.iter().filter_map(|domain| canonical_domain(domain)).collect(),
            domain: domain.map(str::to_owned),
            accounts: BTreeMap::new(),
            mistakes: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Takes an account that must be one of ours: whatever is wrong with it is a mistake of the source. `place`
    /// says where it stands: `line 3`.
    pub fn take(&mut self, place: &str, account: Account) {
        match self.checked(account) {
            Ok(account) => self.add(place, account),
            Err(why) => self.mistake(place, &why),
        }
    }

    /// Takes an account of a source that also has other entries: one that is no mailbox of ours is left out.
    pub fn take_ours(&mut self, place: &str, account: Account) {
        match self.checked(account) {
            Ok(account) => self.add(place, account),
            Err(why) => self.skip(place, &why),
        }
    }

    /// Notes a mistake: the source will be refused.
    pub fn mistake(&mut self, place: &str, why: &str) {
        self.mistakes.push(format!("{place}: {why}"));
    }

    /// Notes what is left out.
    pub fn skip(&mut self, place: &str, why: &str) {
        self.skipped.push(format!("{place}: {why}"));
    }

    /// True for a domain of ours.
    pub fn is_own(&self, domain: &str) -> bool {
        canonical_domain(domain).is_some_and(|domain| self.domains.contains(&domain))
    }

    /// What was gathered; `what` is the name of the source.
    ///
    /// # Errors
    /// There were mistakes, or too many accounts.
    pub fn finish(mut self, what: &str) -> Result<Reading, SourceError> {
        if self.accounts.len() > MOST {
            return Err(SourceError::Malformed(format!("{what} has more than {MOST} accounts")));
        }
        if self.mistakes.is_empty() {
            let accounts = self.accounts.into_iter().map(|(key, (account, _))| (key, account)).collect();
            return Ok(Reading { accounts, skipped: self.skipped });
        }
        let more = self.mistakes.len().saturating_sub(TOLD);
        self.mistakes.truncate(TOLD);
        if more > 0 {
            self.mistakes.push(format!("and {more} more"));
        }
        Err(SourceError::Mistakes { what: what.to_owned(), mistakes: self.mistakes })
    }

    fn add(&mut self, place: &str, account: Account) {
        match self.accounts.entry(account.address.to_ascii_lowercase()) {
            Entry::Vacant(vacant) => {
                vacant.insert((account, place.to_owned()));
            }
            // Said twice is said once.
            Entry::Occupied(there) if there.get().0.agrees(&account) => {}
            Entry::Occupied(there) => {
                let why = format!("{} stands also in {}, and differs", account.address, there.get().1);
                self.mistake(place, &why);
            }
        }
    }

    fn checked(&self, mut account: Account) -> Result<Account, String> {
        let Some(Subject::Address(address)) = Subject::address(&account.address) else {
            return Err(format!("{:?} is no mailbox", account.address));
        };
        let ours = address.split_once('@').is_some_and(|(_, domain)| self.is_own(domain));
        if !ours {
            return Err(format!("{address} is outside of the domains of this gateway"));
        }
        for (what, text) in [("name", &account.name), ("id", &account.id)] {
            let fits = |text: &String| text.len() <= LONGEST && !text.chars().any(char::is_control);
            if !text.as_ref().is_none_or(fits) {
                return Err(format!(
                    "the {what} of {address} is longer than {LONGEST} bytes or has control characters"
                ));
            }
        }
        account.address = address;
        Ok(account)
    }
}

fn canonical_domain(text: &str) -> Option<String> {
    match Subject::domain(text) {
        Some(Subject::Domain(domain)) => Some(domain),
        _ => None,
    }
}
