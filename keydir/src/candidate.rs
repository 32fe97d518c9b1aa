//! What strangers' directories hand out, before anything of it is used: whose it is, whether it can encrypt today,
//! and whether certificates seen before vouch for it.

use std::sync::Arc;

use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::RevocationStatus;

use crate::answer::Reason;
use crate::answer::Rejected;
use crate::assess;
use crate::identity;
use crate::intake;
use crate::intake::IntakeError;
use crate::record::Scheme;
use crate::subject::Purpose;
use crate::subject::Subject;
use crate::x509::Certificate;
use crate::x509::Speaks;

/// Most certificates of one answer that are looked at.
const MAX_CERTIFICATES: usize = 32;

/// A certificate that can serve to encrypt to the asked mailbox today.
///
/// The chain of an S/MIME certificate is not checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offered {
    /// OpenPGP or S/MIME.
    pub scheme: Scheme,
    /// Fingerprint of the primary key, or SHA-256 of the X.509 certificate; upper-case hexadecimal.
    pub fingerprint: String,
    /// The certificate, minimised, merged with what was remembered of it: binary OpenPGP or DER.
    pub bytes: Arc<[u8]>,
    /// When the key that mail would be encrypted to was made, or the X.509 certificate began; Unix seconds.
    pub created: i64,
    /// End of validity of the primary key or X.509 certificate, Unix seconds.
    pub valid_until: Option<i64>,
    /// Fingerprints of remembered certificates that vouch for this one: their primary key certified its binding to
    /// the mailbox (OpenPGP), or it holds the same key, or the same key of an authority signed it (S/MIME).
    pub succeeds: Vec<String>,
}

/// What one answer comes down to.
#[derive(Clone, Debug, Default)]
pub struct Screening {
    /// The newest key first.
    pub usable: Vec<Offered>,
    /// Everything else, with the reason.
    pub refused: Vec<Rejected>,
    /// Certificates of the mailbox that are revoked, binary OpenPGP; worth remembering.
    pub revoked: Vec<Arc<[u8]>>,
    /// What could not be read at all, in words. Nobody knows what it would have been.
    pub unreadable: Vec<String>,
}

/// Looks through the OpenPGP certificates of an answer at `now` (Unix seconds).
///
/// `remembered` are certificates that were used for the mailbox before: a certificate among them is merged, so that
/// an older version cannot roll a revocation back, and any of them may vouch for a new one.
///
/// # Errors
/// As [`read_certificates`](crate::read_certificates): then the answer says nothing.
pub fn screen_openpgp(
    input: &[u8],
    address: &Subject,
    remembered: &[Arc<[u8]>],
    now: i64,
) -> Result<Screening, IntakeError> {
    let raw = intake::read_uncleaned(input)?;
    if raw.len() > MAX_CERTIFICATES {
        let (what, found) = ("certificates", raw.len());
        return Err(IntakeError::Limit { what, found, limit: MAX_CERTIFICATES });
    }
    let known: Vec<Cert> = remembered.iter().filter_map(|bytes| Cert::from_bytes(bytes).ok()).collect();
    let mut screening = Screening::default();
    for (index, raw) in raw.into_iter().enumerate() {
        let malformed = |source| IntakeError::Malformed { number: index + 1, source };
        let mut cert = intake::clean(&raw).map_err(malformed)?;
        if let Some(known) = known.iter().find(|known| known.fingerprint() == cert.fingerprint()) {
            let merged = known.clone().merge_public(cert.clone()).map_err(malformed)?;
            let merged = intake::clean(&merged).map_err(malformed)?;
            // Years of weekly subkeys are too much; then the newer version stands alone, unless it hides something.
            if intake::check_counts(&merged).is_ok() || assess::revocation(&merged, now).is_some() {
                cert = merged;
            }
        }
        screening.openpgp(&cert, &raw, address, &known, now).map_err(malformed)?;
    }
    screening.sort();
    Ok(screening)
}

/// Looks through the X.509 certificates (DER) of an answer at `now` (Unix seconds). `remembered` as in
/// [`screen_openpgp`], in DER. `same_issuer` says whether one key of an authority signed an old certificate and a new
/// one; it is asked only where both name the same issuer.
pub fn screen_smime(
    ders: &[Vec<u8>],
    address: &str,
    remembered: &[Arc<[u8]>],
    same_issuer: &dyn Fn(&Certificate, &Certificate) -> bool,
    now: i64,
) -> Screening {
    let known: Vec<_> = remembered.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let mut screening = Screening::default();
    for der in ders.iter().take(MAX_CERTIFICATES) {
        match Certificate::from_der(der) {
            Ok(certificate) => screening.smime(&certificate, address, &known, same_issuer, now),
            Err(error) => screening.unreadable.push(error.to_string()),
        }
    }
    if ders.len() > MAX_CERTIFICATES {
        screening
            .unreadable
            .push(format!("{} certificates, of which {MAX_CERTIFICATES} were read", ders.len()));
    }
    screening.sort();
    screening
}

impl Screening {
    fn openpgp(
        &mut self,
        cert: &Cert,
        raw: &Cert,
        address: &Subject,
        known: &[Cert],
        now: i64,
    ) -> sequoia_openpgp::Result<()> {
        let fingerprint = cert.fingerprint().to_hex();
        match assess::assess(cert, Purpose::Encrypt, Some(address), now) {
            Ok(fitness) => self.add(Offered {
                scheme: Scheme::Openpgp,
                fingerprint,
                bytes: cert.to_vec()?.into(),
                created: fitness.created,
                valid_until: assess::expiry(cert, now),
                succeeds: vouching(known, raw, address, now),
            }),
            Err(reason) => {
                if matches!(reason, Reason::Revoked(_)) && names(cert, address) {
                    self.revoked.push(cert.to_vec()?.into());
                }
                self.refused.push(Rejected { fingerprint, reason });
            }
        }
        Ok(())
    }

    fn smime(
        &mut self,
        certificate: &Certificate,
        address: &str,
        known: &[Certificate],
        same_issuer: &dyn Fn(&Certificate, &Certificate) -> bool,
        now: i64,
    ) {
        let fingerprint = certificate.fingerprint();
        let fit = match certificate.speaks_for(address) {
            Some(Speaks::User) => certificate.may_encrypt(now),
            _ => Err(Reason::NoUserId(address.to_owned())),
        };
        match fit {
            Ok(()) => self.add(Offered {
                scheme: Scheme::Smime,
                succeeds: known
                    .iter()
                    .filter(|old| renews(old, certificate, same_issuer))
                    .map(Certificate::fingerprint)
                    .collect(),
                fingerprint,
                bytes: certificate.der().into(),
                created: certificate.not_before(),
                valid_until: Some(certificate.not_after()),
            }),
            Err(reason) => self.refused.push(Rejected { fingerprint, reason }),
        }
    }

    fn add(&mut self, offered: Offered) {
        if !self.usable.iter().any(|other| other.fingerprint == offered.fingerprint) {
            self.usable.push(offered);
        }
    }

    fn sort(&mut self) {
        self.usable.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
    }
}

/// Whether any User ID that the holder bound, valid today or not, names the mailbox.
fn names(cert: &Cert, address: &Subject) -> bool {
    let mut named = cert.userids().filter_map(|uid| identity::user_id_address(uid.userid()));
    named.any(|named| Subject::Address(named).same(address))
}

/// Which of the known certificates certified that the new one belongs to the mailbox.
fn vouching(known: &[Cert], new: &Cert, address: &Subject, now: i64) -> Vec<String> {
    let others = known.iter().filter(|old| old.fingerprint() != new.fingerprint());
    others.filter(|old| vouches(old, new, address, now)).map(|old| old.fingerprint().to_hex()).collect()
}

/// Whether the primary key of `old` certified a User ID of `new` that names the mailbox, at a time when `old` was
/// valid, and has not taken it back. A certificate that was compromised vouches for nothing.
fn vouches(old: &Cert, new: &Cert, address: &Subject, now: i64) -> bool {
    let time = assess::system_time(now);
    let strict = assess::strict_policy(time);
    let issuer = old.primary_key().key().clone();
    let named =
        |uid: &_| identity::user_id_address(uid).is_some_and(|uid| Subject::Address(uid).same(address));
    let lenient = assess::lenient_policy(time);
    new.userids().filter(|uid| named(uid.userid())).any(|uid| {
        if uid.valid_third_party_revocations_by_key(&lenient, time, &issuer).next().is_some() {
            return false;
        }
        uid.active_certifications_by_key(&strict, time, &issuer).any(|certification| {
            let Some(made) = certification.signature_creation_time() else { return false };
            let heard = old.revocation_status(&assess::lenient_policy(time), made);
            let valid = old.with_policy(&strict, made);
            !matches!(heard, RevocationStatus::Revoked(_))
                && valid.is_ok_and(|valid| valid.alive().is_ok() && valid.primary_key().for_certification())
        })
    })
}

/// Whether a new X.509 certificate holds the key of an old one, or comes from the same issuer. Its name alone does not
/// tell: two authorities that are both trusted may have one, and whoever has an authority may name it as he likes.
fn renews(
    old: &Certificate,
    new: &Certificate,
    same_issuer: &dyn Fn(&Certificate, &Certificate) -> bool,
) -> bool {
    let same_key = match (old.public_key_info(), new.public_key_info()) {
        (Ok(old), Ok(new)) => old == new,
        _ => false,
    };
    // Anybody can issue to himself under any name.
    let own = |certificate: &Certificate| certificate.issuer_der() == certificate.subject_der();
    same_key || (old.issuer_der() == new.issuer_der() && !own(old) && !own(new) && same_issuer(old, new))
}

#[cfg(test)]
mod tests;
