//! How much of a message a form stands for.
//!
//! A signature says something about the octets that it covers and nothing about what stands beside them. Readers
//! do not see the border, and "valid" beside the author's name would be taken for the whole message.

use mail::Entity;
use mail::Message;

use crate::forms::Found;
use crate::forms::Parts;
use crate::result::Layer;
use crate::result::LayerKind;
use crate::result::LayerState;
use crate::result::Limits;

/// How much of the message is inside a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// It belongs to another message, which this one brings along.
    Attached,
    /// Something stands beside it.
    Part,
    /// Everything that is shown.
    Whole,
}

impl Coverage {
    /// What stands around a form: signatures, and multiparts that hold nothing else, take nothing from it.
    pub(super) fn of(message: &Message, found: &Found<'_>, limits: &Limits) -> Coverage {
        let mut coverage = match &found.parts {
            Parts::Inline(_, inline) if !inline.encloses_all() => Coverage::Part,
            _ => Coverage::Whole,
        };
        let mut entity = message.entity();
        for index in &found.path {
            let content_type = entity.content_type();
            if content_type.kind == "message" {
                return Coverage::Attached;
            }
            let Ok(children) = entity.children(&limits.mime) else { return Coverage::Part };
            if !content_type.is("multipart", "signed") && children.len() != 1 || has_two_readings(&entity) {
                coverage = Coverage::Part;
            }
            let Some(child) = children.into_iter().nth(*index) else { return Coverage::Part };
            entity = child;
        }
        if has_two_readings(&entity) { Coverage::Part } else { coverage }
    }

    /// Lets layers claim no more than what they cover.
    pub(super) fn limit(self, layers: &mut [Layer]) {
        for layer in layers.iter_mut().filter(|layer| layer.kind == LayerKind::Signed) {
            layer.attached = self == Coverage::Attached;
            if self != Coverage::Whole && layer.state == LayerState::Valid {
                layer.state = LayerState::Part;
                layer.why = Some("only a part of the message is signed".to_owned());
            }
        }
    }
}

/// Whether two programs may find different parts in an entity, because its type or its boundary is told twice: the
/// one that was verified need not be the one that is shown.
fn has_two_readings(entity: &Entity<'_>) -> bool {
    let mut fields = entity.header().find_all("Content-Type");
    match (fields.next(), fields.next()) {
        (Some((_, only)), None) => boundaries(&only.unfolded()) > 1,
        (_, second) => second.is_some(),
    }
}

/// How often a Content-Type names a boundary, in whatever form (RFC 2231 has more).
fn boundaries(value: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let is_border = |byte: &u8| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && !literal => escaped = true,
            b'"' if !literal => quoted = !quoted,
            b';' => return !quoted,
            _ => {}
        }
        false
    };
    let names = value.split(is_border).skip(1).map(|parameter| {
        let name = parameter.split(|byte| matches!(byte, b'=' | b'*')).next().unwrap_or_default();
        name.trim_ascii().to_ascii_lowercase()
    });
    names.filter(|name| name == b"boundary").count()
}

#[cfg(test)]
mod tests {
    use super::boundaries;

    #[test]
    fn boundaries_are_counted_where_they_are_parameters() {
        for (value, count) in [
            ("multipart/signed; boundary=a; micalg=sha-256", 1),
            ("multipart/signed; BOUNDARY=\"a;boundary=b\\\";boundary=c\"; x=boundary", 1),
            ("multipart/signed; boundary=a; Boundary = b", 2),
            ("multipart/signed; boundary=a; boundary*=utf-8''b", 2),
            ("multipart/signed; boundary*0=a; boundary*1=b", 2),
            ("multipart/signed; my-boundary=a", 0),
            ("text/plain", 0),
        ] {
            assert_eq!(boundaries(value.as_bytes()), count, "{value}");
        }
    }
}
