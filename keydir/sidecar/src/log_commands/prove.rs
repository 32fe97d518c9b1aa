//! `gatepost-keydir log prove`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use keydir::Publication;
use keylog::Label;
use keylog::mailbox::Mailbox;
use keylog::proof::{End, LookupProof};
use keylog::reader::LogReader;
use keylog::vrf::VrfProof;
use program::{Exit, output};
use serde_json::{Value, json};

use crate::gate::Gate;

/// Prove what the log in a directory says of a mailbox.
#[derive(Args, Debug)]
pub struct Prove {
    /// The publication that the gateway writes; the log is below it.
    directory: PathBuf,
    /// The mailbox, or a label of 64 hexadecimal digits. For a mailbox that is not published the gateway is asked, on
    /// its socket in the publication.
    of: String,
    /// That the label is that of the mailbox, as the gateway gives it: 160 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    label_proof: Option<String>,
    /// Where to write the proof; without this only what it says is told.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to write the inclusion of the index in the log, for other tools, in the format of C2SP tlog-proof.
    #[arg(long, value_name = "FILE")]
    tlog_proof: Option<PathBuf>,
    /// Print all of the proof as JSON.
    #[arg(long)]
    json: bool,
}

impl Prove {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let reader = LogReader::open(&self.directory.join("log"));
        let reader = reader.map_err(|error| Exit::input("cannot read the key log", error))?;
        let (label, vrf) = self.label(&reader)?;
        let proof = reader.prove(&label, vrf);
        let proof = proof.map_err(|error| Exit::unavailable("the key log gives no proof", error))?;
        if let Some(path) = &self.out {
            write(path, &proof.to_bytes())?;
        }
        if let Some(path) = &self.tlog_proof {
            let inclusion = proof.to_tlog_proof().ok_or_else(|| Exit::not_found("the key log is empty"))?;
            write(path, inclusion.to_string().as_bytes())?;
        }
        if self.json {
            return output::line(&as_json(&label, &proof).to_string());
        }
        let bytes = proof.to_bytes().len();
        output::line(&format!("{label}: {} (a proof of {bytes} bytes)", said(&proof)))
    }

    fn label(&self, reader: &LogReader) -> Result<(Label, Option<VrfProof>), Exit> {
        if let Ok(label) = self.of.parse() {
            return Ok((label, None));
        }
        let mailbox = Mailbox::parse(&self.of).map_err(|error| Exit::data(&self.of, error))?;
        let bytes = match &self.label_proof {
            Some(text) => from_hex(text),
            None => Some(self.published(&mailbox)?),
        };
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        let proof =
            VrfProof(bytes.ok_or_else(|| Exit::usage("the proof of a label has 160 hexadecimal digits"))?);
        let key = reader.vrf().map_err(|error| Exit::unavailable("the key log has no VRF key", error))?;
        let label = key.verify(&mailbox, &proof);
        let label = label
            .ok_or_else(|| Exit::not_found(format!("this is not the proof of the label of {mailbox}")))?;
        Ok((label, Some(proof)))
    }

    /// The proof of the label of a mailbox that is published.
    fn published(&self, mailbox: &Mailbox) -> Result<Vec<u8>, Exit> {
        let publication = Publication::open(&self.directory.join("publication.db"));
        let found = publication.and_then(|publication| publication.mailbox(mailbox.as_str()));
        let found = found.map_err(|error| Exit::unavailable("cannot read the publication", error))?;
        // An alias is answered with the certificates of another mailbox; that has another label.
        let same = found.filter(|found| found.address == mailbox.as_str());
        match same.and_then(|found| found.label_proof) {
            Some(proof) => Ok(proof),
            None => self.made_now(mailbox),
        }
    }

    /// The proof of the label of a mailbox that is not published, which only the gateway can make.
    fn made_now(&self, mailbox: &Mailbox) -> Result<Vec<u8>, Exit> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Exit::unavailable("the gateway cannot be asked", error))?;
        let made = runtime.block_on(Gate::new(&self.directory).label(mailbox));
        made.map(|proof| proof.0.to_vec()).map_err(|error| {
            let why = format!(
                "{mailbox} is not published, and only the gateway can prove its label; start it, or give --label-proof"
            );
            Exit::unavailable(why, error)
        })
    }
}

fn said(proof: &LookupProof) -> String {
    match (&proof.end, &proof.opening) {
        (End::Present { newest, .. }, Some(opening)) => {
            format!("entry number {} of the label: {} certificates", newest.sequence, opening.keys.len())
        }
        (End::Present { newest, .. }, None) => match newest.state {
            keylog::entry::State::Erased => "erased".to_owned(),
            keylog::entry::State::Keys(_) => "a key set that cannot be opened any more".to_owned(),
        },
        _ => "not in the log".to_owned(),
    }
}

fn as_json(label: &Label, proof: &LookupProof) -> Value {
    let hash = |bytes: &[u8; 32]| Label(*bytes).to_string();
    let path = proof.path.0.iter().map(|step| json!({ "bit": step.bit, "sibling": hash(&step.sibling) }));
    let end = match &proof.end {
        End::Empty => json!({ "empty": true }),
        End::Other(other, value) => json!({ "other_label": other.to_string(), "value": hash(value) }),
        End::Present { newest, before } => {
            json!({ "entry": to_hex(&newest.to_bytes()), "sequence": newest.sequence, "value_before": hash(before) })
        }
    };
    let keys = proof.opening.as_ref().map(|opening| {
        let certificates = opening.keys.iter().map(
            |(kind, digest)| json!({ "kind": format!("{kind:?}").to_lowercase(), "sha256": hash(digest) }),
        );
        json!({ "salt": hash(opening.salt.as_bytes()), "certificates": certificates.collect::<Vec<_>>() })
    });
    json!({
        "label": label.to_string(),
        "label_proof": proof.vrf.as_ref().map(|vrf| to_hex(&vrf.0)),
        "says": said(proof),
        "end": end,
        "path": path.collect::<Vec<_>>(),
        "root": to_hex(&proof.root.to_bytes()),
        "inclusion": proof.inclusion.iter().map(hash).collect::<Vec<_>>(),
        "opening": keys,
        "checkpoint": proof.checkpoint.to_string(),
    })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let even = text.len().is_multiple_of(2) && text.is_ascii();
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    even.then(|| pairs.collect())?
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    fs::write(path, bytes).map_err(|error| Exit::output(format!("cannot write {}", path.display()), error))
}
