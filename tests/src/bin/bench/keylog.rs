//! The key log: what its example measures, for numbers of labels that grow by ten, each in a process of its own.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;
use tests::directory;

use crate::document::Target;
use crate::effort::Effort;
use crate::rooms::example;
use crate::rooms::lines;

/// The figures, one object for each number of labels.
#[derive(Debug)]
pub(crate) struct Keylog(Vec<Value>);

/// Measures.
pub(crate) fn measure(effort: &Effort) -> Keylog {
    let one = |labels: u64| {
        eprintln!("bench: key log, {labels} labels");
        let dir = directory("keylog");
        lines(Command::new(example("keylog_bench")).arg(dir.path()).arg(labels.to_string()))
    };
    Keylog(effort.sizes(1_000).flat_map(one).collect())
}

impl Keylog {
    /// What is aimed at, for the largest number of labels that was measured.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let Some(line) = self.0.last() else { return Vec::new() };
        let labels = &line["labels"];
        let at_most = |what: &str, goal: f64, measured: f64, unit: &str| Target {
            what: format!("key log, {labels} labels: {what}"),
            goal: format!("≤ {goal} {unit}"),
            measured: format!("{measured:.3} {unit}"),
            met: Some(measured <= goal),
        };
        let number = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
        let proof = number("proof_bytes").max(number("absence_bytes")) / 1e3;
        vec![
            at_most("complete look-up proof with two witnesses", 2.5, proof, "kB"),
            at_most("verifying it", 1.0, number("verify_us") / 1e3, "ms"),
            at_most("memory of the import", 150.0, number("rss_mb"), "MB"),
        ]
    }

    /// The section.
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str(
            "\n## Key log\n\nOne process for each number of labels (`cargo run --release -p gatepost-keylog --example \
             keylog_bench DIRECTORY LABELS`). The import computes labels (the VRF, on all cores) and puts entries, index, \
             tiles and salts on disk, 20,000 mailboxes with each checkpoint. Memory is the most that the process ever had. \
             An update is measured until its checkpoint is signed, published and on disk, which takes some twenty \
             synchronisations whatever its size: *alone* is one change with one checkpoint, *of 1000* is one of a \
             thousand with one checkpoint.\n\n\
             | labels | import s | processor s | memory MB | disk MB | update alone ms | of 1000 µs | processor µs | fsync ms \
             | audit s | its memory MB |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for line in &self.0 {
            let number = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
            let update = |index: usize| line["update_us"][index].as_f64().unwrap_or(f64::NAN);
            let _ = writeln!(
                out,
                "| {} | {:.1} | {:.1} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} |",
                line["labels"],
                number("import_seconds"),
                number("import_cpu_seconds"),
                number("rss_mb"),
                number("disk_mb"),
                update(0) / 1e3,
                update(2),
                number("update_cpu_us"),
                number("sync_us") / 1e3,
                number("audit_seconds"),
                number("audit_rss_mb"),
            );
        }
        out.push_str(
            "\nA complete look-up proof has the proof of the label, the path in the index, the index in the log, the \
             checkpoint with two cosignatures, and for a label that is there the opening of its key set. The proof of the \
             label is made once for each mailbox, by the gateway; *proving* is the rest, as the sidecar does it for every \
             look-up. *Verifying* is all of it, three signatures and the VRF included.\n\n\
             | labels | present bytes | absent bytes | label µs | its proof µs | proving µs | verifying µs |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for line in &self.0 {
            let number = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} |",
                line["labels"],
                line["proof_bytes"],
                line["absence_bytes"],
                number("label_us"),
                number("vrf_us"),
                number("prove_us"),
                number("verify_us"),
            );
        }
    }
}
