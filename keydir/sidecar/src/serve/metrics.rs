//! `/metrics`, `/healthz` and `/readyz` on a listener of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::Directory;

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, directory: Arc<Directory>, ready: Arc<AtomicBool>) {
    let text =
        async move || ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], directory.counters.render());
    let is_ready = async move || match ready.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ready\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    };
    let router = Router::new()
        .route("/metrics", get(text))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(is_ready));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the listener for metrics broke");
    }
}
