//! Certificates and secret keys together: what the gateway asks when it looks for a key.

mod opening;

use std::sync::Arc;

use arc_swap::ArcSwap;
use keydir::{
    Anchors, Answer, CertificateId, KnownCertificate, Purpose, Record, Rejected, Scheme, Store, Subject,
    Usable, UsableCertificate,
};
use policy::{AdditionalKeyFacts, KeyAnswer, KeyFacts, KeyKind, PasswordSource};
use program::chain;
use sealing::custody::Custody;
use sealing::smime::RecipientId;

pub use self::opening::{Audience, KeysAt, Noted};

use crate::password;
use crate::revocation::RevocationRoom;
use crate::telemetry::Telemetry;
use crate::transaction::domain_of;

/// The certificate store and the custody of secret keys.
#[derive(Debug)]
pub struct KeyRing {
    /// Certificates.
    pub store: Store,
    /// Secret keys.
    pub custody: Custody,
    /// The authorities whose S/MIME certificates are trusted, and what they revoked.
    pub anchors: ArcSwap<Anchors>,
    /// What is fetched about revocations.
    pub revocation: RevocationRoom,
    /// Counts look-ups.
    pub telemetry: Arc<Telemetry>,
}

/// A certificate that was found and checked.
#[derive(Clone, Debug)]
pub enum Key {
    /// Of OpenPGP.
    Openpgp(Arc<Usable>),
    /// Of S/MIME.
    Smime(Arc<UsableCertificate>),
}

impl Key {
    /// What the store knows about it.
    pub fn record(&self) -> &Record {
        match self {
            Self::Openpgp(usable) => usable.record(),
            Self::Smime(usable) => usable.record(),
        }
    }

    /// Upper-case hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.record().fingerprint
    }

    /// Whether it announces authenticated encryption.
    fn aead(&self) -> bool {
        match self {
            Self::Openpgp(usable) => usable.aead(),
            Self::Smime(usable) => usable.gcm(),
        }
    }
}

/// The answers about one address, and the certificates that were found.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// One answer for each kind that was asked for.
    pub facts: Vec<KeyFacts>,
    /// What the answers `Found` mean.
    pub found: Vec<Key>,
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
    pub fn encryption(
        &self,
        address: &str,
        kinds: &[KeyKind],
        password: &PasswordSource,
        now: i64,
    ) -> Lookup {
        let mut lookup = self.look_up(address, kinds, Purpose::Encrypt, now);
        if kinds.contains(&KeyKind::PasswordMessage) {
            let answer = match password::check(password) {
                Ok(()) => KeyAnswer::Found { fingerprint: password.name(), aead: false },
                Err(error) => KeyAnswer::CouldNotTell { why: chain(&error) },
            };
            lookup.facts.push(KeyFacts { kind: KeyKind::PasswordMessage, answer });
        }
        lookup
    }

    /// Looks for one kind of certificate to encrypt to a subject. Blocking.
    pub fn encryption_to(&self, subject: Subject, kind: KeyKind, now: i64) -> Lookup {
        let mut lookup = Lookup::default();
        self.ask(&mut lookup, Some(subject), kind, Purpose::Encrypt, now);
        lookup
    }

    /// Looks for keys of ours that sign for an originator. Blocking.
    ///
    /// A certificate whose secret key cannot be had is "could not tell", never "none": the key
    /// store may be locked.
    pub fn signing(&self, address: &str, kinds: &[KeyKind], now: i64) -> Lookup {
        let mut lookup = self.look_up(address, kinds, Purpose::Sign, now);
        for facts in &mut lookup.facts {
            let KeyAnswer::Found { fingerprint, .. } = &facts.answer else { continue };
            let had = match facts.kind.scheme() {
                Some(policy::Scheme::Smime) => self.custody.get_smime(fingerprint).map(drop),
                _ => self.custody.get(fingerprint).map(drop),
            };
            if let Err(error) = had {
                let why = chain(&error);
                tracing::warn!("a signing key cannot be used: {why}");
                facts.answer = KeyAnswer::CouldNotTell { why };
            }
        }
        lookup
    }

    /// Looks for the key of a mailbox at rest. Blocking.
    pub fn at_rest(&self, address: &str, now: i64) -> Lookup {
        let mut lookup = Lookup::default();
        for kind in [KeyKind::UserSmime, KeyKind::UserOpenpgp] {
            self.ask(&mut lookup, Subject::at_rest(address), kind, Purpose::Encrypt, now);
        }
        lookup
    }

    /// Looks for the keys of somebody who reads along. Blocking.
    pub fn additional(&self, name: &str, now: i64) -> (AdditionalKeyFacts, Lookup) {
        let mut lookup = Lookup::default();
        for kind in [KeyKind::UserSmime, KeyKind::UserOpenpgp] {
            self.ask(&mut lookup, Subject::parse(name), kind, Purpose::Encrypt, now);
        }
        (AdditionalKeyFacts { subject: name.to_owned(), keys: lookup.facts.clone() }, lookup)
    }

    /// S/MIME certificates that the store holds under a name as messages give it.
    pub fn certificates_by_id(&self, id: &RecipientId) -> Answer<Vec<KnownCertificate>> {
        self.store.certificates_by_id(&match id {
            RecipientId::IssuerSerial { issuer, serial } => CertificateId::IssuerSerial { issuer, serial },
            RecipientId::KeyId(key_id) => CertificateId::KeyId(key_id),
        })
    }

    fn look_up(&self, address: &str, kinds: &[KeyKind], purpose: Purpose, now: i64) -> Lookup {
        let mut lookup = Lookup::default();
        // Roads and passwords are no keys; others answer for them.
        for kind in kinds.iter().filter(|kind| kind.scheme().is_some()) {
            let subject = match kind {
                KeyKind::UserOpenpgp | KeyKind::UserSmime => Subject::address(address),
                _ => Subject::domain(&domain_of(address)),
            };
            self.ask(&mut lookup, subject, *kind, purpose, now);
        }
        lookup
    }

    fn ask(&self, lookup: &mut Lookup, subject: Option<Subject>, kind: KeyKind, purpose: Purpose, now: i64) {
        let answer = match (subject, kind.scheme()) {
            (Some(subject), Some(policy::Scheme::Smime)) => {
                self.found_smime(self.store.find_certificate(&subject, purpose, now, &self.anchors.load()))
            }
            (Some(subject), _) => {
                self.found_openpgp(self.store.find(&subject, Scheme::Openpgp, purpose, now))
            }
            (None, _) => Answer::None { why: Vec::new() },
        };
        let answer = match answer {
            Answer::Found(key) => {
                self.telemetry.lookup("found");
                let (fingerprint, aead) = (key.fingerprint().to_owned(), key.aead());
                lookup.found.push(key);
                KeyAnswer::Found { fingerprint, aead }
            }
            Answer::None { why } => {
                self.telemetry.lookup("none");
                KeyAnswer::None { why: why.iter().map(Rejected::to_string).collect() }
            }
            Answer::CouldNotTell { why } => {
                self.telemetry.lookup("could_not_tell");
                tracing::warn!("cannot tell whether there is a certificate: {why}");
                KeyAnswer::CouldNotTell { why }
            }
        };
        lookup.facts.push(KeyFacts { kind, answer });
    }

    fn found_openpgp(&self, answer: Answer<Usable>) -> Answer<Key> {
        match answer {
            Answer::Found(usable) => Answer::Found(Key::Openpgp(Arc::new(usable))),
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }

    fn found_smime(&self, answer: Answer<UsableCertificate>) -> Answer<Key> {
        match answer {
            Answer::Found(usable) => Answer::Found(Key::Smime(Arc::new(usable))),
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }
}
