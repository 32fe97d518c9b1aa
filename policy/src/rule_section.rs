//! Reads a `[[rule]]`.

use crate::config_error::Position;
use crate::facts::Direction;
use crate::pattern::AddressPattern;
use crate::pattern::Glob;
use crate::rule::Changes;
use crate::rule::Rule;
use crate::rule::RuleVerdict;
use crate::rule::When;
use crate::section::Section;
use crate::settings::Available;
use crate::settings::Encrypt;
use crate::settings::Reaction;
use crate::settings::Sign;
use crate::settings::take_kinds;
use crate::style::StyleChanges;

/// What the client is told when a rule refuses and has no text of its own.
const DEFAULT_TEXT: &str = "the message is refused by the policy of this domain";

/// A reply line holds 512 octets with everything (RFC 5321 section 4.5.3.1.5); the rest is for code and queue id.
const LONGEST_TEXT: usize = 400;

const DIRECTIONS: [(&str, Direction); 3] =
    [("inbound", Direction::Inbound), ("outbound", Direction::Outbound), ("internal", Direction::Internal)];

#[derive(Clone, Copy)]
enum VerdictName {
    Reject,
    Quarantine,
    Discard,
}

const VERDICTS: [(&str, VerdictName); 3] = [
    ("reject", VerdictName::Reject),
    ("quarantine", VerdictName::Quarantine),
    ("discard", VerdictName::Discard),
];

/// Takes every `[[rule]]` of the top level, in the order of the file.
pub(crate) fn take_rules(root: &mut Section, kinds: Available) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut end: Option<String> = None;
    for mut section in root.take_section_list("rule") {
        let at = section.at();
        let rule = take_rule(&mut section, kinds);
        if let Some(twin) = rules.iter().find(|other| !rule.id.is_empty() && other.id == rule.id) {
            section.reject(at, "id", format!("there are two rules with the id `{}`", twin.id));
        }
        if let Some(end) = &end {
            let message =
                format!("rule `{}` is never reached: rule `{end}` has no condition and stops", rule.id);
            section.reject(at, "rule", message);
        }
        if rule.stop && rule.when == When::default() {
            end = end.or_else(|| Some(rule.id.clone()));
        }
        root.close(section);
        rules.push(rule);
    }
    rules
}

fn take_rule(section: &mut Section, kinds: Available) -> Rule {
    let at = section.at();
    let id = take_id(section);
    let when = take_when(section);
    let sets = take_changes(section, kinds);
    let remove_trigger = section.take_boolean("remove_trigger");
    let stop = section.take_boolean("stop").is_some_and(|stop| stop.value);
    if let Some(remove) = remove_trigger
        && remove.value
        && when.subject.is_none()
        && when.header.is_empty()
    {
        let message =
            "`remove_trigger` needs `subject` or `header` in the same rule: there is nothing to remove";
        section.reject(remove.at, "remove_trigger", message);
    }
    let rule = Rule { id, when, sets, remove_trigger: remove_trigger.is_some_and(|r| r.value), stop };
    check(section, at, &rule);
    rule
}

fn take_id(section: &mut Section) -> String {
    let at = section.at();
    let had_id = section.has("id");
    let Some(id) = section.take_string("id") else {
        if !had_id {
            section.reject(at, "id", "missing key `id` in [[rule]]: the log and the record name rules by it");
        }
        return String::new();
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if id.value.is_empty() || !id.value.chars().all(valid) {
        let message = format!("`id` cannot be `{}`; use letters, digits, `.`, `_` and `-`", id.value);
        section.reject(id.at, "id", message);
    }
    id.value
}

fn take_when(section: &mut Section) -> When {
    let sizes_at = section.position_of("size_over");
    let when = When {
        direction: section.take_choice("direction", &DIRECTIONS).map(|v| v.value),
        sender: take_patterns(section, "sender", AddressPattern::new),
        recipient: take_patterns(section, "recipient", AddressPattern::new),
        authenticated: section.take_boolean("authenticated").map(|v| v.value),
        subject: section.take_parsed("subject", subject_trigger).map(|v| v.value),
        header: take_header(section),
        size_over: section.take_size("size_over").map(|v| v.value),
        size_under: section.take_size("size_under").map(|v| v.value),
        finding: take_patterns(section, "finding", Glob::new),
    };
    if let (Some(at), Some(over), Some(under)) = (sizes_at, when.size_over, when.size_under)
        && over.saturating_add(1) >= under
    {
        let message = format!("no size is over {over} and under {under} bytes: the rule can never hold");
        section.reject(at, "size_over", message);
    }
    when
}

fn subject_trigger(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("an empty text is in every subject; leave the key out".to_owned());
    }
    Ok(text.to_owned())
}

/// Takes a list of patterns; an empty list would hold for nothing or everything, depending on the reader.
fn take_patterns<T>(
    section: &mut Section,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let at = section.position_of(key);
    let before = section.mistakes();
    let Some(patterns) = section.take_parsed_list(key, parse) else { return Vec::new() };
    if let (true, true, Some(at)) = (patterns.is_empty(), section.mistakes() == before, at) {
        section.reject(at, key, format!("`{key}` is an empty list; leave the key out to match everything"));
    }
    patterns.into_iter().map(|pattern| pattern.value).collect()
}

fn take_header(section: &mut Section) -> Vec<(String, Glob)> {
    let at = section.position_of("header");
    let before = section.mistakes();
    let Some(pairs) = section.take_string_table("header") else { return Vec::new() };
    if let (true, true, Some(at)) = (pairs.is_empty(), section.mistakes() == before, at) {
        section.reject(at, "header", "`header` names no field; leave the key out to match everything");
    }
    let mut fields = Vec::new();
    for (name, value) in pairs {
        // RFC 5322 section 2.2: printable US-ASCII without the colon.
        let valid = !name.value.is_empty() && name.value.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !valid {
            section.reject(name.at, "header", format!("`{}` is no name of a header field", name.value));
            continue;
        }
        match Glob::new(&value.value) {
            Ok(glob) => fields.push((name.value.to_ascii_lowercase(), glob)),
            Err(message) => section.reject(value.at, "header", format!("`{}`: {message}", name.value)),
        }
    }
    fields
}

fn take_changes(section: &mut Section, kinds: Available) -> Changes {
    Changes {
        encrypt: section.take_choice("encrypt", &Encrypt::CHOICES).map(|v| v.value),
        sign: section.take_choice("sign", &Sign::CHOICES).map(|v| v.value),
        keys: take_kinds(section, kinds),
        unverifiable: section.take_choice("unverifiable", &Reaction::CHOICES).map(|v| v.value),
        undecryptable: section.take_choice("undecryptable", &Reaction::CHOICES).map(|v| v.value),
        unauthenticated: section.take_choice("unauthenticated", &Reaction::CHOICES).map(|v| v.value),
        own_signatures: section.take_choice("own_signatures", &Reaction::CHOICES).map(|v| v.value),
        disclaimer: section.take_string("disclaimer").map(|v| v.value),
        style: StyleChanges::take(section),
        verdict: take_verdict(section),
    }
}

fn take_verdict(section: &mut Section) -> Option<RuleVerdict> {
    let had_verdict = section.has("verdict");
    let text_at = section.position_of("text");
    let name = section.take_choice("verdict", &VERDICTS);
    let text = section.take_parsed("text", reply_text).map(|text| text.value);
    if let (false, Some(at)) = (had_verdict, text_at) {
        section.reject(at, "text", "`text` needs `verdict` in the same rule");
    }
    let words = || text.clone().unwrap_or_else(|| DEFAULT_TEXT.to_owned());
    match name?.value {
        VerdictName::Reject => Some(RuleVerdict::Reject { text: words() }),
        VerdictName::Quarantine => Some(RuleVerdict::Quarantine { reason: text.unwrap_or_default() }),
        VerdictName::Discard => {
            if let Some(at) = text_at {
                section.reject(at, "text", "`text` is never seen when the verdict is `discard`");
            }
            Some(RuleVerdict::Discard)
        }
    }
}

fn reply_text(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > LONGEST_TEXT {
        return Err(format!("must have 1 to {LONGEST_TEXT} characters"));
    }
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("must be one line of printable ASCII: it is part of an SMTP reply".to_owned());
    }
    Ok(text.to_owned())
}

/// What is wrong with the rule as a whole.
fn check(section: &mut Section, at: Position, rule: &Rule) {
    let sets_nothing = rule.sets == Changes::default() && !rule.remove_trigger && !rule.stop;
    // A key whose value is wrong was meant to set something; that mistake is enough.
    if sets_nothing && section.mistakes() == 0 {
        section.reject(at, "rule", format!("rule `{}` sets nothing", rule.id));
    }
    let inbound = rule.when.direction == Some(Direction::Inbound);
    if inbound && rule.sets.sign == Some(Sign::Always) {
        let message =
            format!("rule `{}` would sign inbound mail: mail that is not ours is never signed", rule.id);
        section.reject(at, "sign", message);
    }
    let outbound = rule.when.direction == Some(Direction::Outbound);
    let of_opening = [
        ("unverifiable", rule.sets.unverifiable),
        ("undecryptable", rule.sets.undecryptable),
        ("unauthenticated", rule.sets.unauthenticated),
    ];
    for (key, set) in of_opening {
        if outbound && set.is_some() {
            let message = format!("rule `{}` sets `{key}` for outbound mail, which is never opened", rule.id);
            section.reject(at, key, message);
        }
    }
    if inbound && (rule.sets.own_signatures.is_some() || rule.sets.disclaimer.is_some()) {
        let message =
            format!("rule `{}`: `own_signatures` and `disclaimer` are for mail that leaves", rule.id);
        section.reject(at, "own_signatures", message);
    }
}
