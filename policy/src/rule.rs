//! One rule: when it holds and what it sets.

use serde::Serialize;

use crate::facts::Direction;
use crate::facts::Facts;
use crate::facts::KeyKind;
use crate::facts::RecipientFacts;
use crate::pattern::AddressPattern;
use crate::pattern::Glob;
use crate::settings::Encrypt;
use crate::settings::Reaction;
use crate::settings::Sign;
use crate::style::StyleChanges;

/// Whether a rule holds.
///
/// At RCPT the message is not known yet; a rule that asks for it may still come to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holds {
    /// It does not hold, whatever is still to come.
    No,
    /// It depends on what is still to come.
    Unknown,
    /// It holds.
    Yes,
}

impl From<bool> for Holds {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// One `[[rule]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) when: When,
    pub(crate) sets: Changes,
    pub(crate) remove_trigger: bool,
    pub(crate) stop: bool,
}

/// The conditions of a rule; all that are present must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct When {
    pub(crate) direction: Option<Direction>,
    pub(crate) sender: Vec<AddressPattern>,
    pub(crate) recipient: Vec<AddressPattern>,
    pub(crate) authenticated: Option<bool>,
    pub(crate) subject: Option<String>,
    /// Lower-case field name and pattern for its value.
    pub(crate) header: Vec<(String, Glob)>,
    pub(crate) size_over: Option<u64>,
    pub(crate) size_under: Option<u64>,
    pub(crate) finding: Vec<Glob>,
}

/// What a rule sets; `None` where it sets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Changes {
    pub(crate) encrypt: Option<Encrypt>,
    pub(crate) sign: Option<Sign>,
    pub(crate) keys: Option<Vec<KeyKind>>,
    pub(crate) unverifiable: Option<Reaction>,
    pub(crate) undecryptable: Option<Reaction>,
    pub(crate) unauthenticated: Option<Reaction>,
    pub(crate) own_signatures: Option<Reaction>,
    pub(crate) disclaimer: Option<String>,
    pub(crate) style: StyleChanges,
    pub(crate) verdict: Option<RuleVerdict>,
}

/// A verdict that a rule gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RuleVerdict {
    Discard,
    Quarantine { reason: String },
    Reject { text: String },
}

impl RuleVerdict {
    /// The name in the configuration.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Quarantine { .. } => "quarantine",
            Self::Reject { .. } => "reject",
        }
    }
}

impl Rule {
    /// Whether the rule holds for one recipient.
    pub(crate) fn holds(&self, facts: &Facts, recipient: &RecipientFacts) -> Holds {
        self.when.holds(facts, recipient)
    }

    /// The encryption that it sets for mail in `direction`. Only a rule that names its direction can have
    /// mail encrypted that does not leave.
    pub(crate) fn encrypt(&self, direction: Direction) -> Option<Encrypt> {
        self.sets.encrypt.filter(|_| direction == Direction::Outbound || self.when.direction.is_some())
    }

    /// The signing that it sets for mail in `direction`, as for [`Self::encrypt`].
    pub(crate) fn sign(&self, direction: Direction) -> Option<Sign> {
        self.sets.sign.filter(|_| direction == Direction::Outbound || self.when.direction.is_some())
    }
}

impl When {
    fn holds(&self, facts: &Facts, recipient: &RecipientFacts) -> Holds {
        let certain = self.direction.is_none_or(|direction| direction == recipient.direction)
            && (self.recipient.is_empty() || any(&self.recipient, &recipient.address))
            && self.authenticated.is_none_or(|yes| yes == facts.authenticated.is_some());
        if !certain {
            return Holds::No;
        }
        [self.sender(facts), self.subject(facts), self.header(facts), self.size(facts), self.finding(facts)]
            .into_iter()
            .min()
            .unwrap_or(Holds::Yes)
    }

    /// An originator goes by the reverse-path and by every address in From; one that matches is enough.
    fn sender(&self, facts: &Facts) -> Holds {
        if self.sender.is_empty() || any(&self.sender, &facts.reverse_path) {
            return Holds::Yes;
        }
        if facts.header.is_none() {
            return Holds::Unknown;
        }
        facts.from.iter().any(|from| any(&self.sender, from)).into()
    }

    fn subject(&self, facts: &Facts) -> Holds {
        match (&self.subject, &facts.header) {
            (None, _) => Holds::Yes,
            (Some(_), None) => Holds::Unknown,
            (Some(trigger), Some(header)) => {
                header.subject.to_lowercase().contains(&trigger.to_lowercase()).into()
            }
        }
    }

    fn header(&self, facts: &Facts) -> Holds {
        let Some(header) = &facts.header else {
            return if self.header.is_empty() { Holds::Yes } else { Holds::Unknown };
        };
        let present = |(name, glob): &(String, Glob)| {
            header.fields.iter().any(|(n, value)| n.eq_ignore_ascii_case(name) && glob.matches(value.trim()))
        };
        self.header.iter().all(present).into()
    }

    fn size(&self, facts: &Facts) -> Holds {
        if self.size_over.is_none() && self.size_under.is_none() {
            return Holds::Yes;
        }
        let Some(size) = facts.size else { return Holds::Unknown };
        let over = self.size_over.is_none_or(|limit| size > limit);
        let under = self.size_under.is_none_or(|limit| size < limit);
        (over && under).into()
    }

    fn finding(&self, facts: &Facts) -> Holds {
        if self.finding.is_empty() {
            return Holds::Yes;
        }
        if facts.header.is_none() {
            return Holds::Unknown;
        }
        facts.findings.iter().any(|finding| self.finding.iter().any(|glob| glob.matches(&finding.id))).into()
    }
}

fn any(patterns: &[AddressPattern], address: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(address))
}
