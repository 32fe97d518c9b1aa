//! How much of a message a form stands for.
//!
//! A signature says something about the octets that it covers and nothing about what stands beside them. Readers
//! do not see the border, and "valid" beside the author's name would be taken for the whole message.

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
            if !content_type.is("multipart", "signed") && children.len() != 1 {
                coverage = Coverage::Part;
            }
            let Some(child) = children.into_iter().nth(*index) else { return Coverage::Part };
            entity = child;
        }
        coverage
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
