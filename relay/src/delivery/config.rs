//! How mail is delivered: patience, limits, names.

use std::time::Duration;

use super::pool::PoolConfig;

/// How long each step may take. What is over in time for the step may still be cut by `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// TCP handshake with one address.
    pub connect: Duration,
    /// The greeting.
    pub greeting: Duration,
    /// The answer to a command, or a TLS handshake.
    pub command: Duration,
    /// 64 KiB of content.
    pub block: Duration,
    /// The answer to the end of the content. As long as possible: an answer that we miss is a message that
    /// arrives twice (RFC 5321 section 4.5.3.2.6 has ten minutes).
    pub done: Duration,
    /// All of it, all hosts together. Must lie below the client's patience after its final dot, which is
    /// Postfix's `lmtp_data_done_timeout` (600 s).
    pub total: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            greeting: Duration::from_secs(60),
            command: Duration::from_secs(60),
            block: Duration::from_secs(120),
            done: Duration::from_secs(540),
            total: Duration::from_secs(540),
        }
    }
}

/// How mail is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourierConfig {
    /// Our name for EHLO.
    pub name: String,
    /// Patience.
    pub times: Times,
    /// Reuse of connections.
    pub pool: PoolConfig,
    /// Deliveries at a time; more wait a little and are then refused for now.
    pub deliveries: usize,
    /// Addresses tried for one message.
    pub addresses: usize,
    /// Hosts that were ready for mail and deferred it, before we stop asking others.
    pub sessions: usize,
    /// `TLS-Required: No` in a message sets DANE and MTA-STS aside for it (RFC 8689 section 4.2.2).
    pub honour_tls_required: bool,
}

impl Default for CourierConfig {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            times: Times::default(),
            pool: PoolConfig::default(),
            deliveries: 500,
            addresses: 10,
            sessions: 3,
            honour_tls_required: true,
        }
    }
}
