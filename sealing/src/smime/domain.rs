//! Signatures and encryption for a whole domain (RFC 3183).

use mail::Spill;

use super::seal::Part;
use super::seal::SealError;
use super::seal::base64;
use crate::cms;
use crate::rope::Rope;

/// The layer S1 of a message that its author did not sign: SignedData over the message without any signer
/// (RFC 3183 section 3.1.1), so that the domain's signature stands where a second signature stands.
pub(super) fn empty_layer(entity: &Rope, spill: &Spill) -> Result<Part, SealError> {
    let object = base64(spill, |out| {
        cms::empty_layer(out, entity.len(), |content| entity.write_to(content)).map_err(SealError::Sign)
    })?;
    Ok(Part::cms("signed-data", object))
}
