//! Look-ups that keep apart what DNSSEC keeps apart: secure, insecure, denied, bogus, failed.
//!
//! A stub over the crate `domain` to one configured validating resolver. It never reads resolv.conf, never
//! guesses, and while the resolver does not validate it answers nothing but "failed": a look-up that failed
//! is never "no DANE".

mod answer;
mod name;
mod probe;
mod status;
mod stub;
mod validator;
mod wire;

// A world for tests, which may fail loudly.
#[cfg(any(test, feature = "script"))]
#[allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
pub mod script;
#[cfg(test)]
mod tests;

pub use name::BadName;
pub use name::a_labels;
pub use name::is_host_name;
pub use probe::Health;
pub use status::Lookup;
pub use status::Mx;
pub use status::Resolved;
pub use status::Security;
pub use status::Tlsa;
pub use stub::Dns;
pub use stub::DnsConfig;
