//! Printing, and keeping count of what turned out to be true.

use std::process::ExitCode;

/// Lines of a text that are shown before it is cut.
const SHOWN: usize = 34;
/// How many of them come from its end.
const LAST: usize = 6;

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
        let (first, last) = match lines.len() {
            ..=SHOWN => (lines.as_slice(), &[][..]),
            long => (&lines[..SHOWN - LAST], &lines[long - LAST..]),
        };
        first.iter().for_each(|line| quote_line(line));
        if !last.is_empty() {
            println!("   | … {} more lines …", lines.len() - SHOWN);
        }
        last.iter().for_each(|line| quote_line(line));
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

/// Prints a line of a quotation, over several rows if it is longer than a terminal is wide.
fn quote_line(line: &str) {
    const WIDTH: usize = 106;
    let characters: Vec<char> = line.chars().collect();
    let mut rows = characters.chunks(WIDTH);
    println!("   | {}", rows.next().unwrap_or_default().iter().collect::<String>());
    rows.for_each(|row| println!("   |     {}", row.iter().collect::<String>()));
}
