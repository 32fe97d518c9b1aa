//! Lists of certificates: lines for version 1, JSON for version 2.

use std::fmt::Write as _;

use jiff::Timestamp;
use keydir::Published;
use serde::Serialize;
use serde_json::{Value, json};

/// The list of version 1 (`options=mr`): `info`, then `pub` and its `uid`s.
pub fn machine_readable(found: &[Published], now: i64) -> String {
    let mut text = format!("info:1:{}\n", found.len());
    for Published { fingerprint, algorithm_number, bits, created, valid_until, revoked, user_ids, .. } in
        found
    {
        let until = valid_until.map(|until| until.to_string()).unwrap_or_default();
        let size = if *bits == 0 { String::new() } else { bits.to_string() };
        let expired = valid_until.is_some_and(|until| until <= now);
        let flags = format!("{}{}", if *revoked { "r" } else { "" }, if expired { "e" } else { "" });
        let _ = writeln!(text, "pub:{fingerprint}:{algorithm_number}:{size}:{created}:{until}:{flags}");
        for user_id in user_ids {
            let _ = writeln!(text, "uid:{}:::", escaped(user_id));
        }
    }
    text
}

/// The list of version 2: an array of certificates.
pub fn json(found: &[Published]) -> Value {
    found.iter().map(|published| json!(Certificate::of(published))).collect()
}

/// Only version, fingerprint and the text of User IDs are required; what we do not know is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate<'p> {
    version: u8,
    fingerprint: String,
    algorithm: Algorithm<'p>,
    is_revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(rename = "userIDs")]
    user_ids: Vec<UserId<'p>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Algorithm<'p> {
    code: u8,
    name: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bit_length: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserId<'p> {
    uid_string: &'p str,
}

impl<'p> Certificate<'p> {
    fn of(published: &'p Published) -> Self {
        Self {
            version: published.version,
            fingerprint: published.fingerprint.to_ascii_lowercase(),
            algorithm: Algorithm {
                code: published.algorithm_number,
                name: &published.algorithm,
                bit_length: (published.bits > 0).then_some(published.bits),
            },
            is_revoked: published.revoked,
            creation: date(published.created),
            expiration: published.valid_until.and_then(date),
            user_ids: published.user_ids.iter().map(|text| UserId { uid_string: text }).collect(),
        }
    }
}

/// RFC 3339, 5.6, in UTC.
fn date(seconds: i64) -> Option<String> {
    Some(Timestamp::from_second(seconds).ok()?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A User ID as one field: what ends a field or a line, the escape itself, and whatever is not ASCII
/// (draft-ietf-openpgp-hkp: not 7-bit safe) is escaped, octet by octet.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b' '..=b'~' if !matches!(octet, b'%' | b':') => out.push(char::from(octet)),
            _ => {
                let _ = write!(out, "%{octet:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Published {
        crate::fixtures::published("A: 100% \r\n pub:x <a@b.example>")
    }

    #[test]
    fn a_user_id_cannot_forge_a_line() {
        let text = machine_readable(&[published()], 1_750_000_000);
        assert_eq!(
            text,
            "info:1:1\npub:D1A66E1A23B182C9980F788CFBFCC82A015E7330:22:255:1700000000:1800000000:\n\
             uid:A%3A 100%25 %0D%0A pub%3Ax <a@b.example>:::\n"
        );
    }

    #[test]
    fn what_is_not_ascii_is_escaped_octet_by_octet() {
        let user_ids = vec!["Ärger \u{202e}x <ä@b.example>".to_owned()];
        let text = machine_readable(&[Published { user_ids, ..published() }], 0);
        assert_eq!(text.lines().nth(2), Some("uid:%C3%84rger %E2%80%AEx <%C3%A4@b.example>:::"));
    }

    #[test]
    fn revoked_and_expired_are_flags() {
        let line = |published: Published, now| {
            machine_readable(&[published], now).lines().nth(1).map(str::to_owned).unwrap()
        };
        assert!(line(published(), 1_800_000_000).ends_with(":1800000000:e"));
        assert!(line(Published { revoked: true, ..published() }, 0).ends_with(":r"));
        let endless = Published { revoked: true, valid_until: None, bits: 0, ..published() };
        assert!(line(endless, i64::MAX).ends_with(":22::1700000000::r"));
    }

    #[test]
    fn json_has_the_names_of_the_draft() {
        let value = json(&[published()]);
        assert_eq!(value[0]["version"], 4);
        assert_eq!(value[0]["fingerprint"], "d1a66e1a23b182c9980f788cfbfcc82a015e7330");
        assert_eq!(value[0]["algorithm"], json!({ "code": 22, "name": "ed25519", "bitLength": 255 }));
        assert_eq!(value[0]["creation"], "2023-11-14T22:13:20Z");
        assert_eq!(value[0]["expiration"], "2027-01-15T08:00:00Z");
        assert_eq!(value[0]["userIDs"][0]["uidString"], "A: 100% \r\n pub:x <a@b.example>");
    }
}
