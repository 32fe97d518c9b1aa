//! `gatepost-keydir log audit`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use keylog::Label;
use keylog::audit::{AuditError, Audited, audit};
use keylog::entry::{State, Update};
use program::{Exit, output};
use serde_json::json;

use super::bar::Bar;
use super::source::{Place, RESOLVER};
use super::{Believed, date};

/// Read a whole log and compute every root of its index again.
#[derive(Args, Debug)]
pub struct Audit {
    /// Where the files checkpoint and tile/ are: a directory or a URL. A mirror is as good as the original.
    log: String,
    #[command(flatten)]
    believed: Believed,
    /// Where to keep what was audited, so that the next audit reads only what is new.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Tell every change of this label among the entries that are new. May be given several times.
    #[arg(long, value_name = "LABEL")]
    watch: Vec<Label>,
    /// The resolver for names in a URL.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = RESOLVER)]
    resolver: SocketAddr,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let policy = self.believed.policy()?;
        let mut bar = Bar::new();
        let watched: BTreeSet<Label> = self.watch.iter().copied().collect();
        let mut changes = Vec::new();
        let mut seen = |number: u64, update: &Update| {
            if watched.contains(&update.label) {
                changes.push((number, *update));
            }
        };
        let source = Place::of(&self.log, self.resolver)?;
        let mut progress = |at: keylog::audit::Progress| bar.show(at.done, at.size);
        let audited = audit(source, &policy, self.state.as_deref(), &mut progress, &mut seen);
        let audited = audited.map_err(|error| match error {
            AuditError::Io(_) | AuditError::NoCheckpoint => Exit::input("the log cannot be audited", error),
            error => Exit::data("the log is refused", error),
        })?;
        output::line(&if self.json { as_json(&audited, &changes) } else { as_text(&audited, &changes) })
    }
}

fn as_json(audited: &Audited, changes: &[(u64, Update)]) -> String {
    let checkpoint = audited.checkpoint.checkpoint();
    let changes = changes.iter().map(|(number, update)| {
        json!({
            "number": number,
            "label": update.label.to_string(),
            "sequence": update.sequence,
            "erased": update.state == State::Erased,
        })
    });
    json!({
        "origin": checkpoint.origin(),
        "size": checkpoint.size(),
        "audited_before": audited.before,
        "labels": audited.root.labels,
        "time": audited.root.time,
        "witnesses": audited.witnesses,
        "clock_went_back": audited.steps_back,
        "vrf_key": Label(audited.root.vrf).to_string(),
        "changes": changes.collect::<Vec<_>>(),
    })
    .to_string()
}

fn as_text(audited: &Audited, changes: &[(u64, Update)]) -> String {
    let checkpoint = audited.checkpoint.checkpoint();
    let mut text = format!(
        "{}: every root is that of the entries before it\n{} entries ({} of them new), {} labels, {} witnesses, made {}",
        checkpoint.origin(),
        checkpoint.size(),
        checkpoint.size() - audited.before,
        audited.root.labels,
        audited.witnesses,
        date(audited.root.time),
    );
    if audited.steps_back > 0 {
        text.push_str(&format!("\nwarning: its clock went back {} times", audited.steps_back));
    }
    for (number, update) in changes {
        let what = if update.state == State::Erased { "was erased" } else { "has changed" };
        text.push_str(&format!("\nentry {number}: {} {what} (number {})", update.label, update.sequence));
    }
    text
}
