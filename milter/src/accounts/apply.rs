//! Carries plans out: first what is revoked, then its publication, then what is issued.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use keydir::AuthorityError;
use net::Clock;
use program::chain;
use serde::Serialize;

use super::config::{AccountsConfig, UserProfile};
use super::plan::{Certified, Issue, Plan, Revocation};
use super::source::{Reading, SourceError};
use super::state::{State, lock};
use super::{Accounts, AccountsError, notes, read};
use crate::authority::{AuthorityRoom, RoomError, key_kind_of};
use crate::config::Config;

/// The accounts of one gateway and its authority.
#[derive(Debug)]
pub struct Desk<'a> {
    /// The `[accounts]` section.
    pub accounts: &'a AccountsConfig,
    /// The whole configuration.
    pub config: &'a Config,
    /// Who issues and revokes.
    pub room: &'a AuthorityRoom,
    /// The clock.
    pub clock: &'a Clock,
}

/// Something that was just done.
#[derive(Debug)]
pub enum Step<'a> {
    /// A certificate was revoked; how many of how many.
    Revoked(&'a Revocation, usize, usize),
    /// A certificate was issued; how many of how many.
    Issued(&'a Issue, usize, usize),
}

/// What became of a plan.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Certificates revoked.
    pub revoked: usize,
    /// Certificates issued.
    pub issued: usize,
    /// Accounts that cannot have a certificate, and why.
    pub refused: Vec<Refused>,
    /// Certificates that there was no time for.
    pub left: usize,
}

/// An account that cannot have a certificate.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The mailbox.
    pub address: String,
    /// Why.
    pub why: String,
}

impl Desk<'_> {
    /// Keeps others away while the result lives.
    ///
    /// # Errors
    /// [`AccountsError::Busy`] if another process works on accounts.
    pub fn lock(&self) -> Result<File, AccountsError> {
        lock(&self.config.gateway.state.join("accounts.lock"))?.ok_or(AccountsError::Busy)
    }

    /// Reads the source. Blocking.
    ///
    /// # Errors
    /// See [`read`].
    pub fn read(&self) -> Result<Reading, SourceError> {
        read(self.accounts, self.config)
    }

    /// What is known.
    ///
    /// # Errors
    /// The notes cannot be read.
    pub fn state(&self) -> Result<State, AccountsError> {
        Ok(State::load(&self.notes())?)
    }

    /// The users' certificates that the authority issued; those that a crash may have left half made are looked at.
    ///
    /// # Errors
    /// There is no authority yet, or its state cannot be read.
    pub fn certificates(&self, state: &State) -> Result<Vec<Certified>, AccountsError> {
        let (authority, now) = (&self.room.authority, self.clock.now());
        authority.root().map_err(RoomError::from)?;
        let issued = authority.issued(None).map_err(RoomError::from)?;
        let mut certificates: Vec<Certified> = issued.iter().filter_map(Certified::of).collect();
        for certificate in certificates.iter_mut().filter(|certificate| certificate.is_live(now)) {
            if state.issuing.contains(&certificate.address) {
                certificate.lost = !self.room.keeps(&certificate.fingerprint)?;
            }
        }
        Ok(certificates)
    }

    /// Compares a source with what is.
    ///
    /// # Errors
    /// What is cannot be read.
    pub fn plan(&self, accounts: &Accounts) -> Result<Plan, AccountsError> {
        let state = self.state()?;
        let certificates = self.certificates(&state)?;
        Ok(Plan::compute(accounts, &state, &certificates, self.profile(), self.clock.now()))
    }

    /// Carries a plan out, as far as there is time. Call it with the lock held.
    ///
    /// # Errors
    /// Something failed that concerns all accounts; the next run completes what was begun.
    pub fn carry_out(
        &self,
        plan: &Plan,
        until: Option<Instant>,
        told: &mut dyn FnMut(Step<'_>),
    ) -> Result<Outcome, AccountsError> {
        // Keys that the authority did not issue go with their owner, too; if this is the last thing done, it is done again.
        self.room.disown(&plan.vacated())?;
        // Before anything is done: what must be done is known, whatever happens now.
        plan.next.save(&self.notes())?;
        let mut outcome = Outcome::default();
        for (fingerprint, revocation) in &plan.revocations {
            self.room.retire(fingerprint, revocation.reason, self.clock.now())?;
            outcome.revoked += 1;
            told(Step::Revoked(revocation, outcome.revoked, plan.revocations.len()));
        }
        let mut known = plan.next.clone();
        if !plan.revocations.is_empty() {
            self.room.publish_due(self.clock.now())?;
            known.retiring.clear();
            known.save(&self.notes())?;
        }
        for (index, issue) in plan.issues.iter().enumerate() {
            if until.is_some_and(|until| Instant::now() > until) {
                outcome.left = plan.issues.len() - index;
                break;
            }
            self.issue(issue, &mut outcome)?;
            told(Step::Issued(issue, index + 1, plan.issues.len()));
        }
        if !known.issuing.is_empty() {
            known.issuing.clear();
            known.save(&self.notes())?;
        }
        Ok(outcome)
    }

    fn issue(&self, issue: &Issue, outcome: &mut Outcome) -> Result<(), AccountsError> {
        let kind = key_kind_of(issue.profile);
        let name = issue.name.as_deref();
        match self.room.issue(issue.profile, &issue.address, name, kind, self.clock.now()) {
            Ok(_) => outcome.issued += 1,
            // The fault of this account alone.
            Err(RoomError::Authority(
                error @ (AuthorityError::Invalid { .. }
                | AuthorityError::OutsideDomains(_)
                | AuthorityError::Unfit(_)
                | AuthorityError::Encoding(_)
                | AuthorityError::Made(_)),
            )) => outcome.refused.push(Refused { address: issue.address.clone(), why: chain(&error) }),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn profile(&self) -> UserProfile {
        self.accounts.profile
    }

    fn notes(&self) -> PathBuf {
        notes(&self.config.gateway.state)
    }
}
