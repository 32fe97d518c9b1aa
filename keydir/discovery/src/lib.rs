//! Finds the certificates of strangers where they publish them.
//!
//! [`Discovery::find`] asks the configured sources one after the other and keeps three outcomes apart: found,
//! certainly none, could not tell. A failure of TLS, a time-out, a server error, SERVFAIL, a bogus answer or one
//! that is too large is never "no key". A change of the certificate that was used before for a mailbox is a fourth
//! outcome: it is held until its old key, the domain's log or the administrator vouches for it.
//!
//! What strangers send is read by `keydir` only, which knows OpenPGP and X.509; what this room decides
//! ([`trust::decide`]) is pure. Chains of S/MIME certificates are judged by the caller, who has the anchors.

mod config;
mod discovery;
mod engine;
mod found;
mod shelf;
mod source;
#[cfg(test)]
mod tests;
mod trace;
pub mod trust;

pub use config::Config;
pub use config::Directory;
pub use config::Lifetimes;
pub use config::Place;
pub use config::Source;
pub use config::SourceKind;
pub use discovery::Discovery;
pub use discovery::OpenError;
pub use found::Candidate;
pub use found::Found;
pub use found::Held;
pub use found::Issuers;
pub use found::LogVerifier;
pub use found::Outcome;
pub use shelf::HELD_FOR;
pub use trace::Step;
pub use trace::StepOutcome;
pub use trace::Trace;

/// The certificates in a partner's answer. Nobody has looked at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnersAnswer {
    /// Pieces of OpenPGP, each with one certificate or more.
    pub openpgp: Vec<Vec<u8>>,
    /// X.509 certificates in DER.
    pub smime: Vec<Vec<u8>>,
    /// What is said to prove that the domain's key log announced them; JSON as received.
    pub proof: Option<String>,
}

/// Reads a partner's answer about a mailbox.
///
/// # Errors
/// In words: it is not the agreed JSON, is about another mailbox, has too many certificates or no base64.
pub fn partners_answer(body: &[u8], address: &keydir::Subject) -> Result<PartnersAnswer, String> {
    let source::Haul { openpgp, smime, proof, .. } = source::peer::parse(body, address)?;
    Ok(PartnersAnswer { openpgp, smime, proof })
}
