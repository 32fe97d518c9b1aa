//! The document docs/benchmarks.md.

use std::fmt::Write as _;

use serde_json::Value;

use crate::effort::Effort;
use crate::flow::Flow;
use crate::flow::Latency;
use crate::flow::SESSIONS;
use crate::keylog::Keylog;
use crate::machine::Machine;
use crate::profile::Profile;
use crate::publication::Publication;
use crate::relay::Relay;
use crate::sendmail;
use crate::stage::Who;
use crate::statistics::Spread;
use crate::wkd::Wkd;

/// What the figures mean and why some miss their goal, by hand.
const COMMENTARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/commentary.md");

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Document {
    /// The machine.
    pub(crate) machine: Machine,
    /// How much was measured.
    pub(crate) effort: Effort,
    /// Postfix, for each size.
    pub(crate) flows: Vec<Flow>,
    /// Time added to a single message.
    pub(crate) latency: Latency,
    /// Where the time goes.
    pub(crate) profiles: Vec<Profile>,
    /// Sendmail, if it could be run.
    pub(crate) sendmail: Option<sendmail::Turns>,
    /// The lines of seal_bench for OpenPGP.
    pub(crate) openpgp: Vec<Value>,
    /// Those for S/MIME.
    pub(crate) smime: Vec<Value>,
    /// The lines of notary_bench.
    pub(crate) notary: Vec<Value>,
    /// Policy server and relay.
    pub(crate) relay: Relay,
    /// Look-ups in the Web Key Directory.
    pub(crate) wkd: Wkd,
    /// The publication that the key directory serves.
    pub(crate) publication: Publication,
    /// The key log.
    pub(crate) keylog: Keylog,
}

/// One goal and what became of it.
pub(crate) struct Target {
    /// What is compared, and with what.
    pub(crate) what: String,
    /// What was aimed at.
    pub(crate) goal: String,
    /// What came out.
    pub(crate) measured: String,
    /// Nothing if it was not measured.
    pub(crate) met: Option<bool>,
}

impl Target {
    /// A ratio that shall be at least, or at most, so much.
    pub(crate) fn new(what: String, goal: f64, at_least: bool, measured: Option<Spread>) -> Self {
        let met = measured.map(|spread| if at_least { spread.median >= goal } else { spread.median <= goal });
        let measured = measured.map_or_else(|| "not measured".to_owned(), |spread| spread.to_string());
        Self { what, goal: format!("{} {goal:.2}", if at_least { "≥" } else { "≤" }), measured, met }
    }
}

impl Document {
    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let quick = if self.effort.is_quick { " It was a quick run: the figures are rough." } else { "" };
        let mut out = format!(
            "# Benchmarks\n\n`make bench` measures and writes this page; `make bench QUICK=1` does so in a few \
             minutes, with more noise and at most 100,000 mailboxes (`MILLION=1`: a million); `make bench ONLY=relay` prints the part about policy server and relay, `ONLY=wkd` the one about the Web Key Directory, `ONLY=publication` the one about publishing, `ONLY=keylog` the one about the key log.{quick} Figures are ratios first: both sides of a ratio took turns in the \
             same run, the ratio is taken in each round, and given are the median and, in brackets, the \
             quartiles of {rounds} rounds. Absolute values are medians and only tell proportions.\n\n## Machine\n\n\
             {machine}\n\n## Goals\n\n",
            rounds = self.effort.rounds,
            machine = self.machine.text(),
        );
        self.goals(&mut out);
        self.postfix(&mut out);
        self.sendmail(&mut out);
        sealing(&mut out, OPENPGP, &self.openpgp);
        sealing(&mut out, SMIME, &self.smime);
        self.notary(&mut out);
        self.relay.write(&mut out);
        self.wkd.write(&mut out);
        self.publication.write(&mut out);
        self.keylog.write(&mut out);
        out.push('\n');
        out.push_str(&std::fs::read_to_string(COMMENTARY).unwrap());
        for Profile { title, lines } in &self.profiles {
            let _ = write!(out, "### {title}\n\n```\n{lines}```\n\n");
        }
        out.trim_end().to_owned() + "\n"
    }

    fn goals(&self, out: &mut String) {
        let mut targets = Vec::new();
        for flow in &self.flows {
            let what =
                format!("Postfix with gatepost in pass-through, {}: rate without a milter ×", flow.size.name);
            targets.push(Target::new(what, 0.8, true, Some(flow.rate(Who::PassUnix, Who::Nobody))));
        }
        for flow in &self.flows {
            let what = format!(
                "processor time of gatepost in pass-through, {}: libmilter with all callbacks ×",
                flow.size.name
            );
            targets.push(Target::new(what, 0.3, false, Some(flow.cost(Who::PassUnix, Who::LibmilterAll))));
        }
        for flow in &self.flows {
            let what = format!("inet socket under Postfix, {}: rate over a unix socket ×", flow.size.name);
            targets.push(Target::new(what, 0.85, true, Some(flow.rate(Who::PassInet, Who::PassUnix))));
        }
        let sendmail = self.sendmail.as_ref().map(sendmail::Turns::inet_to_unix);
        let what = "inet socket under Sendmail, 2 kB: rate over a unix socket ×".to_owned();
        targets.push(Target::new(what, 0.85, true, sendmail));
        targets.extend(self.openpgp.iter().filter_map(|line| sealing_target("", line)));
        targets.extend(self.smime.iter().filter_map(|line| sealing_target("S/MIME, ", line)));
        targets.extend(self.notary.iter().filter(|line| line["name"] == "ratios").flat_map(notary_targets));
        targets.extend(self.relay.targets());
        targets.extend(self.wkd.targets());
        targets.extend(self.keylog.targets());
        tell(&targets, out);
    }

    fn postfix(&self, out: &mut String) {
        let _ = write!(
            out,
            "\n## Postfix with a milter\n\nOne private Postfix with discard delivery and a listener for each \
             contender; smtp-source with {SESSIONS} sessions, one message per connection, as mail between \
             domains comes. Processor time is that of the milter's process alone, per message. Pass-through is \
             the policy `encrypt = \"never\"`, `sign = \"never\"`, `open = false`: every message is still \
             decided, recorded and on disk before the answer.\n"
        );
        for flow in &self.flows {
            let _ = write!(
                out,
                "\n### {}\n\n| milter | rate ÷ no milter | messages/s | processor time ÷ libmilter, all callbacks \
                 | µs per message |\n|---|---|---|---|---|\n",
                flow.size.name
            );
            for who in Who::ALL {
                let median = |values: &[f64]| Spread::of(values.iter().copied()).median;
                let (name, rate) = (who.name(), median(&flow.of(who).rates));
                let _ = match who {
                    Who::Nobody => writeln!(out, "| {name} | 1 | {rate:.0} | - | - |"),
                    _ => writeln!(
                        out,
                        "| {name} | {} | {rate:.0} | {} | {:.0} |",
                        flow.rate(who, Who::Nobody),
                        flow.cost(who, Who::LibmilterAll),
                        median(&flow.of(who).costs),
                    ),
                };
            }
        }
        out.push_str(
            "\n### Time added to a message\n\nOne session, 2 kB, so that each message waits for the one before: \
             milliseconds more than without a milter.\n\n| milter | ms |\n|---|---|\n",
        );
        for (who, spread) in &self.latency.added {
            let _ = writeln!(out, "| {} | {spread} |", who.name());
        }
    }

    fn sendmail(&self, out: &mut String) {
        out.push_str("\n## Sendmail with a milter\n\n");
        let Some(turns) = &self.sendmail else {
            out.push_str("Not measured: `./setup test` could not fetch Debian's sendmail-bin.\n");
            return;
        };
        out.push_str(
            "Debian's Sendmail, which delivers each message of 2 kB to smtp-sink before it answers; four sessions.\n\n\
             | milter | rate ÷ no milter | messages/s |\n|---|---|---|\n",
        );
        for (name, ratio, rate) in turns.rows() {
            let _ = writeln!(out, "| {name} | {ratio} | {rate:.0} |");
        }
    }

    fn notary(&self, out: &mut String) {
        out.push_str(
            "\n## Notary\n\nDurable records per second (`cargo run --release -p gatepost-notary --example \
             notary_bench`). The bare group commit appends 2 kB blocks to a file: no index, no hash, no \
             encryption. Waiting time is from the call until the record is on disk.\n\n| writers | notary ÷ bare \
             group commit | notary ÷ one commit each |\n|---|---|---|\n",
        );
        for line in self.notary.iter().filter(|line| line["name"] == "ratios") {
            let ratio = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
            let _ = writeln!(
                out,
                "| {} | {:.2} | {:.2} |",
                line["writers"],
                ratio("to_bare_group_commit"),
                ratio("to_one_commit_each")
            );
        }
        out.push_str("\n| what | writers | records/s | µs of processor | waiting, median µs |\n|---|---|---|---|---|\n");
        // The last round of each; the ratios above are over all.
        for (index, line) in self.notary.iter().enumerate() {
            let is_same =
                |other: &&Value| other["name"] == line["name"] && other["writers"] == line["writers"];
            if line["name"] == "ratios" || self.notary[index + 1..].iter().any(|other| is_same(&other)) {
                continue;
            }
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                word(line, "name"),
                line["writers"],
                line["per_second"],
                line["cpu_us_per_record"],
                line.get("p50_us").map_or("-".to_owned(), Value::to_string),
            );
        }
    }
}

/// One part alone: the machine, its goals and what `write` adds.
pub(crate) fn alone(machine: &Machine, targets: &[Target], write: impl FnOnce(&mut String)) -> String {
    let mut out = format!("## Machine\n\n{}\n", machine.text());
    if !targets.is_empty() {
        out.push_str("\n## Goals\n\n");
        tell(targets, &mut out);
    }
    write(&mut out);
    out
}

/// The table of goals.
fn tell(targets: &[Target], out: &mut String) {
    let missed = targets.iter().filter(|target| target.met == Some(false)).count();
    let _ = writeln!(out, "{} of {} are met.\n", targets.len() - missed, targets.len());
    out.push_str("| what | goal | measured | |\n|---|---|---|---|\n");
    for Target { what, goal, measured, met } in targets {
        let word = met.map_or("-", |met| if met { "met" } else { "**missed**" });
        let _ = writeln!(out, "| {what} | {goal} | {measured} | {word} |");
    }
}

/// Title and introduction of the figures of OpenPGP.
const OPENPGP: [&str; 2] = [
    "OpenPGP",
    "Processor time of one operation, children included (`cargo run --release -p gatepost-sealing --example \
     seal_bench openpgp`). Sealing gives a whole PGP/MIME message, armored.",
];
/// Those of S/MIME.
const SMIME: [&str; 2] = [
    "S/MIME",
    "Processor time of one operation, children included (`cargo run --release -p gatepost-sealing --example \
     seal_bench smime`), with RSA-2048 keys. Sealing gives a whole message in base64; *encrypt* has GCM or CBC, \
     the others have GCM. *raw* is each byte of the message going once through the primitives, in buffers that \
     are there already: no key, no certificate, no MIME. Nothing spills to disk, whatever its size. Private \
     operations include the CMS object around them.",
];

/// One line for each figure of a standard.
fn sealing(out: &mut String, [title, introduction]: [&str; 2], lines: &[Value]) {
    let _ = write!(
        out,
        "\n## {title}\n\n{introduction}\n\n| operation | ÷ | ratio | µs | of it µs |\n|---|---|---|---|---|\n"
    );
    for line in lines {
        let micros = |field: &str| line[field].as_f64().unwrap_or(f64::NAN) / 1e3;
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.1} | {:.1} |",
            word(line, "name"),
            word(line, "base"),
            spread(line),
            micros("ns"),
            micros("base_ns"),
        );
    }
}

/// Nothing for figures that have no goal.
fn sealing_target(standard: &str, line: &Value) -> Option<Target> {
    let goal = line["goal"].as_f64()?;
    let met = line["ratio"].as_f64().map(|ratio| ratio <= goal);
    let what = format!("{standard}{}: {} ×", word(line, "name"), word(line, "base"));
    Some(Target { what, goal: format!("≤ {goal}"), measured: spread(line), met })
}

/// Goals are for fifty writers; the notary is there so that many do not wait for each other.
fn notary_targets(line: &Value) -> Vec<Target> {
    if line["writers"] != 50 {
        return Vec::new();
    }
    let target = |what: &str, field: &str, goal: f64| {
        let ratio = line[field].as_f64().unwrap_or(f64::NAN);
        let what = format!("notary, 50 writers: records per second of {what} ×");
        Target {
            what, goal: format!("≥ {goal}"), measured: format!("{ratio:.2}"), met: Some(ratio >= goal)
        }
    };
    vec![
        target("a bare group commit", "to_bare_group_commit", 0.8),
        target("one commit for each record", "to_one_commit_each", 8.0),
    ]
}

fn word<'l>(line: &'l Value, field: &str) -> &'l str {
    line[field].as_str().unwrap_or("?")
}

/// Median and quartiles as the room gives them.
fn spread(line: &Value) -> String {
    let part = |field: &str| line[field].as_f64().unwrap_or(f64::NAN);
    let digits = if part("ratio") < 0.1 { 4 } else { 3 };
    format!("{:.digits$} ({:.digits$}–{:.digits$})", part("ratio"), part("low"), part("high"))
}
