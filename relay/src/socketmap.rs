//! The policy server: what Postfix and Sendmail are told about a road.
//!
//! Both ask over the socketmap protocol, one netstring `NAME KEY` for one netstring with the answer. An answer
//! speaks of a whole domain, while roads are decided per host; [`policy`] says what is lost on the way. The
//! synchronous relay loses nothing.

pub mod policy;
mod protocol;
mod server;
mod tables;

pub use protocol::Answer;
pub use protocol::Request;
pub use server::Listener;
pub use server::ServerLimits;
pub use server::Table;
pub use server::serve;
pub use tables::Asked;
pub use tables::PolicyTables;
pub use tables::TransportTable;
