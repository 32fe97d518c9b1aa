//! What shall be done with one message.

use serde::Deserialize;
use serde::Serialize;

use crate::facts::Direction;
use crate::facts::KeyKind;
use crate::settings::Encrypt;
use crate::settings::Sign;
use crate::style::Style;

/// The decision about one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What becomes of the message as a whole. SMTP knows one answer at the end of a message, so the
    /// strictest answer that any recipient needs is the answer.
    pub verdict: Verdict,
    /// Who gets which form. For [`Verdict::Accept`] and [`Verdict::Quarantine`] every recipient is in
    /// exactly one group; a message that goes nowhere (all other verdicts) has no groups, so that nothing can be
    /// sent by mistake. The first group keeps the original message, every other one needs a copy.
    pub groups: Vec<Group>,
    /// Lower-case names of the header fields to remove, because a rule removes its trigger.
    pub remove_fields: Vec<String>,
    /// Texts to cut out of the Subject, compared without regard to case.
    pub subject_triggers: Vec<String>,
    /// A warning for the recipients of inbound mail, in a few words.
    pub tag: Option<String>,
    /// The ids of the rules that matched for at least one recipient, in the order of the configuration.
    pub rules: Vec<String>,
    /// The decision about each recipient, in the order of [`crate::Facts::recipients`].
    pub recipients: Vec<RecipientPlan>,
}

/// What becomes of a message as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It goes on, in the form that each group needs.
    Accept,
    /// It is refused for good (5yz).
    Reject {
        /// The enhanced status code (RFC 3463), for example `5.7.1`.
        code: String,
        /// The text for the client; one line, gives away no configuration.
        text: String,
    },
    /// It is refused for now (4yz).
    Tempfail {
        /// The enhanced status code (RFC 3463), for example `4.7.5`.
        code: String,
        /// The text for the client; one line, gives away no configuration.
        text: String,
    },
    /// It is accepted and thrown away, because a rule says so for every recipient.
    Discard,
    /// It is accepted and held for the administrator. It is sealed as the groups say, so that releasing it
    /// sends nothing in clear that must be protected.
    Quarantine {
        /// Why, for the administrator.
        reason: String,
    },
}

/// Recipients that get the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Indexes into [`crate::Facts::recipients`], ascending.
    pub recipients: Vec<usize>,
    /// The form of the message that they get.
    pub treatment: Treatment,
}

/// The form of a message for one group of recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// The keys to encrypt to, sorted by fingerprint, each once; empty: not encrypted by us.
    pub encrypt_to: Vec<KeyChoice>,
    /// Every key in `encrypt_to` announces AEAD.
    pub aead: bool,
    /// The key to sign with; `None`: not signed by us.
    pub sign_with: Option<KeyChoice>,
    /// At least one recipient of the group gets the message, not encrypted by us, because the road to it is
    /// authenticated; which one, [`RecipientPlan::key`] says.
    #[serde(default)]
    pub enforced_tls: bool,
    /// The group gets the decrypted content of a message that arrived encrypted and was opened. When this is
    /// false it gets the content as it arrived; outbound recipients always do, or a forward would
    /// publish what was encrypted to us, unless `submission` says otherwise.
    pub opened: bool,
    /// What is opened is the submission of one of ours, encrypted to our own domain, and it is sealed anew for
    /// recipients outside: `encrypt_to` is never empty then.
    #[serde(default)]
    pub submission: bool,
    /// Keys among `encrypt_to` that policy adds so that somebody else can read along; always in the record and in
    /// the result.
    #[serde(default)]
    pub additional: Vec<KeyChoice>,
    /// The key that the mail is encrypted to after everything else, so that the mailbox holds no plaintext.
    #[serde(default)]
    pub at_rest: Option<KeyChoice>,
    /// The name of the disclaimer that is added before sealing.
    #[serde(default)]
    pub disclaimer: Option<String>,
    /// How protection looks.
    #[serde(default)]
    pub style: Style,
}

impl Treatment {
    /// Whether the message itself passes as it arrived: nothing sealed, nothing opened.
    pub fn is_pass(&self) -> bool {
        self.encrypt_to.is_empty()
            && self.sign_with.is_none()
            && !self.opened
            && self.at_rest.is_none()
            && self.disclaimer.is_none()
    }
}

/// A key that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyChoice {
    /// The fingerprint in upper-case hexadecimal; for [`KeyKind::EnforcedTls`] what authenticates the road, for
    /// [`KeyKind::PasswordMessage`] where the password comes from.
    pub fingerprint: String,
    /// What kind of key it is.
    pub kind: KeyKind,
}

/// The decision about one recipient, for the record and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientPlan {
    /// The forward-path.
    pub address: String,
    /// Which way the message goes.
    pub direction: Direction,
    /// The effective setting.
    pub encrypt: Encrypt,
    /// What set it, for example `partner beta.example` or `rule confidential`.
    pub encrypt_from: String,
    /// The effective setting.
    pub sign: Sign,
    /// What set it.
    pub sign_from: String,
    /// The key that the message is encrypted to for this recipient, or the road that protects it instead.
    pub key: Option<KeyChoice>,
    /// The key that it is signed with for this recipient.
    pub sign_with: Option<KeyChoice>,
    /// The recipient gets the opened form, see [`Treatment::opened`].
    pub opened: bool,
    /// The key for the recipient's mailbox at rest, see [`Treatment::at_rest`].
    #[serde(default)]
    pub at_rest: Option<KeyChoice>,
    /// The ids of the rules that matched for this recipient.
    pub rules: Vec<String>,
    /// What is done and why, in plain words: one or more sentences.
    pub reason: String,
}

/// The answer to one RCPT command, before the message is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RcptDecision {
    /// Nothing speaks against this recipient yet.
    Accept,
    /// This recipient is refused for good (550), whatever the message will be.
    Refuse {
        /// The enhanced status code (RFC 3463).
        code: String,
        /// The text for the client; one line, gives away no configuration.
        text: String,
    },
    /// This recipient is refused for now (451).
    Tempfail {
        /// The enhanced status code (RFC 3463).
        code: String,
        /// The text for the client; one line, gives away no configuration.
        text: String,
    },
}
