//! `gatepost notary`: the story of a message, and the check of the whole log.

use ::notary::{Reader, Story};
use program::{Exit, output};
use serde_json::{Value, json};

use crate::config::Config;
use crate::rooms;
use crate::token::hex;

/// Shows the records of a message.
///
/// # Errors
/// Exit 66 if there is none.
pub fn show(config: &Config, id: &str, as_json: bool) -> Result<(), Exit> {
    let reader = rooms::open_notary_reader(&config.gateway)?;
    let stories = find(&reader, id)?;
    if stories.is_empty() {
        return Err(Exit::not_found(format!("no record of `{id}`")));
    }
    if as_json {
        return output::json(&stories.iter().map(as_value).collect::<Vec<_>>());
    }
    for story in &stories {
        output::line(&text(story))?;
    }
    Ok(())
}

/// Recomputes the log.
///
/// # Errors
/// Exit 65 if anything was changed.
pub fn verify(config: &Config, as_json: bool) -> Result<(), Exit> {
    let reader = rooms::open_notary_reader(&config.gateway)?;
    let result = reader.verify().map_err(|error| Exit::unavailable("cannot read the notary's log", error))?;
    let faults: Vec<Value> =
        result.faults.iter().map(|fault| json!({ "seq": fault.seq, "what": fault.what })).collect();
    if as_json {
        output::json(&json!({ "size": result.size, "root": hex(&result.root), "faults": faults }))?;
    } else {
        output::line(&format!("{} records, root {}", result.size, hex(&result.root)))?;
        for fault in &result.faults {
            output::line(&format!("record {}: {}", fault.seq, fault.what))?;
        }
    }
    if result.is_clean() {
        Ok(())
    } else {
        Err(Exit { code: 65, message: format!("{} faults: the log was changed or damaged", faults.len()) })
    }
}

fn find(reader: &Reader, id: &str) -> Result<Vec<Story>, Exit> {
    let bare = id.trim().trim_start_matches('<').trim_end_matches('>');
    for kind in ["queue-id", "message-id", "txid", "copy"] {
        let found = reader
            .find(kind, bare)
            .map_err(|error| Exit::unavailable("cannot read the notary's log", error))?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn as_value(story: &Story) -> Value {
    json!({
        "seq": story.seq,
        "txid": story.txid,
        "event": story.event,
        "time": time(story),
        "leaf_hash": hex(&story.leaf_hash),
        "leaf": story.leaf,
        "private": story.private,
        "erased": story.erased,
    })
}

fn time(story: &Story) -> String {
    jiff::Timestamp::from_microsecond(story.time).map(|time| time.to_string()).unwrap_or_default()
}

/// `dane, TLSv1.3, TLS13_AES_256_GCM_SHA384, X25519MLKEM768, certificate ab12…, TLSA 3 1 1`.
fn session_in_words(session: &Value) -> String {
    let at = |path: &str| session.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut words: Vec<String> = Vec::new();
    words.extend(
        ["/road", "/channel/tls", "/channel/cipher", "/channel/key_exchange"]
            .iter()
            .filter_map(|path| at(path).map(str::to_owned)),
    );
    for (name, path) in
        [("certificate", "/channel/certificate"), ("TLSA", "/channel/tlsa"), ("failure:", "/failure")]
    {
        words.extend(at(path).map(|value| format!("{name} {value}")));
    }
    words.join(", ")
}

/// One record in words.
fn text(story: &Story) -> String {
    let mut text = format!("{}  {}  (record {}, {})", time(story), story.event, story.seq, story.txid);
    let mut add = |name: &str, value: String| {
        if !value.is_empty() && value != "null" {
            text.push_str(&format!("\n  {name:<12} {value}"));
        }
    };
    let public = story.leaf.get("public").unwrap_or(&story.leaf);
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for name in ["direction", "verdict", "smtp", "code", "size", "policy"] {
        add(name, public.get(name).map(word).unwrap_or_default());
    }
    for session in public.get("sessions").and_then(Value::as_array).into_iter().flatten() {
        add("session", session_in_words(session));
    }
    let Some(private) = &story.private else {
        add("private", if story.erased { "erased".to_owned() } else { "no key".to_owned() });
        return text;
    };
    let at = |path: &str| private.pointer(path).map(word).unwrap_or_default();
    add("queue id", at("/queue_id"));
    add("message-id", at("/message_id"));
    add("from", at("/envelope/mail_from"));
    let plans = private.pointer("/plan/recipients").and_then(Value::as_array);
    match plans {
        Some(plans) => {
            for plan in plans {
                let part = |name: &str| plan.get(name).map(word).unwrap_or_default();
                add("to", format!("{}: {}", part("address"), part("reason")));
            }
        }
        None => match private.pointer("/recipients").and_then(Value::as_array) {
            // Relayed: each recipient has an answer, and perhaps a road.
            Some(relayed) => {
                for recipient in relayed {
                    let part = |name: &str| recipient.get(name).map(word).unwrap_or_default();
                    add("to", format!("{}: {}", part("address"), part("reply")));
                    add("road", part("via"));
                }
            }
            None => add("to", at("/envelope/recipients")),
        },
    }
    add("rules", at("/plan/rules"));
    add("reply", at("/reply"));
    add("cause", at("/cause"));
    text
}
