//! Printing, and keeping count of what turned out to be true.

use std::process::ExitCode;

/// Lines of a text that are shown before it is cut.
const SHOWN: usize = 24;

/// What was claimed so far.
#[derive(Debug, Default)]
pub(crate) struct Story {
    chapters: usize,
    claims: usize,
    untrue: Vec<String>,
}

impl Story {
    /// Starts a numbered chapter.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        println!("\n{}. {title}\n", self.chapters);
    }

    /// Prints a plain sentence.
    pub(crate) fn say(&self, text: &str) {
        println!("   {text}");
    }

    /// Prints a text as a quotation, shortened in the middle if it is long.
    pub(crate) fn quote(&self, text: &str) {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let cut = lines.len() > SHOWN;
        for (number, line) in lines.iter().enumerate() {
            match number {
                n if !cut || n < SHOWN - 3 || n + 2 >= lines.len() => println!("   | {}", short(line)),
                n if n == SHOWN - 3 => println!("   | … {} lines more …", lines.len() - SHOWN + 1),
                _ => {}
            }
        }
        println!();
    }

    /// States something and says whether it is so.
    pub(crate) fn claim(&mut self, text: &str, is_true: bool) {
        self.claims += 1;
        println!("   {} {text}", if is_true { "[ok]    " } else { "[UNTRUE]" });
        if !is_true {
            self.untrue.push(text.to_owned());
        }
    }

    /// Sums up: success only if everything that was claimed is true.
    pub(crate) fn end(&self) -> ExitCode {
        println!();
        if self.untrue.is_empty() {
            println!("All {} claims are true.", self.claims);
            return ExitCode::SUCCESS;
        }
        println!("{} of {} claims are NOT true:", self.untrue.len(), self.claims);
        for text in &self.untrue {
            println!("   {text}");
        }
        ExitCode::FAILURE
    }
}

/// A line cut to the width of a terminal.
fn short(line: &str) -> String {
    const WIDTH: usize = 100;
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
