//! Sealing and opening with keys of every kind, and what must not open.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a failed assumption is a failed test"
)]

mod support;

#[path = "openpgp/forms.rs"]
mod forms;
#[path = "openpgp/header.rs"]
mod header;
#[path = "openpgp/hostile.rs"]
mod hostile;
#[path = "openpgp/password.rs"]
mod password;
#[path = "openpgp/protected_headers.rs"]
mod protected_headers;
#[path = "openpgp/rfc9580.rs"]
mod rfc9580;
#[path = "openpgp/round_trip.rs"]
mod round_trip;
#[path = "openpgp/signatures.rs"]
mod signatures;
