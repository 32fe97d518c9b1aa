//! Resolves, checks, connects, asks, follows.

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;
use url::Url;

use super::FetchError;
use super::Fetched;
use super::Reach;
use super::Redirects;
use super::Wish;
use crate::dns::Dns;
use crate::dns::Lookup;
use crate::http;
use crate::http::HttpError;
use crate::http::Response;

/// One address may take this long to be connected to before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// So many addresses of a host are tried.
const ADDRESSES_MAX: usize = 4;
/// So many redirections are followed.
const REDIRECTS_MAX: usize = 5;

/// Asks HTTPS hosts. Cheap to clone; clones share everything, but no connection outlives its request.
#[derive(Clone, Debug)]
pub struct Https {
    dns: Dns,
    tls: Arc<ClientConfig>,
    reach: Arc<Reach>,
}

impl Https {
    /// A client that trusts `roots`, or without them the system's authorities (`SSL_CERT_FILE` is honoured).
    ///
    /// # Errors
    /// TLS cannot be configured.
    pub fn new(dns: Dns, roots: Option<Arc<RootCertStore>>, reach: Reach) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.unwrap_or_else(|| Arc::new(system_roots())))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { dns, tls: Arc::new(tls), reach: Arc::new(reach) })
    }

    /// How TLS is configured, for other protocols to the same authorities.
    pub fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// The resolver.
    pub fn dns(&self) -> &Dns {
        &self.dns
    }

    /// Whether a URL that a stranger may have written is asked at all, whatever its addresses are.
    ///
    /// # Errors
    /// [`FetchError::Url`]: it never is.
    pub fn may_ask(&self, url: &Url) -> Result<(), FetchError> {
        self.reach.host(url).map(drop)
    }

    /// Asks for a URL.
    ///
    /// # Errors
    /// There is no answer, or it must not be used. A status other than 200 is an answer.
    pub async fn get(&self, url: &Url, wish: &Wish<'_>) -> Result<Fetched, FetchError> {
        tokio::time::timeout(wish.deadline, self.follow(url, wish))
            .await
            .unwrap_or(Err(FetchError::Deadline(wish.deadline)))
    }

    /// Sends a body of a media type to a URL. No redirection is followed, whatever is wished, and the answer
    /// has its body whatever its status.
    ///
    /// # Errors
    /// As [`Https::get`].
    pub async fn post(
        &self,
        url: &Url,
        content: (&str, &[u8]),
        wish: &Wish<'_>,
    ) -> Result<Response, FetchError> {
        tokio::time::timeout(wish.deadline, self.ask(url, wish, wish.configured, Some(content)))
            .await
            .unwrap_or(Err(FetchError::Deadline(wish.deadline)))
    }

    async fn follow(&self, url: &Url, wish: &Wish<'_>) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        let mut redirected = 0;
        loop {
            // What the administrator named is one server, not the next one that it names.
            let configured = wish.configured && redirected == 0;
            let response = self.ask(&url, wish, configured, None).await?;
            let moved = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Redirects::Within(domain) = wish.redirects else {
                return Ok(Fetched { response, url, redirected });
            };
            if !moved {
                return Ok(Fetched { response, url, redirected });
            }
            redirected += 1;
            let location = response.location.as_deref().unwrap_or_default();
            if redirected > REDIRECTS_MAX {
                return Err(refused(location, "there were too many before it"));
            }
            url = next(&url, location, domain)?;
        }
    }

    async fn ask(
        &self,
        url: &Url,
        wish: &Wish<'_>,
        configured: bool,
        content: Option<(&str, &[u8])>,
    ) -> Result<Response, FetchError> {
        let target = if configured { named(url)? } else { self.strangers(url)? };
        let addresses = self.addresses(&target, configured).await?;
        let host = &target.text;
        let tcp = self.connect(host, addresses, configured).await?;
        let failed = |source: HttpError| FetchError::Http { host: host.clone(), source };
        if url.scheme() == "http" {
            return exchange(tcp, url, &target, wish, content).await.map_err(failed);
        }
        let name = ServerName::try_from(target.name.clone())
            .map_err(|_| FetchError::Url("its host cannot be named in TLS"))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await
            .map_err(|source| FetchError::Tls { host: host.clone(), source })?;
        exchange(stream, url, &target, wish, content).await.map_err(failed)
    }

    fn strangers(&self, url: &Url) -> Result<Target, FetchError> {
        let (host, port) = self.reach.host(url)?;
        Ok(Target { text: host.clone(), name: host, port, literal: None })
    }

    /// The addresses to connect to: looked up here, and only those that are allowed.
    async fn addresses(&self, target: &Target, configured: bool) -> Result<Vec<SocketAddr>, FetchError> {
        let host = target.name.clone();
        let found = match target.literal {
            Some(address) => vec![address],
            None => match self.dns.addresses(&host).await.lookup {
                Lookup::Found { records, .. } => records,
                Lookup::None { .. } => return Err(FetchError::Absent { host }),
                Lookup::Bogus { why } | Lookup::Failed { why } => return Err(FetchError::Dns { host, why }),
            },
        };
        let (allowed, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| configured || self.reach.allows(*address));
        match (allowed.is_empty(), refused.first()) {
            (true, Some(&address)) => Err(FetchError::Forbidden { host, address }),
            _ => Ok(taking_turns(allowed, target.port)),
        }
    }

    async fn connect(
        &self,
        host: &str,
        addresses: Vec<SocketAddr>,
        configured: bool,
    ) -> Result<TcpStream, FetchError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let address = self.reach.connect_to.filter(|_| !configured).unwrap_or(address);
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
            }
        }
        Err(FetchError::Connect { host: host.to_owned(), source: last })
    }
}

/// One request over a connection: to send the content, or to ask if there is none.
async fn exchange<S>(
    stream: S,
    url: &Url,
    target: &Target,
    wish: &Wish<'_>,
    content: Option<(&str, &[u8])>,
) -> Result<Response, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = match url.port() {
        Some(port) => format!("{}:{port}", target.text),
        None => target.text.clone(),
    };
    match content {
        Some(content) => http::submit(stream, &host, path, content, wish.accept, wish.limit).await,
        None => http::get(stream, &host, path, wish.accept, wish.limit).await,
    }
}

/// The system's authorities; a certificate that cannot be read is left out.
pub(super) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::error!(
            "no certificate authority is known: HTTPS fails. Install ca-certificates or set SSL_CERT_FILE"
        );
    }
    roots
}

/// Whom to connect to.
struct Target {
    /// As in the field Host.
    text: String,
    /// As in DNS and TLS.
    name: String,
    port: u16,
    literal: Option<IpAddr>,
}

/// The host of a URL that the administrator wrote.
fn named(url: &Url) -> Result<Target, FetchError> {
    if !["http", "https"].contains(&url.scheme()) {
        return Err(FetchError::Url("its scheme is neither https nor http"));
    }
    let port = url.port_or_known_default().ok_or(FetchError::Url("it has no port"))?;
    let text = url.host_str().ok_or(FetchError::Url("it has no host"))?.to_owned();
    let (name, literal) = match url.host() {
        Some(Host::Ipv4(four)) => (four.to_string(), Some(IpAddr::V4(four))),
        Some(Host::Ipv6(six)) => (six.to_string(), Some(IpAddr::V6(six))),
        _ => (text.strip_suffix('.').unwrap_or(&text).to_owned(), None),
    };
    Ok(Target { text, name, port, literal })
}

/// Where a redirection leads, if it may be followed.
fn next(from: &Url, location: &str, domain: &str) -> Result<Url, FetchError> {
    let to = from.join(location).map_err(|_| refused(location, "it is no URL"))?;
    if to.scheme() != "https" {
        return Err(refused(location, "it leaves HTTPS"));
    }
    let host = to.host_str().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let inside = host == domain || host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
    if inside { Ok(to) } else { Err(refused(location, "it leaves the domain")) }
}

fn refused(location: &str, why: &'static str) -> FetchError {
    let to = location.chars().filter(|c| !c.is_control()).take(120).collect();
    FetchError::Redirected { to, why }
}

/// IPv6 and IPv4 in turns, so that a dead family does not use up the tries.
fn taking_turns(addresses: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut mixed = Vec::new();
    loop {
        let (one, other) = (six.next(), four.next());
        if one.is_none() && other.is_none() {
            return mixed;
        }
        mixed.extend(one.into_iter().chain(other).map(|address| SocketAddr::new(address, port)));
    }
}
