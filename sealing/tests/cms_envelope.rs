//! CMS envelopes, against the programs that others use and against what must not open.
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

#[path = "cms_envelope/world.rs"]
mod world;

#[path = "cms_envelope/compressed.rs"]
mod compressed;
#[path = "cms_envelope/gpgsm.rs"]
mod gpgsm;
#[path = "cms_envelope/hostile.rs"]
mod hostile;
#[path = "cms_envelope/openssl.rs"]
mod openssl_cms;
#[path = "cms_envelope/round_trip.rs"]
mod round_trip;
#[path = "cms_envelope/vectors.rs"]
mod vectors;
