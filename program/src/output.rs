//! Output of commands: text for people, JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Exit;

/// Prints a value as pretty JSON.
///
/// # Errors
/// Standard output is gone.
pub fn json(value: &impl Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Exit::data("cannot write JSON", error))?;
    line(&text)
}

/// Prints one line.
///
/// # Errors
/// Standard output is gone.
pub fn line(text: &str) -> Result<(), Exit> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes as they are.
///
/// # Errors
/// Standard output is gone.
pub fn bytes(bytes: &[u8]) -> Result<(), Exit> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    match written {
        // `gatepost … | head` is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Exit::output("cannot write to standard output", error)),
    }
}
