//! The key directory: strangers find our keys, we find theirs, and nobody swaps one unseen.

mod authority;
mod discovery;
mod dns;
mod doors;
mod endorsement;
mod export;
mod hkp;
mod ldap;
mod limits;
mod log_doors;
mod lookup;
mod page;
mod rotation;
mod strangers;
mod tls;
mod wkd;
