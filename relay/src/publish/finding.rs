//! What a check says.

use std::fmt;

use super::record::Record;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but something has to be done or known.
    Warning,
    /// It cannot be said now.
    Unclear,
    /// It is not there.
    Missing,
    /// It is there and harms.
    Wrong,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// The name it is about: an owner in DNS, or a URL.
    pub subject: String,
    /// What was seen, and what follows from it.
    pub remark: String,
    /// The exact line of the zone that would make it good.
    pub publish: Option<Record>,
}

impl Finding {
    pub(super) fn new(verdict: Verdict, subject: &str, remark: impl Into<String>) -> Self {
        Self { verdict, subject: subject.to_owned(), remark: remark.into(), publish: None }
    }

    /// About a record: with the line to publish unless all is well.
    pub(super) fn about(verdict: Verdict, record: &Record, remark: impl Into<String>) -> Self {
        let publish = matches!(verdict, Verdict::Missing | Verdict::Wrong).then(|| record.clone());
        Self { publish, ..Self::new(verdict, &record.name, remark) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Unclear => "unclear",
            Self::Missing => "missing",
            Self::Wrong => "WRONG",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.verdict, self.subject, self.remark)?;
        match &self.publish {
            Some(record) => write!(f, "\n    publish: {record}"),
            None => Ok(()),
        }
    }
}
