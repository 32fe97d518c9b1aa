//! What strangers submit. It is never published by that: the gateway checks it and keeps it as held.

mod form;
mod pending;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use keydir::IntakeError;
use program::chain;
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::Directory;
use crate::answer;
use crate::config::Submissions;

pub use form::{Form, keytext};
use pending::Kept;

/// Largest request body, bytes. Certificates above 1 MiB are refused, and a form makes them a third larger.
pub const BODY_BYTES: usize = 2 << 20;

/// The routes of both versions.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new()
        .route("/pks/add", post(add).options(preflight))
        .route("/pks/v2/certs", post(add_v2).options(preflight))
        .with_state(directory)
}

async fn add(State(directory): State<Arc<Directory>>, request: Request) -> Response<Body> {
    match take(&directory, request).await {
        Ok(_) => {
            answer::plain(StatusCode::OK, "kept until it has been checked; nothing is published by this\n")
        }
        Err(refused) => refused.answer(),
    }
}

async fn add_v2(State(directory): State<Arc<Directory>>, request: Request) -> Response<Body> {
    let kept = match take(&directory, request).await {
        Ok(kept) => kept,
        Err(refused) => return refused.answer(),
    };
    let comment = "kept until it has been checked; nothing is published by this";
    let ignored: Vec<_> = kept
        .certificates
        .iter()
        .map(|(version, fingerprint)| {
            json!({ "version": version, "fingerprint": fingerprint.to_ascii_lowercase(), "comment": comment })
        })
        .collect();
    let none = json!([]);
    let report =
        json!({ "inserted": none, "updated": none, "deleted": none, "ignored": ignored, "invalid": none });
    answer::typed(StatusCode::ACCEPTED, "application/json", report.to_string())
}

async fn preflight(State(directory): State<Arc<Directory>>) -> Response<Body> {
    if directory.config().hkp.submissions == Submissions::Off {
        return Refused::Off.answer();
    }
    let mut response = answer::plain(StatusCode::OK, "");
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/pgp-keys"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    response
}

/// Why a submission is refused.
#[derive(Debug)]
enum Refused {
    /// We could not keep it.
    Failed,
    /// There are too many already.
    Full,
    /// No certificates, or some that nobody would use.
    Intake(IntakeError),
    /// No form and no certificates.
    Malformed,
    /// None are taken.
    Off,
    /// The body is too large.
    TooLarge,
    /// A type or encoding that we do not read.
    Type,
}

impl Refused {
    fn answer(self) -> Response<Body> {
        const SECRET: &str = "THIS IS A SECRET KEY. It was not kept, but it has been sent over a network: consider it \
                              compromised, revoke it, and submit certificates only (gpg --export, not --export-secret-keys)\n";
        let (status, text) = match self {
            Self::Failed => return answer::failed(),
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many submissions wait to be checked; try again later\n",
            ),
            Self::Intake(IntakeError::Secret) => {
                tracing::warn!("somebody submitted a secret key; it was refused and not kept");
                (StatusCode::UNPROCESSABLE_ENTITY, SECRET)
            }
            Self::Intake(error) => {
                let text = format!("{}\n", chain(&error));
                return answer::typed(StatusCode::UNPROCESSABLE_ENTITY, "text/plain; charset=utf-8", text);
            }
            Self::Malformed => {
                (StatusCode::UNPROCESSABLE_ENTITY, "there is no `keytext` with certificates\n")
            }
            Self::Off => (StatusCode::FORBIDDEN, "submissions are not taken here\n"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "this is too large\n"),
            Self::Type => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send a form with `keytext`, or application/pgp-keys, and do not compress it\n",
            ),
        };
        answer::plain(status, text)
    }
}

async fn take(directory: &Arc<Directory>, request: Request) -> Result<Kept, Refused> {
    let config = directory.config();
    if config.hkp.submissions == Submissions::Off {
        return Err(Refused::Off);
    }
    let (parts, body) = request.into_parts();
    let form = Form::of(&parts.headers).ok_or(Refused::Type)?;
    let body = read(&parts.headers, body).await?;
    let place = config.publication.join("submissions");
    let kept = spawn_blocking(move || {
        let text = keytext(&form, &body).ok_or(Refused::Malformed)?;
        pending::keep(&place, &text)
    });
    kept.await.unwrap_or(Err(Refused::Failed))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES as u64) {
        return Err(Refused::TooLarge);
    }
    // Not told apart: more than was announced, more than we take, a connection that broke.
    to_bytes(body, BODY_BYTES).await.map_err(|_| Refused::TooLarge)
}
