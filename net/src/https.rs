//! HTTPS to hosts that strangers name, without being led into our own network.
//!
//! A host is resolved here, by [`Dns`]; each of its addresses is checked, and the connection goes to an address
//! that was checked and to no other, so that a name which changes its mind between check and use (DNS rebinding)
//! gains nothing. Redirections are checked the same way. No proxy, no cookie, no compression, no reuse.

mod client;
mod reach;
// A world for tests, which may fail loudly.
#[cfg(any(test, feature = "script"))]
#[allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
pub mod script;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

pub use client::Https;
pub use reach::Reach;
pub use reach::is_public;
use url::Url;

use crate::http::HttpError;
use crate::http::Response;

/// What is wanted of one URL.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The media types that are understood, for the field Accept.
    pub accept: &'a str,
    /// Most octets of the body; more is an error, found while it comes in.
    pub limit: usize,
    /// How long all of it may take: look-ups, handshakes, redirections, body.
    pub deadline: Duration,
    /// Which redirections are followed.
    pub redirects: Redirects<'a>,
    /// The administrator named this server: any host, address and port, and `http` if the URL says so.
    pub configured: bool,
}

/// Which redirections are followed; at most five, and only from `https` to `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects<'a> {
    /// None: the answer is the redirection itself.
    Never,
    /// To this domain (lower-case A-labels) and what lies below it.
    Within(&'a str),
}

/// An answer and where it came from.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The answer to the last request.
    pub response: Response,
    /// The URL of the last request.
    pub url: Url,
    /// How often we were sent elsewhere.
    pub redirected: usize,
}

/// Why there is no answer. None of them says anything about what the host has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The host has no address.
    #[error("{host} has no address")]
    Absent {
        /// The host.
        host: String,
    },
    /// No address could be connected to.
    #[error("{host} cannot be reached")]
    Connect {
        /// The host.
        host: String,
        /// Of the last address that was tried.
        #[source]
        source: io::Error,
    },
    /// Not everything came in time.
    #[error("no complete answer within {0:?}")]
    Deadline(Duration),
    /// The look-up of the host failed, or DNSSEC calls it bogus.
    #[error("the addresses of {host} could not be looked up: {why}")]
    Dns {
        /// The host.
        host: String,
        /// What the look-up said.
        why: String,
    },
    /// All addresses of the host lie where strangers must not lead us.
    #[error("{host} has the address {address}, which is not public")]
    Forbidden {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
    },
    /// The answer is not the expected HTTP, too large or encoded.
    #[error("the answer of {host} cannot be used")]
    Http {
        /// The host.
        host: String,
        /// What is wrong.
        #[source]
        source: HttpError,
    },
    /// A redirection that is not followed.
    #[error("a redirection to {to} is not followed: {why}")]
    Redirected {
        /// Where to, without control characters, shortened.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// The handshake failed or the certificate is not accepted.
    #[error("TLS with {host} failed")]
    Tls {
        /// The host.
        host: String,
        /// What rustls said.
        #[source]
        source: io::Error,
    },
    /// A URL that is not asked.
    #[error("the URL is not asked: {0}")]
    Url(&'static str),
}

impl FetchError {
    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
