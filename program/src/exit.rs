//! How a command ends: message, fix and exit code (sysexits.h).

use std::error::Error;
use std::fmt;

/// A failed command.
#[derive(Debug)]
pub struct Exit {
    /// Exit code: 64 usage, 65 data, 66 no input, 69 unavailable, 70 bug, 73 cannot write, 75 try again,
    /// 77 permission, 78 configuration.
    pub code: u8,
    /// What failed, why, and how to mend it.
    pub message: String,
}

impl Exit {
    /// 64: the command was called wrongly.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 64, message: message.into() }
    }

    /// 65: the input is wrong.
    pub fn data(message: impl fmt::Display, error: impl Error) -> Self {
        Self::because(65, message, error)
    }

    /// 66: the input cannot be read.
    pub fn input(message: impl fmt::Display, error: impl Error) -> Self {
        Self::because(66, message, error)
    }

    /// 66: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: 66, message: message.into() }
    }

    /// 69: something needed is not there.
    pub fn unavailable(message: impl fmt::Display, error: impl Error) -> Self {
        Self::because(69, message, error)
    }

    /// 73: output cannot be written.
    pub fn output(message: impl fmt::Display, error: impl Error) -> Self {
        Self::because(73, message, error)
    }

    /// 75: not now; trying again may help.
    pub fn later(message: impl Into<String>) -> Self {
        Self { code: 75, message: message.into() }
    }

    /// 77: not allowed.
    pub fn permission(message: impl fmt::Display, error: impl Error) -> Self {
        Self::because(77, message, error)
    }

    /// 78: the configuration is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self { code: 78, message: message.into() }
    }

    fn because(code: u8, message: impl fmt::Display, error: impl Error) -> Self {
        Self { code, message: format!("{message}: {}", chain(&error)) }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot open the store")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_message_tells_what_failed_and_every_cause_once() {
        let exit = Exit::unavailable("no keys", Outer(io::Error::other("disk full")));
        assert_eq!(exit.code, 69);
        assert_eq!(exit.to_string(), "no keys: cannot open the store: disk full");
    }

    #[test]
    fn codes_are_those_of_sysexits() {
        let error = || io::Error::other("x");
        let codes = [
            (Exit::usage("x").code, 64),
            (Exit::data("x", error()).code, 65),
            (Exit::input("x", error()).code, 66),
            (Exit::not_found("x").code, 66),
            (Exit::output("x", error()).code, 73),
            (Exit::later("x").code, 75),
            (Exit::permission("x", error()).code, 77),
            (Exit::config("x").code, 78),
        ];
        assert!(codes.iter().all(|(is, should)| is == should), "{codes:?}");
    }
}
