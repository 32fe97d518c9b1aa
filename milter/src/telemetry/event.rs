//! What happened, as log and metrics tell it.

use std::time::Duration;

use policy::Direction;

use crate::spool::Ticket;

/// Something worth a log line and a count.
#[derive(Debug)]
pub enum Event<'e> {
    /// A message got its answer.
    Message(MessageEvent<'e>),
    /// A recipient was refused at RCPT.
    Recipient {
        /// Queue id or `NOQUEUE`.
        id: &'e str,
        /// Reverse-path.
        from: &'e str,
        /// The recipient.
        to: &'e str,
        /// The reply, e.g. `550 5.7.1 …`.
        reply: &'e str,
    },
    /// A copy was submitted, deferred, refused or kept.
    Copy {
        /// The copy.
        ticket: &'e Ticket,
        /// `taken`, `later`, `refused` or `kept`.
        outcome: &'e str,
        /// The MTA's reply or our error.
        reason: &'e str,
    },
}

/// What the line and the counters of one message say.
#[derive(Debug)]
pub struct MessageEvent<'e> {
    /// Queue id or `NOQUEUE`.
    pub id: &'e str,
    /// Message-ID, if the message has one.
    pub message_id: Option<&'e str>,
    /// Reverse-path.
    pub from: &'e str,
    /// Recipients.
    pub to: Vec<&'e str>,
    /// Direction of the message as a whole.
    pub direction: Direction,
    /// Ids of the rules that fired.
    pub rules: &'e [String],
    /// What was done, e.g. `sign+encrypt`, `open`, `pass`; one word per group.
    pub action: String,
    /// `openpgp`, or empty when nothing was sealed or opened.
    pub scheme: &'e str,
    /// The verdict given to the MTA.
    pub verdict: &'e str,
    /// Reply text when it was refused.
    pub reason: Option<&'e str>,
    /// Recipients elsewhere to whom it left in clear.
    pub unprotected: Unprotected,
    /// Time the gateway took at end of message.
    pub took: Duration,
}

/// Recipients elsewhere to whom a message left neither encrypted nor over an authenticated road, because policy
/// allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unprotected {
    /// With our signature.
    pub signed: u64,
    /// Without.
    pub unsigned: u64,
}

impl<'e> Event<'e> {
    /// What became of a copy.
    pub fn copy(ticket: &'e Ticket, outcome: &'e str, reason: &'e str) -> Self {
        Self::Copy { ticket, outcome, reason }
    }
}
