//! `gatepost-keydir`, the sidecar: the process that faces the Internet and holds no secret key but its TLS key.
//!
//! It reads the publication that the gateway writes ([`keydir::Publication`]) and shows it through doors: the Web
//! Key Directory, key server look-ups, LDAP, the key log, the certification authority's files, and a page
//! for people. All doors share one [`Directory`]. What is not there, whatever the reason, gets the same answer.
//! No log line names a client, an address or a domain that was asked for.

pub mod answer;
pub mod authority;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod counters;
mod directory;
pub mod dns_update;
pub mod export;
pub mod export_dns;
pub mod export_wkd;
#[cfg(test)]
mod fixtures;
pub mod gate;
pub mod hkp;
pub mod ldap;
pub mod limits;
pub mod log;
pub mod log_commands;
pub mod lookup;
pub mod page;
pub mod percent;
pub mod progress;
pub mod serve;
pub mod tls;
pub mod witness;
pub mod wkd;

pub use directory::Directory;
