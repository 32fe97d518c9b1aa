//! The administrator's commands.

pub mod check_config;
