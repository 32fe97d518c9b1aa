//! Validation in this process, for those who do not want to trust the resolver or the way to it.
//!
//! The crate's own validator, which calls this part of itself unstable.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::base::Message;
use domain::dnssec::validator::anchor::TrustAnchors;
use domain::dnssec::validator::context::ValidationContext;
use domain::net::client::dgram_stream;
use domain::net::client::protocol::TcpConnect;
use domain::net::client::protocol::UdpConnect;
use domain::net::client::request::RequestMessage;
use domain::net::client::request::SendRequest;
use domain::net::client::validator;

use super::wire;

type Request = RequestMessage<Vec<u8>>;
type Upstream = dgram_stream::Connection<UdpConnect, Request>;

/// Asks a resolver that may be anybody, and checks every signature from the trust anchor down.
pub(super) struct Validator {
    connection: validator::Connection<Upstream, Vec<u8>, Upstream>,
}

impl Validator {
    /// `anchors` are DS or DNSKEY records of the root in zone file form, as unbound writes them.
    ///
    /// # Errors
    /// The anchors cannot be read.
    pub(super) fn new(
        resolver: SocketAddr,
        timeout: Duration,
        concurrent: usize,
        anchors: &str,
    ) -> Result<Self, String> {
        let anchors = TrustAnchors::from_u8(anchors.as_bytes()).map_err(|error| error.to_string())?;
        let mut config = dgram_stream::Config::new();
        config.set_dgram(wire::datagrams(timeout, concurrent));
        let (upstream, transport) =
            Upstream::with_config(UdpConnect::new(resolver), TcpConnect::new(resolver), config);
        // Ends when the last user of the connection has gone.
        tokio::spawn(transport.run());
        let context = Arc::new(ValidationContext::new(anchors, upstream.clone()));
        Ok(Self { connection: validator::Connection::new(upstream, context) })
    }

    /// The answer as a validating resolver gives it: AD if secure, SERVFAIL if bogus.
    pub(super) async fn ask(&self, request: Request) -> Result<Message<Bytes>, String> {
        let mut pending = self.connection.send_request(request);
        pending.get_response().await.map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Validator")
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::super::*;

    /// The root's key of 2017, as an example of an anchor that the scripted resolver does not fit.
    const ANCHOR: &str =
        ". 3600 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

    #[tokio::test]
    async fn made_up_signatures_are_never_secure() {
        let script = Script::new().mx("a.example", 10, "mx.a.example");
        let dns = Dns::validating(script.start_config().await, ANCHOR).unwrap();
        let lookup = dns.mx("a.example").await.lookup;
        assert!(lookup.trouble().is_some(), "{lookup:?}");
        assert!(!dns.validates().await);
    }

    #[tokio::test]
    async fn anchors_must_be_readable() {
        assert!(Dns::validating(DnsConfig::default(), "nonsense (").is_err());
    }
}
