//! How a command ends: message, fix and exit code (sysexits.h), as in `gatepost`.

use std::error::Error;
use std::fmt;

use crate::config::LoadError;

/// A failed command.
#[derive(Debug)]
pub struct Exit {
    /// Exit code: 64 usage, 65 data, 66 no input, 69 unavailable, 73 cannot write, 75 try again, 77 permission,
    /// 78 configuration.
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
        Self { code: 65, message: format!("{message}: {}", chain(&error)) }
    }
    /// 66: the input cannot be read.
    pub fn input(message: impl fmt::Display, error: impl Error) -> Self {
        Self { code: 66, message: format!("{message}: {}", chain(&error)) }
    }
    /// 66: there is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: 66, message: message.into() }
    }
    /// 69: something needed is not there.
    pub fn unavailable(message: impl fmt::Display, error: impl Error) -> Self {
        Self { code: 69, message: format!("{message}: {}", chain(&error)) }
    }
    /// 73: output cannot be written.
    pub fn output(message: impl fmt::Display, error: impl Error) -> Self {
        Self { code: 73, message: format!("{message}: {}", chain(&error)) }
    }
    /// 75: not now; trying again may help.
    pub fn later(message: impl Into<String>) -> Self {
        Self { code: 75, message: message.into() }
    }
    /// 77: not allowed.
    pub fn permission(message: impl fmt::Display, error: impl Error) -> Self {
        Self { code: 77, message: format!("{message}: {}", chain(&error)) }
    }
    /// 78: the configuration is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self { code: 78, message: message.into() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<LoadError> for Exit {
    fn from(error: LoadError) -> Self {
        Self::config(chain(&error))
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
