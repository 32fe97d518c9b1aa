//! What became of one message: for the client, the record, TLS reports and the relay map.

use std::net::IpAddr;
use std::sync::Arc;

use super::reply::Reply;
use super::session::Target;
use crate::road::Route;
use crate::tls::Channel;
use crate::tls::Matched;
use crate::tls::SessionFailure;

/// The host that had the last word, and the road to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// MX name, or the text of an address literal.
    pub host: String,
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// TLS, and who the peer was proven to be.
    pub channel: Channel,
    /// The host's name came from a secure answer or from the administrator; else DANE only proves that we
    /// reached the host that an insecure answer named (RFC 7672 section 2.2.1).
    pub mx_secure: bool,
}

impl Via {
    pub(super) fn new(target: &Target, channel: Channel) -> Self {
        let Target { host, address, port, mx_secure, .. } = target;
        Self { host: host.clone(), address: *address, port: *port, channel, mx_secure: *mx_secure }
    }

    /// `mx.example.org[192.0.2.1]:25 DANE-verified TLSv1.3`: where, and exactly what was proven.
    pub fn describe(&self) -> String {
        let proof = match &self.channel.matched {
            Matched::Tlsa { .. } if self.mx_secure => "DANE-verified ",
            Matched::Tlsa { .. } => "DANE-matched (insecure MX) ",
            Matched::WebPki { .. } => "WebPKI-verified ",
            Matched::Unauthenticated => "unauthenticated ",
            Matched::Cleartext => "cleartext",
        };
        let version = self.channel.tls_version.as_deref().unwrap_or_default();
        format!("{}[{}]:{} {proof}{version}", self.host, self.address, self.port)
    }
}

/// One try at one address: what TLS reports and the relay map are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// MX name.
    pub host: String,
    /// The address; nothing if it did not come to a connection.
    pub address: Option<IpAddr>,
    /// The road that was travelled; nothing if the host was not ready for mail.
    pub channel: Option<Channel>,
    /// What the host calls itself.
    pub greeting: Option<String>,
    /// An earlier connection was used again: for TLS reports it is no new session.
    pub reused: bool,
    /// What went wrong with TLS, tolerated or not.
    pub failure: Option<SessionFailure>,
    /// What went wrong, in words.
    pub why: Option<String>,
}

/// What one recipient's client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The reply.
    pub reply: Reply,
    /// The host whose reply it is; nothing if it is our own.
    pub via: Option<Arc<Via>>,
}

/// What became of one message on one route.
#[derive(Clone, Debug)]
pub struct Report {
    /// The route that was followed.
    pub route: Arc<Route>,
    /// One per recipient, in their order.
    pub outcomes: Vec<Outcome>,
    /// Every try, in order.
    pub attempts: Vec<Attempt>,
    /// `TLS-Required: No` set DANE and MTA-STS aside, as if we knew neither (RFC 8689 section 8.4): what happened says
    /// nothing about the domain's policies.
    pub waived: bool,
}
