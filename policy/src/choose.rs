//! Chooses keys from the answers of the key directory.

use crate::facts::Direction;
use crate::facts::Facts;
use crate::facts::KeyAnswer;
use crate::facts::KeyFacts;
use crate::facts::KeyKind;
use crate::facts::LayerFacts;
use crate::facts::LayerKind;
use crate::facts::LayerState;
use crate::facts::Protection;
use crate::facts::RecipientFacts;
use crate::facts::Scheme;
use crate::facts::SubmissionFacts;
use crate::plan::KeyChoice;
use crate::settings::Encrypt;
use crate::settings::Sign;
use crate::style::Nesting;

/// What comes of trying kinds of keys in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Search {
    Found(KeyChoice, bool),
    /// There is certainly none; why, for each kind.
    None(Vec<String>),
    /// At least one look-up failed, and no other found a key; why, for each kind.
    CouldNotTell(Vec<String>),
    /// At least one look-up has failed for too long, and all others said that there is no key; why, for each kind.
    GivenUp(Vec<String>),
}

/// What is done about encryption for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// The settings say never.
    Never,
    /// The message is encrypted already.
    Already,
    /// Encrypt to this key; whether it announces AEAD.
    To(KeyChoice, bool),
    /// Not encrypted: every road to the recipient's domain is authenticated, which counts as protection.
    OnTheRoad(KeyChoice),
    /// There is certainly no usable key.
    NoKey(Vec<String>),
    /// Whether there is a usable key could not be told.
    CouldNotTell(Vec<String>),
    /// Not encrypted: whether there is a usable key could not be told for so long that mail that need not be encrypted
    /// goes on.
    GivenUp(Vec<String>),
}

/// What is done about signing for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    /// The settings say never.
    Never,
    /// The client did not prove that it may send for us.
    NotOurs,
    /// The message has not exactly one author in a domain of ours; a signature of ours would claim too much.
    NotOurAuthor,
    /// The message is protected already; a signature outside would say less than what is there.
    Already,
    /// Sign with this key.
    With(KeyChoice),
    /// There is certainly no key to sign with.
    NoKey(Vec<String>),
    /// Whether there is a key to sign with could not be told.
    CouldNotTell(Vec<String>),
}

/// Chooses the key to encrypt to, for a message that is protected as `protection` says. `secret`: it must not leave in
/// clear, whatever the settings say.
pub(crate) fn encryption(
    encrypt: Encrypt,
    order: &[KeyKind],
    recipient: &RecipientFacts,
    protection: Protection,
    secret: bool,
) -> Encryption {
    if encrypt == Encrypt::Never {
        return Encryption::Never;
    }
    if protection.is_encrypted() {
        return Encryption::Already;
    }
    match search(order, &recipient.keys, |_| true) {
        Search::Found(key, _) if key.kind == KeyKind::EnforcedTls => Encryption::OnTheRoad(key),
        Search::Found(key, aead) => Encryption::To(key, aead),
        Search::None(why) => Encryption::NoKey(why),
        Search::GivenUp(why) if encrypt == Encrypt::Opportunistic && !secret => Encryption::GivenUp(why),
        Search::GivenUp(why) | Search::CouldNotTell(why) => Encryption::CouldNotTell(why),
    }
}

/// Chooses the key for the mailbox at rest. The kinds stand for the standards here.
pub(crate) fn at_rest(wanted: Encrypt, order: &[KeyKind], recipient: &RecipientFacts) -> Encryption {
    if wanted == Encrypt::Never || recipient.direction == Direction::Outbound {
        return Encryption::Never;
    }
    let users = [KeyKind::UserSmime, KeyKind::UserOpenpgp];
    let mut order: Vec<KeyKind> = order.iter().copied().filter(|kind| users.contains(kind)).collect();
    order.extend(users.into_iter().filter(|kind| !order.contains(kind)).collect::<Vec<_>>());
    match search(&order, &recipient.at_rest, |_| true) {
        Search::Found(key, aead) => Encryption::To(key, aead),
        Search::None(why) => Encryption::NoKey(why),
        Search::CouldNotTell(why) | Search::GivenUp(why) => Encryption::CouldNotTell(why),
    }
}

/// Chooses the additional decryption keys for a message that is encrypted as `scheme` says, or tells whose cannot
/// be had. Mail that must be readable for somebody is not encrypted without.
pub(crate) fn additional(
    subjects: &[String],
    scheme: Option<Scheme>,
    facts: &Facts,
) -> Result<Vec<(KeyChoice, bool)>, String> {
    let Some(scheme) = scheme else { return Ok(Vec::new()) };
    let order = match scheme {
        Scheme::Smime => [KeyKind::UserSmime],
        Scheme::Openpgp => [KeyKind::UserOpenpgp],
    };
    let key_of = |subject: &String| {
        let answers = facts.additional_keys.iter().find(|known| known.subject == *subject);
        let found = answers.map(|known| search(&order, &known.keys, |_| true));
        match found {
            Some(Search::Found(key, aead)) => Ok((key, aead)),
            _ => Err(subject.clone()),
        }
    };
    subjects.iter().map(key_of).collect()
}

/// Chooses the key to sign with, for a message that will be encrypted as `encryption` says.
#[expect(clippy::too_many_arguments, reason = "each of them decides")]
pub(crate) fn signature(
    sign: Sign,
    own_author: bool,
    order: &[KeyKind],
    facts: &Facts,
    layers: &[LayerFacts],
    direction: Direction,
    protection: Protection,
    encryption: &Encryption,
    nesting: Nesting,
) -> Signature {
    if sign == Sign::Never {
        return Signature::Never;
    }
    if !facts.originating || direction == Direction::Inbound {
        return Signature::NotOurs;
    }
    if !own_author {
        return Signature::NotOurAuthor;
    }
    // A domain may sign around what its author signed, if that holds (RFC 3183 section 3).
    let around = protection == Protection::Signed && nesting == Nesting::Rfc3183 && all_valid(layers);
    if protection != Protection::None && !around {
        return Signature::Already;
    }
    // A message signed by one standard inside the other shows as empty in Outlook (MISP/MISP#7508).
    let scheme = match encryption {
        Encryption::To(key, _) if key.kind == KeyKind::PasswordMessage => Some(Scheme::Openpgp),
        Encryption::To(key, _) => key.kind.scheme(),
        _ => None,
    };
    if around {
        if scheme == Some(Scheme::Openpgp) {
            return Signature::Already;
        }
        return match search(&[KeyKind::DomainSmime], &facts.signing_keys, |_| true) {
            Search::Found(key, _) => Signature::With(key),
            Search::None(_) => Signature::Already,
            Search::CouldNotTell(why) | Search::GivenUp(why) => Signature::CouldNotTell(why),
        };
    }
    let signs = |kind: KeyKind| kind.scheme().is_some_and(|own| scheme.is_none_or(|wanted| own == wanted));
    match search(order, &facts.signing_keys, signs) {
        Search::Found(key, _) => Signature::With(key),
        Search::None(why) => Signature::NoKey(why),
        Search::CouldNotTell(why) | Search::GivenUp(why) => Signature::CouldNotTell(why),
    }
}

/// Whether there are signatures, and every one was verified and is the author's, or a mailing list's around it. Messages
/// that are brought along have authors of their own.
fn all_valid(layers: &[LayerFacts]) -> bool {
    let own = |layer: &&LayerFacts| layer.kind == LayerKind::Signed && !layer.attached;
    let mut signed = layers.iter().filter(own).peekable();
    let verified = [LayerState::Valid, LayerState::Part, LayerState::List];
    signed.peek().is_some() && signed.all(|layer| verified.contains(&layer.state))
}

/// Whether a recipient gets the opened form: only here, where we opened something, never outside.
pub(crate) fn opens(open: bool, facts: &Facts, direction: Direction) -> bool {
    let opened = |kind, state| kind == LayerKind::Encrypted && state == LayerState::Opened;
    open && direction != Direction::Outbound
        && (facts.unwrapped || facts.layers.iter().any(|layer| opened(layer.kind, layer.state)))
}

/// What must be opened and sealed anew for a recipient outside: the submission of one of ours, unless he can open it
/// himself.
pub(crate) fn submission<'f>(
    open: bool,
    own_author: bool,
    facts: &'f Facts,
    recipient: &RecipientFacts,
) -> Option<&'f SubmissionFacts> {
    let ours = open && own_author && facts.originating && recipient.direction == Direction::Outbound;
    let submission = facts.submission.as_ref().filter(|_| ours)?;
    (!submission.readers.contains(&recipient.address)).then_some(submission)
}

/// The layers that count for a recipient.
pub(crate) fn layers(facts: &Facts, direction: Direction) -> &[LayerFacts] {
    match &facts.submission {
        Some(submission) if direction == Direction::Outbound => &submission.layers,
        _ => &facts.layers,
    }
}

/// How the form that a recipient gets is protected before we seal it. What is not known yet counts as not
/// protected.
pub(crate) fn protection(facts: &Facts, opened: bool) -> Protection {
    let arrived = facts.protection.unwrap_or(Protection::None);
    let closed = |kind, state| kind == LayerKind::Encrypted && state != LayerState::Opened;
    if !opened || facts.layers.iter().any(|layer| closed(layer.kind, layer.state)) {
        return arrived;
    }
    Protection::None
}

/// Tries the kinds in order. The first key found wins; a failed look-up counts only when nothing is found.
fn search(order: &[KeyKind], answers: &[KeyFacts], fits: impl Fn(KeyKind) -> bool) -> Search {
    let mut why = Vec::new();
    let (mut failed, mut given_up) = (false, false);
    for kind in order.iter().copied().filter(|kind| fits(*kind)) {
        let words = kind_in_words(kind);
        match answers.iter().find(|facts| facts.kind == kind).map(|facts| &facts.answer) {
            Some(KeyAnswer::Found { fingerprint, aead }) => {
                return Search::Found(KeyChoice { fingerprint: fingerprint.clone(), kind }, *aead);
            }
            Some(KeyAnswer::None { why: reasons }) if reasons.is_empty() => {
                why.push(format!("{words}: none"))
            }
            Some(KeyAnswer::None { why: reasons }) => why.push(format!("{words}: {}", reasons.join(", "))),
            Some(KeyAnswer::CouldNotTell { why: reason }) => {
                failed = true;
                why.push(format!("{words}: the look-up failed: {reason}"));
            }
            Some(KeyAnswer::GivenUp { why: reason }) => {
                given_up = true;
                why.push(format!("{words}: the look-up fails: {reason}"));
            }
            None => {
                failed = true;
                why.push(format!("{words}: not looked up"));
            }
        }
    }
    match (failed, given_up) {
        (true, _) => Search::CouldNotTell(why),
        (false, true) => Search::GivenUp(why),
        (false, false) => Search::None(why),
    }
}

/// What is missing when these kinds were tried without success.
pub(crate) fn lack_in_words(why: &[String]) -> &'static str {
    let road = kind_in_words(KeyKind::EnforcedTls);
    let roads = why.iter().filter(|why| why.starts_with(road)).count();
    match roads {
        0 => "no usable certificate",
        all if all == why.len() => "no road that can be authenticated",
        _ => "no usable certificate and no road that can be authenticated",
    }
}

/// A kind of key as people say it.
pub fn kind_in_words(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::UserSmime => "user S/MIME",
        KeyKind::UserOpenpgp => "user OpenPGP",
        KeyKind::DomainSmime => "domain S/MIME",
        KeyKind::DomainOpenpgp => "domain OpenPGP",
        KeyKind::EnforcedTls => "enforced TLS",
        KeyKind::PasswordMessage => "password message",
    }
}
