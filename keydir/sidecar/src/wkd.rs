//! The Web Key Directory (draft-koch-openpgp-webkey-service), advanced and direct method.

mod asked;
mod recall;

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use keydir::{Publication, PublicationError, wkd_hash};

use crate::Directory;
use crate::answer;

pub use asked::{Asked, What};
pub use recall::Recall;

/// Where everything lies.
pub const PREFIX: &str = "/.well-known/openpgpkey/";

/// How long others may keep an answer, seconds: far less than an epoch of rotating keys.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The routes.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new()
        .route("/.well-known/openpgpkey/{*rest}", get(look_up).options(answer::preflight))
        .with_state(directory)
}

async fn look_up(State(directory): State<Arc<Directory>>, request: Request) -> Response<Body> {
    let uri = request.uri();
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request.headers().get(header::HOST).map(HeaderValue::as_bytes),
    };
    let Some(asked) = Asked::parse(uri.path(), uri.query(), host) else { return answer::nothing() };
    match find(&directory, asked).await {
        Ok(Some(found)) => found.answer(request.headers()),
        Ok(None) => answer::nothing(),
        Err(error) => answer::broken(&error),
    }
}

/// What was found.
enum Found {
    Keys(Arc<[u8]>),
    Text(String),
}

/// Finds it among what is known, or else asks the database, where it may have to wait for the gateway.
async fn find(directory: &Arc<Directory>, asked: Asked) -> Result<Option<Found>, PublicationError> {
    let question = question(&asked);
    let now = SystemTime::now();
    let state = directory.recall.state();
    if let Some(known) =
        state.zip(question.as_deref()).and_then(|(state, it)| directory.recall.get(state, it))
    {
        return Ok(Some(Found::Keys(known)));
    }
    let publication = directory.publication.clone();
    let found = directory.read(move || read(&publication, &asked)).await?;
    if let (Some(state), Some(question), Some(Found::Keys(keys))) = (state, question, &found) {
        directory.recall.keep(state, now, question, keys.clone());
    }
    Ok(found)
}

/// A question for certificates as one text. A local part that is not the one with this hash changes nothing.
fn question(asked: &Asked) -> Option<String> {
    let What::Key { hash, local } = &asked.what else { return None };
    let local = local.as_deref().filter(|local| wkd_hash(local) == *hash);
    let local = local.map(|local| ["\0", local].concat()).unwrap_or_default();
    Some([hash, asked.domain.as_str(), &local].concat())
}

fn read(publication: &Publication, asked: &Asked) -> Result<Option<Found>, PublicationError> {
    match &asked.what {
        What::Key { hash, local } => {
            let keys = publication.wkd(&asked.domain, hash, local.as_deref())?;
            Ok(keys.map(Found::Keys))
        }
        What::Policy => Ok(publication.wkd_policy(&asked.domain)?.map(Found::Text)),
        What::SubmissionAddress => {
            let address = publication.submission_address(&asked.domain)?;
            Ok(address.map(|address| Found::Text(format!("{address}\n"))))
        }
    }
}

impl Found {
    fn answer(self, request: &HeaderMap) -> Response<Body> {
        let (content_type, bytes) = match self {
            Self::Keys(keys) => ("application/octet-stream", Bytes::from_owner(keys)),
            Self::Text(text) => ("text/plain; charset=utf-8", Bytes::from(text)),
        };
        cacheable(content_type, bytes, request)
    }
}

/// A public answer that may be kept for a short time, or 304 if the asker has it.
pub fn cacheable(content_type: &'static str, bytes: Bytes, request: &HeaderMap) -> Response<Body> {
    let tag = tag(&bytes);
    let has = |name: HeaderName| request.get(name).and_then(|value| value.to_str().ok());
    let known = has(header::IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|known| known == tag || known == "*")
    });
    let mut response = Response::new(if known { Body::empty() } else { Body::from(bytes) });
    let headers = response.headers_mut();
    answer::for_scripts(headers);
    headers.insert(header::CACHE_CONTROL, KEEP);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// Differs, for all that matters to a cache, when the bytes differ.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:016x}-{:x}\"", hasher.finish(), bytes.len())
}
