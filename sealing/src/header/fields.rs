//! Which header fields there are, from the view of header protection.

use mail::Field;

/// Fields that relays, gateways and mailboxes add or take away on the road, or that speak to them only: the
/// author did not write them, and nobody may learn inside who got a blind copy.
const OF_THE_ROAD: [&str; 14] = [
    "authentication-results",
    "bcc",
    "delivered-to",
    "dkim-signature",
    "domainkey-signature",
    "envelope-to",
    "hp-outer",
    "received",
    "received-spf",
    "resent-bcc",
    "return-path",
    "tls-required",
    "x-envelope-to",
    "x-original-to",
];

/// The same, by the start of their names.
const FAMILIES_OF_THE_ROAD: [&str; 4] = ["arc-", "x-gatepost-", "x-google-dkim-", "x-spam-"];

/// Fields that software shows to people (RFC 9788 section 1.1.2).
const SHOWN: [&str; 14] = [
    "cc",
    "date",
    "followup-to",
    "from",
    "mail-followup-to",
    "reply-to",
    "resent-cc",
    "resent-date",
    "resent-from",
    "resent-sender",
    "resent-to",
    "sender",
    "subject",
    "to",
];

/// Fields that software acts on, besides those it shows: threads are made of them.
const ACTED_ON: [&str; 5] = ["comments", "in-reply-to", "keywords", "message-id", "references"];

/// Fields without which a message is none.
const NECESSARY: [&str; 3] = ["date", "from", "message-id"];

/// Whether a field with this name (in lower case) has to be the same outside as inside. Who sends a message on
/// adds Resent-* fields of his own.
pub(crate) fn is_compared(name: &str) -> bool {
    (SHOWN.contains(&name) || ACTED_ON.contains(&name)) && !name.starts_with("resent-")
}

/// Whether a field with this name (in lower case) is taken away if it stands outside only.
pub(crate) fn is_removable(name: &str) -> bool {
    is_compared(name) && !NECESSARY.contains(&name)
}

/// Whether a field is protected: it is none of the road and describes no content.
pub(crate) fn is_protected(field: &Field<'_>) -> bool {
    let name = name_of(field);
    !name.is_empty()
        && !is_structural(&name)
        && !OF_THE_ROAD.contains(&name.as_str())
        && !FAMILIES_OF_THE_ROAD.iter().any(|family| name.starts_with(family))
}

/// Whether software shows the field to people.
pub(crate) fn is_shown(field: &Field<'_>) -> bool {
    SHOWN.contains(&name_of(field).as_str())
}

/// The name in lower case; every name is ASCII.
pub(crate) fn name_of(field: &Field<'_>) -> String {
    String::from_utf8_lossy(field.name()).to_ascii_lowercase()
}

fn is_structural(name: &str) -> bool {
    name == "mime-version" || name.starts_with("content-")
}
