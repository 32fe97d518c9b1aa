//! One message over one session: MAIL, RCPT, content, and what the host says to each recipient.

use std::io::BufRead;
use std::time::Duration;

use mail::BodyReader;

use super::Abandon;
use super::config::CourierConfig;
use super::demand;
use super::envelope::Envelope;
use super::envelope::MailOptions;
use super::envelope::Recipient;
use super::fault::HopFault;
use super::letter::Letter;
use super::letter::Stuffing;
use super::reply::Reply;
use super::session::Session;
use super::wire::Deadline;
use super::wire::WireFault;

/// What became of one recipient at one host.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The host's last word, 2xx or 5xx, and the command that it answered.
    Said(Reply, &'static str),
    /// Not here, or not now: another host may take it.
    Elsewhere(HopFault),
    /// Nobody knows, or nobody waits any more: no other host may be tried.
    Stop(HopFault),
}

/// A reused connection turned out to be dead before the host took anything.
#[derive(Debug)]
pub(super) struct Stale;

/// One message and all that sending it depends on.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) config: &'a CourierConfig,
    pub(super) envelope: &'a Envelope,
    pub(super) letter: &'a Letter,
    pub(super) abandon: &'a Abandon,
    pub(super) deadline: Deadline,
}

impl Work<'_> {
    /// Sends the message for `recipients`; one answer each, in their order.
    pub(super) async fn transact(
        self,
        session: &mut Session,
        recipients: &[&Recipient],
    ) -> Result<Vec<Answer>, Stale> {
        session.ready = false;
        let options = match self.options(session, recipients) {
            Ok(options) => options,
            Err(fault) => return Ok(vec![Answer::Elsewhere(fault); recipients.len()]),
        };
        let mut answers = match self.envelope(session, options, recipients).await? {
            Ok(answers) => answers,
            Err(answer) => return Ok(vec![answer; recipients.len()]),
        };
        if answers.iter().any(Option::is_none) {
            let verdict = match (session.features.chunking, self.letter.is_empty()) {
                (true, false) => self.chunks(session).await,
                _ => self.data(session).await,
            };
            for answer in answers.iter_mut().filter(|answer| answer.is_none()) {
                *answer = Some(verdict.clone());
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// MAIL and RCPT. `None` stands for a recipient that the host accepted; `Err` for an answer that all get.
    async fn envelope(
        self,
        session: &mut Session,
        options: MailOptions,
        recipients: &[&Recipient],
    ) -> Result<Result<Vec<Option<Answer>>, Answer>, Stale> {
        let reused = session.used > 0;
        let pipelining = session.features.pipelining;
        let mut batch = self.envelope.mail_command(options);
        if pipelining {
            batch.extend(recipients.iter().map(|recipient| recipient.rcpt_command(options.dsn)));
        }
        let broken = |fault: &WireFault, during| Answer::Elsewhere(HopFault::wire(fault, during));
        match self.ask(session, batch.as_bytes()).await {
            Err(_) if reused => return Err(Stale),
            Err(fault) => return Ok(Err(broken(&fault, "MAIL FROM"))),
            Ok(reply) if reply.code == 421 && reused => return Err(Stale),
            Ok(reply) if reply.is_positive() => {}
            // The pipelined answers do not matter: the session ends here.
            Ok(reply) => return Ok(Err(refusal(reply, "MAIL FROM"))),
        }
        let mut answers = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let command = recipient.rcpt_command(options.dsn);
            let command = if pipelining { "" } else { &command };
            match self.ask(session, command.as_bytes()).await {
                Ok(reply) if reply.is_positive() => answers.push(None),
                // The host gives up everything (RFC 5321 section 3.8).
                Ok(reply) if reply.code == 421 => {
                    return Ok(Ok(broken_off(answers, &refusal(reply, "RCPT TO"), recipients.len())));
                }
                Ok(reply) => answers.push(Some(refusal(reply, "RCPT TO"))),
                Err(fault) => {
                    return Ok(Ok(broken_off(answers, &broken(&fault, "RCPT TO"), recipients.len())));
                }
            }
        }
        Ok(Ok(answers))
    }

    /// Sends a command, if it is one, and waits for the answer.
    async fn ask(self, session: &mut Session, command: &[u8]) -> Result<Reply, WireFault> {
        let until = self.deadline.step(self.config.times.command);
        if !command.is_empty() {
            session.wire.send(command, until).await?;
        }
        session.wire.reply(until).await
    }

    /// The parameters for this host, or why it cannot take the message.
    ///
    /// Nothing is converted: a message that was signed in eight bits would not verify in seven.
    fn options(self, session: &Session, recipients: &[&Recipient]) -> Result<MailOptions, HopFault> {
        let (envelope, letter, features) = (self.envelope, self.letter, &session.features);
        if features.size_limit.is_some_and(|limit| letter.len() > limit) {
            let limit = features.size_limit.unwrap_or_default();
            let text = format!("the message has {} octets, the host takes {limit}", letter.len());
            return Err(HopFault { code: 552, ..HopFault::permanent((3, 4), text) });
        }
        if letter.is_eight_bit() && !features.eight_bit {
            return Err(HopFault::permanent(
                (6, 3),
                "the message has 8-bit text and the host does not offer 8BITMIME",
            ));
        }
        let named = |address: &str| !address.is_ascii();
        let international = named(&envelope.reverse_path) || recipients.iter().any(|to| named(&to.address));
        let smtputf8 = international || envelope.smtputf8 && letter.has_eight_bit_header();
        if smtputf8 && !features.smtputf8 {
            // RFC 6531 section 3.5 has these codes.
            let (detail, what) = if international { (7, "addresses") } else { (9, "header fields") };
            let text = format!("the message has international {what} and the host does not offer SMTPUTF8");
            return Err(HopFault::permanent((6, detail), text));
        }
        if envelope.require_tls && !features.require_tls && !envelope.is_bounce() {
            let text = "REQUIRETLS support required: the sender demands it and the host does not offer it";
            return Err(HopFault::permanent((7, 30), text));
        }
        Ok(MailOptions {
            size: features.size.then(|| letter.len()),
            eight_bit: letter.is_eight_bit(),
            smtputf8,
            require_tls: features.require_tls && demand::may_say_requiretls(self, &session.via),
            dsn: features.dsn,
        })
    }

    /// The content by DATA (RFC 5321 section 4.1.1.4).
    async fn data(self, session: &mut Session) -> Answer {
        if self.abandon.is_set() {
            return given_up();
        }
        match self.ask(session, b"DATA\r\n").await {
            Ok(reply) if reply.code == 354 => {}
            // A yes before anything was sent is no yes to the message.
            Ok(reply) if reply.is_positive() => {
                return Answer::Elsewhere(HopFault::wire(&WireFault::Nonsense, "DATA"));
            }
            Ok(reply) => return refusal(reply, "DATA"),
            Err(fault) => return Answer::Elsewhere(HopFault::wire(&fault, "DATA")),
        }
        let mut content = self.letter.body().reader(0..self.letter.len());
        let mut stuffing = Stuffing::new();
        let mut out = Vec::with_capacity(BLOCK + BLOCK / 16);
        while content.position() < self.letter.len() {
            if !out.is_empty() {
                if let Err(fault) = session.wire.send(&out, self.deadline.step(self.config.times.block)).await
                {
                    return self.last_words(session, &fault).await;
                }
                out.clear();
            }
            let taken = match next_block(&mut content, BLOCK) {
                Ok(block) => {
                    stuffing.stuff(block, &mut out);
                    block.len()
                }
                Err(fault) => return fault,
            };
            content.consume(taken);
        }
        // Up to here the host has no message; the client may have gone meanwhile and will send it again.
        if self.abandon.is_set() {
            return given_up();
        }
        out.extend_from_slice(b".\r\n");
        self.finish(session, &out, "end of DATA").await
    }

    /// The content by BDAT (RFC 3030).
    async fn chunks(self, session: &mut Session) -> Answer {
        let mut content = self.letter.body().reader(0..self.letter.len());
        loop {
            if self.abandon.is_set() {
                return given_up();
            }
            let left = self.letter.len() - content.position();
            let size = left.min(CHUNK);
            let last = if size == left { " LAST" } else { "" };
            let mut out = format!("BDAT {size}{last}\r\n").into_bytes();
            let end = content.position() + size;
            while content.position() < end {
                let room = usize::try_from(end - content.position()).unwrap_or(BLOCK).min(BLOCK);
                let taken = match next_block(&mut content, room) {
                    Ok(block) => {
                        out.extend_from_slice(block);
                        block.len()
                    }
                    Err(fault) => return fault,
                };
                content.consume(taken);
                if content.position() < end {
                    if let Err(fault) =
                        session.wire.send(&out, self.deadline.step(self.config.times.block)).await
                    {
                        return self.last_words(session, &fault).await;
                    }
                    out.clear();
                }
            }
            if size == left {
                return self.finish(session, &out, "BDAT").await;
            }
            match self.ask(session, &out).await {
                Ok(reply) if reply.is_positive() => {}
                Ok(reply) => return refusal(reply, "BDAT"),
                Err(fault) => return self.last_words(session, &fault).await,
            }
        }
    }

    /// Sends the last of the content and waits for the host's verdict, as long as there is time.
    async fn finish(self, session: &mut Session, end: &[u8], during: &'static str) -> Answer {
        if let Err(fault) = session.wire.send(end, self.deadline.step(self.config.times.block)).await {
            // The end is the last of what was to be sent, so the host cannot have seen it.
            return self.last_words(session, &fault).await;
        }
        let verdict = session.wire.reply(self.deadline.step(self.config.times.done)).await;
        match verdict {
            Ok(reply) => {
                session.used += 1;
                session.ready = reply.code != 421;
                refusal(reply, during)
            }
            // The host may have taken the message. Another host would surely deliver it twice; our client
            // tries again later, which may (RFC 5321 section 4.5.4.1, RFC 1047).
            Err(fault) => {
                let text = format!("{fault} ({during}); the message may be delivered twice");
                Answer::Stop(HopFault::temporary((4, 2), text))
            }
        }
    }

    /// A host that refuses in the middle of the content often says why before it hangs up.
    async fn last_words(self, session: &mut Session, fault: &WireFault) -> Answer {
        let until = self.deadline.step(LAST_WORDS);
        match session.wire.reply(until).await {
            Ok(reply) if !reply.is_positive() => refusal(reply, "DATA"),
            _ => Answer::Elsewhere(HopFault::wire(fault, "sending the message")),
        }
    }
}

/// Reads without consuming; at most `most` bytes.
fn next_block(content: &mut BodyReader, most: usize) -> Result<&[u8], Answer> {
    match content.fill_buf() {
        Ok(block) => Ok(block.get(..most).unwrap_or(block)),
        Err(error) => {
            tracing::error!(%error, "the spilled message cannot be read");
            Err(Answer::Stop(HopFault::temporary((3, 0), "the message cannot be read on this host")))
        }
    }
}

/// The answers when a session ends before the content: nothing was sent for anybody; the refusals that came stand.
fn broken_off(answers: Vec<Option<Answer>>, end: &Answer, count: usize) -> Vec<Option<Answer>> {
    let mut all: Vec<_> = answers.into_iter().map(|answer| answer.or_else(|| Some(end.clone()))).collect();
    all.resize(count, Some(end.clone()));
    all
}

/// The answer that a reply stands for.
fn refusal(reply: Reply, during: &'static str) -> Answer {
    match reply.code / 100 {
        2 | 5 => Answer::Said(reply, during),
        _ => Answer::Elsewhere(HopFault::deferred(&reply, during)),
    }
}

fn given_up() -> Answer {
    Answer::Stop(HopFault::temporary((4, 2), "the client that handed over the message has gone"))
}

/// Bytes of content sent at once.
const BLOCK: usize = 64 * 1024;
/// Bytes of one BDAT chunk.
const CHUNK: u64 = 1024 * 1024;
const LAST_WORDS: Duration = Duration::from_secs(5);
