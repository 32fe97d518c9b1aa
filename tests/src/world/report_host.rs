//! HTTPS hosts that take TLS reports (RFC 8460 section 5.4).

use std::collections::HashMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;

use super::Identity;
use super::policy_host::ByName;
use super::policy_host::tls;

/// One POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The path and query that was posted to.
    pub target: String,
    /// The header fields, names in lower case.
    pub fields: HashMap<String, String>,
    /// What was posted.
    pub body: Vec<u8>,
    /// What was answered.
    pub status: u16,
}

/// All POSTs to the report hosts of a world, oldest first.
#[derive(Debug, Default)]
pub struct Posts {
    all: Mutex<Vec<Posted>>,
    /// Targets whose next POST is answered 503.
    busy: Mutex<Vec<String>>,
}

impl Posts {
    /// All of them.
    pub fn all(&self) -> Vec<Posted> {
        self.all.lock().unwrap().clone()
    }

    /// Those to one path.
    pub fn to(&self, target: &str) -> Vec<Posted> {
        self.all().into_iter().filter(|posted| posted.target == target).collect()
    }

    /// The next POST to this path is answered 503.
    pub fn refuse_once(&self, target: &str) {
        self.busy.lock().unwrap().push(target.to_owned());
    }

    fn take(&self, target: String, fields: HashMap<String, String>, body: Vec<u8>) -> u16 {
        let mut busy = self.busy.lock().unwrap();
        let status = match busy.iter().position(|refused| *refused == target) {
            Some(at) => {
                busy.remove(at);
                503
            }
            None => 201,
        };
        self.all.lock().unwrap().push(Posted { target, fields, body, status });
        status
    }
}

/// Serves one report host for as long as the process lives.
pub(super) fn serve(address: Ipv4Addr, identity: &Identity, posts: &Arc<Posts>) {
    let listener = TcpListener::bind((address, 443)).unwrap();
    let tls = tls(ByName { named: HashMap::new(), other: Some(identity.certified()) });
    let posts = Arc::clone(posts);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (tls, posts) = (Arc::clone(&tls), Arc::clone(&posts));
            std::thread::spawn(move || answer(stream, tls, &posts));
        }
    });
}

fn answer(stream: TcpStream, tls: Arc<ServerConfig>, posts: &Posts) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let connection = ServerConnection::new(tls).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let target = line.strip_prefix("POST ")?.strip_suffix(" HTTP/1.1\r\n")?.to_owned();
    let mut fields = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; fields.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    let status = posts.take(target, fields, body);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let stream = stream.get_mut();
    stream.write_all(head.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}
