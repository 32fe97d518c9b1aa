//! What is published of the S/MIME certificates of one mailbox.
//!
//! The newest certificate to which mail can be encrypted and, if that one cannot sign, the newest that can.
//! Others are no use to strangers: that one was revoked is said by its issuer's revocation list.

use std::sync::Arc;

use openssl::nid::Nid;
use openssl::pkey::Id;
use openssl::pkey::PKeyRef;
use openssl::pkey::Public;

use super::Published;
use super::draft::Draft;
use super::draft::Drawn;
use super::draft::Rank;
use super::draft::Request;
use crate::record::Scheme;
use crate::store::KnownCertificate;
use crate::subject::Purpose;
use crate::subject::Subject;
use crate::x509::Certificate;
use crate::x509::Use;

/// Most authorities above a certificate.
const MAX_CHAIN: usize = 8;
/// A certificate whose issuer is not known is looked at again after so many seconds.
const AGAIN: i64 = 86_400;

/// Adds the certificates that are published to the draft of a mailbox.
pub(super) fn draw(request: &Request<'_>, known: &[&KnownCertificate], draft: &mut Draft) {
    let now = request.now;
    let Some(subject) = Subject::parse(request.key) else { return };
    let mut fit: Vec<(&KnownCertificate, bool, bool)> = Vec::new();
    for known in known {
        for edge in [known.certificate.not_before(), known.certificate.not_after() + 1] {
            draft.due_at(edge, now);
        }
        let judge = |purpose: Purpose, use_: Use| {
            known.speaks_for(&subject, purpose).and_then(|()| known.judge(use_, now, None))
        };
        let encrypts = judge(Purpose::Encrypt, Use::Encrypt);
        let signs = judge(Purpose::Verify, Use::Sign);
        match (&encrypts, &signs) {
            (Err(why), Err(_)) => {
                draft.omit(format!("{} for {}: {why}", known.record.fingerprint, request.key));
            }
            _ => fit.push((known, encrypts.is_ok(), signs.is_ok())),
        }
    }
    fit.sort_by_key(|(known, ..)| (known.certificate.not_before(), known.record.fingerprint.clone()));
    let encryption = fit.iter().rev().find(|(_, encrypts, _)| *encrypts);
    let signs_too = encryption.is_some_and(|(.., signs)| *signs);
    let signature = fit.iter().rev().find(|(_, _, signs)| *signs).filter(|_| !signs_too);
    for (known, encrypts, _) in encryption.into_iter().chain(signature) {
        let (begin, fingerprint) = (known.certificate.not_before(), &known.record.fingerprint);
        let rank = if *encrypts { Rank::usable(begin, fingerprint) } else { Rank::idle(begin, fingerprint) };
        let drawn = describe(known, *encrypts);
        let complete = match drawn.published.chain.last() {
            Some(last) => Certificate::from_der(last).is_ok_and(|last| self_issued(&last)),
            None => self_issued(&known.certificate),
        };
        if !complete {
            draft.due_at(now + AGAIN, now);
        }
        draft.smime.push((rank, drawn));
    }
}

fn describe(known: &KnownCertificate, usable: bool) -> Drawn {
    let certificate = &known.certificate;
    let key = certificate.x509().public_key().ok();
    let (algorithm, bits) = key.map_or_else(|| ("unknown".to_owned(), 0), |key| algorithm(&key));
    Drawn {
        components: Vec::new(),
        published: Published {
            fingerprint: certificate.fingerprint(),
            scheme: Scheme::Smime,
            bytes: Arc::from(certificate.der()),
            version: 3,
            algorithm,
            algorithm_number: 0,
            bits,
            created: certificate.not_before(),
            valid_from: Some(certificate.not_before()),
            valid_until: Some(certificate.not_after()),
            revoked: false,
            usable,
            user_ids: certificate.addresses().to_vec(),
            chain: chain(known).iter().map(|link| Arc::from(link.der())).collect(),
        },
    }
}

/// The authorities above a certificate, each with the signature of the next, as far as they are known.
fn chain(known: &KnownCertificate) -> Vec<Certificate> {
    let mut chain: Vec<Certificate> = Vec::new();
    let mut at = known.certificate.clone();
    while chain.len() < MAX_CHAIN && !self_issued(&at) {
        let signed_by = |link: &&Certificate| {
            let key = link.x509().public_key();
            link.subject_der() == at.issuer_der()
                && key.is_ok_and(|key| at.x509().verify(&key).unwrap_or(false))
        };
        let Some(next) = known.links.iter().find(signed_by).cloned() else { break };
        if chain.contains(&next) {
            break;
        }
        chain.push(next.clone());
        at = next;
    }
    chain
}

fn self_issued(certificate: &Certificate) -> bool {
    certificate.issuer_der() == certificate.subject_der()
}

/// Algorithm and size in a word, and the size alone.
fn algorithm(key: &PKeyRef<Public>) -> (String, u32) {
    let bits = key.bits();
    let name = match key.id() {
        Id::RSA | Id::RSA_PSS => format!("rsa{bits}"),
        Id::EC => match key.ec_key().ok().and_then(|key| key.group().curve_name()) {
            Some(Nid::X9_62_PRIME256V1) => "nistp256".to_owned(),
            Some(Nid::SECP384R1) => "nistp384".to_owned(),
            Some(Nid::SECP521R1) => "nistp521".to_owned(),
            Some(nid) => nid.short_name().unwrap_or("ec").to_ascii_lowercase(),
            None => "ec".to_owned(),
        },
        Id::ED25519 => "ed25519".to_owned(),
        Id::ED448 => "ed448".to_owned(),
        _ => "unknown".to_owned(),
    };
    (name, bits)
}
