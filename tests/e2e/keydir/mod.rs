//! The key directory: strangers find our keys, we find theirs, and nobody swaps one unseen.

mod endorsement;
mod hkp;
mod limits;
mod rotation;
mod strangers;
mod tls;
mod wkd;
