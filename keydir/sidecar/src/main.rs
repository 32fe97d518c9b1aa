//! The `gatepost-keydir` program.

use std::process::ExitCode;

use program::{Exit, manual};
use sidecar::cli::{CHANGED, Cli, Command};
use sidecar::commands::check_config;
use sidecar::{dns_update, export_dns, export_wkd, serve};

fn main() -> ExitCode {
    program::run(None, execute)
}

fn execute(cli: Cli) -> Result<(), Exit> {
    let path = cli.config;
    match cli.command {
        Command::Serve => serve::run(&path),
        Command::ExportWkd(options) => export_wkd::run(&path, &options),
        Command::ExportDns(options) => export_dns::run(&path, &options),
        Command::UpdateDns(options) => dns_update::run(&path, &options),
        Command::Log { what } => what.run(),
        Command::CheckConfig => check_config::run(&path),
        Command::Completion { shell } => manual::completion::<Cli>(shell),
        Command::Manual { dir } => manual::pages::<Cli>(&dir, CHANGED),
    }
}
