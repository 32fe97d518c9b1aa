//! `/metrics`, `/healthz` and `/readyz` on a listener of their own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::telemetry::Telemetry;

/// What the listener reports on.
#[derive(Clone)]
pub struct Status {
    /// The counters.
    pub telemetry: Arc<Telemetry>,
    /// True from the moment the milter sockets are bound until draining begins.
    pub ready: Arc<AtomicBool>,
}

/// Binds the listener.
///
/// # Errors
/// The address is taken or not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the process ends.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, status: Status) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .with_state(status);
    axum::serve(listener, router).await
}

async fn metrics(State(status): State<Status>) -> Response {
    match status.telemetry.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Alive: the process answers.
async fn healthy() -> &'static str {
    "ok\n"
}

/// Ready: mail handed to us now gets a verdict.
async fn ready(State(status): State<Status>) -> (StatusCode, &'static str) {
    if status.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}
