//! Whether a certificate on offer may be used. Pure: no clock, no I/O.

use keydir::Origin;
use serde::Serialize;

/// What to do with certificates that anybody can bring about: harvested from mail, or from a key server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstContact {
    /// Never used.
    Off,
    /// Held until the administrator approves.
    #[default]
    Hold,
    /// Used if nothing was seen for the address before (trust on first use).
    Tofu,
}

/// The administrator's rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// Certificates that came with verified mail.
    pub harvested: FirstContact,
    /// Certificates of key servers.
    pub key_servers: FirstContact,
}

/// A certificate that was used for an address before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// Upper-case hexadecimal.
    pub fingerprint: String,
    /// From whom it was taken first.
    pub origin: Origin,
    /// When it was taken first, Unix seconds.
    pub first: i64,
    /// When it was taken last, Unix seconds. The greatest is the one in use.
    pub last: i64,
    /// It was revoked.
    pub revoked: bool,
}
