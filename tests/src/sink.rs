//! A scripted SMTP receiver.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::port::free_port;
use crate::wait::PATIENCE;
use crate::wait::wait_for;

/// A point in the dialogue where a script can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the greeting.
    Connect,
    /// EHLO or HELO.
    Helo,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The final dot.
    EndOfMessage,
}

/// What the sink does instead of answering 2xx or 3xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers with this reply, such as `451 4.3.0 later`. Nothing is recorded.
    Answer(String),
    /// Closes the connection without an answer. Nothing is recorded.
    Drop,
    /// Waits, then goes on as usual.
    Wait(Duration),
    /// At end of message: records the message, then closes the connection without an answer, so that
    /// the client cannot know. Elsewhere like [`Behaviour::Drop`].
    KeepAndDrop,
}

/// One message that the sink accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Reverse-path, without the angle brackets.
    pub from: String,
    /// Recipients that were answered 250, without the angle brackets.
    pub to: Vec<String>,
    /// MAIL FROM parameters, as sent.
    pub parameters: String,
    /// The message, with CRLF line ends and dots undone.
    pub data: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    received: Vec<Received>,
    script: Vec<(Stage, Behaviour)>,
    connections: usize,
}

/// An SMTP server on 127.0.0.1 that accepts everything, unless scripted, and keeps it.
#[derive(Debug)]
pub struct SmtpSink {
    port: u16,
    state: Arc<Mutex<State>>,
    closed: Arc<AtomicBool>,
}

impl SmtpSink {
    /// Starts on a free port.
    pub fn start() -> Self {
        Self::on(free_port())
    }

    /// Starts on a given port.
    ///
    /// # Panics
    /// If the port is taken.
    #[track_caller]
    pub fn on(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let sink = Self { port, state: Arc::default(), closed: Arc::default() };
        let (state, closed) = (Arc::clone(&sink.state), Arc::clone(&sink.closed));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                state.lock().unwrap().connections += 1;
                let state = Arc::clone(&state);
                std::thread::spawn(move || Connection::new(stream, state).and_then(|mut c| c.serve()));
            }
        });
        sink
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Acts like this the next time a dialogue reaches `stage`; several entries are used in order.
    pub fn script(&self, stage: Stage, behaviour: Behaviour) {
        self.state.lock().unwrap().script.push((stage, behaviour));
    }

    /// Everything accepted so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Waits until `count` messages were accepted and gives them.
    ///
    /// # Panics
    /// If they do not come in time.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<Received> {
        wait_for(&format!("{count} messages at the sink"), PATIENCE, || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
    state: Arc<Mutex<State>>,
}

/// `None` ends the connection.
impl Connection {
    fn new(stream: TcpStream, state: Arc<Mutex<State>>) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        Some(Self { stream: BufReader::new(stream), state })
    }

    fn serve(&mut self) -> Option<()> {
        self.answer(Stage::Connect, "220 sink ESMTP")?;
        let mut mail = (String::new(), String::new());
        let mut to = Vec::new();
        loop {
            let line = self.line()?;
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = text.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    self.answer(Stage::Helo, "250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 0")?;
                }
                "HELO" => {
                    self.answer(Stage::Helo, "250 sink")?;
                }
                "MAIL" => {
                    to.clear();
                    mail = path(&text);
                    self.answer(Stage::Mail, "250 2.1.0 ok")?;
                }
                "RCPT" => {
                    if self.answer(Stage::Rcpt, "250 2.1.5 ok")? {
                        to.push(path(&text).0);
                    }
                }
                "DATA" => {
                    if self.answer(Stage::Data, "354 go ahead")? {
                        let data = self.content()?;
                        let (from, parameters) = mail.clone();
                        self.end(Received { from, to: std::mem::take(&mut to), parameters, data })?;
                    }
                }
                "QUIT" => {
                    self.say("221 2.0.0 bye")?;
                    return None;
                }
                _ => self.say("250 2.0.0 ok")?,
            }
        }
    }

    /// Answers as scripted, else with `usual`; true if `usual` was sent.
    fn answer(&mut self, stage: Stage, usual: &str) -> Option<bool> {
        match self.scripted(stage) {
            Some(Behaviour::Answer(reply)) => self.say(&reply).map(|()| false),
            Some(Behaviour::Drop | Behaviour::KeepAndDrop) => None,
            Some(Behaviour::Wait(time)) => {
                std::thread::sleep(time);
                self.say(usual).map(|()| true)
            }
            None => self.say(usual).map(|()| true),
        }
    }

    fn end(&mut self, received: Received) -> Option<()> {
        match self.scripted(Stage::EndOfMessage) {
            Some(Behaviour::Answer(reply)) => return self.say(&reply),
            Some(Behaviour::Drop) => return None,
            Some(Behaviour::KeepAndDrop) => {
                self.state.lock().unwrap().received.push(received);
                return None;
            }
            Some(Behaviour::Wait(time)) => std::thread::sleep(time),
            None => {}
        }
        let number = {
            let mut state = self.state.lock().unwrap();
            state.received.push(received);
            state.received.len()
        };
        self.say(&format!("250 2.0.0 ok: message {number}"))
    }

    fn scripted(&self, stage: Stage) -> Option<Behaviour> {
        let mut state = self.state.lock().unwrap();
        let at = state.script.iter().position(|(s, _)| *s == stage)?;
        Some(state.script.remove(at).1)
    }

    fn content(&mut self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let line = self.line()?;
            if line == b".\r\n" {
                return Some(data);
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).ok()?;
        line.ends_with(b"\n").then_some(line)
    }

    fn say(&mut self, reply: &str) -> Option<()> {
        self.stream.get_mut().write_all(format!("{reply}\r\n").as_bytes()).ok()
    }
}

/// The address between the angle brackets, and what follows them.
fn path(line: &str) -> (String, String) {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    inside.map_or_else(Default::default, |(address, rest)| (address.to_owned(), rest.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::SmtpClient;

    #[test]
    fn messages_are_kept_as_sent() {
        let sink = SmtpSink::start();
        let outcome =
            SmtpClient::connect(sink.port()).send("a@b", &["c@d", "e@f"], b"A: b\r\n\r\n.\r\n..x\r\n");
        assert!(outcome.accepted());
        let received = sink.wait(1);
        assert_eq!(received[0].data, b"A: b\r\n\r\n.\r\n..x\r\n");
        assert_eq!(
            (received[0].from.as_str(), received[0].to.as_slice()),
            ("a@b", &["c@d".to_owned(), "e@f".to_owned()][..])
        );
    }

    #[test]
    fn a_script_is_followed_once_and_in_order() {
        let sink = SmtpSink::start();
        sink.script(Stage::Rcpt, Behaviour::Answer("450 4.2.1 busy".to_owned()));
        sink.script(Stage::EndOfMessage, Behaviour::Answer("554 5.6.0 no".to_owned()));
        sink.script(Stage::EndOfMessage, Behaviour::KeepAndDrop);
        let mut client = SmtpClient::connect(sink.port());
        let outcome = client.send("a@b", &["c@d", "e@f"], b"\r\n");
        assert_eq!((outcome.rcpt[0].code, outcome.rcpt[1].code, outcome.end.code), (450, 250, 554));
        assert_eq!(client.send("a@b", &["c@d"], b"\r\n").end.code, 0);
        assert_eq!(sink.received().len(), 1);
    }
}
