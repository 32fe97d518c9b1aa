//! The administrator's commands.

pub mod check_config;
pub mod manual;
pub mod output;
