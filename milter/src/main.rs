//! The `gatepost` program.

use std::process::ExitCode;

use milter::commands::cli::{CHANGED, Cli, Command, Notary, Relay};
use milter::commands::{accounts, ca, config, filter, keys, notary, relay};
use milter::config::Config;
use milter::run;
use program::{Exit, manual};
use sealing::custody::forbid_core_dumps;

/// The milter library warns of each body callback that does as [`milter::session`] has to do.
const NOISY: Option<&str> = Some("indymilter");

fn main() -> ExitCode {
    program::run(NOISY, execute)
}

fn execute(cli: Cli) -> Result<(), Exit> {
    forbid_core_dumps().map_err(|error| Exit::unavailable("cannot keep secrets out of core dumps", error))?;
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
        Command::Completion { shell } => manual::completion::<Cli>(shell),
        Command::Manual { dir } => manual::pages::<Cli>(&dir, CHANGED),
    }
}
