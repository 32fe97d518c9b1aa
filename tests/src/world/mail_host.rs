//! Mail hosts: SMTP with STARTTLS, each with one oddity.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::StreamOwned;

use super::Identity;
use super::policy_host::ByName;
use super::policy_host::tls;

/// How a mail host treats STARTTLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Starttls {
    /// Offered, and it works.
    #[default]
    Offered,
    /// Not offered.
    Hidden,
    /// Offered, and answered 454.
    Refused,
    /// Offered and answered 220; then the connection is closed.
    Broken,
}

/// What a mail host does after the final dot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Takes the message.
    #[default]
    Taken,
    /// Takes the message after a while.
    TakenAfter(Duration),
    /// Takes the message, which counts as arrived, and says so after a while.
    SaidAfter(Duration),
    /// Takes the first message, but closes the connection without saying so; takes later ones as usual.
    TakenWithoutAWord,
}

/// How one mail host behaves. Recipients `no@` are refused with 550, `later@` with 451.
#[derive(Clone, Debug, Default)]
pub struct MailHost {
    /// Its name in the arrivals.
    pub tag: String,
    /// Its certificate. Without one it does not offer STARTTLS.
    pub identity: Option<Identity>,
    /// Another certificate, shown to those who ask for this name.
    pub named: Option<(String, Identity)>,
    /// STARTTLS.
    pub starttls: Starttls,
    /// After the final dot.
    pub ending: Ending,
    /// Accepts connections and never says a word.
    pub silent: bool,
    /// Offers REQUIRETLS, over TLS.
    pub require_tls: bool,
}

impl MailHost {
    /// A mail host with a certificate.
    pub fn new(tag: &str, identity: &Identity) -> Self {
        Self { tag: tag.to_owned(), identity: Some(identity.clone()), ..Self::default() }
    }

    /// A mail host without TLS.
    pub fn plain(tag: &str) -> Self {
        Self { tag: tag.to_owned(), starttls: Starttls::Hidden, ..Self::default() }
    }

    /// The same with another STARTTLS.
    pub fn starttls(mut self, starttls: Starttls) -> Self {
        self.starttls = starttls;
        self
    }

    /// The same, and it offers REQUIRETLS.
    pub fn require_tls(mut self) -> Self {
        self.require_tls = true;
        self
    }

    /// The same with another ending.
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// One message that a mail host took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Which host.
    pub tag: String,
    /// Over TLS.
    pub tls: bool,
    /// The name that the client asked for in TLS.
    pub sni: Option<String>,
    /// The MAIL command.
    pub mail: String,
    /// Recipients that were answered 250.
    pub to: Vec<String>,
    /// Octets of the content as sent.
    pub size: u64,
    /// The first lines of it.
    pub text: String,
}

/// Everything that arrived anywhere.
#[derive(Debug, Default)]
pub struct Arrivals {
    all: Mutex<Vec<Arrived>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

impl Arrivals {
    /// The messages that were taken for this recipient.
    pub fn of(&self, recipient: &str) -> Vec<Arrived> {
        let all = self.all.lock().unwrap();
        all.iter().filter(|arrived| arrived.to.iter().any(|to| to == recipient)).cloned().collect()
    }

    /// How many messages were taken by hosts whose tag begins so.
    pub fn count(&self, tag: &str) -> usize {
        self.all.lock().unwrap().iter().filter(|arrived| arrived.tag.starts_with(tag)).count()
    }

    /// How many messages were taken by all hosts.
    pub fn total(&self) -> usize {
        self.all.lock().unwrap().len()
    }

    /// How many connections were made to all hosts.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections there are now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// About so many octets of a message are kept.
const KEPT: usize = 8000;

/// Serves a mail host for as long as the process lives.
pub(super) fn serve(address: Ipv4Addr, host: MailHost, arrivals: &Arc<Arrivals>) {
    let listener = TcpListener::bind((address, 25)).unwrap();
    let named = host.named.iter().map(|(name, identity)| (name.clone(), identity.certified())).collect();
    let other = host.identity.as_ref().map(Identity::certified);
    let tls = other.is_some().then(|| tls(ByName { named, other }));
    let (arrivals, dropped) = (Arc::clone(arrivals), Arc::new(Mutex::new(false)));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            arrivals.connections.fetch_add(1, Ordering::Relaxed);
            arrivals.open.fetch_add(1, Ordering::Relaxed);
            let (host, tls, arrivals, dropped) =
                (host.clone(), tls.clone(), Arc::clone(&arrivals), Arc::clone(&dropped));
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
                let stream = BufReader::new(Stream::Plain(stream));
                let arrived = Arrived { tag: host.tag.clone(), ..Arrived::default() };
                let everywhere = Arc::clone(&arrivals);
                let ended = Dialogue { host, tls, arrivals, dropped, stream, arrived }.serve();
                everywhere.open.fetch_sub(1, Ordering::Relaxed);
                ended
            });
        }
    });
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

impl Stream {
    fn say(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(text.as_bytes()),
            Self::Tls(stream) => stream.write_all(text.as_bytes()).and_then(|()| stream.flush()),
            Self::Gone => Ok(()),
        }
    }
}

struct Dialogue {
    host: MailHost,
    tls: Option<Arc<ServerConfig>>,
    arrivals: Arc<Arrivals>,
    dropped: Arc<Mutex<bool>>,
    stream: BufReader<Stream>,
    arrived: Arrived,
}

impl Dialogue {
    /// Ends with `None` when the connection does.
    fn serve(mut self) -> Option<()> {
        if self.host.silent {
            std::thread::sleep(Duration::from_secs(600));
            return None;
        }
        self.say(&format!("220 {} ESMTP", self.host.tag))?;
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let open =
                        self.tls.is_some() && self.host.starttls != Starttls::Hidden && !self.arrived.tls;
                    let offer = match self.host.require_tls && self.arrived.tls {
                        _ if open => "250-STARTTLS\r\n",
                        true => "250-REQUIRETLS\r\n",
                        false => "",
                    };
                    self.say(&format!(
                        "250-{}\r\n{offer}250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0",
                        self.host.tag
                    ))?;
                }
                "MAIL" => {
                    self.arrived.mail = line;
                    self.say("250 2.1.0 ok")?;
                }
                "STARTTLS" => self.starttls()?,
                "RCPT" => {
                    let to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    match to.split('@').next() {
                        Some("no") => self.say("550 5.1.1 no such user here")?,
                        Some("later") => self.say("451 4.2.1 this mailbox is busy")?,
                        _ => {
                            self.arrived.to.push(to);
                            self.say("250 2.1.5 ok")?;
                        }
                    }
                }
                "DATA" => self.data()?,
                "RSET" => {
                    self.arrived.to.clear();
                    self.say("250 2.0.0 ok")?;
                }
                "QUIT" => return self.say("221 2.0.0 bye"),
                _ => self.say("250 2.0.0 ok")?,
            }
        }
    }

    fn say(&mut self, reply: &str) -> Option<()> {
        self.stream.get_mut().say(&format!("{reply}\r\n")).ok()
    }

    fn starttls(&mut self) -> Option<()> {
        match self.host.starttls {
            Starttls::Refused => return self.say("454 4.7.0 TLS not available"),
            Starttls::Hidden => return self.say("502 5.5.1 what"),
            Starttls::Broken => {
                self.say("220 2.0.0 go")?;
                return None;
            }
            Starttls::Offered => self.say("220 2.0.0 go")?,
        }
        let Stream::Plain(mut plain) = std::mem::replace(self.stream.get_mut(), Stream::Gone) else {
            return None;
        };
        let mut connection = ServerConnection::new(self.tls.clone()?).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut plain).ok()?;
        }
        self.arrived.tls = true;
        self.arrived.sni = connection.server_name().map(str::to_owned);
        self.arrived.to.clear();
        self.stream = BufReader::new(Stream::Tls(Box::new(StreamOwned::new(connection, plain))));
        Some(())
    }

    fn data(&mut self) -> Option<()> {
        if self.arrived.to.is_empty() {
            return self.say("503 5.5.1 no recipients");
        }
        self.say("354 go")?;
        (self.arrived.size, self.arrived.text) = (0, String::new());
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
            if line == b".\r\n" {
                break;
            }
            self.arrived.size += line.len() as u64;
            if self.arrived.text.len() < KEPT {
                self.arrived.text.push_str(&String::from_utf8_lossy(&line));
            }
        }
        if let Ending::TakenAfter(time) = self.host.ending {
            std::thread::sleep(time);
        }
        let arrived = Arrived { to: std::mem::take(&mut self.arrived.to), ..self.arrived.clone() };
        self.arrivals.all.lock().unwrap().push(arrived);
        if let Ending::SaidAfter(time) = self.host.ending {
            std::thread::sleep(time);
        }
        if self.host.ending == Ending::TakenWithoutAWord
            && !std::mem::replace(&mut *self.dropped.lock().unwrap(), true)
        {
            return None;
        }
        self.say(&format!("250 2.0.0 taken by {}", self.host.tag))
    }
}
