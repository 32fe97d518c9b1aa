//! The gateway as a witness of partners' key logs (C2SP tlog-witness): requests are handed to it, and its answers back.
//! We neither read nor keep them; key and memory are the gateway's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use net::http::{HttpError, submit};
use tlog::witness::SIZE_TYPE;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::Directory;
use crate::answer;
use crate::exit::chain;

/// Where partners send checkpoints.
pub const PATH: &str = "/.well-known/tmg/v1/witness/add-checkpoint";
/// Largest request: 63 hashes and a checkpoint with some dozens of cosignatures are a tenth of this.
const REQUEST_BYTES: usize = 64 << 10;
/// Largest answer of the gateway.
const ANSWER_BYTES: usize = 16 << 10;
/// The gateway's socket in the publication directory.
const SOCKET: &str = "gate.sock";
/// Requests that are handed on at the same time.
const AT_ONCE: usize = 16;
/// For the gateway's answer, the wait for a turn included.
const PATIENCE: Duration = Duration::from_secs(5);

/// The route.
pub fn router(directory: Arc<Directory>) -> Router {
    let door = Door { directory, turns: Arc::new(Semaphore::new(AT_ONCE)) };
    Router::new().route(PATH, post(add_checkpoint)).with_state(door)
}

#[derive(Clone, Debug)]
struct Door {
    directory: Arc<Directory>,
    turns: Arc<Semaphore>,
}

/// Why the gateway gave no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the gateway does not listen on its socket")]
    Closed(#[source] std::io::Error),
    #[error("the gateway's answer cannot be used")]
    Http(#[from] HttpError),
    #[error("the gateway did not answer in time")]
    Late,
}

async fn add_checkpoint(State(door): State<Door>, request: Request) -> Response<Body> {
    let Ok(body) = to_bytes(request.into_body(), REQUEST_BYTES).await else {
        return answer::plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n");
    };
    match hand_on(&door, &body).await {
        Ok(given) => given,
        Err(error) => {
            tracing::warn!("a checkpoint was not handed to the gateway: {}", chain(&error));
            answer::failed()
        }
    }
}

async fn hand_on(door: &Door, body: &[u8]) -> Result<Response<Body>, NoAnswer> {
    let publication = door.directory.config().publication.clone();
    let handed = timeout(PATIENCE, async {
        // Never closed; if it were, that would be no turn either.
        let _turn = door.turns.acquire().await.map_err(|_| NoAnswer::Late)?;
        ask(&publication, body).await
    });
    let (status, body) = handed.await.map_err(|_| NoAnswer::Late)??;
    Ok(match status {
        // Not a witness, or not of this log: nothing is here.
        StatusCode::NOT_FOUND => answer::nothing(),
        StatusCode::SERVICE_UNAVAILABLE => answer::failed(),
        StatusCode::CONFLICT => answer::typed(status, SIZE_TYPE, body),
        _ => answer::typed(status, "text/plain; charset=utf-8", body),
    })
}

async fn ask(publication: &Path, body: &[u8]) -> Result<(StatusCode, Vec<u8>), NoAnswer> {
    let stream = UnixStream::connect(publication.join(SOCKET)).await.map_err(NoAnswer::Closed)?;
    let content = ("text/plain; charset=utf-8", body);
    let given = submit(stream, "gate", "/add-checkpoint", content, "*/*", ANSWER_BYTES).await?;
    let status = StatusCode::from_u16(given.status).map_err(|_| HttpError::Malformed)?;
    Ok((status, given.body))
}
