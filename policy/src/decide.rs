//! Decides a whole message.

use crate::choose;
use crate::choose::Encryption;
use crate::choose::Signature;
use crate::facts::Direction;
use crate::facts::Facts;
use crate::facts::KeyKind;
use crate::facts::LayerFacts;
use crate::facts::LayerKind;
use crate::facts::LayerState;
use crate::facts::OPENED_BEFORE;
use crate::facts::Protection;
use crate::facts::RecipientFacts;
use crate::facts::SubmissionFacts;
use crate::group::Form;
use crate::group::group;
use crate::pattern::domain_of;
use crate::plan::Plan;
use crate::plan::RecipientPlan;
use crate::plan::Verdict;
use crate::policy::Policy;
use crate::reason::reason;
use crate::refusal;
use crate::refusal::Refusal;
use crate::rule::RuleVerdict;
use crate::settings::Encrypt;
use crate::settings::Reaction;
use crate::settings::Sourced;
use crate::settle::Settled;
use crate::settle::settle;

/// What is decided for one recipient.
pub(crate) struct Ruling<'p> {
    pub(crate) settled: Settled<'p>,
    pub(crate) encryption: Encryption,
    pub(crate) signature: Signature,
    pub(crate) at_rest: Encryption,
    pub(crate) form: Form,
    /// It is a submission to our own domain, and the recipient can open it himself.
    pub(crate) reads: bool,
    pub(crate) reactions: Vec<(Trouble, Sourced<Reaction>)>,
    refusals: Vec<Refusal>,
}

/// What can be wrong with the protection of inbound mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A signature that does not hold, or holds for somebody else than the author.
    Unverifiable,
    /// Encrypted to us, and not to be opened.
    Undecryptable,
    /// Opened, but nothing proves that it is what was written (RFC 8551 section 6, "EFAIL").
    Unauthenticated,
    /// Signed by one of ours with a signature that does not hold.
    OwnSignature,
}

impl Trouble {
    /// The beginning of a sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Unverifiable => "The signature is not valid",
            Self::Undecryptable => "It is encrypted to us and cannot be decrypted",
            Self::Unauthenticated => "Its encryption does not show changes, and no valid signature does",
            Self::OwnSignature => "The author's own signature does not hold",
        }
    }

    /// The warning for recipients.
    fn tag(self) -> &'static str {
        match self {
            Self::Unverifiable => "signature not valid",
            Self::Undecryptable => "cannot be decrypted",
            Self::Unauthenticated => "may have been changed",
            Self::OwnSignature => "signature not valid",
        }
    }

    /// RFC 3463 section 3.8: X.7.7 message integrity failure, X.7.5 cryptographic failure.
    fn refusal(self) -> Refusal {
        match self {
            Self::Unverifiable => Refusal::permanent("5.7.7", "the signature of the message is not valid"),
            Self::Undecryptable => Refusal::permanent("5.7.5", "the message cannot be decrypted"),
            Self::Unauthenticated => {
                let text =
                    "the encryption of the message does not protect it against changes, and it is not signed";
                Refusal::permanent("5.7.7", text)
            }
            Self::OwnSignature => Refusal::permanent("5.7.7", "your signature is not valid"),
        }
    }
}

/// Decides; see [`Policy::decide`].
pub(crate) fn decide(policy: &Policy, facts: &Facts) -> Plan {
    let rulings: Vec<Ruling<'_>> =
        facts.recipients.iter().map(|recipient| rule_on(policy, facts, recipient)).collect();
    let verdict = verdict(&rulings);
    let goes_on = matches!(verdict, Verdict::Accept | Verdict::Quarantine { .. });
    let forms: Vec<Form> = rulings.iter().map(|ruling| ruling.form.clone()).collect();
    let groups = if goes_on { group(&facts.recipients, &forms) } else { Vec::new() };
    let fired: Vec<_> = policy.rules().iter().filter(|rule| fired_anywhere(&rulings, &rule.id)).collect();
    let triggers = || fired.iter().filter(|rule| rule.remove_trigger).map(|rule| &rule.when);
    let fields = triggers().flat_map(|when| when.header.iter().map(|(name, _)| name.clone()));
    Plan {
        verdict,
        groups,
        remove_fields: distinct(fields),
        subject_triggers: distinct(triggers().filter_map(|when| when.subject.clone())),
        tag: tag(&rulings),
        rules: fired.iter().map(|rule| rule.id.clone()).collect(),
        recipients: facts.recipients.iter().zip(&rulings).map(|(r, ruling)| report(r, ruling)).collect(),
    }
}

/// Whether the message has exactly one author, in a domain of ours.
pub(crate) fn has_own_author(policy: &Policy, facts: &Facts) -> bool {
    match facts.from.as_slice() {
        [author] if !facts.author_in_doubt => policy.is_own(&domain_of(author)),
        _ => false,
    }
}

fn rule_on<'p>(policy: &'p Policy, facts: &Facts, recipient: &RecipientFacts) -> Ruling<'p> {
    let mut settled = settle(policy, facts, recipient);
    let (direction, own) = (recipient.direction, has_own_author(policy, facts));
    let open = settled.open_submissions.value && policy.encrypts();
    let submission = choose::submission(open, own, facts, recipient);
    if let Some(submission) = submission {
        must_leave_encrypted(&mut settled, submission);
    }
    let opened = choose::opens(settled.open.value, facts, direction);
    let protection = match submission {
        Some(submission) => submission.content.unwrap_or(Protection::None),
        None => choose::protection(facts, opened),
    };
    let order = &settled.keys.value;
    // What is opened on its way out is not protected by what was around it.
    let closed = if submission.is_some() { Protection::None } else { protection };
    let secret = opened_before(facts) && direction == Direction::Outbound;
    let encryption = choose::encryption(settled.encrypt.value, order, recipient, closed, secret);
    let (sign, nesting) = (settled.sign.value, settled.style.nesting);
    let layers = choose::layers(facts, direction);
    let signature =
        choose::signature(sign, own, order, facts, layers, direction, protection, &encryption, nesting);
    let at_rest = match &encryption {
        // What stays encrypted, or is encrypted to the user by a rule, is no plaintext.
        Encryption::Already | Encryption::To(..) => Encryption::Never,
        _ if protection.is_encrypted() => Encryption::Never,
        _ => choose::at_rest(settled.at_rest.value, order, recipient),
    };
    let scheme = match &encryption {
        Encryption::To(key, _) => key.kind.scheme(),
        _ => None,
    };
    let additional = choose::additional(&settled.additional_keys.value, scheme, facts);
    let goes_out = direction == Direction::Outbound;
    let form = Form {
        encrypt: match &encryption {
            Encryption::To(key, aead) => Some((key.clone(), *aead)),
            _ => None,
        },
        sign: match &signature {
            Signature::With(key) => Some(key.clone()),
            _ => None,
        },
        road: match &encryption {
            Encryption::OnTheRoad(road) => Some(road.clone()),
            _ => None,
        },
        opened: opened || submission.is_some(),
        submission: submission.is_some(),
        additional: additional.clone().unwrap_or_default(),
        at_rest: match &at_rest {
            Encryption::To(key, _) => Some(key.clone()),
            _ => None,
        },
        disclaimer: settled.disclaimer.clone().filter(|_| goes_out && facts.originating && own),
        style: settled.style,
    };
    let theirs = facts.submission.as_ref().map(|submission| &submission.readers);
    let reads = goes_out && theirs.is_some_and(|readers| readers.contains(&recipient.address));
    let reactions = reactions(facts, direction, &settled);
    let refusals = Vec::new();
    let mut ruling = Ruling { settled, encryption, signature, at_rest, form, reads, reactions, refusals };
    ruling.refusals = refusals_of(&ruling, facts, recipient, submission, protection.is_encrypted());
    ruling.refusals.extend(additional.err().map(|subject| refusal::of_additional(&subject)));
    ruling
}

/// Why a message cannot go on for one recipient; the first counts. `closed`: it is encrypted already.
fn refusals_of(
    ruling: &Ruling<'_>,
    facts: &Facts,
    recipient: &RecipientFacts,
    submission: Option<&SubmissionFacts>,
    closed: bool,
) -> Vec<Refusal> {
    let (settled, encryption, address) = (&ruling.settled, &ruling.encryption, &recipient.address);
    let layers = choose::layers(facts, recipient.direction);
    let refused = ruling.reactions.iter().filter(|(_, reaction)| reaction.value == Reaction::Reject);
    let mut refusals: Vec<Refusal> = refused.map(|(trouble, _)| refusal_of(*trouble, layers)).collect();
    refusals
        .extend(submission.and_then(|submission| refusal::of_submission(submission, encryption, address)));
    refusals.extend(refusal::of_encryption(settled.encrypt.value, encryption, address));
    if opened_before(facts) && recipient.direction == Direction::Outbound && !closed {
        refusals.extend(refusal::of_opened(encryption, address));
    }
    refusals.extend(refusal::of_signature(&ruling.signature, originator(facts)));
    refusals.extend(refusal::of_at_rest(settled.at_rest.value, &ruling.at_rest, address));
    refusals
}

/// Whether it arrived encrypted, was opened here and is sent on.
fn opened_before(facts: &Facts) -> bool {
    facts.findings.iter().any(|finding| finding.id == OPENED_BEFORE)
}

/// What was opened on its way out is encrypted whatever the settings say, and hides of its header what was hidden. On a
/// road that is only authenticated it would be closed, but at its end open.
fn must_leave_encrypted(settled: &mut Settled<'_>, submission: &SubmissionFacts) {
    let from = format!("having opened it on its way out ({})", settled.open_submissions.from);
    settled.encrypt = Sourced::new(Encrypt::Required, from);
    settled.keys.value.retain(|kind| *kind != KeyKind::EnforcedTls);
    settled.style.header = settled.style.header.max(submission.hidden);
}

/// The refusal for a trouble. Who signed is told what is wrong with the signature; a stranger is not.
fn refusal_of(trouble: Trouble, layers: &[LayerFacts]) -> Refusal {
    let refusal = trouble.refusal();
    let broken = layers.iter().find(|layer| is_broken_signature(layer));
    match broken.and_then(|layer| layer.why.as_deref()) {
        Some(why) if trouble == Trouble::OwnSignature => {
            Refusal::permanent(refusal.code, &format!("{}: {why}", refusal.text))
        }
        _ => refusal,
    }
}

/// A signature that does not hold, or of which that cannot be told. A mailing list signs for itself, and a message that
/// is brought along has an author of its own.
fn is_broken_signature(layer: &LayerFacts) -> bool {
    let holds = matches!(layer.state, LayerState::Valid | LayerState::Part | LayerState::List);
    layer.kind == LayerKind::Signed && !holds && !layer.attached
}

/// Whether something was opened that anybody could have changed (EFAIL): a signature on the whole shows changes if it is
/// inside. Around it, whoever changed it can have signed.
fn may_have_been_changed(layers: &[LayerFacts]) -> bool {
    let valid = |layer: &LayerFacts| layer.kind == LayerKind::Signed && layer.state == LayerState::Valid;
    let innermost = layers.iter().rposition(|layer| layer.malleable && layer.state == LayerState::Opened);
    innermost.is_some_and(|at| !layers.iter().skip(at).any(valid))
}

/// The originator as the sender of a refusal knows itself.
fn originator(facts: &Facts) -> &str {
    facts.from.first().unwrap_or(&facts.reverse_path)
}

/// What the layers of the message call for. Who does not want mail opened is not told what opening found.
fn reactions(
    facts: &Facts,
    direction: Direction,
    settled: &Settled<'_>,
) -> Vec<(Trouble, Sourced<Reaction>)> {
    if direction == Direction::Outbound {
        let layers = choose::layers(facts, direction);
        let broken = facts.originating && layers.iter().any(is_broken_signature);
        return Vec::from_iter(broken.then(|| (Trouble::OwnSignature, settled.own_signatures.clone())));
    }
    if !settled.open.value {
        return Vec::new();
    }
    let layers = &facts.layers;
    let changed = may_have_been_changed(layers);
    let malleable = layers.iter().position(|layer| layer.malleable).filter(|_| changed);
    let told = |at: usize| match layers.get(at) {
        Some(layer) if layer.malleable && layer.state == LayerState::Damaged => false,
        _ => malleable.is_none_or(|malleable| at <= malleable),
    };
    let mut reactions = Vec::new();
    let mut react = |trouble, setting: &Sourced<Reaction>, concerns: &dyn Fn(&LayerFacts) -> bool| {
        let mut found = layers.iter().enumerate().filter(|(_, layer)| concerns(layer)).peekable();
        if found.peek().is_some() {
            reactions.push(match found.any(|(at, _)| told(at)) {
                true => (trouble, setting.clone()),
                false => without_oracle(trouble, setting, &settled.unauthenticated),
            });
        }
    };
    let broken = [LayerState::Invalid, LayerState::WrongSigner, LayerState::Damaged];
    let signed = |layer: &LayerFacts| layer.kind == LayerKind::Signed && !layer.attached;
    react(Trouble::Unverifiable, &settled.unverifiable, &|layer| {
        signed(layer) && broken.contains(&layer.state)
    });
    let lost = [LayerState::Damaged, LayerState::Invalid, LayerState::Unsupported];
    react(Trouble::Undecryptable, &settled.undecryptable, &|layer| {
        layer.kind == LayerKind::Encrypted && lost.contains(&layer.state)
    });
    if changed {
        reactions.push((Trouble::Unauthenticated, settled.unauthenticated.clone()));
    }
    reactions
}

/// What happens when something is wrong that only our key shows, in content that anybody could have changed. Whoever
/// sends it changed again and again must not hear whether the cipher found something, and what: some hundred answers
/// for each octet would tell him all of it (RFC 3218 for keys, and for the content what is known as a padding oracle). So it
/// is refused only where everything opened like this is, in the same words; else what would be refused is held.
fn without_oracle(
    trouble: Trouble,
    setting: &Sourced<Reaction>,
    unauthenticated: &Sourced<Reaction>,
) -> (Trouble, Sourced<Reaction>) {
    match (setting.value, unauthenticated.value) {
        (_, Reaction::Reject) => (Trouble::Unauthenticated, unauthenticated.clone()),
        (Reaction::Reject, _) => (trouble, Sourced { value: Reaction::Quarantine, ..setting.clone() }),
        _ => (trouble, setting.clone()),
    }
}

/// One answer for all recipients: the strictest that any of them needs.
fn verdict(rulings: &[Ruling<'_>]) -> Verdict {
    if rulings.iter().any(|ruling| ruling.settled.undetermined.is_some()) {
        let text = "the message is not known well enough to decide, try again later".to_owned();
        return Verdict::Tempfail { code: "4.3.0".to_owned(), text };
    }
    let told = |ruling: &Ruling<'_>| ruling.settled.verdict.as_ref().map(|verdict| verdict.value.clone());
    let refused = rulings.iter().find_map(|ruling| match told(ruling) {
        Some(RuleVerdict::Reject { text }) => Some(text),
        _ => None,
    });
    if let Some(text) = refused {
        return Verdict::Reject { code: "5.7.1".to_owned(), text };
    }
    let discards = |ruling: &Ruling<'_>| matches!(told(ruling), Some(RuleVerdict::Discard));
    if !rulings.is_empty() && rulings.iter().all(discards) {
        return Verdict::Discard;
    }
    if let Some((code, text)) = worst_refusal(rulings, true) {
        return Verdict::Reject { code, text };
    }
    if let Some((code, text)) = worst_refusal(rulings, false) {
        return Verdict::Tempfail { code, text };
    }
    let reasons = distinct(rulings.iter().flat_map(reasons_to_hold));
    if reasons.is_empty() { Verdict::Accept } else { Verdict::Quarantine { reason: reasons.join("; ") } }
}

/// The first refusal of a class, and how many recipients more it concerns.
fn worst_refusal(rulings: &[Ruling<'_>], permanent: bool) -> Option<(String, String)> {
    let mut found =
        rulings.iter().filter_map(|ruling| ruling.refusals.iter().find(|r| r.permanent == permanent));
    let first = found.next()?;
    let text = match found.filter(|other| other.text != first.text).count() {
        0 => first.text.clone(),
        more => refusal::reply_line(&format!("{} and {more} more", first.text)),
    };
    Some((first.code.to_owned(), text))
}

/// Why a message is held. A discard that is not for every recipient is held too: throwing it away would take
/// mail from the others, delivering it would pass over the rule.
fn reasons_to_hold(ruling: &Ruling<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(verdict) = &ruling.settled.verdict {
        match &verdict.value {
            RuleVerdict::Quarantine { reason } if reason.is_empty() => reasons.push(verdict.from.clone()),
            RuleVerdict::Quarantine { reason } => reasons.push(format!("{}: {reason}", verdict.from)),
            RuleVerdict::Discard => {
                reasons.push(format!("{} discards it for some recipients only", verdict.from));
            }
            RuleVerdict::Reject { .. } => {}
        }
    }
    let held = ruling.reactions.iter().filter(|(_, reaction)| reaction.value == Reaction::Quarantine);
    reasons.extend(held.map(|(trouble, _)| trouble.tag().to_owned()));
    reasons
}

fn tag(rulings: &[Ruling<'_>]) -> Option<String> {
    let tagged = rulings.iter().flat_map(|ruling| &ruling.reactions);
    let tagged = tagged.filter(|(_, reaction)| reaction.value == Reaction::Tag);
    let tags = distinct(tagged.map(|(trouble, _)| trouble.tag().to_owned()));
    (!tags.is_empty()).then(|| tags.join("; "))
}

fn fired_anywhere(rulings: &[Ruling<'_>], id: &str) -> bool {
    rulings.iter().any(|ruling| ruling.settled.fired.iter().any(|rule| rule.id == id))
}

fn report(recipient: &RecipientFacts, ruling: &Ruling<'_>) -> RecipientPlan {
    let settled = &ruling.settled;
    RecipientPlan {
        address: recipient.address.clone(),
        direction: recipient.direction,
        encrypt: settled.encrypt.value,
        encrypt_from: settled.encrypt.from.clone(),
        sign: settled.sign.value,
        sign_from: settled.sign.from.clone(),
        key: ruling.form.encrypt.as_ref().map(|(key, _)| key.clone()).or_else(|| ruling.form.road.clone()),
        sign_with: ruling.form.sign.clone(),
        opened: ruling.form.opened,
        at_rest: ruling.form.at_rest.clone(),
        rules: settled.fired.iter().map(|rule| rule.id.clone()).collect(),
        reason: reason(ruling),
    }
}

/// Each text once, in the order of its first appearance.
fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

#[cfg(test)]
mod tests;
