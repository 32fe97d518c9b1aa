//! `gatepost-keydir log verify`.

use std::path::PathBuf;

use clap::Args;
use keylog::Label;
use keylog::keyset::{KeySet, Kind};
use keylog::mailbox::Mailbox;
use keylog::proof::{Finding, LookupProof, Trust, Verdict, verify_lookup};
use program::{Exit, output};
use serde_json::json;
use tlog::checkpoint::Checkpoint;
use tlog::note::Note;

use super::{Believed, date, now, read, vrf_key};

/// How far ahead of ours other clocks may be, in seconds.
const SKEW: u64 = 300;

/// Verify the proof of a look-up.
#[derive(Args, Debug)]
pub struct Verify {
    /// The file with the proof.
    proof: PathBuf,
    /// The mailbox that was looked up.
    mailbox: String,
    #[command(flatten)]
    believed: Believed,
    /// The key with which the log makes labels: 64 hexadecimal digits.
    #[arg(long, value_name = "KEY")]
    vrf_key: String,
    /// The last checkpoint of the log that you have seen.
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
    /// How old the checkpoint may be, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    max_age: u64,
    /// A file with a binary OpenPGP certificate that must be in the key set.
    #[arg(long, value_name = "FILE")]
    openpgp: Vec<PathBuf>,
    /// A file with an X.509 certificate in DER that must be in the key set.
    #[arg(long, value_name = "FILE")]
    smime: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let mailbox = Mailbox::parse(&self.mailbox).map_err(|error| Exit::data(&self.mailbox, error))?;
        let verdict = self.verdict(&mailbox)?;
        self.certificates(&verdict)?;
        output::line(&if self.json { as_json(&mailbox, &verdict) } else { as_text(&mailbox, &verdict) })
    }

    fn verdict(&self, mailbox: &Mailbox) -> Result<Verdict, Exit> {
        let proof = LookupProof::from_bytes(&read(&self.proof)?);
        let proof = proof.map_err(|error| Exit::data(self.proof.display(), error))?;
        let (policy, vrf, seen) = (self.believed.policy()?, vrf_key(&self.vrf_key)?, self.seen()?);
        let trust = Trust {
            policy: &policy,
            vrf: &vrf,
            seen: seen.as_ref(),
            now: Some(now()),
            max_age: self.max_age,
            max_skew: SKEW,
        };
        verify_lookup(&proof, mailbox, &trust).map_err(|error| Exit::data("the proof is refused", error))
    }

    fn seen(&self) -> Result<Option<Checkpoint>, Exit> {
        let Some(path) = &self.seen else { return Ok(None) };
        let wrong = |error: &dyn std::error::Error| Exit {
            code: 65,
            message: format!("{}: {}", path.display(), program::chain(error)),
        };
        let note = Note::parse(&read(path)?).map_err(|error| wrong(&error))?;
        Checkpoint::parse(note.text()).map(Some).map_err(|error| wrong(&error))
    }

    /// Every certificate that was given is one of those that the log commits to.
    fn certificates(&self, verdict: &Verdict) -> Result<(), Exit> {
        let none = KeySet::new();
        let keys = match &verdict.finding {
            Finding::Keys { keys: Some(keys), .. } => keys,
            _ => &none,
        };
        let openpgp = self.openpgp.iter().map(|path| (Kind::OpenPgp, path));
        for (kind, path) in openpgp.chain(self.smime.iter().map(|path| (Kind::Smime, path))) {
            if !keys.contains(kind, &read(path)?) {
                let message =
                    format!("the log does not say that {} belongs to {}", path.display(), self.mailbox);
                return Err(Exit { code: 65, message });
            }
        }
        Ok(())
    }
}

fn as_json(mailbox: &Mailbox, verdict: &Verdict) -> String {
    let (state, sequence, keys) = match &verdict.finding {
        Finding::Absent => ("absent", 0, None),
        Finding::Erased { sequence } => ("erased", *sequence, None),
        Finding::Keys { sequence, keys, .. } => ("keys", *sequence, keys.as_ref()),
    };
    let certificates = keys.map(|keys| {
        let all = keys.iter().map(|(kind, digest)| {
            json!({ "kind": format!("{kind:?}").to_lowercase(), "sha256": Label(*digest).to_string() })
        });
        all.collect::<Vec<_>>()
    });
    json!({
        "mailbox": mailbox.as_str(),
        "label": verdict.label.to_string(),
        "state": state,
        "sequence": sequence,
        "certificates": certificates,
        "origin": verdict.checkpoint.origin(),
        "size": verdict.checkpoint.size(),
        "witnesses": verdict.witnesses,
        "time": verdict.time,
    })
    .to_string()
}

fn as_text(mailbox: &Mailbox, verdict: &Verdict) -> String {
    let checkpoint = &verdict.checkpoint;
    let (size, origin, time) = (checkpoint.size(), checkpoint.origin(), date(verdict.time));
    let mut text = match &verdict.finding {
        Finding::Absent => format!("{mailbox} is not in the log"),
        Finding::Erased { sequence } => {
            format!("{mailbox} was erased (entry number {sequence} of the label)")
        }
        Finding::Keys { sequence, keys: None, .. } => {
            format!(
                "{mailbox} has a key set that the proof does not open (entry number {sequence} of the label)"
            )
        }
        Finding::Keys { sequence, keys: Some(keys), .. } => {
            let count = keys.len();
            let mut text =
                format!("{mailbox} has {count} certificates (entry number {sequence} of the label)");
            for (kind, digest) in keys.iter() {
                text.push_str(&format!(
                    "\n  {} SHA-256 {}",
                    format!("{kind:?}").to_lowercase(),
                    Label(*digest)
                ));
            }
            text
        }
    };
    let witnesses = verdict.witnesses;
    text.push_str(&format!("\nso says {origin} with {size} entries, {time}, seen by {witnesses} witnesses"));
    text
}
