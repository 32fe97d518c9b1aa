//! AlgorithmIdentifier (RFC 5280 section 4.1.1.2).

use std::io::BufRead;

use super::ber::BerError;
use super::ber::BerLimits;
use super::ber::BerReader;
use super::ber::Tag;
use super::der_write;

/// An algorithm and what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Algorithm {
    /// Octets of the identifier, as in [`super::oid`].
    pub(crate) oid: Vec<u8>,
    /// The element that follows the identifier, if any does.
    pub(crate) parameters: Option<Vec<u8>>,
}

impl Algorithm {
    /// An algorithm without parameters.
    pub(crate) fn bare(oid: &[u8]) -> Algorithm {
        Algorithm { oid: oid.to_vec(), parameters: None }
    }

    /// An algorithm with parameters, given as a whole element.
    pub(crate) fn with(oid: &[u8], parameters: impl Into<Vec<u8>>) -> Algorithm {
        Algorithm { oid: oid.to_vec(), parameters: Some(parameters.into()) }
    }

    /// Reads the next element as an algorithm.
    pub(crate) fn read<R: BufRead>(ber: &mut BerReader<R>) -> Result<Algorithm, BerError> {
        Algorithm::read_tagged(ber, Tag::SEQUENCE)
    }

    /// Reads the next element, which has another tag than SEQUENCE, as an algorithm.
    pub(crate) fn read_tagged<R: BufRead>(ber: &mut BerReader<R>, tag: Tag) -> Result<Algorithm, BerError> {
        ber.enter(tag)?;
        let oid = ber.primitive(Tag::OBJECT_ID)?;
        let parameters = match ber.peek()? {
            Some(_) => Some(ber.element()?),
            None => None,
        };
        ber.leave()?;
        Ok(Algorithm { oid, parameters })
    }

    pub(crate) fn to_der(&self) -> Vec<u8> {
        let parameters = self.parameters.as_deref().unwrap_or_default();
        der_write::sequence(&[&der_write::object_id(&self.oid), parameters])
    }

    /// Reads the parameters; there is no element if there are none.
    pub(crate) fn parameters(&self) -> BerReader<&[u8]> {
        BerReader::new(self.parameters.as_deref().unwrap_or_default(), BerLimits::default())
    }
}
