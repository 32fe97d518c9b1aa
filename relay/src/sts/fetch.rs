//! Fetches a policy by HTTPS (RFC 8461 section 3.3).

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::policy::BadPolicy;
use super::policy::StsPolicy;
use crate::dns::Dns;
use crate::dns::Lookup;
use crate::http;
use crate::http::HttpError;
use crate::http::Response;
use crate::road::TroubleKind;

/// RFC 8461 section 3.3: "a suggested maximum policy size is 64 kilobytes".
const POLICY_MAX: usize = 64 * 1024;
const PATH: &str = "/.well-known/mta-sts.txt";
/// One address may take this long to be connected to before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// So many addresses of a policy host are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no policy although one is announced.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The policy host has no address, or its look-up failed.
    #[error("the policy host {host} has no usable address: {why}")]
    Address {
        /// The policy host.
        host: String,
        /// What the look-up said.
        why: String,
    },
    /// The body is no valid policy.
    #[error("the policy is invalid")]
    BadPolicy(#[from] BadPolicy),
    /// No address could be connected to.
    #[error("the policy host cannot be reached")]
    Connect(#[source] io::Error),
    /// The certificate is not one that the web would accept for the policy host.
    #[error("the certificate of the policy host is not accepted")]
    Certificate(#[source] io::Error),
    /// Nothing came in time.
    #[error("the policy host did not answer within {0:?}")]
    Deadline(Duration),
    /// The answer is not the expected HTTP.
    #[error("the policy host did not answer as HTTP demands: {0}")]
    Http(String),
    /// The media type is not text/plain.
    #[error("the media type is {0}, not text/plain")]
    MediaType(String),
    /// The handshake failed for another reason than the certificate.
    #[error("TLS with the policy host failed")]
    Tls(#[source] io::Error),
    /// Any status but 200; redirects are never followed.
    #[error("the policy host answered with status {0}")]
    Status(u16),
    /// The body is not UTF-8.
    #[error("the policy is no text")]
    Text,
}

impl FetchError {
    /// What TLS reports call it (RFC 8460 section 4.3.2.2).
    pub fn kind(&self) -> TroubleKind {
        match self {
            Self::BadPolicy(_) | Self::Text => TroubleKind::StsPolicyInvalid,
            Self::Certificate(_) => TroubleKind::StsWebpkiInvalid,
            _ => TroubleKind::StsPolicyFetchError,
        }
    }
}

/// Fetches policies, each within one deadline.
#[derive(Debug)]
pub(super) struct Fetcher {
    dns: Dns,
    tls: Arc<ClientConfig>,
    deadline: Duration,
    connect_to: Option<SocketAddr>,
}

impl Fetcher {
    /// Trusts `roots` for the policy hosts, or without them the system's bundle (SSL_CERT_FILE is honoured).
    pub(super) fn new(
        dns: Dns,
        roots: Option<Arc<RootCertStore>>,
        deadline: Duration,
        connect_to: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let roots = roots.unwrap_or_else(|| Arc::new(system_roots()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { dns, tls: Arc::new(tls), deadline, connect_to })
    }

    /// The policy of `domain`, to be known by `id`.
    pub(super) async fn fetch(&self, domain: &str, id: &str) -> Result<StsPolicy, FetchError> {
        let host = format!("mta-sts.{domain}");
        let response = tokio::time::timeout(self.deadline, self.get(&host))
            .await
            .map_err(|_| FetchError::Deadline(self.deadline))??;
        let text = policy_text(response)?;
        Ok(StsPolicy::parse(&text, id)?)
    }

    async fn get(&self, host: &str) -> Result<Response, FetchError> {
        let stream = self.connect(host).await?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| FetchError::Address { host: host.to_owned(), why: error.to_string() })?;
        let stream =
            TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.map_err(tls_error)?;
        http::get(stream, host, PATH, "text/plain", POLICY_MAX).await.map_err(|error| match error {
            HttpError::Io(error) => FetchError::Http(error.to_string()),
            other => FetchError::Http(other.to_string()),
        })
    }

    async fn connect(&self, host: &str) -> Result<TcpStream, FetchError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses(host).await?.into_iter().take(ADDRESSES_MAX) {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
            }
        }
        Err(FetchError::Connect(last))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, FetchError> {
        if let Some(fixed) = self.connect_to {
            return Ok(vec![fixed]);
        }
        match self.dns.addresses(host).await.lookup {
            Lookup::Found { records, .. } => Ok(taking_turns(records)),
            Lookup::None { .. } => {
                Err(FetchError::Address { host: host.to_owned(), why: "it does not exist".to_owned() })
            }
            Lookup::Bogus { why } | Lookup::Failed { why } => {
                Err(FetchError::Address { host: host.to_owned(), why })
            }
        }
    }
}

/// IPv6 and IPv4 in turns, so that a dead family does not use up the tries.
fn taking_turns(addresses: Vec<IpAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut mixed = Vec::new();
    loop {
        let (one, other) = (six.next(), four.next());
        if one.is_none() && other.is_none() {
            return mixed;
        }
        mixed.extend(one.into_iter().chain(other).map(|address| SocketAddr::new(address, 443)));
    }
}

fn policy_text(response: Response) -> Result<String, FetchError> {
    // RFC 8461 section 3.3: "Policies fetched via HTTPS are only valid if the HTTP response code is 200 (OK)."
    if response.status != 200 {
        return Err(FetchError::Status(response.status));
    }
    let media_type = response.media_type.unwrap_or_else(|| "not given".to_owned());
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/plain") {
        return Err(FetchError::MediaType(media_type.chars().filter(|c| !c.is_control()).take(80).collect()));
    }
    String::from_utf8(response.body).map_err(|_| FetchError::Text)
}

fn tls_error(error: io::Error) -> FetchError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => FetchError::Certificate(error),
        _ => FetchError::Tls(error),
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        tracing::error!(
            "no certificate authority is known: no MTA-STS policy can be fetched. Install ca-certificates or set \
             SSL_CERT_FILE"
        );
    }
    roots
}
