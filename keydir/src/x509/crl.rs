//! Certificate revocation lists (RFC 5280, 5).

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use der::Decode;
use der::Reader;
use der::SliceReader;
use der::Tag;
use der::asn1::AnyRef;
use der::asn1::ObjectIdentifier;
use openssl::x509::CrlReason;
use openssl::x509::CrlStatus;
use openssl::x509::ReasonCode;
use openssl::x509::X509Crl;
use openssl::x509::X509RevokedRef;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::ext::pkix::crl::IssuingDistributionPoint;
use x509_cert::time::Time;

use super::Certificate;

const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
/// Critical extensions of a list that we honour.
const KNOWN: [ObjectIdentifier; 3] = [
    ISSUING_DISTRIBUTION_POINT,
    ObjectIdentifier::new_unwrap("2.5.29.20"), // cRLNumber
    AUTHORITY_KEY_IDENTIFIER,
];
/// Most keys of which it is remembered whether they signed a list.
const MAX_VERDICTS: usize = 16;

/// Why a revocation list is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// Not signed by the issuer of the certificate, or not about certificates of its kind.
    #[error("the revocation list is not one of the issuer about this certificate")]
    Foreign,
    /// Not a list in DER or PEM.
    #[error("the revocation list is malformed: {0}")]
    Malformed(String),
    /// Its nextUpdate has passed, it is from the future, or a newer one is known.
    #[error("the revocation list is not valid now")]
    Stale,
    /// A delta or indirect list, one for some reasons only, or with an unknown critical extension.
    #[error("revocation lists with {0} are not supported")]
    Unsupported(String),
}

impl From<der::Error> for CrlError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// One revocation list.
pub(super) struct Crl {
    list: X509Crl,
    issuer: Vec<u8>,
    this_update: i64,
    next_update: Option<i64>,
    scope: Scope,
    length: usize,
    /// The key identifier of whose key signed it, as the list says (RFC 5280, 5.2.1).
    key_id: Option<Vec<u8>>,
    /// Certificates with whose keys the signature was checked, and the outcome: long lists are hashed once.
    verdicts: Mutex<Vec<(Certificate, bool)>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scope {
    All,
    Authorities,
    Users,
}

/// What a list says about one certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Listed {
    Not,
    Revoked { when: i64, why: String },
}

impl Crl {
    /// Reads a list in DER or PEM.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, CrlError> {
        let malformed = |error: openssl::error::ErrorStack| CrlError::Malformed(error.to_string());
        let list = match bytes.first() {
            Some(0x30) => X509Crl::from_der(bytes),
            _ => X509Crl::from_pem(bytes),
        };
        let list = list.map_err(malformed)?;
        let der = list.to_der().map_err(malformed)?;
        let (issuer, this_update, next_update, extensions) = walk(&der)?;
        let issuer = issuer.to_vec();
        let scope = scope(&extensions)?;
        let key_id = key_id(&extensions)?;
        let (length, verdicts) = (der.len(), Mutex::default());
        Ok(Self { issuer, this_update, next_update, scope, list, length, key_id, verdicts })
    }

    /// Bytes in DER.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The issuer's Name in DER.
    pub(super) fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    pub(super) fn this_update(&self) -> i64 {
        self.this_update
    }

    /// Whether a newer one should have come at that moment. A list without nextUpdate says nothing about
    /// its age; it counts as stale (RFC 5280, 5.1.2.5 demands the field).
    pub(super) fn stale(&self, at: i64) -> bool {
        self.next_update.is_none_or(|next| next < at)
    }

    pub(super) fn next_update(&self) -> Option<i64> {
        self.next_update
    }

    /// Whether the list speaks about this certificate and was signed by this issuer.
    pub(super) fn speaks_about(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let scope = match self.scope {
            Scope::All => true,
            Scope::Authorities => certificate.is_ca(),
            Scope::Users => !certificate.is_ca(),
        };
        scope && self.issuer == certificate.issuer_der() && self.is_signed_by(issuer)
    }

    /// Whether an authority of this name and with this key made the list.
    pub(super) fn is_signed_by(&self, issuer: &Certificate) -> bool {
        self.issuer == issuer.subject_der()
            && !self.is_of_another_key(issuer)
            && issuer.may_sign_crls()
            && self.verify(issuer)
    }

    /// Whether list and authority both name a key, and not the same: of two authorities with the same name, it is
    /// the list of the other one (RFC 5280, 5.2.1).
    pub(super) fn is_of_another_key(&self, issuer: &Certificate) -> bool {
        match (self.key_id.as_deref(), issuer.subject_key_id()) {
            (Some(claimed), Some(key)) => claimed != key,
            _ => false,
        }
    }

    fn verify(&self, issuer: &Certificate) -> bool {
        let known = self.verdicts().iter().find(|(known, _)| known == issuer).map(|(_, holds)| *holds);
        known.unwrap_or_else(|| {
            let key = issuer.x509().public_key();
            let holds = key.is_ok_and(|key| self.list.verify(&key).unwrap_or(false));
            let mut verdicts = self.verdicts();
            if verdicts.len() >= MAX_VERDICTS {
                verdicts.clear();
            }
            verdicts.push((issuer.clone(), holds));
            holds
        })
    }

    fn verdicts(&self) -> MutexGuard<'_, Vec<(Certificate, bool)>> {
        // Each change is one push; a panic elsewhere leaves it whole.
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says about a certificate of its issuer.
    pub(super) fn look_up(&self, certificate: &Certificate) -> Listed {
        match self.list.get_by_serial(certificate.x509().serial_number()) {
            CrlStatus::Revoked(entry) => {
                Listed::Revoked { when: super::unix(entry.revocation_date()), why: reason(entry) }
            }
            CrlStatus::NotRevoked | CrlStatus::RemoveFromCrl(_) => Listed::Not,
        }
    }
}

fn reason(entry: &X509RevokedRef) -> String {
    let code = match entry.extension::<ReasonCode>() {
        Ok(Some((_, code))) => code.get_i64().ok().and_then(|code| i32::try_from(code).ok()),
        _ => None,
    };
    reason_text(code).to_owned()
}

/// The word for a CRLReason (RFC 5280, 5.3.1).
pub(super) fn reason_text(code: Option<i32>) -> &'static str {
    match code.map(CrlReason::from_raw) {
        Some(CrlReason::KEY_COMPROMISE) => "key compromised",
        Some(CrlReason::CA_COMPROMISE) => "authority compromised",
        Some(CrlReason::AFFILIATION_CHANGED) => "affiliation changed",
        Some(CrlReason::SUPERSEDED) => "superseded",
        Some(CrlReason::CESSATION_OF_OPERATION) => "not used any more",
        Some(CrlReason::CERTIFICATE_HOLD) => "on hold",
        Some(CrlReason::PRIVILEGE_WITHDRAWN) => "privilege withdrawn",
        Some(CrlReason::AA_COMPROMISE) => "attribute authority compromised",
        _ => "no reason given",
    }
}

type Walked<'a> = (&'a [u8], i64, Option<i64>, Extensions);

/// Issuer, times and extensions, without making a structure of each entry.
fn walk(der: &[u8]) -> der::Result<Walked<'_>> {
    let inside = |tlv| -> der::Result<SliceReader<'_>> { SliceReader::new(AnyRef::from_der(tlv)?.value()) };
    let mut list = inside(der)?;
    let mut tbs = inside(list.tlv_bytes()?)?;
    if tbs.peek_tag()? == Tag::Integer {
        tbs.tlv_bytes()?; // version
    }
    tbs.tlv_bytes()?; // signature
    let issuer = tbs.tlv_bytes()?;
    let seconds = |time: Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let this_update = seconds(tbs.decode()?);
    let mut next_update = None;
    let mut extensions = Extensions::new();
    while !tbs.is_finished() {
        match tbs.peek_tag()? {
            Tag::UtcTime | Tag::GeneralizedTime => next_update = Some(seconds(tbs.decode()?)),
            Tag::ContextSpecific { .. } => {
                extensions = Extensions::from_der(AnyRef::from_der(tbs.tlv_bytes()?)?.value())?;
            }
            _ => drop(tbs.tlv_bytes()?),
        }
    }
    Ok((issuer, this_update, next_update, extensions))
}

fn key_id(extensions: &Extensions) -> Result<Option<Vec<u8>>, CrlError> {
    let found = extensions.iter().find(|extension| extension.extn_id == AUTHORITY_KEY_IDENTIFIER);
    let Some(found) = found else { return Ok(None) };
    let names = AuthorityKeyIdentifier::from_der(found.extn_value.as_bytes())?;
    Ok(names.key_identifier.map(|id| id.into_bytes()))
}

/// About which certificates the list speaks.
fn scope(extensions: &Extensions) -> Result<Scope, CrlError> {
    let unknown =
        extensions.iter().find(|extension| extension.critical && !KNOWN.contains(&extension.extn_id));
    if let Some(extension) = unknown {
        return Err(CrlError::Unsupported(format!("the critical extension {}", extension.extn_id)));
    }
    let point = extensions.iter().find(|extension| extension.extn_id == ISSUING_DISTRIBUTION_POINT);
    let Some(point) = point else { return Ok(Scope::All) };
    let point = IssuingDistributionPoint::from_der(point.extn_value.as_bytes())?;
    if point.indirect_crl || point.only_contains_attribute_certs || point.only_some_reasons.is_some() {
        return Err(CrlError::Unsupported("entries of other issuers or for some reasons only".to_owned()));
    }
    Ok(match (point.only_contains_ca_certs, point.only_contains_user_certs) {
        (true, false) => Scope::Authorities,
        (false, true) => Scope::Users,
        _ => Scope::All,
    })
}
