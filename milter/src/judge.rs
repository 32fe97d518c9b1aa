//! Steps 2 to 6 of the path: open, examine, gather facts, decide, seal. Nothing outside the message
//! is changed, so `filter` and `explain` run exactly this.

use std::sync::OnceLock;

use mail::{Failure, Spill};
use policy::{Direction, Facts, Plan};
use sealing::{Opened, Recognised};

use crate::config::Config;
use crate::facts::{HEADER_MISMATCH, finding, gather, layer_facts};
use crate::hashing::digest;
use crate::keyring::{KeyRing, KeysAt, Lookup};
use crate::results;
use crate::transaction::Transaction;
use crate::workshop::{Form, Workshop, storage};

/// What was decided about a message, and the forms that came of it.
#[derive(Debug)]
pub struct Judgement {
    /// What the decision was taken from.
    pub facts: Facts,
    /// The decision.
    pub plan: Plan,
    /// One form for each group of the plan; empty when the message goes nowhere.
    pub forms: Vec<Form>,
    /// Digest of the message as received, if its body was. Made here, where it may take its time.
    pub received: Option<[u8; 32]>,
}

/// A failure, with the facts and the plan as far as they were known.
#[derive(Debug)]
pub struct Stopped {
    /// Why.
    pub failure: Failure,
    /// Facts, if they could be gathered.
    pub facts: Option<Facts>,
    /// Plan, if it could be made.
    pub plan: Option<Plan>,
}

/// Judges a message. Blocking: reads keys and files, and computes.
///
/// # Errors
/// Whatever kept a step from being done completely; nothing may then leave.
pub fn judge(
    config: &Config,
    keys: &KeyRing,
    transaction: &Transaction,
    lookups: &[Lookup],
    forged_token: bool,
    now: i64,
) -> Result<Judgement, Box<Stopped>> {
    let spill = config.gateway.spill();
    let signing = signing_keys(config, keys, transaction, now);
    let recognised = transaction.body_seen.then(|| sealing::recognise(&transaction.message));
    let mut facts = gather(
        &config.gateway,
        &config.policy,
        transaction,
        lookups,
        signing.facts.clone(),
        recognised.as_ref(),
        now,
    );
    if forged_token {
        facts.findings.push(finding("forged-token", "carried a re-injection token that is not ours"));
    }
    if opened_before(transaction) {
        facts.findings.push(finding(policy::OPENED_BEFORE, "the gateway decrypted it when it arrived"));
    }
    let mut lookups = lookups.to_vec();
    add_keys_of_policy(config, keys, &mut facts, &mut lookups);
    let opened = match open(config, keys, transaction, recognised.as_ref(), &facts, &spill) {
        Ok(opened) => opened,
        Err(failure) => return Err(Box::new(Stopped { failure, facts: Some(facts), plan: None })),
    };
    if let Some(opened) = &opened {
        facts.layers = layer_facts(&opened.layers);
        facts.unwrapped = opened.message.is_some();
        if !opened.mismatches.is_empty() {
            let names = opened.mismatches.join(", ");
            facts
                .findings
                .push(finding(HEADER_MISMATCH, &format!("not as the sender protected it: {names}")));
        }
    }
    let plan = config.policy.decide(&facts);
    let workshop = Workshop {
        config,
        keys,
        transaction,
        lookups: &lookups,
        signing: &signing,
        facts: &facts,
        plan: &plan,
        opened,
        spill,
        now,
    };
    let made = workshop.forms().and_then(|forms| {
        let received = transaction.body_seen.then(|| digest(&transaction.message)).transpose();
        Ok((forms, received.map_err(storage)?))
    });
    match made {
        Ok((forms, received)) => Ok(Judgement { facts, plan, forms, received }),
        Err(failure) => Err(Box::new(Stopped { failure, facts: Some(facts), plan: Some(plan) })),
    }
}

/// Adds the keys that policy names besides those of the recipients: for mailboxes at rest, and for whoever reads
/// along.
fn add_keys_of_policy(config: &Config, keys: &KeyRing, facts: &mut Facts, lookups: &mut Vec<Lookup>) {
    for index in 0..facts.recipients.len() {
        if !config.policy.wants_at_rest(facts, index) {
            continue;
        }
        if let Some(recipient) = facts.recipients.get_mut(index) {
            let lookup = keys.at_rest(&recipient.address, facts.now);
            recipient.at_rest = lookup.facts.clone();
            lookups.push(lookup);
        }
    }
    for name in config.policy.additional_subjects() {
        let (answers, lookup) = keys.additional(name, facts.now);
        facts.additional_keys.push(answers);
        lookups.push(lookup);
    }
}

/// Whether the message is one that we decrypted and that goes on, or a bounce that returns one.
fn opened_before(transaction: &Transaction) -> bool {
    transaction.is_second_pass() && results::tell_of_decryption(&transaction.message)
        || transaction.envelope.reverse_path.is_empty() && results::return_decrypted(&transaction.message)
}

/// Which keys of ours sign for the author of the message.
fn signing_keys(config: &Config, keys: &KeyRing, transaction: &Transaction, now: i64) -> Lookup {
    let kinds = config.policy.wanted_kinds();
    match transaction.message.author() {
        // Only an author without doubt can be signed for; more would claim too much.
        Some(author) if transaction.originating && !kinds.is_empty() => {
            keys.signing(&author.address.to_string(), kinds, now)
        }
        _ => Lookup::none(kinds, "no author without doubt"),
    }
}

fn open(
    config: &Config,
    keys: &KeyRing,
    transaction: &Transaction,
    recognised: Option<&Recognised>,
    facts: &Facts,
    spill: &Spill,
) -> Result<Option<Opened>, Failure> {
    let now = facts.now;
    // A list's footer or a part of its own may stand around what is protected, so it is not the protection
    // of the whole message that counts here.
    if recognised.is_none_or(|recognised| recognised.forms.is_empty())
        || !config.policy.opens(facts) && !config.policy.verifies(facts)
    {
        return Ok(None);
    }
    let ours = facts.recipients.iter().filter(|recipient| recipient.direction != Direction::Outbound);
    let recipients = ours.map(|recipient| recipient.address.clone()).collect();
    let revocation = config.smime.revocation;
    let at = KeysAt { ring: keys, now, recipients, revocation, deadline: OnceLock::new() };
    let both = sealing::Keys { openpgp: &at, smime: &at };
    let opened = sealing::open(&transaction.message, both, now, spill, &sealing::Limits::default());
    let outermost = recognised.and_then(|recognised| recognised.forms.first());
    let scheme = match outermost.map(|form| form.kind.scheme()) {
        Some(keydir::Scheme::Smime) => "smime",
        _ => "openpgp",
    };
    keys.telemetry.sealing(scheme, "decrypt", opened.is_ok());
    opened.map(Some).map_err(|error| Failure::temporary((7, 5), "cannot open the message now").because(error))
}
