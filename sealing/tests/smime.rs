//! S/MIME messages as a whole: what we seal, others open, and the other way round; and what is refused.
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

#[path = "cms_signed/forge.rs"]
mod forge;
#[path = "support/mod.rs"]
mod support;
#[path = "smime/world.rs"]
mod world;

#[path = "smime/coverage.rs"]
mod coverage;
#[path = "smime/domain.rs"]
mod domain;
#[path = "smime/gpgsm.rs"]
mod gpgsm;
#[path = "smime/lists.rs"]
mod lists;
#[path = "smime/matrix.rs"]
mod matrix;
#[path = "smime/nested.rs"]
mod nested;
#[path = "smime/rfc9216.rs"]
mod rfc9216;
#[path = "smime/trust.rs"]
mod trust;
