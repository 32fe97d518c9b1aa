//! What stands outside a message that rests encrypted in a mailbox.

use mail::Edit;
use mail::Message;

use super::HeaderProtection;
use super::confidentiality::HIDDEN;
use super::fields::name_of;

/// What a mailbox needs to show and sort mail, to thread it and to say where it came from.
const KEPT: [&str; 21] = [
    "authentication-results",
    "auto-submitted",
    "cc",
    "date",
    "delivered-to",
    "from",
    "in-reply-to",
    "message-id",
    "mime-version",
    "precedence",
    "received",
    "received-spf",
    "references",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
    "x-envelope-to",
    "x-original-to",
    "x-priority",
];

/// The same, by the start of their names.
const KEPT_FAMILIES: [&str; 4] = ["list-", "resent-", "x-gatepost-", "x-spam-"];

/// The edits that leave only this; the fields of the content are for who writes the new content. Everything
/// is inside.
pub(super) fn outside(message: &Message, how: HeaderProtection) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (index, field) in message.header().fields().enumerate() {
        let name = name_of(&field);
        if name == "subject" && how != HeaderProtection::Clear {
            edits.push(Edit::ReplaceField { index, value: HIDDEN.to_vec() });
        } else if !is_kept(&name) {
            edits.push(Edit::RemoveField { index });
        }
    }
    edits
}

fn is_kept(name: &str) -> bool {
    // A line that is no field has no name, and no MTA would let us take it away.
    name.is_empty()
        || name.starts_with("content-")
        || KEPT.contains(&name)
        || KEPT_FAMILIES.iter().any(|family| name.starts_with(family))
}
