//! What a signature means in domain security (signatureType, RFC 3183 section 3.1).

use super::element::reader;
use super::oid;
use crate::cms::ber::BerError;
use crate::cms::ber::Tag;
use crate::cms::der_write::object_id;
use crate::cms::der_write::sequence;

/// The meaning of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureType {
    /// Made by the originator (id-sti-originatorSig).
    Originator,
    /// Made on behalf of a domain (id-sti-domainSig).
    Domain,
    /// Made by whoever added attributes to a message (id-sti-addAttribSig).
    AddAttributes,
    /// Made by whoever reviewed a message (id-sti-reviewSig).
    Review,
}

impl SignatureType {
    /// The identifier with dots, as [`SignerResult::signature_types`](super::SignerResult) shows it.
    pub fn oid(self) -> String {
        oid::dotted(&self.octets())
    }

    /// The type with this dotted identifier.
    pub fn from_oid(dotted: &str) -> Option<SignatureType> {
        Self::ALL.into_iter().find(|known| known.oid() == dotted)
    }

    const ALL: [SignatureType; 4] = [Self::Originator, Self::Domain, Self::AddAttributes, Self::Review];

    fn octets(self) -> Vec<u8> {
        let last = match self {
            SignatureType::Originator => 1,
            SignatureType::Domain => 2,
            SignatureType::AddAttributes => 3,
            SignatureType::Review => 4,
        };
        [oid::SIGNATURE_TYPES, &[last]].concat()
    }

    /// As the value of the attribute.
    pub(crate) fn encode(self) -> Vec<u8> {
        sequence(&[&object_id(&self.octets())])
    }
}

/// Reads a SignatureType: identifiers with dots, in their order.
pub(crate) fn parse(value: &[u8]) -> Result<Vec<String>, BerError> {
    let mut list = reader(value);
    let mut types = Vec::new();
    list.enter(Tag::SEQUENCE)?;
    while list.peek()?.is_some() {
        types.push(oid::dotted(&list.primitive(Tag::OBJECT_ID)?));
    }
    list.leave()?;
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_identifiers_of_rfc_3183() {
        assert_eq!(SignatureType::Originator.oid(), "1.2.840.113549.1.9.16.9.1");
        assert_eq!(SignatureType::Domain.oid(), "1.2.840.113549.1.9.16.9.2");
        assert_eq!(SignatureType::AddAttributes.oid(), "1.2.840.113549.1.9.16.9.3");
        assert_eq!(SignatureType::Review.oid(), "1.2.840.113549.1.9.16.9.4");
        for kind in SignatureType::ALL {
            assert_eq!(parse(&kind.encode()).unwrap(), [kind.oid()]);
            assert_eq!(SignatureType::from_oid(&kind.oid()), Some(kind));
        }
        assert_eq!(SignatureType::from_oid("1.2.3"), None);
    }
}
