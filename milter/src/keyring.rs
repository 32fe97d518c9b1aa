//! Certificates and secret keys together: what the gateway asks when it looks for a key.

use std::sync::Arc;

use keydir::{Answer, Purpose, Reason, Rejected, Scheme, Store, Subject, Trust, Usable};
use mail::Address;
use policy::{KeyAnswer, KeyFacts, KeyKind};
use sealing::custody::Custody;
use sealing::openpgp::{Binding, Cert, Fingerprint, KeyHandle, SecretCert};

use crate::telemetry::Telemetry;
use crate::transaction::domain_of;

/// The certificate store and the custody of secret keys.
#[derive(Debug)]
pub struct KeyRing {
    /// Certificates.
    pub store: Store,
    /// Secret keys.
    pub custody: Custody,
    /// Counts look-ups.
    pub telemetry: Arc<Telemetry>,
}

/// The answers about one address, and the certificates that were found.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// One answer for each kind that was asked for.
    pub facts: Vec<KeyFacts>,
    /// What the answers `Found` mean.
    pub found: Vec<Arc<Usable>>,
}

impl Lookup {
    /// Every kind answered with "could not tell".
    pub fn failed(kinds: &[KeyKind], why: &str) -> Self {
        let answer = KeyAnswer::CouldNotTell { why: why.to_owned() };
        let facts = kinds.iter().map(|kind| KeyFacts { kind: *kind, answer: answer.clone() }).collect();
        Self { facts, found: Vec::new() }
    }
}

impl KeyRing {
    /// Looks for certificates to encrypt to a recipient. Blocking: asks the database.
    pub fn encryption(&self, address: &str, kinds: &[KeyKind], now: i64) -> Lookup {
        self.look_up(address, kinds, Purpose::Encrypt, now)
    }

    /// Looks for keys of ours that sign for an originator. Blocking.
    ///
    /// A certificate whose secret key cannot be had is "could not tell", never "none": the key
    /// store may be locked.
    pub fn signing(&self, address: &str, kinds: &[KeyKind], now: i64) -> Lookup {
        let mut lookup = self.look_up(address, kinds, Purpose::Sign, now);
        for facts in &mut lookup.facts {
            if let KeyAnswer::Found { fingerprint, .. } = &facts.answer
                && let Err(error) = self.custody.get(fingerprint)
            {
                facts.answer = KeyAnswer::CouldNotTell { why: chain(&error) };
            }
        }
        lookup
    }

    fn look_up(&self, address: &str, kinds: &[KeyKind], purpose: Purpose, now: i64) -> Lookup {
        let mut lookup = Lookup::default();
        for kind in kinds {
            let answer = match subject(address, *kind) {
                Some(subject) => self.store.find(&subject, Scheme::Openpgp, purpose, now),
                None => Answer::None { why: Vec::new() },
            };
            let answer = match answer {
                Answer::Found(usable) => {
                    self.telemetry.lookup("found");
                    let fingerprint = usable.record().fingerprint.clone();
                    let aead = usable.aead();
                    lookup.found.push(Arc::new(usable));
                    KeyAnswer::Found { fingerprint, aead }
                }
                Answer::None { why } => {
                    self.telemetry.lookup("none");
                    KeyAnswer::None { why: why.iter().map(ToString::to_string).collect() }
                }
                Answer::CouldNotTell { why } => {
                    self.telemetry.lookup("could_not_tell");
                    KeyAnswer::CouldNotTell { why }
                }
            };
            lookup.facts.push(KeyFacts { kind: *kind, answer });
        }
        lookup
    }
}

/// Whose certificate a kind of key for this address is. The kinds of other standards have none.
fn subject(address: &str, kind: KeyKind) -> Option<Subject> {
    match kind {
        KeyKind::UserOpenpgp => Subject::address(address),
        KeyKind::DomainOpenpgp => Subject::domain(&domain_of(address)),
        KeyKind::UserSmime | KeyKind::DomainSmime | KeyKind::EnforcedTls | KeyKind::PasswordMessage => None,
    }
}

fn is_same(a: &Subject, b: &Subject) -> bool {
    a.to_string().eq_ignore_ascii_case(&b.to_string())
}

/// An error and its causes in one line, for logs and records.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What opening a message asks: certificates and secret keys by key handle, and who may speak for
/// whom.
impl sealing::openpgp::Keys for KeyRing {
    fn certificates(&self, handle: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        match self.store.by_handle(&handle.to_hex()) {
            Answer::Found(known) => Answer::Found(known.into_iter().map(|known| known.cert).collect()),
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }

    fn secrets(&self, handle: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        let fingerprints = match handle {
            Some(handle) => match self.store.by_handle(&handle.to_hex()) {
                Answer::Found(known) => known
                    .iter()
                    .filter(|known| known.record.custody == keydir::Custody::Local)
                    .map(|known| known.record.fingerprint.clone())
                    .collect(),
                Answer::None { why } => return Answer::None { why },
                Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
            },
            None => match self.custody.list() {
                Ok(all) => all,
                Err(error) => return Answer::CouldNotTell { why: chain(&error) },
            },
        };
        let mut secrets = Vec::new();
        for fingerprint in fingerprints {
            match self.custody.get(&fingerprint) {
                Ok(secret) => secrets.push(secret),
                Err(error) => return Answer::CouldNotTell { why: chain(&error) },
            }
        }
        if secrets.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(secrets) }
    }

    fn authorised(&self, fingerprint: &Fingerprint, from: &Address) -> Answer<Binding> {
        let record = match self.store.get(&fingerprint.to_hex()) {
            Ok(Some(record)) => record,
            Ok(None) => return Answer::None { why: Vec::new() },
            Err(error) => return Answer::CouldNotTell { why: chain(&error) },
        };
        let refused = |reason| {
            let rejected = Rejected { fingerprint: record.fingerprint.clone(), reason };
            Answer::None { why: vec![rejected] }
        };
        match record.trust {
            Trust::Held => return refused(Reason::Held),
            Trust::Distrusted => return refused(Reason::Distrusted),
            Trust::Own | Trust::Verified | Trust::Accepted => {}
        }
        let domain = from.domain().to_lowercase();
        let speaks_for_user = Subject::address(&from.to_string())
            .is_some_and(|wanted| record.subjects.iter().any(|subject| is_same(subject, &wanted)));
        let speaks_for_domain = record.subjects.iter().any(|subject| match subject {
            // The domain itself or one above it, compared at label borders (RFC 3183 section 3.1.1).
            Subject::Domain(own) => {
                let own = own.to_lowercase();
                domain == own || domain.strip_suffix(&own).is_some_and(|rest| rest.ends_with('.'))
            }
            Subject::Address(_) => false,
        });
        match (speaks_for_user, speaks_for_domain) {
            (true, _) => Answer::Found(Binding::User),
            (_, true) => Answer::Found(Binding::Domain),
            _ => Answer::None { why: Vec::new() },
        }
    }
}
