//! The publication: what its example measures, for numbers of mailboxes that grow by ten, each in a process of its own.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;
use tests::directory;

use crate::effort::Effort;
use crate::rooms::example;
use crate::rooms::lines;

/// The figures, one object for each number of mailboxes.
#[derive(Debug)]
pub(crate) struct Publication(Vec<Value>);

/// Measures.
pub(crate) fn measure(effort: &Effort) -> Publication {
    let one = |mailboxes: u64| {
        eprintln!("bench: publication, {mailboxes} mailboxes");
        let dir = directory("publication");
        lines(Command::new(example("publication_bench")).arg(dir.path()).arg(mailboxes.to_string()))
    };
    Publication(effort.sizes(10_000).flat_map(one).collect())
}

impl Publication {
    /// The section.
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str(
            "\n## Publication\n\nOne process for each number of mailboxes, each with an OpenPGP certificate of its own \
             (`cargo run --release -p gatepost-keydir --example publication_bench DIRECTORY MAILBOXES`). *Store* is \
             checking the certificates and putting them into the gateway's store; *publish* is minimising all of them and \
             writing what the sidecar serves; both without the key log, whose price stands below. Memory is the most that \
             the process ever had. An *update* is one certificate replaced until the sidecar can serve it; *nothing new* is \
             what the gateway does every quarter of a minute. Look-ups are those of the Web Key Directory, without HTTP and \
             without what the sidecar remembers.\n\n\
             | mailboxes | store s | publish s | memory MB | store MB | publication MB | update ms | nothing new ms | found µs \
             | not there µs |\n|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for line in &self.0 {
            let number = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
            let _ = writeln!(
                out,
                "| {} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.1} | {:.2} | {:.1} | {:.1} |",
                line["mailboxes"],
                number("store_seconds"),
                number("publish_seconds"),
                number("rss_mb"),
                number("store_mb"),
                number("disk_mb"),
                number("update_ms"),
                number("unchanged_ms"),
                number("found_us"),
                number("absent_us"),
            );
        }
    }
}
