//! MTA-STS (RFC 8461): discovery, policy, fetch, cache.

mod cache;
mod policy;

pub use cache::StsCache;
pub use cache::StsConfig;
pub use policy::Mode;
pub use policy::StsPolicy;
