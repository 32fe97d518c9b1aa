//! Steps 2 to 6 of the path: open, examine, gather facts, decide, seal. Nothing outside the message
//! is changed, so `filter` and `explain` run exactly this.

use std::sync::Arc;

use keydir::Usable;
use mail::{Edit, Failure, Message, Spill, apply};
use policy::{Direction, Facts, Group, KeyChoice, Plan, Treatment, Verdict};
use sealing::openpgp::{self, Opened, Recognised, Seal, SecretCert};

use crate::config::Config;
use crate::facts::{finding, gather, layer_facts};
use crate::hashing::digest;
use crate::keyring::{KeyRing, KeysAt, Lookup};
use crate::transaction::Transaction;
use crate::{results, subject};

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

/// The message as one group of recipients gets it.
#[derive(Debug)]
pub struct Form {
    /// Indexes of the recipients.
    pub recipients: Vec<usize>,
    /// What was done.
    pub treatment: Treatment,
    /// The result.
    pub message: Message,
    /// False when the body is the one that came in.
    pub body_changed: bool,
    /// Digest of the result, if the body was changed.
    pub digest: Option<[u8; 32]>,
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
    let recognised = transaction.body_seen.then(|| openpgp::recognise(&transaction.message));
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
    let opened = match open(config, keys, transaction, recognised.as_ref(), &facts, &spill) {
        Ok(opened) => opened,
        Err(failure) => return Err(Box::new(Stopped { failure, facts: Some(facts), plan: None })),
    };
    if let Some(opened) = &opened {
        facts.layers = layer_facts(&opened.layers);
    }
    let plan = config.policy.decide(&facts);
    let workshop =
        Workshop { config, keys, transaction, lookups, facts: &facts, plan: &plan, opened, spill, now };
    let made = workshop.forms(&signing).and_then(|forms| {
        let received = transaction.body_seen.then(|| digest(&transaction.message)).transpose();
        Ok((forms, received.map_err(storage)?))
    });
    match made {
        Ok((forms, received)) => Ok(Judgement { facts, plan, forms, received }),
        Err(failure) => Err(Box::new(Stopped { failure, facts: Some(facts), plan: Some(plan) })),
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
    if recognised.is_none_or(|recognised| recognised.forms.is_empty()) || !config.policy.opens(facts) {
        return Ok(None);
    }
    let ours = facts.recipients.iter().filter(|recipient| recipient.direction != Direction::Outbound);
    let recipients = ours.map(|recipient| recipient.address.clone()).collect();
    let at = KeysAt { ring: keys, now, recipients };
    let opened = openpgp::open(&transaction.message, &at, now, spill, &openpgp::Limits::default());
    keys.telemetry.sealing("decrypt", opened.is_ok());
    opened.map(Some).map_err(|error| Failure::temporary((7, 5), "cannot open the message now").because(error))
}

/// Makes the forms of one message.
struct Workshop<'w> {
    config: &'w Config,
    keys: &'w KeyRing,
    transaction: &'w Transaction,
    lookups: &'w [Lookup],
    facts: &'w Facts,
    plan: &'w Plan,
    opened: Option<Opened>,
    spill: Spill,
    now: i64,
}

impl Workshop<'_> {
    fn forms(&self, signing: &Lookup) -> Result<Vec<Form>, Failure> {
        if !matches!(self.plan.verdict, Verdict::Accept | Verdict::Quarantine { .. }) {
            return Ok(Vec::new());
        }
        self.plan.groups.iter().map(|group| self.form(group, signing)).collect()
    }

    fn form(&self, group: &Group, signing: &Lookup) -> Result<Form, Failure> {
        let opened = self.opened.as_ref().filter(|_| group.treatment.opened).and_then(|o| o.message.as_ref());
        let base = opened.unwrap_or(&self.transaction.message);
        let dressed = self.dress(base, group)?;
        let message = self.seal(&dressed, &group.treatment, signing)?;
        self.check_size(message.len())?;
        let body_changed =
            opened.is_some() || !group.treatment.encrypt_to.is_empty() || group.treatment.sign_with.is_some();
        Ok(Form {
            recipients: group.recipients.clone(),
            body_changed,
            digest: body_changed.then(|| digest(&message)).transpose().map_err(storage)?,
            treatment: group.treatment.clone(),
            message,
        })
    }

    /// Fields out and in: forged results, our results, triggers, the warning in the Subject.
    fn dress(&self, base: &Message, group: &Group) -> Result<Message, Failure> {
        let name = &self.config.gateway.name;
        let mut edits = if self.transaction.is_second_pass() {
            results::token_removal(base)
        } else {
            results::forged(base, name, self.transaction.originating)
        };
        let is_inbound = |index: &usize| {
            self.facts.recipients.get(*index).is_some_and(|r| r.direction == Direction::Inbound)
        };
        if group.recipients.iter().any(is_inbound) {
            edits.extend(results::add(&self.facts.layers, name, &self.facts.from));
        }
        if !group.treatment.encrypt_to.is_empty() {
            // Who else got it secretly is nobody's business (RFC 5322 section 3.6.3).
            for field in ["Bcc", "Resent-Bcc"] {
                edits.extend(base.header().find_all(field).map(|(index, _)| Edit::RemoveField { index }));
            }
        }
        if group.treatment.enforced_tls {
            edits.extend(self.without_waiver(base)?);
        }
        for field in &self.plan.remove_fields {
            let indexes = base.header().find_all(field).map(|(index, _)| Edit::RemoveField { index });
            edits.extend(indexes);
        }
        edits.extend(subject::edits(base, &self.plan.subject_triggers, self.plan.tag.as_deref()));
        if edits.is_empty() {
            return Ok(base.clone());
        }
        apply(base, &edits, &self.spill).map_err(storage)
    }

    /// `TLS-Required: No` would waive the authentication on which policy counts (RFC 8689 section 3). What the MTA has
    /// heeded already cannot be taken out any more.
    fn without_waiver(&self, base: &Message) -> Result<Vec<Edit>, Failure> {
        let received = self.transaction.message.header();
        let waives =
            received.find_all("TLS-Required").any(|(_, f)| f.text().trim().eq_ignore_ascii_case("no"));
        if waives && self.transaction.peer.mta_heeds_tls_required() {
            let text = "the message says TLS-Required: No, but its recipients are protected by TLS alone: remove the field";
            return Err(Failure::permanent((7, 1), text));
        }
        let waivers = base.header().find_all("TLS-Required");
        Ok(waivers.map(|(index, _)| Edit::RemoveField { index }).collect())
    }

    fn seal(&self, message: &Message, treatment: &Treatment, signing: &Lookup) -> Result<Message, Failure> {
        if treatment.encrypt_to.is_empty() && treatment.sign_with.is_none() {
            return Ok(message.clone());
        }
        let recipients = self.recipients(treatment)?;
        self.check_size(openpgp::sealed_size_estimate(
            message.len(),
            recipients.len(),
            treatment.sign_with.is_some(),
        ))?;
        let signer = treatment.sign_with.as_ref().map(|choice| self.signer(choice, signing)).transpose()?;
        let operation = match (recipients.is_empty(), signer.is_some()) {
            (true, _) => "sign",
            (false, false) => "encrypt",
            (false, true) => "sign+encrypt",
        };
        let spec = Seal {
            recipients: &recipients,
            signer: signer.as_deref(),
            aead: treatment.aead,
            now: self.now,
            hide_recipients: false,
        };
        let edits = openpgp::seal(message, &spec, &self.spill);
        self.keys.telemetry.sealing(operation, edits.is_ok());
        let edits =
            edits.map_err(|error| Failure::temporary((7, 5), "cannot protect the message").because(error))?;
        apply(message, &edits, &self.spill).map_err(storage)
    }

    /// Exactly the certificates that were found and checked when the recipient was looked up.
    fn recipients(&self, treatment: &Treatment) -> Result<Vec<Usable>, Failure> {
        let find = |choice: &KeyChoice| {
            self.lookups
                .iter()
                .flat_map(|lookup| &lookup.found)
                .find(|usable| usable.record().fingerprint == choice.fingerprint)
                .map(|usable| Usable::clone(usable))
                .ok_or_else(|| Failure::temporary((7, 5), "a key that was chosen is gone"))
        };
        treatment.encrypt_to.iter().map(find).collect()
    }

    fn signer(&self, choice: &KeyChoice, signing: &Lookup) -> Result<Arc<SecretCert>, Failure> {
        let known = signing.found.iter().any(|usable| usable.record().fingerprint == choice.fingerprint);
        if !known {
            return Err(Failure::temporary((7, 5), "a key that was chosen is gone"));
        }
        self.keys
            .custody
            .get(&choice.fingerprint)
            .map_err(|error| Failure::temporary((7, 5), "the signing key cannot be used now").because(error))
    }

    /// The MTA would accept our answer and then refuse the grown message for good; we say so first.
    fn check_size(&self, bytes: u64) -> Result<(), Failure> {
        match self.config.gateway.message_size_limit {
            Some(limit) if bytes > limit => {
                let text = format!(
                    "the message would be {bytes} bytes after protection, more than the limit of {limit}"
                );
                Err(Failure::permanent((3, 4), text))
            }
            _ => Ok(()),
        }
    }
}

fn storage(error: std::io::Error) -> Failure {
    Failure::temporary((3, 1), "cannot store the message").because(error)
}
