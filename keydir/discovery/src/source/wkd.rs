//! Web Key Directory (draft-koch-openpgp-webkey-service), advanced and direct method.
//!
//! The direct method is used only where `openpgpkey.DOMAIN` does not exist: a failure of that host must not lead to
//! another one. Redirections are followed within the domain. 404 and 410 of a host that TLS authenticates mean "no
//! key"; anything else that is not a key does so only if the host has no policy file either, because then it has no
//! directory at all, and its pages are the pages of a web site.

use std::time::Duration;

use keydir::wkd_hash;
use net::dns::Lookup;
use net::https::FetchError;
use net::https::Fetched;
use net::https::Https;
use net::https::Redirects;
use net::https::Wish;
use url::Url;

use super::ANSWER_MAX;
use super::Asked;
use super::Haul;
use super::Reply;
use super::Said;

/// Most octets of a policy file.
const POLICY_MAX: usize = 64 * 1024;

pub(super) async fn ask(https: &Https, asked: &Asked, deadline: Duration) -> Reply {
    let advanced = format!("openpgpkey.{}", asked.domain);
    // `localhost`, `corp.local`: no name of the public Internet, and so no directory, unless the administrator says so.
    let public =
        Url::parse(&format!("https://{}/", asked.domain)).is_ok_and(|url| https.may_ask(&url).is_ok());
    if !public {
        return Reply::nothing().noting(format!("{} is no domain of the public Internet", asked.domain));
    }
    let (host, prefix) = match https.dns().addresses(&advanced).await.lookup {
        Lookup::Found { .. } => (advanced, format!("/.well-known/openpgpkey/{}/", asked.domain)),
        Lookup::None { .. } => (asked.domain.clone(), "/.well-known/openpgpkey/".to_owned()),
        Lookup::Bogus { why } | Lookup::Failed { why } => return Reply::trouble(why),
    };
    let Ok(mut url) = Url::parse(&format!("https://{host}{prefix}hu/{}", wkd_hash(&asked.local))) else {
        return Reply::trouble("the domain cannot be the host of a URL");
    };
    url.query_pairs_mut().append_pair("l", &asked.local);
    let site = Site { https, domain: &asked.domain, deadline };
    site.key(&url, &host, &prefix).await.noting(url.to_string())
}

/// One domain's directory.
struct Site<'a> {
    https: &'a Https,
    domain: &'a str,
    deadline: Duration,
}

impl Site<'_> {
    async fn key(&self, url: &Url, host: &str, prefix: &str) -> Reply {
        let fetched = match self.get(url, "application/octet-stream", ANSWER_MAX).await {
            Ok(fetched) => fetched,
            Err(FetchError::Absent { host }) => {
                return Reply::nothing().noting(format!("{host} has no address"));
            }
            Err(error) => return error.into(),
        };
        let followed = (fetched.redirected > 0).then(|| format!("redirected to {}", fetched.url));
        let status = fetched.response.status;
        let reply = match status {
            200 if is_openpgp(&fetched.response.body) => {
                Reply::new(Said::Something(Haul::openpgp(fetched.response.body)))
            }
            404 | 410 => Reply::nothing(),
            408 | 425 | 429 => Reply::trouble(format!("{host} answered {status}")),
            200 | 400..=499 => self.without_key(host, prefix, status).await,
            _ => Reply::trouble(format!("{host} answered {status}")),
        };
        match followed {
            Some(followed) => reply.noting(followed),
            None => reply,
        }
    }

    /// What an answer means that is neither a key nor "not found".
    async fn without_key(&self, host: &str, prefix: &str, status: u16) -> Reply {
        let odd = match status {
            200 => format!("{host} answered with something that is no OpenPGP certificate"),
            _ => format!("{host} answered {status}"),
        };
        let Ok(policy) = Url::parse(&format!("https://{host}{prefix}policy")) else {
            return Reply::trouble(odd);
        };
        match self.get(&policy, "text/plain", POLICY_MAX).await {
            Ok(fetched) if has_policy(&fetched) => Reply::trouble(odd),
            Ok(fetched) if matches!(fetched.response.status, 200 | 400..=407 | 409..=424 | 426..=428) => {
                Reply::nothing().noting(format!("{odd}, and has no policy file: it is no Web Key Directory"))
            }
            Ok(fetched) => Reply::trouble(format!("{odd}, and {} for its policy", fetched.response.status)),
            Err(error) => Reply::trouble(format!("{odd}, and its policy cannot be had: {}", error.chain())),
        }
    }

    async fn get(&self, url: &Url, accept: &str, limit: usize) -> Result<Fetched, FetchError> {
        let redirects = Redirects::Within(self.domain);
        let wish = Wish { accept, limit, deadline: self.deadline, redirects, configured: false };
        self.https.get(url, &wish).await
    }
}

/// Binary OpenPGP has the top bit set (RFC 9580 section 4.2); armor is tolerated.
fn is_openpgp(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    body.first().is_some_and(|first| first & 0x80 != 0) || start.starts_with(b"-----BEGIN PGP ")
}

/// Whether this is a policy file: a text of keywords, possibly empty.
fn has_policy(fetched: &Fetched) -> bool {
    let Ok(text) = std::str::from_utf8(&fetched.response.body) else { return false };
    let keyword = |line: &str| {
        let word = line.split([':', ' ', '\t']).next().unwrap_or_default();
        line.is_empty()
            || line.starts_with('#')
            || (!word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)))
    };
    fetched.response.status == 200 && text.lines().map(str::trim).all(keyword)
}
