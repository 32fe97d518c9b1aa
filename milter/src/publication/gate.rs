//! The socket by which the sidecar asks for what only the gateway can do: OCSP answers, which the authority signs, and
//! labels of mailboxes that have no certificate, which a secret key makes.
//!
//! HTTP/1.1 on a unix socket. `POST /ocsp`: an OCSP request, answered as RFC 6960 says. `POST /label`: a mailbox as
//! text, answered with the 80 octets of the proof; the label follows from it. `POST /add-checkpoint`: as C2SP tlog-witness
//! says, if we are a witness.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use keylog::mailbox::Mailbox;
use net::Clock;
use tlog::witness::MAX_BODY;
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;

use super::PublicationRoom;
use super::witness::WitnessRoom;
use crate::authority::AuthorityRoom;
use crate::telemetry::Telemetry;

/// The socket's name in the publication directory.
pub const SOCKET: &str = "gate.sock";
/// Most bytes of a question.
const LIMIT: usize = 16 << 10;

/// What the gate answers from.
#[derive(Clone)]
pub struct Gate {
    /// Has the key of the labels.
    pub publication: Arc<PublicationRoom>,
    /// Answers OCSP requests, if there is an authority.
    pub authority: Option<Arc<AuthorityRoom>>,
    /// Cosigns, if there are partners to cosign for.
    pub witness: Option<Arc<WitnessRoom>>,
    /// Counts what the witness answers.
    pub telemetry: Arc<Telemetry>,
    /// The time.
    pub clock: Clock,
}

/// Binds the socket, mode 0660, in the place of one that a process before us left.
///
/// # Errors
/// The directory cannot be written.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves until the process ends.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: UnixListener, gate: Gate) -> io::Result<()> {
    let router = Router::new()
        .route("/ocsp", post(ocsp))
        .route("/label", post(label))
        .route("/add-checkpoint", post(add_checkpoint).layer(DefaultBodyLimit::max(MAX_BODY)))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(gate);
    axum::serve(listener, router).await
}

async fn ocsp(State(gate): State<Gate>, request: Bytes) -> Response {
    let Some(authority) = gate.authority else { return StatusCode::NOT_FOUND.into_response() };
    let now = gate.clock.now();
    match spawn_blocking(move || authority.ocsp(&request, now)).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/ocsp-response")], answer).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn add_checkpoint(State(gate): State<Gate>, request: Bytes) -> Response {
    let Some(witness) = gate.witness else { return StatusCode::NOT_FOUND.into_response() };
    let now = gate.clock.now();
    let Ok(answer) = spawn_blocking(move || witness.add_checkpoint(&request, now)).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    gate.telemetry.witness_gave(answer.status());
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (status, [(header::CONTENT_TYPE, answer.content_type())], answer.body()).into_response()
}

async fn label(State(gate): State<Gate>, mailbox: String) -> Response {
    let Some(keys) = gate.publication.log_keys() else { return StatusCode::NOT_FOUND.into_response() };
    match Mailbox::parse(&mailbox) {
        Ok(mailbox) => {
            let (_, proof) = keys.vrf.prove(&mailbox);
            ([(header::CONTENT_TYPE, "application/octet-stream")], proof.0.to_vec()).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
