//! What of a header field stands outside an encrypted message (RFC 9788 section 3).

use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use mail::Field;

use super::HeaderProtection;
use super::fields::name_of;

/// What stands for a Subject that is hidden.
pub(super) const HIDDEN: &[u8] = b" [...]";

impl HeaderProtection {
    /// The raw value that stands outside for a field with this raw value; `None`: the field is left out there.
    pub(super) fn outside(self, field: &Field<'_>, value: &[u8]) -> Option<Vec<u8>> {
        let same = || Some(value.to_vec());
        if matches!(self, HeaderProtection::Off | HeaderProtection::Clear) {
            return same();
        }
        match name_of(field).as_str() {
            "subject" => Some(HIDDEN.to_vec()),
            "comments" | "keywords" => None,
            _ if self == HeaderProtection::Baseline => same(),
            "from" => addresses(field).or_else(same),
            "date" => utc(field).or_else(same),
            "message-id" => same(),
            _ if self == HeaderProtection::Strict => None,
            // The names in Sender and Reply-To tell as much; HP-Outer tells the reader what was left out.
            "sender" | "reply-to" | "to" | "cc" => addresses(field).or_else(same),
            _ => same(),
        }
    }
}

/// The addresses without names. A field that could be read in two ways stays as it is, and so do groups.
fn addresses(field: &Field<'_>) -> Option<Vec<u8>> {
    let value = field.unfolded();
    let list = mail::parse_list(&value);
    if list.malformed || list.mailboxes.is_empty() || value.contains(&b';') {
        return None;
    }
    let addresses: Vec<String> = list.mailboxes.iter().map(|mailbox| mailbox.address.to_string()).collect();
    Some(format!(" {}", addresses.join(",\r\n ")).into_bytes())
}

/// The date in UTC.
fn utc(field: &Field<'_>) -> Option<Vec<u8>> {
    let value = String::from_utf8(field.unfolded()).ok()?;
    let date = rfc2822::parse(&value).ok()?.with_time_zone(TimeZone::UTC);
    Some(format!(" {}", rfc2822::to_string(&date).ok()?).into_bytes())
}
