//! Revocation lists (RFC 5280), certificates of the authorities and OCSP (RFC 6960 appendix A) over HTTP.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use keydir::{Issued, Profile};
use net::Clock;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::AuthorityRoom;

/// Most bytes of an OCSP request.
const REQUEST_LIMIT: usize = 16 << 10;

#[derive(Clone)]
struct Serving {
    room: Arc<AuthorityRoom>,
    clock: Clock,
}

/// Serves until the process ends.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, room: Arc<AuthorityRoom>, clock: Clock) -> io::Result<()> {
    let router = Router::new()
        .route("/ocsp", post(ocsp_post))
        .route("/ocsp/{*request}", get(ocsp_get))
        .route("/{file}", get(file))
        .layer(DefaultBodyLimit::max(REQUEST_LIMIT))
        .with_state(Serving { room, clock });
    axum::serve(listener, router).await
}

async fn ocsp_post(State(serving): State<Serving>, request: Bytes) -> Response {
    answer(serving, request.to_vec()).await
}

/// The request in base64, percent-encoded (RFC 6960 appendix A.1); clients leave slashes as they are, so it
/// may look like several steps of a path.
async fn ocsp_get(State(serving): State<Serving>, Path(request): Path<String>) -> Response {
    match openssl::base64::decode_block(&request) {
        Ok(request) => answer(serving, request).await,
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn answer(serving: Serving, request: Vec<u8>) -> Response {
    let answered = spawn_blocking(move || serving.room.ocsp(&request, serving.clock.now())).await;
    match answered {
        Ok(response) => ([(header::CONTENT_TYPE, "application/ocsp-response")], response).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// `root.crl`, `issuing-1.crl`, `root.cer`, `issuing-1.cer`, and `root.pem` for people.
async fn file(State(serving): State<Serving>, Path(name): Path<String>) -> Response {
    let found = spawn_blocking(move || find(&serving.room, &name)).await;
    match found {
        Ok(Ok(Some((media_type, bytes)))) => ([(header::CONTENT_TYPE, media_type)], bytes).into_response(),
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

type Found = Option<(&'static str, Vec<u8>)>;

fn find(room: &AuthorityRoom, name: &str) -> Result<Found, keydir::AuthorityError> {
    let Some((issuer, extension)) = name.rsplit_once('.') else { return Ok(None) };
    let is_authority = |issued: &Issued| matches!(issued.profile, Profile::Root | Profile::Issuing);
    let issued = room.authority.issued(Some(issuer))?.into_iter().find(is_authority);
    let Some(issued) = issued else { return Ok(None) };
    Ok(match extension {
        "crl" => {
            let list = room.authority.latest_crl(&issued.fingerprint)?;
            list.map(|list| ("application/pkix-crl", list.der))
        }
        "cer" => Some(("application/pkix-cert", issued.certificate.der().to_vec())),
        "pem" => Some(("application/x-pem-file", issued.certificate.pem().into_bytes())),
        _ => None,
    })
}
