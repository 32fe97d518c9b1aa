//! Names and requests of the Internet.
//!
//! [`dns`] keeps apart what DNSSEC keeps apart; [`http`] makes one request over a connection that is already
//! there; [`https`] makes one to a host that a stranger named, without being led astray. [`flight`]
//! lets all who want the same thing at the same time share one piece of work; [`Clock`] is the time by which
//! answers grow old. Nothing here decides anything: whoever asks knows what an answer means.

mod clock;
pub mod dns;
pub mod flight;
pub mod http;
pub mod https;

pub use clock::Clock;
