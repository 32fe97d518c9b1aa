//! The certification authority for everybody: revocation lists and certificates as the gateway wrote them, and OCSP
//! (RFC 6960), which only the gateway can sign.
//!
//! All of it is public, signed, and meant for plain HTTP (RFC 5280, 8).

mod recent;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::routing::{get, post};
use base64_simd::STANDARD;
use program::chain;
use tokio::task::spawn_blocking;

use crate::Directory;
use crate::answer;
use crate::percent;

pub use recent::Recent;

/// Where the files are.
const PREFIX: &str = "/ca/";
/// The directory in the publication.
const DIRECTORY: &str = "ca";
/// Largest file: a revocation list of some hundred thousand certificates.
const FILE_BYTES: u64 = 32 << 20;
/// Largest OCSP request.
const REQUEST_BYTES: usize = 8 << 10;
/// Longest OCSP request in a path, still encoded.
const PATH_BYTES: usize = 4 << 10;
/// How long an OCSP answer is given again, by us and by others, seconds.
const KEEP: u32 = 60;
const OCSP_REQUEST: &str = "application/ocsp-request";
const OCSP_RESPONSE: &str = "application/ocsp-response";

/// The routes. OCSP is beside the files too: the gateway's `[ca] url` is a prefix of both.
pub fn router(directory: Arc<Directory>) -> Router {
    let state = Responder { directory, recent: Arc::new(Recent::default()) };
    Router::new()
        .route("/ca/{file}", get(file).options(answer::preflight))
        .route("/ca/ocsp", post(ocsp_post))
        .route("/ca/ocsp/{*request}", get(ocsp_get))
        .route("/ocsp", post(ocsp_post))
        .route("/ocsp/{*request}", get(ocsp_get))
        .with_state(state)
}

#[derive(Clone, Debug)]
struct Responder {
    directory: Arc<Directory>,
    recent: Arc<Recent>,
}

/// A file of an authority: `issuing-1.crl`, `issuing-1.cer`, `root.pem`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFile {
    name: String,
    content_type: &'static str,
}

impl AuthorityFile {
    /// Reads the path of a request. Names have letters, digits, hyphens and dots between them, and no more.
    pub fn parse(path: &str) -> Option<Self> {
        let name = path.strip_prefix(PREFIX)?;
        let (stem, extension) = name.rsplit_once('.')?;
        let content_type = match extension {
            "crl" => "application/pkix-crl",
            "cer" => "application/pkix-cert",
            "pem" => "application/pem-certificate-chain",
            _ => return None,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = !stem.is_empty() && stem.len() <= 128 && stem.chars().all(plain);
        (fits && !name.starts_with('.') && !name.contains(".."))
            .then(|| Self { name: name.to_owned(), content_type })
    }

    fn read(&self, publication: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(publication.join(DIRECTORY).join(&self.name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > FILE_BYTES {
            true => Err(io::Error::other("the file is too large")),
            false => Ok(Some(bytes)),
        }
    }
}

async fn file(State(state): State<Responder>, request: Request) -> Response<Body> {
    let Some(file) = AuthorityFile::parse(request.uri().path()) else { return answer::nothing() };
    let publication = state.directory.config().publication.clone();
    let content_type = file.content_type;
    match spawn_blocking(move || file.read(&publication)).await {
        Ok(Ok(Some(bytes))) => crate::wkd::cacheable(content_type, Bytes::from(bytes), request.headers()),
        Ok(Ok(None)) => answer::nothing(),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot read a file of the authority");
            answer::failed()
        }
        Err(_) => answer::failed(),
    }
}

async fn ocsp_post(State(state): State<Responder>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if !is_ocsp(&parts.headers) {
        return answer::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "an OCSP request is needed\n");
    }
    match to_bytes(body, REQUEST_BYTES).await {
        Ok(request) => state.ocsp(&request, &parts.method).await,
        Err(_) => answer::plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n"),
    }
}

/// Some clients name no type.
fn is_ocsp(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(OCSP_REQUEST.as_bytes()))
}

async fn ocsp_get(State(state): State<Responder>, request: Request) -> Response<Body> {
    match ocsp_in_path(request.uri().path()) {
        Some(asked) => state.ocsp(&asked, request.method()).await,
        None => answer::plain(StatusCode::BAD_REQUEST, "no OCSP request in base64\n"),
    }
}

/// The request in base64, percent-encoded (RFC 6960 appendix A.1). Clients leave slashes as they are, so it may look like
/// several steps of a path; some begin it with one more.
pub fn ocsp_in_path(path: &str) -> Option<Vec<u8>> {
    let path = path.strip_prefix("/ca").unwrap_or(path);
    let encoded = path.strip_prefix("/ocsp/").filter(|encoded| encoded.len() <= PATH_BYTES)?;
    let text = percent::decode(encoded.trim_start_matches('/'))?;
    let request = STANDARD.decode_to_vec(text.as_bytes()).ok()?;
    (!request.is_empty() && request.len() <= REQUEST_BYTES).then_some(request)
}

impl Responder {
    async fn ocsp(&self, request: &[u8], method: &Method) -> Response<Body> {
        let now = self.directory.clock.now();
        let kept = self.recent.find(request, now);
        let answered = match kept {
            Some(kept) => kept,
            None => match self.directory.gate.ocsp(request).await {
                Ok(answered) => {
                    let answered = Bytes::from(answered);
                    self.recent.keep(request, &answered, now + i64::from(KEEP));
                    answered
                }
                Err(error) => {
                    tracing::warn!("no OCSP answer: {}", chain(&error));
                    return answer::failed();
                }
            },
        };
        let mut response = answer::typed(StatusCode::OK, OCSP_RESPONSE, answered);
        if method != Method::POST {
            // Not longer: a revocation must be seen soon (RFC 5019, 6.2 would allow until nextUpdate).
            let keep = HeaderValue::from_static("public, max-age=60, no-transform, must-revalidate");
            response.headers_mut().insert(header::CACHE_CONTROL, keep);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_authorities_have_names() {
        for (name, content_type) in [
            ("root.crl", "application/pkix-crl"),
            ("issuing-1.cer", "application/pkix-cert"),
            ("issuing-1.pem", "application/pem-certificate-chain"),
        ] {
            let file = AuthorityFile::parse(&format!("/ca/{name}")).unwrap();
            assert_eq!((file.name.as_str(), file.content_type), (name, content_type));
        }
        for name in [
            "",
            "root",
            "root.key",
            ".crl",
            "..crl",
            "-..crl",
            "../a.crl",
            "a/../b.crl",
            "%2e%2e%2fa.crl",
            "a b.crl",
        ] {
            assert_eq!(AuthorityFile::parse(&format!("/ca/{name}")), None, "{name}");
        }
    }

    #[test]
    fn requests_in_paths_are_read_as_clients_write_them() {
        let request = [0x30, 0xff, 0xef, 0xbe, 0xff];
        let text = STANDARD.encode_to_string(request);
        assert!(text.contains('/') && text.contains('='), "{text}");
        for path in [
            format!("/ocsp/{text}"),
            format!("/ca/ocsp/{}", percent::encode(&text)),
            format!("/ocsp//{text}"),
        ] {
            assert_eq!(ocsp_in_path(&path).as_deref(), Some(&request[..]), "{path}");
        }
        for path in ["/ocsp/", "/ocsp/!", "/ocsp/%ff", &format!("/ocsp/{}", "A".repeat(PATH_BYTES + 4))] {
            assert_eq!(ocsp_in_path(path), None, "{path:.40}");
        }
    }
}
