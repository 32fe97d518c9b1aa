//! The policy file (RFC 8461 section 3.2).

use serde::Deserialize;
use serde::Serialize;

/// What a sender does with a host that does not match or cannot be authenticated (RFC 8461 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It must not deliver there.
    Enforce,
    /// It delivers and reports.
    Testing,
    /// There is no policy.
    None,
}

/// A valid policy, as parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StsPolicy {
    /// The `id` of the TXT record under which it was fetched.
    pub id: String,
    /// Enforcement.
    pub mode: Mode,
    /// Life time, seconds.
    pub max_age: u32,
    /// Patterns for MX names, lower-case A-labels; a first label may be `*`.
    pub mx: Vec<String>,
    /// The lines of the file, unchanged, for TLS reports (RFC 8460 section 4.4, `policy-string`).
    pub lines: Vec<String>,
}

impl StsPolicy {
    /// Whether `host` is listed (RFC 8461 section 4.1).
    pub fn lists(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| pattern.eq_ignore_ascii_case(host))
    }
}
