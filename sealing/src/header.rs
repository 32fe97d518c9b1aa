//! Header protection (RFC 9788): the header section is signed or encrypted with the body.
//!
//! The fields are copied into the header of the protected MIME entity, whose Content-Type says so with the
//! parameter `hp`. In an encrypted message some of them are hidden outside; what stands outside is told
//! inside (HP-Outer), and what was hidden is also said at the top of the text, for those whose software does
//! not know all this ([`legacy_display`]).

use std::io;

use mail::Edit;
use mail::Field;
use mail::Message;
use mail::Spill;

use crate::canonical::Payload;
use crate::parts;
use crate::splice;

mod confidentiality;
mod fields;
pub(crate) mod legacy_display;
mod mailbox;
mod restore;

use fields::is_protected;
pub(crate) use restore::Protected;

/// How the header section of a message is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderProtection {
    /// Not at all.
    #[default]
    Off,
    /// Signed or encrypted with the content, and readable outside.
    Clear,
    /// If the message is encrypted, outside the Subject is `[...]` and there are no Comments and Keywords:
    /// `hcp_baseline`, RFC 9788 section 3.2.1.
    Baseline,
    /// Outside there are also no display names and no time zone: `hcp_shy`, RFC 9788 section 3.2.2, in Sender and
    /// Reply-To as well.
    Shy,
    /// Outside there is nothing but the address in From, Date, Message-ID and `[...]` as the Subject. Also mail that
    /// its author signed is protected like this, in the header around what is signed.
    Strict,
}

/// What is to be protected of a message, and the edits that leave outside what may stand there. `signed`: its
/// author signed it, and nothing can be added to that.
pub(crate) fn payload(
    message: &Message,
    signed: bool,
    whole: bool,
    how: HeaderProtection,
    encrypted: bool,
    spill: &Spill,
) -> io::Result<(Payload, Vec<Edit>)> {
    if whole {
        return Ok((Payload::whole(message), mailbox::outside(message, how)));
    }
    match how {
        HeaderProtection::Off => Ok((Payload::entity(message), Vec::new())),
        HeaderProtection::Strict if signed && encrypted => Ok(encrypted_payload(message, message, how)),
        _ if signed => Ok((Payload::entity(message), Vec::new())),
        how if encrypted => Ok(encrypted_payload(message, &legacy_display::add(message, how, spill)?, how)),
        _ => Ok((signed_payload(message), Vec::new())),
    }
}

/// RFC 9788 section 5.2.1 for a message that is encrypted. `shown` is the message with what legacy software shows.
fn encrypted_payload(message: &Message, shown: &Message, how: HeaderProtection) -> (Payload, Vec<Edit>) {
    let (mut inner, mut told, mut edits) = (Vec::new(), Vec::new(), Vec::new());
    for (index, field) in message.header().fields().enumerate().filter(|(_, field)| is_protected(field)) {
        let value = tidy(field.raw_value());
        let outside = how.outside(&field, &value);
        inner.push((field.name().to_vec(), value.clone()));
        match outside {
            None => edits.push(Edit::RemoveField { index }),
            Some(outside) => {
                told.push((b"HP-Outer".to_vec(), outer_value(&field, &outside)));
                if outside != value {
                    edits.push(Edit::ReplaceField { index, value: outside });
                }
            }
        }
    }
    inner.append(&mut told);
    inner.extend(content_fields(shown, "cipher"));
    let entity = Message::from_milter(inner, shown.body().clone());
    (Payload::with_header(entity), edits)
}

/// RFC 9788 section 5.2.1 for a message that is only signed: nothing is hidden.
fn signed_payload(message: &Message) -> Payload {
    let protected = message.header().fields().filter(is_protected);
    let copied = protected.map(|field| (field.name().to_vec(), tidy(field.raw_value())));
    let fields = copied.chain(content_fields(message, "clear"));
    Payload::with_header(Message::from_milter(fields.collect::<Vec<_>>(), message.body().clone()))
}

/// The fields that describe the content, the type marked (RFC 9788 section 2.1).
fn content_fields(message: &Message, hp: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = splice::content_fields(message.header());
    let is_type = |name: &str| name.eq_ignore_ascii_case("Content-Type");
    match fields.iter_mut().find(|(name, _)| is_type(name)) {
        Some((_, value)) => *value = parts::with_parameter(value, "hp", hp),
        None => {
            let value = parts::with_parameter(b" text/plain; charset=us-ascii", "hp", hp);
            fields.push(("Content-Type".to_owned(), value));
        }
    }
    fields.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

/// RFC 9788 section 2.2.
fn outer_value(field: &Field<'_>, outside: &[u8]) -> Vec<u8> {
    [b" ", field.name(), b":", outside].concat()
}

/// A raw value with nothing at its line ends that a relay might change, and no line of blanks only, which would
/// end the header then.
fn tidy(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (number, line) in value.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        if number > 0 && !line.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(line);
    }
    splice::harmless(&out)
}

#[cfg(test)]
mod tests;
