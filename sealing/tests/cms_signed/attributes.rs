//! Attributes that lie, are missing, or are there twice.

use ::openssl::hash::MessageDigest;
use ::openssl::hash::hash;
use sealing::cms::ContentKind;
use sealing::cms::RecipientId;
use sealing::cms::SignatureType;
use sealing::cms::Signer;
use sealing::cms::sign_detached;

use crate::forge::*;
use crate::openssl::write_content;
use crate::pki::*;

/// Why a layer with these attributes does not hold.
fn why(attributes: Vec<Vec<u8>>) -> String {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    refusal(
        &opaque(&Forge { attributes: Some(attributes), ..Forge::over(&alice, CONTENT) }.build(), &[])
            .unwrap(),
    )
}

#[test]
fn the_forge_itself_is_believed_when_it_is_honest() {
    let ca = Ca::new();
    for kind in [Kind::Rsa(2048), Kind::P256, Kind::Ed25519] {
        let alice = ca.identity(ALICE, kind);
        let verified = opaque(&Forge::over(&alice, CONTENT).build(), &[]).unwrap();
        assert_holds(&verified, alice.certificate());
        assert_eq!(verified.signers[0].signing_time, None);
    }
}

#[test]
fn a_wrong_digest_of_the_content_does_not_hold() {
    assert_eq!(why(vec![content_type(), message_digest(b"another content")]), "the content was altered");
    let short =
        attribute(MESSAGE_DIGEST, &[&tlv(4, &[&hash(MessageDigest::sha256(), CONTENT).unwrap()[..31]])]);
    assert_eq!(why(vec![content_type(), short]), "the content was altered");
    let empty = attribute(MESSAGE_DIGEST, &[&tlv(4, &[])]);
    assert_eq!(why(vec![content_type(), empty]), "the content was altered");
}

#[test]
fn an_attribute_that_is_there_twice_or_has_two_values_does_not_hold() {
    let right = message_digest(CONTENT);
    for pair in
        [[right.clone(), message_digest(b"")], [message_digest(b""), right.clone()], [right.clone(), right]]
    {
        let [first, second] = pair;
        assert!(why(vec![content_type(), first, second]).contains("1.2.840.113549.1.9.4 is there twice"));
    }
    let digest = |content| tlv(4, &[&hash(MessageDigest::sha256(), content).unwrap()]);
    let two = attribute(MESSAGE_DIGEST, &[&digest(CONTENT), &digest(b"")]);
    assert!(why(vec![content_type(), two]).contains("not exactly one value"));
    let none = attribute(MESSAGE_DIGEST, &[]);
    assert!(why(vec![content_type(), none]).contains("not exactly one value"));
    assert!(why(vec![content_type(), content_type(), message_digest(CONTENT)]).contains("twice"));
    let time = attribute(SIGNING_TIME, &[&tlv(0x17, &[b"260828065320Z"])]);
    assert!(why(vec![content_type(), message_digest(CONTENT), time.clone(), time]).contains("twice"));
    let kind = attribute(SIGNATURE_TYPE, &[&sequence(&[])]);
    assert!(why(vec![content_type(), message_digest(CONTENT), kind.clone(), kind]).contains("twice"));
}

#[test]
fn attributes_that_must_be_there_are_missed() {
    assert_eq!(why(vec![content_type()]), "the digest of the content is not signed");
    assert_eq!(why(vec![message_digest(CONTENT)]), "the content type is not signed");
}

#[test]
fn a_signature_about_another_type_of_content_does_not_hold() {
    let other = attribute(CONTENT_TYPE, &[&oid(SIGNED_DATA)]);
    assert_eq!(why(vec![other, message_digest(CONTENT)]), "the signature is about another type of content");
    let no_type = attribute(CONTENT_TYPE, &[&tlv(4, &[DATA])]);
    assert!(why(vec![no_type, message_digest(CONTENT)]).contains("belongs"));

    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let attributes = Some(vec![attribute(CONTENT_TYPE, &[&oid(SIGNED_DATA)]), message_digest(CONTENT)]);
    let right = Forge { attributes, inner: SIGNED_DATA, ..Forge::over(&alice, CONTENT) };
    let verified = opaque(&right.build(), &[]).unwrap();
    assert_holds(&verified, alice.certificate());
    assert_eq!(verified.inner, ContentKind::SignedData);
    let bare = Forge { attributes: None, inner: SIGNED_DATA, ..Forge::over(&alice, CONTENT) };
    assert_eq!(refusal(&opaque(&bare.build(), &[]).unwrap()), "signed attributes are missing");
}

#[test]
fn attributes_are_not_taken_for_a_content() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::Rsa(2048));
    let attributes = [content_type(), message_digest(CONTENT)].concat();
    // Alice signed these attributes; the same signature fits the same octets as a content.
    let content = tlv(0x31, &[&attributes]);
    let cut = Forge { attributes: None, content, ..Forge::over(&alice, CONTENT) };
    let verified = opaque(&cut.build(), &[]).unwrap();
    assert_eq!(refusal(&verified), "the content may be the attributes of another signature");
    let plain = Forge { attributes: None, content: b"1: no set".to_vec(), ..Forge::over(&alice, CONTENT) };
    assert_holds(&opaque(&plain.build(), &[]).unwrap(), alice.certificate());
}

#[test]
fn attributes_in_another_order_hold_as_they_are_and_as_der() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let mut sorted = vec![content_type(), message_digest(CONTENT)];
    sorted.sort();
    let reversed: Vec<_> = sorted.iter().rev().cloned().collect();
    let as_sent = Forge { attributes: Some(reversed.clone()), ..Forge::over(&alice, CONTENT) };
    assert_holds(&opaque(&as_sent.build(), &[]).unwrap(), alice.certificate());
    let der =
        Forge { attributes: Some(sorted), sent_attributes: Some(reversed), ..Forge::over(&alice, CONTENT) };
    assert_holds(&opaque(&der.build(), &[]).unwrap(), alice.certificate());
}

#[test]
fn an_attribute_that_was_altered_added_or_taken_away_does_not_hold() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let time = |text: &[u8]| attribute(SIGNING_TIME, &[&tlv(0x17, &[text])]);
    let base = vec![content_type(), message_digest(CONTENT)];
    let signed = [base.clone(), vec![time(b"260828065320Z")]].concat();
    let altered = [base.clone(), vec![time(b"260828065321Z")]].concat();
    for (attributes, sent) in [(&signed, &altered), (&signed, &base), (&base, &signed)] {
        let forge = Forge {
            attributes: Some(attributes.clone()),
            sent_attributes: Some(sent.clone()),
            ..Forge::over(&alice, CONTENT)
        };
        let why = refusal(&opaque(&forge.build(), &[]).unwrap());
        assert_eq!(why, "the signature is not of this key over this content");
    }
    for text in [&b"yesterday"[..], b"2608280653Z", b"260828065320+0000"] {
        let attributes = Some([base.clone(), vec![time(text)]].concat());
        let forge = Forge { attributes, ..Forge::over(&alice, CONTENT) };
        assert_eq!(refusal(&opaque(&forge.build(), &[]).unwrap()), "the signing time cannot be read");
    }
}

#[test]
fn unsigned_attributes_prove_nothing_and_do_no_harm() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let lie = attribute(
        SIGNATURE_TYPE,
        &[&sequence(&[&oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 9, 2])])],
    );
    let forge = Forge { unsigned_attributes: Some(tlv(0xa1, &[&lie])), ..Forge::over(&alice, CONTENT) };
    let verified = opaque(&forge.build(), &[]).unwrap();
    assert_holds(&verified, alice.certificate());
    assert!(verified.signers[0].signature_types.is_empty());
}

#[test]
fn a_digest_that_was_not_announced_does_not_hold() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let forge = Forge { announced: SHA512, ..Forge::over(&alice, CONTENT) };
    assert_eq!(
        refusal(&opaque(&forge.build(), &[]).unwrap()),
        "the digest of the signature is not announced"
    );
}

/// RFC 8419 section 3.2: pure Ed25519 over the content itself, SHA-512 named and announced or not.
#[test]
fn ed25519_over_the_bare_content_holds_while_the_content_is_short() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::Ed25519);
    let bare =
        |announced| Forge { attributes: None, announced, digest: SHA512, ..Forge::over(&alice, CONTENT) };
    for announced in [SHA512, &[]] {
        let good = bare(announced).build();
        assert_holds(&opaque(&good, &[]).unwrap(), alice.certificate());
        let mut altered = good.clone();
        let at = altered.windows(4).position(|window| window == b"noon").unwrap();
        altered[at] ^= 1;
        assert_eq!(
            refusal(&opaque(&altered, &[]).unwrap()),
            "the signature is not of this key over this content"
        );
    }
    // The signed attributes of another message as a content (RFC 5652 section 5.4 lets them be mistaken).
    let attributes = [content_type(), message_digest(CONTENT)];
    let content = tlv(0x31, &[&attributes[0], &attributes[1]]);
    let cut_out = Forge { content, ..bare(SHA512) };
    assert!(refusal(&opaque(&cut_out.build(), &[]).unwrap()).contains("attributes of another signature"));
    for (length, holds) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let long = Forge { content: vec![b'A'; length], ..bare(SHA512) };
        let verified = opaque(&long.build(), &[]).unwrap();
        assert_eq!(verified.all_hold(), holds, "{length}");
        if !holds {
            assert!(refusal(&verified).contains("over more than 1 MiB"), "{}", refusal(&verified));
        }
    }
    let other_digest = Forge { announced: SHA256, digest: SHA256, ..bare(SHA256) };
    assert!(refusal(&opaque(&other_digest.build(), &[]).unwrap()).contains("without SHA-512"));
}

#[test]
fn the_type_of_a_signature_arrives_and_all_signers_must_agree_on_it() {
    let ca = Ca::new();
    let gateway = ca.identity("domain-signing-authority@alpha.example", Kind::P256);
    for kind in [
        SignatureType::Originator,
        SignatureType::Domain,
        SignatureType::AddAttributes,
        SignatureType::Review,
    ] {
        let signer = Signer { signature_type: Some(kind), ..Signer::new(&gateway, now()) };
        let signature = sign_detached(&signer, write_content).unwrap();
        let verified = detached(&signature, CONTENT, &[]).unwrap();
        assert_holds(&verified, gateway.certificate());
        assert_eq!(verified.signature_types().unwrap(), [kind.oid()]);
    }
    let plain = Forge::over(&gateway, CONTENT);
    let domain = attribute(
        SIGNATURE_TYPE,
        &[&sequence(&[&oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 9, 2])])],
    );
    let typed = [content_type(), message_digest(CONTENT), domain].to_vec();
    let typed = Forge { attributes: Some(typed), ..Forge::over(&gateway, CONTENT) };
    let mixed = opaque(&plain.build_with(&[plain.signer_info(), typed.signer_info()]), &[]).unwrap();
    assert!(mixed.all_hold());
    assert!(mixed.signature_types().is_err());
    let same = opaque(&plain.build_with(&[typed.signer_info(), typed.signer_info()]), &[]).unwrap();
    assert_eq!(same.signature_types().unwrap(), ["1.2.840.113549.1.9.16.9.2"]);
}

#[test]
fn openssl_shows_the_attributes_we_write() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    let gateway = ca.identity("domain-signing-authority@alpha.example", Kind::Rsa(2048));
    let other = ca.identity("domain-confidentiality-authority@alpha.example", Kind::Rsa(2048));
    let signer = Signer {
        signature_type: Some(SignatureType::Domain),
        encryption: Some(other.certificate()),
        chain: &[ca.certificate()],
        ..Signer::new(&gateway, now())
    };
    let signature = sign_detached(&signer, write_content).unwrap();
    desk.put("s", &signature);
    let print = desk.openssl("cms -cmsout -print -inform DER -in s -noout");
    let text = String::from_utf8_lossy(&print.stdout).into_owned();
    for wanted in [
        "id-smime-aa-signatureType (1.2.840.113549.1.9.16.2.28)",
        "OBJECT            :1.2.840.113549.1.9.16.9.2",
        "id-smime-aa-signingCertificateV2",
        "id-smime-aa-encrypKeyPref",
        "S/MIME Capabilities",
        "aes-256-gcm",
        "rsaesOaep",
        "signingTime",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    desk.openssl_ok("cms -verify -cades -binary -inform DER -in s -content content -CAfile ca.pem -out out");
    let verified = detached(&signature, CONTENT, &[]).unwrap();
    assert_holds(&verified, gateway.certificate());
    assert_eq!(
        verified.signers[0].encryption_certificate,
        Some(RecipientId::issuer_serial(other.certificate()))
    );
    // Both certificates come along, the root does not.
    assert_eq!(verified.certificates.len(), 2);
    assert!(verified.certificates.iter().all(|one| one.der() != ca.certificate().der()));
}
