//! The domains' own OpenPGP keys certify the certificates of their users.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keydir::{AliasSigner, Answer, Purpose, Scheme, Subject};
use net::dns::a_labels;
use program::chain;
use sealing::custody::CustodyError;
use sealing::openpgp::{Cert, SecretCert, endorse};

use crate::keyring::KeyRing;

/// A certification that nobody renews ends with the year.
const VALIDITY: Duration = Duration::from_secs(366 * 86_400);

/// The keys of those of our domains that have one, by domain in A-labels.
pub(super) struct Endorsers {
    keys: BTreeMap<String, (Cert, Arc<SecretCert>)>,
}

impl Endorsers {
    /// Looks for them.
    ///
    /// # Errors
    /// In words: whether a domain has a key, or the key itself, cannot be had now.
    pub(super) fn of(keys: &KeyRing, domains: &[String], now: i64) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        for domain in domains {
            let Some(subject) = Subject::domain(domain) else { continue };
            let usable = match keys.store.find(&subject, Scheme::Openpgp, Purpose::Sign, now) {
                Answer::Found(usable) => usable,
                Answer::None { .. } => continue,
                Answer::CouldNotTell { why } => return Err(why),
            };
            match keys.custody.get(&usable.record().fingerprint) {
                Ok(secret) => {
                    let name = a_labels(domain).unwrap_or_else(|_| domain.clone());
                    found.insert(name, (usable.cert().as_ref().clone(), secret));
                }
                Err(CustodyError::Unknown(_)) => {}
                Err(error) => return Err(chain(&error)),
            }
        }
        Ok(Self { keys: found })
    }

    /// Their certificates.
    pub(super) fn certificates(&self) -> Vec<Cert> {
        self.keys.values().map(|(certificate, _)| certificate.clone()).collect()
    }

    /// Certifies a User ID with the key of its domain.
    pub(super) fn signer(self, now: i64) -> Option<Arc<AliasSigner>> {
        if self.keys.is_empty() {
            return None;
        }
        Some(Arc::new(move |certificate: &Cert, address: &str| {
            // The key of a whole domain is asked for by the domain's name; it needs nobody to vouch for it.
            let Some((_, domain)) = address.rsplit_once('@') else { return Ok(None) };
            match self.keys.get(domain) {
                Some((own, _)) if own.fingerprint() == certificate.fingerprint() => Ok(None),
                Some((_, secret)) => Ok(Some(endorse(secret, certificate, address, VALIDITY, now)?)),
                None => Ok(None),
            }
        }))
    }
}
