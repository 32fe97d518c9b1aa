//! Who was asked, what they said, and why the winner won.

use std::fmt;

use keydir::Origin;
use keydir::Scheme;
use serde::Serialize;

use crate::trust::Sighting;

/// The story of one look-up. `Display` is for people, `Serialize` for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The address as it was asked for, domain in A-labels.
    pub address: String,
    /// The kind of certificate.
    pub scheme: Scheme,
    /// When, Unix seconds.
    pub at: i64,
    /// What was used for the address before, as it was remembered when the look-up began.
    pub seen: Vec<Sighting>,
    /// Every source in its order.
    pub steps: Vec<Step>,
    /// What came out, and why.
    pub conclusion: String,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub source: String,
    /// Where its certificates come from.
    pub origin: Origin,
    /// What it said.
    pub outcome: StepOutcome,
    /// How long it took, milliseconds.
    pub milliseconds: u64,
    /// How old the answer is, seconds, if it was kept from an earlier look-up.
    pub kept_for: Option<i64>,
    /// What was asked, and what was noticed on the way.
    pub notes: Vec<String>,
}

/// What one source said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum StepOutcome {
    /// These can be used for the mailbox now, the preferred one first.
    Found {
        /// Fingerprints.
        certificates: Vec<String>,
    },
    /// It certainly has none that can be used.
    None {
        /// What it has and why that cannot be used; empty if it has nothing.
        why: Vec<String>,
    },
    /// It could not be asked, or its answer cannot be used.
    Trouble {
        /// What happened.
        why: String,
    },
    /// It was not asked.
    Skipped {
        /// Why not.
        why: String,
    },
}

impl Trace {
    /// Nothing asked yet.
    pub(crate) fn new(address: &str, scheme: Scheme, at: i64) -> Self {
        Self {
            address: address.to_owned(),
            scheme,
            at,
            seen: Vec::new(),
            steps: Vec::new(),
            conclusion: String::new(),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.address, self.scheme)?;
        for sighting in &self.seen {
            let Sighting { fingerprint, origin, .. } = sighting;
            let (first, last) = (date(sighting.first), date(sighting.last));
            match sighting.revoked {
                true => writeln!(f, "  revoked: {fingerprint}, from {origin}, known since {first}")?,
                false => {
                    writeln!(f, "  used: {fingerprint}, from {origin}, since {first}, last noted {last}")?
                }
            }
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {step}", number + 1)?;
            for note in &step.notes {
                writeln!(f, "       {note}")?;
            }
        }
        write!(f, "  => {}", self.conclusion)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.outcome)?;
        match (&self.outcome, self.kept_for) {
            (StepOutcome::Skipped { .. }, _) => Ok(()),
            (_, Some(age)) => write!(f, " [kept for {age} s]"),
            (_, None) => write!(f, " [{} ms]", self.milliseconds),
        }
    }
}

impl fmt::Display for StepOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { certificates } => write!(f, "found {}", certificates.join(", ")),
            Self::None { why } if why.is_empty() => f.write_str("none"),
            Self::None { why } => write!(f, "none that can be used ({})", why.join("; ")),
            Self::Trouble { why } => write!(f, "could not tell: {why}"),
            Self::Skipped { why } => write!(f, "not asked: {why}"),
        }
    }
}

/// A day, `YYYY-MM-DD`.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "?".to_owned(), |time| time.strftime("%F").to_string())
}
