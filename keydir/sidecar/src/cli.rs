//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use program::manual::Shell;

/// When the command line last changed in a way that its manual pages show.
pub const CHANGED: &str = "2026-11-21";

/// Gatepost's key directory: publishes the keys of our domains where strangers' software looks for them.
#[derive(Debug, Parser)]
#[command(name = "gatepost-keydir", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 64 usage, 65 bad input, 66 not found, 69 unavailable, 73 cannot write, \
75 try again, 77 permission, 78 configuration."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/gatepost/keydir.toml")]
    pub config: PathBuf,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the key directory: WKD, key server look-ups and the other doors.
    Serve,
    /// Check the configuration file; exits 78 and names every mistake if there is one.
    CheckConfig,
    /// Write the Web Key Directory as static files, for any web server.
    ExportWkd(crate::export_wkd::ExportWkd),
    /// Write OPENPGPKEY and SMIMEA records as the text of a zone.
    ExportDns(crate::export_dns::ExportDns),
    /// Bring OPENPGPKEY and SMIMEA records up to date by dynamic update (RFC 2136, TSIG).
    UpdateDns(crate::dns_update::UpdateDns),
    /// Prove what the key log says, verify such a proof, audit a whole log.
    Log {
        /// What to do.
        #[command(subcommand)]
        what: crate::log_commands::LogCommand,
    },
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Write manual pages.
    #[command(hide = true)]
    Manual {
        /// Where to.
        dir: PathBuf,
    },
}
