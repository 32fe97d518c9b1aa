//! From names and keys to a signed certificate.

use std::time::Duration;

use der::Decode;
use der::Encode;
use der::Tag;
use der::asn1::Any;
use der::asn1::BitString;
use der::asn1::GeneralizedTime;
use der::asn1::Ia5String;
use der::asn1::ObjectIdentifier;
use der::asn1::OctetString;
use der::asn1::SetOfVec;
use der::asn1::UtcTime;
use der::oid::AssociatedOid;
use openssl::sha::sha256;
use x509_cert::TbsCertificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::AccessDescription;
use x509_cert::ext::pkix::AuthorityInfoAccessSyntax;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::pkix::CrlDistributionPoints;
use x509_cert::ext::pkix::KeyUsage;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::DistributionPointName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::name::RdnSequence;
use x509_cert::name::RelativeDistinguishedName;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;
use x509_cert::time::Validity;

use super::AuthorityError;
use super::AuthoritySettings;
use super::BACKDATED;
use super::DAY;
use super::SignatureAlgorithm;
use super::Signs;
use crate::identity;
use crate::x509::Certificate;

const ORGANISATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");
const CA_ISSUERS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.2");

/// A certificate before it is signed.
pub(super) struct Draft {
    issuer: Name,
    subject: Name,
    key: SubjectPublicKeyInfoOwned,
    not_before: i64,
    not_after: i64,
    extensions: Vec<Extension>,
}

impl Draft {
    /// A self-signed root.
    pub(super) fn root(settings: &AuthoritySettings, key: &[u8], now: i64) -> Result<Self, AuthorityError> {
        let subject = name(&settings.organisation, &format!("{} Root CA", short(settings)))?;
        let key = SubjectPublicKeyInfoOwned::from_der(key)?;
        Ok(Self {
            issuer: subject.clone(),
            subject,
            not_before: now - BACKDATED,
            not_after: now + i64::from(settings.root_days) * DAY,
            extensions: vec![
                extension(&BasicConstraints { ca: true, path_len_constraint: Some(1) }, true)?,
                extension(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign), true)?,
                extension(&SubjectKeyIdentifier(OctetString::new(key_id(&key))?), false)?,
            ],
            key,
        })
    }

    /// An issuing authority under the root, which may certify names of the domains only.
    pub(super) fn issuing(
        settings: &AuthoritySettings,
        root: &Certificate,
        number: u32,
        key: &[u8],
        now: i64,
    ) -> Result<Self, AuthorityError> {
        let subject = name(&settings.organisation, &format!("{} Issuing CA {number}", short(settings)))?;
        let days = settings.issuing_days;
        let mut draft = Self::under(settings, root, "root", subject, key, (now, days))?;
        draft.extensions.extend([
            extension(&BasicConstraints { ca: true, path_len_constraint: Some(0) }, true)?,
            extension(
                &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign | KeyUsages::DigitalSignature),
                true,
            )?,
            extension(&constraints(&settings.domains)?, true)?,
        ]);
        Ok(draft)
    }

    /// Anything under an issuer: key identifiers, where to ask about it, and a life that ends before the
    /// issuer's.
    pub(super) fn under(
        settings: &AuthoritySettings,
        issuer: &Certificate,
        issuer_name: &str,
        subject: Name,
        key: &[u8],
        (now, days): (i64, u32),
    ) -> Result<Self, AuthorityError> {
        let key = SubjectPublicKeyInfoOwned::from_der(key)?;
        let mut extensions = vec![
            extension(&SubjectKeyIdentifier(OctetString::new(key_id(&key))?), false)?,
            extension(&authority_key_id(issuer)?, false)?,
        ];
        extensions.extend(pointers(settings, issuer_name)?);
        Ok(Self {
            issuer: Name::from_der(issuer.subject_der())?,
            subject,
            key,
            not_before: (now - BACKDATED).max(issuer.not_before()),
            not_after: (now + i64::from(days) * DAY).min(issuer.not_after()),
            extensions,
        })
    }

    pub(super) fn add(&mut self, extension: Extension) {
        self.extensions.push(extension);
    }

    /// Signs it with the issuer's key and reads it back.
    pub(super) fn sign(self, signer: &dyn Signs) -> Result<Certificate, AuthorityError> {
        let algorithm = SignatureAlgorithm::of(&SubjectPublicKeyInfoOwned::from_der(&signer.public_key()?)?)?;
        let tbs_certificate = TbsCertificate {
            version: x509_cert::Version::V3,
            serial_number: serial()?,
            signature: algorithm.identifier(),
            issuer: self.issuer,
            validity: Validity { not_before: time(self.not_before)?, not_after: time(self.not_after)? },
            subject: self.subject,
            subject_public_key_info: self.key,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions),
        };
        let signature = signer.sign(algorithm, &tbs_certificate.to_der()?)?;
        let certificate = x509_cert::Certificate {
            tbs_certificate,
            signature_algorithm: algorithm.identifier(),
            signature: BitString::from_bytes(&signature)?,
        };
        Ok(Certificate::from_der(&certificate.to_der()?)?)
    }
}

impl AuthoritySettings {
    /// The settings with domains in canonical form.
    pub(super) fn checked(&self) -> Result<Self, AuthorityError> {
        let invalid = |what, value: &str| AuthorityError::Invalid { what, value: value.to_owned() };
        let domains = self
            .domains
            .iter()
            .map(|domain| identity::canonical_domain(domain).ok_or_else(|| invalid("domain", domain)));
        let domains = domains.collect::<Result<Vec<_>, _>>()?;
        if domains.is_empty() {
            return Err(invalid("an empty list of domains", ""));
        }
        let organisation = self.organisation.trim();
        if organisation.is_empty()
            || organisation.chars().count() > 64
            || organisation.chars().any(identity::deceptive)
        {
            return Err(invalid("organisation", organisation));
        }
        if [self.root_days, self.issuing_days, self.leaf_days].contains(&0) {
            return Err(invalid("a life of days", "0"));
        }
        Ok(Self { domains, organisation: organisation.to_owned(), ..self.clone() })
    }
}

/// The beginning of the organisation's name; a common name has at most 64 characters.
fn short(settings: &AuthoritySettings) -> String {
    settings.organisation.chars().take(45).collect()
}

/// Whether the signer holds the key of the certificate.
pub(super) fn check_key(certificate: &Certificate, signer: &dyn Signs) -> Result<(), AuthorityError> {
    let key = signer.public_key()?;
    match certificate.public_key_info()? == SubjectPublicKeyInfoOwned::from_der(&key)? {
        true => Ok(()),
        false => Err(AuthorityError::KeyMismatch(certificate.fingerprint())),
    }
}

/// A distinguished name of organisation and common name.
pub(super) fn name(organisation: &str, common_name: &str) -> Result<Name, AuthorityError> {
    let part = |oid, text: &str| -> Result<RelativeDistinguishedName, AuthorityError> {
        let value = Any::new(Tag::Utf8String, text.as_bytes())?;
        Ok(RelativeDistinguishedName(SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?))
    };
    Ok(RdnSequence(vec![part(ORGANISATION, organisation)?, part(COMMON_NAME, common_name)?]))
}

/// Wraps a value as an extension.
pub(super) fn extension<T: Encode + AssociatedOid>(
    value: &T,
    critical: bool,
) -> Result<Extension, AuthorityError> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// Names its issuer by the key identifier.
pub(super) fn authority_key_id(issuer: &Certificate) -> Result<AuthorityKeyIdentifier, AuthorityError> {
    let id = issuer.subject_key_id().map(OctetString::new).transpose()?;
    Ok(AuthorityKeyIdentifier { key_identifier: id, ..AuthorityKeyIdentifier::default() })
}

/// A moment as X.509 writes it: UTCTime up to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5).
pub(super) fn time(seconds: i64) -> Result<Time, AuthorityError> {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Ok(match UtcTime::from_unix_duration(since) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_unix_duration(since)?),
    })
}

/// 128 random bits; never zero, which RFC 5280 forbids.
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    while bytes == [0; 16] {
        openssl::rand::rand_bytes(&mut bytes)?;
    }
    Ok(SerialNumber::new(&bytes)?)
}

/// The leftmost 160 bits of the SHA-256 of the key (RFC 7093, 2).
fn key_id(key: &SubjectPublicKeyInfoOwned) -> Vec<u8> {
    let digest = sha256(key.subject_public_key.raw_bytes());
    digest.iter().take(20).copied().collect()
}

/// Mailboxes and hosts of the domains, and nothing else.
fn constraints(domains: &[String]) -> Result<NameConstraints, AuthorityError> {
    let subtree = |base| GeneralSubtree { base, minimum: 0, maximum: None };
    let mut permitted = Vec::new();
    for domain in domains {
        permitted.push(subtree(GeneralName::Rfc822Name(Ia5String::new(domain)?)));
        permitted.push(subtree(GeneralName::Rfc822Name(Ia5String::new(&format!(".{domain}"))?)));
        permitted.push(subtree(GeneralName::DnsName(Ia5String::new(domain)?)));
    }
    Ok(NameConstraints { permitted_subtrees: Some(permitted), excluded_subtrees: None })
}

/// Where to ask about revocation and for the issuer's certificate.
fn pointers(settings: &AuthoritySettings, issuer: &str) -> Result<Vec<Extension>, AuthorityError> {
    let uri = |url: &str| -> Result<GeneralName, AuthorityError> {
        let url = url.replace("{issuer}", issuer);
        Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(&url)?))
    };
    let mut extensions = Vec::new();
    if let Some(url) = &settings.crl_url {
        let point = DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![uri(url)?])),
            reasons: None,
            crl_issuer: None,
        };
        extensions.push(extension(&CrlDistributionPoints(vec![point]), false)?);
    }
    let mut access = Vec::new();
    // The root answers by its list only: its key is offline.
    let ocsp = settings.ocsp_url.iter().filter(|_| issuer != "root").map(|url| (OCSP, url));
    for (access_method, url) in ocsp.chain(settings.issuer_url.iter().map(|url| (CA_ISSUERS, url))) {
        access.push(AccessDescription { access_method, access_location: uri(url)? });
    }
    if !access.is_empty() {
        extensions.push(extension(&AuthorityInfoAccessSyntax(access), false)?);
    }
    Ok(extensions)
}
