//! The one shape of an error that leaves a room.

use std::error::Error;
use std::fmt;

use serde::Deserialize;
use serde::Serialize;

/// Whether trying again can help (RFC 3463 section 2).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The condition may pass; the client is told 4xx and keeps the message.
    Temporary,
    /// The message will never be accepted as it stands; the client is told 5xx.
    Permanent,
}

/// An enhanced status code: class, subject, detail (RFC 3463 section 2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Why a message, or one recipient of it, cannot go on.
///
/// Every room's own error is converted to this at its border, and one place maps it to an SMTP reply.
/// The text is for the SMTP client: it names the thing that is missing and no configuration, path or
/// host. The cause is for the log.
#[derive(Debug)]
pub struct Failure {
    /// Temporary unless somebody knows that a retry cannot help.
    pub class: Class,
    /// The first number always agrees with `class`.
    pub code: EnhancedCode,
    /// One line for the SMTP client.
    pub text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that may pass: `4.subject.detail`.
    pub fn temporary(code: (u16, u16), text: impl Into<String>) -> Self {
        Self {
            class: Class::Temporary,
            code: EnhancedCode(4, code.0, code.1),
            text: text.into(),
            source: None,
        }
    }

    /// A failure that will not pass: `5.subject.detail`.
    pub fn permanent(code: (u16, u16), text: impl Into<String>) -> Self {
        Self {
            class: Class::Permanent,
            code: EnhancedCode(5, code.0, code.1),
            text: text.into(),
            source: None,
        }
    }

    /// The same failure with its cause, which the top logger prints as a chain.
    #[must_use]
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn display_excludes_the_cause() {
        let failure =
            Failure::temporary((3, 0), "try again later").because(io::Error::other("/var/lib is full"));
        assert_eq!(failure.to_string(), "4.3.0 try again later");
        assert_eq!(failure.source().unwrap().to_string(), "/var/lib is full");
        assert_eq!(Failure::permanent((7, 1), "no").code, EnhancedCode(5, 7, 1));
    }
}
