//! Steps 2 to 6 of the path: open, examine, gather facts, decide, seal. Nothing outside the message
//! is changed, so `filter` and `explain` run exactly this.

use mail::{Failure, Spill};
use policy::{Direction, Facts, HeaderProtection, Plan, Protection, SubmissionFacts};
use sealing::{Form, FormKind, Recognised};

use crate::announced::{Announcement, announcements};
use crate::config::Config;
use crate::facts::{HEADER_MISMATCH, finding, gather, header_facts, layer_facts, protection};
use crate::harvest::{Gleaning, glean};
use crate::hashing::digest;
use crate::keyring::{Audience, KeyRing, KeysAt, Lookup, Noted};
use crate::transaction::{Transaction, domain_of};
use crate::workshop::{self, Unsealed, Workshop, storage};
use crate::{results, submission};

/// What was decided about a message, and the forms that came of it.
#[derive(Debug)]
pub struct Judgement {
    /// What the decision was taken from.
    pub facts: Facts,
    /// The decision.
    pub plan: Plan,
    /// One form for each group of the plan; empty when the message goes nowhere.
    pub forms: Vec<workshop::Form>,
    /// Digest of the message as received, if its body was. Made here, where it may take its time.
    pub received: Option<[u8; 32]>,
    /// What the author's side announced in the message, to be learnt once it is recorded.
    pub announced: Vec<Announcement>,
    /// Certificates that came with the message, to be looked at once it is recorded.
    pub gleaned: Vec<Gleaning>,
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
    let opening = Opening { config, keys, transaction, recognised: recognised.as_ref(), spill: &spill };
    let (here, submission) = match opening.both(&facts) {
        Ok(both) => both,
        Err(failure) => return Err(Box::new(Stopped { failure, facts: Some(facts), plan: None })),
    };
    opening.tell(here.as_ref(), submission.as_ref(), &mut facts);
    let plan = config.policy.decide(&facts);
    let announced = here.as_ref().filter(|_| !facts.originating);
    let announced = announced.map_or_else(Vec::new, |here| announcements(&here.opened.layers));
    let gleaned = glean(config, transaction, &plan.verdict, here.as_ref());
    let workshop = Workshop {
        config,
        keys,
        transaction,
        lookups: &lookups,
        signing: &signing,
        facts: &facts,
        plan: &plan,
        here,
        submission,
        spill,
        now,
    };
    let made = workshop.forms().and_then(|forms| {
        let received = transaction.body_seen.then(|| digest(&transaction.message)).transpose();
        Ok((forms, received.map_err(storage)?))
    });
    match made {
        Ok((forms, received)) => Ok(Judgement { facts, plan, forms, received, announced, gleaned }),
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

/// Step 2: for whom the message is opened, and with whose keys.
struct Opening<'o> {
    config: &'o Config,
    keys: &'o KeyRing,
    transaction: &'o Transaction,
    recognised: Option<&'o Recognised>,
    spill: &'o Spill,
}

/// A submission, and whom it names.
type Submission = (Unsealed, Noted);

impl Opening<'_> {
    /// The message as opened for recipients here, with their keys and their domains'; and as opened for recipients
    /// outside, with the keys of its author's domain, if it is encrypted to one of them.
    fn both(&self, facts: &Facts) -> Result<(Option<Unsealed>, Option<Submission>), Failure> {
        let policy = &self.config.policy;
        // A list's footer or a part of its own may stand around what is protected, so it is not the protection
        // of the whole message that counts here.
        if self.recognised.is_none_or(|recognised| recognised.forms.is_empty()) {
            return Ok((None, None));
        }
        // What comes a second time was looked at before, and who sent it then is not known any more.
        let submitted =
            policy.opens_submission(facts) && self.may_be_encrypted() && !self.transaction.is_second_pass();
        let outside = facts.from.first().filter(|_| submitted).map(|author| {
            let there = facts.recipients.iter().filter(|to| to.direction == Direction::Outbound);
            let there = there.map(|to| to.address.clone()).collect();
            self.open(facts, vec![Audience::Domain(domain_of(author))], there)
        });
        let outside = outside.transpose()?;
        let here = policy.opens(facts) || outside.is_none() && policy.verifies(facts);
        let here = here.then(|| {
            let ours = facts.recipients.iter().filter(|to| to.direction != Direction::Outbound);
            let ours = ours.map(|to| Audience::Recipient(to.address.clone())).collect();
            self.open(facts, ours, Vec::new())
        });
        let here = here.transpose()?.map(|(opened, _)| opened);
        Ok(match outside {
            Some((opened, noted)) if noted.us || opened.is_decrypted() => (here, Some((opened, noted))),
            // It is not encrypted to us: it was verified only.
            Some((verified, _)) => (here.or(Some(verified).filter(|_| policy.verifies(facts))), None),
            None => (here, None),
        })
    }

    /// Whether the whole of it is encrypted, as far as that can be seen.
    fn may_be_encrypted(&self) -> bool {
        let opaque = |form: &Form| form.path.is_empty() && form.kind == FormKind::SmimeOpaque;
        self.recognised.is_some_and(|recognised| match recognised.protection {
            sealing::Protection::Encrypted | sealing::Protection::SignedAndEncrypted => true,
            sealing::Protection::Signed => recognised.forms.iter().any(opaque),
            sealing::Protection::None => false,
        })
    }

    fn open(
        &self,
        facts: &Facts,
        recipients: Vec<Audience>,
        correspondents: Vec<String>,
    ) -> Result<Submission, Failure> {
        let now = facts.now;
        let at = KeysAt::new(self.keys, now, recipients, correspondents, self.config.smime.revocation);
        let both = sealing::Keys { openpgp: &at, smime: &at };
        let (message, limits) = (&self.transaction.message, sealing::Limits::default());
        let opened = sealing::open(message, both, now, self.spill, &limits);
        let outermost = self.recognised.and_then(|recognised| recognised.forms.first());
        let scheme = match outermost.map(|form| form.kind.scheme()) {
            Some(keydir::Scheme::Smime) => "smime",
            _ => "openpgp",
        };
        self.keys.telemetry.sealing(scheme, "decrypt", opened.is_ok());
        // A domain's signature goes to another place than where the opened message ends (RFC 3183 section 5).
        let unsealed = opened.and_then(|opened| {
            let wanted = self.config.policy.verifies(facts);
            let to_sign = wanted.then(|| sealing::to_sign(message, &opened, both, now, self.spill, &limits));
            Ok(Unsealed { opened, to_sign: to_sign.transpose()? })
        });
        let failed = |error| Failure::temporary((7, 5), "cannot open the message now").because(error);
        Ok((unsealed.map_err(failed)?, at.noted()))
    }

    /// Puts into the facts what opening found.
    fn tell(&self, here: Option<&Unsealed>, submission: Option<&Submission>, facts: &mut Facts) {
        if let Some(Unsealed { opened, .. }) = here {
            facts.layers = layer_facts(&opened.layers);
            facts.unwrapped = opened.message.is_some();
        }
        if let Some((unsealed, noted)) = submission {
            facts.submission = Some(self.submission(unsealed, noted));
            // Rules ask for what the author wrote.
            if let Some(message) = &unsealed.opened.message {
                facts.header = Some(header_facts(message, self.config.policy.wanted_fields()));
            }
        }
        let mut names: Vec<&str> = Vec::new();
        let all = here.into_iter().chain(submission.map(|(unsealed, _)| unsealed));
        for name in all.flat_map(|unsealed| &unsealed.opened.mismatches) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            let detail = format!("not as the sender protected it: {}", names.join(", "));
            facts.findings.push(finding(HEADER_MISMATCH, &detail));
        }
    }

    fn submission(&self, unsealed: &Unsealed, noted: &Noted) -> SubmissionFacts {
        let opened = &unsealed.opened;
        let content = opened.message.as_ref().filter(|_| unsealed.is_decrypted());
        let protection = content.map(|message| protection(&sealing::recognise(message)));
        let signed = protection == Some(Protection::Signed);
        let hidden =
            content.map(|message| submission::hidden(&self.transaction.message, message)).unwrap_or_default();
        let outside = opened.mismatches.iter().any(|name| name.eq_ignore_ascii_case("From"));
        SubmissionFacts {
            layers: layer_facts(&opened.layers),
            content: protection,
            readers: noted.readers.iter().flatten().cloned().collect(),
            // Nothing can be added to what is signed, only around it.
            hidden: if signed && hidden != HeaderProtection::Off { HeaderProtection::Strict } else { hidden },
            other_author: outside || submission::is_foreign(&opened.layers, signed),
        }
    }
}
