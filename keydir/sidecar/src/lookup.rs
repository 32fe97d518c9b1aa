//! The look-up of other gateways: everything for one address, with the proof of the key log, as JSON.
//!
//! `GET /.well-known/tmg/v1/lookup?address=A`. What is not there gets 404 and the same document without certificates,
//! whatever the reason: no such mailbox, no key, not our domain.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use base64_simd::STANDARD;
use keydir::{Mailbox, Published};
use serde::Serialize;

use crate::Directory;
use crate::answer;
use crate::log::{ProveError, asked, unreadable};

/// Where it is.
pub const PATH: &str = "/.well-known/tmg/v1/lookup";
/// How long others may keep an answer, as for the Web Key Directory.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The routes.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new().route(PATH, get(look_up).options(answer::preflight)).with_state(directory)
}

#[derive(Serialize)]
struct Document<'a> {
    /// As it was asked for.
    address: &'a str,
    /// Binary certificates, base64.
    openpgp: Vec<String>,
    /// DER, base64.
    smime: Vec<String>,
    /// Of which mailbox the proof is, in the form of which the log makes labels.
    mailbox: Option<String>,
    /// The proof of the key log, base64; null if there is no log, or nobody who can prove absence.
    proof: Option<String>,
}

async fn look_up(State(directory): State<Arc<Directory>>, RawQuery(query): RawQuery) -> Response<Body> {
    let Some(address) = asked(query.as_deref()) else { return unreadable() };
    let (found, proved) = match directory.key_log.look_up(&directory, &address).await {
        Ok(answer) => answer,
        Err(error) => return answer::broken(&error),
    };
    let proved = match proved {
        Ok(proved) => Some(proved),
        Err(error @ (ProveError::NoLog | ProveError::Mailbox(_) | ProveError::Gate(_))) => {
            error.tell();
            None
        }
        // A log that contradicts itself must not look like one that is not there.
        Err(error) => {
            error.tell();
            return answer::failed();
        }
    };
    let document = Document {
        address: &address,
        openpgp: texts(found.as_ref(), |found| &found.openpgp),
        smime: texts(found.as_ref(), |found| &found.smime),
        mailbox: proved.as_ref().map(|proved| proved.mailbox.to_string()),
        proof: proved.map(|proved| STANDARD.encode_to_string(proved.proof.to_bytes())),
    };
    let is_there = !document.openpgp.is_empty() || !document.smime.is_empty();
    let status = if is_there { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let Ok(json) = serde_json::to_vec(&document) else { return answer::failed() };
    let mut response = answer::typed(status, "application/json", json);
    if is_there {
        response.headers_mut().insert(header::CACHE_CONTROL, KEEP);
    }
    response
}

fn texts(found: Option<&Mailbox>, of: impl Fn(&Mailbox) -> &Vec<Published>) -> Vec<String> {
    let certificates = found.map(of).into_iter().flatten();
    certificates.map(|published| STANDARD.encode_to_string(&published.bytes)).collect()
}
