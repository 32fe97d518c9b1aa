//! `gatepost-keydir serve`.

mod router;

pub use router::router;
