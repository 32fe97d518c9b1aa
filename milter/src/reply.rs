//! The only place that maps a decision or a failure to milter actions and SMTP replies.

use indymilter::{ActionError, ContextActions, EomActions};
use mail::{Class, Failure, MilterAction};
use policy::{RcptDecision, Verdict};

use crate::draft::UnderWay;

/// A reply that refuses a recipient or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// SMTP reply code.
    pub smtp: u16,
    /// Enhanced status code (RFC 3463).
    pub code: String,
    /// Text; one line, gives away no configuration.
    pub text: String,
}

/// What the MTA is told at end of message.
#[derive(Debug, Default)]
pub struct Answer {
    /// The message is refused with this reply; nothing else of the answer counts then.
    pub refusal: Option<Refusal>,
    /// The message is accepted and thrown away.
    pub discard: bool,
    /// Changes to the message.
    pub actions: Vec<MilterAction>,
    /// Forward-paths of recipients that get a copy instead.
    pub delete: Vec<String>,
    /// Put the message on hold, for this reason.
    pub quarantine: Option<String>,
    /// Names of the copies that were spooled, see [`crate::spool::Spool::answered`].
    pub idempotency: Vec<String>,
    /// Held until the MTA was told.
    pub under_way: Option<UnderWay>,
}

/// Bytes of a replaced body read and sent at a time; a milter packet holds 65,535.
const BODY_CHUNK: u64 = 65_535;
/// Longest reply text; RFC 5321 section 4.5.3.1.5 allows 512 octets a line with the codes.
const TEXT_LIMIT: usize = 480;

impl Refusal {
    /// From a plan's verdict; `None` when the verdict does not refuse.
    pub fn of_verdict(verdict: &Verdict) -> Option<Self> {
        match verdict {
            Verdict::Reject { code, text } => Some(Self::permanent(code, text)),
            Verdict::Tempfail { code, text } => Some(Self::temporary(code, text)),
            Verdict::Accept | Verdict::Discard | Verdict::Quarantine { .. } => None,
        }
    }

    /// From the decision about one recipient; `None` when it is accepted.
    pub fn of_recipient(decision: RcptDecision) -> Option<Self> {
        match decision {
            RcptDecision::Accept => None,
            RcptDecision::Refuse { code, text } => Some(Self::permanent(&code, &text)),
            RcptDecision::Tempfail { code, text } => Some(Self::temporary(&code, &text)),
        }
    }

    /// From any failure: law 1, temporary unless it certainly is for good.
    pub fn of_failure(failure: &Failure) -> Self {
        let code = failure.code.to_string();
        match failure.class {
            Class::Temporary => Self::temporary(&code, &failure.text),
            Class::Permanent => Self::permanent(&code, &failure.text),
        }
    }

    /// A task of ours ended abnormally.
    pub fn internal() -> Self {
        Self::temporary("4.3.0", "internal error in the mail gateway, try again later")
    }

    fn permanent(code: &str, text: &str) -> Self {
        // 552 is the reply for a message that is too big (RFC 5321 section 4.2.3).
        let smtp = if code == "5.3.4" { 552 } else { 550 };
        Self { smtp, code: code.to_owned(), text: text.to_owned() }
    }

    fn temporary(code: &str, text: &str) -> Self {
        Self { smtp: 451, code: code.to_owned(), text: text.to_owned() }
    }

    /// True for 4yz.
    pub fn is_temporary(&self) -> bool {
        self.smtp < 500
    }

    /// The text as one safe line: no control characters, no `%` (Sendmail expands it), bounded.
    pub fn line(&self) -> String {
        self.text
            .chars()
            .map(|c| if c.is_control() || c == '%' { ' ' } else { c })
            .scan(0, |length, c| {
                *length += c.len_utf8();
                (*length <= TEXT_LIMIT).then_some(c)
            })
            .collect()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.smtp, self.code, self.line())
    }
}

impl Answer {
    /// The message is refused.
    pub fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    /// Sends the changes to the MTA, in order.
    ///
    /// # Errors
    /// The MTA is gone, or an action was not negotiated. The caller must then answer with a
    /// temporary failure.
    pub async fn perform(self, mta: &EomActions) -> Result<(), ActionError> {
        for action in self.actions {
            match action {
                MilterAction::InsertHeader { index, name, value } => {
                    mta.insert_header(index, c_string(name.into_bytes()), c_string(value)).await?;
                }
                MilterAction::ChangeHeader { name, index, value } => {
                    let name = c_string(name.into_bytes());
                    mta.change_header(name, index, value.map(c_string)).await?;
                }
                MilterAction::ReplaceBody(body) => {
                    let mut at = 0;
                    while at < body.len() {
                        let end = body.len().min(at + BODY_CHUNK);
                        mta.replace_body(&body.read_range(at..end)?).await?;
                        at = end;
                    }
                    if body.is_empty() {
                        mta.replace_body(&[]).await?;
                    }
                }
            }
        }
        for path in self.delete {
            mta.delete_recipient(path).await?;
        }
        if let Some(reason) = self.quarantine {
            mta.quarantine(reason).await?;
        }
        Ok(())
    }
}

/// The milter protocol ends strings with NUL; a NUL inside becomes a space.
fn c_string(bytes: Vec<u8>) -> std::ffi::CString {
    let bytes: Vec<u8> = bytes.into_iter().map(|b| if b == 0 { b' ' } else { b }).collect();
    // No NUL is left, so this never falls back.
    std::ffi::CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_temporary_unless_it_says_otherwise() {
        let failure = Failure::temporary((3, 0), "key store locked");
        assert_eq!(Refusal::of_failure(&failure).to_string(), "451 4.3.0 key store locked");
        let failure = Failure::permanent((3, 4), "too big");
        assert_eq!(Refusal::of_failure(&failure).to_string(), "552 5.3.4 too big");
    }

    #[test]
    fn a_reply_is_one_bounded_line() {
        let text = "a\r\n550 forged %s".to_owned() + &"é".repeat(1000);
        let refusal = Refusal { smtp: 550, code: "5.7.1".to_owned(), text };
        let line = refusal.line();
        assert!(line.starts_with("a  550 forged  s"));
        assert!(line.len() <= TEXT_LIMIT);
    }
}
