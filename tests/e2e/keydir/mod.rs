//! The key directory: strangers find our keys, we find theirs, and nobody swaps one unseen.

mod authority;
mod autocrypt;
mod discovery;
mod dns;
mod doors;
mod endorsement;
mod erase;
mod export;
mod harvest;
mod hkp;
mod ldap;
mod limits;
mod log_doors;
mod lookup;
mod monitor;
mod openpgpjs;
mod page;
mod patience;
mod reload;
mod rotation;
mod strangers;
mod tls;
mod witness;
mod wkd;
mod wks;
