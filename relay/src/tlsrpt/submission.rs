//! Hands a message to the local MTA (RFC 5321).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mail::Address;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;

/// How long all of it may take. The final answer may wait for filters of the MTA (RFC 5321 section 4.5.3.2.6).
const DEADLINE: Duration = Duration::from_secs(600);
/// Longest answer, octets.
const ANSWER_MAX: u64 = 16 * 1024;

/// Why the MTA did not take it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubmissionError {
    #[error("the local MTA cannot be talked to: {0}")]
    Io(#[from] io::Error),
    #[error("the local MTA answered to {command}: {answer}")]
    Refused { command: &'static str, answer: String },
    #[error("the local MTA did not answer in time")]
    Deadline,
}

/// Hands over one message for one recipient. Once this returns, the MTA has it.
pub(super) async fn submit(
    server: SocketAddr,
    hello: &str,
    from: &Address,
    to: &Address,
    message: &[u8],
) -> Result<(), SubmissionError> {
    let dialogue = async {
        let mut mta = Mta { stream: BufReader::new(TcpStream::connect(server).await?) };
        mta.expect("the connection", 220).await?;
        mta.command("EHLO", &format!("EHLO {hello}\r\n"), 250).await?;
        mta.command("MAIL", &format!("MAIL FROM:<{from}>\r\n"), 250).await?;
        mta.command("RCPT", &format!("RCPT TO:<{to}>\r\n"), 250).await?;
        mta.command("DATA", "DATA\r\n", 354).await?;
        mta.stream.write_all(&dotted(message)).await?;
        mta.expect("the message", 250).await?;
        // The message is the MTA's now, whatever happens to the connection.
        let _ = mta.stream.write_all(b"QUIT\r\n").await;
        Ok(())
    };
    tokio::time::timeout(DEADLINE, dialogue).await.unwrap_or(Err(SubmissionError::Deadline))
}

struct Mta {
    stream: BufReader<TcpStream>,
}

impl Mta {
    async fn command(&mut self, name: &'static str, line: &str, code: u16) -> Result<(), SubmissionError> {
        self.stream.write_all(line.as_bytes()).await?;
        self.expect(name, code).await
    }

    /// Reads an answer of any number of lines; 251 is as good as 250 (section 4.2.3).
    async fn expect(&mut self, command: &'static str, code: u16) -> Result<(), SubmissionError> {
        let mut budget = ANSWER_MAX;
        loop {
            let mut line = Vec::new();
            let length = (&mut self.stream).take(budget).read_until(b'\n', &mut line).await?;
            budget = budget.saturating_sub(length as u64);
            if line.last() != Some(&b'\n') {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let answer = String::from_utf8_lossy(&line).trim_end().to_owned();
            if answer.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            let got = answer.get(..3).and_then(|digits| digits.parse::<u16>().ok());
            let good = got == Some(code) || (code == 250 && got == Some(251));
            return if good { Ok(()) } else { Err(SubmissionError::Refused { command, answer }) };
        }
    }
}

/// Lines that begin with a dot get another (section 4.5.2), and the end is marked.
fn dotted(message: &[u8]) -> Vec<u8> {
    let mut dotted = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            dotted.push(b'.');
        }
        dotted.extend_from_slice(line);
    }
    if !dotted.ends_with(b"\r\n") {
        dotted.extend_from_slice(b"\r\n");
    }
    dotted.extend_from_slice(b".\r\n");
    dotted
}
