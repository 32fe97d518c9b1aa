//! A message, what its client sees, and who gets it.

use tests::Reply;
use tests::messages;

pub(super) const ALICE: &str = "alice@alpha.example";
pub(super) const BOB: &str = "bob@beta.example";
pub(super) const CAROL: &str = "carol@gamma.example";
pub(super) const ERIN: &str = "erin@beta.example";

/// What policy protects on its way to beta.example.
pub(super) const SECRET: &str = "the vault opens at nine";

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Bob: sealed in place.
    One,
    /// Bob (encrypted, the original), Carol (in clear, a copy) and Erin (Bcc, encrypted, a copy).
    Groups,
    /// Carol: has no key, and policy lets her mail pass in clear if she certainly has none.
    Clear,
}

impl Shape {
    pub(super) fn recipients(self) -> &'static [&'static str] {
        match self {
            Self::One => &[BOB],
            Self::Groups => &[BOB, CAROL, ERIN],
            Self::Clear => &[CAROL],
        }
    }

    /// In words, for the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "one, encrypted",
            Self::Groups => "three groups",
            Self::Clear => "one, in clear",
        }
    }
}

/// A message that its client sends until it is accepted.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) shape: Shape,
    pub(super) message: Vec<u8>,
    /// How often it was sent before the fault.
    pub(super) before: usize,
}

impl Letter {
    /// A letter with a subject that no other letter of the world has.
    pub(super) fn new(subject: &str, shape: Shape) -> Self {
        let to = match shape {
            Shape::One => BOB.to_owned(),
            Shape::Groups => format!("{BOB}, {CAROL}"),
            Shape::Clear => CAROL.to_owned(),
        };
        let message = messages::plain(ALICE, &to, subject, &format!("{SECRET}\n"));
        Self { subject: subject.to_owned(), shape, message, before: 0 }
    }

    /// Its Message-ID, without brackets.
    pub(super) fn message_id(&self) -> String {
        let text = String::from_utf8_lossy(&self.message).into_owned();
        let (_, rest) = text.split_once("Message-ID: <").unwrap();
        rest.split_once('>').unwrap().0.to_owned()
    }
}

/// What the client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saw {
    /// True if the message was accepted for all its recipients.
    pub(super) accepted: bool,
    /// True if a later attempt is called for.
    pub(super) again: bool,
    /// Reply code, enhanced code and place, for the table.
    pub(super) text: String,
}

impl Saw {
    /// Refused with this reply.
    pub(super) fn refused(reply: &Reply, place: &str) -> Self {
        let enhanced = reply.enhanced().map(|code| format!(" {code}")).unwrap_or_default();
        Self {
            accepted: false,
            again: reply.is_temporary() || reply.code == 0,
            text: format!("{}{enhanced} {place}", reply.code),
        }
    }
}

/// A point in the client's dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// EHLO was answered.
    Greeted,
    /// The recipients were answered.
    Recipients,
    /// The message was accepted, and the client has not gone on.
    Accepted,
}

/// Who got what in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// How many messages each recipient has, in the order of the envelope.
    pub(super) counts: Vec<(&'static str, usize)>,
}

impl Arrived {
    /// In words, for the table.
    pub(super) fn duplicates(&self) -> String {
        match self.counts.iter().map(|(_, count)| count.saturating_sub(1)).sum() {
            0 => "none".to_owned(),
            1 => "one mail twice".to_owned(),
            more => format!("{more} mails too many"),
        }
    }
}
