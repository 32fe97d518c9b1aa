//! Signed attributes (RFC 5652 section 5.3).

use super::element::reader;
use super::element::set_as;
use super::oid;
use crate::cms::ber::BerError;
use crate::cms::ber::Tag;
use crate::cms::der_write::element;
use crate::cms::der_write::object_id;
use crate::cms::der_write::octet_string;
use crate::cms::der_write::sequence;

/// The signed attributes of one SignerInfo.
pub(crate) struct Attributes {
    entries: Vec<Attribute>,
    /// The SET in the order in which it came.
    received: Vec<u8>,
    /// The SET in DER order.
    canonical: Vec<u8>,
}

struct Attribute {
    /// Content octets of the OBJECT IDENTIFIER.
    kind: Vec<u8>,
    /// Elements.
    values: Vec<Vec<u8>>,
}

impl Attributes {
    /// Reads a `[0] IMPLICIT SET OF Attribute`.
    pub(crate) fn parse(signed: &[u8]) -> Result<Attributes, BerError> {
        let mut parts = Vec::new();
        let mut entries = Vec::new();
        let mut outer = reader(signed);
        outer.enter(Tag::context(0))?;
        while outer.peek()?.is_some() {
            let part = outer.element()?;
            entries.push(Attribute::parse(&part)?);
            parts.push(part);
        }
        outer.leave()?;
        if entries.is_empty() {
            return Err(BerError::Malformed("the set of signed attributes is empty"));
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let received = element(SET, &parts);
        Ok(Attributes { entries, received, canonical: set_as(SET, parts) })
    }

    /// What the signature may have been made over: the DER encoding, as RFC 5652 section 5.4 demands, or
    /// the attributes in the order in which they came, which is what some programs sign.
    pub(crate) fn signed_forms(&self) -> impl Iterator<Item = &[u8]> {
        let received = (self.received != self.canonical).then_some(self.received.as_slice());
        [self.canonical.as_slice()].into_iter().chain(received)
    }

    /// All attributes in their order: type and values.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&[u8], &[Vec<u8>])> {
        self.entries.iter().map(|entry| (entry.kind.as_slice(), entry.values.as_slice()))
    }

    /// The one value of an attribute that has exactly one; `None` if the attribute is absent.
    ///
    /// An attribute that comes twice or with several values is an error (RFC 5652 section 11): two
    /// readers could take different ones.
    pub(crate) fn single(&self, kind: &[u8]) -> Result<Option<&[u8]>, String> {
        let mut found = self.entries.iter().filter(|entry| entry.kind == kind);
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(format!("attribute {} is there twice", oid::dotted(kind))),
            (Some(entry), None) => match entry.values.as_slice() {
                [value] => Ok(Some(value)),
                _ => Err(format!("attribute {} has not exactly one value", oid::dotted(kind))),
            },
        }
    }
}

impl Attribute {
    fn parse(element: &[u8]) -> Result<Attribute, BerError> {
        let mut inner = reader(element);
        inner.enter(Tag::SEQUENCE)?;
        let kind = inner.primitive(Tag::OBJECT_ID)?;
        inner.enter(Tag::SET)?;
        let mut values = Vec::new();
        while inner.peek()?.is_some() {
            values.push(inner.element()?);
        }
        inner.leave()?;
        inner.leave()?;
        Ok(Attribute { kind, values })
    }
}

/// Signed attributes in the making.
pub(crate) struct AttributeList(Vec<Vec<u8>>);

impl AttributeList {
    /// The two that are always there (RFC 5652 section 5.3).
    pub(crate) fn new(content_type: &[u8], digest: &[u8]) -> AttributeList {
        let mut list = AttributeList(Vec::new());
        list.push(oid::CONTENT_TYPE, &object_id(content_type));
        list.push(oid::MESSAGE_DIGEST, &octet_string(digest));
        list
    }

    /// Adds an attribute with one value.
    pub(crate) fn push(&mut self, kind: &[u8], value: &[u8]) {
        self.push_all(kind, &[value.to_vec()]);
    }

    /// Adds an attribute with these values.
    pub(crate) fn push_all(&mut self, kind: &[u8], values: &[Vec<u8>]) {
        let values = set_as(SET, values.iter().map(Vec::as_slice).collect());
        self.0.push(sequence(&[&object_id(kind), &values]));
    }

    /// The set as it is signed.
    pub(crate) fn to_sign(&self) -> Vec<u8> {
        self.encode(SET)
    }

    /// The set as it stands in a SignerInfo.
    pub(crate) fn to_send(&self) -> Vec<u8> {
        self.encode(Tag::context(0).constructed())
    }

    fn encode(&self, identifier: u8) -> Vec<u8> {
        set_as(identifier, self.0.iter().map(Vec::as_slice).collect())
    }
}

const SET: u8 = Tag::SET.constructed();

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> AttributeList {
        let mut list = AttributeList::new(oid::DATA, &[7; 32]);
        list.push(oid::SIGNATURE_TYPE, &sequence(&[]));
        list
    }

    #[test]
    fn what_is_written_is_read_and_has_one_form() {
        let list = list();
        let attributes = Attributes::parse(&list.to_send()).unwrap();
        assert_eq!(attributes.single(oid::CONTENT_TYPE).unwrap().unwrap(), object_id(oid::DATA));
        assert_eq!(attributes.single(oid::MESSAGE_DIGEST).unwrap().unwrap(), octet_string(&[7; 32]));
        assert_eq!(attributes.single(oid::SIGNING_TIME), Ok(None));
        assert_eq!(attributes.signed_forms().collect::<Vec<_>>(), [list.to_sign()]);
    }

    #[test]
    fn attributes_in_another_order_have_the_der_form_first() {
        let list = list();
        let mut parts: Vec<&[u8]> = list.0.iter().map(Vec::as_slice).collect();
        parts.sort_unstable();
        parts.reverse();
        let attributes = Attributes::parse(&element(0xa0, &parts)).unwrap();
        let forms: Vec<_> = attributes.signed_forms().collect();
        assert_eq!(forms, [list.to_sign(), element(SET, &parts)]);
    }

    #[test]
    fn an_attribute_that_comes_twice_or_with_two_values_is_refused() {
        let mut twice = list();
        twice.push(oid::MESSAGE_DIGEST, &octet_string(&[8; 32]));
        let attributes = Attributes::parse(&twice.to_send()).unwrap();
        assert!(attributes.single(oid::MESSAGE_DIGEST).unwrap_err().contains("twice"));

        let values = [octet_string(&[1; 32]), octet_string(&[2; 32])].concat();
        let attribute = sequence(&[&object_id(oid::MESSAGE_DIGEST), &element(SET, &[&values])]);
        let attributes = Attributes::parse(&element(0xa0, &[&attribute])).unwrap();
        assert!(attributes.single(oid::MESSAGE_DIGEST).unwrap_err().contains("one value"));
    }

    #[test]
    fn a_damaged_set_is_refused() {
        let good = list().to_send();
        for end in 0..good.len() {
            assert!(Attributes::parse(&good[..end]).is_err());
        }
        assert!(Attributes::parse(&element(0xa0, &[])).is_err());
        assert!(Attributes::parse(&element(0xa1, &[])).is_err());
        assert!(Attributes::parse(&element(0xa0, &[&sequence(&[&object_id(oid::DATA)])])).is_err());
    }
}
