//! Gatepost, the Trusted Mail Gateway: the daemon and the administrator's commands.
//!
//! Start reading at [`gateway::Gateway::handle`], the path of one message.

pub mod accounts;
pub mod announced;
pub mod authority;
pub mod changes;
pub mod commands;
pub mod config;
pub mod copies;
pub mod disclaimer_config;
pub mod discovery;
pub mod disposition;
pub mod draft;
pub mod facts;
pub mod gateway;
pub mod harvest;
pub mod hashing;
pub mod http;
pub mod judge;
pub mod keyring;
pub mod listen;
pub mod notice;
pub mod packets;
pub mod password;
pub mod publication;
pub mod record;
pub mod reinject;
pub mod relay;
pub mod reply;
pub mod results;
pub mod revocation;
pub mod rooms;
pub mod rotation;
pub mod run;
pub mod session;
pub mod smime_config;
pub mod smtp;
pub mod spool;
pub mod subject;
pub mod submission;
pub mod telemetry;
pub mod token;
pub mod transaction;
pub mod trust;
pub mod wks;
pub mod workshop;
