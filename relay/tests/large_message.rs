//! A large message passes through the relay in a bounded amount of memory.
//!
//! This is a program of its own, so that no other test's memory is counted.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use net::Clock;
use relay::delivery::Courier;
use relay::delivery::CourierConfig;
use relay::delivery::Routes;
use relay::lmtp;
use relay::lmtp::LmtpConfig;
use relay::lmtp::Relay;
use relay::road::Demand;
use relay::road::Hop;
use relay::road::PolicyKind;
use relay::road::Road;
use relay::road::Route;
use relay::road::RouteVerdict;
use relay::socketmap::Listener;
use relay::tls::Tls;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;

const SIZE: u64 = 30 * 1024 * 1024;

#[tokio::test]
async fn thirty_megabytes_to_three_domains_take_less_than_eight_of_memory() {
    for extension in ["8BITMIME", "CHUNKING"] {
        let received = Arc::new(AtomicU64::new(0));
        let port = host(extension, Arc::clone(&received)).await;
        let courier =
            Courier::new(CourierConfig::default(), Tls::new(rustls::RootCertStore::empty(), Clock::system()));
        let config = LmtpConfig::default();
        let relay = Relay::new(Everywhere(port), courier, (), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(lmtp::serve(Listener::Tcp(listener), relay, stopping));

        let before = peak();
        let mut client = BufReader::new(TcpStream::connect(address).await.unwrap());
        let commands = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n\
                        RCPT TO:<c@c.example>\r\nDATA\r\n";
        client.get_mut().write_all(commands.as_bytes()).await.unwrap();
        until(&mut client, "354").await;
        let line = format!("{}\r\n", "Q".repeat(76));
        let block = line.repeat(1000);
        for _ in 0..SIZE / block.len() as u64 {
            client.get_mut().write_all(block.as_bytes()).await.unwrap();
        }
        client.get_mut().write_all(b".\r\n").await.unwrap();
        for _ in 0..3 {
            until(&mut client, "250").await;
        }
        let sent = SIZE / block.len() as u64 * block.len() as u64;
        assert_eq!(received.load(Ordering::SeqCst), 3 * sent);
        let grown = peak() - before;
        assert!(grown < 8 * 1024 * 1024, "{grown} bytes");
    }
}

/// Reads lines up to one that starts with `code`, which must be the next final one.
async fn until(client: &mut BufReader<TcpStream>, code: &str) {
    loop {
        let mut line = String::new();
        assert_ne!(client.read_line(&mut line).await.unwrap(), 0);
        let last = line.as_bytes().get(3) == Some(&b' ');
        if last && line.starts_with(code) && !line.contains("ok\r\n") && !line.contains("SIZE") {
            return;
        }
        assert!(line.starts_with("250") || line.starts_with("220"), "{line}");
    }
}

/// Every domain is at one host.
struct Everywhere(u16);

impl Routes for Everywhere {
    async fn route(&self, next_hop: &str) -> Arc<Route> {
        let hop = Hop {
            host: format!("mx.{next_hop}"),
            preference: 10,
            addresses: vec!["127.0.0.1".parse().unwrap()],
            road: Road::Opportunistic,
            mx_secure: true,
        };
        Arc::new(Route {
            next_hop: next_hop.to_owned(),
            domain: next_hop.to_owned(),
            port: self.0,
            kind: PolicyKind::None,
            demand: Demand::default(),
            verdict: RouteVerdict::Hosts,
            hosts: vec![hop],
            mx_security: None,
            sts: None,
            troubles: Vec::new(),
            steps: Vec::new(),
            expires: i64::MAX,
        })
    }
}

/// A host that counts content and forgets it; gives its port.
async fn host(extension: &'static str, received: Arc<AtomicU64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, extension, Arc::clone(&received)));
        }
    });
    port
}

async fn serve(stream: TcpStream, extension: &str, received: Arc<AtomicU64>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 mx.example\r\n").await.ok()?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let reply = match text.get(..4)? {
            "EHLO" => format!("250-mx.example\r\n250 {extension}\r\n"),
            "DATA" => {
                stream.get_mut().write_all(b"354 go\r\n").await.ok()?;
                loop {
                    line.clear();
                    let read = stream.read_until(b'\n', &mut line).await.ok()?;
                    if line == b".\r\n" {
                        break;
                    }
                    received.fetch_add(read as u64, Ordering::SeqCst);
                }
                "250 2.0.0 taken\r\n".to_owned()
            }
            "BDAT" => {
                let size: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
                let taken =
                    tokio::io::copy(&mut (&mut stream).take(size), &mut tokio::io::sink()).await.ok()?;
                received.fetch_add(taken, Ordering::SeqCst);
                "250 2.0.0 taken\r\n".to_owned()
            }
            _ => "250 2.0.0 ok\r\n".to_owned(),
        };
        stream.get_mut().write_all(reply.as_bytes()).await.ok()?;
    }
}

/// The largest resident size so far, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
