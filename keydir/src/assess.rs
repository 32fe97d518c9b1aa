//! Whether one certificate can serve one purpose at one moment. Pure.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::cert::Preferences;
use sequoia_openpgp::cert::ValidCert;
use sequoia_openpgp::cert::amalgamation::ValidAmalgamation;
use sequoia_openpgp::cert::amalgamation::ValidateAmalgamation;
use sequoia_openpgp::cert::amalgamation::key::ErasedKeyAmalgamation;
use sequoia_openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::key::KeyParts;
use sequoia_openpgp::packet::key::KeyRole;
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::types::HashAlgorithm;
use sequoia_openpgp::types::PublicKeyAlgorithm;
use sequoia_openpgp::types::ReasonForRevocation;
use sequoia_openpgp::types::RevocationStatus;
use sequoia_openpgp::types::RevocationType;

use crate::answer::Reason;
use crate::identity;
use crate::subject::Purpose;
use crate::subject::Subject;

/// Shortest RSA, DSA or ElGamal key that is used, bits.
const MIN_BITS: usize = 2048;
/// Seconds of a day. Policy cut-off dates lie on day boundaries.
const DAY: i64 = 86_400;
/// Sequoia accepts signatures from so far in the future, seconds.
const CLOCK_SKEW: i64 = 30 * 60;

/// How a certificate serves a purpose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fitness {
    /// The one key to use; see [`Usable::subkey`](crate::Usable::subkey).
    pub(crate) subkey: Fingerprint,
    /// When that key was made, Unix seconds.
    pub(crate) created: i64,
    /// Whether the certificate announces SEIPDv2 (RFC 9580, 5.2.3.32).
    pub(crate) aead: bool,
}

/// Checks one certificate for one purpose at the moment `now` (Unix seconds).
///
/// `claimed` is whom a valid User ID must name; `None` if the subject was assigned.
///
/// # Errors
/// The reason why the certificate cannot serve.
pub(crate) fn assess(
    cert: &Cert,
    purpose: Purpose,
    claimed: Option<&Subject>,
    now: i64,
) -> Result<Fitness, Reason> {
    let time = system_time(now);
    let strict = strict_policy(time);
    let lenient = lenient_policy(time);
    if let Some(why) = revocation(cert, now) {
        return Err(Reason::Revoked(why));
    }
    let primary = cert.primary_key();
    let created = unix(primary.key().creation_time());
    if created > now {
        return Err(Reason::NotYetValid(created));
    }
    key_strength(primary.key())?;
    let valid = match cert.with_policy(&strict, time) {
        Ok(valid) => valid,
        Err(_) => return Err(unbound(cert, &lenient, now)),
    };
    if let Some(end) = valid.primary_key().key_expiration_time().map(unix).filter(|end| *end <= now) {
        return Err(Reason::Expired(end));
    }
    if let Some(subject) = claimed {
        check_claim(&valid, subject)?;
    }
    let aead = valid.features().is_some_and(|features| features.supports_seipdv2());
    let (subkey, created) = match purpose {
        Purpose::Verify => (cert.fingerprint(), created),
        Purpose::Encrypt | Purpose::Sign => newest_key(&valid, purpose, &lenient, now)?,
    };
    Ok(Fitness { subkey, created, aead })
}

/// Whether the certificate is bound to `subject` by a User ID that is valid at `now`, usable or not.
///
/// # Errors
/// [`Reason::NoUserId`] if it is not.
pub(crate) fn claims(cert: &Cert, subject: &Subject, now: i64) -> Result<(), Reason> {
    let time = system_time(now);
    let policy = strict_policy(time);
    let valid = cert.with_policy(&policy, time).map_err(|_| Reason::NoUserId(subject.to_string()))?;
    check_claim(&valid, subject)
}

fn check_claim(valid: &ValidCert<'_>, subject: &Subject) -> Result<(), Reason> {
    match identity::claims(valid).iter().any(|claim| claim.same(subject)) {
        true => Ok(()),
        false => Err(Reason::NoUserId(subject.to_string())),
    }
}

/// The policy that decides: the standard one at that time, and SHA-1 never.
pub(crate) fn strict_policy(time: SystemTime) -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::at(time);
    policy.reject_hash(HashAlgorithm::SHA1);
    policy
}

/// The policy that explains, and that hears revocations: weak hashes count.
///
/// A forged revocation costs a key; a revocation that was not heard costs a secret.
pub(crate) fn lenient_policy(time: SystemTime) -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::at(time);
    policy.accept_hash(HashAlgorithm::SHA1);
    policy.accept_hash(HashAlgorithm::RipeMD);
    policy.accept_hash(HashAlgorithm::MD5);
    for algorithm in sequoia_openpgp::policy::AsymmetricAlgorithm::variants() {
        policy.accept_asymmetric_algo(algorithm);
    }
    policy
}

/// The reason of revocation if the certificate is revoked at `now`.
pub(crate) fn revocation(cert: &Cert, now: i64) -> Option<String> {
    let time = system_time(now);
    match cert.revocation_status(&lenient_policy(time), time) {
        RevocationStatus::Revoked(signatures) => Some(revocation_text(&signatures)),
        RevocationStatus::CouldBe(_) | RevocationStatus::NotAsFarAsWeKnow => None,
    }
}

/// The end of validity of the primary key, Unix seconds, whatever the policy.
pub(crate) fn expiry(cert: &Cert, now: i64) -> Option<i64> {
    let time = system_time(now);
    let lenient = lenient_policy(time);
    let valid = cert.with_policy(&lenient, time).ok()?;
    valid.primary_key().key_expiration_time().map(unix)
}

/// The span around `now` in which an assessment of these certificates cannot change: from the first
/// second, up to and not including the second one.
pub(crate) fn stable_span<'a>(certs: impl Iterator<Item = &'a Cert>, now: i64) -> (i64, i64) {
    let mut from = now - now.rem_euclid(DAY);
    let mut until = from + DAY;
    let mut mark = |instant: i64| {
        for edge in [instant - CLOCK_SKEW, instant, instant + 1] {
            if edge <= now {
                from = from.max(edge);
            } else {
                until = until.min(edge);
            }
        }
    };
    for cert in certs {
        edges(cert, &mut mark);
    }
    (from, until)
}

/// Calls `mark` with each moment at which something about a certificate begins or ends, Unix seconds.
pub(crate) fn edges(cert: &Cert, mark: &mut dyn FnMut(i64)) {
    for key in cert.keys() {
        let created = key.key().creation_time();
        mark(unix(created));
        let all = cert.userids().flat_map(|uid| uid.signatures().collect::<Vec<_>>());
        let all = all.chain(key.signatures());
        for signature in all {
            signature_edges(signature, created, mark);
        }
    }
}

/// The moments at which a signature begins, ends, or ends the key made at `created`.
fn signature_edges(signature: &Signature, created: SystemTime, mark: &mut dyn FnMut(i64)) {
    if let Some(time) = signature.signature_creation_time() {
        mark(unix(time));
    }
    if let Some(time) = signature.signature_expiration_time() {
        mark(unix(time));
    }
    if let Some(end) = signature.key_validity_period().and_then(|period| created.checked_add(period)) {
        mark(unix(end));
    }
}

/// The newest valid key for the purpose, by creation time.
fn newest_key(
    valid: &ValidCert<'_>,
    purpose: Purpose,
    lenient: &StandardPolicy<'_>,
    now: i64,
) -> Result<(Fingerprint, i64), Reason> {
    let serves = |key: &ValidErasedKeyAmalgamation<'_, PublicParts>| match purpose {
        Purpose::Encrypt => key.for_transport_encryption(),
        Purpose::Sign | Purpose::Verify => key.for_signing(),
    };
    let newest = valid
        .keys()
        .filter(|key| serves(key) && key_fault(key, lenient, now).is_none())
        .map(|key| (unix(key.key().creation_time()), key.key().fingerprint()))
        .max_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.to_hex().cmp(&b.1.to_hex())));
    if let Some((created, fingerprint)) = newest {
        return Ok((fingerprint, created));
    }
    let (what, none) = match purpose {
        Purpose::Encrypt => ("encryption subkey", Reason::NoEncryptionSubkey),
        Purpose::Sign | Purpose::Verify => ("signing key", Reason::NoSigningKey),
    };
    let fault = valid
        .cert()
        .keys()
        .filter_map(|key| candidate_fault(key, &serves, lenient, now))
        .max_by_key(|(created, _, _)| *created);
    Err(fault.map_or(none, |(_, fingerprint, reason)| Reason::Subkey {
        what: format!("{what} {fingerprint}"),
        reason: Box::new(reason),
    }))
}

/// What is wrong with a key that would serve if the policy were lenient.
fn candidate_fault(
    key: ErasedKeyAmalgamation<'_, PublicParts>,
    serves: &impl Fn(&ValidErasedKeyAmalgamation<'_, PublicParts>) -> bool,
    lenient: &StandardPolicy<'_>,
    now: i64,
) -> Option<(i64, Fingerprint, Reason)> {
    let created = unix(key.key().creation_time());
    let fingerprint = key.key().fingerprint();
    if created > now {
        return Some((created, fingerprint, Reason::NotYetValid(created)));
    }
    let key = key.with_policy(lenient, system_time(now)).ok()?;
    if !serves(&key) {
        return None;
    }
    let fault =
        key_fault(&key, lenient, now).unwrap_or_else(|| Reason::Weak("its binding signature".to_owned()));
    Some((created, fingerprint, fault))
}

/// Why a key with a valid binding cannot be used at `now`.
fn key_fault(
    key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    lenient: &StandardPolicy<'_>,
    now: i64,
) -> Option<Reason> {
    let Ok(heard) = key.amalgamation().with_policy(lenient, system_time(now)) else {
        return Some(Reason::Unbound);
    };
    if let RevocationStatus::Revoked(signatures) = heard.revocation_status() {
        return Some(Reason::Revoked(revocation_text(&signatures)));
    }
    if let Some(end) = key.key_expiration_time().map(unix).filter(|end| *end <= now) {
        return Some(Reason::Expired(end));
    }
    if !key.key().pk_algo().is_supported() {
        return Some(Reason::Unsupported(key.key().pk_algo().to_string()));
    }
    if key.alive().is_err() {
        return Some(Reason::Unbound);
    }
    key_strength(key.key()).err()
}

/// Refuses short RSA, DSA and ElGamal keys.
fn key_strength<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> Result<(), Reason> {
    #[expect(deprecated, reason = "hostile certificates use deprecated algorithms")]
    let name = match key.pk_algo() {
        PublicKeyAlgorithm::RSAEncryptSign | PublicKeyAlgorithm::RSAEncrypt | PublicKeyAlgorithm::RSASign => {
            "RSA"
        }
        PublicKeyAlgorithm::DSA => "DSA",
        PublicKeyAlgorithm::ElGamalEncrypt | PublicKeyAlgorithm::ElGamalEncryptSign => "ElGamal",
        _ => return Ok(()),
    };
    match key.mpis().bits() {
        Some(bits) if bits < MIN_BITS => Err(Reason::Weak(format!("{name} {bits}"))),
        _ => Ok(()),
    }
}

/// Why the strict policy found no self-signature.
fn unbound(cert: &Cert, lenient: &StandardPolicy<'_>, now: i64) -> Reason {
    if cert.with_policy(lenient, system_time(now)).is_ok() {
        return Reason::Weak("the algorithm of its self-signatures (SHA-1 or older)".to_owned());
    }
    let first = cert
        .primary_key()
        .self_signatures()
        .chain(cert.userids().flat_map(|uid| uid.self_signatures().collect::<Vec<_>>()))
        .filter_map(|signature| signature.signature_creation_time())
        .map(unix)
        .min();
    match first {
        Some(begin) if begin > now => Reason::NotYetValid(begin),
        _ => Reason::Unbound,
    }
}

fn revocation_text(signatures: &[&Signature]) -> String {
    // The hardest reason is the one to tell; none counts as hard (RFC 9580, 5.2.3.31).
    let reasons = signatures.iter().map(|signature| {
        signature.reason_for_revocation().unwrap_or((ReasonForRevocation::Unspecified, b""))
    });
    let hardest = reasons.min_by_key(|(reason, _)| reason.revocation_type() != RevocationType::Hard);
    let Some((reason, text)) = hardest else { return "no reason given".to_owned() };
    let word = match reason {
        ReasonForRevocation::KeySuperseded => "superseded",
        ReasonForRevocation::KeyCompromised => "compromised",
        ReasonForRevocation::KeyRetired => "retired",
        ReasonForRevocation::UIDRetired => "User ID retired",
        _ => "no reason given",
    };
    let text: String =
        String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect();
    if text.is_empty() { word.to_owned() } else { format!("{word} ({text})") }
}

/// Longest free text of a revocation that is shown, characters.
const MAX_REASON_CHARS: usize = 100;

pub(crate) fn system_time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(u64::from(u32::MAX)))
}

pub(crate) fn unix(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_secs()).ok()).unwrap_or(0)
}
