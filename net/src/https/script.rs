//! For tests: an HTTPS server in this process that answers as told, well or badly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use rcgen::CertificateParams;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What one path answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status, further header fields (each with CR LF), body.
    Whole(u16, String, Vec<u8>),
    /// Exactly these octets.
    Raw(Vec<u8>),
    /// Never a word.
    Silence,
    /// The head, then one octet every 20 ms, without end.
    Drip,
    /// The head, then as many octets as are taken, without end.
    Flood,
}

impl Reply {
    pub fn ok(body: &[u8]) -> Self {
        Self::Whole(200, String::new(), body.to_vec())
    }

    pub fn status(status: u16) -> Self {
        Self::Whole(status, String::new(), Vec::new())
    }

    pub fn moved(to: &str) -> Self {
        Self::Whole(302, format!("Location: {to}\r\n"), Vec::new())
    }
}

/// The server, and the authority whose certificate it has. Without an entry a path is answered 404.
#[derive(Clone)]
pub struct Web {
    pub address: SocketAddr,
    pub roots: Arc<RootCertStore>,
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// Serves all these names (wildcards allowed) by TLS on a loopback port.
    pub async fn start(names: &[&str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap().der().clone();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&authority, &authority_key);
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        Self::listen(Some(TlsAcceptor::from(Arc::new(config))), Arc::new(roots)).await
    }

    /// The same without TLS.
    pub async fn start_plain() -> Self {
        Self::listen(None, Arc::new(RootCertStore::empty())).await
    }

    async fn listen(tls: Option<TlsAcceptor>, roots: Arc<RootCertStore>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let web = Self { address, roots, replies: Arc::default(), asked: Arc::default() };
        let serving = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (web, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => web.answer(tls.accept(stream).await.ok()?).await,
                        None => web.answer(stream).await,
                    }
                });
            }
        });
        web
    }

    /// What `https://HOST/PATH` (without the scheme) answers from now on.
    pub fn reply(&self, host_and_path: &str, reply: Reply) -> &Self {
        self.replies.lock().unwrap().insert(host_and_path.to_owned(), reply);
        self
    }

    /// Everything that was asked, as HOST/PATH.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let (mut path, mut host) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("GET ") {
                path = rest.split(' ').next()?.to_owned();
            } else if let Some(rest) = line.strip_prefix("Host: ") {
                host = rest.to_owned();
            }
        }
        let key = format!("{host}{path}");
        self.asked.lock().unwrap().push(key.clone());
        let reply = self.replies.lock().unwrap().get(&key).cloned().unwrap_or(Reply::status(404));
        match reply {
            Reply::Whole(status, fields, body) => {
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
                stream.write_all(head.as_bytes()).await.ok()?;
                stream.write_all(&body).await.ok()?;
            }
            Reply::Raw(bytes) => stream.write_all(&bytes).await.ok()?,
            Reply::Silence => tokio::time::sleep(Duration::from_secs(600)).await,
            Reply::Drip | Reply::Flood => {
                stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await.ok()?;
                let drip = matches!(reply, Reply::Drip);
                let piece = vec![b'x'; if drip { 1 } else { 16_384 }];
                loop {
                    stream.write_all(&piece).await.ok()?;
                    stream.flush().await.ok()?;
                    if drip {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
        stream.flush().await.ok()?;
        stream.shutdown().await.ok()
    }
}
