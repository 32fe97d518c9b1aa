//! What holds for one recipient once inheritance and rules are applied.

use crate::facts::Direction;
use crate::facts::Facts;
use crate::facts::KeyKind;
use crate::facts::RecipientFacts;
use crate::pattern::domain_of;
use crate::policy::Policy;
use crate::rule::Holds;
use crate::rule::Rule;
use crate::rule::RuleVerdict;
use crate::settings::Encrypt;
use crate::settings::Inherited;
use crate::settings::Reaction;
use crate::settings::Sign;
use crate::settings::Sourced;
use crate::style::Style;

/// The settings for one recipient, each with who set it.
pub(crate) struct Settled<'p> {
    pub(crate) encrypt: Sourced<Encrypt>,
    pub(crate) sign: Sourced<Sign>,
    pub(crate) keys: Sourced<Vec<KeyKind>>,
    pub(crate) unverifiable: Sourced<Reaction>,
    pub(crate) undecryptable: Sourced<Reaction>,
    pub(crate) unauthenticated: Sourced<Reaction>,
    pub(crate) own_signatures: Sourced<Reaction>,
    pub(crate) open: Sourced<bool>,
    pub(crate) open_submissions: Sourced<bool>,
    pub(crate) at_rest: Sourced<Encrypt>,
    pub(crate) additional_keys: Sourced<Vec<String>>,
    pub(crate) disclaimer: Option<String>,
    pub(crate) style: Style,
    pub(crate) verdict: Option<Sourced<RuleVerdict>>,
    /// The rules that hold, in order.
    pub(crate) fired: Vec<&'p Rule>,
    /// A rule that cannot be told to hold or not, because facts are missing.
    pub(crate) undetermined: Option<&'p Rule>,
}

/// Applies inheritance and rules.
pub(crate) fn settle<'p>(policy: &'p Policy, facts: &Facts, recipient: &RecipientFacts) -> Settled<'p> {
    let mut fired = Vec::new();
    let mut undetermined = None;
    for rule in policy.rules() {
        match rule.holds(facts, recipient) {
            Holds::No => continue,
            Holds::Unknown => undetermined = undetermined.or(Some(rule)),
            Holds::Yes => {
                fired.push(rule);
                if rule.stop {
                    break;
                }
            }
        }
    }
    let inherited = inherited(policy, facts, recipient);
    let direction = recipient.direction;
    let verdict = first(&fired, |rule| rule.sets.verdict.clone());
    let mut style = inherited.style;
    // The first rule wins, so it is laid on last.
    fired.iter().rev().for_each(|rule| rule.sets.style.overlay(&mut style));
    Settled {
        encrypt: first(&fired, |rule| rule.encrypt(direction)).unwrap_or(inherited.encrypt),
        sign: first(&fired, |rule| rule.sign(direction)).unwrap_or(inherited.sign),
        keys: first(&fired, |rule| rule.sets.keys.clone()).unwrap_or(inherited.keys),
        unverifiable: first(&fired, |rule| rule.sets.unverifiable).unwrap_or(inherited.unverifiable),
        undecryptable: first(&fired, |rule| rule.sets.undecryptable).unwrap_or(inherited.undecryptable),
        unauthenticated: first(&fired, |rule| rule.sets.unauthenticated).unwrap_or(inherited.unauthenticated),
        own_signatures: first(&fired, |rule| rule.sets.own_signatures).unwrap_or(inherited.own_signatures),
        open: inherited.open,
        open_submissions: inherited.open_submissions,
        at_rest: inherited.at_rest,
        additional_keys: inherited.additional_keys,
        disclaimer: match first(&fired, |rule| rule.sets.disclaimer.clone()) {
            Some(name) => Some(name.value).filter(|name| !name.is_empty()),
            None => inherited.disclaimer,
        },
        style,
        verdict,
        fired,
        undetermined,
    }
}

/// The first rule that sets a field wins for that field.
fn first<T: Clone>(fired: &[&Rule], pick: impl Fn(&Rule) -> Option<T>) -> Option<Sourced<T>> {
    fired.iter().find_map(|rule| pick(rule).map(|value| Sourced::new(value, format!("rule {}", rule.id))))
}

/// What holds before rules. Mail that does not leave is neither encrypted nor signed by inheritance.
pub(crate) fn inherited(policy: &Policy, facts: &Facts, recipient: &RecipientFacts) -> Inherited {
    let direction = recipient.direction;
    let originators = originators(policy, facts, direction);
    let mut settings = policy.scopes().inherit(direction, &originators, &recipient.address);
    if direction != Direction::Outbound {
        let from = format!("the direction ({} mail needs a rule that names it)", direction.name());
        settings.encrypt = Sourced::new(Encrypt::Never, from.clone());
        settings.sign = Sourced::new(Sign::Never, from);
    }
    settings
}

/// The names that the originator goes by: the reverse-path, then the addresses in From.
///
/// For outbound mail those in our own domains count, when there are any: a bounce address at a
/// mailing service must not take mail out of the policy of the domain that it is from.
fn originators<'f>(policy: &Policy, facts: &'f Facts, direction: Direction) -> Vec<&'f str> {
    let from = facts.header.iter().flat_map(|_| facts.from.iter());
    let all = || std::iter::once(&facts.reverse_path).chain(from.clone()).map(String::as_str);
    let named: Vec<&str> = all().filter(|name| !name.is_empty()).collect();
    if direction != Direction::Outbound {
        return named;
    }
    let own: Vec<&str> = named.iter().copied().filter(|name| policy.is_own(&domain_of(name))).collect();
    if own.is_empty() { named.into_iter().take(1).collect() } else { own }
}

/// Whether what is inherited can no longer become milder when the message arrives.
pub(crate) fn inheritance_is_certain(policy: &Policy, facts: &Facts, recipient: &RecipientFacts) -> bool {
    recipient.direction != Direction::Outbound
        || facts.header.is_some()
        || policy.is_own(&domain_of(&facts.reverse_path))
}
