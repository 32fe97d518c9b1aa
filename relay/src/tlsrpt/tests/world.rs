//! What several tests need: a clock that can be moved, routes, and local servers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use net::Clock;
use rustls::RootCertStore;
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::*;
use crate::dns::Dns;
use crate::dns::Tlsa;
use crate::dns::script::Script;
use crate::fixtures::certificates::Identity;
use crate::road::Demand;
use crate::road::Hop;
use crate::road::PolicyKind;
use crate::road::Road;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::sts::StsPolicy;

/// 2026-11-20 12:00:00 UTC.
pub(super) const NOON: i64 = 1_795_176_000;
pub(super) const DAY: i64 = 86_400;
pub(super) const POLICY: &str = "version: STSv1\nmode: testing\nmx: *.b.example\nmax_age: 86400\n";

/// `openssl genrsa 2048`; test only.
pub(super) const RSA: &str = include_str!("dkim-rsa.pem");
/// `openssl genpkey -algorithm ed25519`; test only.
pub(super) const ED25519: &str = include_str!("dkim-ed25519.pem");

#[derive(Clone)]
pub(super) struct Time(Arc<AtomicI64>);

impl Time {
    pub(super) fn at(now: i64) -> Self {
        Self(Arc::new(AtomicI64::new(now)))
    }

    pub(super) fn set(&self, now: i64) {
        self.0.store(now, Ordering::SeqCst);
    }

    pub(super) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Clock::from_fn(move || time.load(Ordering::SeqCst))
    }
}

pub(super) fn file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("relay.db");
    (directory, path)
}

pub(super) fn hop(host: &str, road: Road) -> Hop {
    Hop { host: host.to_owned(), preference: 10, addresses: Vec::new(), road, mx_secure: true }
}

pub(super) fn dane(host: &str) -> Hop {
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab; 32] };
    hop(host, Road::Dane { base: host.to_owned(), names: vec![host.to_owned()], records: vec![record] })
}

pub(super) fn sts(host: &str) -> Hop {
    hop(host, Road::Sts { name: host.to_owned(), testing: true })
}

pub(super) fn route(domain: &str, hosts: &[Hop]) -> Route {
    Route {
        next_hop: domain.to_owned(),
        domain: domain.to_owned(),
        port: 25,
        kind: PolicyKind::Dane,
        demand: Demand::default(),
        verdict: RouteVerdict::Hosts,
        hosts: hosts.to_vec(),
        mx_security: None,
        sts: Some(StsPolicy::parse(POLICY, "1").unwrap()),
        troubles: Vec::new(),
        steps: Vec::new(),
        expires: 0,
    }
}

/// Envelope recipient or request head, and what came with it.
pub(super) type Taken = (String, Vec<u8>);

/// An MTA that takes everything. It can be told to say nothing after the message.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    /// Envelope recipient, and the message as it was before dots were doubled.
    pub(super) messages: Arc<Mutex<Vec<Taken>>>,
    /// Messages that get no answer.
    pub(super) mute: Arc<AtomicUsize>,
    /// Messages that get 451.
    pub(super) full: Arc<AtomicUsize>,
}

impl Sink {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let sink = Self { address, messages: Arc::default(), mute: Arc::default(), full: Arc::default() };
        let server = sink.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = server.clone();
                tokio::spawn(async move { server.talk(BufReader::new(stream)).await });
            }
        });
        sink
    }

    pub(super) fn taken(&self) -> Vec<Taken> {
        self.messages.lock().unwrap().clone()
    }

    async fn talk(&self, mut stream: BufReader<tokio::net::TcpStream>) -> Option<()> {
        stream.write_all(b"220 mta.a.example\r\n").await.ok()?;
        let mut recipient = String::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
            let answer = match line.get(..4).unwrap_or_default() {
                "EHLO" => "250-mta.a.example\r\n250 8BITMIME\r\n",
                "QUIT" => return None,
                "DATA" => {
                    stream.write_all(b"354 go\r\n").await.ok()?;
                    let message = data(&mut stream).await?;
                    if take_one(&self.full) {
                        "451 4.3.1 full\r\n"
                    } else {
                        self.messages.lock().unwrap().push((recipient.clone(), message));
                        if take_one(&self.mute) {
                            return std::future::pending().await;
                        }
                        "250 2.0.0 queued\r\n"
                    }
                }
                "RCPT" => {
                    recipient = line.trim_end().trim_start_matches("RCPT TO:").to_owned();
                    "250 ok\r\n"
                }
                _ => "250 ok\r\n",
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}

async fn data(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).await.ok()?;
        if line == b".\r\n" {
            return Some(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

fn take_one(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

/// An HTTPS server that answers every request with one status and keeps head and body.
#[derive(Clone)]
pub(super) struct Web {
    pub(super) address: SocketAddr,
    pub(super) requests: Arc<Mutex<Vec<Taken>>>,
    pub(super) answer: Arc<Mutex<&'static str>>,
    roots: Arc<RootCertStore>,
}

impl Web {
    pub(super) async fn start(name: &str) -> Self {
        let root = Identity::root("test only root");
        let leaf = root.issue(&[name], |_| {});
        let mut roots = RootCertStore::empty();
        roots.add(root.certificate()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.certificate()], leaf.private_key())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let answer = Arc::new(Mutex::new("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"));
        let address = listener.local_addr().unwrap();
        let web = Self { address, requests: Arc::default(), answer, roots: Arc::new(roots) };
        let server = web.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, acceptor) = (server.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    server.talk(BufReader::new(stream)).await
                });
            }
        });
        web
    }

    async fn talk<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
        &self,
        mut stream: BufReader<S>,
    ) -> Option<()> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).await.ok().filter(|length| *length > 0)?;
        }
        let length = head.split("Content-Length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        self.requests.lock().unwrap().push((head, body));
        let answer = *self.answer.lock().unwrap();
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.shutdown().await.ok()
    }

    pub(super) fn client(&self, dns: Dns) -> Https {
        Https::new(dns, Arc::clone(&self.roots)).unwrap().connecting_to(self.address)
    }
}

/// A whole reporter with everything around it.
pub(super) struct World {
    pub(super) time: Time,
    pub(super) sink: Sink,
    pub(super) web: Web,
    pub(super) dns: Script,
    pub(super) path: PathBuf,
    stub: Dns,
    _directory: TempDir,
}

impl World {
    pub(super) async fn new(dns: Script) -> Self {
        let (directory, path) = file();
        let stub = dns.start().await;
        Self {
            time: Time::at(NOON),
            sink: Sink::start().await,
            web: Web::start("reports.b.example").await,
            dns,
            path,
            stub,
            _directory: directory,
        }
    }

    pub(super) fn reporter_with(&self, signer: Option<Signer>) -> Reporter {
        let reporting = Reporting {
            organization: "A & Söhne".to_owned(),
            contact: mail::Address::parse("tls@a.example").unwrap(),
            signer,
            submission: self.sink.address,
            hello: "mta.a.example".to_owned(),
        };
        let https = self.web.client(self.stub.clone());
        Reporter::open(&self.path, self.stub.clone(), https, reporting, self.time.clock()).unwrap()
    }

    pub(super) fn reporter(&self) -> Reporter {
        self.reporter_with(Some(Signer::from_pem(RSA.as_bytes(), "a.example", "tlsrpt").unwrap()))
    }

    /// Records so many good sessions with `domain` now.
    pub(super) fn record(&self, domain: &str, sessions: usize) {
        let collector = Collector::start(&self.path, self.time.clock()).unwrap();
        let host = dane("mx.b.example");
        let route = route(domain, std::slice::from_ref(&host));
        for _ in 0..sessions {
            collector.record(Session::succeeded(&route, &host));
        }
        collector.flush();
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::open(&self.path).unwrap()
    }
}
