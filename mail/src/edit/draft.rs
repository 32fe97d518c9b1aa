//! What becomes of every field and of the body, before it takes one of its two forms.

use std::io;
use std::io::Write;

use super::Edit;
use crate::body::Body;
use crate::body::BodyWriter;
use crate::body::Spill;
use crate::header;
use crate::header::Field;
use crate::message::Message;

/// The outcome of all edits, before it takes one of its two forms.
pub(super) struct Draft<'m> {
    /// Every original field, kept or not, and the new ones, from top to bottom.
    pub(super) items: Vec<Item<'m>>,
    pub(super) body: Option<Body>,
}

pub(super) enum Item<'m> {
    Insert(String, Vec<u8>),
    Keep(Field<'m>),
    Remove(Field<'m>),
    Replace(Field<'m>, Vec<u8>),
}

impl<'m> Item<'m> {
    pub(super) fn original(&self) -> Option<&Field<'m>> {
        match self {
            Self::Insert(..) => None,
            Self::Keep(field) | Self::Remove(field) | Self::Replace(field, _) => Some(field),
        }
    }

    pub(super) fn name(&self) -> &[u8] {
        match self {
            Self::Insert(name, _) => name.as_bytes(),
            Self::Keep(field) | Self::Remove(field) | Self::Replace(field, _) => field.name(),
        }
    }

    /// Whether the field will be there and has a name that starts so, ignoring ASCII case.
    fn remains(&self, prefix: &[u8]) -> bool {
        let start = self.name().get(..prefix.len());
        !matches!(self, Self::Remove(_)) && start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }
}

impl<'m> Draft<'m> {
    pub(super) fn new(message: &'m Message, edits: &[Edit], spill: &Spill) -> io::Result<Self> {
        let fields = message.header();
        let mut changes: Vec<Option<Option<&[u8]>>> = vec![None; fields.count()];
        let mut insertions = Vec::new();
        let mut body = None;
        for edit in edits {
            match edit {
                Edit::InsertField { index, name, value } => {
                    if *index > fields.count() {
                        return Err(invalid("insertion after the last field"));
                    }
                    insertions.push((*index, Item::Insert(checked_name(name)?, checked_value(value)?)));
                }
                Edit::ReplaceField { index, value } => *slot(&mut changes, *index)? = Some(Some(value)),
                Edit::RemoveField { index } => *slot(&mut changes, *index)? = Some(None),
                Edit::ReplaceBody(new) => body = Some(new.clone()),
                Edit::Wrap { .. } => {}
            }
        }
        insertions.sort_by_key(|(index, _)| *index);
        let mut insertions = insertions.into_iter().peekable();
        let mut items = Vec::with_capacity(fields.count() + insertions.len() + 2);
        for (index, (field, change)) in fields.fields().zip(changes).enumerate() {
            while let Some((_, item)) = insertions.next_if(|(at, _)| *at <= index) {
                items.push(item);
            }
            push_changed(&mut items, field, change)?;
        }
        items.extend(insertions.map(|(_, item)| item));
        let mut draft = Self { items, body };
        for edit in edits {
            if let Edit::Wrap { content_type, prologue, epilogue } = edit {
                draft.wrap(message, content_type, prologue, epilogue, spill)?;
            }
        }
        Ok(draft)
    }

    fn wrap(
        &mut self,
        message: &Message,
        content_type: &[u8],
        prologue: &[u8],
        epilogue: &[u8],
        spill: &Spill,
    ) -> io::Result<()> {
        // To an MTA a change to nothing means deletion; and a body without a type is not described.
        if content_type.trim_ascii().is_empty() {
            return Err(invalid("empty Content-Type"));
        }
        let mut out = BodyWriter::new(spill);
        out.write_all(prologue)?;
        let (moved, place) = self.take_content_fields();
        out.write_all(&moved)?;
        out.write_all(b"\r\n")?;
        self.body.as_ref().unwrap_or(message.body()).write_to(&mut out)?;
        out.write_all(epilogue)?;
        self.body = Some(out.finish()?);

        let value = checked_value(content_type)?;
        let place = place.unwrap_or(self.items.len());
        match self.items.get_mut(place) {
            Some(item) => match item.original() {
                Some(field) => *item = Item::Replace(*field, value),
                None => *item = Item::Insert("Content-Type".into(), value),
            },
            None => self.items.push(Item::Insert("Content-Type".into(), value)),
        }
        let versioned = |item: &Item<'_>| item.remains(b"MIME-Version") && item.name().len() == 12;
        if !self.items.iter().any(versioned) {
            self.items.insert(place, Item::Insert("MIME-Version".into(), b" 1.0".to_vec()));
        }
        Ok(())
    }

    /// Takes all Content-* fields out, as bytes; says where the Content-Type stood.
    fn take_content_fields(&mut self) -> (Vec<u8>, Option<usize>) {
        let mut moved = Vec::new();
        let mut place = None;
        for (index, item) in self.items.iter_mut().enumerate() {
            if !item.remains(b"Content-") {
                continue;
            }
            if place.is_none() && item.name().eq_ignore_ascii_case(b"Content-Type") {
                place = Some(index);
            }
            match item {
                Item::Insert(name, value) => push_field(&mut moved, name.as_bytes(), value),
                Item::Keep(field) => {
                    moved.extend_from_slice(field.raw());
                    end_line(&mut moved);
                }
                Item::Replace(field, value) => push_field(&mut moved, field.name(), value),
                Item::Remove(_) => {}
            }
            if let Some(field) = item.original() {
                *item = Item::Remove(*field);
            }
        }
        // A new field that was moved leaves nothing behind, unless it marks the place.
        let mut index = 0;
        let mut shift = 0;
        self.items.retain(|item| {
            let moved = matches!(item, Item::Insert(..)) && item.remains(b"Content-") && Some(index) != place;
            shift += usize::from(moved && place.is_some_and(|place| index < place));
            index += 1;
            !moved
        });
        (moved, place.map(|place| place - shift))
    }
}

fn slot<T>(slots: &mut [T], index: usize) -> io::Result<&mut T> {
    slots.get_mut(index).ok_or_else(|| invalid("no such header field"))
}

fn push_changed<'m>(
    items: &mut Vec<Item<'m>>,
    field: Field<'m>,
    change: Option<Option<&[u8]>>,
) -> io::Result<()> {
    match change {
        None => items.push(Item::Keep(field)),
        Some(None) => items.push(Item::Remove(field)),
        // To an MTA a change to nothing means deletion, so an empty value needs a new field.
        Some(Some([])) => items.extend([Item::Insert(name_of(&field)?, Vec::new()), Item::Remove(field)]),
        Some(Some(value)) => {
            name_of(&field)?;
            items.push(Item::Replace(field, checked_value(value)?));
        }
    }
    Ok(())
}

pub(super) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    end_line(out);
    out.extend_from_slice(name);
    out.push(b':');
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Ends the last line, if somebody left it open.
pub(super) fn end_line(out: &mut Vec<u8>) {
    if out.last().is_some_and(|last| *last != b'\n') {
        out.extend_from_slice(b"\r\n");
    }
}

fn checked_name(name: &str) -> io::Result<String> {
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, 33..=57 | 59..=126)) {
        return Err(invalid("not a header field name"));
    }
    Ok(name.to_owned())
}

pub(super) fn name_of(field: &Field<'_>) -> io::Result<String> {
    let name = str::from_utf8(field.name()).map_err(|_| invalid("header field without a proper name"))?;
    checked_name(name)
}

/// The value with CRLF folds. One that would begin another field, or that no MTA can be told, is refused.
fn checked_value(value: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    header::push_with_crlf(&mut out, value);
    for (at, byte) in out.iter().enumerate() {
        let next = out.get(at + 1);
        let fine = match byte {
            0 => false,
            b'\r' => next == Some(&b'\n'),
            b'\n' => matches!(next, Some(b' ' | b'\t')),
            _ => true,
        };
        if !fine {
            return Err(invalid("not a header field value"));
        }
    }
    Ok(out)
}

pub(super) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
