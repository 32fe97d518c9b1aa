//! One LDAP connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use program::chain;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::Directory;
use crate::client::Client;
use crate::counters::{Class, Door};
use crate::limits::Ask;
use crate::serve::Patient;

use super::ber::message_length;
use super::message::{Bind, Code, Message, Request, disconnection, result, starttls};
use super::search;

/// Largest request; certificates go the other way.
const REQUEST_BYTES: usize = 16 << 10;
/// Requests of one connection.
const REQUESTS: u32 = 1000;
/// How long accepting rests after an error, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the connections of one listener share.
#[derive(Clone, Debug)]
pub struct LdapDoor {
    /// The state.
    pub directory: Arc<Directory>,
    /// TLS from the first octet on.
    pub is_tls: bool,
    /// TLS parameters, if there is a certificate.
    pub tls: Option<Arc<ServerConfig>>,
    /// Becomes true when no more requests are to be taken.
    pub draining: watch::Receiver<bool>,
}

/// Accepts connections until draining begins.
pub async fn accept(listener: TcpListener, door: LdapDoor, alive: mpsc::Sender<()>) {
    let mut draining = door.draining.clone();
    loop {
        let next = async {
            let permit = door.directory.limits.connections.room().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        match (permit, accepted) {
            (Some(permit), Ok((stream, peer))) => {
                tokio::spawn(serve(stream, peer, permit, door.clone(), alive.clone()));
            }
            (None, _) => return,
            (_, Err(error)) => {
                tracing::error!(%error, "cannot accept an LDAP connection; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves a connection to its end. `_alive` is held meanwhile.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    door: LdapDoor,
    _alive: mpsc::Sender<()>,
) {
    let limits = door.directory.config().limits;
    let client = Client::peer(Some(peer.ip()));
    let Some(_seat) = door.directory.limits.connections.seat(permit, Some(client)) else {
        door.directory.counters.refused_connection();
        return;
    };
    let stream: Box<dyn Stream> = Box::new(Patient::new(stream, limits.request));
    let mut draining = door.draining.clone();
    let mut session = Session { door, peer: peer.ip(), is_tls: false, stream, buffer: Vec::new() };
    let whole = async {
        if session.door.is_tls && !session.secure().await {
            return;
        }
        session.run().await;
    };
    tokio::select! {
        () = whole => {}
        () = sleep(limits.connection) => {}
        _ = draining.wait_for(|draining| *draining) => {}
    }
}

struct Session {
    door: LdapDoor,
    peer: IpAddr,
    is_tls: bool,
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// Whether there is more to come.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    End,
}

impl Session {
    async fn run(&mut self) {
        for _ in 0..REQUESTS {
            let message = match self.next_message().await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(()) => {
                    self.count(Class::Refused);
                    self.send(&disconnection()).await;
                    return;
                }
            };
            if self.answer(message).await == Next::End {
                return;
            }
        }
    }

    /// The next message; `None` at the end of the connection, or when none comes in time.
    async fn next_message(&mut self) -> Result<Option<Message>, ()> {
        // For the whole of it: drop by drop it takes no longer.
        let deadline = Instant::now() + self.door.directory.config().limits.request;
        loop {
            if let Some(length) = message_length(&self.buffer, REQUEST_BYTES).map_err(|_| ())?
                && let Some(bytes) = self.buffer.get(..length)
            {
                let message = Message::parse(bytes).map_err(|_| ())?;
                self.buffer.drain(..length);
                return Ok(Some(message));
            }
            let mut chunk = [0; 2048];
            match timeout_at(deadline, self.stream.read(&mut chunk)).await {
                Ok(Ok(read)) if read > 0 => {
                    self.buffer.extend_from_slice(chunk.get(..read).unwrap_or_default())
                }
                _ => return Ok(None),
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Next {
        let Message { id, request, is_critical } = message;
        let Some(tag) = request.response() else {
            return if request == Request::Unbind { Next::End } else { Next::Request };
        };
        if is_critical {
            self.count(Class::Refused);
            let text = "no controls are supported";
            return self.send(&result(id, tag, Code::UnavailableCriticalExtension, text)).await;
        }
        match request {
            Request::Bind(bind) => {
                let (code, text) = bound(bind);
                self.send(&result(id, tag, code, text)).await
            }
            Request::Search(search) => {
                let answer = self.search(id, &search).await;
                self.send(&answer).await
            }
            Request::StartTls => self.starttls(id).await,
            _ => {
                self.count(Class::Refused);
                let code = if tag == 0x78 { Code::ProtocolError } else { Code::UnwillingToPerform };
                self.send(&result(id, tag, code, "this directory only answers searches")).await
            }
        }
    }

    async fn search(&mut self, id: i32, search: &super::message::Search) -> Vec<u8> {
        let done = |code, text| result(id, 0x65, code, text);
        let directory = &self.door.directory;
        if directory.limits.admit(Client::peer(Some(self.peer)), Ask::LookUp).is_err() {
            self.count(Class::Limited);
            return done(Code::Busy, "too many requests");
        }
        match search::answer(directory, id, search, self.door.tls.is_some()).await {
            Ok(entries) => {
                self.count(if entries.is_empty() { Class::Nothing } else { Class::Found });
                [entries.concat(), done(Code::Success, "")].concat()
            }
            Err(error) => {
                tracing::error!("cannot read the publication: {}", chain(&error));
                self.count(Class::Failed);
                done(Code::Unavailable, "try again later")
            }
        }
    }

    async fn starttls(&mut self, id: i32) -> Next {
        if self.door.tls.is_none() || self.is_tls {
            return self.send(&starttls(id, Code::ProtocolError, "not offered")).await;
        }
        // What came before TLS must not be taken for what came in it (RFC 4511, 4.14.1).
        if !self.buffer.is_empty() || self.send(&starttls(id, Code::Success, "")).await == Next::End {
            return Next::End;
        }
        if self.secure().await { Next::Request } else { Next::End }
    }

    /// Goes on in TLS; says whether that worked.
    async fn secure(&mut self) -> bool {
        let Some(tls) = self.door.tls.clone() else { return false };
        let (closed, _) = tokio::io::duplex(1);
        let stream = std::mem::replace(&mut self.stream, Box::new(closed));
        let limit = self.door.directory.config().limits.handshake;
        match timeout(limit, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => {
                self.stream = Box::new(stream);
                self.is_tls = true;
                true
            }
            _ => {
                self.door.directory.counters.failed_handshake();
                false
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Next {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        if sent.await.is_ok() { Next::Request } else { Next::End }
    }

    fn count(&self, class: Class) {
        self.door.directory.counters.count(Door::Ldap, class);
    }
}

const fn bound(bind: Bind) -> (Code, &'static str) {
    match bind {
        Bind::Anonymous => (Code::Success, ""),
        Bind::Password => (Code::InvalidCredentials, "only anonymous access"),
        Bind::Unauthenticated => (Code::UnwillingToPerform, "a name without a password is nobody"),
        Bind::Sasl => (Code::AuthMethodNotSupported, "only anonymous access"),
        Bind::Version => (Code::ProtocolError, "only LDAP version 3"),
    }
}
