//! DANE for SMTP (RFC 6698, 7671, 7672): which TLSA records count, and whether a certificate chain matches one.
//!
//! Nothing here looks anything up or reads the clock: records, chain and time go in, the record that matched or
//! the reason why none did comes out. That the records are secure is decided in [`crate::engine`].

mod certificate;
mod chain;
mod der;
mod names;
mod tlsa;
mod verify;

pub use names::covers;
pub use tlsa::Unusable;
pub use tlsa::effective;
pub use tlsa::matches;
pub use tlsa::unusable;
pub use tlsa::usable;
pub use verify::DaneFault;
pub use verify::verify;

pub(crate) use der::public_key_info;
