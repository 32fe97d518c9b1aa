//! ContentInfo (RFC 5652 section 3): what a CMS object is.

use std::fmt;
use std::io::BufRead;

use super::ber::BerError;
use super::ber::BerLimits;
use super::ber::BerReader;
use super::ber::Tag;
use super::oid;

/// The content type of a CMS object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// Encrypted and authenticated (RFC 5083).
    AuthEnvelopedData,
    /// Compressed (RFC 3274).
    CompressedData,
    /// Octets whose meaning lies outside: in S/MIME, a MIME entity.
    Data,
    /// Encrypted, without protection against changes.
    EnvelopedData,
    /// Signed, or only certificates.
    SignedData,
    /// Something else, or nothing that mail knows.
    Other,
}

impl ContentKind {
    /// The kind that these octets of an object identifier stand for.
    pub(crate) fn from_oid(octets: &[u8]) -> ContentKind {
        match octets {
            oid::AUTH_ENVELOPED_DATA => ContentKind::AuthEnvelopedData,
            oid::COMPRESSED_DATA => ContentKind::CompressedData,
            oid::DATA => ContentKind::Data,
            oid::ENVELOPED_DATA => ContentKind::EnvelopedData,
            oid::SIGNED_DATA => ContentKind::SignedData,
            _ => ContentKind::Other,
        }
    }

    /// The octets of the object identifier; `None` for [`ContentKind::Other`].
    pub(crate) fn oid(self) -> Option<&'static [u8]> {
        match self {
            ContentKind::AuthEnvelopedData => Some(oid::AUTH_ENVELOPED_DATA),
            ContentKind::CompressedData => Some(oid::COMPRESSED_DATA),
            ContentKind::Data => Some(oid::DATA),
            ContentKind::EnvelopedData => Some(oid::ENVELOPED_DATA),
            ContentKind::SignedData => Some(oid::SIGNED_DATA),
            ContentKind::Other => None,
        }
    }
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContentKind::AuthEnvelopedData => "AuthEnvelopedData",
            ContentKind::CompressedData => "CompressedData",
            ContentKind::Data => "Data",
            ContentKind::EnvelopedData => "EnvelopedData",
            ContentKind::SignedData => "SignedData",
            ContentKind::Other => "an unknown content type",
        })
    }
}

/// Says what a CMS object is by its first octets; 32 are enough. `None`: these are no CMS object.
///
/// It looks at the content type and at nothing behind it, so it says nothing about whether the object is
/// whole.
pub fn peek(head: &[u8]) -> Option<ContentKind> {
    let mut ber = BerReader::new(head, BerLimits::default());
    ber.enter(Tag::SEQUENCE).ok()?;
    Some(ContentKind::from_oid(&ber.primitive(Tag::OBJECT_ID).ok()?))
}

/// Enters a ContentInfo and the `[0]` around its content.
pub(crate) fn enter<R: BufRead>(ber: &mut BerReader<R>) -> Result<ContentKind, BerError> {
    ber.enter(Tag::SEQUENCE)?;
    let kind = ContentKind::from_oid(&ber.primitive(Tag::OBJECT_ID)?);
    ber.enter(Tag::context(0))?;
    Ok(kind)
}

/// Leaves what [`enter`] entered.
pub(crate) fn leave<R: BufRead>(ber: &mut BerReader<R>) -> Result<(), BerError> {
    ber.leave()?;
    ber.leave()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peek_tells_kinds_apart_by_the_first_octets() {
        let head = [&[0x30, 0x80, 0x06, 0x0b][..], oid::AUTH_ENVELOPED_DATA, &[0xa0, 0x80]].concat();
        assert_eq!(peek(&head), Some(ContentKind::AuthEnvelopedData));
        let head = [&[0x30, 0x84, 0, 0xff, 0, 0, 0x06, 0x09][..], oid::SIGNED_DATA].concat();
        assert_eq!(peek(&head), Some(ContentKind::SignedData));
        assert_eq!(peek(&[0x30, 0x03, 0x06, 0x01, 0x2a]), Some(ContentKind::Other));
        for no_cms in [&b""[..], b"0", b"MIME-Version: 1.0", b"-----BEGIN", &head[..10]] {
            assert_eq!(peek(no_cms), None, "{no_cms:?}");
        }
    }

    #[test]
    fn a_kind_and_its_identifier_belong_together() {
        for kind in [
            ContentKind::AuthEnvelopedData,
            ContentKind::CompressedData,
            ContentKind::Data,
            ContentKind::EnvelopedData,
            ContentKind::SignedData,
        ] {
            assert_eq!(ContentKind::from_oid(kind.oid().unwrap()), kind);
        }
    }
}
