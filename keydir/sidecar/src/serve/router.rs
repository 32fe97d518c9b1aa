//! All doors over HTTP in one router.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
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
    let limit = directory.config().limits.request;
    let response = match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => answer::failed(),
    };
    directory.counters.count(door, Class::of_status(response.status().as_u16()));
    response
}

/// What a request at a door costs.
const fn asks(door: Door) -> Ask {
    match door {
        Door::Submission => Ask::Submission,
        Door::Log => Ask::Piece,
        _ => Ask::LookUp,
    }
}
