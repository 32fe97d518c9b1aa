//! Gathers what is known about a message into one plain value for the policy.

use std::net::IpAddr;

use mail::Message;
use policy::{
    Direction, Facts, Finding, HeaderFacts, KeyFacts, LayerFacts, LayerKind, LayerState, Policy, Protection,
    RecipientFacts, Scheme,
};
use sealing::{Layer, Recognised};

use crate::config::GatewayConfig;
use crate::keyring::Lookup;
use crate::transaction::{Envelope, Transaction, domain_of};

/// Which way a message goes for one recipient.
///
/// Whatever is not ours is outbound, also for a client that is not ours: a forwarded message needs
/// the same protection as one of our own.
pub fn recipient_direction(gateway: &GatewayConfig, originating: bool, address: &str) -> Direction {
    match (gateway.is_own(&domain_of(address)), originating) {
        (false, _) => Direction::Outbound,
        (true, true) => Direction::Internal,
        (true, false) => Direction::Inbound,
    }
}

/// The direction of a message as a whole, for logs and metrics: what leaves counts most.
pub fn direction(facts: &Facts) -> Direction {
    let has = |direction| facts.recipients.iter().any(|recipient| recipient.direction == direction);
    match (has(Direction::Outbound), has(Direction::Internal), facts.originating) {
        (true, _, true) => Direction::Outbound,
        (_, true, _) => Direction::Internal,
        (true, _, false) if !has(Direction::Inbound) => Direction::Outbound,
        (_, _, true) => Direction::Outbound,
        _ => Direction::Inbound,
    }
}

/// All facts but the layers, which need the message opened.
pub fn gather(
    gateway: &GatewayConfig,
    policy: &Policy,
    transaction: &Transaction,
    lookups: &[Lookup],
    signing: Vec<KeyFacts>,
    recognised: Option<&Recognised>,
    now: i64,
) -> Facts {
    let message = &transaction.message;
    let named: Vec<String> =
        message.to_and_cc().iter().map(|mailbox| mailbox.address.to_string().to_lowercase()).collect();
    let recipients =
        transaction.envelope.recipients.iter().enumerate().map(|(index, recipient)| RecipientFacts {
            address: recipient.address.clone(),
            direction: recipient_direction(gateway, transaction.originating, &recipient.address),
            disclosed: named.contains(&recipient.address.to_lowercase()),
            keys: lookups.get(index).map(|lookup| lookup.facts.clone()).unwrap_or_default(),
            at_rest: Vec::new(),
        });
    Facts {
        now,
        originating: transaction.originating,
        authenticated: transaction.authenticated.clone(),
        client: transaction.peer.ip,
        reverse_path: transaction.envelope.reverse_path.clone(),
        from: originators(message),
        author_in_doubt: message.author().is_none(),
        recipients: recipients.collect(),
        header: Some(header_facts(message, policy.wanted_fields())),
        size: Some(message.len()),
        protection: Some(recognised.map_or(Protection::None, protection)),
        layers: Vec::new(),
        findings: Vec::new(),
        signing_keys: signing,
        additional_keys: Vec::new(),
        unwrapped: false,
        submission: None,
    }
}

/// The facts about one recipient at RCPT, when the message is not known.
pub fn facts_at_rcpt(
    originating: bool,
    authenticated: Option<String>,
    client: Option<IpAddr>,
    envelope: &Envelope,
    recipient: RecipientFacts,
    now: i64,
) -> Facts {
    Facts {
        now,
        originating,
        authenticated,
        client,
        reverse_path: envelope.reverse_path.clone(),
        from: Vec::new(),
        author_in_doubt: false,
        recipients: vec![recipient],
        header: None,
        size: None,
        protection: None,
        layers: Vec::new(),
        findings: Vec::new(),
        signing_keys: Vec::new(),
        additional_keys: Vec::new(),
        unwrapped: false,
        submission: None,
    }
}

/// Addresses of the From field.
fn originators(message: &Message) -> Vec<String> {
    message.from().iter().map(|mailbox| mailbox.address.to_string()).collect()
}

/// What rules can ask of a header section.
pub fn header_facts(message: &Message, wanted: &[String]) -> HeaderFacts {
    let fields = message.header().fields().filter_map(|field| {
        let name = String::from_utf8_lossy(field.name()).to_lowercase();
        wanted.contains(&name).then(|| (name, field.text()))
    });
    HeaderFacts { subject: message.subject(), fields: fields.collect() }
}

/// How the message is protected, by its structure.
pub fn protection(recognised: &Recognised) -> Protection {
    match recognised.protection {
        sealing::Protection::None => Protection::None,
        sealing::Protection::Signed => Protection::Signed,
        sealing::Protection::Encrypted => Protection::Encrypted,
        sealing::Protection::SignedAndEncrypted => Protection::SignedAndEncrypted,
    }
}

/// What opening found, as facts.
pub fn layer_facts(layers: &[Layer]) -> Vec<LayerFacts> {
    layers
        .iter()
        .map(|layer| LayerFacts {
            scheme: match layer.scheme {
                keydir::Scheme::Openpgp => Scheme::Openpgp,
                keydir::Scheme::Smime => Scheme::Smime,
            },
            kind: match layer.kind {
                sealing::LayerKind::Encrypted => LayerKind::Encrypted,
                sealing::LayerKind::Signed => LayerKind::Signed,
            },
            state: match layer.state {
                sealing::LayerState::Opened => LayerState::Opened,
                sealing::LayerState::Valid => LayerState::Valid,
                sealing::LayerState::Invalid => LayerState::Invalid,
                sealing::LayerState::WrongSigner => LayerState::WrongSigner,
                sealing::LayerState::List => LayerState::List,
                sealing::LayerState::Part => LayerState::Part,
                sealing::LayerState::UnknownSigner => LayerState::UnknownSigner,
                sealing::LayerState::NoKey => LayerState::NoKey,
                sealing::LayerState::Damaged => LayerState::Damaged,
                sealing::LayerState::Unsupported => LayerState::Unsupported,
            },
            signer: layer.signer.clone(),
            why: layer.why.clone(),
            malleable: layer.malleable,
            attached: layer.attached,
            part: layer.part.clone(),
        })
        .collect()
}

/// The finding that header fields outside are not those that the sender protected (RFC 9788).
pub const HEADER_MISMATCH: &str = "header-mismatch";

/// A finding of the gateway itself.
pub fn finding(id: &str, detail: &str) -> Finding {
    Finding { id: id.to_owned(), detail: detail.to_owned() }
}
