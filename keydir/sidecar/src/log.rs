//! The key log for everybody: its files as C2SP tlog-tiles names them, its keys, and proofs of look-ups.
//!
//! Only files that the checkpoint speaks of are shown: what was not signed may yet become something else.

mod prove;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use serde::Deserialize;
use tlog::checkpoint::Checkpoint;
use tlog::note::Note;
use tlog::tiles::Tile;
use tokio::task::spawn_blocking;

use crate::Directory;
use crate::answer;
use crate::hkp::Search;
use crate::percent;

pub use prove::{Attest, KeyLog, ProveError, Proved};

/// The prefix of the log.
pub const PREFIX: &str = "/log/";
/// Where proofs are asked for.
pub const PROOF: &str = "/.well-known/tmg/v1/proof";
/// The log's directory in the publication.
const DIRECTORY: &str = "log";
const CHECKPOINT: &str = "checkpoint";
const KEYS: &str = "keys.json";
/// Largest file: 256 entries, each with a length of two octets; checkpoints may have many cosignatures.
const FILE_BYTES: u64 = 1 << 20;

/// The keys by which the log is verified, as the gateway writes them.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Keys {
    /// The log's name.
    pub origin: String,
    /// Verifies checkpoints (C2SP signed-note: `NAME+ID+BASE64`).
    pub log_key: String,
    /// Verifies labels: 64 hexadecimal digits.
    pub vrf_key: String,
}

/// The routes to the files.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new().route("/log/{*rest}", get(file).options(answer::preflight)).with_state(directory)
}

/// The route to proofs, each of which is a look-up.
pub fn proofs(directory: Arc<Directory>) -> Router {
    Router::new().route(PROOF, get(proof).options(answer::preflight)).with_state(directory)
}

/// A file of the log that strangers may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// The last signed state.
    Checkpoint,
    /// The keys.
    Keys,
    /// Hashes or entries.
    Tile(Tile),
}

impl LogFile {
    /// Reads the path of a request. Whatever else lies in the directory has no name here.
    pub fn parse(path: &str) -> Option<Self> {
        match path.strip_prefix(PREFIX)? {
            CHECKPOINT => Some(Self::Checkpoint),
            KEYS => Some(Self::Keys),
            tile => tile.parse().ok().map(Self::Tile),
        }
    }

    fn read(self, log: &Path) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Checkpoint => read(&log.join(CHECKPOINT)),
            Self::Keys => read(&log.join(KEYS)),
            Self::Tile(tile) => match size(log)? {
                Some(size) if tile.is_within(size) => read(&log.join(tile.to_string())),
                _ => Ok(None),
            },
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Checkpoint => "text/plain; charset=utf-8",
            Self::Keys => "application/json",
            Self::Tile(_) => "application/octet-stream",
        }
    }

    /// How long others may keep it. A tile within the checkpoint never changes; a partial one may cease to be there.
    fn keep(self) -> &'static str {
        match self {
            Self::Checkpoint => "no-cache",
            Self::Keys => "public, max-age=300",
            Self::Tile(tile) if tile.is_full() => "public, max-age=31536000, immutable",
            Self::Tile(_) => "public, max-age=3600",
        }
    }
}

async fn file(State(directory): State<Arc<Directory>>, request: Request) -> Response<Body> {
    let Some(file) = LogFile::parse(request.uri().path()) else { return answer::nothing() };
    let log = directory.config().publication.join(DIRECTORY);
    match spawn_blocking(move || file.read(&log)).await {
        Ok(Ok(Some(bytes))) => {
            let mut response = answer::typed(StatusCode::OK, file.content_type(), Bytes::from(bytes));
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(file.keep()));
            response
        }
        Ok(Ok(None)) => answer::nothing(),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot read the key log");
            answer::failed()
        }
        Err(_) => answer::failed(),
    }
}

/// The whole of a file; `None` if it is not there.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(io::Error::other("a file of the key log is too large"));
    }
    Ok(Some(bytes))
}

/// How many entries the checkpoint speaks of.
fn size(log: &Path) -> io::Result<Option<u64>> {
    let Some(bytes) = read(&log.join(CHECKPOINT))? else { return Ok(None) };
    let note = Note::parse(&bytes).map_err(io::Error::other)?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(io::Error::other)?;
    Ok(Some(checkpoint.size()))
}

/// The proof of a look-up, as docs/key-log.md describes it.
async fn proof(State(directory): State<Arc<Directory>>, RawQuery(query): RawQuery) -> Response<Body> {
    let Some(address) = asked(query.as_deref()) else { return unreadable() };
    match directory.key_log.prove(&directory, &address).await {
        Ok(proved) => {
            let bytes = Bytes::from(proved.proof.to_bytes());
            let mut response = answer::typed(StatusCode::OK, "application/octet-stream", bytes);
            // A sub-address is answered with the mailbox that it belongs to; the proof is of that.
            let place = format!("{PROOF}?address={}", percent::encode(proved.mailbox.as_str()));
            if let Ok(place) = HeaderValue::try_from(place) {
                response.headers_mut().insert(header::CONTENT_LOCATION, place);
            }
            response
        }
        Err(ProveError::NoLog | ProveError::Mailbox(_)) => answer::nothing(),
        Err(error) => {
            error.tell();
            answer::failed()
        }
    }
}

/// The whole address that a query names.
pub fn asked(query: Option<&str>) -> Option<String> {
    let value = percent::parameter(query?, "address")?;
    // A plus sign is one: local parts have no spaces.
    match Search::mailbox(percent::decode(value)?.trim()) {
        Ok(Search::Mailbox(address)) => Some(address),
        _ => None,
    }
}

/// There is no address in the question.
pub fn unreadable() -> Response<Body> {
    answer::plain(StatusCode::BAD_REQUEST, "ask with ?address= and one whole address\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_log_have_names() {
        assert_eq!(LogFile::parse("/log/checkpoint"), Some(LogFile::Checkpoint));
        assert_eq!(LogFile::parse("/log/keys.json"), Some(LogFile::Keys));
        for tile in ["tile/0/000", "tile/entries/x001/234", "tile/1/000.p/17"] {
            let parsed = LogFile::parse(&format!("/log/{tile}"));
            assert_eq!(parsed, Some(LogFile::Tile(tile.parse().unwrap())));
        }
        for path in [
            "/log/log.db",
            "/log/.lock",
            "/log/../publication.db",
            "/log/tile/../log.db",
            "/log/tile/0/%2e%2e",
            "/log/tile/0/0",
            "/log/tile/0/000/",
            "/log//checkpoint",
            "/log/checkpoint/",
            "/log/tile/0/000.p/0",
            "/log/",
            "/log",
        ] {
            assert_eq!(LogFile::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_question_has_one_whole_address() {
        assert_eq!(asked(Some("address=a%2Bb%40c.example")).as_deref(), Some("a+b@c.example"));
        assert_eq!(asked(Some("x=1&address=a+b@c.example")).as_deref(), Some("a+b@c.example"));
        for query in [None, Some(""), Some("address="), Some("address=*"), Some("address=%ff@c.example")] {
            assert_eq!(asked(query), None, "{query:?}");
        }
    }
}
