//! What a look-up gives.

use std::fmt;
use std::sync::Arc;

use keydir::Origin;
use keydir::Scheme;
use serde::Serialize;

use crate::trace::Trace;

/// A certificate that was found and may be used for the mailbox now.
///
/// It was read strictly and minimised, carries a valid User ID or rfc822Name of the asked mailbox, can encrypt
/// today, and the trust rules let it pass. The chain of an S/MIME certificate is not checked here.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// OpenPGP or S/MIME.
    pub scheme: Scheme,
    /// Fingerprint of the primary key, or SHA-256 of the X.509 certificate; upper-case hexadecimal.
    pub fingerprint: String,
    /// Where it came from.
    pub origin: Origin,
    /// The name of the source.
    pub source: String,
    /// When the key that mail is encrypted to was made, or the X.509 certificate began; Unix seconds.
    pub created: i64,
    /// End of validity, Unix seconds; nothing if it does not end.
    pub valid_until: Option<i64>,
    /// Fingerprints of certificates seen before that vouch for this one.
    pub succeeds: Vec<String>,
    /// The log of the address's domain proves that the domain announced it; see [`LogVerifier`].
    pub announced: bool,
    /// The certificate, binary OpenPGP or DER; goes into the store with `Import`, bound to the asked mailbox only.
    #[serde(skip)]
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Candidate({} {} from {})", self.scheme, self.fingerprint, self.source)
    }
}

/// The answer to one question.
#[derive(Clone, Debug)]
pub struct Found {
    /// What is so.
    pub outcome: Outcome,
    /// Certificates that the sources say are revoked: not usable, but the store should hear of the revocation
    /// (merge, never replace). Binary OpenPGP.
    pub revoked: Vec<Arc<[u8]>>,
    /// Who was asked and what they said.
    pub trace: Trace,
}

/// The three answers, and a change that must not pass unseen.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// This certificate may be used.
    Found(Box<Candidate>),
    /// There certainly is none: every source that is asked for this address said so.
    None {
        /// What was looked at and refused, in words.
        why: Vec<String>,
    },
    /// There is a certificate, but nobody vouches for it. Never "none"; somebody must be told.
    Held(Box<Held>),
    /// Nobody knows: at least one source that counts could not be asked. Never "none".
    CouldNotTell {
        /// What happened, for the log and the record.
        why: String,
        /// Since when that is so, Unix seconds, if it is longer than [`Config::patience`](crate::Config::patience).
        given_up: Option<i64>,
    },
}

/// A certificate that waits for approval.
#[derive(Clone, Debug)]
pub struct Held {
    /// The certificate that was used until now, as it is known; nothing at the first contact.
    pub old: Option<String>,
    /// The certificate on offer.
    pub new: Candidate,
    /// Why it is held.
    pub why: String,
    /// True the first time that this certificate is held for this address, but at most once a day for one address:
    /// tell somebody now.
    pub news: bool,
}

/// Knows the authorities above S/MIME certificates, which this room does not.
pub trait Issuers: fmt::Debug + Send + Sync {
    /// Whether one and the same key of an authority signed both. Names do not tell: anybody can take any.
    fn same_key(&self, old: &keydir::Certificate, new: &keydir::Certificate) -> bool;
}

/// Judges the proof with which a partner's directory says that the domain's key log announced a key set.
///
/// The door to the key log, which this room does not know.
pub trait LogVerifier: fmt::Debug + Send + Sync {
    /// Whether `proof` (JSON, as received) shows that the log of the domain of `address` holds exactly these
    /// certificates as the newest key set of the address. Anything but a complete proof is false.
    fn announces(&self, address: &str, scheme: Scheme, certificates: &[Arc<[u8]>], proof: &str) -> bool;
}
