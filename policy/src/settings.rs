//! Settings: what every scope of the configuration can say, and how scopes inherit.

use serde::Deserialize;
use serde::Serialize;

use crate::facts::KeyKind;

/// Whether outbound mail is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encrypt {
    /// Never by us.
    Never,
    /// When there is a usable key. A look-up that fails makes the mail wait.
    #[default]
    Opportunistic,
    /// Always; mail that cannot be encrypted is refused.
    Required,
}

impl Encrypt {
    /// Names and values, as in the configuration.
    pub const CHOICES: [(&'static str, Self); 3] =
        [("never", Self::Never), ("opportunistic", Self::Opportunistic), ("required", Self::Required)];
}

/// Whether outbound mail of our originators is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Never by us.
    #[default]
    Never,
    /// Always; mail that cannot be signed waits.
    Always,
}

impl Sign {
    /// Names and values, as in the configuration.
    pub const CHOICES: [(&'static str, Self); 2] = [("never", Self::Never), ("always", Self::Always)];
}

/// What to do with inbound mail whose protection failed, from lenient to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// Deliver it; the result field says what failed.
    #[default]
    Deliver,
    /// Deliver it with a warning that people see.
    Tag,
    /// Hold it for the administrator.
    Quarantine,
    /// Refuse it.
    Reject,
}

impl Reaction {
    /// Names and values, as in the configuration.
    pub const CHOICES: [(&'static str, Self); 4] = [
        ("deliver", Self::Deliver),
        ("tag", Self::Tag),
        ("reject", Self::Reject),
        ("quarantine", Self::Quarantine),
    ];
}

/// The key kinds that this version can use, in the order that is the default.
pub const AVAILABLE_KINDS: [KeyKind; 2] = [KeyKind::UserOpenpgp, KeyKind::DomainOpenpgp];
