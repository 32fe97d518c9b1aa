//! A small blocking SMTP client that shows every reply.

use std::fmt;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::time::Duration;

/// One SMTP reply (RFC 5321 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three-digit code; 0 if the server closed the connection instead of answering.
    pub code: u16,
    /// The text of each line, without the code.
    pub lines: Vec<String>,
}

impl Reply {
    /// The enhanced status code (RFC 3463), such as `5.7.1`.
    pub fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let classed = word.starts_with(['2', '4', '5']) && word.split('.').count() == 3;
        classed.then_some(word)
    }

    /// All lines in one.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// True for 2xx and 3xx.
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// True for 4xx: try again later.
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// True for 5xx: refused for good.
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// The queue id that Postfix gives in its reply at end-of-message.
    pub fn queue_id(&self) -> Option<String> {
        self.text().split_once("queued as ").map(|(_, id)| id.trim().to_owned())
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

/// The replies to one message.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// To MAIL FROM.
    pub mail: Reply,
    /// To each RCPT TO, in order.
    pub rcpt: Vec<Reply>,
    /// To the final dot; if there was no DATA (every recipient refused) the reply that prevented it.
    pub end: Reply,
}

impl Outcome {
    /// True if the server took responsibility for the message.
    pub fn accepted(&self) -> bool {
        self.end.code == 250 && self.mail.code == 250 && self.rcpt.iter().any(|reply| reply.code == 250)
    }

    /// The queue id under which Postfix accepted the message.
    ///
    /// # Panics
    /// If it was not accepted.
    #[track_caller]
    pub fn queue_id(&self) -> String {
        assert!(self.accepted(), "not accepted: {self:?}");
        self.end.queue_id().expect("a queue id in the reply")
    }
}

/// A connection to an SMTP server on 127.0.0.1; one command at a time, no pipelining.
#[derive(Debug)]
pub struct SmtpClient {
    stream: BufReader<TcpStream>,
    /// The dialogue so far: lines that start with `C: ` or `S: `; message content is left out.
    pub transcript: Vec<String>,
}

impl SmtpClient {
    /// Connects, reads the greeting and says EHLO.
    ///
    /// # Panics
    /// If nobody listens, or the greeting is not 220, or EHLO is refused.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        let (mut client, greeting) = Self::greeted(port);
        assert_eq!(greeting.code, 220, "greeting: {greeting}");
        let reply = client.ehlo();
        assert_eq!(reply.code, 250, "EHLO: {reply}");
        client
    }

    /// Connects and reads the greeting, nothing more.
    ///
    /// # Panics
    /// If nobody listens.
    #[track_caller]
    pub fn greeted(port: u16) -> (Self, Reply) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .unwrap_or_else(|error| panic!("cannot connect to port {port}: {error}"));
        Self::over(stream)
    }

    /// Reads the greeting on a connection that is already open.
    pub(crate) fn over(stream: TcpStream) -> (Self, Reply) {
        stream.set_read_timeout(Some(Duration::from_secs(330))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream: BufReader::new(stream), transcript: Vec::new() };
        let greeting = client.reply();
        (client, greeting)
    }

    /// EHLO client.example.
    pub fn ehlo(&mut self) -> Reply {
        self.command("EHLO client.example")
    }

    /// MAIL FROM:<`reverse_path`>.
    pub fn mail(&mut self, reverse_path: &str) -> Reply {
        self.command(&format!("MAIL FROM:<{reverse_path}>"))
    }

    /// MAIL FROM with parameters, such as `BODY=8BITMIME SMTPUTF8`.
    pub fn mail_with(&mut self, reverse_path: &str, parameters: &str) -> Reply {
        self.command(&format!("MAIL FROM:<{reverse_path}> {parameters}"))
    }

    /// RCPT TO:<`address`>.
    pub fn rcpt(&mut self, address: &str) -> Reply {
        self.command(&format!("RCPT TO:<{address}>"))
    }

    /// DATA, the message with dots doubled (RFC 5321 section 4.5.2), and the final dot.
    ///
    /// The message must have CRLF line ends; a missing last one is added. If DATA itself is refused
    /// that reply is returned.
    pub fn data(&mut self, message: &[u8]) -> Reply {
        let go = self.command("DATA");
        if go.code != 354 {
            return go;
        }
        self.content(message)
    }

    /// The message and the final dot, after DATA was said by [`SmtpClient::command`].
    pub fn content(&mut self, message: &[u8]) -> Reply {
        let mut wire = Vec::with_capacity(message.len() + 64);
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.first() == Some(&b'.') {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        if !wire.ends_with(b"\r\n") {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        self.transcript.push(format!("C: ({} bytes)", message.len()));
        // A server that has gone away shows itself in the reply.
        let _ = self.stream.get_mut().write_all(&wire);
        self.reply()
    }

    /// Sends one line and reads the reply.
    pub fn command(&mut self, line: &str) -> Reply {
        self.transcript.push(format!("C: {line}"));
        let _ = self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Sends one whole message; recipients that are refused are left out, as a client would.
    pub fn send(&mut self, reverse_path: &str, recipients: &[&str], message: &[u8]) -> Outcome {
        let eight_bit = !message.is_ascii();
        let mail =
            if eight_bit { self.mail_with(reverse_path, "BODY=8BITMIME") } else { self.mail(reverse_path) };
        if !mail.is_positive() {
            return Outcome { end: mail.clone(), mail, rcpt: Vec::new() };
        }
        let rcpt: Vec<Reply> = recipients.iter().map(|address| self.rcpt(address)).collect();
        let end = match rcpt.iter().find(|reply| reply.is_positive()) {
            Some(_) => self.data(message),
            None => {
                let refusal = rcpt.last().cloned();
                self.command("RSET");
                refusal.unwrap_or_else(|| mail.clone())
            }
        };
        Outcome { mail, rcpt, end }
    }

    /// QUIT.
    pub fn quit(mut self) -> Reply {
        self.command("QUIT")
    }

    /// Closes the connection without a word, as a crashed client does.
    pub fn vanish(self) {}

    /// Reads one reply; for LMTP, which has several after the final dot.
    pub fn reply(&mut self) -> Reply {
        let reply = self
            .read_reply()
            .unwrap_or_else(|error| Reply { code: 0, lines: vec![format!("connection closed: {error}")] });
        self.transcript.push(format!("S: {reply}"));
        reply
    }

    fn read_reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut raw = Vec::new();
            self.stream.read_until(b'\n', &mut raw)?;
            let line = String::from_utf8_lossy(&raw).trim_end().to_owned();
            let code = line.get(..3).and_then(|digits| digits.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("no reply line: {line:?}")))?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }
}
