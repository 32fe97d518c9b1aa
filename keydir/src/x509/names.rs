//! For whom a certificate speaks.

use der::Tag;
use der::Tagged;
use der::asn1::Any;
use der::asn1::ObjectIdentifier;
use der::asn1::PrintableStringRef;
use der::asn1::TeletexStringRef;
use der::asn1::Utf8StringRef;
use serde::Deserialize;
use serde::Serialize;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::Certificate;
use super::CertificateError;
use crate::identity;

/// emailAddress of a distinguished name (PKCS#9).
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// id-on-SmtpUTF8Mailbox (RFC 9598, 3).
pub(crate) const SMTP_UTF8_MAILBOX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.9");

/// The authorities of a domain (RFC 3183, 3.1.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// Adds attributes to messages: `attribute-authority`.
    Attribute,
    /// Encrypts and decrypts for the domain: `domain-confidentiality-authority`.
    Confidentiality,
    /// Approves messages: `review-authority`.
    Review,
    /// Signs for the domain: `domain-signing-authority`.
    Signing,
}

impl Authority {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Attribute, Self::Confidentiality, Self::Review, Self::Signing];

    /// The common name and the local part that RFC 3183 prescribes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attribute => "attribute-authority",
            Self::Confidentiality => "domain-confidentiality-authority",
            Self::Review => "review-authority",
            Self::Signing => "domain-signing-authority",
        }
    }

    /// The mailbox of this authority of a domain (RFC 3183, 3.1.1).
    pub fn mailbox(self, domain: &str) -> String {
        format!("{}@{domain}", self.name())
    }
}

/// As whom a certificate speaks for an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speaks {
    /// As the domain of the address, or a domain above it: a domain signature (RFC 3183).
    Domain,
    /// As the holder of the mailbox.
    User,
}

/// What a certificate calls its holder.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) addresses: Vec<String>,
    pub(super) common_names: Vec<String>,
    pub(super) dns_names: Vec<String>,
}

impl Certificate {
    /// As whom the certificate speaks for this address: its mailbox is one of
    /// [`Certificate::addresses`], or the certificate is the signing authority of the address's domain or
    /// of a domain above it. Addresses are compared without regard to ASCII case; domains of authorities at
    /// label boundaries.
    ///
    /// Says nothing about the certificate's own validity.
    pub fn speaks_for(&self, address: &str) -> Option<Speaks> {
        let (local, domain) = identity::split_address(address)?;
        let address = format!("{local}@{domain}");
        if self.addresses().iter().any(|own| own.eq_ignore_ascii_case(&address)) {
            return Some(Speaks::User);
        }
        match self.authority()? {
            (Authority::Signing, above) => covers(&above, &domain).then_some(Speaks::Domain),
            _ => None,
        }
    }

    /// Which authority of which domain the certificate is made out to (RFC 3183, 3.1.1): exactly one common
    /// name, the authority's, and one address with that local part.
    pub fn authority(&self) -> Option<(Authority, String)> {
        let [name] = self.common_names() else { return None };
        let authority = Authority::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))?;
        let [address] = self.addresses() else { return None };
        let (local, domain) = address.split_once('@')?;
        local.eq_ignore_ascii_case(authority.name()).then(|| (authority, domain.to_owned()))
    }
}

/// Whether `domain` is `above` or lies below it.
pub(crate) fn covers(above: &str, domain: &str) -> bool {
    let Some(front) = domain.len().checked_sub(above.len()) else { return false };
    let (front, back) = match (domain.get(..front), domain.get(front..)) {
        (Some(front), Some(back)) => (front, back),
        _ => return false,
    };
    back.eq_ignore_ascii_case(above) && (front.is_empty() || front.ends_with('.'))
}

/// Reads all names.
pub(super) fn read(tbs: &x509_cert::TbsCertificate) -> Result<Names, CertificateError> {
    let mut names = Names::default();
    for rdn in &tbs.subject.0 {
        for attribute in rdn.0.iter() {
            if attribute.oid == EMAIL_ADDRESS {
                names.add_address(&text(&attribute.value)?)?;
            } else if attribute.oid == COMMON_NAME {
                names.common_names.push(honest(text(&attribute.value)?)?);
            }
        }
    }
    let Some((_, alternatives)) = tbs.get::<SubjectAltName>()? else { return Ok(names) };
    for name in &alternatives.0 {
        match name {
            GeneralName::Rfc822Name(name) => names.add_address(name.as_str())?,
            GeneralName::DnsName(name) => {
                let name = honest(name.to_string())?.to_ascii_lowercase();
                names.dns_names.push(name);
            }
            GeneralName::OtherName(other) if other.type_id == SMTP_UTF8_MAILBOX => {
                names.add_address(other.value.decode_as::<Utf8StringRef<'_>>()?.as_str())?;
            }
            _ => {}
        }
    }
    Ok(names)
}

impl Names {
    fn add_address(&mut self, text: &str) -> Result<(), CertificateError> {
        let text = honest(text.to_owned())?;
        let Some((local, domain)) = identity::split_address(&text) else { return Ok(()) };
        let address = format!("{local}@{domain}");
        if !self.addresses.iter().any(|known| known.eq_ignore_ascii_case(&address)) {
            self.addresses.push(address);
        }
        Ok(())
    }
}

/// A text without characters that make it look like another one.
fn honest(text: String) -> Result<String, CertificateError> {
    if text.chars().any(identity::deceptive) { Err(CertificateError::DeceptiveName(text)) } else { Ok(text) }
}

/// The text of a DirectoryString or IA5String (RFC 5280, 4.1.2.4).
fn text(value: &Any) -> Result<String, CertificateError> {
    Ok(match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>()?.as_str().to_owned(),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>()?.as_str().to_owned(),
        Tag::TeletexString => value
            .decode_as::<TeletexStringRef<'_>>()
            .map(|text| text.as_str().to_owned())
            .unwrap_or_else(|_| value.value().iter().map(|byte| char::from(*byte)).collect()),
        Tag::Ia5String => value.decode_as::<der::asn1::Ia5StringRef<'_>>()?.as_str().to_owned(),
        Tag::BmpString => {
            let units: Vec<u16> = value
                .value()
                .chunks(2)
                .map(|pair| pair.iter().fold(0, |sum, b| (sum << 8) | u16::from(*b)))
                .collect();
            String::from_utf16(&units).map_err(|error| CertificateError::Malformed(error.to_string()))?
        }
        other => return Err(CertificateError::Malformed(format!("a name that is a {other}"))),
    })
}
