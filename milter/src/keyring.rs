//! Certificates and secret keys together: what the gateway asks when it looks for a key.

use std::sync::Arc;

use keydir::{Answer, Known, Purpose, Record, Rejected, Scheme, Store, Subject, Usable};
use mail::Address;
use policy::{KeyAnswer, KeyFacts, KeyKind};
use sealing::custody::Custody;
use sealing::Binding;
use sealing::openpgp::{Cert, Fingerprint, KeyHandle, SecretCert};

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
    /// Every kind answered with "certainly none".
    pub fn none(kinds: &[KeyKind], why: &str) -> Self {
        let answer = KeyAnswer::None { why: vec![why.to_owned()] };
        let facts = kinds.iter().map(|kind| KeyFacts { kind: *kind, answer: answer.clone() }).collect();
        Self { facts, found: Vec::new() }
    }

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
        // Roads are no keys; whoever asks for one asks the relay.
        for kind in kinds.iter().filter(|kind| **kind != KeyKind::EnforcedTls) {
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

/// What opening a message asks at a time: certificates and secret keys by key handle, and who may
/// speak for whom.
#[derive(Debug)]
pub struct KeysAt<'k> {
    /// Where the keys are.
    pub ring: &'k KeyRing,
    /// Unix seconds.
    pub now: i64,
    /// The envelope recipients in our domains: those who would get the opened message.
    pub recipients: Vec<String>,
}

impl KeysAt<'_> {
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
                let meant = |known: &&Known| self.recipients.iter().any(|to| is_for(&known.record, to));
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
        let (records, kept) = match (self.ring.store.records(), self.ring.custody.list()) {
            (Ok(records), Ok(kept)) => (records, kept),
            (Err(error), _) => return Answer::CouldNotTell { why: chain(&error) },
            (_, Err(error)) => return Answer::CouldNotTell { why: chain(&error) },
        };
        let all = records
            .into_iter()
            .filter(|record| kept.contains(&record.fingerprint))
            .filter(|record| self.recipients.iter().all(|to| is_for(record, to)));
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
        let mut ours = Vec::new();
        for handle in named {
            match self.ours(handle) {
                Answer::Found(known) => ours.extend(known),
                Answer::None { .. } => {}
                Answer::CouldNotTell { why } => return Answer::CouldNotTell { why },
            }
        }
        let is_meant = |to: &String| ours.iter().any(|known| is_for(&known.record, to));
        if self.recipients.iter().all(is_meant) {
            Answer::Found(())
        } else {
            Answer::None { why: Vec::new() }
        }
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

/// Whether a certificate of ours is meant for this recipient: its own, or its domain's.
fn is_for(record: &Record, recipient: &str) -> bool {
    let wanted = [Subject::address(recipient), Subject::domain(&domain_of(recipient))];
    wanted.iter().flatten().any(|wanted| record.subjects.iter().any(|own| own.same(wanted)))
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
