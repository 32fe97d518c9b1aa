//! Names of body parts as IMAP gives them (RFC 3501 section 6.4.5), and of parts that came out of others
//! (RFC 7281 section 3.2.1).

use mail::Entity;
use mail::Message;

use crate::forms::Found;
use crate::forms::Parts;
use crate::result::Limits;

/// What was opened so far: where it stands now, and the name of the part that it came out of.
#[derive(Default)]
pub(super) struct Sections(Vec<(Vec<usize>, String)>);

impl Sections {
    /// The name of the part that holds the signature, or the whole, of a form.
    pub(super) fn of(&self, message: &Message, found: &Found<'_>, limits: &Limits) -> Option<String> {
        let mut path = found.path.clone();
        if matches!(found.parts, Parts::CmsSigned(..) | Parts::Signed(..) | Parts::Encrypted(_)) {
            path.push(1);
        }
        let around = self.0.iter().filter(|(at, _)| found.path.starts_with(at));
        let around = around.max_by_key(|(at, _)| at.len());
        let start = around.map_or(0, |(at, _)| at.len());
        let (outer, inner) = path.split_at_checked(start)?;
        let mut root = message.entity();
        for index in outer {
            root = child(&root, *index, limits)?;
        }
        let section = section(root, inner, limits)?;
        Some(match around {
            Some((_, name)) => format!("{name}/{section}"),
            None => section,
        })
    }

    /// Remembers that what was in the part `name` stands at `path` now.
    pub(super) fn opened(&mut self, path: &[usize], name: Option<String>) {
        self.0.retain(|(at, _)| !at.starts_with(path));
        self.0.extend(name.map(|name| (path.to_vec(), name)));
    }
}

/// The name of the part at `path` below the outermost entity of a message.
fn section(root: Entity<'_>, path: &[usize], limits: &Limits) -> Option<String> {
    // A message that is no multipart has one part (RFC 3501 section 6.4.5).
    let only = |entity: &Entity<'_>| (entity.content_type().kind != "multipart").then_some(1);
    let mut numbers: Vec<usize> = only(&root).into_iter().collect();
    let mut entity = root;
    for index in path {
        let multipart = entity.content_type().kind == "multipart";
        let next = child(&entity, *index, limits)?;
        match multipart {
            true => numbers.push(index + 1),
            // A message inside a message.
            false => numbers.extend(only(&next)),
        }
        entity = next;
    }
    Some(numbers.iter().map(usize::to_string).collect::<Vec<_>>().join("."))
}

fn child<'m>(entity: &Entity<'m>, index: usize, limits: &Limits) -> Option<Entity<'m>> {
    let children = entity.children(&limits.mime).ok()?;
    children.into_iter().nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_as_imap_names_them() {
        let text = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\none\r\n--a\r\n\
             Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n\
             --b\r\n\r\nsignature\r\n--b--\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ntext\r\n\
             --a--\r\n";
        let message = Message::parse(text.as_bytes());
        let named = |path: &[usize]| section(message.entity(), path, &Limits::default());
        for (path, name) in
            [(&[][..], ""), (&[0], "1"), (&[1], "2"), (&[1, 0, 1], "2.2"), (&[2], "3"), (&[2, 0], "3.1")]
        {
            assert_eq!(named(path).as_deref(), Some(name), "{path:?}");
        }
        assert_eq!(named(&[3]), None);
        let plain = Message::parse(b"Subject: x\r\n\r\ntext\r\n");
        assert_eq!(section(plain.entity(), &[], &Limits::default()).as_deref(), Some("1"));
    }
}
