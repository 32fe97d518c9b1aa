//! The relay room inside the daemon: its configuration, its tasks beside the milter, its metrics and records.
//!
//! Nothing of it is on the milter's path, but for one question at RCPT: whether the road to a domain can be
//! authenticated, asked only where policy counts that as protection.

pub mod config;
pub mod listen;
pub mod metrics;
pub mod record;
pub mod room;
pub mod serve;
pub mod tasks;
pub mod witness;
