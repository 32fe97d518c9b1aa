//! A mailbox in the one form of which labels are made.

use std::fmt;

use thiserror::Error;

/// Longest local part and domain (RFC 5321 section 4.5.3.1).
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;

/// An address whose ASCII letters are lower case and whose domain is written in A-labels, without final dot.
///
/// Letters outside ASCII in the local part stay as they are: no two programs fold them alike, and the
/// key directory does not either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox(String);

/// Why a text is no mailbox that could have a label.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MailboxError {
    /// The domain is none that the domain name system could hold.
    #[error("the domain of the address is not a domain name")]
    Domain,
    /// It is not a local part, an @ and a domain.
    #[error("not an address of the form local@domain")]
    Form,
    /// Longer than RFC 5321 section 4.5.3.1 allows.
    #[error("the address is too long")]
    Length,
}

impl Mailbox {
    /// Reads an address as `local@domain`, without angle brackets and comments.
    ///
    /// # Errors
    /// See [`MailboxError`].
    pub fn parse(text: &str) -> Result<Mailbox, MailboxError> {
        let (local, domain) = text.rsplit_once('@').ok_or(MailboxError::Form)?;
        let odd = |character: char| character.is_control() || character.is_whitespace() || character == '<';
        if local.is_empty() || local.contains(odd) {
            return Err(MailboxError::Form);
        }
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| MailboxError::Domain)?;
        if domain.is_empty() {
            return Err(MailboxError::Domain);
        }
        if local.len() > LONGEST_LOCAL || domain.len() > LONGEST_DOMAIN {
            return Err(MailboxError::Length);
        }
        Ok(Mailbox(format!("{}@{domain}", local.to_ascii_lowercase())))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of its text: what the function is applied to.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_has_one_form() {
        let forms = [
            ("Joe.Doe@Example.ORG", "joe.doe@example.org"),
            ("joe.doe@example.org.", "joe.doe@example.org"),
            ("a@b@example.org", "a@b@example.org"),
            ("o'brien+list@example.org", "o'brien+list@example.org"),
            ("info@BÜCHER.example", "info@xn--bcher-kva.example"),
            ("info@xn--bcher-kva.example", "info@xn--bcher-kva.example"),
            ("ÄRGER@example.org", "Ärger@example.org"),
            ("\u{212a}evin@example.org", "\u{212a}evin@example.org"),
        ];
        for (given, expected) in forms {
            assert_eq!(Mailbox::parse(given).unwrap().as_str(), expected, "{given}");
        }
    }

    #[test]
    fn what_is_no_mailbox_has_no_label() {
        let long = format!("{}@example.org", "x".repeat(65));
        let refused = [
            ("", MailboxError::Form),
            ("alice", MailboxError::Form),
            ("@example.org", MailboxError::Form),
            ("a b@example.org", MailboxError::Form),
            ("a\0b@example.org", MailboxError::Form),
            ("Alice <alice@example.org>", MailboxError::Form),
            ("alice@", MailboxError::Domain),
            ("alice@exa mple.org", MailboxError::Domain),
            ("alice@-example.org", MailboxError::Domain),
            (long.as_str(), MailboxError::Length),
        ];
        for (given, expected) in refused {
            assert_eq!(Mailbox::parse(given), Err(expected), "{given:?}");
        }
    }
}
