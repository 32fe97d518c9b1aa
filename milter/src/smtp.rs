//! A small SMTP client for one purpose: handing a copy to the local MTA (RFC 5321).

use std::io;
use std::time::Duration;

use mail::Message;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Makes the header field that goes on top, once the accepted recipients are known.
pub type Prepend<'s> = Box<dyn Fn(&[&str]) -> io::Result<Vec<u8>> + Send + Sync + 's>;

/// One message to hand over.
pub struct Submission<'s> {
    /// EHLO argument.
    pub hello: String,
    /// Reverse-path without brackets.
    pub reverse_path: &'s str,
    /// MAIL parameters; those the server does not offer are left out.
    pub parameters: &'s [String],
    /// Forward-paths with brackets, and RCPT parameters.
    pub recipients: &'s [(String, Vec<String>)],
    /// The message.
    pub message: &'s Message,
    /// Makes the field to prepend.
    pub prepend: Prepend<'s>,
}

/// How a submission ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered for each recipient, in order.
    Answered(Vec<RecipientOutcome>),
    /// Nothing was taken, as far as we can know; why.
    Later(String),
}

/// The answer for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// The server took responsibility.
    Taken,
    /// 5xx, with the reply.
    Refused(String),
    /// 4xx, with the reply.
    Later(String),
}

/// Time for a connection and for each reply but the last.
const REPLY_TIME: Duration = Duration::from_secs(60);
/// Time for the reply to the final dot (RFC 5321 section 4.5.3.2.6): milters run there.
const FINAL_TIME: Duration = Duration::from_secs(600);
/// Longest reply line we read; RFC 5321 allows 512.
const LINE_LIMIT: usize = 4096;
/// Bytes of the message read at a time.
const CHUNK: usize = 64 * 1024;

/// Hands the message to the server at `target` (`host:port`).
pub async fn submit(target: &str, submission: &Submission<'_>) -> Outcome {
    match dialogue(target, submission).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Later(error.to_string()),
    }
}

struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }
    fn outcome(&self) -> RecipientOutcome {
        match self.code {
            200..=299 => RecipientOutcome::Taken,
            500..=599 => RecipientOutcome::Refused(self.text()),
            _ => RecipientOutcome::Later(self.text()),
        }
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
}

async fn dialogue(target: &str, submission: &Submission<'_>) -> io::Result<Outcome> {
    let stream = timeout(REPLY_TIME, TcpStream::connect(target)).await??;
    stream.set_nodelay(true)?;
    let mut connection = Connection { stream: BufReader::new(stream) };
    let greeting = connection.reply(REPLY_TIME).await?;
    if greeting.code != 220 {
        return Ok(Outcome::Later(greeting.text()));
    }
    let hello = connection.command(&format!("EHLO {}", submission.hello)).await?;
    if hello.code != 250 {
        return Ok(Outcome::Later(hello.text()));
    }
    let mail =
        format!("MAIL FROM:<{}>{}", submission.reverse_path, offered(submission.parameters, &hello.lines));
    let mail = connection.command(&mail).await?;
    if mail.code != 250 {
        connection.quit();
        return Ok(Outcome::Answered(vec![mail.outcome(); submission.recipients.len()]));
    }
    let mut answers = Vec::new();
    for (path, parameters) in submission.recipients {
        let rcpt = format!("RCPT TO:{path}{}", offered(parameters, &hello.lines));
        answers.push(connection.command(&rcpt).await?.outcome());
    }
    let accepted: Vec<&str> = submission
        .recipients
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| **answer == RecipientOutcome::Taken)
        .map(|((path, _), _)| path.as_str())
        .collect();
    if accepted.is_empty() {
        connection.quit();
        return Ok(Outcome::Answered(answers));
    }
    let data = connection.command("DATA").await?;
    let verdict = if data.code == 354 {
        let field = (submission.prepend)(&accepted)?;
        connection.send(&field, submission.message).await?;
        connection.reply(FINAL_TIME).await?
    } else {
        data
    };
    for answer in answers.iter_mut().filter(|answer| **answer == RecipientOutcome::Taken) {
        *answer = verdict.outcome();
    }
    connection.quit();
    Ok(Outcome::Answered(answers))
}

impl Connection {
    async fn command(&mut self, line: &str) -> io::Result<Reply> {
        // A line end inside an address would be a second command.
        if line.bytes().any(|b| b == b'\r' || b == b'\n' || b == 0) {
            return Err(io::Error::other("line end in an SMTP command"));
        }
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.reply(REPLY_TIME).await
    }

    async fn reply(&mut self, limit: Duration) -> io::Result<Reply> {
        timeout(limit, self.read_reply()).await?
    }

    async fn read_reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let mut limited = tokio::io::AsyncReadExt::take(&mut self.stream, LINE_LIMIT as u64);
            limited.read_until(b'\n', &mut line).await?;
            if !line.ends_with(b"\n") || lines.len() > 100 {
                return Err(io::Error::other("connection lost, or a reply that is no SMTP reply"));
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let Some(code) = code else { return Err(io::Error::other("a reply that is no SMTP reply")) };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Sends the message with the field on top, dot-stuffed and ended (RFC 5321 section 4.5.2).
    async fn send(&mut self, field: &[u8], message: &Message) -> io::Result<()> {
        let mut out = DotStuffer::default();
        let mut buffer = Vec::with_capacity(2 * CHUNK);
        out.push(field, &mut buffer);
        out.push(message.header().as_bytes(), &mut buffer);
        let body = message.body();
        let mut at = 0;
        while at < body.len() {
            let end = body.len().min(at + CHUNK as u64);
            // A read from a page-cached file; short enough for the runtime's thread.
            out.push(&body.read_range(at..end)?, &mut buffer);
            at = end;
            self.stream.write_all(&buffer).await?;
            buffer.clear();
        }
        out.finish(&mut buffer);
        self.stream.write_all(&buffer).await
    }

    /// Ends the dialogue in the background: the answer for the message is in, and until the spool
    /// knows of it a crash would send the copy again.
    fn quit(mut self) {
        tokio::spawn(async move {
            let _ = self.stream.write_all(b"QUIT\r\n").await;
            let _ = timeout(Duration::from_secs(1), self.read_reply()).await;
        });
    }
}

/// Makes CRLF lines and doubles leading dots, across chunk borders.
#[derive(Default)]
struct DotStuffer {
    last: Option<u8>,
}

impl DotStuffer {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            match (self.last, byte) {
                (Some(b'\r'), b'\n') => {}
                // A bare CR or LF must not reach the MTA as half a line end.
                (Some(b'\r'), _) => out.push(b'\n'),
                (_, b'\n') => out.push(b'\r'),
                _ => {}
            }
            let at_line_start =
                matches!(self.last, None | Some(b'\n')) || (self.last == Some(b'\r') && byte != b'\n');
            if byte == b'.' && at_line_start {
                out.push(b'.');
            }
            out.push(byte);
            self.last = Some(byte);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self.last {
            None | Some(b'\n') => {}
            Some(b'\r') => out.push(b'\n'),
            Some(_) => out.extend_from_slice(b"\r\n"),
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// The parameters whose keyword the server offered, each with a leading space.
fn offered(parameters: &[String], extensions: &[String]) -> String {
    let extension_of = |keyword: &str| match keyword {
        "BODY" => "8BITMIME".to_owned(),
        "RET" | "ENVID" | "NOTIFY" | "ORCPT" => "DSN".to_owned(),
        other => other.to_owned(),
    };
    let mut text = String::new();
    for parameter in parameters {
        let keyword = parameter.split('=').next().unwrap_or_default().to_ascii_uppercase();
        // The size is another one after sealing, and authentication was the client's.
        if keyword == "SIZE" || keyword == "AUTH" {
            continue;
        }
        let needed = extension_of(&keyword);
        let has = |line: &String| {
            line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(&needed))
        };
        if extensions.iter().any(has) {
            text.push(' ');
            text.push_str(parameter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(chunks: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut stuffer = DotStuffer::default();
        for chunk in chunks {
            stuffer.push(chunk, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_added_once() {
        assert_eq!(stuffed(&[b"a\r\n.\r\n..b"]), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\r", b"\n", b".b\r\n"]), b"a\r\n..b\r\n.\r\n");
        assert_eq!(stuffed(&[]), b".\r\n");
    }

    #[test]
    fn bare_line_ends_cannot_smuggle_an_end_of_data() {
        assert_eq!(stuffed(&[b"a\n.\nb"]), b"a\r\n..\r\nb\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\r.\rb"]), b"a\r\n..\r\nb\r\n.\r\n");
    }

    #[test]
    fn only_offered_parameters_are_sent() {
        let extensions = vec!["mx.example".to_owned(), "8BITMIME".to_owned(), "DSN".to_owned()];
        let parameters = ["BODY=8BITMIME", "SIZE=12", "SMTPUTF8", "RET=HDRS", "AUTH=<>"].map(str::to_owned);
        assert_eq!(offered(&parameters, &extensions), " BODY=8BITMIME RET=HDRS");
    }
}
