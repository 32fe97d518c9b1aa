//! Decides one recipient at RCPT, before the message is known.
//!
//! A recipient is refused only when every message that can still come would be refused for it. Rules that ask
//! for the message may or may not come to hold, so each setting has a set of values that it can still
//! take; the sets are taken as independent, which makes the answer milder than need be, never
//! stricter.

use crate::choose;
use crate::facts::Direction;
use crate::facts::Facts;
use crate::facts::KeyKind;
use crate::facts::RecipientFacts;
use crate::plan::RcptDecision;
use crate::policy::Policy;
use crate::refusal;
use crate::refusal::Refusal;
use crate::rule::Holds;
use crate::rule::Rule;
use crate::rule::RuleVerdict;
use crate::settings::Encrypt;
use crate::settle::inheritance_is_certain;
use crate::settle::inherited;

/// Decides; see [`Policy::decide_recipient`].
pub(crate) fn decide_recipient(policy: &Policy, facts: &Facts, recipient: usize) -> RcptDecision {
    let Some(recipient) = facts.recipients.get(recipient) else {
        let text = "no such recipient".to_owned();
        return RcptDecision::Tempfail { code: "4.3.0".to_owned(), text };
    };
    let verdicts = possible(policy.rules(), facts, recipient, |rule| rule.sets.verdict.clone());
    if let [Some(RuleVerdict::Reject { text })] = verdicts.as_slice() {
        return RcptDecision::Refuse { code: "5.7.1".to_owned(), text: text.clone() };
    }
    // A message that is thrown away needs no key.
    if verdicts.contains(&Some(RuleVerdict::Discard)) {
        return RcptDecision::Accept;
    }
    match refusal_of_every_message(policy, facts, recipient) {
        None => RcptDecision::Accept,
        Some(Refusal { permanent: true, code, text }) => RcptDecision::Refuse { code: code.to_owned(), text },
        Some(Refusal { permanent: false, code, text }) => {
            RcptDecision::Tempfail { code: code.to_owned(), text }
        }
    }
}

/// Whether any message that can still come asks for a key of this kind; see [`Policy::wants`].
pub(crate) fn wants(policy: &Policy, kind: KeyKind, facts: &Facts, recipient: usize) -> bool {
    let Some(recipient) = facts.recipients.get(recipient) else { return false };
    let direction = recipient.direction;
    let encrypts = possible(policy.rules(), facts, recipient, |rule| rule.encrypt(direction));
    let orders = possible(policy.rules(), facts, recipient, |rule| rule.sets.keys.clone());
    if !inheritance_is_certain(policy, facts, recipient) {
        return true;
    }
    let settings = inherited(policy, facts, recipient);
    // Another author in From can still make mail that leaves stricter, not mail that stays.
    let encrypts = direction == Direction::Outbound
        || encrypts.iter().any(|encrypt| encrypt.is_some_and(|encrypt| encrypt != Encrypt::Never));
    encrypts && orders.iter().any(|order| order.as_ref().unwrap_or(&settings.keys.value).contains(&kind))
}

/// The refusal that every message gets, the mildest of them; `None` when one may pass.
fn refusal_of_every_message(policy: &Policy, facts: &Facts, recipient: &RecipientFacts) -> Option<Refusal> {
    let direction = recipient.direction;
    let encrypts = possible(policy.rules(), facts, recipient, |rule| rule.encrypt(direction));
    let orders = possible(policy.rules(), facts, recipient, |rule| rule.sets.keys.clone());
    let inherits = encrypts.contains(&None) || orders.contains(&None);
    if inherits && !inheritance_is_certain(policy, facts, recipient) {
        return None;
    }
    let settings = inherited(policy, facts, recipient);
    let protection = choose::protection(facts, false);
    let mut mildest: Option<Refusal> = None;
    for encrypt in encrypts {
        let encrypt: Encrypt = encrypt.unwrap_or(settings.encrypt.value);
        for order in &orders {
            let order: &[KeyKind] = order.as_deref().unwrap_or(&settings.keys.value);
            let outcome = choose::encryption(encrypt, order, recipient, protection, false);
            let refusal = refusal::of_encryption(encrypt, &outcome, &recipient.address)?;
            if mildest.as_ref().is_none_or(|known| known.permanent && !refusal.permanent) {
                mildest = Some(refusal);
            }
        }
    }
    mildest
}

/// Every value that rules can come to give a setting; `None`: no rule sets it.
fn possible<T: PartialEq>(
    rules: &[Rule],
    facts: &Facts,
    recipient: &RecipientFacts,
    pick: impl Fn(&Rule) -> Option<T>,
) -> Vec<Option<T>> {
    let mut values: Vec<Option<T>> = Vec::new();
    let mut may_have_stopped = false;
    for rule in rules {
        let holds = rule.holds(facts, recipient);
        if holds == Holds::No {
            continue;
        }
        let value = pick(rule);
        let decides = value.is_some() || rule.stop;
        if value.is_some() && !values.contains(&value) {
            values.push(value);
        }
        if holds == Holds::Yes && decides {
            let left_open = pick(rule).is_none() || may_have_stopped;
            if left_open {
                values.push(None);
            }
            return values;
        }
        may_have_stopped |= rule.stop && pick(rule).is_none();
    }
    values.push(None);
    values
}

#[cfg(test)]
mod tests;
