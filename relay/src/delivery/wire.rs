//! One connection to a mail host: lines in, bytes out, every wait bounded.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout_at;
use tokio_rustls::client::TlsStream;

use super::reply::Reply;
use crate::road::Road;
use crate::tls::Handshake;
use crate::tls::Tls;
use crate::tls::TlsFault;

/// The end of the time for one delivery. No step waits longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn at(end: Instant) -> Self {
        Self(end)
    }

    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The end of a step that may take `time`.
    pub(super) fn step(self, time: Duration) -> Instant {
        self.0.min(Instant::now() + time)
    }

    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireFault {
    #[error("the connection was closed")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    #[error("no answer in time")]
    Late,
    #[error("the answer is no SMTP reply")]
    Nonsense,
}

impl From<io::Error> for WireFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A connection in clear or over TLS.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// Received and not yet used.
    received: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { stream: Stream::Plain(stream), received: Vec::new() }
    }

    /// Starts TLS on a connection in clear. `None` stands for a connection that cannot be used for it.
    ///
    /// What came before the handshake and was not asked for is refused: somebody could have put it there
    /// (CVE-2011-0411 and its kin).
    pub(super) async fn encrypt(
        self,
        tls: &Tls,
        road: &Road,
        host: &str,
        until: Instant,
    ) -> Result<(Self, crate::tls::Channel, Option<TlsFault>), TlsFault> {
        let broken = |why: &'static str| TlsFault::Handshake(io::Error::other(why));
        let Stream::Plain(stream) = self.stream else { return Err(broken("TLS is running already")) };
        if !self.received.is_empty() {
            return Err(broken("the server sent something in clear behind its go-ahead"));
        }
        let shaken = timeout_at(until, tls.handshake(stream, road, host)).await;
        let Handshake { stream, channel, tolerated } = shaken.map_err(|_| broken("it took too long"))??;
        let wire = Self { stream: Stream::Tls(Box::new(stream)), received: Vec::new() };
        Ok((wire, channel, tolerated))
    }

    /// The next reply.
    pub(super) async fn reply(&mut self, until: Instant) -> Result<Reply, WireFault> {
        let mut lines = Vec::new();
        loop {
            let line = self.line(until).await?;
            let last = Reply::is_last(&line).ok_or(WireFault::Nonsense)?;
            lines.push(line);
            if last {
                return Reply::from_lines(&lines).ok_or(WireFault::Nonsense);
            }
            if lines.len() > LINES {
                return Err(WireFault::Nonsense);
            }
        }
    }

    /// All lines of the next reply, for EHLO.
    pub(super) async fn reply_lines(&mut self, until: Instant) -> Result<(Reply, Vec<String>), WireFault> {
        let mut lines = Vec::new();
        loop {
            let line = self.line(until).await?;
            let last = Reply::is_last(&line).ok_or(WireFault::Nonsense)?;
            lines.push(line);
            if last {
                break;
            }
            if lines.len() > LINES {
                return Err(WireFault::Nonsense);
            }
        }
        let reply = Reply::from_lines(&lines).ok_or(WireFault::Nonsense)?;
        let texts =
            lines.iter().map(|line| String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned());
        Ok((reply, texts.collect()))
    }

    /// The next line without its end. Of a line that is too long, its begin: who is left in doubt for that would send the
    /// message again and again.
    async fn line(&mut self, until: Instant) -> Result<Vec<u8>, WireFault> {
        let mut searched = 0;
        let mut begin: Option<Vec<u8>> = None;
        let mut dropped = 0;
        loop {
            let fresh = self.received.get(searched..).unwrap_or_default();
            if let Some(found) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=searched + found).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(begin.unwrap_or(line));
            }
            searched = self.received.len();
            if searched > LINE {
                dropped += searched;
                if dropped > ENDLESS {
                    return Err(WireFault::Nonsense);
                }
                let line = std::mem::take(&mut self.received);
                begin.get_or_insert(line);
                searched = 0;
            }
            let read = timeout_at(until, self.read()).await.map_err(|_| WireFault::Late)??;
            if read == 0 {
                return Err(WireFault::Closed);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        // Cancel-safe: what was read is in the buffer before the next await.
        self.received.reserve(READ);
        match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.received).await,
            Stream::Tls(stream) => stream.read_buf(&mut self.received).await,
        }
    }

    /// Sends and flushes.
    pub(super) async fn send(&mut self, bytes: &[u8], until: Instant) -> Result<(), WireFault> {
        let sent = timeout_at(until, async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(bytes).await,
                Stream::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
            }
        });
        Ok(sent.await.map_err(|_| WireFault::Late)??)
    }

    /// Whether nothing unasked has arrived.
    pub(super) fn is_quiet(&self) -> bool {
        self.received.is_empty()
    }
}

/// Lines of one reply.
const LINES: usize = 200;
/// Length of one reply line; the RFC has 512.
const LINE: usize = 8 * 1024;
/// Length of a line that will never end.
const ENDLESS: usize = 1024 * 1024;
const READ: usize = 4 * 1024;
