//! One request to a source of revocations: plain HTTP, because what comes is signed and fetching it must need no
//! certificate that it could revoke (RFC 5280 section 4.2.1.13). Nothing is followed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use keydir::{CrlError, OcspError};
use net::http::{self, HttpError, Response};
use tokio::net::{TcpStream, lookup_host};
use url::Url;

/// Most octets of a revocation list.
pub const LIST_LIMIT: usize = 10 << 20;
/// Most octets of an answer of a responder.
const STATUS_LIMIT: usize = 64 << 10;
/// Most addresses of one host that are tried.
const ADDRESSES: usize = 4;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The host cannot be found or connected to.
    #[error("no connection")]
    Connection(#[from] io::Error),
    /// What came is no revocation list that counts.
    #[error("no usable revocation list")]
    Crl(#[from] CrlError),
    /// No answer by HTTP.
    #[error("no usable answer")]
    Http(#[from] HttpError),
    /// What came is no answer that counts.
    #[error("no usable answer of the responder")]
    Ocsp(#[from] OcspError),
    /// All its addresses are private.
    #[error("the host has only private addresses, and revocation_private_hosts is not set")]
    Private,
    /// Another status than 200.
    #[error("the answer has the status {0}")]
    Status(u16),
    /// Not `http://host/path`.
    #[error("the URL is not one of plain HTTP")]
    Url,
}

/// Fetches a revocation list.
///
/// # Errors
/// It cannot be had. What comes is not judged.
pub async fn list(url: &str, private_hosts: bool) -> Result<Vec<u8>, FetchError> {
    let place = Place::parse(url)?;
    let stream = place.connect(private_hosts).await?;
    answered(http::get(stream, &place.host, &place.path, "*/*", LIST_LIMIT).await?)
}

/// Asks a responder (RFC 6960 appendix A.1, POST).
///
/// # Errors
/// There is no answer. What comes is not judged.
pub async fn status(url: &str, request: &[u8], private_hosts: bool) -> Result<Vec<u8>, FetchError> {
    let place = Place::parse(url)?;
    let stream = place.connect(private_hosts).await?;
    let content = ("application/ocsp-request", request);
    let accept = "application/ocsp-response";
    answered(http::post(stream, &place.host, &place.path, content, accept, STATUS_LIMIT).await?)
}

fn answered(response: Response) -> Result<Vec<u8>, FetchError> {
    match response.status {
        200 => Ok(response.body),
        status => Err(FetchError::Status(status)),
    }
}

/// Where a URL leads.
struct Place {
    /// Host, and port if it is another one than 80.
    host: String,
    /// Path and query.
    path: String,
    name: String,
    port: u16,
}

impl Place {
    fn parse(url: &str) -> Result<Self, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Url)?;
        let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        let (Some(name), true) = (url.host_str(), plain) else { return Err(FetchError::Url) };
        let host = url.port().map_or(name.to_owned(), |port| format!("{name}:{port}"));
        let path = url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let name = name.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, path, name, port: url.port().unwrap_or(80) })
    }

    async fn connect(&self, private_hosts: bool) -> Result<TcpStream, FetchError> {
        let found: Vec<SocketAddr> = lookup_host((self.name.as_str(), self.port)).await?.collect();
        let allowed = |address: &&SocketAddr| private_hosts || is_public(address.ip());
        let mut failed = FetchError::Private;
        for address in found.iter().filter(allowed).take(ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }
}

/// Whether an address belongs to the Internet and not to our own or to nobody's networks (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        // Global unicast without Teredo, ORCHID and the like, documentation, and 6to4, which can hold any IPv4.
        IpAddr::V6(address) => match address.segments() {
            [0x2001, second, ..] => second >= 0x0200 && second != 0x0db8,
            [0x2002 | 0x3fff, ..] => false,
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let reserved = match address.octets() {
        [0 | 240..=255, ..] => true,
        [100, second, ..] => second & 0xc0 == 64,
        [192, 0, 0, _] | [192, 88, 99, _] => true,
        [198, second, ..] => second & 0xfe == 18,
        _ => false,
    };
    !(reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_asked() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["9.9.9.9", "100.128.0.1", "172.32.0.1", "2620:fe::fe", "2001:500:88::1", "2a01::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn only_plain_http_is_fetched() {
        let place = Place::parse("http://a.example:8080/x/y.crl?z=1").unwrap();
        assert_eq!((place.host.as_str(), place.path.as_str()), ("a.example:8080", "/x/y.crl?z=1"));
        assert_eq!((place.name.as_str(), place.port), ("a.example", 8080));
        let place = Place::parse("http://[::1]/").unwrap();
        assert_eq!((place.host.as_str(), place.name.as_str(), place.port), ("[::1]", "::1", 80));
        for url in ["https://a.example/", "ldap://a.example/", "http://user@a.example/", "file:///x", "x"] {
            assert!(matches!(Place::parse(url), Err(FetchError::Url)), "{url}");
        }
        // Nothing that the certificate says can break out of the request's first line.
        let place = Place::parse("http://a.example/x y\r\nHost: b").unwrap();
        assert!(!place.path.contains([' ', '\r', '\n']), "{}", place.path);
    }
}
