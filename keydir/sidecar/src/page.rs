//! The page for people: look up an address, compare fingerprints, take the key along.
//!
//! Plain HTML that needs no script and loads nothing from elsewhere; the browser is told to refuse anything else. What is
//! not there looks the same whatever the reason.

mod certificate;
mod evidence;
mod html;
mod qr;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use keydir::{Mailbox, Published, Scheme};

use crate::Directory;
use crate::answer;
use crate::hkp::{Search, armor};
use crate::log::{ProveError, Proved, asked};
use crate::percent;

use evidence::Evidence;
use words::Words;

/// Everything that the page may load: its own style sheet; and send: its own form.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
const STYLE: &str = include_str!("page/style.css");

/// The routes.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(async || style()))
        .route("/key.asc", get(openpgp))
        .route("/key.cer", get(smime))
        .with_state(directory)
}

/// What somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The empty form.
    Form,
    /// What there is for an address.
    Address(String),
    /// Something that is no whole address; as it was written, shortened.
    Nonsense(String),
}

impl Wanted {
    /// Reads the query of the form.
    pub fn parse(query: Option<&str>) -> Self {
        let Some(value) = query.and_then(|query| percent::parameter(query, "address")) else {
            return Self::Form;
        };
        let text = percent::decode_form(value).unwrap_or_default();
        match Search::mailbox(text.trim()) {
            _ if text.trim().is_empty() => Self::Form,
            Ok(Search::Mailbox(address)) => Self::Address(address),
            _ => Self::Nonsense(text.chars().take(200).collect()),
        }
    }
}

async fn page(
    State(directory): State<Arc<Directory>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let words = Words::accepted(headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()));
    match Wanted::parse(query.as_deref()) {
        Wanted::Form => shown(StatusCode::OK, html::form_page(words, None)),
        Wanted::Nonsense(text) => shown(StatusCode::BAD_REQUEST, html::form_page(words, Some(&text))),
        Wanted::Address(address) => match directory.key_log.look_up(&directory, &address).await {
            Ok((found, proved)) => answer_to(&directory, words, &address, found, proved),
            Err(error) => {
                tracing::error!("cannot read the publication: {}", program::chain(&error));
                shown(StatusCode::SERVICE_UNAVAILABLE, html::trouble_page(words, &address))
            }
        },
    }
}

fn answer_to(
    directory: &Directory,
    words: &Words,
    address: &str,
    found: Option<Mailbox>,
    proved: Result<Proved, ProveError>,
) -> Response<Body> {
    let found = found.filter(|found| !found.openpgp.is_empty() || !found.smime.is_empty());
    let evidence = Evidence::of(directory, found.as_ref(), proved);
    let now = directory.clock.now();
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    shown(status, html::result_page(words, address, found.as_ref(), &evidence, now))
}

fn shown(status: StatusCode, page: String) -> Response<Body> {
    let mut response = answer::typed(status, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    // The address in the address line is nobody else's business.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    headers.insert(HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY"));
    response
}

fn style() -> Response<Body> {
    let mut response = answer::typed(StatusCode::OK, "text/css; charset=utf-8", STYLE);
    let keep = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    response
}

async fn openpgp(State(directory): State<Arc<Directory>>, RawQuery(query): RawQuery) -> Response<Body> {
    download(&directory, query.as_deref(), Scheme::Openpgp).await
}

async fn smime(State(directory): State<Arc<Directory>>, RawQuery(query): RawQuery) -> Response<Body> {
    download(&directory, query.as_deref(), Scheme::Smime).await
}

/// One certificate of an address, by its fingerprint, as a file.
async fn download(directory: &Directory, query: Option<&str>, scheme: Scheme) -> Response<Body> {
    let Some(address) = asked(query) else { return answer::nothing() };
    let fingerprint = query.and_then(|query| percent::parameter(query, "fingerprint")).unwrap_or_default();
    let found = match directory.mailbox(&address).await {
        Ok(found) => found,
        Err(error) => return answer::broken(&error),
    };
    let of_scheme = found.map(|found| match scheme {
        Scheme::Openpgp => found.openpgp,
        Scheme::Smime => found.smime,
    });
    let named = |published: &Published| published.fingerprint == fingerprint;
    let Some(published) = of_scheme.into_iter().flatten().find(named) else { return answer::nothing() };
    let (content_type, extension, body) = match scheme {
        Scheme::Openpgp => ("application/pgp-keys", "asc", Body::from(armor::armored(&published.bytes))),
        Scheme::Smime => ("application/pkix-cert", "cer", Body::from(published.bytes.to_vec())),
    };
    let mut response = answer::typed(StatusCode::OK, content_type, body);
    let disposition = format!("attachment; filename=\"{}.{extension}\"", published.fingerprint);
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_an_address_or_is_told_to_be_none() {
        assert_eq!(Wanted::parse(None), Wanted::Form);
        assert_eq!(Wanted::parse(Some("address=+")), Wanted::Form);
        let address = |text: &str| Wanted::Address(text.to_owned());
        assert_eq!(Wanted::parse(Some("address=+a%2Bb%40c.example+")), address("a+b@c.example"));
        for text in ["alice", "*@c.example%2F*", "a@b@c", "<script>", "a%0Ab@c.example"] {
            let wanted = Wanted::parse(Some(&format!("address={text}")));
            assert!(matches!(wanted, Wanted::Nonsense(_)), "{text}: {wanted:?}");
        }
        let Wanted::Nonsense(long) = Wanted::parse(Some(&format!("address={}", "ä".repeat(5000)))) else {
            panic!()
        };
        assert_eq!(long.chars().count(), 200);
    }
}
