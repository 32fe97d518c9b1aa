//! Why a message cannot go on for one recipient, in the words of an SMTP reply.

use crate::choose;
use crate::choose::Encryption;
use crate::choose::Signature;
use crate::facts::Protection;
use crate::facts::SubmissionFacts;
use crate::settings::Encrypt;

/// A text longer than this does not fit one reply line (RFC 5321 section 4.5.3.1.5).
const LONGEST_TEXT: usize = 400;

/// A refusal, for good or for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) permanent: bool,
    /// The enhanced status code (RFC 3463).
    pub(crate) code: &'static str,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn permanent(code: &'static str, text: &str) -> Self {
        Self { permanent: true, code, text: reply_line(text) }
    }

    pub(crate) fn temporary(code: &'static str, text: &str) -> Self {
        Self { permanent: false, code, text: reply_line(text) }
    }
}

/// What the outcome of encryption refuses. The reason why a look-up failed is for the log, not for the client.
pub(crate) fn of_encryption(encrypt: Encrypt, outcome: &Encryption, recipient: &str) -> Option<Refusal> {
    match outcome {
        Encryption::NoKey(why) if encrypt == Encrypt::Required => {
            let lack = choose::lack_in_words(why);
            let why = why.join("; ");
            let text = format!("encryption is required for {recipient}, but there is {lack} ({why})");
            Some(Refusal::permanent("5.7.1", &text))
        }
        Encryption::CouldNotTell(why) => {
            let what = if choose::lack_in_words(why) == choose::lack_in_words(&[]) {
                "a certificate"
            } else {
                "a certificate or a road that can be authenticated"
            };
            let text = format!("cannot tell whether there is {what} for {recipient}, try again later");
            Some(Refusal::temporary("4.7.5", &text))
        }
        _ => None,
    }
}

/// What the outcome of encrypting the mailbox at rest refuses.
pub(crate) fn of_at_rest(wanted: Encrypt, outcome: &Encryption, recipient: &str) -> Option<Refusal> {
    match outcome {
        Encryption::NoKey(_) if wanted == Encrypt::Required => {
            let text = format!("the mailbox of {recipient} is encrypted, and there is no key for it");
            Some(Refusal::permanent("5.7.1", &text))
        }
        Encryption::CouldNotTell(_) => {
            let text =
                format!("cannot tell whether there is a key for the mailbox of {recipient}, try again later");
            Some(Refusal::temporary("4.7.5", &text))
        }
        _ => None,
    }
}

/// The refusal when a key that must read along cannot be had. It can be made, so it is always for now.
pub(crate) fn of_additional(subject: &str) -> Refusal {
    let text = format!("the additional decryption key of {subject} cannot be used, try again later");
    Refusal::temporary("4.7.5", &text)
}

/// What the outcome of encryption refuses for a message that was decrypted here and is sent on: who encrypted
/// it did not mean it to leave in clear.
pub(crate) fn of_opened(outcome: &Encryption, recipient: &str) -> Option<Refusal> {
    match outcome {
        // On the road it would be closed, but at its end open.
        Encryption::Never | Encryption::NoKey(_) | Encryption::GivenUp(_) | Encryption::OnTheRoad(_) => {
            let text = format!("the message arrived encrypted and cannot be sent on in clear to {recipient}");
            Some(Refusal::permanent("5.7.1", &text))
        }
        Encryption::Already | Encryption::To(..) | Encryption::CouldNotTell(_) => None,
    }
}

/// What cannot be sealed anew, of that which one of ours encrypted to our own domain. It leaves encrypted or not at all.
pub(crate) fn of_submission(
    submission: &SubmissionFacts,
    outcome: &Encryption,
    recipient: &str,
) -> Option<Refusal> {
    if submission.content.is_none() {
        return Some(Refusal::permanent("5.7.5", "it is encrypted to the gateway and cannot be decrypted"));
    }
    if submission.other_author {
        // Else whoever gets hold of what was encrypted to our domain could have it sealed to himself.
        let text = "what is encrypted to the gateway was written by somebody else than the author in From";
        return Some(Refusal::permanent("5.7.7", text));
    }
    if submission.content.is_some_and(Protection::is_encrypted) {
        let text = "inside of what is encrypted to the gateway is more that it cannot decrypt";
        return Some(Refusal::permanent("5.7.5", text));
    }
    match outcome {
        Encryption::NoKey(why) | Encryption::GivenUp(why) => {
            let lack = choose::lack_in_words(why);
            let why = if why.is_empty() { "no kind of key is allowed".to_owned() } else { why.join("; ") };
            let text = format!(
                "it was encrypted to the gateway, which cannot encrypt it for {recipient}: {lack} ({why})"
            );
            Some(Refusal::permanent("5.7.1", &text))
        }
        _ => None,
    }
}

/// What the outcome of signing refuses. It is always for now: a key can be made, mail cannot be sent twice.
pub(crate) fn of_signature(outcome: &Signature, originator: &str) -> Option<Refusal> {
    match outcome {
        Signature::NoKey(_) => {
            Some(Refusal::temporary("4.7.5", &format!("no signing key for {originator}, try again later")))
        }
        Signature::CouldNotTell(_) => {
            let text =
                format!("cannot tell whether there is a signing key for {originator}, try again later");
            Some(Refusal::temporary("4.7.5", &text))
        }
        _ => None,
    }
}

/// One line without control characters that fits a reply.
pub(crate) fn reply_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if clean.len() <= LONGEST_TEXT {
        return clean;
    }
    let mut end = LONGEST_TEXT - "...".len();
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", clean.get(..end).unwrap_or_default())
}
