//! The record of a decision: which facts are public, which are committed to, which are private.
//!
//! The notary knows no mail; this is where a disposition becomes an entry of its log.

use std::net::IpAddr;

use notary::{Detail, Entry};
use policy::{Facts, LayerFacts, Plan};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::disposition::{Disposition, Outcome, action_word};
use crate::facts::direction;
use crate::hashing::digest;
use crate::transaction::Transaction;
use crate::wks::Story;

/// Name of the event: the gateway has given its verdict. It is not "delivered", and not even
/// "accepted": the MTA may still fail after our answer.
pub const SCREENED: &str = "screened";
/// Name of the event: a copy of ours came back and passed.
pub const REINJECTED: &str = "reinjected";

/// The entry for one message and its outcome.
///
/// # Errors
/// The message could not be read.
pub fn screened(
    config: &Config,
    transaction: &Transaction,
    disposition: &Disposition,
) -> std::io::Result<Entry> {
    let message_id = transaction.message_id();
    let mut lookup = Vec::new();
    if let Some(id) = &transaction.queue_id {
        lookup.push(("queue-id".to_owned(), id.clone()));
    }
    if let Some(id) = &message_id {
        lookup.push(("message-id".to_owned(), id.clone()));
    }
    let returned = match &disposition.outcome {
        Outcome::Returned { copy, .. } => Some(copy.clone()),
        _ => None,
    };
    if let Some(copy) = &returned {
        lookup.push(("copy".to_owned(), copy.clone()));
    }
    Ok(Entry {
        txid: transaction.id.clone(),
        event: if returned.is_some() { REINJECTED } else { SCREENED }.to_owned(),
        public: public(config, transaction, disposition),
        committed: committed(transaction, disposition, message_id.as_deref())?,
        private: Detail::of(&Private::of(
            transaction,
            disposition,
            message_id.as_deref(),
            returned.as_deref(),
        ))?,
        lookup,
    })
}

/// Fields without personal data, in clear for ever.
fn public(config: &Config, transaction: &Transaction, disposition: &Disposition) -> Map<String, Value> {
    let (smtp, code) = match &disposition.outcome {
        Outcome::Refused(refusal) => (refusal.smtp, refusal.code.as_str()),
        _ => (250, "2.0.0"),
    };
    let direction = disposition.facts.as_ref().map(|facts| direction(facts).name());
    let layers: Vec<Value> = disposition.facts.iter().flat_map(|facts| &facts.layers).map(layer).collect();
    let forms: Vec<Value> = disposition
        .forms
        .iter()
        .map(|form| {
            json!({
                "action": action_word(&form.treatment),
                "recipients": form.recipients.len(),
                "aead": form.treatment.aead,
                "keys": form.treatment.encrypt_to.len(),
            })
        })
        .collect();
    let submission = disposition.facts.iter().flat_map(|facts| &facts.submission);
    let submission: Vec<Value> = submission.flat_map(|submission| &submission.layers).map(layer).collect();
    let public = json!({
        "direction": direction,
        "verdict": disposition.verdict(),
        "smtp": smtp,
        "code": code,
        "size": transaction.message.len(),
        "recipients": transaction.envelope.recipients.len(),
        "policy": config.policy.digest(),
        "build": concat!("gatepost ", env!("CARGO_PKG_VERSION")),
        "authenticated": transaction.authenticated.is_some(),
        "tls": transaction.peer.tls_version,
        "layers": layers,
        "submission": submission,
        "forms": forms,
    });
    let mut map = match public {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    if let Some(mail) = &disposition.key_mail {
        map.insert("key_submission".to_owned(), json!(mail.story.step));
    }
    map
}

fn layer(layer: &LayerFacts) -> Value {
    json!({ "scheme": layer.scheme, "kind": layer.kind, "state": layer.state })
}

/// Values the public leaf commits to, each under its own salt.
fn committed(
    transaction: &Transaction,
    disposition: &Disposition,
    message_id: Option<&str>,
) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut committed =
        vec![("mail-from".to_owned(), transaction.envelope.reverse_path.clone().into_bytes())];
    for recipient in &transaction.envelope.recipients {
        committed.push(("rcpt".to_owned(), recipient.address.clone().into_bytes()));
    }
    if let Some(id) = message_id {
        committed.push(("message-id".to_owned(), id.as_bytes().to_vec()));
    }
    if let Some(ip) = transaction.peer.ip {
        committed.push(("client".to_owned(), ip.to_string().into_bytes()));
    }
    if transaction.body_seen {
        let received = disposition.received.map_or_else(|| digest(&transaction.message), Ok)?;
        committed.push(("received".to_owned(), received.to_vec()));
        for digest in disposition.forms.iter().filter_map(|form| form.digest) {
            committed.push(("passed-on".to_owned(), digest.to_vec()));
        }
    }
    Ok(committed)
}

/// Everything that tells the story to who holds the key.
#[derive(Serialize)]
struct Private<'r> {
    queue_id: Option<&'r str>,
    message_id: Option<&'r str>,
    from: Vec<String>,
    client: Client<'r>,
    sasl: Option<&'r str>,
    envelope: Paths<'r>,
    facts: Option<&'r Facts>,
    plan: Option<&'r Plan>,
    reply: Option<String>,
    cause: Option<&'r str>,
    copies: &'r [String],
    returned_copy: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_submission: Option<&'r Story>,
}

#[derive(Serialize)]
struct Client<'r> {
    ip: Option<IpAddr>,
    host: &'r str,
    helo: Option<&'r str>,
    daemon: Option<&'r str>,
    tls: Option<&'r str>,
    cipher: Option<&'r str>,
}

#[derive(Serialize)]
struct Paths<'r> {
    mail_from: &'r str,
    recipients: Vec<&'r str>,
}

impl<'r> Private<'r> {
    fn of(
        transaction: &'r Transaction,
        disposition: &'r Disposition,
        message_id: Option<&'r str>,
        returned_copy: Option<&'r str>,
    ) -> Self {
        let peer = &transaction.peer;
        let originators = || transaction.message.from().iter().map(|m| m.address.to_string()).collect();
        Self {
            queue_id: transaction.queue_id.as_deref(),
            message_id,
            from: disposition.facts.as_ref().map_or_else(originators, |facts| facts.from.clone()),
            client: Client {
                ip: peer.ip,
                host: &peer.host,
                helo: peer.helo.as_deref(),
                daemon: peer.daemon.as_deref(),
                tls: peer.tls_version.as_deref(),
                cipher: peer.tls_cipher.as_deref(),
            },
            sasl: transaction.authenticated.as_deref(),
            envelope: Paths {
                mail_from: &transaction.envelope.reverse_path,
                recipients: transaction.envelope.recipients.iter().map(|r| r.address.as_str()).collect(),
            },
            facts: disposition.facts.as_ref(),
            plan: disposition.plan.as_ref(),
            reply: match &disposition.outcome {
                Outcome::Refused(refusal) => Some(refusal.to_string()),
                _ => None,
            },
            cause: disposition.cause.as_deref(),
            copies: &disposition.idempotency,
            returned_copy,
            key_submission: disposition.key_mail.as_ref().map(|mail| &mail.story),
        }
    }
}
