//! docs/failure-matrix.md: what these tests saw, as a table that only changes when behaviour does.

use std::fs::File;
use std::path::PathBuf;

/// The part of the document before the tables.
const HEAD: &str = include_str!("matrix_head.md");

/// The tables, in the order of the document.
const TITLES: [&str; 12] = [
    "Killed, with one recipient",
    "Killed, with three groups, until the answer",
    "Killed, with three groups, after the answer",
    "The connection to the MTA breaks",
    "Storage fails",
    "The key store fails",
    "Re-injection fails",
    "S/MIME: the domain's keys fail",
    "S/MIME: certificates, trust anchors and revocation lists fail",
    "S/MIME: keys and revocations cannot be had when mail arrives",
    "The local authority fails",
    "The local authority is killed",
];

/// One table.
pub(super) struct Section {
    title: &'static str,
    text: String,
}

impl Section {
    /// A table with these column heads.
    ///
    /// # Panics
    /// If the document has no such section.
    pub(super) fn new(title: &'static str, columns: &[&str]) -> Self {
        assert!(TITLES.contains(&title), "{title} is not in the list of sections");
        let mut section = Self { title, text: String::new() };
        section.row(columns);
        section.row(&vec!["---"; columns.len()]);
        section
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: &[&str]) {
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    /// Compares the table with the document, or writes it there if `UPDATE_FAILURE_MATRIX` is 1.
    ///
    /// # Panics
    /// If it differs; the message holds the difference.
    pub(super) fn compare(self) {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/failure-matrix.md"));
        if std::env::var_os("UPDATE_FAILURE_MATRIX").is_some_and(|value| value == "1") {
            // Several tests write the document; each waits for the one before.
            let lock = File::create(std::env::temp_dir().join("gatepost-failure-matrix.lock")).unwrap();
            lock.lock().unwrap();
            let document = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(&path, self.put_into(&document)).unwrap();
            return;
        }
        let document = std::fs::read_to_string(&path).unwrap_or_default();
        let wanted = self.put_into(&document);
        assert!(
            document == wanted,
            "docs/failure-matrix.md says something else than what was seen just now:\n{}\n\
             If that is meant: UPDATE_FAILURE_MATRIX=1, and run the tests in `faults` again.",
            difference(&document, &wanted)
        );
    }

    /// The document with this table in place of its former one.
    fn put_into(&self, document: &str) -> String {
        let mut text = HEAD.to_owned();
        for title in TITLES {
            let table = if title == self.title { self.text.clone() } else { table_of(document, title) };
            text.push_str(&format!("\n## {title}\n\n{table}"));
        }
        text
    }
}

fn table_of(document: &str, title: &str) -> String {
    let section = document.split("\n## ").find_map(|section| section.strip_prefix(&format!("{title}\n\n")));
    section.map_or_else(String::new, |table| format!("{}\n", table.trim_end()))
}

/// The lines that are in only one of two texts.
fn difference(old: &str, new: &str) -> String {
    let only = |a: &str, b: &str, sign: char| -> Vec<String> {
        a.lines()
            .filter(|line| !b.lines().any(|other| other == *line))
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    [only(old, new, '-'), only(new, old, '+')].concat().join("\n")
}
