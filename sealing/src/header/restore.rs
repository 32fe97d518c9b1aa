//! Putting protected header fields into the place of those that stood outside, and telling where the two do not
//! agree (RFC 9788 sections 4.2 to 4.4).

use mail::ContentType;
use mail::Edit;
use mail::Field;
use mail::HeaderSection;
use mail::Message;

use super::fields::is_compared;
use super::fields::is_protected;
use super::fields::is_removable;
use super::fields::name_of;
use super::tidy;

/// Most fields of a header that are compared, inside and outside. Who has more has no protected header.
const MOST: usize = 2000;

/// The header of a protected payload.
#[derive(Clone)]
pub(crate) struct Protected {
    fields: HeaderSection,
    /// The fields that stood outside when it was made.
    outside: HeaderSection,
    scheme: Scheme,
}

/// Who says that the fields are protected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// `hp` (RFC 9788 section 2.1).
    Rfc9788,
    /// `protected-headers` of the drafts before it, which Thunderbird writes for the Subject.
    Draft,
}

impl Protected {
    /// The header of an entity that says its fields are protected.
    pub(crate) fn of(header: &HeaderSection) -> Option<Protected> {
        let (_, field) = header.find("Content-Type").filter(|_| header.count() <= MOST)?;
        let content_type = ContentType::parse(&field.unfolded());
        let hp = content_type.param("hp").is_some_and(|hp| ["clear", "cipher"].contains(&hp));
        let draft = content_type.param("protected-headers").is_some_and(|version| version.starts_with('v'));
        let scheme = match (hp, draft) {
            (true, _) => Scheme::Rfc9788,
            (false, true) => Scheme::Draft,
            (false, false) => return None,
        };
        // A parameter of the author's own is not a protected header.
        if !header.fields().any(|field| is_protected(&field)) {
            return None;
        }
        let mut told = Vec::new();
        for (_, field) in header.find_all("HP-Outer") {
            told.extend_from_slice(tidy(field.raw_value()).trim_ascii_start());
            told.extend_from_slice(b"\r\n");
        }
        Some(Protected { fields: header.clone(), outside: Message::parse(&told).header().clone(), scheme })
    }

    /// The edits that let the protected fields win over those that stand outside. An author whose address is
    /// another one than outside does not: the one outside is the one that was checked.
    pub(crate) fn edits(&self, outer: &HeaderSection) -> Vec<Edit> {
        let mut edits = Vec::new();
        if outer.count() > MOST {
            return edits;
        }
        let mut seen: Vec<String> = Vec::new();
        for field in self.fields.fields().filter(|field| self.takes(field)) {
            let name = name_of(&field);
            if !seen.contains(&name) && (name != "from" || self.same_author(outer)) {
                self.replace(&name, outer, &mut edits);
            }
            seen.push(name);
        }
        if self.scheme == Scheme::Rfc9788 {
            for (index, field) in outer.fields().enumerate() {
                let name = name_of(&field);
                if is_removable(&name) && !seen.contains(&name) {
                    edits.push(Edit::RemoveField { index });
                }
            }
        }
        edits
    }

    /// The names of fields that are not what they were when the message was protected, as far as people or
    /// their software act on them.
    pub(crate) fn mismatches(&self, outer: &HeaderSection) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        if outer.count() > MOST {
            return found;
        }
        let has_author = self.fields.find("From").is_some();
        for field in outer.fields() {
            let name = name_of(&field);
            let agrees = match name.as_str() {
                "from" if !self.same_author(outer) => !has_author && self.scheme == Scheme::Draft,
                _ if self.scheme == Scheme::Draft || !is_compared(&name) => true,
                _ => self.knows(&field),
            };
            let shown = String::from_utf8_lossy(field.name()).into_owned();
            if !agrees && !found.iter().any(|known| known.eq_ignore_ascii_case(&shown)) {
                found.push(shown);
            }
        }
        found
    }

    /// Whether a field outside is the protected one, or what was put outside in its place.
    fn knows(&self, field: &Field<'_>) -> bool {
        let name = name_of(field);
        let inside = self.fields.find_all(&name).chain(self.outside.find_all(&name));
        inside.into_iter().any(|(_, known)| same(&known, field))
    }

    /// Whether a protected field may take the place of one outside.
    fn takes(&self, field: &Field<'_>) -> bool {
        match self.scheme {
            Scheme::Rfc9788 => is_protected(field),
            Scheme::Draft => field.is("Subject") && !field.unfolded().is_empty(),
        }
    }

    fn replace(&self, name: &str, outer: &HeaderSection, edits: &mut Vec<Edit>) {
        let mut there = outer.find_all(name);
        for (_, field) in self.fields.find_all(name) {
            let value = tidy(field.raw_value());
            match there.next() {
                // What is the same keeps its bytes.
                Some((_, old)) if same(&old, &field) => {}
                Some((index, _)) => edits.push(Edit::ReplaceField { index, value }),
                None => {
                    let name = String::from_utf8_lossy(field.name()).into_owned();
                    edits.push(Edit::InsertField { index: outer.count(), name, value });
                }
            }
        }
        edits.extend(there.map(|(index, _)| Edit::RemoveField { index }));
    }

    /// Whether both headers name the same author, and there is no doubt about it.
    fn same_author(&self, outer: &HeaderSection) -> bool {
        let inside = author(&self.fields);
        inside.is_some() && inside == author(outer)
    }
}

fn author(header: &HeaderSection) -> Option<Vec<String>> {
    let mut fields = header.find_all("From");
    let (Some((_, field)), None) = (fields.next(), fields.next()) else { return None };
    let list = mail::parse_list(&field.unfolded());
    let addresses = list.mailboxes.iter().map(|mailbox| mailbox.address.to_string().to_lowercase());
    (!list.malformed && !list.mailboxes.is_empty()).then(|| addresses.collect())
}

/// Whether two fields say the same: the road may fold and encode words in another way.
fn same(one: &Field<'_>, other: &Field<'_>) -> bool {
    let words = |field: &Field<'_>| field.text().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    if words(one) == words(other) {
        return true;
    }
    let addresses = |field: &Field<'_>| {
        let list = mail::parse_list(&field.unfolded());
        let named = list.mailboxes.into_iter().map(|m| (m.display, m.address.to_string().to_lowercase()));
        (!list.malformed).then(|| named.collect::<Vec<_>>()).filter(|list| !list.is_empty())
    };
    let is_list = ["from", "sender", "reply-to", "to", "cc"].contains(&name_of(one).as_str());
    is_list && addresses(one).is_some() && addresses(one) == addresses(other)
}

#[cfg(test)]
mod tests;
