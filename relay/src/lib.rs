//! Roads that can be trusted: DANE, MTA-STS, TLS reports, policy server, synchronous relay.
//!
//! [`engine::Engine::route`] decides, per host of a domain, how the other end must be authenticated; all else
//! here carries the decision out, tells it to Postfix, or reports on it. Everything is asynchronous and nothing
//! of it is ever on the milter's message path.

pub mod dane;
mod decide;
pub mod delivery;
pub mod engine;
mod explore;
pub mod lmtp;
pub mod map;
pub mod netstring;
pub mod next_hop;
pub mod pledge;
pub mod publish;
pub mod road;
mod shelf;
pub mod socketmap;
pub mod sts;
pub mod tls;
pub mod tlsrpt;

use net::dns;
use net::flight;
use net::http;

#[cfg(test)]
mod fixtures;
