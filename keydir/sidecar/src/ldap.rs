//! A small LDAP server (RFC 4511) for S/MIME certificates, as gpgsm and ldapsearch ask for them.
//!
//! It reads nothing but exact mail addresses out of a filter, and finds one entry or none. Nobody can list, change,
//! compare, or say who he is. The protocol's BER is read by code of our own: the crates that there are log what
//! strangers send, or end on values that are not UTF-8.

pub mod ber;
mod connection;
pub mod filter;
pub mod message;
mod search;

pub use connection::{LdapDoor, accept};

/// Classes of an entry.
pub(crate) const CLASSES: [&str; 5] = ["top", "person", "organizationalPerson", "inetOrgPerson", "pkiUser"];
