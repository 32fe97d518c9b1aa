//! Which certificate a signer meant (signingCertificate and its second version, RFC 5035).

use openssl::hash::MessageDigest;

use keydir::Certificate;

use super::digest::Digest;
use super::element::reader;
use crate::cms::algorithm::Algorithm;
use crate::cms::ber::BerError;
use crate::cms::ber::BerReader;
use crate::cms::ber::Tag;
use crate::cms::der_write::element;
use crate::cms::der_write::octet_string;
use crate::cms::der_write::sequence;

/// The certificate that a signature names by its digest.
pub(crate) struct MeantCertificate {
    digest: MessageDigest,
    value: Vec<u8>,
    /// Content octets of the serial number.
    serial: Option<Vec<u8>>,
}

impl MeantCertificate {
    /// Reads a SigningCertificateV2 (RFC 5035 section 3). `Ok(None)` if its digest is not supported.
    pub(crate) fn parse_v2(value: &[u8]) -> Result<Option<MeantCertificate>, BerError> {
        let first = first_id(value)?;
        let mut id = reader(&first);
        id.enter(Tag::SEQUENCE)?;
        let digest = match id.at(Tag::SEQUENCE)? {
            true => Digest::identify(&Algorithm::read(&mut id)?).ok(),
            false => Some(Digest::Sha256),
        };
        let value = id.octet_string(Tag::OCTET_STRING)?;
        let serial = serial(&mut id)?;
        id.leave()?;
        Ok(digest.map(|digest| MeantCertificate { digest: digest.message_digest(), value, serial }))
    }

    /// Reads a SigningCertificate (RFC 5035 section 5), which knows SHA-1 only. It can do no harm: it is
    /// one more condition on a certificate.
    pub(crate) fn parse_v1(value: &[u8]) -> Result<MeantCertificate, BerError> {
        let first = first_id(value)?;
        let mut id = reader(&first);
        id.enter(Tag::SEQUENCE)?;
        let value = id.octet_string(Tag::OCTET_STRING)?;
        let serial = serial(&mut id)?;
        id.leave()?;
        Ok(MeantCertificate { digest: MessageDigest::sha1(), value, serial })
    }

    pub(crate) fn is(&self, certificate: &Certificate) -> bool {
        let serial = self.serial.as_deref().is_none_or(|serial| serial == certificate.serial());
        let made = openssl::hash::hash(self.digest, certificate.der());
        serial && made.is_ok_and(|made| *made == *self.value)
    }
}

/// The first of the certificates that are named; it is the signer's.
fn first_id(value: &[u8]) -> Result<Vec<u8>, BerError> {
    let mut outer = reader(value);
    outer.enter(Tag::SEQUENCE)?;
    outer.enter(Tag::SEQUENCE)?;
    let first = outer.element()?;
    outer.leave_rest()?;
    outer.leave_rest()?;
    Ok(first)
}

/// IssuerSerial; the issuer stands in the digest anyway.
fn serial(id: &mut BerReader<&[u8]>) -> Result<Option<Vec<u8>>, BerError> {
    if !id.enter_if(Tag::SEQUENCE)? {
        return Ok(None);
    }
    id.enter(Tag::SEQUENCE)?;
    id.leave_rest()?;
    let serial = id.primitive(Tag::INTEGER)?;
    id.leave()?;
    Ok(Some(serial))
}

/// A SigningCertificateV2 with SHA-256, its default, which DER leaves out.
pub(crate) fn encode_v2(certificate: &Certificate) -> Vec<u8> {
    let directory_name = element(Tag::context(4).constructed(), &[certificate.issuer_der()]);
    let serial = element(Tag::INTEGER.primitive(), &[certificate.serial()]);
    let issuer_serial = sequence(&[&sequence(&[&directory_name]), &serial]);
    let digest = openssl::sha::sha256(certificate.der());
    sequence(&[&sequence(&[&sequence(&[&octet_string(&digest), &issuer_serial])])])
}
