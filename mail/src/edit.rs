//! Changes to a message as values: applied to its bytes, or told to an MTA.

use std::collections::HashMap;
use std::io;

use crate::body::Body;
use crate::body::Spill;
use crate::message::Message;
use crate::message::Separator;

mod draft;

use draft::Draft;
use draft::Item;
use draft::end_line;
use draft::invalid;
use draft::name_of;
use draft::push_field;

/// One change. Every index counts the fields of the original message from 0.
///
/// Values are raw: they begin with the blank after the colon, and folds are CRLF and a blank. Of
/// several changes to one field, or to the body, the last one counts.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Adds a field before the field at `index`; at the number of fields it is the last one. Several
    /// fields added at one index stand in the order of the edits.
    InsertField {
        /// Index of the original field that will follow.
        index: usize,
        /// Field name.
        name: String,
        /// Raw value.
        value: Vec<u8>,
    },
    /// Gives a field another value. Its name stays as it is written.
    ReplaceField {
        /// Index of the original field.
        index: usize,
        /// Raw value.
        value: Vec<u8>,
    },
    /// Removes a field.
    RemoveField {
        /// Index of the original field.
        index: usize,
    },
    /// Puts another body in the place of the whole body.
    ReplaceBody(Body),
    /// Moves all Content-* fields and the body, as the other edits leave them, into the new body,
    /// between `prologue` and `epilogue`, and describes the new body by `content_type`. A MIME-Version
    /// is added if there is none. Several wraps go around each other, the first one innermost.
    Wrap {
        /// Raw value of the new Content-Type.
        content_type: Vec<u8>,
        /// Bytes before the moved fields; ends with a line end.
        prologue: Vec<u8>,
        /// Bytes after the moved body.
        epilogue: Vec<u8>,
    },
}

/// One request to an MTA. Values begin with their blank (`SMFIP_HDR_LEADSPC`); folds are LF.
#[derive(Clone, Debug)]
pub enum MilterAction {
    /// Adds a field (`SMFIR_INSHEADER`).
    InsertHeader {
        /// How many of the fields there are now will stand above it, as Postfix and Sendmail count:
        /// with the Received field that they put on top and did not show. So this is never 0.
        index: i32,
        /// Field name.
        name: String,
        /// Value.
        value: Vec<u8>,
    },
    /// Changes or deletes a field (`SMFIR_CHGHEADER`).
    ChangeHeader {
        /// Field name; the MTA ignores ASCII case.
        name: String,
        /// Counts the fields there are now of this name, from 1.
        index: i32,
        /// The new value, never empty; `None` deletes the field.
        value: Option<Vec<u8>>,
    },
    /// Puts another body in the place of the body (`SMFIR_REPLBODY`).
    ReplaceBody(Body),
}

/// Makes the message that the edits describe. What they do not touch keeps its bytes.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if an edit names a field that is not there, or a name or value that
/// cannot stand in a header; otherwise a temporary file cannot be read or written.
pub fn apply(message: &Message, edits: &[Edit], spill: &Spill) -> io::Result<Message> {
    let draft = Draft::new(message, edits, spill)?;
    let mut header = Vec::with_capacity(message.header().len() + 256);
    let mut changed = false;
    for item in &draft.items {
        match item {
            Item::Keep(field) => {
                if changed {
                    end_line(&mut header);
                }
                header.extend_from_slice(field.raw());
            }
            Item::Remove(_) => changed = true,
            Item::Replace(field, value) => push_field(&mut header, field.name(), value),
            Item::Insert(name, value) => push_field(&mut header, name.as_bytes(), value),
        }
        changed |= !matches!(item, Item::Keep(_));
    }
    let mut separator = message.separator();
    if draft.body.is_some() && separator == Separator::None {
        end_line(&mut header);
        separator = Separator::CrLf;
    }
    Ok(Message::from_parts(header, separator, draft.body.unwrap_or_else(|| message.body().clone())))
}

/// The requests that make an MTA do what [`apply`] does, to be sent in this order.
///
/// Fields are changed first, then inserted from top to bottom, then deleted from bottom to top: so an
/// MTA that keeps counting deleted fields (Sendmail) and one that does not (Postfix) agree. Nothing is
/// inserted above the MTA's own Received field, or Postfix would from then on count that field, and not
/// the new one, among those it has shown.
///
/// # Errors
/// As [`apply`]. A field that no MTA would have given us, having no proper name, cannot be touched.
pub fn milter_actions(message: &Message, edits: &[Edit], spill: &Spill) -> io::Result<Vec<MilterAction>> {
    let draft = Draft::new(message, edits, spill)?;
    let mut actions = Vec::new();
    let mut original = Occurrences::default();
    for item in &draft.items {
        let Some(field) = item.original() else { continue };
        let index = original.next(field.name())?;
        if let Item::Replace(field, value) = item {
            let value = Some(fold_with_lf(value));
            actions.push(MilterAction::ChangeHeader { name: name_of(field)?, index, value });
        }
    }
    let mut deletions = Vec::new();
    let mut present = Occurrences::default();
    for (position, item) in draft.items.iter().enumerate() {
        let index = present.next(item.name())?;
        match item {
            Item::Insert(name, value) => actions.push(MilterAction::InsertHeader {
                index: i32::try_from(position + 1).map_err(|_| invalid("too many header fields"))?,
                name: name.clone(),
                value: fold_with_lf(value),
            }),
            Item::Remove(field) => {
                deletions.push(MilterAction::ChangeHeader { name: name_of(field)?, index, value: None });
            }
            Item::Keep(_) | Item::Replace(..) => {}
        }
    }
    actions.extend(deletions.into_iter().rev());
    actions.extend(draft.body.map(MilterAction::ReplaceBody));
    Ok(actions)
}

/// The value as the milter protocol wants it.
fn fold_with_lf(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|byte| *byte != b'\r').collect()
}

/// Counts the fields of each name, ignoring ASCII case.
#[derive(Default)]
struct Occurrences {
    by_name: HashMap<Vec<u8>, i32>,
}

impl Occurrences {
    /// The number of this field among those of its name, from 1.
    fn next(&mut self, name: &[u8]) -> io::Result<i32> {
        let count = self.by_name.entry(name.to_ascii_lowercase()).or_insert(0);
        *count = count.checked_add(1).ok_or_else(|| invalid("too many header fields"))?;
        Ok(*count)
    }
}

#[cfg(test)]
mod tests;
