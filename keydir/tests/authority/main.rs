//! The local authority, judged by OpenSSL's and GnuPG's tools.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod constraints;
mod crash;
mod issuing;
mod ocsp;
mod revocation;
mod same_name;
mod world;
