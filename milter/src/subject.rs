//! Changes to the Subject: triggers cut out, warnings put in front.

use mail::{Edit, Message};

/// Edits that cut every trigger (compared without regard to case) out of the Subject and put
/// `[tag]` in front of it. A Subject that would not change is not touched.
pub fn edits(message: &Message, triggers: &[String], tag: Option<&str>) -> Vec<Edit> {
    let Some((index, field)) = message.header().find("Subject") else {
        return match tag {
            Some(tag) => vec![Edit::InsertField {
                index: message.header().count(),
                name: "Subject".to_owned(),
                value: encode(&format!("[{tag}]")),
            }],
            None => Vec::new(),
        };
    };
    let before = field.text();
    let mut text = before.clone();
    for trigger in triggers {
        text = cut(&text, trigger);
    }
    if let Some(tag) = tag {
        text = format!("[{tag}] {text}");
    }
    if text == before {
        return Vec::new();
    }
    vec![Edit::ReplaceField { index, value: encode(&text) }]
}

/// Cuts every occurrence out, with one of the spaces around it.
fn cut(text: &str, trigger: &str) -> String {
    if trigger.is_empty() {
        return text.to_owned();
    }
    let mut rest = text;
    let mut out = String::new();
    while let Some((start, end)) = position(rest, trigger) {
        out.push_str(rest.get(..start).unwrap_or_default());
        rest = rest.get(end..).unwrap_or_default();
        if out.is_empty() || out.ends_with(' ') {
            rest = rest.trim_start_matches(' ');
        }
    }
    out.push_str(rest);
    out.trim().to_owned()
}

/// Byte range of the first occurrence, ASCII case aside; other letters compare by lower case.
fn position(text: &str, trigger: &str) -> Option<(usize, usize)> {
    let wanted: Vec<char> = trigger.chars().flat_map(char::to_lowercase).collect();
    text.char_indices().find_map(|(start, _)| {
        let rest = text.get(start..)?;
        let mut matched = 0;
        for (at, c) in rest.char_indices() {
            for lower in c.to_lowercase() {
                if wanted.get(matched) != Some(&lower) {
                    return None;
                }
                matched += 1;
            }
            if matched == wanted.len() {
                return Some((start, start + at + c.len_utf8()));
            }
        }
        None
    })
}

/// A raw Subject value: plain when it is ASCII, else encoded words (RFC 2047) of at most 75
/// characters, folded.
fn encode(text: &str) -> Vec<u8> {
    let plain = text.is_ascii() && !text.bytes().any(|b| b.is_ascii_control()) && text.len() < 900;
    if plain && !text.contains("=?") {
        return format!(" {text}").into_bytes();
    }
    let mut words = Vec::new();
    let mut chunk = String::new();
    for c in text.chars() {
        // 45 bytes are 60 base64 characters; with `=?utf-8?B?` and `?=` that is 72.
        if chunk.len() + c.len_utf8() > 45 {
            words.push(std::mem::take(&mut chunk));
        }
        chunk.push(if c.is_control() { ' ' } else { c });
    }
    words.push(chunk);
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", openssl::base64::encode_block(word.as_bytes())))
        .collect();
    format!(" {}", words.join("\r\n ")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Spill, apply};

    fn subject(header: &str, triggers: &[&str], tag: Option<&str>) -> String {
        let message = Message::parse(format!("{header}\r\n\r\n").as_bytes());
        let triggers: Vec<String> = triggers.iter().map(|t| (*t).to_owned()).collect();
        let edits = edits(&message, &triggers, tag);
        apply(&message, &edits, &Spill::default()).unwrap().subject()
    }

    #[test]
    fn triggers_are_cut_wherever_they_stand() {
        for (before, after) in [
            ("[confidential] Figures", "Figures"),
            ("Re: [Confidential] Figures", "Re: Figures"),
            ("Figures [CONFIDENTIAL]", "Figures"),
            ("[confidential][confidential] x", "x"),
        ] {
            assert_eq!(subject(&format!("Subject: {before}"), &["[confidential]"], None), after);
        }
    }

    #[test]
    fn letters_outside_ascii_survive() {
        let made = subject("Subject: =?utf-8?B?W2NvbmZpZGVudGlhbF0gw4RyZ2Vy?=", &["[confidential]"], None);
        assert_eq!(made, "Ärger");
        assert_eq!(subject("Subject: a", &[], Some("unverified")), "[unverified] a");
    }

    #[test]
    fn an_unchanged_subject_keeps_its_bytes() {
        let message = Message::parse(b"Subject:  odd   spacing \r\n\r\n");
        assert!(edits(&message, &["[x]".to_owned()], None).is_empty());
    }
}
