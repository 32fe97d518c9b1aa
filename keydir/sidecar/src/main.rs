//! The `gatepost-keydir` program.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use sidecar::cli::{Cli, Command};
use sidecar::commands::{check_config, manual};
use sidecar::exit::Exit;
use sidecar::{dns_update, export_dns, export_wkd, logging, serve};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let wanted = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if wanted { 0 } else { 64 });
        }
    };
    logging::start();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("gatepost-keydir: {exit}");
            ExitCode::from(exit.code)
        }
    }
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
        Command::Completion { shell } => manual::completion(shell),
        Command::Manual { dir } => manual::pages(&dir),
    }
}
