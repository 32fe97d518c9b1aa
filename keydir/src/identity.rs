//! Which mailbox a User ID names.
//!
//! A User ID is free text chosen by whoever made the certificate. What it binds decides who can read
//! mail, so anything that two programs could read in two ways binds nothing.

use sequoia_openpgp::cert::ValidCert;
use sequoia_openpgp::cert::amalgamation::ValidUserIDAmalgamation;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::types::RevocationStatus;

use crate::assess;
use crate::subject::Subject;
use crate::x509::Authority;

/// Longest forward-path without angle brackets (RFC 5321, 4.5.3.1.3).
const MAX_ADDRESS: usize = 254;
/// Longest local part (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// The canonical address of a User ID, or `None` if it does not name exactly one mailbox.
///
/// Accepted are `local@domain` and `display name <local@domain>`. A User ID that holds control or
/// bidirectional characters, or a display name that holds an address other than the one in angle
/// brackets, names nobody.
pub(crate) fn user_id_address(user_id: &UserID) -> Option<String> {
    let text = std::str::from_utf8(user_id.value()).ok()?;
    if text.chars().any(deceptive) {
        return None;
    }
    let text = text.trim();
    let (display, address) = match text.split_once('<') {
        None => ("", text),
        Some((display, rest)) => (display, rest.strip_suffix('>')?),
    };
    let (local, domain) = split_address(address)?;
    let address = format!("{local}@{domain}");
    let other = display
        .split(|c: char| c.is_whitespace() || "\"'(),;:<>[]".contains(c))
        .filter(|word| word.contains('@'))
        .any(|word| {
            split_address(word)
                .is_none_or(|(local, domain)| !format!("{local}@{domain}").eq_ignore_ascii_case(&address))
        });
    (!other).then_some(address)
}

/// Whom the User IDs name that are validly bound and not revoked: their mailboxes, and the domains for
/// which these are the authorities of RFC 3183.
pub(crate) fn claims(cert: &ValidCert<'_>) -> Vec<Subject> {
    let time = cert.time();
    let policy = assess::lenient_policy(time);
    let revoked = |uid: &ValidUserIDAmalgamation<'_>| {
        matches!(uid.amalgamation().revocation_status(&policy, time), RevocationStatus::Revoked(_))
    };
    let addresses =
        cert.userids().filter(|uid| !revoked(uid)).filter_map(|uid| user_id_address(uid.userid()));
    addresses.flat_map(claimed).collect()
}

/// What a User ID with this address claims: the mailbox and, if it is an authority, its domain.
pub(crate) fn claimed(address: String) -> Vec<Subject> {
    let domain = authority_domain(&address).map(|domain| Subject::Domain(domain.to_owned()));
    [Some(Subject::Address(address)), domain].into_iter().flatten().collect()
}

/// The domain for which an address is the RFC 3183 authority, if it is one.
fn authority_domain(address: &str) -> Option<&str> {
    let (local, domain) = address.split_once('@')?;
    let authority = [Authority::Confidentiality, Authority::Signing]
        .iter()
        .any(|authority| local.eq_ignore_ascii_case(authority.name()));
    authority.then_some(domain)
}

/// Splits a plain address into local part and canonical domain; no quoting, no comments.
pub(crate) fn split_address(text: &str) -> Option<(&str, String)> {
    let (local, domain) = text.split_once('@')?;
    let plain =
        |c: char| !deceptive(c) && !c.is_whitespace() && !c.is_control() && !"\"(),:;<>@[]\\".contains(c);
    if local.is_empty() || local.len() > MAX_LOCAL || text.len() > MAX_ADDRESS || !local.chars().all(plain) {
        return None;
    }
    Some((local, canonical_domain(domain)?))
}

/// A domain name as A-labels in lower case without trailing dot, or `None` if it is none.
pub(crate) fn canonical_domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > MAX_ADDRESS {
        return None;
    }
    let ascii = if text.is_ascii() { text.to_ascii_lowercase() } else { idna::domain_to_ascii(text).ok()? };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    ascii.split('.').all(label).then_some(ascii)
}

/// Characters that make a text look like another: controls, invisible and bidirectional marks.
pub(crate) fn deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<String> {
        user_id_address(&UserID::from(text))
    }

    #[test]
    fn plain_user_ids_name_their_mailbox() {
        for (text, expected) in [
            ("bob@beta.example", "bob@beta.example"),
            ("Bob <bob@Beta.Example>", "bob@beta.example"),
            ("Bob B. (work) <Bob.B+tag@beta.example>", "Bob.B+tag@beta.example"),
            ("<bob@beta.example.>", "bob@beta.example"),
            ("bob@beta.example <bob@beta.example>", "bob@beta.example"),
            ("'Bob@Beta.example' <bob@beta.example>", "bob@beta.example"),
            ("o'brien@beta.example", "o'brien@beta.example"),
            ("jörg@münchen.example", "jörg@xn--mnchen-3ya.example"),
        ] {
            assert_eq!(address(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn user_ids_that_can_be_read_in_two_ways_name_nobody() {
        for text in [
            "",
            "Bob",
            "a@x.example <b@x.example>",
            "a@x.example, b@x.example",
            "<a@x.example> <b@x.example>",
            "<a@x.example>b@x.example",
            "<a@x.example",
            "a@b@x.example",
            "a@x.example\0",
            "a@x.example\r\nBcc: b@x.example",
            "\u{202e}a@x.example",
            "Bob <\u{200b}bob@x.example>",
            "Bob @ home <bob@x.example>",
            "\"a b\"@x.example",
            "a@",
            "@x.example",
            "a@[192.0.2.1]",
            "a@x..example",
            "a@-x.example",
            "a@x example",
            "Bob <a@x.example<b@x.example>>",
        ] {
            assert_eq!(address(text), None, "{text:?}");
        }
        assert_eq!(user_id_address(&UserID::from(&b"b\xffb@x.example"[..])), None);
        assert_eq!(address(&format!("{}@x.example", "a".repeat(65))), None);
        assert_eq!(address(&format!("a@{}example", "x.".repeat(200))), None);
    }

    #[test]
    fn only_the_names_of_rfc_3183_speak_for_a_domain() {
        assert_eq!(authority_domain("Domain-Signing-Authority@x.example"), Some("x.example"));
        assert_eq!(authority_domain("domain-confidentiality-authority@x.example"), Some("x.example"));
        assert_eq!(authority_domain("postmaster@x.example"), None);
    }
}
