//! SignedData against OpenSSL and gpgsm in both directions, and everything that must not hold.
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

#[path = "cms_signed/attributes.rs"]
mod attributes;
#[path = "cms_signed/forge.rs"]
mod forge;
#[path = "cms_signed/gpgsm.rs"]
mod gpgsm;
#[path = "cms_signed/hostile.rs"]
mod hostile;
#[path = "cms_signed/openssl.rs"]
mod openssl;
#[path = "cms_signed/pki.rs"]
mod pki;
#[path = "cms_signed/samples.rs"]
mod samples;
#[path = "cms_signed/signers.rs"]
mod signers;
