//! Makes a certificate as small as what is asked for: one mailbox.
//!
//! What stays: the primary key, the User IDs of the mailbox, subkeys that are or were of use to others, the
//! newest valid signatures of the holder on each of them, and certifications by authorities of our own. No
//! attributes, no packets for private use, no signatures of third parties, nothing that is not to be
//! exported; and in the unhashed part of signatures, where anybody can write, only what is needed to check them.

use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::KeyHandle;
use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::amalgamation::UserIDAmalgamation;
use sequoia_openpgp::cert::amalgamation::ValidAmalgamation;
use sequoia_openpgp::cert::amalgamation::ValidateAmalgamation;
use sequoia_openpgp::cert::amalgamation::key::ErasedKeyAmalgamation;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::packet::key::SubordinateRole;
use sequoia_openpgp::packet::signature::subpacket::Subpacket;
use sequoia_openpgp::packet::signature::subpacket::SubpacketValue;
use sequoia_openpgp::policy::HashAlgoSecurity;
use sequoia_openpgp::policy::Policy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::RevocationStatus;
use sequoia_openpgp::types::RevocationType;

use crate::assess;
use crate::identity;

/// Newest signatures of one kind that stay on a component.
const MAX_SIGNATURES: usize = 5;
/// Most User IDs that name one mailbox.
const MAX_USER_IDS: usize = 10;
/// Most subkeys.
const MAX_SUBKEYS: usize = 40;
/// How long a subkey that can only encrypt stays after it expired, seconds: clocks differ.
pub(super) const EXPIRED_SUBKEYS: i64 = 86_400;

/// Whose User IDs stay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    /// Those of one mailbox, as [`Subject::key`](crate::Subject) writes it.
    Mailbox(&'a str),
    /// All of one domain.
    Domain(&'a str),
}

impl Named<'_> {
    /// Whether a User ID names this mailbox or a mailbox of this domain, and nobody else.
    pub(super) fn is(&self, uid: &UserID) -> bool {
        let Some(address) = identity::user_id_address(uid) else { return false };
        match self {
            Self::Mailbox(key) => address.to_ascii_lowercase() == *key,
            Self::Domain(name) => address.split_once('@').is_some_and(|(_, domain)| domain == *name),
        }
    }
}

/// The packets of the small certificate; `None` if no User ID with a signature of the holder is left.
pub(super) fn minimise(cert: &Cert, named: Named<'_>, endorsers: &[Cert], now: i64) -> Option<Vec<Packet>> {
    let primary = cert.primary_key();
    let strip = Strip::of(cert);
    let mut packets: Vec<Packet> = vec![primary.key().clone().into()];
    packets.extend(own(&strip, primary.self_revocations(), primary.self_signatures()));
    let before = packets.len();
    for uid in cert.userids().filter(|uid| named.is(uid.userid())).take(MAX_USER_IDS) {
        let signatures = own(&strip, uid.self_revocations(), uid.self_signatures());
        if !signatures.is_empty() {
            packets.push(uid.userid().clone().into());
            packets.extend(signatures);
            packets.extend(endorsements(cert, &uid, endorsers, now));
        }
    }
    if packets.len() == before {
        return None;
    }
    for subkey in cert.keys().subkeys().take(MAX_SUBKEYS) {
        let signatures = own(&strip.on(subkey.key()), subkey.self_revocations(), subkey.self_signatures());
        if !signatures.is_empty() && of_use(subkey.clone().into(), now) {
            packets.push(Packet::PublicSubkey(subkey.key().clone()));
            packets.extend(signatures);
        }
    }
    Some(packets)
}

/// The least with which one can encrypt to a mailbox (as [`Subject::key`](crate::Subject) writes it), in octets: primary
/// key, one User ID, one subkey, the newest signature on each.
pub(crate) fn smallest(cert: &Cert, mailbox: &str, subkey: &Fingerprint, now: i64) -> Option<Vec<u8>> {
    let packets = minimise(cert, Named::Mailbox(mailbox), &[], now)?;
    let small = Cert::from_packets(packets.into_iter()).ok()?;
    let policy = assess::lenient_policy(assess::system_time(now));
    let valid = small.with_policy(&policy, assess::system_time(now)).ok()?;
    let uid = valid.userids().find(|uid| Named::Mailbox(mailbox).is(uid.userid()))?;
    let mut least: Vec<Packet> = vec![small.primary_key().key().clone().into()];
    least.extend(valid.direct_key_signature().ok().cloned().map(Packet::from));
    least.push(uid.userid().clone().into());
    least.push(uid.binding_signature().clone().into());
    let key = valid.keys().subkeys().find(|key| key.key().fingerprint() == *subkey)?;
    least.push(Packet::PublicSubkey(key.key().clone()));
    least.push(key.binding_signature().clone().into());
    bytes(&least).ok()
}

/// The certificate in octets.
pub(super) fn bytes(packets: &[Packet]) -> sequoia_openpgp::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for packet in packets {
        bytes.extend(packet.to_vec()?);
    }
    Ok(bytes)
}

/// The certifications of our authorities on a User ID: of each the newest valid one, and its revocation.
fn endorsements(cert: &Cert, uid: &UserIDAmalgamation<'_>, endorsers: &[Cert], now: i64) -> Vec<Packet> {
    let mut kept = Vec::new();
    for endorser in endorsers {
        let primary = cert.primary_key();
        let key = endorser.primary_key();
        let made_by = |signature: &&Signature| {
            let handle = endorser.key_handle();
            signature.exportable().is_ok()
                && signature.get_issuers().iter().any(|issuer| issuer.aliases(&handle))
        };
        let alive =
            |signature: &&Signature| signature.signature_alive(assess::system_time(now), None).is_ok();
        let revoked = uid
            .other_revocations()
            .filter(made_by)
            .find(|s| s.verify_userid_revocation(key.key(), primary.key(), uid.userid()).is_ok());
        let certified = uid
            .certifications()
            .filter(made_by)
            .filter(alive)
            .filter(|s| strong(s, now))
            .find(|s| s.verify_userid_binding(key.key(), primary.key(), uid.userid()).is_ok());
        let strip = Strip::of(cert).by(endorser.key_handle());
        let both = [certified, revoked].into_iter().flatten().cloned();
        kept.extend(both.map(|signature| Packet::from(strip.signature(signature))));
    }
    kept
}

fn strong(signature: &Signature, now: i64) -> bool {
    assess::strict_policy(assess::system_time(now))
        .signature(signature, HashAlgoSecurity::CollisionResistance)
        .is_ok()
}

/// Whether others can do something with a subkey, now or once it begins: not if it never agreed to sign, and
/// not if it can only encrypt and expired.
fn of_use(subkey: ErasedKeyAmalgamation<'_, PublicParts>, now: i64) -> bool {
    let lenient = assess::lenient_policy(assess::system_time(now));
    let Ok(valid) = subkey.with_policy(&lenient, assess::system_time(now)) else {
        let begins = subkey.self_signatures().filter_map(|s| s.signature_creation_time()).max();
        return begins.is_some_and(|begins| assess::unix(begins) > now);
    };
    let only_encrypts = !valid.for_signing() && !valid.for_certification() && !valid.for_authentication();
    let expired = valid
        .key_expiration_time()
        .is_some_and(|end| assess::unix(end).saturating_add(EXPIRED_SUBKEYS) <= now);
    let revoked = matches!(valid.revocation_status(), RevocationStatus::Revoked(_));
    revoked || !(only_encrypts && expired)
}

/// The holder's signatures on one component that may leave the house; the iterators give the newest first. Hard
/// revocations come first, so that nothing can push them out.
fn own<'a>(
    strip: &Strip<'_>,
    revocations: impl Iterator<Item = &'a Signature>,
    bindings: impl Iterator<Item = &'a Signature>,
) -> Vec<Packet> {
    let hard = |signature: &&Signature| {
        let reason = signature.reason_for_revocation();
        reason.is_none_or(|(reason, _)| reason.revocation_type() == RevocationType::Hard)
    };
    let exportable = |signature: &&Signature| signature.exportable().is_ok();
    let (hard, soft): (Vec<_>, Vec<_>) = revocations.filter(exportable).partition(hard);
    let revocations = hard.into_iter().chain(soft).take(MAX_SIGNATURES);
    let all = revocations.chain(bindings.filter(exportable).take(MAX_SIGNATURES));
    all.cloned().map(|signature| strip.signature(signature).into()).collect()
}

/// Takes from the unhashed part of signatures what nobody needs.
struct Strip<'a> {
    cert: &'a Cert,
    /// Who made the signatures.
    issuer: KeyHandle,
    /// The subkey that they bind.
    subkey: Option<&'a Key<PublicParts, SubordinateRole>>,
}

impl<'a> Strip<'a> {
    fn of(cert: &'a Cert) -> Self {
        Self { cert, issuer: cert.key_handle(), subkey: None }
    }

    fn by(&self, issuer: KeyHandle) -> Self {
        Self { cert: self.cert, issuer, subkey: None }
    }

    fn on(&self, subkey: &'a Key<PublicParts, SubordinateRole>) -> Self {
        Self { cert: self.cert, issuer: self.issuer.clone(), subkey: Some(subkey) }
    }

    /// The signature with its true issuer and a subkey's valid consent, and nothing else, in the unhashed part.
    fn signature(&self, mut signature: Signature) -> Signature {
        let unhashed = signature.unhashed_area().iter();
        let mut kept: Vec<SubpacketValue> = unhashed.filter_map(|subpacket| self.kept(subpacket)).collect();
        // Always in the same order, however often the signature was merged with others like it.
        kept.sort_by_key(|value| u8::from(value.tag()));
        kept.dedup();
        let area = signature.unhashed_area_mut();
        area.clear();
        for value in kept {
            // Less than there was always fits.
            let _ = Subpacket::new(value, false).and_then(|subpacket| area.add(subpacket));
        }
        signature
    }

    fn kept(&self, subpacket: &Subpacket) -> Option<SubpacketValue> {
        match subpacket.value() {
            SubpacketValue::Issuer(id) => {
                self.issuer.aliases(KeyHandle::from(id.clone())).then(|| subpacket.value().clone())
            }
            SubpacketValue::IssuerFingerprint(fingerprint) => {
                (self.issuer == KeyHandle::from(fingerprint.clone())).then(|| subpacket.value().clone())
            }
            SubpacketValue::EmbeddedSignature(consent) => {
                let subkey = self.subkey?;
                consent.verify_primary_key_binding(self.cert.primary_key().key(), subkey).ok()?;
                let strip = self.by(subkey.key_handle());
                Some(SubpacketValue::EmbeddedSignature(strip.signature(consent.clone())))
            }
            _ => None,
        }
    }
}
