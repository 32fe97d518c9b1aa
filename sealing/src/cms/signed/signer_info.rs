//! SignerInfo (RFC 5652 section 5.3): one signature.

use crate::cms::RecipientId;
use crate::cms::algorithm::Algorithm;
use crate::cms::ber::BerError;
use crate::cms::ber::Tag;

use super::attributes::Attributes;
use super::digest::Digest;
use super::digest::NoDigest;
use super::element::reader;
use super::oid;

/// One signature as it was read; nothing is checked yet.
pub(crate) struct SignerInfo {
    pub(crate) id: RecipientId,
    pub(crate) digest: Result<Digest, NoDigest>,
    pub(crate) attributes: Option<Attributes>,
    pub(crate) algorithm: Algorithm,
    pub(crate) signature: Vec<u8>,
}

impl SignerInfo {
    pub(crate) fn parse(element: &[u8]) -> Result<SignerInfo, BerError> {
        let mut info = reader(element);
        info.enter(Tag::SEQUENCE)?;
        info.small_integer()?;
        let id = RecipientId::read(&mut info)?;
        let digest = Digest::identify(&Algorithm::read(&mut info)?);
        let attributes = match info.at(Tag::context(0))? {
            true => Some(Attributes::parse(&info.element()?)?),
            false => None,
        };
        let algorithm = Algorithm::read(&mut info)?;
        let signature = info.octet_string(Tag::OCTET_STRING)?;
        // Unsigned attributes prove nothing.
        if info.at(Tag::context(1))? {
            info.skip()?;
        }
        info.leave()?;
        Ok(SignerInfo { id, digest, attributes, algorithm, signature })
    }

    /// Checks that the attributes are about this content (RFC 5652 section 5.6).
    pub(crate) fn covers(&self, content_type: &[u8], content_digest: &[u8]) -> Result<(), String> {
        let Some(attributes) = &self.attributes else {
            return match content_type {
                oid::DATA => Ok(()),
                _ => Err("signed attributes are missing".into()),
            };
        };
        let claimed = attributes.single(oid::CONTENT_TYPE)?.ok_or("the content type is not signed")?;
        let claimed = reader(claimed).primitive(Tag::OBJECT_ID).map_err(|error| error.to_string())?;
        if claimed != content_type {
            return Err("the signature is about another type of content".into());
        }
        let claimed =
            attributes.single(oid::MESSAGE_DIGEST)?.ok_or("the digest of the content is not signed")?;
        let claimed = reader(claimed).octet_string(Tag::OCTET_STRING).map_err(|error| error.to_string())?;
        if claimed != content_digest {
            return Err("the content was altered".into());
        }
        Ok(())
    }
}
