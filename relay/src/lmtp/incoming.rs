//! What the client sends, in lines and in blocks, every wait bounded.

use std::io;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;

/// The receiving half of a connection.
#[derive(Debug)]
pub(super) struct Incoming<S> {
    stream: S,
    /// Received; what lies before `used` has been taken.
    buffer: Vec<u8>,
    used: usize,
    closed: bool,
}

/// One line of a dialogue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its end.
    Text(Vec<u8>),
    /// More than [`LINE`] bytes; it has been read to its end.
    TooLong,
    /// There are no more.
    Closed,
}

impl<S: AsyncRead + Unpin> Incoming<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), used: 0, closed: false }
    }

    /// The next line. Cancel-safe: what was read stays.
    pub(super) async fn line(&mut self) -> io::Result<Line> {
        let mut too_long = false;
        let mut searched = 0;
        loop {
            let waiting = self.waiting();
            if let Some(found) = memchr::memchr(b'\n', waiting.get(searched..).unwrap_or_default()) {
                let end = searched + found;
                let line = waiting.get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.take(end + 1);
                let fits = !too_long && line.len() <= LINE;
                return Ok(if fits { Line::Text(line) } else { Line::TooLong });
            }
            searched = waiting.len();
            if searched > LINE {
                too_long = true;
                self.take(searched);
                searched = 0;
            }
            if !self.more().await? {
                return Ok(Line::Closed);
            }
        }
    }

    /// What was received and not taken yet.
    pub(super) fn waiting(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Takes the first `count` bytes of [`Self::waiting`].
    pub(super) fn take(&mut self, count: usize) {
        self.used = (self.used + count).min(self.buffer.len());
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
    }

    /// Receives more; false when there is no more. Cancel-safe.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        if self.closed {
            return Ok(false);
        }
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.reserve(READ);
        self.closed = self.stream.read_buf(&mut self.buffer).await? == 0;
        Ok(!self.closed)
    }

    /// Returns when the client has gone. Takes in what it sends meanwhile, up to a limit; beyond it, waits for
    /// ever. Cancel-safe.
    pub(super) async fn gone(&mut self) {
        while self.waiting().len() < READ {
            if !matches!(self.more().await, Ok(true)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Longest command: RFC 5321 has 512, its extensions add up to this.
const LINE: usize = 4096;
/// Bytes received at once.
const READ: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_the_next_one_is_found() {
        let long = "x".repeat(200_000);
        let sent = format!("LHLO a\r\n{long}\r\nNOOP\nQUIT");
        let mut incoming = Incoming::new(sent.as_bytes());
        assert_eq!(incoming.line().await.unwrap(), Line::Text(b"LHLO a".to_vec()));
        assert_eq!(incoming.line().await.unwrap(), Line::TooLong);
        assert_eq!(incoming.line().await.unwrap(), Line::Text(b"NOOP".to_vec()));
        assert_eq!(incoming.line().await.unwrap(), Line::Closed);
    }
}
