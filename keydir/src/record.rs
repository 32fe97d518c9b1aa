//! What the store knows about one certificate.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::subject::Subject;

/// Declares an enum that is stored, printed and serialised as a word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// All values, in the order in which they are declared.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word that stands for the value in the store, in JSON and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word { $($word => Ok(Self::$variant),)+ _ => Err(UnknownWord(word.to_owned())) }
            }
        }
    };
}

pub(crate) use words;

/// A word that stands for no value of the type.
#[derive(Debug, thiserror::Error)]
#[error("unknown word `{0}`")]
pub struct UnknownWord(pub(crate) String);

words! {
    /// The family of formats a certificate belongs to.
    Scheme {
        /// OpenPGP (RFC 9580).
        Openpgp = "openpgp",
        /// S/MIME (RFC 8551).
        Smime = "smime",
    }
}

words! {
    /// How a certificate came to us.
    Origin {
        /// Made by this gateway.
        Generated = "generated",
        /// Given by the administrator.
        Imported = "imported",
        /// Taken from a message that arrived.
        Harvested = "harvested",
        /// Fetched from a Web Key Directory.
        Wkd = "wkd",
        /// Fetched from DNS (RFC 7929, RFC 8162).
        Dane = "dane",
        /// Fetched from an HKP key server.
        Hkp = "hkp",
        /// Fetched from an LDAP directory.
        Ldap = "ldap",
        /// Received from another gateway.
        Peer = "peer",
        /// Sent by a user of ours who proved that both its key and the mailbox are his.
        Submitted = "submitted",
    }
}

impl Origin {
    /// Whether it was found at a source or in mail, and neither the administrator nor the holder brought it.
    pub fn is_found(self) -> bool {
        match self {
            Self::Generated | Self::Imported | Self::Submitted => false,
            Self::Harvested | Self::Wkd | Self::Dane | Self::Hkp | Self::Ldap | Self::Peer => true,
        }
    }
}

words! {
    /// What the administrator thinks of a certificate.
    Trust {
        /// It is ours.
        Own = "own",
        /// Its holder was checked.
        Verified = "verified",
        /// Good enough to use; nobody checked the holder.
        Accepted = "accepted",
        /// Waits for approval; not used.
        Held = "held",
        /// Must not be used.
        Distrusted = "distrusted",
    }
}

impl Trust {
    /// 0 for what was checked, 1 for what is merely accepted, 2 for what is not used.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Own | Self::Verified => 0,
            Self::Accepted => 1,
            Self::Held | Self::Distrusted => 2,
        }
    }
}

words! {
    /// Where the secret half of a certificate lies.
    Custody {
        /// Not with us.
        None = "none",
        /// In this gateway's custody.
        Local = "local",
    }
}

/// A subject that a source of discovery bound, and what that is worth.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct FoundSubject {
    /// Whom it is bound to.
    pub subject: Subject,
    /// [`Trust::Accepted`] or [`Trust::Held`]: the certificate never counts for more where it stands for this subject.
    /// [`Trust::Verified`] once the administrator said what to think of it: then that alone counts.
    pub trust: Trust,
    /// When it came to be worth that, Unix seconds.
    pub since: i64,
}

/// One certificate as the store knows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Record {
    /// Fingerprint of the primary key, or SHA-256 of the X.509 certificate; upper-case hexadecimal.
    pub fingerprint: String,
    /// OpenPGP or S/MIME.
    pub scheme: Scheme,
    /// Whom the certificate is bound to, assigned or claimed by its User IDs.
    pub subjects: Vec<Subject>,
    /// Those of `subjects` that the administrator assigned; they hold whatever the User IDs say.
    pub assigned: Vec<Subject>,
    /// Those of `subjects` that a source bound, for which the certificate may count less than elsewhere.
    pub found: Vec<FoundSubject>,
    /// How it came to us first, or that its holder proved it to be his.
    pub origin: Origin,
    /// What the administrator thinks of it.
    pub trust: Trust,
    /// Creation time of the primary key, Unix seconds.
    pub valid_from: Option<i64>,
    /// End of validity of the primary key, Unix seconds; `None` if it does not expire.
    pub valid_until: Option<i64>,
    /// The reason of revocation if the certificate is revoked.
    pub revoked: Option<String>,
    /// Where the secret half lies.
    pub custody: Custody,
    /// When it was first stored, Unix seconds.
    pub added: i64,
    /// The binary certificate; never contains secret key material.
    #[serde(skip)]
    pub bytes: Arc<[u8]>,
}

impl Record {
    /// What to think of the certificate where it stands for this subject: never more than of the certificate itself,
    /// and no more than what bound it to the subject is worth.
    pub fn trust_for(&self, subject: &Subject) -> Trust {
        let found = self.found.iter().find(|found| found.subject.same(subject));
        match found {
            Some(found) if found.trust.rank() > self.trust.rank() => found.trust,
            _ => self.trust,
        }
    }

    /// How much it counts for this subject, the greatest first: checked before accepted; what the administrator brought
    /// before what a source did, and of these the last that was believed or approved.
    pub(crate) fn standing_for(&self, subject: &Subject) -> (u8, i64) {
        let found = self.found.iter().find(|found| found.subject.same(subject));
        (u8::MAX - self.trust_for(subject).rank(), found.map_or(i64::MAX, |found| found.since))
    }

    /// Whether only a source says that it belongs to this subject, and nobody approved.
    pub fn is_found_for(&self, subject: &Subject) -> bool {
        self.found.iter().any(|found| found.subject.same(subject) && found.trust.rank() > 0)
    }
}
