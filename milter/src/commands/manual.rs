//! Manual pages and completion scripts, made from the command line's own description.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::commands::cli::Cli;
use crate::commands::output;
use crate::exit::Exit;

/// Prints the completion script of a shell.
///
/// # Errors
/// Standard output is gone.
pub fn completion(shell: Shell) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gatepost", &mut script);
    output::bytes(&script)
}

/// Writes gatepost.1 and a page for each command.
///
/// # Errors
/// The directory cannot be written.
pub fn pages(dir: &Path) -> Result<(), Exit> {
    let written = fs::create_dir_all(dir).and_then(|()| write_pages(dir));
    written.map_err(|error| Exit::output(format!("cannot write manual pages to {}", dir.display()), error))
}

fn write_pages(dir: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Cli::command(), dir)
}
