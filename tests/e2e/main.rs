//! The promises of Gatepost, one module each, against real Postfix and real clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed assumption is a failed test"
)]

mod at_rest;
mod commands;
mod corpus;
mod daemon;
mod dashboards;
mod directions;
mod disclaimer;
mod faults;
mod filter;
mod forward;
mod header_protection;
mod inbound;
mod keydir;
mod other_ways;
mod outbound;
mod password;
mod patience;
mod peers;
mod postfix_plain;
mod protocol;
mod relay;
mod rooms;
mod sendmail;
mod setup;
mod smime;
mod untouched;
