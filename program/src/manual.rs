//! Manual pages and completion scripts, made from the command line's own description.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::exit::Exit;
use crate::output;

pub use clap_complete::Shell;

/// Prints the completion script of a shell.
///
/// # Errors
/// Standard output is gone.
pub fn completion<C: CommandFactory>(shell: Shell) -> Result<(), Exit> {
    let mut script = Vec::new();
    let mut program = C::command();
    let name = program.get_name().to_owned();
    clap_complete::generate(shell, &mut program, name, &mut script);
    output::bytes(&script)
}

/// Writes a page of section 1 for the program and one for each of its commands. `date` is when the command
/// line last changed in a way that they show.
///
/// # Errors
/// The directory cannot be written.
pub fn pages<C: CommandFactory>(dir: &Path, date: &str) -> Result<(), Exit> {
    let mut program = C::command().disable_help_subcommand(true);
    program.build();
    let source = format!("{} {}", program.get_name(), program.get_version().unwrap_or_default());
    let written = fs::create_dir_all(dir).and_then(|()| write_page(&program, dir, date, &source));
    written.map_err(|error| Exit::output(format!("cannot write manual pages to {}", dir.display()), error))
}

fn write_page(command: &Command, dir: &Path, date: &str, source: &str) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_page(command, dir, date, source)?;
    }
    let page = Man::new(command.clone()).date(date).source(source).manual("Gatepost");
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::{Parser, Subcommand};

    use super::*;

    /// A program.
    #[derive(Parser)]
    #[command(name = "watchman", version = "7", propagate_version = true)]
    struct Cli {
        #[command(subcommand)]
        _command: Act,
    }

    #[derive(Subcommand)]
    enum Act {
        /// Looks around.
        Look,
        /// Not for everybody.
        #[command(hide = true)]
        Secret,
    }

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        pages::<Cli>(&dir.path().join("man1"), "2026-01-02").unwrap();
        let files = fs::read_dir(dir.path().join("man1")).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["watchman-look.1", "watchman.1"]);
        let page = fs::read_to_string(dir.path().join("man1/watchman-look.1")).unwrap();
        assert!(page.contains("2026-01-02") && page.contains("watchman 7"), "{page}");
    }

    #[test]
    fn no_line_break_stands_beside_an_empty_line() {
        assert_eq!(tidy("a\n.br\n\nb\n\n.br\nc\n.br\nd\n"), "a\n\nb\n\nc\n.br\nd\n");
    }
}
