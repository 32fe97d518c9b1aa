//! Says in plain words what is done for one recipient and why.

use crate::choose::Encryption;
use crate::choose::Signature;
use crate::choose::kind_in_words;
use crate::choose::lack_in_words;
use crate::decide::Ruling;
use crate::facts::KeyKind;
use crate::plan::KeyChoice;
use crate::settings::Encrypt;
use crate::settings::Reaction;

/// The sentences for [`crate::RecipientPlan::reason`].
pub(crate) fn reason(ruling: &Ruling<'_>) -> String {
    let mut sentences = Vec::new();
    if let Some(rule) = ruling.settled.undetermined {
        sentences.push(format!("Must wait: whether rule {} holds cannot be told yet.", rule.id));
    }
    if let Some(verdict) = &ruling.settled.verdict {
        sentences.push(format!("Verdict {}: {} says so.", verdict.value.name(), verdict.from));
    }
    sentences.push(encryption(ruling));
    sentences.push(signature(ruling));
    if let Some((last, others)) = ruling.form.additional.split_last() {
        let keys =
            others.iter().map(|(key, _)| key.fingerprint.as_str()).chain([last.0.fingerprint.as_str()]);
        let keys: Vec<&str> = keys.collect();
        let from = &ruling.settled.additional_keys.from;
        sentences.push(format!("Also encrypted to the additional key {}, by {from}.", keys.join(", ")));
    }
    sentences.extend(at_rest(ruling));
    if let Some(name) = &ruling.form.disclaimer {
        sentences.push(format!("Gets the disclaimer {name}."));
    }
    if ruling.form.submission {
        let from = &ruling.settled.open_submissions.from;
        sentences.push(format!(
            "It is encrypted to our own domain, so it is opened on its way out: {from} says open_submissions. \
             What was opened leaves encrypted or not at all."
        ));
    } else if ruling.reads {
        sentences.push("It is encrypted to a key of the recipient, too, so it is left as it is.".to_owned());
    } else if ruling.form.opened {
        sentences.push(format!("Gets the decrypted content: {} says open.", ruling.settled.open.from));
    }
    for (trouble, reaction) in &ruling.reactions {
        let done = match reaction.value {
            Reaction::Deliver => "delivered nevertheless",
            Reaction::Tag => "tagged",
            Reaction::Quarantine => "held",
            Reaction::Reject => "refused",
        };
        sentences.push(format!("{}, {done}: {} says so.", trouble.sentence(), reaction.from));
    }
    sentences.join(" ")
}

fn encryption(ruling: &Ruling<'_>) -> String {
    let setting = &ruling.settled.encrypt;
    let from = &setting.from;
    match &ruling.encryption {
        Encryption::Never => format!("Not encrypted: never, by {from}."),
        Encryption::Already => "Not encrypted again: it arrived encrypted.".to_owned(),
        Encryption::To(key, _) if key.kind == KeyKind::PasswordMessage => {
            format!("Encrypted with a password ({}), by {from}.", key.fingerprint)
        }
        Encryption::To(key, _) => {
            let word = if setting.value == Encrypt::Required { "required" } else { "opportunistic" };
            format!("Encrypted to the {}: {word}, by {from}.", certificate(key))
        }
        Encryption::OnTheRoad(road) => {
            let word = if setting.value == Encrypt::Required { "required" } else { "opportunistic" };
            let by = &road.fingerprint;
            format!("Not encrypted: the road is authenticated by {by}, which is enough: {word}, by {from}.")
        }
        Encryption::NoKey(why) if setting.value == Encrypt::Required => {
            let lack = lack_in_words(why);
            format!("Refused: encryption is required by {from}, and there is {lack} ({}).", list(why))
        }
        Encryption::NoKey(why) => {
            let lack = lack_in_words(why);
            format!("Not encrypted: opportunistic, by {from}, and there is {lack} ({}).", list(why))
        }
        Encryption::GivenUp(why) => format!(
            "Not encrypted: opportunistic, by {from}, and for longer than such mail waits it could not be told \
             whether there is a key ({}).",
            list(why)
        ),
        Encryption::CouldNotTell(why) => {
            format!("Must wait: whether there is a key could not be told ({}).", list(why))
        }
    }
}

fn at_rest(ruling: &Ruling<'_>) -> Option<String> {
    let setting = &ruling.settled.at_rest;
    let from = &setting.from;
    match &ruling.at_rest {
        Encryption::To(key, _) => Some(format!("Encrypted at rest to the {}, by {from}.", certificate(key))),
        Encryption::NoKey(why) if setting.value == Encrypt::Required => Some(format!(
            "Refused: encryption at rest is required by {from}, and there is no key ({}).",
            list(why)
        )),
        Encryption::NoKey(_) => {
            Some(format!("Not encrypted at rest: {from} asks for it, and there is no key."))
        }
        Encryption::CouldNotTell(why) => Some(format!(
            "Must wait: whether there is a key for the mailbox could not be told ({}).",
            list(why)
        )),
        Encryption::Never | Encryption::Already | Encryption::OnTheRoad(_) | Encryption::GivenUp(_) => None,
    }
}

fn signature(ruling: &Ruling<'_>) -> String {
    let from = &ruling.settled.sign.from;
    match &ruling.signature {
        Signature::Never => format!("Not signed: never, by {from}."),
        Signature::NotOurs => "Not signed: the client did not prove that it may send for us.".to_owned(),
        Signature::NotOurAuthor => "Not signed: its author is not one of ours.".to_owned(),
        Signature::Already => "Not signed: it arrived protected.".to_owned(),
        Signature::With(key) => {
            format!("Signed with the key of the {}: always, by {from}.", certificate(key))
        }
        Signature::NoKey(why) => {
            format!("Must wait: signing is required by {from}, and there is no signing key ({}).", list(why))
        }
        Signature::CouldNotTell(why) => {
            format!("Must wait: whether there is a signing key could not be told ({}).", list(why))
        }
    }
}

fn certificate(key: &KeyChoice) -> String {
    format!("{} certificate {}", kind_in_words(key.kind), key.fingerprint)
}

fn list(why: &[String]) -> String {
    if why.is_empty() { "no kind of key is allowed".to_owned() } else { why.join("; ") }
}
