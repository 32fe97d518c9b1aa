//! All doors over HTTP in one router.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use tokio::time::timeout;

use crate::Directory;
use crate::answer;
use crate::authority;
use crate::client::Client;
use crate::counters::{Class, Door};
use crate::hkp;
use crate::limits::Ask;
use crate::log;
use crate::lookup;
use crate::page;
use crate::wkd;

/// Everything that is served.
pub fn router(directory: &Arc<Directory>) -> Router {
    let mut doors = vec![
        (Door::Wkd, wkd::router(directory.clone())),
        (Door::LookUp, lookup::router(directory.clone()).merge(log::proofs(directory.clone()))),
        (Door::Log, log::router(directory.clone())),
        (Door::Authority, authority::router(directory.clone())),
    ];
    if directory.config().page.serve {
        doors.push((Door::Page, page::router(directory.clone())));
    }
    if directory.config().hkp.serve {
        doors.push((Door::Hkp, hkp::router(directory.clone())));
        doors.push((Door::Hkp2, hkp::router_v2(directory.clone())));
        doors.push((Door::Submission, hkp::submission::router(directory.clone())));
    }
    doors.push((Door::Witness, crate::witness::router(directory.clone())));
    let mut routes = Router::new().fallback(async || answer::nothing());
    routes = guard(directory, Door::Unknown, routes);
    for (door, its) in doors {
        routes = routes.merge(guard(directory, door, its));
    }
    routes
}

/// Puts a door's limits, deadline and counters before its routes. Every response of a door passes here.
fn guard(directory: &Arc<Directory>, door: Door, routes: Router) -> Router {
    routes.layer(from_fn_with_state((directory.clone(), door), pass))
}

async fn pass(
    State((directory, door)): State<(Arc<Directory>, Door)>,
    request: Request,
    next: Next,
) -> Response<Body> {
    // Without an address nobody could be told apart; the connection always sets it.
    let client = request.extensions().get::<Client>().copied().unwrap_or(Client::Local);
    if let Err(wait) = directory.limits.admit(client, asks(door)) {
        directory.counters.count(door, Class::Limited);
        return answer::limited(wait);
    }
    if !names_one_host(&request) {
        directory.counters.count(door, Class::Refused);
        return answer::plain(StatusCode::BAD_REQUEST, "the request must name one host\n");
    }
    let limit = directory.config().limits.request;
    let mut response = match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => answer::failed(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        // The router's own answer has none of this; scripts are told why, as everywhere.
        answer::for_scripts(response.headers_mut());
    }
    directory.counters.count(door, Class::of_status(response.status().as_u16()));
    response
}

/// Whether the Host field is as RFC 9112, 3.2 wants it: there, once, and a name. Two of them, of which a proxy reads one and
/// we the other, would let one domain answer for another.
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => false,
        // Names in U-labels come as they are.
        (Some(host), None) => !host.as_bytes().iter().any(|octet| b" \t\"#,/<>?@\\".contains(octet)),
        (None, _) => request.version() < Version::HTTP_11,
    }
}

/// What a request at a door costs.
const fn asks(door: Door) -> Ask {
    match door {
        Door::Submission => Ask::Submission,
        Door::Log => Ask::Piece,
        _ => Ask::LookUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(version: Version, hosts: &[&[u8]]) -> bool {
        let mut request = Request::builder().version(version);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        names_one_host(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn a_request_names_one_host() {
        let now = Version::HTTP_11;
        for host in ["a.example", "a.example:8080", "[::1]:443", "b\u{fc}cher.example", ""] {
            assert!(is_fine(now, &[host.as_bytes()]), "{host}");
        }
        for host in ["a b", "a.example/x", "x@a.example", "a.example, b.example"] {
            assert!(!is_fine(now, &[host.as_bytes()]), "{host}");
        }
        assert!(!is_fine(now, &[]) && is_fine(Version::HTTP_10, &[]));
        assert!(!is_fine(now, &[b"a.example", b"b.example"]));
        assert!(!is_fine(Version::HTTP_10, &[b"a.example", b"a.example"]));
    }
}
