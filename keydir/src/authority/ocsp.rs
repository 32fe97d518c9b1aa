//! The OCSP responder of the local authority (RFC 6960).

use der::DateTime;
use der::Decode;
use der::Encode;
use der::asn1::BitString;
use der::asn1::Null;
use der::asn1::OctetString;
use openssl::hash::MessageDigest;
use openssl::hash::hash;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_ocsp::BasicOcspResponse;
use x509_ocsp::CertId;
use x509_ocsp::CertStatus;
use x509_ocsp::OcspGeneralizedTime;
use x509_ocsp::OcspRequest;
use x509_ocsp::OcspResponse;
use x509_ocsp::ResponderId;
use x509_ocsp::ResponseData;
use x509_ocsp::RevokedInfo;
use x509_ocsp::SingleResponse;

use super::AuthorityError;
use super::Issued;
use super::LocalAuthority;
use super::Profile;
use super::SignatureAlgorithm;
use super::Signs;
use super::draft;
use super::rows;
use crate::x509::Certificate;
use crate::x509::oid;

/// Largest request that is read, bytes.
const MAX_REQUEST: usize = 16 << 10;
/// Most certificates in one request.
const MAX_QUESTIONS: usize = 50;
/// Longest nonce that is repeated, octets (RFC 9654).
const MAX_NONCE: usize = 128;
/// How long an answer is valid, seconds.
const LIFE: i64 = 600;

/// Why a request gets no answer.
enum Refusal {
    Malformed,
    TryLater,
    Unauthorized,
}

impl LocalAuthority {
    /// Answers an OCSP request (media type `application/ocsp-request`) with a response in DER
    /// (`application/ocsp-response`). It says what is recorded at this moment, is valid for ten minutes
    /// and repeats the request's nonce.
    ///
    /// `key` is the key of the issuing authority, or of `delegate`, a certificate with the profile
    /// [`Profile::OcspResponder`] that this authority issued; it goes along with the response.
    ///
    /// There is always a response: a request that is malformed, about another authority's certificates,
    /// or cannot be answered now gets one that says so and is not signed.
    pub fn ocsp(&self, key: &dyn Signs, delegate: Option<&Certificate>, request: &[u8], now: i64) -> Vec<u8> {
        let response = match self.answer(key, delegate, request, now) {
            Ok(response) => response,
            Err(Refusal::Malformed) => OcspResponse::malformed_request(),
            Err(Refusal::TryLater) => OcspResponse::try_later(),
            Err(Refusal::Unauthorized) => OcspResponse::unauthorized(),
        };
        // SEQUENCE { responseStatus ENUMERATED internalError }, should all else fail.
        response.to_der().unwrap_or_else(|_| vec![0x30, 0x03, 0x0a, 0x01, 0x02])
    }

    /// The authority whose certificates a request asks about, so that its key can be given to
    /// [`LocalAuthority::ocsp`]. `None` if it is none of ours or the request is malformed.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn asked_authority(&self, request: &[u8]) -> Result<Option<Issued>, AuthorityError> {
        if request.len() > MAX_REQUEST {
            return Ok(None);
        }
        let Ok(request) = OcspRequest::from_der(request) else { return Ok(None) };
        let Some(question) = request.tbs_request.request_list.first() else { return Ok(None) };
        let authorities = rows::authorities(&self.lock())?;
        Ok(authorities.into_iter().find(|authority| means(&question.req_cert, &authority.certificate)))
    }

    fn answer(
        &self,
        key: &dyn Signs,
        delegate: Option<&Certificate>,
        request: &[u8],
        now: i64,
    ) -> Result<OcspResponse, Refusal> {
        if request.len() > MAX_REQUEST {
            return Err(Refusal::Malformed);
        }
        let request = OcspRequest::from_der(request).map_err(|_| Refusal::Malformed)?;
        let questions = &request.tbs_request.request_list;
        if questions.is_empty() || questions.len() > MAX_QUESTIONS {
            return Err(Refusal::Malformed);
        }
        let connection = self.lock();
        let speaker = speaker(&connection, key, delegate)?;
        let responses = questions.iter().map(|question| {
            if !means(&question.req_cert, &speaker.certificate) {
                return Err(Refusal::Unauthorized);
            }
            let serial = question.req_cert.serial_number.as_bytes();
            let issued =
                rows::by_serial(&connection, &speaker.fingerprint, serial).map_err(|_| Refusal::TryLater)?;
            single(question.req_cert.clone(), issued.as_ref(), now).map_err(|_| Refusal::TryLater)
        });
        let responses = responses.collect::<Result<Vec<_>, _>>()?;
        drop(connection);
        sign(responses, nonce(&request), key, delegate, now).map_err(|_| Refusal::TryLater)
    }
}

/// For which authority the key may speak.
fn speaker(
    connection: &rusqlite::Connection,
    key: &dyn Signs,
    delegate: Option<&Certificate>,
) -> Result<Issued, Refusal> {
    let later = |_| Refusal::TryLater;
    if let Some(delegate) = delegate {
        draft::check_key(delegate, key).map_err(|_| Refusal::Unauthorized)?;
        let issued = rows::find(connection, &delegate.fingerprint()).map_err(later)?;
        let issued = issued.filter(|i| i.profile == Profile::OcspResponder && i.revoked.is_none());
        let issuer = issued.ok_or(Refusal::Unauthorized)?.issuer;
        return rows::find(connection, &issuer).map_err(later)?.ok_or(Refusal::Unauthorized);
    }
    let authorities = rows::authorities(connection).map_err(later)?;
    let own = |authority: &Issued| draft::check_key(&authority.certificate, key).is_ok();
    authorities.into_iter().find(own).ok_or(Refusal::Unauthorized)
}

/// Whether the question is about a certificate of this issuer.
fn means(id: &CertId, issuer: &Certificate) -> bool {
    let digest = match id.hash_algorithm.oid.to_string().as_str() {
        "1.3.14.3.2.26" => MessageDigest::sha1(),
        "2.16.840.1.101.3.4.2.1" => MessageDigest::sha256(),
        "2.16.840.1.101.3.4.2.2" => MessageDigest::sha384(),
        "2.16.840.1.101.3.4.2.3" => MessageDigest::sha512(),
        _ => return false,
    };
    let Ok(info) = issuer.public_key_info() else { return false };
    let is = |hashed: &[u8], data: &[u8]| hash(digest, data).is_ok_and(|digest| *digest == *hashed);
    is(id.issuer_name_hash.as_bytes(), issuer.subject_der())
        && is(id.issuer_key_hash.as_bytes(), info.subject_public_key.raw_bytes())
}

fn single(cert_id: CertId, issued: Option<&Issued>, now: i64) -> Result<SingleResponse, AuthorityError> {
    let cert_status = match issued.map(|issued| issued.revoked) {
        None => CertStatus::unknown(),
        Some(None) => CertStatus::Good(Null),
        Some(Some((when, reason))) => CertStatus::Revoked(RevokedInfo {
            revocation_time: moment(when)?,
            revocation_reason: reason_of(reason),
        }),
    };
    Ok(SingleResponse {
        cert_id,
        cert_status,
        this_update: moment(now)?,
        next_update: Some(moment(now + LIFE)?),
        single_extensions: None,
    })
}

fn reason_of(code: u32) -> Option<CrlReason> {
    Some(match code {
        1 => CrlReason::KeyCompromise,
        2 => CrlReason::CaCompromise,
        3 => CrlReason::AffiliationChanged,
        4 => CrlReason::Superseded,
        5 => CrlReason::CessationOfOperation,
        9 => CrlReason::PrivilegeWithdrawn,
        _ => return None,
    })
}

/// The nonce extension of the request, if it is one we repeat.
fn nonce(request: &OcspRequest) -> Option<Extension> {
    let extensions = request.tbs_request.request_extensions.as_deref().unwrap_or_default();
    let nonce = extensions.iter().find(|extension| extension.extn_id == oid::OCSP_NONCE)?;
    (nonce.extn_value.as_bytes().len() <= MAX_NONCE + 3).then(|| nonce.clone())
}

fn sign(
    responses: Vec<SingleResponse>,
    nonce: Option<Extension>,
    key: &dyn Signs,
    delegate: Option<&Certificate>,
    now: i64,
) -> Result<OcspResponse, AuthorityError> {
    let info = SubjectPublicKeyInfoOwned::from_der(&key.public_key()?)?;
    let algorithm = SignatureAlgorithm::of(&info)?;
    // RFC 6960, 4.2.1: KeyHash is SHA-1; it names the key, it protects nothing.
    let key_hash = hash(MessageDigest::sha1(), info.subject_public_key.raw_bytes())?;
    let tbs_response_data = ResponseData {
        version: x509_ocsp::Version::V1,
        responder_id: ResponderId::ByKey(OctetString::new(&*key_hash)?),
        produced_at: moment(now)?,
        responses,
        response_extensions: nonce.map(|nonce| vec![nonce]),
    };
    let signature = key.sign(algorithm, &tbs_response_data.to_der()?)?;
    let certs = delegate.map(|delegate| x509_cert::Certificate::from_der(delegate.der())).transpose()?;
    let basic = BasicOcspResponse {
        tbs_response_data,
        signature_algorithm: algorithm.identifier(),
        signature: BitString::from_bytes(&signature)?,
        certs: certs.map(|certificate| vec![certificate]),
    };
    Ok(OcspResponse::successful(basic)?)
}

fn moment(seconds: i64) -> Result<OcspGeneralizedTime, AuthorityError> {
    let since = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Ok(DateTime::from_unix_duration(since)?.into())
}
