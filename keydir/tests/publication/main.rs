//! What is published, for whom, and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod addresses;
#[path = "../support/draft.rs"]
mod draft;
mod following;
mod lifetimes;
mod minimal;
mod selection;
mod size;
mod smime;
mod world;
