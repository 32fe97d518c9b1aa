//! `gatepost filter` and `gatepost explain`: the daemon's own path without an MTA.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use mail::Message;
use net::Clock;
use policy::{Facts, KeyFacts, KeyKind, RcptDecision, RecipientFacts};
use program::{Exit, output};
use serde_json::{Value, json};

use crate::commands::cli::TransactionArgs;
use crate::commands::relay;
use crate::config::Config;
use crate::disposition::{Disposition, Outcome, action_word};
use crate::draft::is_originating;
use crate::facts::{direction, facts_at_rcpt, recipient_direction};
use crate::judge::judge;
use crate::keyring::{KeyRing, Lookup};
use crate::reply::Refusal;
use crate::rooms;
use crate::transaction::{Envelope, Peer, Recipient, Transaction, address_of_path, domain_of, new_id};
use crate::wks;

/// What the daemon would have done.
struct Trial {
    transaction: Transaction,
    disposition: Disposition,
    /// Recipients refused at RCPT, with the reply.
    refused: Vec<(String, Refusal)>,
}

/// Treats a message and writes the results to a directory.
///
/// # Errors
/// Input, output or configuration; a refused message is no error.
pub fn filter(config: &Config, args: &TransactionArgs, out: &Path) -> Result<(), Exit> {
    let trial = run(config, args)?;
    let written = fs::create_dir_all(out).and_then(|()| write(&trial, out));
    written.map_err(|error| Exit::output(format!("cannot write to {}", out.display()), error))
}

/// Says what would happen.
///
/// # Errors
/// As [`filter`].
pub fn explain(config: &Config, args: &TransactionArgs, as_json: bool) -> Result<(), Exit> {
    let trial = run(config, args)?;
    if as_json {
        return output::json(&report(&trial, &[]));
    }
    output::line(&in_words(&trial))
}

fn run(config: &Config, args: &TransactionArgs) -> Result<Trial, Exit> {
    let now = Clock::system().now();
    let keys = rooms::open_keys(config, rooms::telemetry()?)?;
    let message = Message::read(&mut io::stdin().lock(), &config.gateway.spill())
        .map_err(|error| Exit::input("cannot read the message", error))?;
    let mut transaction = transaction(config, args, message);
    let (lookups, refused) = recipients(config, &keys, &mut transaction, &args.to, now);
    let disposition = if transaction.envelope.recipients.is_empty() {
        Disposition::without_recipients(refused.first().map(|(_, refusal)| refusal.clone()))
    } else if wks::is_addressed(config, &transaction) {
        wks::receive(config, &keys, &transaction, now)
    } else {
        let judged = judge(config, &keys, &transaction, &lookups, false, now);
        Disposition::from_judged(&transaction, judged)
    };
    Ok(Trial { transaction, disposition, refused })
}

fn transaction(config: &Config, args: &TransactionArgs, message: Message) -> Transaction {
    let peer = Peer { ip: Some(args.client), daemon: args.daemon.clone(), ..Peer::default() };
    Transaction {
        id: new_id(),
        queue_id: None,
        originating: is_originating(&config.gateway, &peer, args.auth.is_some()),
        authenticated: args.auth.clone(),
        peer,
        envelope: Envelope { reverse_path: address_of_path(&args.from), ..Envelope::default() },
        message,
        body_seen: config.needs_body(),
    }
}

/// Looks up each recipient and asks whether RCPT would refuse it.
fn recipients(
    config: &Config,
    keys: &KeyRing,
    transaction: &mut Transaction,
    to: &[String],
    now: i64,
) -> (Vec<Lookup>, Vec<(String, Refusal)>) {
    let (mut lookups, mut refused) = (Vec::new(), Vec::new());
    for text in to {
        let address = address_of_path(text);
        if transaction.envelope.recipients.iter().any(|other| other.address == address) {
            continue;
        }
        let unknown = facts(config, transaction, &address, &Lookup::default(), now);
        let password = config.policy.password_for(&unknown, 0);
        let mut lookup = keys.encryption(&address, config.policy.wanted_kinds(), &password, now);
        let facts = facts(config, transaction, &address, &lookup, now);
        if config.policy.wants(KeyKind::EnforcedTls, &facts, 0) {
            let answer = relay::enforced_tls(config, &domain_of(&address));
            lookup.facts.push(KeyFacts { kind: KeyKind::EnforcedTls, answer });
        }
        match Refusal::of_recipient(at_rcpt(config, transaction, &address, &lookup, now)) {
            Some(refusal) => refused.push((address, refusal)),
            None => {
                let path = format!("<{address}>");
                transaction.envelope.recipients.push(Recipient { path, address, parameters: Vec::new() });
                lookups.push(lookup);
            }
        }
    }
    (lookups, refused)
}

fn at_rcpt(
    config: &Config,
    transaction: &Transaction,
    address: &str,
    lookup: &Lookup,
    now: i64,
) -> RcptDecision {
    config.policy.decide_recipient(&facts(config, transaction, address, lookup, now), 0)
}

/// What is known at RCPT.
fn facts(config: &Config, transaction: &Transaction, address: &str, lookup: &Lookup, now: i64) -> Facts {
    let recipient = RecipientFacts {
        address: address.to_owned(),
        direction: recipient_direction(&config.gateway, transaction.originating, address),
        disclosed: false,
        keys: lookup.facts.clone(),
        at_rest: Vec::new(),
    };
    facts_at_rcpt(
        transaction.originating,
        transaction.authenticated.clone(),
        transaction.peer.ip,
        &transaction.envelope,
        recipient,
        now,
    )
}

/// The name of the report in the directory of results.
const REPORT: &str = "disposition.json";

/// Writes everything aside first; the report comes last, so that with it the results are complete.
fn write(trial: &Trial, out: &Path) -> io::Result<()> {
    let aside = tempfile::Builder::new().prefix(".gatepost-").tempdir_in(out)?;
    let mut names = Vec::new();
    for (index, form) in trial.disposition.forms.iter().enumerate() {
        let name = format!("{index}.eml");
        let mut file = BufWriter::new(fs::File::create(aside.path().join(&name))?);
        form.message.write_to(&mut file)?;
        file.flush()?;
        names.push(name);
    }
    fs::write(aside.path().join(REPORT), serde_json::to_vec_pretty(&report(trial, &names))?)?;
    remove_former(out)?;
    names.push(REPORT.to_owned());
    names.iter().try_for_each(|name| fs::rename(aside.path().join(name), out.join(name)))
}

/// Removes the results of an earlier call, the report first.
fn remove_former(out: &Path) -> io::Result<()> {
    let mut former = vec![out.join(REPORT)];
    for index in 0.. {
        let copy = out.join(format!("{index}.eml"));
        if !copy.try_exists()? {
            break;
        }
        former.push(copy);
    }
    for file in former {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn report(trial: &Trial, files: &[String]) -> Value {
    let Trial { transaction, disposition, refused } = trial;
    let reply = match &disposition.outcome {
        Outcome::Refused(refusal) => Some(refusal.to_string()),
        _ => None,
    };
    let copies = disposition.forms.iter().enumerate().map(|(index, form)| {
        let recipients = form.recipients.iter().filter_map(|i| transaction.envelope.recipients.get(*i));
        json!({
            "file": files.get(index),
            "recipients": recipients.map(|r| &r.address).collect::<Vec<_>>(),
            "action": action_word(&form.treatment),
            "treatment": form.treatment,
        })
    });
    let refused =
        refused.iter().map(|(to, refusal)| json!({ "recipient": to, "reply": refusal.to_string() }));
    json!({
        "verdict": disposition.verdict(),
        "reply": reply,
        "cause": disposition.cause,
        "direction": disposition.facts.as_ref().map(|facts| direction(facts).name()),
        "copies": copies.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "findings": disposition.facts.as_ref().map(|facts| &facts.findings),
        "rules": disposition.plan.as_ref().map(|plan| &plan.rules),
        "facts": disposition.facts,
        "plan": disposition.plan,
        "key_submission": disposition.key_mail.as_ref().map(|mail| &mail.story),
    })
}

fn in_words(trial: &Trial) -> String {
    let Trial { transaction, disposition, refused } = trial;
    let mut lines = Vec::new();
    let who = match (&transaction.authenticated, transaction.originating) {
        (Some(user), _) => format!("authenticated as {user}"),
        (None, true) => "not authenticated, but sending as one of ours".to_owned(),
        (None, false) => "not authenticated".to_owned(),
    };
    lines.push(format!("The client is {who}."));
    for (to, refusal) in refused {
        lines.push(format!("{to}: refused at RCPT with: {refusal}"));
    }
    for plan in disposition.plan.iter().flat_map(|plan| &plan.recipients) {
        lines.push(format!("{} ({}): {}", plan.address, plan.direction.name(), plan.reason));
        lines.push(format!("    encrypt = {} (from {})", word(&plan.encrypt), plan.encrypt_from));
        lines.push(format!("    sign = {} (from {})", word(&plan.sign), plan.sign_from));
    }
    lines.extend(disposition.facts.iter().flat_map(layers));
    if let Some(plan) = &disposition.plan
        && !plan.rules.is_empty()
    {
        lines.push(format!("Rules that matched: {}.", plan.rules.join(", ")));
    }
    if let Some(mail) = &disposition.key_mail {
        lines.push(format!("It is for the submission address: {}.", mail.story));
    }
    lines.push(match &disposition.outcome {
        Outcome::Refused(refusal) => format!("The message is refused with: {refusal}"),
        Outcome::Discard => "The message is accepted and thrown away.".to_owned(),
        Outcome::Quarantine(reason) => format!("The message is put on hold: {reason}"),
        Outcome::Pass | Outcome::Returned { .. } => match disposition.forms.len() {
            0 | 1 => "The message goes on.".to_owned(),
            n => format!("The message goes on in {n} forms, one for each group of recipients."),
        },
    });
    if let Some(cause) = &disposition.cause {
        lines.push(format!("Cause: {cause}"));
    }
    lines.join("\n")
}

/// A setting as the configuration writes it.
fn word(setting: &impl serde::Serialize) -> String {
    serde_json::to_value(setting).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn layers(facts: &Facts) -> Vec<String> {
    let line = |layer: &policy::LayerFacts| {
        let why = layer.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let signer = layer.signer.as_ref().map(|signer| format!(" by {signer}")).unwrap_or_default();
        format!("Found an {:?} layer{signer}, state {:?}{why}.", layer.kind, layer.state)
    };
    let submitted = facts.submission.iter().flat_map(|submission| &submission.layers);
    let submitted = submitted.map(|layer| format!("{} For recipients outside.", line(layer)));
    facts.layers.iter().map(line).chain(submitted).collect()
}
