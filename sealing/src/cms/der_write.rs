//! Writing DER (X.690 section 10): definite lengths in their shortest form.

use super::ber::Tag;
use super::ber::push_length;

/// The header of an element with `length` octets of content.
pub(crate) fn header(identifier: u8, length: u64) -> Vec<u8> {
    let mut out = vec![identifier];
    push_length(&mut out, length);
    out
}

/// Octets of an element, header and content, with `length` octets of content.
pub(crate) fn element_len(length: u64) -> u64 {
    header(0, length).len() as u64 + length
}

/// An element from the parts of its content.
pub(crate) fn element(identifier: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len() as u64).sum();
    let mut out = header(identifier, length);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// SEQUENCE of these elements.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(Tag::SEQUENCE.constructed(), parts)
}

/// SET OF these elements, in the order of X.690 section 11.6.
pub(crate) fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    let parts = elements.iter().map(Vec::as_slice).collect::<Vec<_>>();
    element(Tag::SET.constructed(), &parts)
}

/// `[number]` around an element: explicit tagging.
pub(crate) fn explicit(number: u8, inner: &[u8]) -> Vec<u8> {
    element(Tag::context(number).constructed(), &[inner])
}

/// INTEGER below 128.
pub(crate) fn small_integer(value: u8) -> Vec<u8> {
    element(Tag::INTEGER.primitive(), &[&[value & 0x7f]])
}

/// OCTET STRING.
pub(crate) fn octet_string(octets: &[u8]) -> Vec<u8> {
    element(Tag::OCTET_STRING.primitive(), &[octets])
}

/// BIT STRING of whole octets.
pub(crate) fn bit_string(octets: &[u8]) -> Vec<u8> {
    element(Tag::BIT_STRING.primitive(), &[&[0], octets])
}

/// OBJECT IDENTIFIER from the octets of its content.
pub(crate) fn object_id(oid: &[u8]) -> Vec<u8> {
    element(Tag::OBJECT_ID.primitive(), &[oid])
}

/// NULL.
pub(crate) const NULL: [u8; 2] = [Tag::NULL.primitive(), 0];
