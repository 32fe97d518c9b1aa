//! The rule book of Gatepost: [`Facts`] in, [`Plan`] out.
//!
//! Nothing here performs I/O or reads the clock; the same facts always give the same plan, so a decision can
//! be explained before it is taken and replayed from the notary after it was.
//!
//! The room has two halves. [`parse_document`] and [`Section`] read `gatepost.toml` so that every
//! mistake is reported with file, line, column and the nearest valid name; the daemon reads its own
//! sections with the same tools. [`Policy::from_sections`] reads the part that decides,
//! [`Policy::decide`] decides a message and [`Policy::decide_recipient`] one recipient before the message
//! is known.

mod choose;
mod config_error;
mod decide;
mod document;
mod facts;
#[cfg(test)]
mod fixtures;
mod group;
mod nearest;
mod pattern;
mod plan;
mod policy;
mod policy_section;
#[cfg(test)]
mod properties;
mod reason;
mod recipient;
mod refusal;
mod rule;
mod rule_section;
mod section;
mod settings;
mod settle;
mod size;
mod style;

pub use crate::config_error::ConfigError;
pub use crate::config_error::ConfigErrors;
pub use crate::config_error::Position;
pub use crate::document::Located;
pub use crate::document::parse_document;
pub use crate::facts::AdditionalKeyFacts;
pub use crate::facts::Direction;
pub use crate::facts::Facts;
pub use crate::facts::Finding;
pub use crate::facts::HeaderFacts;
pub use crate::facts::KeyAnswer;
pub use crate::facts::KeyFacts;
pub use crate::facts::KeyKind;
pub use crate::facts::LayerFacts;
pub use crate::facts::LayerKind;
pub use crate::facts::LayerState;
pub use crate::facts::OPENED_BEFORE;
pub use crate::facts::Protection;
pub use crate::facts::RecipientFacts;
pub use crate::facts::Scheme;
pub use crate::facts::SubmissionFacts;
pub use crate::nearest::nearest;
pub use crate::plan::Group;
pub use crate::plan::KeyChoice;
pub use crate::plan::Plan;
pub use crate::plan::RcptDecision;
pub use crate::plan::RecipientPlan;
pub use crate::plan::Treatment;
pub use crate::plan::Verdict;
pub use crate::policy::Policy;
pub use crate::section::Section;
pub use crate::settings::Encrypt;
pub use crate::settings::PasswordSource;
pub use crate::settings::Reaction;
pub use crate::settings::Sign;
pub use crate::style::ContentCipher;
pub use crate::style::HeaderProtection;
pub use crate::style::KeyTransport;
pub use crate::style::Nesting;
pub use crate::style::PasswordForm;
pub use crate::style::RsaSignature;
pub use crate::style::SignedForm;
pub use crate::style::Style;
pub use choose::kind_in_words;
