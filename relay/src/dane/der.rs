//! The few fields of a certificate that DANE needs, read without judging any other.
//!
//! A certificate that DANE-EE matches may carry a negative serial number, version 1, a date that is no date:
//! none of that counts (RFC 7672 section 3.1.1), so nothing here may stumble over it.

/// The parts of a certificate that are signed, compared or used as keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline<'a> {
    /// `tbsCertificate` with tag and length: what the issuer signed.
    pub(super) signed: &'a [u8],
    /// Content of the `signatureAlgorithm` sequence.
    pub(super) signature_algorithm: &'a [u8],
    /// The bits of `signatureValue`.
    pub(super) signature: &'a [u8],
    /// The issuer's name, with tag and length.
    pub(super) issuer: &'a [u8],
    /// The subject's name, with tag and length.
    pub(super) subject: &'a [u8],
    /// `subjectPublicKeyInfo`, with tag and length.
    pub(super) key: &'a [u8],
}

impl<'a> Outline<'a> {
    /// Reads one whole certificate; nothing if the bytes are anything else, or have something behind it.
    pub(super) fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut outer = Reader(certificate);
        let mut parts = Reader(outer.content(SEQUENCE)?);
        let signed = parts.element(SEQUENCE)?;
        let signature_algorithm = parts.content(SEQUENCE)?;
        let signature = bits(parts.content(BIT_STRING)?)?;
        (outer.0.is_empty() && parts.0.is_empty()).then_some(())?;

        let mut signed_part = Reader(signed);
        let mut fields = Reader(signed_part.content(SEQUENCE)?);
        if fields.tag() == Some(VERSION) {
            fields.element(VERSION)?;
        }
        fields.element(INTEGER)?;
        fields.element(SEQUENCE)?;
        let issuer = fields.element(SEQUENCE)?;
        fields.element(SEQUENCE)?;
        let subject = fields.element(SEQUENCE)?;
        let key = fields.element(SEQUENCE)?;
        Some(Self { signed, signature_algorithm, signature, issuer, subject, key })
    }
}

/// The `subjectPublicKeyInfo` of a certificate, with tag and length (TLSA selector 1).
pub(crate) fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    Outline::read(certificate).map(|outline| outline.key)
}

/// Whether the bytes are one `SubjectPublicKeyInfo` and nothing else.
pub(super) fn is_public_key_info(bytes: &[u8]) -> bool {
    let mut outer = Reader(bytes);
    let Some(content) = outer.content(SEQUENCE) else { return false };
    let mut fields = Reader(content);
    let algorithm = fields.content(SEQUENCE);
    let named = algorithm.is_some_and(|content| Reader(content).element(OBJECT_IDENTIFIER).is_some());
    let key = fields.content(BIT_STRING).and_then(bits);
    named && key.is_some_and(|key| !key.is_empty()) && outer.0.is_empty() && fields.0.is_empty()
}

/// The octets of a BIT STRING without unused bits.
fn bits(content: &[u8]) -> Option<&[u8]> {
    let (unused, octets) = content.split_first()?;
    (*unused == 0).then_some(octets)
}

/// Takes DER elements off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element with tag and length.
    fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.take(tag).map(|(element, _)| element)
    }

    /// The content of the next element.
    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.take(tag).map(|(_, content)| content)
    }

    fn take(&mut self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        let (&first, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        if first != tag {
            return None;
        }
        let (length, rest) = if length < 0x80 {
            (usize::from(length), rest)
        } else {
            // Definite form of one to three octets; more is no certificate that TLS could carry.
            let octets = usize::from(length & 0x7f);
            if !(1..=3).contains(&octets) {
                return None;
            }
            let (octets, rest) = rest.split_at_checked(octets)?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let element = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        Some((element, content))
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version`; absent in version 1.
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_certificates_have_no_outline() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["mx.example".into()]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der().as_ref();
        let outline = Outline::read(der).unwrap();
        assert_eq!(outline.issuer, outline.subject);
        assert!(is_public_key_info(outline.key));
        for cut in 0..der.len() {
            assert!(Outline::read(&der[..cut]).is_none(), "cut at {cut}");
        }
        let longer = [der, &[0]].concat();
        assert!(Outline::read(&longer).is_none());
        assert!(!is_public_key_info(&[outline.key, &[0]].concat()));
        assert!(!is_public_key_info(&[0x30, 0x00]));
    }
}
