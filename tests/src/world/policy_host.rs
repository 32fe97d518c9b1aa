//! The HTTPS hosts of MTA-STS policies: certificate by SNI, answer by the Host field.

use std::collections::HashMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

use super::Identity;

/// What one policy host answers.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Who it is.
    pub identity: Identity,
    /// The policy.
    pub body: String,
    /// HTTP status.
    pub status: u16,
    /// HTTP Content-Type.
    pub content_type: String,
    /// HTTP Location.
    pub location: Option<String>,
    /// Never answers.
    pub silent: bool,
}

impl PolicyFile {
    /// A good answer.
    pub fn new(identity: Identity, body: &str) -> Self {
        let (body, content_type) = (body.to_owned(), "text/plain".to_owned());
        Self { identity, body, status: 200, content_type, location: None, silent: false }
    }
}

#[derive(Debug)]
pub(super) struct ByName {
    pub(super) named: HashMap<String, Arc<CertifiedKey>>,
    pub(super) other: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.named.get(&name.to_ascii_lowercase()));
        named.or(self.other.as_ref()).cloned()
    }
}

/// A TLS server that chooses its certificate by name.
pub(super) fn tls(certificates: ByName) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_cert_resolver(Arc::new(certificates)))
}

/// Serves all policies for as long as the process lives.
pub(super) fn serve(address: Ipv4Addr, policies: Vec<(String, PolicyFile)>) {
    let listener = TcpListener::bind((address, 443)).unwrap();
    let named = policies.iter().map(|(host, file)| (host.clone(), file.identity.certified())).collect();
    let tls = tls(ByName { named, other: None });
    let policies: Arc<HashMap<String, PolicyFile>> = Arc::new(policies.into_iter().collect());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (tls, policies) = (Arc::clone(&tls), Arc::clone(&policies));
            std::thread::spawn(move || answer(stream, tls, &policies));
        }
    });
}

fn answer(stream: TcpStream, tls: Arc<ServerConfig>, policies: &HashMap<String, PolicyFile>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let connection = ServerConnection::new(tls).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let (mut path, mut host) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim().to_ascii_lowercase().split_once(' ') {
            None => break,
            Some(("get", rest)) => path = rest.split(' ').next()?.to_owned(),
            Some(("host:", rest)) => host = rest.to_owned(),
            Some(_) => {}
        }
    }
    let file = policies.get(&host).filter(|_| path == "/.well-known/mta-sts.txt");
    if file.is_some_and(|file| file.silent) {
        std::thread::sleep(Duration::from_secs(120));
    }
    let (status, kind, body) = file.map_or((404, "text/plain", ""), |file| {
        (file.status, file.content_type.as_str(), file.body.as_str())
    });
    let location = file
        .and_then(|file| file.location.as_ref())
        .map_or(String::new(), |to| format!("Location: {to}\r\n"));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{location}Connection: close\r\n\r\n"
    );
    let stream = stream.get_mut();
    stream.write_all((head + body).as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}
