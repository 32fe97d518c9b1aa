//! The gateway as a witness of partners' key logs (C2SP tlog-witness): requests are handed to it, and its answers back.
//! We neither read nor keep them; key and memory are the gateway's.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use net::http::HttpError;
use program::chain;
use tlog::witness::SIZE_TYPE;

use crate::Directory;
use crate::answer;
use crate::gate::GateError;

/// Where partners send checkpoints.
pub const PATH: &str = "/.well-known/tmg/v1/witness/add-checkpoint";
/// Largest request: 63 hashes and a checkpoint with some dozens of cosignatures are a tenth of this.
const REQUEST_BYTES: usize = 64 << 10;

/// The route.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new().route(PATH, post(add_checkpoint)).with_state(directory)
}

async fn add_checkpoint(State(directory): State<Arc<Directory>>, request: Request) -> Response<Body> {
    let Ok(body) = to_bytes(request.into_body(), REQUEST_BYTES).await else {
        return answer::plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n");
    };
    match hand_on(&directory, &body).await {
        Ok(given) => given,
        Err(error) => {
            tracing::warn!("a checkpoint was not handed to the gateway: {}", chain(&error));
            answer::failed()
        }
    }
}

async fn hand_on(directory: &Directory, request: &[u8]) -> Result<Response<Body>, GateError> {
    let given = directory.gate.add_checkpoint(request).await?;
    let status = StatusCode::from_u16(given.status).map_err(|_| HttpError::Malformed)?;
    Ok(match status {
        // Not a witness, or not of this log: nothing is here.
        StatusCode::NOT_FOUND => answer::nothing(),
        StatusCode::SERVICE_UNAVAILABLE => answer::failed(),
        StatusCode::CONFLICT => answer::typed(status, SIZE_TYPE, given.body),
        _ => answer::typed(status, "text/plain; charset=utf-8", given.body),
    })
}
