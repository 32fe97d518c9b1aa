//! What a look-up said, with the security that the resolver vouched for.
//!
//! A look-up has five outcomes and they are never merged: secure, insecure, denied (securely or not),
//! bogus, failed. Only the first three may lead to a road; the last two make mail wait.

/// Whether a validating resolver authenticated an answer (RFC 4035 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// The whole answer, aliases included, carried the AD bit.
    Secure,
    /// The answer came without the AD bit: its zone is not signed, or not chained to the root.
    Insecure,
}

impl Security {
    /// True for [`Security::Secure`].
    pub fn is_secure(self) -> bool {
        self == Self::Secure
    }

    /// The weaker of two.
    pub fn and(self, other: Self) -> Self {
        if self.is_secure() { other } else { self }
    }
}

/// The outcome of one look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// There are records, at least one.
    Found {
        /// The records, in the order of the answer.
        records: Vec<T>,
        /// Whether they are authenticated.
        security: Security,
    },
    /// The name has no such records.
    None {
        /// Whether the denial is authenticated.
        security: Security,
        /// The name does not exist at all (NXDOMAIN).
        nxdomain: bool,
    },
    /// The resolver refused the data because their signatures do not hold (RFC 4033 section 5).
    Bogus {
        /// What happened, for the administrator.
        why: String,
    },
    /// No answer could be had: time-out, SERVFAIL, garbage, or a resolver that cannot be trusted.
    Failed {
        /// What happened, for the administrator.
        why: String,
    },
}

impl<T> Lookup<T> {
    /// The records, empty unless found.
    pub fn records(&self) -> &[T] {
        match self {
            Self::Found { records, .. } => records,
            _ => &[],
        }
    }

    /// The security of an answer or a denial; nothing for a look-up that gave neither.
    pub fn security(&self) -> Option<Security> {
        match self {
            Self::Found { security, .. } | Self::None { security, .. } => Some(*security),
            _ => None,
        }
    }

    /// Why there is no answer, for [`Lookup::Bogus`] and [`Lookup::Failed`].
    ///
    /// Such a look-up must never be treated as "no records".
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Bogus { why } | Self::Failed { why } => Some(why),
            _ => None,
        }
    }
}

/// A look-up with what was learned on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<T> {
    /// The outcome.
    pub lookup: Lookup<T>,
    /// The name after all aliases, lower-case A-labels without a final dot; the asked name if there is none.
    pub canonical: String,
    /// Whether every alias and the final answer are authenticated.
    pub canonical_security: Security,
    /// How long this may be kept, seconds; capped for answers, from the SOA for denials (RFC 2308).
    pub ttl: u32,
}

/// One MX record. The host `.` is the null MX of RFC 7505.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is tried first (RFC 5321 section 5.1).
    pub preference: u16,
    /// Host name, lower-case A-labels without a final dot; `.` for the null MX.
    pub host: String,
}

/// One TLSA record (RFC 6698 section 2.1), of any parameters, usable or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}
