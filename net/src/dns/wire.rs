//! One question to the resolver: UDP first, TCP where the answer does not fit.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use domain::base::Message;
use domain::base::MessageBuilder;
use domain::base::Name;
use domain::base::Rtype;
use domain::net::client::dgram;
use domain::net::client::protocol::UdpConnect;
use domain::net::client::request::ComposeRequest;
use domain::net::client::request::RequestMessage;
use domain::net::client::request::RequestMessageMulti;
use domain::net::client::request::SendRequest;
use domain::net::client::stream;
use tokio::net::TcpStream;

use super::validator::Validator;

/// A datagram is sent again after this, at the latest; resolvers answer a repeated question once they know.
const REPEAT: Duration = Duration::from_secs(3);
/// A question is sent at least this often, however short the time.
const TRIES_MIN: u32 = 4;
/// And no more often than this.
const TRIES_MAX: u32 = 20;

/// The way to the resolver.
#[derive(Debug)]
pub(super) struct Wire {
    resolver: SocketAddr,
    datagrams: dgram::Connection<UdpConnect>,
    validator: Option<Validator>,
}

impl Wire {
    /// `timeout` is shared out among the tries.
    pub(super) fn new(resolver: SocketAddr, timeout: Duration, concurrent: usize) -> Self {
        let datagrams =
            dgram::Connection::with_config(UdpConnect::new(resolver), datagrams(timeout, concurrent));
        Self { resolver, datagrams, validator: None }
    }

    /// Asks through a validator of our own.
    pub(super) fn validating(self, validator: Validator) -> Self {
        Self { validator: Some(validator), ..self }
    }

    /// Whether answers are validated here rather than by the resolver.
    pub(super) fn validates(&self) -> bool {
        self.validator.is_some()
    }

    /// The answer to one question, whatever it says. Its id and question are those of the request.
    ///
    /// `unchecked` sets the CD bit: the resolver is to answer even if validation fails.
    ///
    /// # Errors
    /// What happened instead of an answer.
    pub(super) async fn ask(
        &self,
        name: &str,
        rtype: Rtype,
        unchecked: bool,
    ) -> Result<Message<Bytes>, String> {
        let request = request(name, rtype, unchecked)?;
        if let Some(validator) = &self.validator {
            return validator.ask(request).await;
        }
        let mut pending = self.datagrams.send_request(request.clone());
        let answer = pending.get_response().await.map_err(|error| error.to_string())?;
        if answer.header().tc() { self.ask_by_stream(request).await } else { Ok(answer) }
    }

    async fn ask_by_stream(&self, request: RequestMessage<Vec<u8>>) -> Result<Message<Bytes>, String> {
        let socket = TcpStream::connect(self.resolver)
            .await
            .map_err(|error| format!("the answer was truncated and TCP failed: {error}"))?;
        let (connection, transport) =
            stream::Connection::<RequestMessage<Vec<u8>>, RequestMessageMulti<Vec<u8>>>::new(socket);
        let mut pending = connection.send_request(request);
        let answer = tokio::select! {
            answer = pending.get_response() => answer.map_err(|error| format!("TCP: {error}"))?,
            () = transport.run() => return Err("TCP: the resolver closed the connection".to_owned()),
        };
        if answer.header().tc() {
            Err("the answer is truncated even over TCP".to_owned())
        } else {
            Ok(answer)
        }
    }
}

/// How datagrams are repeated within `timeout`.
pub(super) fn datagrams(timeout: Duration, concurrent: usize) -> dgram::Config {
    let repeat = REPEAT.min(timeout / TRIES_MIN).max(Duration::from_millis(1));
    let tries = timeout.as_millis().div_ceil(repeat.as_millis());
    let mut config = dgram::Config::new();
    config.set_max_parallel(concurrent);
    config.set_max_retries(u8::try_from(tries.clamp(1, u128::from(TRIES_MAX))).unwrap_or(u8::MAX));
    config.set_read_timeout(repeat);
    config
}

/// RD, AD (RFC 6840 section 5.7: "the requester understands and is interested in the value of the AD bit"), DO.
fn request(name: &str, rtype: Rtype, unchecked: bool) -> Result<RequestMessage<Vec<u8>>, String> {
    let name: Name<Vec<u8>> = name.parse().map_err(|_| format!("{name} is no domain name"))?;
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_rd(true);
    message.header_mut().set_ad(true);
    message.header_mut().set_cd(unchecked);
    let mut message = message.question();
    message.push((name, rtype)).map_err(|error| error.to_string())?;
    let mut request = RequestMessage::new(message).map_err(|error| error.to_string())?;
    request.set_dnssec_ok(true);
    Ok(request)
}
