//! Input that was cut, bent or made to cost much.

use std::io;
use std::io::Read;
use std::sync::LazyLock;

use mail::Spill;
use proptest::prelude::*;
use sealing::Limits;
use sealing::cms::SecretKey;
use sealing::cms::Signer;
use sealing::cms::VerifyError;
use sealing::cms::sign_opaque;
use sealing::cms::verify_detached;
use sealing::cms::verify_opaque;

use crate::forge::*;
use crate::openssl::sign_both;
use crate::pki::*;

fn damaged(input: &[u8]) -> String {
    match opaque(input, &[]) {
        Err(VerifyError::Damaged(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_cut_anywhere_is_damaged() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let (clear, whole) = sign_both(&Signer::new(&alice, now()));
    for end in 0..whole.len() {
        damaged(&whole[..end]);
    }
    for end in 0..clear.len() {
        assert!(
            matches!(detached(&clear[..end], CONTENT, &[]), Err(VerifyError::Damaged(_))),
            "cut at {end}"
        );
    }
}

/// Input with one bit flipped, every `step`th bit in turn.
fn bent(good: &[u8], step: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..good.len() * 8).step_by(step).map(move |bit| {
        let mut bent = good.to_vec();
        bent[bit / 8] ^= 1 << (bit % 8);
        bent
    })
}

#[test]
fn whatever_bit_is_flipped_nothing_else_holds() {
    let ca = Ca::new();
    // Steps that are odd meet every bit of an octet sooner or later.
    for (kind, step) in [(Kind::P256, 3), (Kind::Rsa(2048), 9), (Kind::Ed25519, 9)] {
        let alice = ca.identity(ALICE, kind);
        let (clear, whole) = sign_both(&Signer::new(&alice, now()));
        for bent in bent(&whole, step) {
            let Ok(verified) = opaque(&bent, &[]) else { continue };
            if verified.all_hold() {
                assert_eq!(content(&verified), CONTENT);
                assert_holds(&verified, alice.certificate());
            }
        }
        for bent in bent(&clear, 9) {
            let Ok(verified) = detached(&bent, CONTENT, &[]) else { continue };
            if verified.all_hold() {
                assert_holds(&verified, alice.certificate());
            }
        }
        for bent in bent(CONTENT, step) {
            assert_eq!(refusal(&detached(&clear, &bent, &[]).unwrap()), "the content was altered");
        }
    }
}

#[test]
fn data_behind_the_end_or_around_it_is_refused() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let good = Forge::over(&alice, CONTENT).build();
    assert!(damaged(&[&good[..], b"\r\n"].concat()).contains("behind"));
    damaged(&[&good[..], &good].concat());
    damaged(b"");
    damaged(b"MIME-Version: 1.0\r\n");
    // An element too many inside.
    let inside = sequence(&[
        &oid(SIGNED_DATA),
        &tlv(
            0xa0,
            &[&sequence(&[&[2, 1, 1], &tlv(0x31, &[]), &sequence(&[&oid(DATA)]), &tlv(0x31, &[]), &[5, 0]])],
        ),
    ]);
    damaged(&inside);
}

#[test]
fn other_content_is_named() {
    let enveloped =
        sequence(&[&oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3]), &tlv(0xa0, &[&sequence(&[])])]);
    let error = opaque(&enveloped, &[]).unwrap_err();
    assert!(matches!(error, VerifyError::Unsupported(_)));
    assert_eq!(error.to_string(), "not SignedData but EnvelopedData");
}

#[test]
fn a_content_that_is_no_octet_string_is_refused() {
    // PKCS #7 1.5 allowed anything there; a MIME entity is octets.
    let content = sequence(&[&oid(DATA), &tlv(0xa0, &[&sequence(&[])])]);
    let signed = sequence(&[&[2, 1, 1], &tlv(0x31, &[]), &content, &tlv(0x31, &[])]);
    assert!(damaged(&sequence(&[&oid(SIGNED_DATA), &tlv(0xa0, &[&signed])])).contains("universal"));
}

#[test]
fn too_many_signatures_or_certificates_are_refused() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let forge = Forge::over(&alice, CONTENT);
    let info = forge.signer_info();
    assert!(opaque(&forge.build_with(&vec![info.clone(); 32]), &[]).unwrap().all_hold());
    let error = opaque(&forge.build_with(&vec![info; 33]), &[]).unwrap_err();
    assert!(matches!(error, VerifyError::TooLarge(_)), "{error:?}");
    let own = alice.certificate().der().to_vec();
    let many =
        |count| Forge { certificates: vec![own.clone(); count], ..Forge::over(&alice, CONTENT) }.build();
    assert!(opaque(&many(64), &[]).unwrap().all_hold());
    assert!(matches!(opaque(&many(65), &[]), Err(VerifyError::TooLarge(_))));
}

#[test]
fn many_certificates_with_the_signers_name_are_not_all_tried() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let serial = u32::from_be_bytes([&[0; 2][..], alice.certificate().serial()].concat().try_into().unwrap());
    let mut certificates = vec![alice.certificate().der().to_vec()];
    let other = Kind::P256.generate();
    for number in 0..8 {
        let namesake = ca.issue_with_serial(&format!("m{number}@alpha.example"), &other, serial);
        certificates.push(namesake.der().to_vec());
    }
    let forge = Forge { certificates, ..Forge::over(&alice, CONTENT) };
    assert_eq!(refusal(&opaque(&forge.build(), &[]).unwrap()), "the signer's name fits several certificates");
}

#[test]
fn structure_that_is_not_content_is_limited() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let padding = attribute(&[0x2a, 3], &[&tlv(4, &[&vec![0; 2 << 20]])]);
    let attributes = Some(vec![content_type(), message_digest(CONTENT), padding]);
    let forge = Forge { attributes, ..Forge::over(&alice, CONTENT) };
    assert!(matches!(opaque(&forge.build(), &[]), Err(VerifyError::TooLarge(_))));
    let forge =
        Forge { certificates: vec![sequence(&[&vec![0x30; 2 << 20]])], ..Forge::over(&alice, CONTENT) };
    assert!(matches!(opaque(&forge.build(), &[]), Err(VerifyError::TooLarge(_) | VerifyError::Damaged(_))));
}

#[test]
fn lies_about_lengths_and_endless_nesting_are_refused() {
    let start = |rest: &[u8]| [&[0x30, 0x80, 6, 9][..], SIGNED_DATA, &[0xa0, 0x80], rest].concat();
    for rest in [
        &[0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 1][..],
        &[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 1],
        &[0x30, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x30, 0xff],
        &[0x10, 0],
        &[0, 0, 0, 0],
        &[0x3f, 0xff, 0xff],
    ] {
        damaged(&start(rest));
    }
    damaged(&start(&[0x30, 0x80].repeat(100_000)));
    // Deep inside an attribute, where everything is read.
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let mut deep = tlv(4, &[]);
    for _ in 0..1000 {
        deep = tlv(0x30, &[&deep]);
    }
    let attributes = Some(vec![content_type(), message_digest(CONTENT), attribute(&[0x2a, 3], &[&deep])]);
    assert!(damaged(&Forge { attributes, ..Forge::over(&alice, CONTENT) }.build()).contains("deep"));
    // An OCTET STRING of strings of strings.
    let nested =
        [&[2, 1, 1, 0x31, 0, 0x30, 0x80, 6, 9][..], DATA, &[0xa0, 0x80], &[0x24, 0x80].repeat(100_000)]
            .concat();
    damaged(&start(&[&[0x30, 0x80], &nested[..]].concat()));
}

#[test]
fn a_content_over_the_limit_is_refused() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let (clear, whole) = sign_both(&Signer::new(&alice, now()));
    for (bytes, fits) in [(CONTENT.len() as u64, true), (CONTENT.len() as u64 - 1, false)] {
        let limits = Limits { opened_bytes: bytes, ..Limits::default() };
        let inside = verify_opaque(&mut &whole[..], &[], &Spill::default(), &limits);
        let beside = verify_detached(&clear, &mut &CONTENT[..], &[], &limits);
        for outcome in [inside, beside] {
            assert!(
                matches!((&outcome, fits), (Ok(_), true) | (Err(VerifyError::TooLarge(_)), false)),
                "{outcome:?}"
            );
        }
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("disk on fire"))
    }
}

#[test]
fn a_source_that_fails_is_not_a_bad_signature() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let (clear, whole) = sign_both(&Signer::new(&alice, now()));
    let limits = Limits::default();
    let outcome = verify_detached(&clear, &mut CONTENT.chain(Broken), &[], &limits);
    assert!(matches!(outcome, Err(VerifyError::Io(_))), "{outcome:?}");
    for end in [0, 5, whole.len() / 2, whole.len() - 1] {
        let outcome = verify_opaque(&mut whole[..end].chain(Broken), &[], &Spill::default(), &limits);
        assert!(matches!(outcome, Err(VerifyError::Io(_))), "{outcome:?}");
    }
    let spill = Spill { limit: 0, dir: "/nonexistent".into() };
    assert!(matches!(verify_opaque(&mut &whole[..], &[], &spill, &limits), Err(VerifyError::Io(_))));
}

/// The same SignedData with every SEQUENCE, SET and tag of indefinite length, and the content in pieces.
fn as_ber(der: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = der;
    while let [identifier, ..] = *rest {
        let (header, length) = match rest[1] {
            short @ ..0x80 => (2, usize::from(short)),
            long => {
                let octets = usize::from(long & 0x7f);
                (
                    2 + octets,
                    rest[2..2 + octets].iter().fold(0, |length, octet| length << 8 | usize::from(*octet)),
                )
            }
        };
        let inner = &rest[header..header + length];
        rest = &rest[header + length..];
        if identifier == 4 && inner.len() >= 8 {
            out.extend([0x24, 0x80]);
            let mut from = 0;
            for cut in cuts.iter().map(|cut| cut % inner.len()).filter(|cut| *cut > 0) {
                let to = (from + cut).min(inner.len());
                out.extend(tlv(4, &[&inner[from..to]]));
                from = to;
            }
            out.extend(tlv(0x24, &[&tlv(4, &[&inner[from..]]), &tlv(4, &[])]));
            out.extend([0, 0]);
        } else if identifier & 0x20 != 0 {
            out.extend([identifier, 0x80]);
            out.extend(as_ber(inner, cuts));
            out.extend([0, 0]);
        } else {
            out.extend(tlv(identifier, &[inner]));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(opaque(&bytes, &[]).is_err());
        prop_assert!(detached(&bytes, CONTENT, &[]).is_err());
    }

    #[test]
    fn any_bytes_behind_a_good_start_are_read_without_a_panic(
        at in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 1..60),
    ) {
        let mut bent = sample().1.clone();
        let at = at.index(bent.len());
        let end = (at + bytes.len()).min(bent.len());
        bent.splice(at..end, bytes);
        if let Ok(verified) = opaque(&bent, &[]) && verified.all_hold() {
            prop_assert_eq!(content(&verified), CONTENT);
        }
    }

    #[test]
    fn any_content_is_signed_and_verified(
        text in proptest::collection::vec(any::<u8>(), 0..3000),
        cuts in proptest::collection::vec(1_usize..500, 0..20),
    ) {
        let alice = &sample().0;
        let mut whole = Vec::new();
        sign_opaque(&mut whole, &Signer::new(alice, now()), |out| out.write_all(&text)).unwrap();
        let verified = opaque(&whole, &[]).unwrap();
        assert_holds(&verified, alice.certificate());
        prop_assert_eq!(content(&verified), text.clone());
        // All of it as BER, even certificates and signed attributes: it means the same.
        let verified = opaque(&as_ber(&whole, &cuts), &[]).unwrap();
        assert_holds(&verified, alice.certificate());
        prop_assert_eq!(content(&verified), text);
    }
}

/// Alice, and one content that she signed; the same for all cases.
fn sample() -> &'static (SecretKey, Vec<u8>) {
    static SAMPLE: LazyLock<(SecretKey, Vec<u8>)> = LazyLock::new(|| {
        let alice = Ca::new().identity(ALICE, Kind::P256);
        let (_, whole) = sign_both(&Signer::new(&alice, now()));
        (alice, whole)
    });
    &SAMPLE
}
