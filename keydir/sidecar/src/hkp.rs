//! Key server look-ups (draft-ietf-openpgp-hkp): the first version, which today's software speaks, and the second.
//!
//! Only exact questions are answered: by a whole mailbox, fingerprint or long key id. Nothing lists, nothing
//! searches for parts, and submissions change nothing that is published.

pub mod armor;
pub mod index;
pub mod search;
pub mod submission;
mod v2;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use keydir::{PublicationError, Published, Scheme};

use crate::Directory;
use crate::answer;
use crate::wkd::cacheable;

pub use search::{Lookup, Operation, Search, Wrong};
pub use v2::router as router_v2;

/// The type of certificates in ASCII armor.
const KEYS: &str = "application/pgp-keys";
const TEXT: &str = "text/plain; charset=utf-8";

/// The routes of version 1 for look-ups.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new().route("/pks/lookup", get(look_up).options(answer::preflight)).with_state(directory)
}

async fn look_up(
    State(directory): State<Arc<Directory>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let lookup = match Lookup::parse(query.as_deref().unwrap_or_default()) {
        Ok(lookup) => lookup,
        Err(wrong) => return refused(wrong),
    };
    let found = match find(&directory, lookup.search).await {
        Ok(found) if found.is_empty() => return answer::nothing(),
        Ok(found) => found,
        Err(error) => return answer::broken(&error),
    };
    match lookup.operation {
        Operation::Get => cacheable(KEYS, armor::armored(&bundle(&found)).into(), &headers),
        Operation::Index => {
            let text = index::machine_readable(&found, directory.clock.now());
            cacheable(TEXT, text.into(), &headers)
        }
    }
}

/// The OpenPGP certificates that a search names.
async fn find(directory: &Directory, search: Search) -> Result<Vec<Published>, PublicationError> {
    let publication = directory.publication.clone();
    let read = move || match search {
        Search::Handle(handle) => publication.by_handle(&handle),
        Search::Mailbox(address) => publication.of_scheme(&address, Scheme::Openpgp),
    };
    directory.read(read).await
}

/// Binary certificates, one behind the other.
fn bundle(found: &[Published]) -> Vec<u8> {
    let parts: Vec<&[u8]> = found.iter().map(|published| &*published.bytes).collect();
    parts.concat()
}

fn refused(wrong: Wrong) -> Response<Body> {
    let status = match wrong {
        Wrong::Operation => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::BAD_REQUEST,
    };
    answer::plain(status, wrong.text())
}
