//! Whole dialogues: a client, the relay, and scripted hosts behind it.

mod dialogue;
mod outcomes;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use net::Clock;
use rustls::RootCertStore;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::delivery::CourierConfig;
use crate::delivery::Routes;
use crate::delivery::Times;
use crate::fixtures::smtp_server::route;
use crate::road::Hop;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::socketmap::Listener;
use crate::tls::Tls;

/// Roads that are known beforehand; a domain without one does not exist.
#[derive(Clone, Debug, Default)]
struct Known(HashMap<String, Arc<Route>>, bool);

impl Known {
    fn with(mut self, domain: &str, hosts: Vec<Hop>) -> Self {
        self.0.insert(domain.to_owned(), Arc::new(route(domain, hosts)));
        self
    }

    fn with_verdict(mut self, domain: &str, verdict: RouteVerdict) -> Self {
        let route = Route { verdict, ..route(domain, Vec::new()) };
        self.0.insert(domain.to_owned(), Arc::new(route));
        self
    }
}

impl Routes for Known {
    async fn route(&self, next_hop: &str) -> Arc<Route> {
        let nowhere =
            || Arc::new(Route { verdict: RouteVerdict::NoSuchDomain, ..route(next_hop, Vec::new()) });
        self.0.get(next_hop).cloned().unwrap_or_else(nowhere)
    }

    fn is_promised(&self, _route: &Route) -> bool {
        self.1
    }
}

/// Remembers what it is told.
#[derive(Clone, Debug, Default)]
struct Diary(Arc<Mutex<Vec<Relayed>>>);

impl Witness for Diary {
    async fn relayed(&self, relayed: Relayed) {
        self.0.lock().unwrap().push(relayed);
    }
}

/// A relay that runs.
struct Running {
    address: SocketAddr,
    diary: Diary,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Running {
    async fn start(routes: Known, change: impl FnOnce(&mut LmtpConfig)) -> Self {
        let step = Duration::from_secs(3);
        let times =
            Times { connect: step, greeting: step, command: step, block: step, done: step, total: step };
        let courier =
            CourierConfig { name: "relay.gatepost.example".to_owned(), times, ..CourierConfig::default() };
        let courier = Courier::new(courier, Tls::new(RootCertStore::empty(), Clock::system()));
        let mut config = LmtpConfig { name: "relay.gatepost.example".to_owned(), ..LmtpConfig::default() };
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let diary = Diary::default();
        let (stop, stopping) = watch::channel(false);
        let relay = Relay::new(routes, courier, diary.clone(), config);
        let server = tokio::spawn(serve(Listener::Tcp(listener), relay, stopping));
        Self { address, diary, stop, server }
    }

    async fn client(&self) -> Client {
        Client::over(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client that has said LHLO.
    async fn greeted(&self) -> Client {
        let mut client = self.client().await;
        client.expect("220").await;
        client.ask("LHLO client.example", "250").await;
        client
    }

    fn told(&self) -> Vec<Relayed> {
        self.diary.0.lock().unwrap().clone()
    }
}

/// The other end of the dialogue.
struct Client(BufReader<TcpStream>);

impl Client {
    fn over(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(text.as_ref()).await.unwrap();
    }

    /// The next reply, all its lines; empty at the end.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await.unwrap_or(0) == 0 {
                return reply;
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return reply;
            }
        }
    }

    async fn expect(&mut self, start: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "expected {start}, got {reply}");
        reply
    }

    async fn ask(&mut self, command: &str, start: &str) -> String {
        self.send(format!("{command}\r\n")).await;
        self.expect(start).await
    }

    /// MAIL and RCPT.
    async fn begin(&mut self, recipients: &[&str]) {
        self.ask("MAIL FROM:<a@gatepost.example>", "250").await;
        for recipient in recipients {
            self.ask(&format!("RCPT TO:<{recipient}>"), "250").await;
        }
    }

    /// A whole message; one reply per recipient.
    async fn message(&mut self, recipients: &[&str], content: &str) -> Vec<String> {
        self.begin(recipients).await;
        self.ask("DATA", "354").await;
        self.send(format!("{content}.\r\n")).await;
        let mut replies = Vec::new();
        for _ in recipients {
            replies.push(self.reply().await);
        }
        replies
    }
}
