//! Whether a signature may be of the types that it says (RFC 3183 section 3.1.1): who signs for a domain, reviews or
//! adds attributes is named so in the certificate.

use keydir::Authority;
use keydir::Certificate;

use crate::cms::SignatureType;
use crate::result::Binding;

/// Checks the naming convention, and that the types speak for the author at all. Types that RFC 3183 does not know say
/// nothing. `assigned`: what the administrator said that the certificate is.
///
/// # Errors
/// Why the signature says nothing about the author.
pub(super) fn check(
    types: &[String],
    certificate: &Certificate,
    assigned: Option<Binding>,
) -> Result<(), &'static str> {
    let types: Vec<SignatureType> = types.iter().filter_map(|oid| SignatureType::from_oid(oid)).collect();
    let has = |kind| types.contains(&kind);
    let named = |authority| certificate.authority().is_some_and(|(own, _)| own == authority);
    if has(SignatureType::AddAttributes) && types.len() > 1 {
        return Err("a signature that adds attributes says to be of another type, too");
    }
    if has(SignatureType::Domain) {
        return match named(Authority::Signing) || assigned == Some(Binding::Domain) {
            true => Ok(()),
            false => {
                Err("it says to be a domain's, and the certificate is not named domain-signing-authority")
            }
        };
    }
    if has(SignatureType::Originator) || types.is_empty() {
        return Ok(());
    }
    Err(match (has(SignatureType::Review), named(Authority::Review), named(Authority::Attribute)) {
        (true, true, _) => "a reviewer's signature says nothing about the author",
        (true, false, _) => "it says to be a review, and the certificate is not named review-authority",
        (false, _, true) => "a signature that adds attributes says nothing about the author",
        (false, _, false) => {
            "it says to add attributes, and the certificate is not named attribute-authority"
        }
    })
}
