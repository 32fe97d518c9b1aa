//! The three answers of the directory.

use std::fmt;
use std::sync::Arc;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use serde::Deserialize;
use serde::Serialize;

use crate::assess;
use crate::record::Record;
use crate::record::Trust;
use crate::subject::Subject;

/// What the directory says to a question.
///
/// `CouldNotTell` must never be treated as `None`: the database is locked, unreadable or damaged, and
/// a certificate may well exist.
#[derive(Clone, Debug)]
pub enum Answer<T> {
    /// This is it.
    Found(T),
    /// There certainly is none. Certificates that were looked at and refused are named with the reason.
    None {
        /// One entry for each certificate of the subject that cannot be used.
        why: Vec<Rejected>,
    },
    /// The look-up failed.
    CouldNotTell {
        /// The cause, for the log and the record.
        why: String,
    },
}

impl<T> Answer<T> {
    /// The value found, if any.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::None { .. } | Self::CouldNotTell { .. } => None,
        }
    }
}

/// A certificate that was looked at and refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rejected {
    /// Fingerprint of the certificate, upper-case hexadecimal.
    pub fingerprint: String,
    /// Why it cannot be used.
    pub reason: Reason,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fingerprint, self.reason)
    }
}

/// Why a certificate cannot be used, in words an administrator understands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The administrator distrusts it.
    #[error("distrusted")]
    Distrusted,
    /// The certificate expired; Unix seconds.
    #[error("expired on {}", date(*.0))]
    Expired(i64),
    /// It waits for approval.
    #[error("held for approval")]
    Held,
    /// No subkey for encrypting mail.
    #[error("no encryption subkey")]
    NoEncryptionSubkey,
    /// No key for signing.
    #[error("no signing key")]
    NoSigningKey,
    /// The secret half is not in our custody.
    #[error("no secret key in custody")]
    NoSecretKey,
    /// No User ID with this address is valid any more.
    #[error("no valid User ID for {0}")]
    NoUserId(String),
    /// The certificate is not valid yet; Unix seconds.
    #[error("not valid before {}", date(*.0))]
    NotYetValid(i64),
    /// The certificate was revoked by its holder.
    #[error("revoked: {0}")]
    Revoked(String),
    /// The certificate is good, but each key that could serve is not.
    #[error("{what} {reason}")]
    Subkey {
        /// "encryption subkey" or "signing subkey", with its fingerprint.
        what: String,
        /// What is wrong with it.
        reason: Box<Reason>,
    },
    /// No valid self-signature.
    #[error("no valid self-signature")]
    Unbound,
    /// The chain of an X.509 certificate does not lead to a trust anchor, or something is wrong on the way.
    #[error("not trusted: {0}")]
    Untrusted(String),
    /// Whether it is revoked could not be found out.
    #[error("its revocation status is unknown: {0}")]
    RevocationUnknown(String),
    /// An algorithm or version that this build cannot use.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The certificate itself forbids this use.
    #[error("not meant for this use: {0}")]
    Usage(String),
    /// An algorithm or key length below the limit.
    #[error("{0} is too weak")]
    Weak(String),
}

/// The day of a time, as `YYYY-MM-DD`.
pub(crate) fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d").to_string(),
        Err(_) => format!("second {seconds}"),
    }
}

/// A certificate that may be used for one purpose at one moment.
///
/// Only [`Store::find`](crate::Store::find) makes one, after it checked trust, validity, revocation,
/// algorithms, the binding of the subject and of the subkey. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Usable {
    pub(crate) record: Arc<Record>,
    pub(crate) cert: Arc<Cert>,
    pub(crate) subkey: Fingerprint,
    pub(crate) aead: bool,
}

impl Usable {
    /// What the store knows about the certificate.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The certificate.
    pub fn cert(&self) -> &Arc<Cert> {
        &self.cert
    }

    /// The one key to use: for encryption the newest valid transport-encryption key, for signing the
    /// newest valid signing key, for verification the primary key.
    pub fn subkey(&self) -> &Fingerprint {
        &self.subkey
    }

    /// Whether the certificate announces SEIPDv2, that is AEAD (RFC 9580, 5.2.3.32).
    pub fn aead(&self) -> bool {
        self.aead
    }
}

/// A certificate that the store holds, usable or not.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the store knows about it.
    pub record: Arc<Record>,
    /// The certificate.
    pub cert: Arc<Cert>,
}

impl Known {
    /// Whether the certificate may stand for this subject at `now` (Unix seconds): the administrator
    /// trusts it, and either assigned it to the subject or a User ID that is valid now names it.
    ///
    /// Says nothing about the validity of keys or signatures; whoever verifies checks those.
    ///
    /// # Errors
    /// The reason why not.
    pub fn speaks_for(&self, subject: &Subject, now: i64) -> Result<(), Reason> {
        self.trusted_for(subject)?;
        if self.assigned_to(subject) {
            return Ok(());
        }
        // Only what was bound at an import counts: later User IDs wait for the administrator.
        if !self.record.subjects.iter().any(|bound| bound.same(subject)) {
            return Err(Reason::NoUserId(subject.to_string()));
        }
        assess::claims(&self.cert, subject, now)
    }

    pub(crate) fn trusted_for(&self, subject: &Subject) -> Result<(), Reason> {
        match self.record.trust_for(subject) {
            Trust::Held => Err(Reason::Held),
            Trust::Distrusted => Err(Reason::Distrusted),
            Trust::Own | Trust::Verified | Trust::Accepted => Ok(()),
        }
    }

    pub(crate) fn assigned_to(&self, subject: &Subject) -> bool {
        self.record.assigned.iter().any(|assigned| assigned.same(subject))
    }
}
