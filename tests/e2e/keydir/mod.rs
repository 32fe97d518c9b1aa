//! The key directory: strangers find our keys, we find theirs, and nobody swaps one unseen.

mod discovery;
mod dns;
mod export;
mod hkp;
mod limits;
mod tls;
mod wkd;
