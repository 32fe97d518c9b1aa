//! For whom and for what a certificate is asked.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use crate::identity;

/// What the name of a mailbox at rest begins with.
const AT_REST: &str = "at-rest:";

/// Who a certificate belongs to.
///
/// Build one with [`Subject::address`] or [`Subject::domain`], which put the domain into its canonical
/// form (A-labels, lower case, no trailing dot).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One mailbox, `local@domain`.
    Address(String),
    /// A whole domain: the certificate of its gateway (RFC 3183, domain confidentiality and signing
    /// authorities).
    Domain(String),
    /// The mailbox at rest of one user: a key under which the stored mail of `local@domain` is encrypted. It is
    /// never published and never used for anything else.
    AtRest(String),
}

impl Subject {
    /// The subject for one mailbox, or `None` if the text is no plain `local@domain`.
    pub fn address(text: &str) -> Option<Self> {
        let (local, domain) = identity::split_address(text)?;
        Some(Self::Address(format!("{local}@{domain}")))
    }

    /// The subject for a whole domain, or `None` if the text is no domain name.
    pub fn domain(text: &str) -> Option<Self> {
        identity::canonical_domain(text).map(Self::Domain)
    }

    /// The subject for the mailbox at rest of one user, or `None` if the text is no plain `local@domain`.
    pub fn at_rest(text: &str) -> Option<Self> {
        let (local, domain) = identity::split_address(text)?;
        Some(Self::AtRest(format!("{local}@{domain}")))
    }

    /// Reads a subject as an administrator writes it: `user@domain` is a mailbox, `domain` or `@domain` a
    /// whole domain, `at-rest:user@domain` a mailbox at rest.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(address) = text.strip_prefix(AT_REST) {
            return Self::at_rest(address);
        }
        match text.strip_prefix('@') {
            Some(domain) => Self::domain(domain),
            None if text.contains('@') => Self::address(text),
            None => Self::domain(text),
        }
    }

    /// Whether both are the same mailbox or the same domain, whatever the ASCII case.
    pub fn same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// The same subject in lower case throughout.
    pub(crate) fn folded(&self) -> Self {
        match self {
            Self::Address(address) => Self::Address(address.to_ascii_lowercase()),
            Self::Domain(domain) => Self::Domain(domain.to_ascii_lowercase()),
            Self::AtRest(address) => Self::AtRest(address.to_ascii_lowercase()),
        }
    }

    /// The form under which the subject is stored and compared.
    ///
    /// Local parts are compared without regard to ASCII case, as every mail system in use does; other
    /// letters are left alone, so `ÄRGER` and `ärger` stay two mailboxes.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Address(address) => address.to_ascii_lowercase(),
            Self::Domain(domain) => format!("@{}", domain.to_ascii_lowercase()),
            // No address has a space in it.
            Self::AtRest(address) => format!("at rest {}", address.to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::Domain(domain) => write!(f, "@{domain}"),
            Self::AtRest(address) => write!(f, "{AT_REST}{address}"),
        }
    }
}

/// What a certificate is wanted for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To encrypt a message to the subject.
    Encrypt,
    /// To sign as the subject: the secret half must be in our custody.
    Sign,
    /// To verify signatures made by the subject.
    Verify,
}
