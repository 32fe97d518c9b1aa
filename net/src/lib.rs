//! Names and requests of the Internet.
//!
//! [`dns`] keeps apart what DNSSEC keeps apart; [`http`] makes one request over a connection that is already
//! there. Nothing here decides anything: whoever asks knows what an answer means.

pub mod dns;
pub mod http;
