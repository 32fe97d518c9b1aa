//! The rule book.

use crate::config_error::ConfigErrors;
use crate::facts::Facts;
use crate::facts::KeyKind;
use crate::plan::Plan;
use crate::plan::RcptDecision;
use crate::plan::Verdict;
use crate::section::Section;

/// The rule book.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    wanted_fields: Vec<String>,
    wanted_kinds: Vec<KeyKind>,
}

impl Policy {
    /// Takes `policy`, `domain`, `partner`, `user` and `rule` from the top level of the configuration.
    pub fn from_sections(root: &mut Section, own_domains: &[String]) -> Result<Self, ConfigErrors> {
        let _ = (root, own_domains);
        Ok(Self::default())
    }

    /// SHA-256 of the canonical form, in lower-case hexadecimal.
    pub fn digest(&self) -> &str {
        ""
    }

    /// Decides.
    pub fn decide(&self, facts: &Facts) -> Plan {
        let _ = facts;
        Plan {
            verdict: Verdict::Tempfail { code: "4.3.0".to_owned(), text: "no policy yet".to_owned() },
            groups: Vec::new(),
            remove_fields: Vec::new(),
            subject_triggers: Vec::new(),
            tag: None,
            rules: Vec::new(),
            recipients: Vec::new(),
        }
    }

    /// Decides at RCPT.
    pub fn decide_recipient(&self, facts: &Facts, recipient: usize) -> RcptDecision {
        let _ = (facts, recipient);
        RcptDecision::Accept
    }

    /// Whether any recipient can be refused at RCPT.
    pub fn may_refuse_recipients(&self) -> bool {
        true
    }

    /// Whether any decision can need the body.
    pub fn needs_body(&self) -> bool {
        true
    }

    /// Whether mail shall be opened (decrypted, verified) for at least one recipient.
    pub fn opens(&self, facts: &Facts) -> bool {
        let _ = facts;
        true
    }

    /// Lower-case names of the header fields that rules match.
    pub fn wanted_fields(&self) -> &[String] {
        &self.wanted_fields
    }

    /// The kinds of keys to look up for recipients and originators, in no order of preference.
    pub fn wanted_kinds(&self) -> &[KeyKind] {
        &self.wanted_kinds
    }
}
