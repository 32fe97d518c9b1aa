//! Manual pages and completion scripts, made from the command line's own description.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::commands::output;
use crate::exit::Exit;

/// Prints the completion script of a shell.
///
/// # Errors
/// Standard output is gone.
pub fn completion(shell: Shell) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gatepost-keydir", &mut script);
    output::bytes(&script)
}

/// Writes gatepost-keydir.1 and a page for each command.
///
/// # Errors
/// The directory cannot be written.
pub fn pages(dir: &Path) -> Result<(), Exit> {
    let written = fs::create_dir_all(dir).and_then(|()| write_pages(dir));
    written.map_err(|error| Exit::output(format!("cannot write manual pages to {}", dir.display()), error))
}

/// When the command line last changed in a way that its pages show.
const DATE: &str = "2026-11-21";

fn write_pages(dir: &Path) -> io::Result<()> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    write_page(&program, dir)
}

fn write_page(command: &Command, dir: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_page(command, dir)?;
    }
    let page =
        Man::new(command.clone()).date(DATE).source(concat!("gatepost-keydir ", env!("CARGO_PKG_VERSION")));
    let page = page.manual("Gatepost");
    let mut roff = Vec::new();
    page.render(&mut roff)?;
    fs::write(dir.join(page.get_filename()), tidy(&String::from_utf8_lossy(&roff)))
}

/// Without the line breaks beside empty lines, which mandoc(1) warns of.
fn tidy(roff: &str) -> String {
    let lines: Vec<&str> = roff.lines().collect();
    let empty = |index: Option<usize>| index.and_then(|i| lines.get(i)) == Some(&"");
    let beside = |i: usize| empty(i.checked_sub(1)) || empty(i.checked_add(1));
    let kept = lines.iter().enumerate().filter(|(i, line)| **line != ".br" || !beside(*i));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}
