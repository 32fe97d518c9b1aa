//! Posts a report (RFC 8460 section 5.4).

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::record::Url;
use crate::dns::Dns;
use crate::dns::Lookup;

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// One address may take so long before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So many addresses are tried.
const ADDRESSES_MAX: usize = 4;
/// Most octets of the answer that are read.
const ANSWER_MAX: u64 = 64 * 1024;
/// Most interim answers (1xx) before the final one.
const INTERIM_MAX: usize = 8;

/// A client for POST. The server must pass for the name in the URI as for any browser, although RFC 8460 section 3
/// would let us overlook that. Redirects are not followed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Https {
    dns: Dns,
    tls: Arc<ClientConfig>,
    connect_to: Option<SocketAddr>,
}

/// Why a report was not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("{0} has no usable address: {1}")]
    Address(String, String),
    #[error("the server cannot be talked to: {0}")]
    Io(#[from] io::Error),
    #[error("the answer is no HTTP/1.1")]
    Malformed,
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("the server did not answer in time")]
    Deadline,
}

impl Https {
    /// Trusts `roots`.
    ///
    /// # Errors
    /// TLS cannot be set up at all.
    pub fn new(dns: Dns, roots: Arc<RootCertStore>) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { dns, tls: Arc::new(tls), connect_to: None })
    }

    /// For tests: connect to this address whatever the URI says.
    #[must_use]
    pub fn connecting_to(self, address: SocketAddr) -> Self {
        Self { connect_to: Some(address), ..self }
    }

    /// Posts a packed report. Once this returns, the server has it: it answered 2xx.
    pub(super) async fn post(&self, url: &Url, packed: &[u8]) -> Result<(), PostError> {
        let dialogue = async {
            let stream = self.connect(url).await?;
            let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
            let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
            let mut stream = BufReader::new(stream);
            let head = format!(
                "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: gatepost\r\nContent-Type: application/tlsrpt+gzip\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                url.target,
                url.authority(),
                packed.len(),
            );
            stream.write_all(&[head.as_bytes(), packed].concat()).await?;
            stream.flush().await?;
            match status(&mut stream).await? {
                200..=299 => Ok(()),
                other => Err(PostError::Status(other)),
            }
        };
        tokio::time::timeout(DEADLINE, dialogue).await.unwrap_or(Err(PostError::Deadline))
    }

    async fn connect(&self, url: &Url) -> Result<TcpStream, PostError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses(url).await?.into_iter().take(ADDRESSES_MAX) {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
            }
        }
        Err(last.into())
    }

    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, PostError> {
        if let Some(address) = self.connect_to {
            return Ok(vec![address]);
        }
        match self.dns.addresses(&url.host).await.lookup {
            Lookup::Found { records, .. } => {
                Ok(records.into_iter().map(|address: IpAddr| SocketAddr::new(address, url.port)).collect())
            }
            Lookup::None { .. } => Err(PostError::Address(url.host.clone(), "there is none".to_owned())),
            Lookup::Bogus { why } | Lookup::Failed { why } => Err(PostError::Address(url.host.clone(), why)),
        }
    }
}

/// The final status. The body of the answer is of no interest.
async fn status<S>(stream: &mut BufReader<S>) -> Result<u16, PostError>
where
    BufReader<S>: tokio::io::AsyncBufRead + Unpin,
{
    let mut answer = stream.take(ANSWER_MAX);
    for _ in 0..INTERIM_MAX {
        let line = line(&mut answer).await?;
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        let code = words.next().filter(|code| version.starts_with("HTTP/1.") && code.len() == 3);
        let status = code.and_then(|code| code.parse().ok()).ok_or(PostError::Malformed)?;
        if !(100..200).contains(&status) {
            return Ok(status);
        }
        while !self::line(&mut answer).await?.is_empty() {}
    }
    Err(PostError::Malformed)
}

async fn line(answer: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Result<String, PostError> {
    let mut bytes = Vec::new();
    answer.read_until(b'\n', &mut bytes).await?;
    if bytes.pop() != Some(b'\n') {
        return Err(PostError::Malformed);
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned())
}
