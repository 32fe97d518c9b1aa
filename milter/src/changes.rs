//! What must change to turn the message the MTA holds into the one we want, as edits.

use mail::{Edit, Field, Message};

/// Above this many comparisons the fields between the common beginning and end are replaced as a
/// whole; the result is the same, only wordier.
const COMPARISONS: usize = 1 << 20;

/// Edits that turn `original` into `wanted`. Fields that both have stay untouched, in place;
/// the body is replaced only if `body_changed` says so.
pub fn changes(original: &Message, wanted: &Message, body_changed: bool) -> Vec<Edit> {
    let old: Vec<Field<'_>> = original.header().fields().collect();
    let new: Vec<Field<'_>> = wanted.header().fields().collect();
    let same = |a: &Field<'_>, b: &Field<'_>| a.raw() == b.raw();
    let start = old.iter().zip(&new).take_while(|(a, b)| same(a, b)).count();
    let (old_rest, new_rest) = (old.get(start..).unwrap_or_default(), new.get(start..).unwrap_or_default());
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| same(a, b)).count();
    let old_middle = old_rest.get(..old_rest.len() - end).unwrap_or_default();
    let new_middle = new_rest.get(..new_rest.len() - end).unwrap_or_default();

    let mut edits = Vec::new();
    let kept = common(old_middle, new_middle);
    let mut at = 0;
    let mut fresh = new_middle.iter().enumerate().peekable();
    for (index, _) in old_middle.iter().enumerate() {
        match kept.get(at) {
            Some(&(old_index, new_index)) if old_index == index => {
                while let Some((_, field)) = fresh.next_if(|(i, _)| *i < new_index) {
                    edits.push(insert(start + index, field));
                }
                fresh.next();
                at += 1;
            }
            _ => edits.push(Edit::RemoveField { index: start + index }),
        }
    }
    edits.extend(fresh.map(|(_, field)| insert(start + old_middle.len(), field)));
    if body_changed {
        edits.push(Edit::ReplaceBody(wanted.body().clone()));
    }
    edits
}

fn insert(index: usize, field: &Field<'_>) -> Edit {
    Edit::InsertField {
        index,
        name: String::from_utf8_lossy(field.name()).into_owned(),
        value: field.raw_value().to_vec(),
    }
}

/// Pairs of indexes of a longest common subsequence of two lists of fields.
fn common(old: &[Field<'_>], new: &[Field<'_>]) -> Vec<(usize, usize)> {
    if old.len().saturating_mul(new.len()) > COMPARISONS {
        return Vec::new();
    }
    // lengths[i][j]: length of the longest common subsequence of old[i..] and new[j..].
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let at = |lengths: &[u32], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let length = if a.raw() == b.raw() {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i * width + j) {
                *cell = length;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while let (Some(a), Some(b)) = (old.get(i), new.get(j)) {
        if a.raw() == b.raw() {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Spill, apply};
    use proptest::prelude::*;

    fn message(names: &[u8]) -> Message {
        let mut text = Vec::new();
        for name in names {
            text.extend_from_slice(format!("X-{}: value {name}\r\n", name % 5).as_bytes());
        }
        text.extend_from_slice(b"\r\nbody\r\n");
        Message::parse(&text)
    }

    proptest! {
        #[test]
        fn applying_the_changes_gives_the_wanted_message(
            old in proptest::collection::vec(0_u8..12, 0..12),
            new in proptest::collection::vec(0_u8..12, 0..12),
        ) {
            let (old, new) = (message(&old), message(&new));
            let edits = changes(&old, &new, false);
            let made = apply(&old, &edits, &Spill::default()).unwrap();
            prop_assert_eq!(made.to_vec().unwrap(), new.to_vec().unwrap());
        }
    }

    #[test]
    fn an_unchanged_message_needs_no_edit() {
        assert!(changes(&message(&[1, 2, 3]), &message(&[1, 2, 3]), false).is_empty());
    }
}
