//! The administrator's commands.

pub mod accounts;
pub mod ca;
pub mod cli;
pub mod config;
pub mod filter;
pub mod keys;
pub mod notary;
pub mod relay;
