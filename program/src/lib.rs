//! How a program of ours starts and ends, the same for all of them.
//!
//! [`run`] reads the command line, starts the log and turns the result into message and exit code ([`Exit`]);
//! [`output`] writes what a command has found; [`manual`] makes the manual pages and completion scripts. What
//! a program does between its start and its end is not known here.

mod exit;
pub mod log;
pub mod manual;
pub mod output;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

pub use exit::{Exit, chain};

/// The whole life of a program: reads its command line, starts the log and executes the command.
///
/// A mistake in the command line ends with 64, a failed command with the code of its [`Exit`]; both say on
/// standard error what is wrong. `noisy` is a library of which only errors are logged, as in [`log::start`].
pub fn run<C: Parser>(noisy: Option<&'static str>, execute: impl FnOnce(C) -> Result<(), Exit>) -> ExitCode {
    let cli = match C::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let wanted = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if wanted { 0 } else { 64 });
        }
    };
    log::start(noisy);
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("{}: {exit}", C::command().get_name());
            ExitCode::from(exit.code)
        }
    }
}
