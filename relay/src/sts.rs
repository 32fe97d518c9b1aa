//! MTA-STS (RFC 8461): discovery, policy, fetch, cache.

mod cache;
mod discovery;
mod disk;
mod fetch;
mod policy;
pub mod record;

pub use cache::StsCache;
pub use cache::StsConfig;
pub use discovery::Discovered;
pub use fetch::FetchError;
pub use policy::BadPolicy;
pub use policy::MAX_AGE_MAX;
pub use policy::Mode;
pub use policy::StsPolicy;

#[cfg(test)]
pub(crate) mod host;
#[cfg(test)]
mod tests;
