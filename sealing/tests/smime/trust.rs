//! Whose signature counts: only one that holds, by a trusted certificate, in time, of the author.

use mail::Message;
use sealing::Binding;
use sealing::LayerState;
use sealing::LayerState::Invalid;
use sealing::LayerState::UnknownSigner;
use sealing::LayerState::Unsupported;
use sealing::LayerState::Valid;
use sealing::LayerState::WrongSigner;
use sealing::smime::SignatureType;
use sealing::smime::SignedForm;

use crate::forge::*;
use crate::matrix::cms_part;
use crate::world::*;

/// A message that openssl, which asks nothing, signed with this certificate.
fn signed_by(world: &World, name: &str, more: &str) -> Message {
    world.write("plain.txt", &entity(&text_letter()));
    world.openssl(&format!(
        "cms -sign -in plain.txt -signer {name}.pem -inkey {name}.key -out signed.eml {more}"
    ));
    around(&world.read("signed.eml"))
}

/// That the message is judged so, for a reason that holds these words, and stays as it is.
#[track_caller]
fn assert_judged(world: &World, message: &Message, state: LayerState, reason: &str) {
    let opened = world.open(message);
    let layer = only(&opened);
    assert_eq!(layer.state, state, "{layer:?}");
    assert!(why(layer).contains(reason), "{layer:?}");
    assert_eq!(layer.signer_subject.is_some(), state == Valid, "{layer:?}");
    assert!(opened.edits.is_empty(), "signed bytes are never changed");
}

#[test]
fn a_trusted_certificate_of_the_author_is_valid_and_of_somebody_else_is_not() {
    let world = World::new();
    world.issue("root", "alice", &Draft::user(ALICE, "EC:P-256"));
    assert_judged(&world, &signed_by(&world, "alice", ""), Valid, "");
    world.issue("root", "mallory", &Draft::user("mallory@alpha.example", "EC:P-256"));
    let reason = "the certificate is for mallory@alpha.example, not for alice@alpha.example";
    assert_judged(&world, &signed_by(&world, "mallory", ""), WrongSigner, reason);
    world.issue("root", "nobody", &Draft { names: String::new(), ..Draft::user("", "EC:P-256") });
    assert_judged(&world, &signed_by(&world, "nobody", ""), WrongSigner, "nobody by address");
    // Two authors: nobody can tell whose signature it should be.
    let text = text_of(&signed_by(&world, "alice", ""));
    let two =
        text.replace("From: Alice <alice@alpha.example>", "From: alice@alpha.example, mallory@alpha.example");
    assert_judged(&world, &Message::parse(two.as_bytes()), WrongSigner, "");
}

/// RFC 7281 section 3.1: what cannot be processed is not what failed.
#[test]
fn a_signature_by_an_algorithm_that_is_not_supported_is_neither_good_nor_bad() {
    let world = World::new();
    world.issue("root", "alice", &Draft::user(ALICE, "RSA:2048"));
    let strange = signed_by(&world, "alice", "-md sha3-256 -nodetach");
    assert_judged(&world, &strange, Unsupported, "digest 2.16.840.1.101.3.4.2.8 is not supported");
    assert_judged(&world, &signed_by(&world, "alice", "-md sha1"), Invalid, "SHA-1 is too weak");
    world.issue("root", "curve", &Draft::user(ALICE, "EC:brainpoolP256r1"));
    assert_judged(&world, &signed_by(&world, "curve", ""), Unsupported, "the public key on the curve");
    // Beside one in an algorithm that is known it takes nothing from that one.
    signed_by(&world, "alice", "-nodetach");
    world.openssl("dsaparam -out parameters.pem 1024");
    world.openssl("gendsa -out dsa.key parameters.pem");
    world.openssl("req -x509 -new -key dsa.key -subj /CN=dsa -out dsa.pem");
    world.openssl("cms -resign -in signed.eml -signer dsa.pem -inkey dsa.key -out both.eml");
    assert_judged(&world, &around(&world.read("both.eml")), Valid, "");
    // Nor does it make an altered content good.
    let altered = text_of(&signed_by(&world, "alice", "")).replacen("nine", "five", 1);
    assert_judged(&world, &Message::parse(altered.as_bytes()), Invalid, "altered");
}

#[test]
fn a_domain_speaks_for_itself_and_for_what_is_below_it() {
    let world = World::new();
    for (domain, state, reason) in [
        ("alpha.example", Valid, ""),
        ("example", Valid, ""),
        ("mail.alpha.example", WrongSigner, "domain-signing-authority@mail.alpha.example"),
        ("beta.example", WrongSigner, "domain-signing-authority@beta.example"),
        ("pha.example", WrongSigner, "domain-signing-authority@pha.example"),
    ] {
        let authority = world.person("authority", &Draft::domain(domain));
        let mut signer = signer(&authority, SignedForm::Clear);
        signer.signature_type = Some(SignatureType::Domain);
        let message = sealed_at(&text_letter(), &spec(&[], cipher(), Some(signer), now()));
        assert_judged(&world, &message, state, reason);
        if state == Valid {
            assert_eq!(only(&world.open(&message)).binding, Some(Binding::Domain));
        }
    }
    // The right address under another name is no authority, nor is another authority's certificate.
    for draft in [
        Draft { common_name: "Postmaster", ..Draft::domain("alpha.example") },
        Draft {
            common_name: "review-authority",
            names: "email:review-authority@alpha.example".to_owned(),
            ..Draft::domain("x")
        },
    ] {
        world.issue("root", "other", &draft);
        assert_judged(&world, &signed_by(&world, "other", ""), WrongSigner, "not for alice@alpha.example");
    }
}

/// RFC 3183 section 3.1.1: who says to sign for a domain, to review or to add attributes must be named so.
#[test]
fn a_signature_of_a_type_needs_a_certificate_of_that_name() {
    let world = World::new();
    let named = |name: &'static str| Draft {
        common_name: name,
        names: format!("email:{name}@alpha.example"),
        ..Draft::domain("x")
    };
    let alice = world.person("alice", &Draft::user(ALICE, "EC:P-256"));
    let domain = world.person("domain", &named("domain-signing-authority"));
    let review = world.person("review", &named("review-authority"));
    let attribute = world.person("attribute", &named("attribute-authority"));
    use SignatureType::*;
    for (who, kind, state, reason) in [
        (&alice, Originator, Valid, ""),
        (&alice, Domain, WrongSigner, "not named domain-signing-authority"),
        (&alice, Review, WrongSigner, "not named review-authority"),
        (&alice, AddAttributes, WrongSigner, "not named attribute-authority"),
        (&domain, Domain, Valid, ""),
        (&domain, Review, WrongSigner, "not named review-authority"),
        (&review, Review, WrongSigner, "says nothing about the author"),
        (&review, Domain, WrongSigner, "not named domain-signing-authority"),
        (&attribute, AddAttributes, WrongSigner, "says nothing about the author"),
        (&attribute, Originator, WrongSigner, "not for alice@alpha.example"),
    ] {
        let signer = sealing::smime::Signer { signature_type: Some(kind), ..signer(who, SignedForm::Clear) };
        let message = sealed_at(&text_letter(), &spec(&[], cipher(), Some(signer), now()));
        assert_judged(&world, &message, state, reason);
    }
}

/// RFC 3183 section 3.1.2.
#[test]
fn all_signatures_of_a_layer_are_of_one_type_and_additional_attributes_come_alone() {
    let world = World::new();
    let alice = world.person("alice", &Draft::user(ALICE, "EC:P-256"));
    let content = entity(&text_letter());
    let typed = |types: &[u8]| {
        let arc = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 9];
        let types: Vec<_> = types.iter().map(|last| oid(&[&arc[..], &[*last]].concat())).collect();
        let types: Vec<&[u8]> = types.iter().map(Vec::as_slice).collect();
        let mut attributes =
            vec![content_type(), message_digest(&content), attribute(SIGNATURE_TYPE, &[&sequence(&types)])];
        attributes.sort_unstable();
        Forge { attributes: Some(attributes), ..Forge::over(&alice.secret, &content) }
    };
    let message = |object: &[u8]| around(&cms_part("signed-data", object));
    let (one, other, both) = (typed(&[1]), typed(&[4]), typed(&[1, 3]));
    assert_judged(&world, &message(&one.build()), Valid, "");
    let opened = world.open(&message(&one.build_with(&[one.signer_info(), other.signer_info()])));
    assert!(opened.layers.iter().all(|layer| layer.state == Invalid), "{opened:?}");
    assert!(why(&opened.layers[0]).contains("different types"), "{opened:?}");
    assert_judged(&world, &message(&both.build()), WrongSigner, "of another type, too");
}

fn cipher() -> sealing::smime::ContentCipher {
    sealing::smime::ContentCipher::Aes256Gcm
}

#[test]
fn a_certificate_counts_from_its_first_to_its_last_day() {
    let world = World::new();
    let alice = world.person("alice", &Draft { days: 2, ..Draft::user(ALICE, "EC:P-256") });
    let at = |made: i64, read: i64| {
        let spec = spec(&[], cipher(), Some(signer(&alice, SignedForm::Clear)), made);
        let opened = world.open_at(&sealed_at(&text_letter(), &spec), read);
        (only(&opened).state, why(only(&opened)).to_owned())
    };
    assert_eq!(at(now(), now()), (Valid, String::new()));
    let (state, reason) = at(now(), now() + 3 * DAY);
    assert!(state == Invalid && reason.contains("expired"), "{state:?} {reason}");
    let (state, reason) = at(now() - 3 * DAY, now() - 3 * DAY);
    assert!(state == Invalid && reason.contains("not valid before"), "{state:?} {reason}");
    let (state, reason) = at(now() - 3 * DAY, now());
    assert!(state == Invalid && reason.contains("not valid before"), "signed too early: {state:?} {reason}");
    let (state, reason) = at(now() + DAY, now());
    assert!(state == Invalid && reason.contains("in the future"), "{state:?} {reason}");
}

#[test]
fn a_revoked_certificate_counts_no_more() {
    let mut world = World::new();
    for name in ["alice", "other"] {
        world.issue("root", name, &Draft::user(ALICE, "EC:P-256"));
    }
    let messages = ["alice", "other"].map(|name| signed_by(&world, name, ""));
    assert_judged(&world, &messages[0], Valid, "");
    world.revoke(&["alice"]);
    assert_judged(&world, &messages[0], Invalid, "revoked");
    assert_judged(&world, &messages[1], Valid, "");
    // A list that is out of date tells nothing about anybody.
    let opened = world.open_at(&messages[1], now() + 40 * DAY);
    assert_eq!(only(&opened).state, UnknownSigner);
    assert!(why(only(&opened)).contains("revo"), "{opened:?}");
}

#[test]
fn who_is_certified_by_nobody_we_trust_is_unknown() {
    let world = World::new();
    world.root("stranger");
    world.issue("stranger", "alice", &Draft::user(ALICE, "EC:P-256"));
    assert_judged(&world, &signed_by(&world, "alice", ""), UnknownSigner, "");
    // Bringing the root along makes nobody believe it.
    assert_judged(&world, &signed_by(&world, "alice", "-certfile stranger.pem"), UnknownSigner, "");
    world.issue("root", "bob", &Draft::user(ALICE, "EC:P-256"));
    assert_judged(&world, &signed_by(&world, "bob", "-nocerts"), UnknownSigner, "not known");
    // A user of the authority is none himself.
    world.issue("root", "carol", &Draft::user("carol@alpha.example", "EC:P-256"));
    world.issue("carol", "forged", &Draft::user(ALICE, "EC:P-256"));
    let opened = world.open(&signed_by(&world, "forged", "-certfile carol.pem"));
    assert!(matches!(only(&opened).state, Invalid | UnknownSigner), "{opened:?}");
}

#[test]
fn an_issuing_authority_that_comes_along_leads_to_the_root_and_no_farther_than_it_may() {
    let world = World::new();
    let ca = |more| Draft {
        authority: true,
        usage: "critical,keyCertSign",
        names: String::new(),
        more,
        ..Draft::user("", "EC:P-256")
    };
    world.issue("root", "issuing", &ca(""));
    world.issue("issuing", "alice", &Draft::user(ALICE, "EC:P-256"));
    assert_judged(&world, &signed_by(&world, "alice", "-certfile issuing.pem"), Valid, "");
    assert_judged(&world, &signed_by(&world, "alice", ""), UnknownSigner, "");
    let constraints = "nameConstraints=critical,permitted;email:beta.example";
    world.issue("root", "narrow", &Draft { common_name: "Narrow", ..ca(constraints) });
    world.issue("narrow", "alien", &Draft::user(ALICE, "EC:P-256"));
    assert_judged(&world, &signed_by(&world, "alien", "-certfile narrow.pem"), Invalid, "name constraints");
}

#[test]
fn certificates_that_are_not_for_signing_mail_are_refused_with_the_reason() {
    let world = World::new();
    let alice = Draft::user(ALICE, "EC:P-256");
    let rsa = Draft::user(ALICE, "RSA:1024");
    for (name, draft, reason) in [
        ("agreement", Draft { usage: "critical,keyAgreement", ..alice.clone() }, "lacks digitalSignature"),
        (
            "encipherment",
            Draft { usage: "keyEncipherment", key: "RSA:2048", ..alice.clone() },
            "lacks digitalSignature",
        ),
        (
            "authority",
            Draft { authority: true, usage: "digitalSignature,keyCertSign", ..alice.clone() },
            "certification authority",
        ),
        ("short", rsa, "RSA key of 1024 bits"),
        ("sha1", Draft { digest: "-sha1", ..alice.clone() }, "SHA-1"),
    ] {
        world.issue("root", name, &draft);
        assert_judged(&world, &signed_by(&world, name, ""), Invalid, reason);
    }
}

#[test]
fn a_digest_that_is_broken_proves_nothing() {
    let world = World::new();
    world.issue("root", "alice", &Draft::user(ALICE, "RSA:2048"));
    for digest in ["sha1", "md5"] {
        assert_judged(&world, &signed_by(&world, "alice", &format!("-md {digest}")), Invalid, "too weak");
    }
}

#[test]
fn a_certificate_may_have_several_addresses_but_no_deceptive_one() {
    let world = World::new();
    let names = "email:bob@beta.example,email:Alice@Alpha.example".to_owned();
    world.issue("root", "both", &Draft { names, ..Draft::user("", "EC:P-256") });
    let opened = world.open(&signed_by(&world, "both", ""));
    // The local part is compared without regard to case, as mailboxes are.
    assert_eq!(only(&opened).state, Valid, "{opened:?}");
    // alice@alpha.example NUL .evil.example in an rfc822Name.
    let address = b"alice@alpha.example\0.evil.example";
    let octets: Vec<_> = address.iter().map(|octet| format!("{octet:02X}")).collect();
    let length = address.len();
    let names = format!("DER:30:{:02X}:81:{length:02X}:{}", length + 2, octets.join(":"));
    world.issue("root", "nul", &Draft { names, ..Draft::user("", "EC:P-256") });
    let opened = world.open(&signed_by(&world, "nul", ""));
    assert!(!matches!(only(&opened).state, Valid | WrongSigner), "{opened:?}");
    assert!(opened.edits.is_empty());
}
