//! The `gatepost` program.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use milter::commands::cli::{Cli, Command, Notary, Relay};
use milter::commands::{accounts, ca, config, filter, keys, manual, notary, relay};
use milter::config::Config;
use milter::exit::Exit;
use milter::{logging, run};
use sealing::custody::forbid_core_dumps;

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
    let alone = forbid_core_dumps()
        .map_err(|error| Exit::unavailable("cannot keep secrets out of core dumps", error));
    match alone.and_then(|()| execute(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("gatepost: {exit}");
            ExitCode::from(exit.code)
        }
    }
}

fn execute(cli: Cli) -> Result<(), Exit> {
    let path = cli.config;
    match cli.command {
        Command::Run => run::run(&path),
        Command::CheckConfig => config::check(&path),
        Command::Accounts { command } => accounts::run(&Config::load(&path)?, command),
        Command::Ca { command } => ca::run(&Config::load(&path)?, command),
        Command::Keys { command } => keys::run(&Config::load(&path)?, command),
        Command::Notary { command: Notary::Show { id, json } } => {
            notary::show(&Config::load(&path)?, &id, json)
        }
        Command::Notary { command: Notary::Verify { json } } => notary::verify(&Config::load(&path)?, json),
        Command::Relay { command: Relay::Serve } => milter::relay::serve::run(&path),
        Command::Relay { command } => relay::run(&Config::load(&path)?, &command),
        Command::Filter { transaction, out } => filter::filter(&Config::load(&path)?, &transaction, &out),
        Command::Explain { transaction, json } => filter::explain(&Config::load(&path)?, &transaction, json),
        Command::Completion { shell } => manual::completion(shell),
        Command::Manual { dir } => manual::pages(&dir),
    }
}
