//! Why certificates are revoked.

/// Why a certificate is revoked (RFC 5280, 5.3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// The holder's name or affiliation changed.
    AffiliationChanged,
    /// The key of an authority is in wrong hands.
    CaCompromise,
    /// Not used any more: the account was closed.
    CessationOfOperation,
    /// The key is in wrong hands.
    KeyCompromise,
    /// The holder must not use it any more.
    PrivilegeWithdrawn,
    /// Another certificate replaces it.
    Superseded,
    /// No reason is given.
    Unspecified,
}

impl RevocationReason {
    /// CRLReason.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }
}
