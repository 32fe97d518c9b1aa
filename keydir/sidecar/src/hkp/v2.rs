//! Version 2 of key server look-ups: paths instead of parameters, binary instead of armor, JSON instead of lines.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::routing::any;

use crate::Directory;
use crate::answer;
use crate::percent;
use crate::wkd::cacheable;

use super::search::Search;
use super::{bundle, find, index};

const PREFIX: &str = "/pks/v2/";
const BINARY: &str = "application/pgp-keys;armor=no";
const JSON: &str = "application/json";

/// The routes for look-ups; submissions have routes of their own.
pub fn router(directory: Arc<Directory>) -> Router {
    Router::new().route("/pks/v2/{*rest}", any(answer_to)).with_state(directory)
}

/// A question of version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// The certificates, with the least and the greatest version that may be given.
    Bundle(Search, u8, u8),
    Index(Search),
    /// A category that we have, without an identifier.
    Bare,
    /// An identifier that nothing can have.
    Impossible,
    /// No category of ours.
    Unsupported,
}

impl Asked {
    fn parse(path: &str) -> Self {
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        let (category, identifier) = match rest.split_once('/') {
            Some(("certs", rest)) => match rest.split_once('/') {
                Some((kind, identifier)) => (format!("certs/{kind}"), Some(identifier)),
                None => (format!("certs/{rest}"), None),
            },
            Some((category, identifier)) => (category.to_owned(), Some(identifier)),
            None => (rest.to_owned(), None),
        };
        let read: fn(&str) -> Option<Self> = match category.as_str() {
            "certs/by-vfingerprint" => versioned,
            "certs/by-keyid" => |id| match Search::handle(id) {
                Ok(search) if id.len() == 16 => Some(Self::Bundle(search, 0, 4)),
                _ => None,
            },
            "certs/by-identity" | "canonical" => |text| Some(Self::Bundle(identity(text)?, 0, u8::MAX)),
            "index" => |text| Some(Self::Index(identity(text)?)),
            _ => return Self::Unsupported,
        };
        match identifier {
            Some(identifier) if !identifier.is_empty() => read(identifier).unwrap_or(Self::Impossible),
            _ => Self::Bare,
        }
    }
}

/// A fingerprint with one octet in front, the version.
fn versioned(text: &str) -> Option<Asked> {
    let (version, digits) = text.split_at_checked(2)?;
    let version = match (version, digits.len()) {
        ("04", 40) => 4,
        ("06", 64) => 6,
        _ => return None,
    };
    Some(Asked::Bundle(Search::handle(digits).ok()?, version, version))
}

fn identity(text: &str) -> Option<Search> {
    Search::mailbox(&percent::decode(text)?).ok()
}

async fn answer_to(State(directory): State<Arc<Directory>>, request: Request) -> Response<Body> {
    let asked = Asked::parse(request.uri().path());
    if asked == Asked::Unsupported {
        return answer::plain(StatusCode::NOT_IMPLEMENTED, "this is not offered\n");
    }
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return answer::preflight().await,
        // Certificates of our domains come from the gateway alone.
        Method::PUT | Method::POST | Method::DELETE => {
            return answer::plain(StatusCode::FORBIDDEN, "this cannot be changed here\n");
        }
        _ => return not_allowed(),
    }
    let (search, versions, as_index) = match asked {
        Asked::Bundle(search, least, most) => (search, least..=most, false),
        Asked::Index(search) => (search, 0..=u8::MAX, true),
        Asked::Bare => return answer::plain(StatusCode::FORBIDDEN, "nothing can be listed here\n"),
        Asked::Impossible | Asked::Unsupported => return answer::nothing(),
    };
    let mut found = match find(&directory, search).await {
        Ok(found) => found,
        Err(error) => return answer::broken(&error),
    };
    found.retain(|published| versions.contains(&published.version));
    if found.is_empty() {
        return answer::nothing();
    }
    if as_index {
        return cacheable(JSON, index::json(&found).to_string().into(), request.headers());
    }
    cacheable(BINARY, bundle(&found).into(), request.headers())
}

fn not_allowed() -> Response<Body> {
    let mut response = answer::plain(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(rest: &str) -> Asked {
        Asked::parse(&format!("{PREFIX}{rest}"))
    }

    #[test]
    fn a_fingerprint_carries_its_version() {
        let fingerprint = "d1a66e1a23b182c9980f788cfbfcc82a015e7330";
        let search = Search::Handle(fingerprint.to_ascii_uppercase());
        assert_eq!(asked(&format!("certs/by-vfingerprint/04{fingerprint}")), Asked::Bundle(search, 4, 4));
        for bad in [
            fingerprint.to_owned(),
            format!("06{fingerprint}"),
            format!("0x04{fingerprint}"),
            format!("04{fingerprint}/"),
        ] {
            assert_eq!(asked(&format!("certs/by-vfingerprint/{bad}")), Asked::Impossible, "{bad}");
        }
        assert_eq!(
            asked(&format!("certs/by-vfingerprint/06{}", "ab".repeat(32))),
            Asked::Bundle(Search::Handle("AB".repeat(32)), 6, 6)
        );
    }

    #[test]
    fn a_key_id_never_names_a_newer_version() {
        let search = Search::Handle("FBFCC82A015E7330".to_owned());
        assert_eq!(asked("certs/by-keyid/fbfcc82a015e7330"), Asked::Bundle(search, 0, 4));
        for bad in ["015e7330", "0xfbfcc82a015e7330", "D1A66E1A23B182C9980F788CFBFCC82A015E7330"] {
            assert_eq!(asked(&format!("certs/by-keyid/{bad}")), Asked::Impossible, "{bad}");
        }
    }

    #[test]
    fn identities_are_whole_addresses() {
        let search = Search::Mailbox("a+b@c.example".to_owned());
        assert_eq!(asked("certs/by-identity/a%2Bb%40c.example"), Asked::Bundle(search.clone(), 0, u8::MAX));
        assert_eq!(asked("canonical/a+b@c.example"), Asked::Bundle(search.clone(), 0, u8::MAX));
        assert_eq!(asked("index/a+b@c.example"), Asked::Index(search));
        for bad in ["index/*", "index/@c.example", "certs/by-identity/alice", "canonical/%c0%af@c.example"] {
            assert_eq!(asked(bad), Asked::Impossible, "{bad}");
        }
    }

    #[test]
    fn a_category_without_an_identifier_lists_nothing() {
        for bare in
            ["index", "index/", "canonical", "certs/by-identity", "certs/by-keyid/", "certs/by-vfingerprint"]
        {
            assert_eq!(asked(bare), Asked::Bare, "{bare}");
        }
        for other in ["prefixlog/2026-01-01", "certs/by-fingerprint/x", "certs/", "sendtoken", "", "certs"] {
            assert_eq!(asked(other), Asked::Unsupported, "{other}");
        }
    }
}
