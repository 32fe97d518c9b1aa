//! A mail host whose every offer and reply a test chooses, and whose every command a test reads.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::default_provider;

use super::Identity;
use super::policy_host::ByName;

/// How a [`Peer`] behaves.
#[derive(Clone, Debug)]
pub struct PeerPlan {
    identity: Option<Identity>,
    offers: Vec<String>,
    groups: Vec<&'static dyn SupportedKxGroup>,
}

impl PeerPlan {
    /// A host in clear that offers these extensions.
    pub fn new(offers: &[&str]) -> Self {
        let offers = offers.iter().map(|&offer| offer.to_owned()).collect();
        Self { identity: None, offers, groups: default_provider().kx_groups }
    }

    /// STARTTLS with this certificate.
    pub fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Only the key exchange group of this name.
    pub fn group(mut self, name: &str) -> Self {
        self.groups.retain(|group| format!("{:?}", group.name()) == name);
        assert!(!self.groups.is_empty(), "no key exchange group is called {name}");
        self
    }

    /// Serves on port 25 of this address for as long as the process lives.
    ///
    /// # Panics
    /// If the address cannot be bound.
    #[track_caller]
    pub fn serve(self, address: IpAddr) -> Peer {
        let listener = TcpListener::bind((address, 25)).unwrap();
        let tls = self.identity.as_ref().map(|identity| {
            let provider = rustls::crypto::CryptoProvider { kx_groups: self.groups, ..default_provider() };
            let builder = ServerConfig::builder_with_provider(Arc::new(provider));
            let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
            let certificate =
                ByName { named: std::collections::HashMap::new(), other: Some(identity.certified()) };
            Arc::new(builder.with_cert_resolver(Arc::new(certificate)))
        });
        let peer = Peer(Arc::default());
        let (state, offers) = (Arc::clone(&peer.0), self.offers);
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().flatten().enumerate() {
                let (state, tls, offers) = (Arc::clone(&state), tls.clone(), offers.clone());
                state.lock().unwrap().connections = connection + 1;
                std::thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
                    let stream = BufReader::new(Stream::Plain(stream));
                    Dialogue { state, tls, offers, stream, now: Taken { connection, ..Taken::default() } }
                        .serve()
                });
            }
        });
        peer
    }
}

/// A mail host that runs. It takes everything, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    connections: usize,
    commands: Vec<String>,
    taken: Vec<Taken>,
    script: Vec<(String, String)>,
}

/// One message that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Number of the connection, from zero.
    pub connection: usize,
    /// The MAIL command.
    pub mail: String,
    /// The RCPT commands that were answered 250.
    pub rcpt: Vec<String>,
    /// RCPT was sent before MAIL was answered.
    pub pipelined: bool,
    /// Number of BDAT commands; none if the content came by DATA.
    pub chunks: usize,
    /// The content, dots undone.
    pub content: Vec<u8>,
    /// The TLS key exchange group; nothing in clear.
    pub key_exchange: Option<String>,
}

impl Peer {
    /// The next command line that begins so (`.` for the end of the content) is answered like this. Lines are
    /// divided by CRLF; after 421 the connection is closed, and without a word if the reply is empty.
    pub fn script(&self, command: &str, reply: &str) {
        self.0.lock().unwrap().script.push((command.to_owned(), reply.to_owned()));
    }

    /// The messages taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.0.lock().unwrap().taken.clone()
    }

    /// The commands of all connections so far, as they came.
    pub fn commands(&self) -> Vec<String> {
        self.0.lock().unwrap().commands.clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.0.lock().unwrap().connections
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

struct Dialogue {
    state: Arc<Mutex<State>>,
    tls: Option<Arc<ServerConfig>>,
    offers: Vec<String>,
    stream: BufReader<Stream>,
    now: Taken,
}

/// `None` ends the connection.
impl Dialogue {
    fn serve(mut self) -> Option<()> {
        self.answer("CONNECT", "220 peer.example ESMTP")?;
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r\n")?).into_owned();
            let waiting = !self.stream.buffer().is_empty();
            self.state.lock().unwrap().commands.push(line.clone());
            match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => {
                    let mut lines = vec!["peer.example".to_owned()];
                    lines.extend(self.offers.iter().cloned());
                    if self.tls.is_some() && self.now.key_exchange.is_none() {
                        lines.push("STARTTLS".to_owned());
                    }
                    let last = lines.pop()?;
                    let before: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
                    self.answer(&line, &format!("{before}250 {last}"))?;
                }
                "STARTTLS" => self.starttls()?,
                "MAIL" => {
                    self.begin(&line, waiting);
                    self.answer(&line, "250 2.1.0 ok")?;
                }
                "RCPT" => {
                    if self.answer(&line, "250 2.1.5 ok")? {
                        self.now.rcpt.push(line);
                    }
                }
                "DATA" => self.data()?,
                "BDAT" => self.chunk(&line)?,
                "RSET" => {
                    self.begin("", false);
                    self.answer(&line, "250 2.0.0 ok")?;
                }
                "QUIT" => {
                    self.answer(&line, "221 2.0.0 bye")?;
                    return None;
                }
                _ => {
                    self.answer(&line, "502 5.5.1 what")?;
                }
            }
        }
    }

    fn begin(&mut self, mail: &str, pipelined: bool) {
        let (connection, key_exchange) = (self.now.connection, self.now.key_exchange.take());
        let mail = mail.to_owned();
        self.now = Taken { connection, mail, pipelined, key_exchange, ..Taken::default() };
    }

    /// Says what the script says, or `usual`. True if that is no refusal.
    fn answer(&mut self, command: &str, usual: &str) -> Option<bool> {
        let reply = self.reply(command, usual);
        self.say(&reply)
    }

    fn reply(&self, command: &str, usual: &str) -> String {
        let script = &mut self.state.lock().unwrap().script;
        let found = script.iter().position(|(begin, _)| command.starts_with(begin.as_str()));
        found.map_or(usual.to_owned(), |at| script.remove(at).1)
    }

    fn say(&mut self, reply: &str) -> Option<bool> {
        if reply.is_empty() {
            return None;
        }
        let text = format!("{reply}\r\n");
        match self.stream.get_mut() {
            Stream::Plain(stream) => stream.write_all(text.as_bytes()).ok()?,
            Stream::Tls(stream) => stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).ok()?,
            Stream::Gone => return None,
        }
        (!reply.starts_with("421")).then(|| reply.starts_with(['2', '3']))
    }

    fn starttls(&mut self) -> Option<()> {
        if !self.answer("STARTTLS", "220 2.0.0 go")? {
            return Some(());
        }
        let Stream::Plain(mut plain) = std::mem::replace(self.stream.get_mut(), Stream::Gone) else {
            return None;
        };
        let mut connection = ServerConnection::new(self.tls.clone()?).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut plain).ok()?;
        }
        let group = connection.negotiated_key_exchange_group();
        self.now.key_exchange = Some(group.map_or(String::new(), |group| format!("{:?}", group.name())));
        self.stream = BufReader::new(Stream::Tls(Box::new(StreamOwned::new(connection, plain))));
        Some(())
    }

    fn data(&mut self) -> Option<()> {
        if self.now.rcpt.is_empty() {
            self.answer("DATA", "554 5.5.1 no valid recipients")?;
            return Some(());
        }
        if !self.answer("DATA", "354 go")? {
            return Some(());
        }
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
            if line == b".\r\n" {
                return self.end();
            }
            self.now.content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    fn chunk(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ').skip(1);
        let mut octets = vec![0; words.next()?.parse().ok()?];
        self.stream.read_exact(&mut octets).ok()?;
        if self.now.rcpt.is_empty() {
            self.answer("BDAT", "554 5.5.1 no valid recipients")?;
            return Some(());
        }
        self.now.content.extend(octets);
        self.now.chunks += 1;
        match words.next() {
            Some(_) => self.end(),
            None => self.answer("BDAT", "250 2.0.0 go on").map(|_| ()),
        }
    }

    /// The reply names the first recipients, so that a test sees whose reply it is.
    fn end(&mut self) -> Option<()> {
        let to: Vec<&str> =
            self.now.rcpt.iter().filter_map(|rcpt| rcpt.split(['<', '>']).nth(1)).take(3).collect();
        let reply = self.reply(".", &format!("250 2.0.0 taken for {}", to.join(" ")));
        if reply.starts_with('2') {
            // Before the reply: a test that has seen the reply looks for the message.
            self.state.lock().unwrap().taken.push(self.now.clone());
        }
        self.say(&reply).map(|_| ())
    }
}
