//! The kinds of certificates and what is in them.

use der::Any;
use der::Tag;
use der::asn1::Ia5String;
use der::asn1::Null;
use der::asn1::ObjectIdentifier;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::ext::pkix::KeyUsage;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::name::OtherName;

use super::AuthorityError;
use super::AuthoritySettings;
use super::Issued;
use super::LeafRequest;
use super::draft;
use super::draft::Draft;
use crate::identity;
use crate::record::UnknownWord;
use crate::record::words;
use crate::x509::Authority;
use crate::x509::Certificate;
use crate::x509::PublicKey;
use crate::x509::SMTP_UTF8_MAILBOX;
use crate::x509::covers;
use crate::x509::oid;

const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
const OCSP_NO_CHECK: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.5");

words! {
    /// What a certificate of the local authority is for.
    Profile {
        /// Adds attributes for a domain (RFC 3183).
        AttributeAuthority = "attribute-authority",
        /// Encrypts and decrypts for a domain (RFC 3183).
        ConfidentialityAuthority = "domain-confidentiality-authority",
        /// TLS between gateways, as server and client.
        Gateway = "gateway",
        /// Issues all others.
        Issuing = "issuing",
        /// Answers OCSP questions for the issuing authority (RFC 6960, 4.2.2.2).
        OcspResponder = "ocsp-responder",
        /// Approves messages for a domain (RFC 3183).
        ReviewAuthority = "review-authority",
        /// The trust anchor.
        Root = "root",
        /// Signs for a domain (RFC 3183).
        SigningAuthority = "domain-signing-authority",
        /// A user's only certificate: signs and encrypts.
        User = "user",
        /// A user's certificate for encryption.
        UserEncrypt = "user-encrypt",
        /// A user's certificate for signatures.
        UserSign = "user-sign",
    }
}

impl Profile {
    /// The authority of RFC 3183 that it stands for.
    pub fn authority(self) -> Option<Authority> {
        match self {
            Self::AttributeAuthority => Some(Authority::Attribute),
            Self::ConfidentialityAuthority => Some(Authority::Confidentiality),
            Self::ReviewAuthority => Some(Authority::Review),
            Self::SigningAuthority => Some(Authority::Signing),
            _ => None,
        }
    }

    /// Whether its holder signs mail.
    pub fn signs(self) -> bool {
        matches!(
            self,
            Self::AttributeAuthority
                | Self::ReviewAuthority
                | Self::SigningAuthority
                | Self::User
                | Self::UserSign
        )
    }

    /// Whether mail is encrypted to it.
    pub fn encrypts(self) -> bool {
        matches!(self, Self::ConfidentialityAuthority | Self::User | Self::UserEncrypt)
    }

    /// Whether what was made serves its purpose.
    pub(super) fn check(self, made: &Certificate, now: i64) -> Result<(), AuthorityError> {
        if self.signs() {
            made.may_sign(now).map_err(AuthorityError::Unfit)?;
        }
        if self.encrypts() {
            made.may_encrypt(now).map_err(AuthorityError::Unfit)?;
        }
        Ok(())
    }

    fn key_usage(self, key: &PublicKey) -> Option<KeyUsage> {
        let rsa = matches!(key, PublicKey::Rsa(_));
        let agrees =
            matches!(key, PublicKey::EcP256 | PublicKey::EcP384 | PublicKey::EcP521 | PublicKey::X25519);
        let mut bits = Vec::new();
        if self.signs() || matches!(self, Self::Gateway | Self::OcspResponder) {
            bits.push(KeyUsages::DigitalSignature);
        }
        if self.signs() {
            bits.push(KeyUsages::NonRepudiation);
        }
        if rsa && (self.encrypts() || self == Self::Gateway) {
            bits.push(KeyUsages::KeyEncipherment);
        }
        if agrees && self.encrypts() {
            bits.push(KeyUsages::KeyAgreement);
        }
        let usage = bits.into_iter().map(Into::into).reduce(|sum: der::flagset::FlagSet<_>, bit| sum | bit);
        usage.map(KeyUsage)
    }

    fn extended(self) -> Vec<ObjectIdentifier> {
        match self {
            Self::Gateway => vec![SERVER, CLIENT],
            Self::OcspResponder => vec![OCSP_SIGNING],
            _ => vec![oid::EMAIL_PROTECTION],
        }
    }
}

/// The draft of a leaf, and its subject in canonical form.
pub(super) fn leaf(
    settings: &AuthoritySettings,
    issuing: &Issued,
    request: &LeafRequest<'_>,
) -> Result<(Draft, String), AuthorityError> {
    let subject = canonical(request.subject);
    let (alternative, common_name) = names(settings, request, &subject)?;
    let name = draft::name(&settings.organisation, &common_name)?;
    let life = (request.now, settings.leaf_days);
    let issuer = &issuing.certificate;
    let mut draft = Draft::under(settings, issuer, &issuing.subject, name, request.public_key, life)?;
    let key = crate::x509::kind_of_key(request.public_key)?;
    if let Some(usage) = request.profile.key_usage(&key) {
        draft.add(draft::extension(&usage, true)?);
    }
    draft.add(draft::extension(&ExtendedKeyUsage(request.profile.extended()), false)?);
    if let Some(alternative) = alternative {
        draft.add(draft::extension(&SubjectAltName(vec![alternative]), false)?);
    }
    if request.profile == Profile::OcspResponder {
        let extn_value = der::asn1::OctetString::new(der::Encode::to_der(&Null)?)?;
        draft.add(Extension { extn_id: OCSP_NO_CHECK, critical: false, extn_value });
    }
    Ok((draft, subject))
}

/// The form in which subjects are recorded and compared.
pub(super) fn canonical(subject: &str) -> String {
    match identity::split_address(subject) {
        Some((local, domain)) => format!("{}@{domain}", local.to_ascii_lowercase()),
        None => identity::canonical_domain(subject).unwrap_or_else(|| subject.to_owned()),
    }
}

/// The alternative name and the common name of a leaf.
fn names(
    settings: &AuthoritySettings,
    request: &LeafRequest<'_>,
    subject: &str,
) -> Result<(Option<GeneralName>, String), AuthorityError> {
    let invalid = |what| AuthorityError::Invalid { what, value: request.subject.to_owned() };
    let ours = |domain: &str| match settings.domains.iter().any(|above| covers(above, domain)) {
        true => Ok(()),
        false => Err(AuthorityError::OutsideDomains(request.subject.to_owned())),
    };
    if let Some(authority) = request.profile.authority() {
        let domain = identity::canonical_domain(subject).ok_or_else(|| invalid("domain"))?;
        ours(&domain)?;
        let address = format!("{}@{domain}", authority.name());
        return Ok((Some(mailbox(&address)?), authority.name().to_owned()));
    }
    match request.profile {
        Profile::Gateway => {
            let host = identity::canonical_domain(subject).ok_or_else(|| invalid("host name"))?;
            ours(&host)?;
            Ok((Some(GeneralName::DnsName(Ia5String::new(&host)?)), common_name(&host)))
        }
        Profile::OcspResponder => Ok((None, common_name(request.subject))),
        Profile::User | Profile::UserEncrypt | Profile::UserSign => {
            // As the administrator wrote the local part: only the recorded subject is folded.
            let (local, domain) =
                identity::split_address(request.subject).ok_or_else(|| invalid("mailbox"))?;
            ours(&domain)?;
            let address = format!("{local}@{domain}");
            // A person who is called like an authority of RFC 3183 shall not become one.
            let is_authority =
                |name: &&str| Authority::ALL.iter().any(|a| a.name().eq_ignore_ascii_case(name.trim()));
            let name = request.name.filter(|name| !is_authority(name)).unwrap_or(&address);
            if name.chars().any(identity::deceptive) {
                return Err(AuthorityError::Invalid { what: "name", value: name.to_owned() });
            }
            Ok((Some(mailbox(&address)?), common_name(name)))
        }
        other => Err(AuthorityError::Invalid { what: "leaf profile", value: other.to_string() }),
    }
}

/// rfc822Name, or SmtpUTF8Mailbox if the local part is not ASCII (RFC 9598, 3).
fn mailbox(address: &str) -> Result<GeneralName, AuthorityError> {
    if address.is_ascii() {
        return Ok(GeneralName::Rfc822Name(Ia5String::new(address)?));
    }
    let value = Any::new(Tag::Utf8String, address.as_bytes())?;
    Ok(GeneralName::OtherName(OtherName { type_id: SMTP_UTF8_MAILBOX, value }))
}

/// At most 64 characters (RFC 5280, A.1: ub-common-name).
fn common_name(text: &str) -> String {
    text.chars().take(64).collect()
}
