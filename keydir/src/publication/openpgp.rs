//! What is published of the OpenPGP certificates of one mailbox.

use std::sync::Arc;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::amalgamation::ValidAmalgamation;
use sequoia_openpgp::cert::amalgamation::ValidateAmalgamation;
use sequoia_openpgp::crypto::mpi;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::types::Curve;
use sequoia_openpgp::types::RevocationStatus;

use super::PublicationError;
use super::Published;
use super::draft::Draft;
use super::draft::Drawn;
use super::draft::Rank;
use super::draft::Request;
use super::minimise;
use super::minimise::Named;
use crate::answer::Reason;
use crate::assess;
use crate::assess::unix;
use crate::record::Custody;
use crate::record::Record;
use crate::record::Scheme;
use crate::subject::Purpose;
use crate::subject::Subject;

/// How long a certificate stays after it was revoked or expired, seconds: a year and a day.
const AFTERLIFE: i64 = 366 * 86_400;
/// A certification by our authority is renewed so long before it ends, seconds.
const RENEWAL: i64 = 30 * 86_400;

/// Adds what is published of one certificate to the draft of a mailbox.
///
/// # Errors
/// If the certificate holds a secret key, cannot be read back, or a callback fails.
pub(super) fn draw(
    request: &Request<'_>,
    record: &Record,
    draft: &mut Draft,
) -> Result<(), PublicationError> {
    let corrupt = |error: sequoia_openpgp::anyhow::Error| {
        PublicationError::Corrupt(format!("certificate {}: {error}", record.fingerprint))
    };
    let cert = Cert::from_bytes(&record.bytes).map_err(corrupt)?;
    if cert.is_tsk() {
        return Err(PublicationError::Secret(record.fingerprint.clone()));
    }
    let Some((cert, named)) = named(request, record, cert)? else {
        let address = request.key;
        draft.omit(format!("{} has no User ID {address}", record.fingerprint));
        return Ok(());
    };
    let rules = request.rules.rules;
    let cert = endorsed(request, record, cert, named)?;
    let Some(packets) = minimise::minimise(&cert, named, &rules.endorsers, request.now) else {
        draft.omit(format!("{}: nothing that its holder signed names {}", record.fingerprint, request.key));
        return Ok(());
    };
    // What others will see decides, not what we know.
    let bytes = minimise::bytes(&packets).map_err(corrupt)?;
    let small = Cert::from_packets(packets.into_iter()).map_err(corrupt)?;
    if small.is_tsk() {
        return Err(PublicationError::Secret(record.fingerprint.clone()));
    }
    edges(&small, request.now, draft);
    let subject = subject(named);
    let ours = assess::assess(&cert, Purpose::Encrypt, subject.as_ref(), request.now);
    let theirs = assess::assess(&small, Purpose::Encrypt, subject.as_ref(), request.now);
    match standing(request, record, &small, &ours, &theirs, draft) {
        Ok(rank) => draft.openpgp.push((rank, describe(&small, bytes, &theirs, request.now))),
        Err(why) => draft.omit(format!("{} for {}: {why}", record.fingerprint, request.key)),
    }
    Ok(())
}

/// Where a certificate stands in the answer.
///
/// # Errors
/// Why it is not published.
fn standing(
    request: &Request<'_>,
    record: &Record,
    small: &Cert,
    ours: &Result<assess::Fitness, Reason>,
    theirs: &Result<assess::Fitness, Reason>,
    draft: &mut Draft,
) -> Result<Rank, String> {
    let reason = match (ours, theirs) {
        (Ok(_), Ok(fit)) => return Ok(Rank::usable(fit.created, &record.fingerprint)),
        (Err(reason), Ok(_)) => {
            return Err(format!("{reason}, which its User IDs for this address do not say"));
        }
        (_, Err(reason)) => reason,
    };
    let ended = match reason {
        Reason::Revoked(_) => revoked_at(small, request.now),
        Reason::NoUserId(_) if user_id_revoked(small, request.now) => 0,
        Reason::Expired(end) => *end,
        Reason::NoEncryptionSubkey | Reason::Subkey { .. } => {
            let created = unix(small.primary_key().key().creation_time());
            return Ok(Rank::idle(created, &record.fingerprint));
        }
        other => return Err(other.to_string()),
    };
    // A revocation may have been made long before it was needed, together with the key.
    let seen = draft.ended(&record.fingerprint, request);
    let until = if matches!(reason, Reason::Expired(_)) { ended } else { seen.max(ended) } + AFTERLIFE;
    if until <= request.now {
        return Err(format!("{reason}, more than a year ago"));
    }
    draft.due_at(until, request.now);
    Ok(Rank::ended(matches!(reason, Reason::Expired(_)), ended, &record.fingerprint))
}

/// The certificate with a User ID for what is asked, and which ones are to stay. `None` if there is none.
fn named<'a>(
    request: &'a Request<'_>,
    record: &Record,
    cert: Cert,
) -> Result<Option<(Cert, Named<'a>)>, PublicationError> {
    if let Some(domain) = request.key.strip_prefix('@') {
        return Ok(Some((cert, Named::Domain(domain))));
    }
    let asked = Named::Mailbox(request.key);
    if cert.userids().any(|uid| asked.is(uid.userid())) {
        return Ok(Some((cert, asked)));
    }
    let Some(mailbox) = request.alias_of else { return Ok(None) };
    if let Some(before) = signed_before(request, record, &cert, asked) {
        return Ok(Some((before, asked)));
    }
    if let (Custody::Local, Some(sign)) = (record.custody, &request.rules.rules.alias_signer) {
        let failed = |source| PublicationError::Sign {
            address: request.key.to_owned(),
            fingerprint: record.fingerprint.clone(),
            source,
        };
        if let Some(signed) = sign(&cert, request.key).map_err(failed)? {
            return Ok(Some((signed.strip_secret_key_material(), asked)));
        }
    }
    Ok(request.rules.rules.link_aliases.then_some((cert, Named::Mailbox(mailbox))))
}

/// The certificate with the User ID that was added at an earlier refresh, unless the holder changed something
/// since, such as the date of expiry.
fn signed_before(request: &Request<'_>, record: &Record, cert: &Cert, asked: Named<'_>) -> Option<Cert> {
    let before = request.before(&record.fingerprint)?;
    let newest = |signatures: &mut dyn Iterator<Item = &Signature>| {
        signatures.filter_map(|signature| signature.signature_creation_time()).max()
    };
    let added = before.userids().find(|uid| asked.is(uid.userid()))?;
    let signed = newest(&mut added.self_signatures())?;
    let changed = newest(&mut cert.primary_key().self_signatures())
        .into_iter()
        .chain(cert.userids().filter_map(|uid| newest(&mut uid.self_signatures())))
        .max();
    if changed.is_some_and(|changed| changed > signed) {
        return None;
    }
    let signatures = added.self_signatures().chain(added.self_revocations()).cloned().map(Packet::from);
    let packets: Vec<Packet> =
        std::iter::once(Packet::from(added.userid().clone())).chain(signatures).collect();
    cert.clone().insert_packets(packets).ok().map(|(cert, _)| cert)
}

/// The certificate with a certification by one of our authorities that holds for another month: the one it
/// has, the one that is published now, or a new one.
fn endorsed(
    request: &Request<'_>,
    record: &Record,
    cert: Cert,
    named: Named<'_>,
) -> Result<Cert, PublicationError> {
    let rules = request.rules.rules;
    let Some(endorse) = &rules.endorser else { return Ok(cert) };
    if record.revoked.is_some() {
        return Ok(cert);
    }
    let later = request.now + RENEWAL;
    let holds = |cert: &Cert| {
        let small = minimise::minimise(cert, named, &rules.endorsers, later);
        small.is_some_and(|packets| {
            Cert::from_packets(packets.into_iter())
                .is_ok_and(|small| small.userids().all(|uid| uid.certifications().next().is_some()))
        })
    };
    if holds(&cert) {
        return Ok(cert);
    }
    if let Some(merged) = request.before(&record.fingerprint).and_then(|b| cert.clone().merge_public(b).ok())
        && holds(&merged)
    {
        return Ok(merged);
    }
    let failed = |source| PublicationError::Sign {
        address: request.key.to_owned(),
        fingerprint: record.fingerprint.clone(),
        source,
    };
    let address = match named {
        Named::Mailbox(address) | Named::Domain(address) => address,
    };
    let signed = endorse(&cert, address).map_err(failed)?;
    Ok(signed.map_or(cert, Cert::strip_secret_key_material))
}

fn subject(named: Named<'_>) -> Option<Subject> {
    match named {
        Named::Mailbox(address) => Subject::address(address),
        // The administrator may have assigned it.
        Named::Domain(_) => None,
    }
}

/// When the holder revoked the certificate: the newest revocation that counts.
fn revoked_at(cert: &Cert, now: i64) -> i64 {
    let time = assess::system_time(now);
    match cert.revocation_status(&assess::lenient_policy(time), time) {
        RevocationStatus::Revoked(signatures) => {
            signatures.iter().filter_map(|s| s.signature_creation_time()).map(unix).max().unwrap_or(now)
        }
        RevocationStatus::CouldBe(_) | RevocationStatus::NotAsFarAsWeKnow => now,
    }
}

fn user_id_revoked(cert: &Cert, now: i64) -> bool {
    let time = assess::system_time(now);
    let policy = assess::lenient_policy(time);
    cert.userids().any(|uid| {
        uid.with_policy(&policy, time)
            .is_ok_and(|uid| matches!(uid.revocation_status(), RevocationStatus::Revoked(_)))
    })
}

/// Notes the next moment at which something about the certificate begins or ends.
fn edges(cert: &Cert, now: i64, draft: &mut Draft) {
    assess::edges(cert, &mut |at| {
        draft.due_at(at, now);
        draft.due_at(at.saturating_add(minimise::EXPIRED_SUBKEYS), now);
    });
    for uid in cert.userids() {
        let ends = uid.certifications().filter_map(|s| s.signature_expiration_time());
        ends.for_each(|end| draft.due_at(unix(end) - RENEWAL, now));
    }
}

fn describe(cert: &Cert, bytes: Vec<u8>, standing: &Result<assess::Fitness, Reason>, now: i64) -> Drawn {
    let primary = cert.primary_key();
    let key = primary.key();
    let created = unix(key.creation_time());
    let text = |uid: &[u8]| String::from_utf8_lossy(uid).into_owned();
    Drawn {
        components: cert.keys().map(|key| key.key().fingerprint().to_hex()).collect(),
        published: Published {
            fingerprint: cert.fingerprint().to_hex(),
            scheme: Scheme::Openpgp,
            bytes: Arc::from(bytes),
            version: key.version(),
            algorithm: algorithm(key.mpis(), &key.pk_algo().to_string()),
            algorithm_number: key.pk_algo().into(),
            bits: key.mpis().bits().and_then(|bits| u32::try_from(bits).ok()).unwrap_or(0),
            created,
            valid_from: Some(created),
            valid_until: assess::expiry(cert, now),
            revoked: matches!(standing, Err(Reason::Revoked(_))),
            usable: standing.is_ok(),
            user_ids: cert.userids().map(|uid| text(uid.userid().value())).collect(),
            chain: Vec::new(),
        },
    }
}

/// Algorithm and size in a word, as GnuPG writes them.
fn algorithm(key: &mpi::PublicKey, name: &str) -> String {
    use mpi::PublicKey;
    let bits = key.bits().unwrap_or(0);
    match key {
        PublicKey::RSA { .. } => format!("rsa{bits}"),
        PublicKey::DSA { .. } => format!("dsa{bits}"),
        PublicKey::ElGamal { .. } => format!("elg{bits}"),
        PublicKey::EdDSA { curve, .. } | PublicKey::ECDSA { curve, .. } | PublicKey::ECDH { curve, .. } => {
            curve_name(curve)
        }
        PublicKey::Ed25519 { .. } => "ed25519".to_owned(),
        PublicKey::Ed448 { .. } => "ed448".to_owned(),
        _ => name.to_ascii_lowercase().replace([' ', '_', '+'], "-"),
    }
}

fn curve_name(curve: &Curve) -> String {
    match curve {
        Curve::NistP256 => "nistp256",
        Curve::NistP384 => "nistp384",
        Curve::NistP521 => "nistp521",
        Curve::BrainpoolP256 => "brainpoolP256r1",
        Curve::BrainpoolP384 => "brainpoolP384r1",
        Curve::BrainpoolP512 => "brainpoolP512r1",
        Curve::Ed25519 => "ed25519",
        Curve::Cv25519 => "cv25519",
        _ => "ecc",
    }
    .to_ascii_lowercase()
}
