//! What is known about one message when it is decided.
//!
//! Facts are one plain value: whoever gathers them does the I/O, [`crate::Policy::decide`] does none. The
//! same facts always give the same plan, so they are kept in the notary and a decision can be replayed.

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::style::HeaderProtection;

/// Everything that a decision may depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The time of the decision in seconds since 1970-01-01 UTC. No decision reads a clock.
    pub now: i64,
    /// The client proved that it may send for us: it authenticated, or it is on a trusted network.
    pub originating: bool,
    /// The SASL login name, when the client authenticated (RFC 4954).
    pub authenticated: Option<String>,
    /// The address of the client; `None` for mail that was not received over SMTP.
    pub client: Option<IpAddr>,
    /// The reverse-path without angle brackets (RFC 5321 section 4.1.1.2); empty for `<>`.
    pub reverse_path: String,
    /// The addresses of the From field (RFC 5322 section 3.6.2); meaningful only when `header` is known.
    pub from: Vec<String>,
    /// The From field can be read in several ways, so that `from` may name somebody who did not write it. Such mail
    /// is signed for nobody.
    #[serde(default)]
    pub author_in_doubt: bool,
    /// The recipients of the envelope, in the order of their RCPT commands.
    pub recipients: Vec<RecipientFacts>,
    /// The header section; `None` while it has not been received (at RCPT).
    pub header: Option<HeaderFacts>,
    /// The size of the message in bytes as received; `None` while it has not been received.
    pub size: Option<u64>,
    /// How the message was protected when it arrived; `None` while it has not been received.
    pub protection: Option<Protection>,
    /// The cryptographic layers that were found, outermost first.
    pub layers: Vec<LayerFacts>,
    /// What screening found.
    pub findings: Vec<Finding>,
    /// The answers to "which key signs for this originator", at most one per kind.
    pub signing_keys: Vec<KeyFacts>,
    /// The answers about the additional decryption keys that settings name.
    #[serde(default)]
    pub additional_keys: Vec<AdditionalKeyFacts>,
    /// The gateway has a readable form of the message: it took off what it decrypted, the signature of a gateway, or
    /// an empty layer (RFC 3183 section 3.1.1).
    #[serde(default)]
    pub unwrapped: bool,
    /// One of ours encrypted the message to the key of our own domain, for the gateway to seal it anew for recipients
    /// outside (RFC 3183 section 4, case b); `None` for every other message, and where no setting opens those.
    #[serde(default)]
    pub submission: Option<SubmissionFacts>,
}

/// What opening a message gave that one of ours encrypted to our own domain. It counts for recipients outside only; for
/// those here [`Facts::layers`] does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionFacts {
    /// The layers that were found with the keys of our domain, outermost first.
    pub layers: Vec<LayerFacts>,
    /// How the content is protected by itself; `None`: it could not be opened.
    pub content: Option<Protection>,
    /// The recipients outside who can open it themselves: it is encrypted to a key of theirs, too.
    pub readers: Vec<String>,
    /// How much of the header section was hidden; the new form hides at least as much.
    pub hidden: HeaderProtection,
    /// What is protected inside names another author than the From field outside, or somebody else signed it.
    pub other_author: bool,
}

/// What is known about the keys of one subject that may read along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionalKeyFacts {
    /// The address or domain, as the setting names it.
    pub subject: String,
    /// One answer for [`KeyKind::UserSmime`] and one for [`KeyKind::UserOpenpgp`].
    pub keys: Vec<KeyFacts>,
}

/// What is known about one recipient of the envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipientFacts {
    /// The forward-path without angle brackets.
    pub address: String,
    /// Which way the message goes for this recipient.
    pub direction: Direction,
    /// The recipient is named in To or Cc. A recipient that is not (Bcc) must not be given away to the
    /// others by the list of keys of an encrypted message.
    pub disclosed: bool,
    /// The answers of the key directory, at most one per kind. A kind that is missing counts as
    /// [`KeyAnswer::CouldNotTell`]: what was not looked up is never "no key".
    pub keys: Vec<KeyFacts>,
    /// The answers about the key for the recipient's mailbox at rest, which is never published: one for
    /// [`KeyKind::UserSmime`] and one for [`KeyKind::UserOpenpgp`].
    #[serde(default)]
    pub at_rest: Vec<KeyFacts>,
}

/// Which way a message goes, seen from the domains of this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From elsewhere to a recipient of ours.
    Inbound,
    /// To a recipient elsewhere.
    Outbound,
    /// From one of ours to one of ours.
    Internal,
}

/// A way to protect a message for one recipient, in the order of preference that is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// The recipient's own S/MIME certificate (RFC 8551).
    UserSmime,
    /// The recipient's own OpenPGP certificate (RFC 9580).
    UserOpenpgp,
    /// The S/MIME certificate of the recipient's domain (RFC 3183).
    DomainSmime,
    /// The OpenPGP certificate of the recipient's domain.
    DomainOpenpgp,
    /// A relay that can be authenticated (RFC 7672, RFC 8461).
    EnforcedTls,
    /// A message behind a password that the recipient knows.
    PasswordMessage,
}

/// One answer of the key directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// What was looked for.
    pub kind: KeyKind,
    /// What came back.
    pub answer: KeyAnswer,
}

/// What a look-up for a key said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAnswer {
    /// There is a usable key.
    Found {
        /// The fingerprint in upper-case hexadecimal; for [`KeyKind::EnforcedTls`] what authenticates the road,
        /// for example `DANE`.
        fingerprint: String,
        /// Its owner announces AEAD (SEIPDv2, RFC 9580 section 5.2.3.32).
        aead: bool,
    },
    /// There is certainly no usable key.
    None {
        /// Why each key that exists cannot be used, for example `A1B2… expired 2026-01-01`.
        why: Vec<String>,
    },
    /// The look-up failed. This is never "no key".
    CouldNotTell {
        /// What failed, for the log.
        why: String,
    },
    /// The look-up has failed for longer than the administrator lets mail wait that need not be encrypted, and none
    /// ever found a key. For mail that must be encrypted this is [`KeyAnswer::CouldNotTell`].
    GivenUp {
        /// What failed and since when, for the log.
        why: String,
    },
}

/// The part of the header section that rules can ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderFacts {
    /// The Subject, decoded (RFC 2047); empty when there is none.
    pub subject: String,
    /// Lower-case name and unfolded value of every field that [`crate::Policy::wanted_fields`] names.
    pub fields: Vec<(String, String)>,
}

/// How a message was protected when it arrived, recognised by its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Neither signed nor encrypted.
    None,
    /// Signed, in clear.
    Signed,
    /// Encrypted; whether it is signed inside cannot be seen or it is not.
    Encrypted,
    /// Encrypted, and signed outside or inside.
    SignedAndEncrypted,
}

impl Protection {
    /// Whether the content cannot be read on the wire.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Encrypted | Self::SignedAndEncrypted)
    }
}

/// One cryptographic layer of a message that arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFacts {
    /// The standard it follows.
    pub scheme: Scheme,
    /// What it does.
    pub kind: LayerKind,
    /// What came of it here.
    pub state: LayerState,
    /// Who signed, as far as that was verified.
    pub signer: Option<String>,
    /// Why the state is what it is, for the log.
    pub why: Option<String>,
    /// A layer that was opened, or is damaged, and whose encryption does not prove that nobody changed it, such as CBC (RFC 8551
    /// section 6): without a valid signature inside it may say anything.
    #[serde(default)]
    pub malleable: bool,
    /// A signature in a message that this one brings along (message/rfc822), and none on this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
    /// The part that holds it, as RFC 7281 section 3.2.1 names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// A standard for protecting messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// RFC 9580 and RFC 3156.
    Openpgp,
    /// RFC 8551.
    Smime,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// It hides the content.
    Encrypted,
    /// It names an author.
    Signed,
}

/// What came of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerState {
    /// Decrypted with a key of ours.
    Opened,
    /// The signature verifies over the whole message, and its signer is the author of the message.
    Valid,
    /// The signature verifies and is the author's, but only a part of the message is signed.
    Part,
    /// The signature does not verify.
    Invalid,
    /// The signature verifies, but its signer is not the author of the message.
    WrongSigner,
    /// The signature verifies, and its signer is a mailing list that sent the message on (RFC 2634 section 4).
    List,
    /// There is no certificate to verify the signature with.
    UnknownSigner,
    /// It is encrypted, and not to a key of ours.
    NoKey,
    /// It is encrypted to us and cannot be opened: damaged, tampered with, or the key is destroyed.
    Damaged,
    /// It uses something that this gateway does not support.
    Unsupported,
}

/// The id of the finding that the gateway itself decrypted the message when it arrived. It must not
/// leave in clear then: see [`Policy::decide`](crate::Policy::decide).
pub const OPENED_BEFORE: &str = "opened-before";

/// One thing that screening, or the gateway itself, found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The name that rules match.
    pub id: String,
    /// More about it, for the log.
    pub detail: String,
}

impl KeyKind {
    /// Every kind, in the order of preference that is the default.
    pub const ALL: [Self; 6] = [
        Self::UserSmime,
        Self::UserOpenpgp,
        Self::DomainSmime,
        Self::DomainOpenpgp,
        Self::EnforcedTls,
        Self::PasswordMessage,
    ];

    /// The name in the configuration, for example `user-openpgp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserSmime => "user-smime",
            Self::UserOpenpgp => "user-openpgp",
            Self::DomainSmime => "domain-smime",
            Self::DomainOpenpgp => "domain-openpgp",
            Self::EnforcedTls => "enforced-tls",
            Self::PasswordMessage => "password-message",
        }
    }

    /// The standard by which a key of this kind protects a message; `None` for the kinds that have no key.
    pub fn scheme(self) -> Option<Scheme> {
        match self {
            Self::UserSmime | Self::DomainSmime => Some(Scheme::Smime),
            Self::UserOpenpgp | Self::DomainOpenpgp => Some(Scheme::Openpgp),
            Self::EnforcedTls | Self::PasswordMessage => None,
        }
    }
}

impl Direction {
    /// The name in the configuration and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Internal => "internal",
        }
    }
}
