//! Key servers: HKP version 1 (draft-gallagher-openpgp-hkp, "legacy") and VKS version 1. Both are named by the
//! administrator; what they say about the owner of a certificate is worth nothing.

use std::time::Duration;

use net::https::Https;
use net::https::Redirects;
use net::https::Wish;
use url::Url;

use super::ANSWER_MAX;
use super::Asked;
use super::Haul;
use super::Reply;
use super::Said;

/// `GET BASE/pks/lookup?op=get&options=mr&exact=on&search=ADDRESS`.
pub(super) async fn hkp(https: &Https, base: &Url, asked: &Asked, deadline: Duration) -> Reply {
    let Some(mut url) = below(base, &["pks", "lookup"]) else { return Reply::trouble("the URL has no path") };
    url.query_pairs_mut()
        .clear()
        .append_pair("op", "get")
        .append_pair("options", "mr")
        .append_pair("exact", "on")
        .append_pair("search", &asked.whole);
    get(https, url, deadline).await
}

/// `GET BASE/vks/v1/by-email/ADDRESS`.
pub(super) async fn vks(https: &Https, base: &Url, asked: &Asked, deadline: Duration) -> Reply {
    match below(base, &["vks", "v1", "by-email", &asked.whole]) {
        Some(url) => get(https, url, deadline).await,
        None => Reply::trouble("the URL has no path"),
    }
}

/// A path below the base, each part escaped.
pub(super) fn below(base: &Url, path: &[&str]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}

async fn get(https: &Https, url: Url, deadline: Duration) -> Reply {
    let (accept, redirects) = ("application/pgp-keys", Redirects::Never);
    let wish = Wish { accept, limit: ANSWER_MAX, deadline, redirects, configured: true };
    let reply = match https.get(&url, &wish).await {
        Ok(fetched) => match fetched.response.status {
            200 => Reply::new(Said::Something(Haul::openpgp(fetched.response.body))),
            404 => Reply::nothing(),
            status => Reply::trouble(format!("the server answered {status}")),
        },
        Err(error) => error.into(),
    };
    reply.noting(url.to_string())
}
