//! Answers that all doors give alike.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use program::chain;

use crate::limits::Wait;

/// What there is nothing of: the same for everything that is not there, whatever the reason.
pub fn nothing() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "not found\n")
}

/// We could not look; the client may try again.
pub fn failed() -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "try again later\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
    response
}

/// The publication could not be read. The log says why, the client only hears [`failed`].
pub fn broken(error: &keydir::PublicationError) -> Response<Body> {
    tracing::error!("cannot read the publication: {}", chain(error));
    failed()
}

/// What a browser asks before it lets a script of another site ask: yes, but only for reading.
pub async fn preflight() -> Response<Body> {
    let mut response = plain(StatusCode::OK, "");
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Too many requests.
pub fn limited(Wait(seconds): Wait) -> Response<Body> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// A short text, which no cache keeps. Everybody's scripts may read it.
pub fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", text)
}

/// An answer of some type, which no cache keeps.
pub fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for_scripts(headers);
    response
}

/// Lets scripts of all pages read the answer, and nobody guess at its type.
pub fn for_scripts(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
