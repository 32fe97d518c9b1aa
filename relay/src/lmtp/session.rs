//! The dialogue with one client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mail::EnhancedCode;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadHalf;
use tokio::io::WriteHalf;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Relay;
use super::Witness;
use super::command;
use super::command::Command;
use super::content::Unstuffing;
use super::forward::Transaction;
use super::forward::forward;
use super::incoming::Incoming;
use super::incoming::Line;
use super::intake::Intake;
use super::intake::too_big;
use crate::delivery::Abandon;
use crate::delivery::Envelope;
use crate::delivery::Letter;
use crate::delivery::Recipient;
use crate::delivery::Reply;
use crate::delivery::Routes;

/// Serves one client until it leaves, is lost, or `stop` becomes true between two messages.
pub(super) async fn converse<R, W, S>(relay: Arc<Relay<R, W>>, stream: S, stop: watch::Receiver<bool>)
where
    R: Routes,
    W: Witness,
    S: AsyncRead + AsyncWrite + Send,
{
    let (reading, writing) = tokio::io::split(stream);
    let mut session = Session {
        relay,
        incoming: Incoming::new(reading),
        writing,
        replies: Vec::new(),
        greeted: false,
        ident: None,
        message: None,
        mistakes: 0,
    };
    if let Err(error) = session.run(stop).await {
        tracing::debug!(%error, "LMTP: a client was lost");
    }
}

struct Session<R, W, S> {
    relay: Arc<Relay<R, W>>,
    incoming: Incoming<ReadHalf<S>>,
    writing: WriteHalf<S>,
    /// Replies that are not sent yet.
    replies: Vec<u8>,
    greeted: bool,
    /// The queue id of the next message.
    ident: Option<String>,
    message: Option<Begun>,
    mistakes: u32,
}

/// A message between MAIL and the end of its content.
struct Begun {
    transaction: Transaction,
    /// Content that came by BDAT.
    chunks: Option<Intake>,
}

/// What happens after a command.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}

impl<R, W, S> Session<R, W, S>
where
    R: Routes,
    W: Witness,
    S: AsyncRead + AsyncWrite + Send,
{
    async fn run(&mut self, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let name = &self.relay.config.name;
        let greeting = format!("220 {name} LMTP Gatepost\r\n");
        self.replies.extend_from_slice(greeting.as_bytes());
        loop {
            // A client that pipelines waits for nothing before it has sent its last command.
            if !self.incoming.waiting().contains(&b'\n') {
                self.flush().await?;
            }
            let line = tokio::select! {
                biased;
                line = timeout(self.relay.config.idle, self.incoming.line()) => line,
                () = stopped(&mut stop) => {
                    self.say(&Reply::own(421, EnhancedCode(4, 3, 2), "shutting down, try again later"));
                    return self.flush().await;
                }
            };
            let Ok(line) = line else {
                self.say(&Reply::own(421, EnhancedCode(4, 4, 2), "nothing heard for too long"));
                return self.flush().await;
            };
            let flow = match line? {
                Line::Closed => return Ok(()),
                Line::TooLong => self.mistake(&Reply::own(500, EnhancedCode(5, 5, 2), "line too long")),
                Line::Text(line) => match command::parse(&line) {
                    Ok(command) => self.obey(command).await?,
                    Err(reply) => self.mistake(&reply),
                },
            };
            if flow == Flow::End {
                return self.flush().await;
            }
        }
    }

    async fn obey(&mut self, command: Command) -> io::Result<Flow> {
        match command {
            Command::Lhlo => self.lhlo(),
            Command::Xforward { ident } => {
                self.ident = ident.or(self.ident.take());
                self.ok("2.0.0 ok");
            }
            Command::Mail { envelope, size } => return Ok(self.mail(envelope, size)),
            Command::Rcpt { recipient, domain } => return Ok(self.rcpt(recipient, domain)),
            Command::Data => return self.data().await,
            Command::Bdat { size, last } => return self.bdat(size, last).await,
            Command::Rset => {
                self.message = None;
                self.ok("2.0.0 ok");
            }
            Command::Noop => self.ok("2.0.0 ok"),
            Command::Vrfy => self.say(&Reply::own(252, EnhancedCode(2, 5, 0), "send mail and see")),
            Command::Quit => {
                self.say(&Reply::own(221, EnhancedCode(2, 0, 0), "bye"));
                return Ok(Flow::End);
            }
        }
        Ok(Flow::Continue)
    }

    fn lhlo(&mut self) {
        self.greeted = true;
        self.message = None;
        let config = &self.relay.config;
        let mut lines = vec![config.name.clone()];
        lines.extend(EXTENSIONS.map(ToOwned::to_owned));
        lines.push(format!("SIZE {}", config.size));
        let last = lines.len() - 1;
        for (at, line) in lines.iter().enumerate() {
            let separator = if at == last { ' ' } else { '-' };
            self.replies.extend_from_slice(format!("250{separator}{line}\r\n").as_bytes());
        }
    }

    fn mail(&mut self, envelope: Envelope, size: Option<u64>) -> Flow {
        let limit = self.relay.config.size;
        if !self.greeted {
            return self.mistake(&sequence("say LHLO first"));
        }
        if self.message.is_some() {
            return self.mistake(&sequence("there is a message already"));
        }
        if limit != 0 && size.is_some_and(|size| size > limit) {
            self.say(&too_big());
            return Flow::Continue;
        }
        let transaction = Transaction { ident: self.ident.take(), envelope, recipients: Vec::new() };
        self.message = Some(Begun { transaction, chunks: None });
        self.ok("2.1.0 ok");
        Flow::Continue
    }

    fn rcpt(&mut self, recipient: Recipient, domain: String) -> Flow {
        let most = self.relay.config.recipients;
        let Some(Begun { transaction, chunks: None }) = &mut self.message else {
            return self.mistake(&sequence("say MAIL first"));
        };
        if transaction.recipients.len() >= most {
            self.say(&Reply::own(452, EnhancedCode(4, 5, 3), "too many recipients"));
            return Flow::Continue;
        }
        if !recipient.address.is_ascii() && !transaction.envelope.smtputf8 {
            self.say(&Reply::own(553, EnhancedCode(5, 6, 7), "an international address needs SMTPUTF8"));
            return Flow::Continue;
        }
        if !transaction.recipients.iter().any(|(_, known)| *known == domain) {
            // The look-ups hide behind the client's sending.
            let (relay, domain) = (Arc::clone(&self.relay), domain.clone());
            tokio::spawn(async move { relay.routes.route(&domain).await });
        }
        transaction.recipients.push((recipient, domain));
        self.ok("2.1.5 ok");
        Flow::Continue
    }

    async fn data(&mut self) -> io::Result<Flow> {
        let Some(begun) = self.message.take_if(|begun| begun.is_ready() && begun.chunks.is_none()) else {
            return Ok(self.mistake(&sequence("no valid recipients")));
        };
        self.replies.extend_from_slice(b"354 end with <CRLF>.<CRLF>\r\n");
        self.flush().await?;
        let mut intake = Intake::new(&self.relay.config);
        let mut unstuffing = Unstuffing::new();
        loop {
            let fed = unstuffing.feed(self.incoming.waiting(), |piece| {
                intake.put(piece);
                Ok::<_, io::Error>(())
            });
            let progress = fed?;
            self.incoming.take(progress.taken);
            if progress.done {
                break;
            }
            self.more().await?;
        }
        self.deliver(begun.transaction, intake.finish()).await
    }

    async fn bdat(&mut self, size: u64, last: bool) -> io::Result<Flow> {
        let mut intake = match &mut self.message {
            Some(begun) if begun.is_ready() => begun.chunks.take(),
            _ => None,
        };
        if intake.is_none() && self.message.as_ref().is_some_and(Begun::is_ready) {
            intake = Some(Intake::new(&self.relay.config));
        }
        let mut left = size;
        while left > 0 {
            let waiting = self.incoming.waiting();
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(waiting.len());
            if let Some(intake) = &mut intake {
                intake.put(waiting.get(..taken).unwrap_or_default());
            }
            self.incoming.take(taken);
            left -= taken as u64;
            if left > 0 {
                self.more().await?;
            }
        }
        let Some(intake) = intake else {
            return Ok(self.mistake(&sequence("no valid recipients")));
        };
        if !last {
            if let Some(begun) = &mut self.message {
                begun.chunks = Some(intake);
            }
            self.ok(&format!("2.0.0 {size} octets"));
            return Ok(Flow::Continue);
        }
        match self.message.take() {
            Some(begun) => self.deliver(begun.transaction, intake.finish()).await,
            None => Ok(Flow::Continue),
        }
    }

    /// One reply per recipient, in their order, each as soon as those before it are there.
    async fn deliver(&mut self, transaction: Transaction, letter: Result<Letter, Reply>) -> io::Result<Flow> {
        let count = transaction.recipients.len();
        let letter = match letter {
            Ok(letter) => letter,
            Err(reply) => {
                (0..count).for_each(|_| self.say(&reply));
                return Ok(Flow::Continue);
            }
        };
        // However this ends before all replies are out, nobody waits for them any more.
        let abandon = AbandonOnDrop(Abandon::default());
        let mut coming = forward(&self.relay, transaction, letter, &abandon.0);
        let mut replies: Vec<Option<Reply>> = vec![None; count];
        let mut next = 0;
        loop {
            let (place, reply) = tokio::select! {
                biased;
                reply = coming.recv() => match reply {
                    Some(reply) => reply,
                    None => break,
                },
                () = self.incoming.gone() => return Ok(Flow::End),
            };
            if let Some(slot) = replies.get_mut(place) {
                *slot = Some(reply);
            }
            while let Some(Some(reply)) = replies.get(next) {
                self.replies.extend_from_slice(format!("{reply}\r\n").as_bytes());
                next += 1;
            }
            self.flush().await?;
        }
        // Only a delivery that broke down in the middle leaves a gap.
        let lost =
            Reply::own(451, EnhancedCode(4, 3, 0), "internal error, the message may be delivered twice");
        for reply in replies.into_iter().skip(next) {
            self.say(&reply.unwrap_or_else(|| lost.clone()));
        }
        Ok(Flow::Continue)
    }

    /// Waits for more content. A client that is lost now has handed over nothing.
    async fn more(&mut self) -> io::Result<()> {
        match timeout(self.relay.config.idle, self.incoming.more()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn ok(&mut self, text: &str) {
        self.replies.extend_from_slice(format!("250 {text}\r\n").as_bytes());
    }

    fn say(&mut self, reply: &Reply) {
        self.replies.extend_from_slice(format!("{reply}\r\n").as_bytes());
    }

    /// Refuses a command that should not have been given; not for ever.
    fn mistake(&mut self, reply: &Reply) -> Flow {
        self.say(reply);
        self.mistakes += 1;
        if self.mistakes <= MISTAKES {
            return Flow::Continue;
        }
        self.say(&Reply::own(421, EnhancedCode(4, 7, 0), "too many errors"));
        Flow::End
    }

    async fn flush(&mut self) -> io::Result<()> {
        let replies = std::mem::take(&mut self.replies);
        let sent = timeout(WRITE, async {
            self.writing.write_all(&replies).await?;
            self.writing.flush().await
        });
        sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Begun {
    fn is_ready(&self) -> bool {
        !self.transaction.recipients.is_empty()
    }
}

/// Returns when it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender nobody could ever say so.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Gives up what can still be given up.
struct AbandonOnDrop(Abandon);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

fn sequence(text: &str) -> Reply {
    Reply::own(503, EnhancedCode(5, 5, 1), text)
}

/// What LHLO offers, besides SIZE.
const EXTENSIONS: [&str; 8] = [
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "CHUNKING",
    "REQUIRETLS",
    "ENHANCEDSTATUSCODES",
    "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT",
];
/// Mistakes of one client before it is sent away.
const MISTAKES: u32 = 20;
/// How long a client may take to read replies.
const WRITE: Duration = Duration::from_secs(30);
