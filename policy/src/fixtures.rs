//! Configurations and facts for tests.

use crate::ConfigErrors;
use crate::Direction;
use crate::Facts;
use crate::HeaderFacts;
use crate::KeyAnswer;
use crate::KeyFacts;
use crate::KeyKind;
use crate::LayerFacts;
use crate::LayerKind;
use crate::LayerState;
use crate::Policy;
use crate::Protection;
use crate::RecipientFacts;
use crate::Scheme;
use crate::parse_document;

/// Reads a whole configuration file whose gateway has the domains alpha.example and gamma.example.
pub(crate) fn read(text: &str) -> Result<Policy, ConfigErrors> {
    let mut root = parse_document("gatepost.toml", text)?;
    let own = ["alpha.example".to_owned(), "gamma.example".to_owned()];
    let mut errors = ConfigErrors::default();
    let policy = errors.collect(Policy::from_sections(&mut root, &own));
    errors.collect(root.finish());
    errors.into_result()?;
    Ok(policy.unwrap())
}

/// The same for a file whose `[relay]` section somebody else reads.
pub(crate) fn read_with_relay(text: &str) -> Result<Policy, ConfigErrors> {
    let mut root = parse_document("gatepost.toml", text)?;
    let policy = Policy::from_sections(&mut root, &["alpha.example".to_owned(), "gamma.example".to_owned()]);
    let relay = root.take_section("relay");
    root.close(relay);
    let mut errors = ConfigErrors::default();
    let policy = errors.collect(policy);
    errors.collect(root.finish());
    errors.into_result()?;
    Ok(policy.unwrap())
}

/// Reads a configuration that has no mistakes.
pub(crate) fn policy(text: &str) -> Policy {
    read(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The messages about a configuration.
pub(crate) fn mistakes(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// A message from alice@alpha.example, complete, to these recipients.
pub(crate) fn message(recipients: Vec<RecipientFacts>) -> Facts {
    Facts {
        now: 1_790_000_000,
        originating: true,
        authenticated: Some("alice".to_owned()),
        client: Some("192.0.2.1".parse().unwrap()),
        reverse_path: "alice@alpha.example".to_owned(),
        from: vec!["alice@alpha.example".to_owned()],
        author_in_doubt: false,
        recipients,
        header: Some(HeaderFacts { subject: "Lunch".to_owned(), fields: Vec::new() }),
        size: Some(2_000),
        protection: Some(Protection::None),
        layers: Vec::new(),
        findings: Vec::new(),
        signing_keys: vec![
            KeyFacts { kind: KeyKind::UserSmime, answer: KeyAnswer::None { why: Vec::new() } },
            found(KeyKind::UserOpenpgp, "A11CE"),
        ],
        additional_keys: Vec::new(),
        unwrapped: false,
        submission: None,
    }
}

/// The same at RCPT: nothing of the message is known.
pub(crate) fn at_rcpt(mut facts: Facts) -> Facts {
    facts.header = None;
    facts.from.clear();
    facts.size = None;
    facts.protection = None;
    facts.layers.clear();
    facts.findings.clear();
    facts.signing_keys.clear();
    facts
}

/// A message from mallory@beta.example to bob@alpha.example.
pub(crate) fn from_outside(layers: Vec<LayerFacts>) -> Facts {
    let bob = RecipientFacts { direction: Direction::Inbound, ..recipient("bob@alpha.example", Vec::new()) };
    Facts {
        originating: false,
        authenticated: None,
        reverse_path: "mallory@beta.example".to_owned(),
        from: vec!["mallory@beta.example".to_owned()],
        layers,
        signing_keys: Vec::new(),
        ..message(vec![bob])
    }
}

/// An outbound recipient that is named in To or Cc; kinds without an answer have certainly no key.
pub(crate) fn recipient(address: &str, mut keys: Vec<KeyFacts>) -> RecipientFacts {
    for kind in crate::settings::DEFAULT_KINDS {
        if !keys.iter().any(|key| key.kind == kind) {
            keys.push(KeyFacts { kind, answer: KeyAnswer::None { why: Vec::new() } });
        }
    }
    RecipientFacts {
        address: address.to_owned(),
        direction: Direction::Outbound,
        disclosed: true,
        keys,
        at_rest: Vec::new(),
    }
}

/// A key that announces AEAD.
pub(crate) fn found(kind: KeyKind, fingerprint: &str) -> KeyFacts {
    KeyFacts { kind, answer: KeyAnswer::Found { fingerprint: fingerprint.to_owned(), aead: true } }
}

/// A look-up that failed.
pub(crate) fn could_not_tell(kind: KeyKind) -> KeyFacts {
    KeyFacts { kind, answer: KeyAnswer::CouldNotTell { why: "the store is locked".to_owned() } }
}

/// A look-up that has failed for so long that mail that need not be encrypted goes on.
pub(crate) fn given_up(kind: KeyKind) -> KeyFacts {
    KeyFacts { kind, answer: KeyAnswer::GivenUp { why: "away for a week".to_owned() } }
}

/// An OpenPGP layer.
pub(crate) fn layer(kind: LayerKind, state: LayerState) -> LayerFacts {
    LayerFacts {
        scheme: Scheme::Openpgp,
        kind,
        state,
        signer: None,
        why: None,
        malleable: false,
        attached: false,
        part: None,
    }
}
