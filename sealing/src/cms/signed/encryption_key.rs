//! The certificate to which a signer wants answers to be encrypted (RFC 8551 section 2.5.3).

use keydir::Certificate;

use crate::cms::RecipientId;
use crate::cms::ber::BerError;
use crate::cms::ber::Tag;
use crate::cms::der_write::element;

use super::element::reader;

/// Reads a SMIMEEncryptionKeyPreference. `Ok(None)` for a form that is not known.
pub(crate) fn read(value: &[u8]) -> Result<Option<RecipientId>, BerError> {
    let mut choice = reader(value);
    let [issuer_serial, recipient_key, key] = [Tag::context(0), Tag::context(1), Tag::context(2)];
    match choice.peek()? {
        Some(tag) if tag == issuer_serial => {
            choice.enter(tag)?;
            let issuer = choice.element()?;
            let serial = choice.primitive(Tag::INTEGER)?;
            choice.leave()?;
            Ok(Some(RecipientId::IssuerSerial { issuer, serial }))
        }
        Some(tag) if tag == recipient_key => {
            choice.enter(tag)?;
            let id = choice.octet_string(Tag::OCTET_STRING)?;
            choice.leave_rest()?;
            Ok(Some(RecipientId::KeyId(id)))
        }
        Some(tag) if tag == key => Ok(Some(RecipientId::KeyId(choice.octet_string(tag)?))),
        _ => Ok(None),
    }
}

/// A SMIMEEncryptionKeyPreference that names this certificate by issuer and serial number.
pub(crate) fn encode(certificate: &Certificate) -> Vec<u8> {
    let serial = element(Tag::INTEGER.primitive(), &[certificate.serial()]);
    element(Tag::context(0).constructed(), &[certificate.issuer_der(), &serial])
}

#[cfg(test)]
mod tests {
    use crate::cms::der_write::octet_string;
    use crate::cms::der_write::sequence;

    use super::*;

    #[test]
    fn all_three_forms_are_read() {
        let issuer = sequence(&[]);
        let form = element(0xa0, &[&issuer, &[2, 1, 5]]);
        let id = RecipientId::IssuerSerial { issuer, serial: vec![5] };
        assert_eq!(read(&form).unwrap(), Some(id));
        let key = || Some(RecipientId::KeyId(b"key".to_vec()));
        let date = element(0x18, &[b"20260828000000Z"]);
        assert_eq!(read(&element(0xa1, &[&octet_string(b"key"), &date])).unwrap(), key());
        assert_eq!(read(&element(0x82, &[b"key"])).unwrap(), key());
        assert_eq!(read(&element(0x83, &[b"key"])).unwrap(), None);
        assert!(read(&element(0xa0, &[])).is_err());
    }
}
