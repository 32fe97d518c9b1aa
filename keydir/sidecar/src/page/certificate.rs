//! One certificate in words.

use std::fmt::Write as _;

use jiff::Timestamp;
use keydir::{Published, Scheme};

use crate::percent;

use super::html::Escaped;
use super::qr;
use super::words::Words;

/// Most names that are shown.
const NAMES: usize = 20;

/// Writes the section of one certificate.
pub(super) fn section(words: &Words, address: &str, published: &Published, now: i64) -> String {
    let (kind, digest, door) = match published.scheme {
        Scheme::Openpgp => (words.openpgp, words.fingerprint, "key.asc"),
        Scheme::Smime => (words.smime, words.sha256, "key.cer"),
    };
    let (class, state) = state(words, published, now);
    let mut text = format!("<article>\n<h3>{kind}</h3>\n<dl>\n");
    let long = if published.fingerprint.len() > 40 { " long" } else { "" };
    let fingerprint = groups(&published.fingerprint);
    row(&mut text, digest, &format!("<code class=\"fingerprint{long}\">{fingerprint}</code>"));
    row(&mut text, words.state, &format!("<strong class=\"{class}\">{state}</strong>"));
    row(&mut text, words.algorithm, &format!("{}", Escaped(&published.algorithm)));
    match published.scheme {
        Scheme::Openpgp => row(&mut text, words.created, &date(published.created)),
        Scheme::Smime => row(&mut text, words.valid_from, &date(published.created)),
    }
    let until = published.valid_until.map_or_else(|| words.for_ever.to_owned(), date);
    row(&mut text, words.valid_until, &until);
    let names: String = published
        .user_ids
        .iter()
        .take(NAMES)
        .map(|name| format!("<bdi>{}</bdi><br>", Escaped(name)))
        .collect();
    row(&mut text, words.names, &names);
    text.push_str("</dl>\n");
    let to = format!("{door}?address={}&amp;fingerprint={}", percent::encode(address), published.fingerprint);
    let _ = writeln!(text, "<p><a class=\"button\" href=\"/{to}\" download>{}</a></p>", words.download);
    if published.scheme == Scheme::Openpgp && is_good(published, now) {
        let name = published.user_ids.first().and_then(|id| name_of(id));
        let read = qr::text(&published.fingerprint, address, name);
        if let Some(picture) = qr::svg(&read, words.qr) {
            let _ = writeln!(text, "<figure>{picture}<figcaption>{}</figcaption></figure>", words.scan);
        }
    }
    text.push_str("</article>\n");
    text
}

/// The digits in groups of four.
fn groups(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.chars().filter(char::is_ascii_hexdigit).collect();
    let groups: Vec<String> = digits.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

fn state(words: &Words, published: &Published, now: i64) -> (&'static str, &'static str) {
    let early = published.valid_from.unwrap_or(published.created) > now;
    if published.revoked {
        ("bad", words.revoked)
    } else if published.valid_until.is_some_and(|until| until <= now) {
        ("bad", words.expired)
    } else if early {
        ("bad", words.early)
    } else if published.usable {
        ("good", words.usable)
    } else {
        ("fair", words.idle)
    }
}

fn is_good(published: &Published, now: i64) -> bool {
    published.usable && !published.revoked && published.valid_until.is_none_or(|until| until > now)
}

/// The name in `Name <address>`.
fn name_of(user_id: &str) -> Option<&str> {
    let (name, _) = user_id.split_once('<')?;
    let name = name.split('(').next().unwrap_or_default().trim();
    (!name.is_empty()).then_some(name)
}

/// A day; years that no calendar has are seconds.
pub(super) fn date(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => {
            let day = time.strftime("%Y-%m-%d");
            format!("<time datetime=\"{time}\">{day}</time>")
        }
        Err(_) => seconds.to_string(),
    }
}

pub(super) fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "<div><dt>{name}</dt><dd>{value}</dd></div>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_stand_in_groups_of_four() {
        assert_eq!(groups("0123456789AB"), "0123 4567 89AB");
        assert_eq!(groups("<b>"), "B".to_lowercase());
    }

    #[test]
    fn names_are_found_without_comment_and_address() {
        assert_eq!(name_of("Alice Lovelace (work) <alice@a.example>"), Some("Alice Lovelace"));
        assert_eq!(name_of("<alice@a.example>"), None);
        assert_eq!(name_of("alice@a.example"), None);
    }
}
