use sequoia_openpgp::Packet;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::types::KeyFlags;
use sequoia_openpgp::types::ReasonForRevocation;
use sequoia_openpgp::types::SignatureType;

use super::*;
use crate::forge::Forge;
use crate::forge::NOW;

const DAY: i64 = 86_400;

fn bob() -> Subject {
    Subject::address("bob@beta.example").unwrap()
}

fn encryption() -> KeyFlags {
    KeyFlags::empty().set_transport_encryption()
}

fn made(created: i64) -> Forge {
    Forge::new(created).user_id("Bob <bob@beta.example>").subkey(encryption(), created)
}

fn bytes(cert: &Cert) -> Arc<[u8]> {
    cert.to_vec().unwrap().into()
}

/// What `signer` says about the User ID of a certificate.
fn certified(cert: &Cert, signer: &mut KeyPair, at: i64, typ: SignatureType) -> Cert {
    let uid = UserID::from("Bob <bob@beta.example>");
    let signature = SignatureBuilder::new(typ)
        .set_signature_creation_time(assess::system_time(at))
        .unwrap()
        .sign_userid_binding(signer, Some(cert.primary_key().key()), &uid)
        .unwrap();
    cert.clone().insert_packets([Packet::from(uid), Packet::from(signature)]).unwrap().0
}

fn revoked(cert: &Cert, signer: &mut KeyPair, reason: ReasonForRevocation, at: i64) -> Cert {
    let signature = SignatureBuilder::new(SignatureType::KeyRevocation)
        .set_signature_creation_time(assess::system_time(at))
        .unwrap()
        .set_reason_for_revocation(reason, b"")
        .unwrap()
        .sign_direct_key(signer, Some(cert.primary_key().key()))
        .unwrap();
    cert.clone().insert_packets(signature).unwrap().0
}

fn screen(input: &[u8], remembered: &[Arc<[u8]>]) -> Screening {
    screen_openpgp(input, &bob(), remembered, NOW).unwrap()
}

#[test]
fn only_certificates_of_the_mailbox_that_encrypt_are_usable_newest_first() {
    let old = made(NOW - 50 * DAY);
    let new = made(NOW - DAY);
    let other = Forge::new(NOW - DAY).user_id("eve@beta.example").subkey(encryption(), NOW - DAY);
    let signing_only = Forge::new(NOW - DAY).user_id("bob@beta.example");
    let future = made(NOW + 50 * DAY);
    let all: Vec<u8> =
        [&old, &other, &new, &signing_only, &future].iter().flat_map(|forge| forge.bytes()).collect();
    let screening = screen(&all, &[]);
    let found: Vec<_> = screening.usable.iter().map(|offered| offered.fingerprint.clone()).collect();
    assert_eq!(found, [new.cert().fingerprint().to_hex(), old.cert().fingerprint().to_hex()]);
    assert!(matches!(screening.refused[0].reason, Reason::NoUserId(_)));
    assert_eq!(screening.refused[1].reason, Reason::NoEncryptionSubkey);
    assert!(matches!(screening.refused[2].reason, Reason::NotYetValid(_)));
    assert!(screening.usable.iter().all(|offered| offered.succeeds.is_empty()));
}

#[test]
fn what_is_no_certificate_says_nothing() {
    for input in [&b""[..], b"<html>", b"\x99\x01", &[0x99; 300]] {
        assert!(screen_openpgp(input, &bob(), &[], NOW).is_err());
    }
    let (cert, _) = CertBuilder::general_purpose(Some("bob@beta.example")).generate().unwrap();
    let secret = cert.as_tsk().to_vec().unwrap();
    assert!(matches!(screen_openpgp(&secret, &bob(), &[], NOW), Err(IntakeError::Secret)));
    let many: Vec<u8> = (0..33).flat_map(|_| made(NOW - DAY).bytes()).collect();
    assert!(matches!(screen_openpgp(&many, &bob(), &[], NOW), Err(IntakeError::Limit { .. })));
}

#[test]
fn an_older_version_cannot_take_a_revocation_back() {
    let forge = made(NOW - 50 * DAY);
    let mut signer = forge.signer();
    let cert = forge.cert();
    let ended = revoked(&cert, &mut signer, ReasonForRevocation::KeyCompromised, NOW - DAY);
    let heard = screen(&bytes(&ended), &[]);
    assert!(heard.usable.is_empty());
    assert_eq!(heard.revoked.len(), 1);
    assert_eq!(screen(&bytes(&cert), &[]).usable.len(), 1);
    let replayed = screen(&bytes(&cert), &heard.revoked);
    assert!(replayed.usable.is_empty() && matches!(replayed.refused[0].reason, Reason::Revoked(_)));
}

#[test]
fn the_old_key_vouches_for_the_new_one() {
    let old = made(NOW - 300 * DAY);
    let mut signer = old.signer();
    let old = old.cert();
    let new = made(NOW - DAY).cert();
    let positive = SignatureType::PositiveCertification;
    let signed = certified(&new, &mut signer, NOW - DAY / 2, positive);
    let fingerprint = [old.fingerprint().to_hex()];
    let screening = screen(&bytes(&signed), &[bytes(&old)]);
    assert_eq!(screening.usable[0].succeeds, fingerprint);
    let kept = Cert::from_bytes(&screening.usable[0].bytes).unwrap();
    assert_eq!(kept.userids().next().unwrap().certifications().count(), 0, "what is kept is minimised");

    // Neither without the signature, nor for a User ID of somebody else, nor unknown, nor taken back.
    assert!(screen(&bytes(&new), &[bytes(&old)]).usable[0].succeeds.is_empty());
    assert!(screen(&bytes(&signed), &[]).usable[0].succeeds.is_empty());
    let withdrawn = certified(&signed, &mut signer, NOW - DAY / 4, SignatureType::CertificationRevocation);
    assert!(screen(&bytes(&withdrawn), &[bytes(&old)]).usable[0].succeeds.is_empty());
    let stranger = made(NOW - 300 * DAY);
    let by_stranger = certified(&new, &mut stranger.signer(), NOW - DAY / 2, positive);
    assert!(screen(&bytes(&by_stranger), &[bytes(&old)]).usable[0].succeeds.is_empty());
}

#[test]
fn a_superseded_key_may_vouch_and_a_compromised_one_never() {
    let old = made(NOW - 300 * DAY);
    let mut signer = old.signer();
    let old = old.cert();
    let new = made(NOW - 10 * DAY).cert();
    let signed = certified(&new, &mut signer, NOW - 9 * DAY, SignatureType::PositiveCertification);
    for (reason, at, vouches) in [
        (ReasonForRevocation::KeySuperseded, NOW - 8 * DAY, true),
        (ReasonForRevocation::KeySuperseded, NOW - 20 * DAY, false),
        (ReasonForRevocation::KeyCompromised, NOW - 8 * DAY, false),
    ] {
        let ended = revoked(&old, &mut signer, reason, at);
        let succeeds = &screen(&bytes(&signed), &[bytes(&ended)]).usable[0].succeeds;
        assert_eq!(!succeeds.is_empty(), vouches, "{reason} {at}");
    }
}
