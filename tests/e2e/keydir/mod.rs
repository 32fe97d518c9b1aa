//! The key directory: strangers find our keys, we find theirs, and nobody swaps one unseen.

mod autocrypt;
mod discovery;
mod dns;
mod endorsement;
mod erase;
mod export;
mod harvest;
mod hkp;
mod limits;
mod monitor;
mod rotation;
mod strangers;
mod tls;
mod witness;
mod wkd;
mod wks;
