//! The key directory: strangers find our keys, we find theirs, and nobody swaps one unseen.

mod discovery;
mod dns;
mod endorsement;
mod export;
mod hkp;
mod limits;
mod rotation;
mod strangers;
mod tls;
mod wkd;
mod wks;
