//! Which keys may open a message, and who may speak for its author.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use keydir::{Anchors, Answer, Certificate, Known, Record, Rejected, Subject};
use mail::Address;
use program::chain;
use sealing::Binding;
use sealing::openpgp::{Cert, Fingerprint, KeyHandle, SecretCert};
use sealing::smime::{RecipientId, SecretKey};
use tokio::time::Instant;

use super::KeyRing;
use crate::revocation::{MESSAGE_TIME, Revocation};
use crate::transaction::domain_of;

/// What opening a message asks at a time: certificates and secret keys by key handle, and who may
/// speak for whom.
#[derive(Debug)]
pub struct KeysAt<'k> {
    /// Where the keys are.
    pub ring: &'k KeyRing,
    /// Unix seconds.
    pub now: i64,
    /// For whom the message must be meant to be opened: those who would get it.
    pub recipients: Vec<Audience>,
    /// The recipients outside, of whom it is noted whether the message is encrypted to them, too.
    pub correspondents: Vec<String>,
    /// What was noted.
    pub noted: Mutex<Noted>,
    /// Whether it is fetched what authorities revoked.
    pub revocation: Revocation,
    /// When that must have ended; set by the first look-up.
    pub deadline: OnceLock<Instant>,
}

/// For whom a message is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A recipient of ours: its own key opens it, or its domain's.
    Recipient(String),
    /// The gateway of a domain of ours, which seals it anew: only the domain's key opens it.
    Domain(String),
}

/// Whom the encrypted layers of a message name.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// A key of everybody for whom it must be meant.
    pub us: bool,
    /// The correspondents whom every layer names.
    pub readers: Option<BTreeSet<String>>,
}

impl KeysAt<'_> {
    /// Keys that open a message for these.
    pub fn new<'k>(
        ring: &'k KeyRing,
        now: i64,
        recipients: Vec<Audience>,
        correspondents: Vec<String>,
        revocation: Revocation,
    ) -> KeysAt<'k> {
        let (noted, deadline) = (Mutex::default(), OnceLock::new());
        KeysAt { ring, now, recipients, correspondents, noted, revocation, deadline }
    }

    /// Whom the encrypted layers of the message name.
    pub fn noted(&self) -> Noted {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether everybody is meant by one of these records, all that a layer names.
    fn covered_by(&self, named: &[Arc<Record>]) -> bool {
        let ours = || named.iter().filter(|record| record.custody == keydir::Custody::Local);
        let covered = self.recipients.iter().all(|to| ours().any(|record| to.is_meant_by(record)));
        let reads = |to: &&String| {
            let to = Audience::Recipient((*to).clone());
            named.iter().any(|record| to.is_meant_by(record))
        };
        let readers: BTreeSet<String> = self.correspondents.iter().filter(reads).cloned().collect();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.us |= covered && !self.recipients.is_empty();
        noted.readers = Some(match noted.readers.take() {
            Some(before) => before.intersection(&readers).cloned().collect(),
            None => readers,
        });
        covered
    }

    /// Certificates with this key whose secret half is in our custody.
    fn ours(&self, handle: &KeyHandle) -> Answer<Vec<Known>> {
        match self.ring.store.by_handle(&handle.to_hex()) {
            Answer::Found(mut known) => {
                known.retain(|known| known.record.custody == keydir::Custody::Local);
                Answer::Found(known)
            }
            other => other,
        }
    }

    /// Fingerprints of the keys behind a handle that are meant for one of the recipients.
    fn for_somebody(&self, handle: &KeyHandle) -> Answer<Vec<String>> {
        match self.ours(handle) {
            Answer::Found(known) => {
                let meant = |known: &&Known| self.recipients.iter().any(|to| to.is_meant_by(&known.record));
                Answer::Found(
                    known.iter().filter(meant).map(|known| known.record.fingerprint.clone()).collect(),
                )
            }
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }

    /// Fingerprints of the keys that are meant for every one of the recipients: what may be tried
    /// when the sender hid whom the message is encrypted to.
    fn for_everybody(&self) -> Answer<Vec<String>> {
        // Mail that only leaves is verified, never opened.
        if self.recipients.is_empty() {
            return Answer::None { why: Vec::new() };
        }
        let (records, kept) = match (self.ring.store.records(), self.ring.custody.list()) {
            (Ok(records), Ok(kept)) => (records, kept),
            (Err(error), _) => return Answer::CouldNotTell { why: chain(&error) },
            (_, Err(error)) => return Answer::CouldNotTell { why: chain(&error) },
        };
        let all = records
            .into_iter()
            .filter(|record| kept.contains(&record.fingerprint))
            .filter(|record| self.recipients.iter().all(|to| to.is_meant_by(record)));
        Answer::Found(all.map(|record| record.fingerprint).collect())
    }
}

impl sealing::openpgp::Keys for KeysAt<'_> {
    fn certificates(&self, handle: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        match self.ring.store.by_handle(&handle.to_hex()) {
            Answer::Found(known) => Answer::Found(known.into_iter().map(|known| known.cert).collect()),
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }

    fn secrets(&self, handle: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        let found = match handle {
            Some(handle) => self.for_somebody(handle),
            None => self.for_everybody(),
        };
        let fingerprints: Vec<String> = match found {
            Answer::Found(fingerprints) => fingerprints,
            Answer::None { why } => return Answer::None { why },
            Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
        };
        let mut secrets = Vec::new();
        for fingerprint in fingerprints {
            match self.ring.custody.get(&fingerprint) {
                Ok(secret) => secrets.push(secret),
                Err(error) => return Answer::CouldNotTell { why: chain(&error) },
            }
        }
        if secrets.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(secrets) }
    }

    fn cover(&self, named: &[KeyHandle]) -> Answer<()> {
        let mut records = Vec::new();
        for handle in named {
            match self.ring.store.by_handle(&handle.to_hex()) {
                Answer::Found(known) => records.extend(known.into_iter().map(|known| known.record)),
                Answer::None { .. } => {}
                Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
            }
        }
        if self.covered_by(&records) { Answer::Found(()) } else { Answer::None { why: Vec::new() } }
    }

    fn authorised(&self, fingerprint: &Fingerprint, from: &Address) -> Answer<Binding> {
        let known = match self.ring.store.by_handle(&fingerprint.to_hex()) {
            Answer::Found(known) => known,
            Answer::None { why } => return Answer::None { why },
            Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
        };
        let mut why = Vec::new();
        for (subject, binding) in speakers(from) {
            for known in &known {
                match known.speaks_for(&subject, self.now) {
                    Ok(()) => return Answer::Found(binding),
                    Err(reason) => {
                        why.push(Rejected { fingerprint: known.record.fingerprint.clone(), reason });
                    }
                }
            }
        }
        Answer::None { why }
    }
}

impl KeysAt<'_> {
    /// The certificates that we know behind the names that a message gives its recipients.
    fn named(&self, named: &[RecipientId]) -> Answer<Vec<Arc<Record>>> {
        let mut records = Vec::new();
        for id in named {
            match self.ring.certificates_by_id(id) {
                Answer::Found(known) => records.extend(known.into_iter().map(|known| known.record)),
                Answer::None { .. } => {}
                Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
            }
        }
        Answer::Found(records)
    }
}

impl sealing::smime::Keys for KeysAt<'_> {
    fn secrets(&self, named: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        let records = match self.named(named) {
            Answer::Found(records) => records,
            Answer::None { why } => return Answer::None { why },
            Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
        };
        let ours = records.iter().filter(|record| record.custody == keydir::Custody::Local);
        let mut secrets = Vec::new();
        for record in ours.filter(|record| self.recipients.iter().any(|to| to.is_meant_by(record))) {
            match self.ring.custody.get_smime(&record.fingerprint) {
                Ok(secret) => secrets.push(secret),
                Err(error) => return Answer::CouldNotTell { why: chain(&error) },
            }
        }
        if secrets.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(secrets) }
    }

    fn cover(&self, named: &[RecipientId]) -> Answer<()> {
        match self.named(named) {
            Answer::Found(records) if self.covered_by(&records) => Answer::Found(()),
            Answer::Found(_) => Answer::None { why: Vec::new() },
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }

    fn keeps_signatures(&self) -> bool {
        self.recipients.iter().any(|to| matches!(to, Audience::Domain(_)))
    }

    fn anchors(&self) -> Arc<Anchors> {
        self.ring.anchors.load_full()
    }

    fn look_up_revocation(&self, certificate: &Certificate, enclosed: &[Certificate]) -> bool {
        let anchors = self.ring.anchors.load();
        // A certificate without a way to an anchor is not believed anyway, and nobody is asked about it.
        if self.revocation.fetch
            && let Ok(path) = anchors.path(certificate, enclosed, self.now)
        {
            let deadline = *self.deadline.get_or_init(|| Instant::now() + MESSAGE_TIME);
            self.ring.revocation.look_up(&anchors, &path, self.revocation, self.now, deadline);
        }
        self.revocation.fetch
    }

    fn certificates(&self, id: &RecipientId) -> Answer<Vec<Certificate>> {
        match self.ring.certificates_by_id(id) {
            Answer::Found(known) => Answer::Found(
                known
                    .into_iter()
                    .flat_map(|known| [known.certificate].into_iter().chain(known.links))
                    .collect(),
            ),
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }

    fn assigned(&self, certificate: &Certificate, from: &Address) -> Answer<Binding> {
        let record = match self.ring.store.get(&certificate.fingerprint()) {
            Ok(Some(record)) => record,
            Ok(None) => return Answer::None { why: Vec::new() },
            Err(error) => return Answer::CouldNotTell { why: chain(&error) },
        };
        let checked = |subject: &Subject| {
            matches!(record.trust_for(subject), keydir::Trust::Own | keydir::Trust::Verified)
        };
        let assigned = |subject: &Subject| record.assigned.iter().any(|own| own.same(subject));
        let binding = speakers(from).into_iter().find(|(subject, _)| checked(subject) && assigned(subject));
        match binding {
            Some((_, binding)) => Answer::Found(binding),
            None => Answer::None { why: Vec::new() },
        }
    }
}

impl Audience {
    /// Whether a certificate is meant for these.
    fn is_meant_by(&self, record: &Record) -> bool {
        let wanted = match self {
            Self::Recipient(address) => [Subject::address(address), Subject::domain(&domain_of(address))],
            Self::Domain(domain) => [Subject::domain(domain), None],
        };
        wanted.iter().flatten().any(|wanted| record.subjects.iter().any(|own| own.same(wanted)))
    }
}

/// Who may speak for an address: its user, its domain, and the domains above that, compared at
/// label borders (RFC 3183 section 3.1.1). A top-level domain speaks for nobody.
fn speakers(from: &Address) -> Vec<(Subject, Binding)> {
    let user = Subject::address(&from.to_string()).map(|subject| (subject, Binding::User));
    let mut domain = from.domain().to_lowercase();
    let mut speakers: Vec<_> = user.into_iter().collect();
    while domain.contains('.') {
        speakers.extend(Subject::domain(&domain).map(|subject| (subject, Binding::Domain)));
        domain = domain.split_once('.').map(|(_, above)| above.to_owned()).unwrap_or_default();
    }
    speakers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_spoken_for_by_its_user_and_the_domains_above_it() {
        let from = Address::parse("bob@mail.beta.example").unwrap();
        let speakers: Vec<String> = speakers(&from).iter().map(|(who, _)| who.to_string()).collect();
        assert_eq!(speakers, ["bob@mail.beta.example", "@mail.beta.example", "@beta.example"]);
    }
}
