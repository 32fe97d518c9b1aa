//! Elements that fit in memory.

use crate::cms::ber::BerLimits;
use crate::cms::ber::BerReader;
use crate::cms::der_write::element;

/// A reader over an element in memory. The limit on structure was applied when it was read.
pub(crate) fn reader(element: &[u8]) -> BerReader<&[u8]> {
    BerReader::new(element, BerLimits { structure: u64::MAX, ..BerLimits::default() })
}

/// SET OF under an implicit tag, its parts in the order that DER asks for (X.690 section 11.6).
pub(crate) fn set_as(identifier: u8, mut parts: Vec<&[u8]>) -> Vec<u8> {
    // Encodings carry their length, so none is the beginning of another and plain order is DER order.
    parts.sort_unstable();
    element(identifier, &parts)
}
