//! One connection: its place, TLS, HTTP, and its end.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::Directory;
use crate::client::Client;

use super::patient::Patient;
use super::sockets::Stream;

/// What the connections of one listener share.
#[derive(Debug)]
pub(super) struct Doors {
    /// The state.
    pub(super) directory: Arc<Directory>,
    /// All doors.
    pub(super) router: Router,
    /// TLS parameters, if TLS is spoken.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Becomes true when no more requests are to be taken.
    pub(super) draining: watch::Receiver<bool>,
    /// How many connections are open, of all listeners.
    pub(super) open: Arc<AtomicU64>,
}

/// Largest header section of a request, bytes, the request line included.
const HEADER_BYTES: usize = 16 << 10;

/// Serves a connection to its end. `_alive` is held meanwhile.
pub(super) async fn serve(
    stream: Stream,
    peer: Option<IpAddr>,
    permit: OwnedSemaphorePermit,
    doors: Arc<Doors>,
    _alive: mpsc::Sender<()>,
) {
    let directory = &doors.directory;
    let config = directory.config();
    let counted = (!config.trusted_proxies.trusts(peer)).then(|| Client::peer(peer));
    let Some(_seat) = directory.limits.connections.seat(permit, counted) else {
        directory.counters.refused_connection();
        return;
    };
    let _open = Open::one(&doors);
    let stream = Patient::new(stream, config.limits.request);
    let Some(tls) = &doors.tls else { return speak(stream, peer, &doors).await };
    match timeout(config.limits.handshake, TlsAcceptor::from(tls.clone()).accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, peer, &doors).await,
        Ok(Err(error)) => {
            directory.counters.failed_handshake();
            tracing::debug!(%error, "a TLS handshake failed");
        }
        Err(_) => directory.counters.failed_handshake(),
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Option<IpAddr>,
    doors: &Arc<Doors>,
) {
    let limits = doors.directory.config().limits;
    let requests = Requests {
        peer,
        directory: doors.directory.clone(),
        router: TowerToHyperService::new(doors.router.clone()),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header).max_buf_size(HEADER_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), requests));
    let mut draining = doors.draining.clone();
    let ending = async {
        tokio::select! {
            _ = draining.wait_for(|draining| *draining) => {}
            () = sleep(limits.connection) => {}
        }
    };
    tokio::select! {
        ended = connection.as_mut() => return told(ended),
        () = ending => {}
    }
    // The request under way is finished; then the connection is closed.
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(limits.request, connection).await {
        told(ended);
    }
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Hands requests to the router, each with the client that it is from.
#[derive(Debug)]
struct Requests {
    peer: Option<IpAddr>,
    directory: Arc<Directory>,
    router: TowerToHyperService<Router>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = <TowerToHyperService<Router> as Service<Request<Body>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Body>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Body>>>::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let config = self.directory.config();
        let client = Client::of_request(self.peer, request.headers(), &config.trusted_proxies);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client);
        self.router.call(request)
    }
}

/// Counts an open connection.
struct Open<'d>(&'d Doors);

impl<'d> Open<'d> {
    fn one(doors: &'d Doors) -> Self {
        let open = doors.open.fetch_add(1, Ordering::Relaxed);
        doors.directory.counters.set_connections(open + 1);
        Self(doors)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let open = self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.directory.counters.set_connections(open.saturating_sub(1));
    }
}
