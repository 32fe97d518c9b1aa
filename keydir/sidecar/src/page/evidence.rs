//! What the key log says about an answer, checked.

use keydir::{Mailbox, Published};
use keylog::proof::Finding;

use crate::Directory;
use crate::log::{ProveError, Proved};

/// What may be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The proof holds, and says what is shown.
    Holds {
        /// Name of the log.
        origin: String,
        /// Entries of its checkpoint.
        size: u64,
        /// How often the mailbox has changed; 0 is never told to anybody who sees no certificate.
        sequence: u32,
        /// Unix seconds.
        time: u64,
    },
    /// There is a proof, and it says something else or does not hold.
    Contradicts,
    /// The directory has no log.
    NoLog,
    /// No proof can be had now.
    Unknown,
}

impl Evidence {
    /// Verifies the proof of what was found.
    pub(super) fn of(
        directory: &Directory,
        found: Option<&Mailbox>,
        proved: Result<Proved, ProveError>,
    ) -> Self {
        let proved = match proved {
            Ok(proved) => proved,
            Err(error) => {
                error.tell();
                return match error {
                    ProveError::NoLog => Self::NoLog,
                    ProveError::Proof(_) | ProveError::Differs => Self::Contradicts,
                    _ => Self::Unknown,
                };
            }
        };
        let shown: Vec<&Published> =
            found.iter().flat_map(|found| found.openpgp.iter().chain(&found.smime)).collect();
        let attest = match directory.key_log.attest(&proved, &shown, directory.clock.now()) {
            Ok(attest) => attest,
            Err(error) => {
                error.tell();
                return if matches!(error, ProveError::Proof(_)) { Self::Contradicts } else { Self::Unknown };
            }
        };
        let (in_log, sequence) = match &attest.verdict.finding {
            Finding::Keys { keys, sequence, .. } => {
                (keys.as_ref().map(keylog::keyset::KeySet::len), *sequence)
            }
            Finding::Absent => (Some(0), 0),
            Finding::Erased { sequence } => (Some(0), *sequence),
        };
        if !attest.complete || in_log != Some(shown.len()) {
            return Self::Contradicts;
        }
        let checkpoint = &attest.verdict.checkpoint;
        Self::Holds {
            origin: checkpoint.origin().to_owned(),
            size: checkpoint.size(),
            sequence: if shown.is_empty() { 0 } else { sequence },
            time: attest.verdict.time,
        }
    }
}
