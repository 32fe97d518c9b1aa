//! Keys by mail: what users send to the submission address (Web Key Directory update protocol,
//! draft-koch-openpgp-webkey-service-22 section 4).
//!
//! A key is published only for the mailbox in From, and only once its holder proved that both are his: by a login that
//! speaks for the mailbox, or by the nonce of a challenge that was sent there, encrypted to the key. The mail itself
//! goes nowhere. Whatever is wrong with it is told in the reply to its sender's own mail server, never by a mail of
//! ours.

pub mod answer;
mod certificate;
pub mod deed;
mod desk;
pub mod letter;
pub mod login;
pub mod pending;

use keydir::Subject;
use mail::{Failure, Message};
use serde::Serialize;

use self::deed::Deed;
use self::desk::Desk;
use crate::config::Config;
use crate::disposition::Disposition;
use crate::keyring::KeyRing;
use crate::transaction::Transaction;

/// What became of a mail to the submission address, and what must still happen.
#[derive(Debug)]
pub struct KeyMail {
    /// For the record.
    pub story: Story,
    /// What is done once the record is written.
    pub deed: Option<Deed>,
}

/// What happened, for the record.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Story {
    /// How far it came.
    pub step: Step,
    /// The mailbox of the key.
    pub address: Option<String>,
    /// Upper-case hexadecimal.
    pub fingerprint: Option<String>,
    /// Who was logged in, if that decided.
    pub login: Option<String>,
}

/// How far a submission came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A challenge was sent.
    Challenged,
    /// The challenge was answered: the key is stored to be published.
    ConfirmedByChallenge,
    /// The login speaks for the mailbox: the key is stored to be published.
    ConfirmedByLogin,
    /// An automatic mail: nothing was done, and nobody told.
    Ignored,
    /// Nothing was done, and the sender told why.
    #[default]
    Refused,
    /// The revocation of a key that was known was stored.
    Revoked,
}

impl std::fmt::Display for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |text: &'_ Option<String>| text.clone().unwrap_or_else(|| "(unknown)".to_owned());
        write!(f, "key {} for {}: {}", told(&self.fingerprint), told(&self.address), self.step)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Challenged => "challenged",
            Self::ConfirmedByChallenge => "confirmed by challenge",
            Self::ConfirmedByLogin => "confirmed by login",
            Self::Ignored => "ignored, an automatic mail",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
        })
    }
}

/// Whether a message is for the submission address.
pub fn is_addressed(config: &Config, transaction: &Transaction) -> bool {
    let Some(address) = config.submission_address() else { return false };
    let is = |text: &str| Subject::address(text).is_some_and(|subject| subject.same(&address));
    !transaction.is_second_pass()
        && transaction.envelope.recipients.iter().any(|recipient| is(&recipient.address))
}

/// Works out what becomes of a message to the submission address. Blocking. Nothing is changed by it.
pub fn receive(config: &Config, keys: &KeyRing, transaction: &Transaction, now: i64) -> Disposition {
    let Some(address) = config.submission_address() else {
        return Disposition::failed(Failure::temporary((3, 5), "no keys are taken by mail any more"));
    };
    let mut desk = Desk::new(config, keys, transaction, address, now);
    let done = desk.work();
    let (facts, mut story) = desk.into_parts();
    match done {
        Ok((step, deed)) => {
            story.step = step;
            Disposition::key_mail(facts, KeyMail { story, deed })
        }
        Err(failure) => {
            let mut disposition = Disposition::key_mail(facts, KeyMail { story, deed: None });
            disposition.fail(failure);
            disposition
        }
    }
}

/// Whether no human sent it (RFC 3834, and what lists and robots wrote before it).
fn is_automatic(message: &Message) -> bool {
    let words = |name: &str| -> Vec<String> {
        let values = message.header().find_all(name).map(|(_, field)| field.unfolded());
        values.map(|value| String::from_utf8_lossy(&value).trim().to_ascii_lowercase()).collect()
    };
    let submitted = words("Auto-Submitted").iter().any(|value| value != "no");
    let bulk = words("Precedence").iter().any(|value| ["bulk", "junk", "list"].contains(&value.as_str()));
    submitted || bulk || message.header().find("List-Id").is_some()
}

fn refusal(code: (u16, u16), text: &str) -> Failure {
    Failure::permanent(code, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_are_recognised() {
        let automatic = |header: &str| is_automatic(&Message::parse(format!("{header}\r\n\r\nx").as_bytes()));
        for robot in [
            "Auto-Submitted: auto-replied",
            "auto-submitted: Auto-Generated (x)",
            "Precedence: bulk",
            "List-Id: <x.example>",
        ] {
            assert!(automatic(robot), "{robot}");
        }
        for human in ["Subject: key", "Auto-Submitted: no", "Precedence: first-class"] {
            assert!(!automatic(human), "{human}");
        }
    }
}
