//! What was issued stays usable: renewed in time, and whole after a crash.

use std::collections::HashSet;
use std::sync::PoisonError;

use keydir::{Certificate, Issued, Profile};
use sealing::custody::CustodyError;

use super::{AuthorityRoom, RoomError, key_kind_of};

impl AuthorityRoom {
    /// Puts what was issued, with its key in custody, into the store if a crash in the middle of
    /// [`AuthorityRoom::issue`] kept it from there. `whole` remembers what need not be looked at again.
    ///
    /// # Errors
    /// That cannot be told or done now.
    pub fn complete(&self, whole: &mut HashSet<String>, now: i64) -> Result<Vec<Certificate>, RoomError> {
        let mut completed = Vec::new();
        // What this process is just issuing needs no help.
        let _issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = self.authority.in_use(now)?;
        whole.retain(|fingerprint| in_use.binary_search(fingerprint).is_ok());
        for fingerprint in in_use {
            if whole.contains(&fingerprint) {
                continue;
            }
            if self.keys.store.get(&fingerprint)?.is_none()
                && let Some(certificate) = self.complete_one(&fingerprint, now)?
            {
                completed.push(certificate);
            }
            whole.insert(fingerprint);
        }
        Ok(completed)
    }

    /// Nothing for what does not belong into the store, or whose key its holder has.
    fn complete_one(&self, fingerprint: &str, now: i64) -> Result<Option<Certificate>, RoomError> {
        let Some(issued) = self.authority.find(fingerprint)? else { return Ok(None) };
        if !issued.profile.signs() && !issued.profile.encrypts() {
            return Ok(None);
        }
        match self.keys.custody.get_smime(fingerprint) {
            Ok(_) => self.store(&issued.certificate, issued.profile, &issued.subject, now)?,
            Err(CustodyError::Unknown(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(issued.certificate))
    }

    /// Whether a certificate that was issued can be used: its key is in custody, and it is in the store. After a
    /// crash in the middle of [`AuthorityRoom::issue`] it may not be.
    ///
    /// # Errors
    /// That cannot be told now.
    pub fn keeps(&self, fingerprint: &str) -> Result<bool, RoomError> {
        match self.keys.custody.get_smime(fingerprint) {
            Ok(_) => Ok(self.keys.store.get(fingerprint)?.is_some()),
            Err(CustodyError::Unknown(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Renews the leaves that are due: each gets a new key; the old one stays in custody to decrypt. A key that
    /// is not in custody is its holder's: who has it must ask for the next certificate.
    ///
    /// # Errors
    /// One of them failed; those before it are renewed.
    pub fn renew_due(&self, now: i64) -> Result<Vec<Certificate>, RoomError> {
        let mut renewed = Vec::new();
        let kept = self.keys.custody.list_all()?;
        let ours = |issued: &Issued| kept.iter().any(|(fingerprint, _)| *fingerprint == issued.fingerprint);
        for due in self.authority.due(now)?.into_iter().filter(ours) {
            let kind = key_kind_of(due.profile);
            let name = due.certificate.common_names().first().cloned();
            let person = matches!(due.profile, Profile::User | Profile::UserSign | Profile::UserEncrypt);
            let name = name.filter(|name| person && *name != due.subject);
            // The mailbox as it is written in the certificate; what is recorded is in lower case.
            let address = due.certificate.addresses().first().filter(|_| person);
            let subject = address.unwrap_or(&due.subject);
            renewed.push(self.issue(due.profile, subject, name.as_deref(), kind, now)?);
        }
        Ok(renewed)
    }
}
