//! The synchronous relay: Postfix hands mail over, and waits until the remote host has had the last word.
//!
//! An LMTP server (RFC 2033), because LMTP has one reply per recipient after the final dot. It stores nothing and
//! promises nothing: what it cannot deliver now stays in Postfix's queue, with the reason. A client that is lost
//! before the final dot has handed over nothing.

mod command;
mod content;
mod forward;
mod incoming;
mod intake;
mod next_hop;
mod server;
mod session;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mail::Spill;

use crate::delivery::Courier;
use crate::delivery::Envelope;
use crate::delivery::Recipient;
use crate::delivery::Report;

pub use command::Command;
pub use command::parse;
pub use next_hop::next_hop_for;
pub use server::serve;

/// Bounds of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LmtpConfig {
    /// Our name in the greeting.
    pub name: String,
    /// Octets of one message; 0 for any size.
    pub size: u64,
    /// Recipients of one message.
    pub recipients: usize,
    /// Connections at a time; another one is told to come back.
    pub connections: usize,
    /// How long a client may be silent. Postfix keeps connections for a while.
    pub idle: Duration,
    /// How long clients may go on after we were told to stop.
    pub drain: Duration,
    /// Where a large message lies while it is delivered.
    pub spill: Spill,
    /// Clients on other machines are served. Then everybody who reaches the port can send mail in our name; a
    /// firewall must say who may.
    pub foreign_clients: bool,
}

impl Default for LmtpConfig {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            size: 0,
            recipients: 1000,
            connections: 500,
            idle: Duration::from_secs(300),
            drain: Duration::from_secs(30),
            spill: Spill::default(),
            foreign_clients: false,
        }
    }
}

/// One message that went out to one domain, as the record tells it.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// Postfix's queue id, if the client said it (XFORWARD IDENT).
    pub ident: Option<String>,
    /// Sender and options.
    pub envelope: Envelope,
    /// The recipients in this domain.
    pub recipients: Vec<Recipient>,
    /// Octets.
    pub size: u64,
    /// How long it took.
    pub took: Duration,
    /// Route, attempts, and an outcome per recipient.
    pub report: Report,
}

/// Somebody who must know what happened before the client does.
pub trait Witness: Send + Sync + 'static {
    /// Takes down what happened. The replies wait for it, so it must not take long; it is too late to refuse.
    fn relayed(&self, relayed: Relayed) -> impl Future<Output = ()> + Send;
}

/// Nobody wants to know.
impl Witness for () {
    async fn relayed(&self, _relayed: Relayed) {}
}

/// What all sessions share.
#[derive(Debug)]
pub struct Relay<R, W> {
    /// Knows the roads.
    pub routes: R,
    /// Travels them.
    pub courier: Courier,
    /// Takes down what happened.
    pub witness: W,
    /// Bounds.
    pub config: LmtpConfig,
}

impl<R, W> Relay<R, W> {
    /// A relay to be served.
    pub fn new(routes: R, courier: Courier, witness: W, config: LmtpConfig) -> Arc<Self> {
        Arc::new(Self { routes, courier, witness, config })
    }
}

#[cfg(test)]
mod tests;
