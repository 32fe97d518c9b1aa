//! What mailing list agents say in their signatures (RFC 2634 section 4), and what is not believed of it.

use mail::Message;
use sealing::LayerState;
use sealing::LayerState::Invalid;
use sealing::LayerState::List;
use sealing::LayerState::UnknownSigner;
use sealing::LayerState::Valid;
use sealing::LayerState::WrongSigner;

use crate::domain::*;
use crate::forge::*;
use crate::matrix::cms_part;
use crate::matrix::object_of;
use crate::world::*;

/// The text in SignedData by the list, with these attributes.
fn by_list(domain: &Domain, content: &[u8], attributes: Vec<Vec<u8>>) -> Message {
    around(&cms_part("signed-data", &signed_by_list(&domain.list, content, attributes)))
}

/// That the layer is judged so, and that nothing is taken off or said again because of it.
#[track_caller]
fn assert_not_honoured(domain: &Domain, message: &Message, state: LayerState, reason: &str) {
    let (opened, found) = domain.to_sign(message);
    let layer = &opened.layers[0];
    assert_eq!(layer.state, state, "{layer:?}");
    assert!(why(layer).contains(reason), "{layer:?}");
    assert!(found.expansion.is_none() && found.message.is_none(), "{found:?}");
}

#[test]
fn a_history_that_cannot_be_read_or_tells_a_loop_is_refused_with_the_reason() {
    let domain = Domain::new();
    let m = domain.s(&entity(&text_letter()));
    let expansion = |history: &[u8]| vec![attribute(EXPANSION_HISTORY, &[history])];
    let (one, other) = (entry(&domain.list, b""), entry(&domain.partner, b""));
    for (attributes, reason) in [
        (expansion(&sequence(&[&one, &other, &one])), "loop"),
        (expansion(&sequence(&[&tlv(2, &[b"1"])])), "history of mailing lists cannot be read"),
        (expansion(&tlv(4, &[b"what is this"])), "history of mailing lists cannot be read"),
        (expansion(&sequence(&[])), "1 to 64"),
        (expansion(&sequence(&vec![&one[..]; 65])), "1 to 64"),
        (
            vec![attribute(EXPANSION_HISTORY, &[&sequence(&[&one]), &sequence(&[&other])])],
            "exactly one value",
        ),
        (vec![attribute(EXPANSION_HISTORY, &[])], "exactly one value"),
        ([expansion(&sequence(&[&one])), expansion(&sequence(&[&other]))].concat(), "twice"),
    ] {
        assert_not_honoured(&domain, &by_list(&domain, &m, attributes), Invalid, reason);
    }
    let good = by_list(&domain, &m, expansion(&sequence(&[&one, &other])));
    assert_eq!(domain.to_sign(&good).1.expansion.unwrap().lists.len(), 2);
}

/// RFC 2634 section 1.3.4: it must be signed.
#[test]
fn a_history_that_is_not_signed_is_none() {
    let domain = Domain::new();
    let m = domain.s(&entity(&text_letter()));
    let unsigned = tlv(0xa1, &[&attribute(EXPANSION_HISTORY, &[&history(&domain.list)])]);
    let forge = Forge { unsigned_attributes: Some(unsigned), ..Forge::over(&domain.list.secret, &m) };
    let message = around(&cms_part("signed-data", &forge.build()));
    assert_not_honoured(&domain, &message, WrongSigner, "agent@lists.alpha.example");
}

/// RFC 2634 section 4.1: processed only if it was verified, and if all that were verified are the same.
#[test]
fn a_history_counts_only_if_its_signature_holds_and_all_agree() {
    let domain = Domain::new();
    let m = domain.s(&entity(&text_letter()));
    let told = |history: &[u8]| {
        let mut attributes =
            vec![content_type(), message_digest(&m), attribute(EXPANSION_HISTORY, &[history])];
        attributes.sort_unstable();
        attributes
    };
    let one =
        Forge { attributes: Some(told(&history(&domain.list))), ..Forge::over(&domain.list.secret, &m) };
    let another = Forge {
        attributes: Some(told(&sequence(&[&entry(&domain.partner, b"")]))),
        ..Forge::over(&domain.alice.secret, &m)
    };
    let certificates = vec![one.certificates[0].clone(), another.certificates[0].clone()];
    let both = Forge { certificates, ..Forge::over(&domain.list.secret, &m) };
    let whole = |infos: &[Vec<u8>]| around(&cms_part("signed-data", &both.build_with(infos)));
    assert_not_honoured(
        &domain,
        &whole(&[one.signer_info(), another.signer_info()]),
        Invalid,
        "different histories",
    );
    // The author signed beside the list and tells no history: that counts for nothing (RFC 2634 section 4.1).
    let silent = Forge { attributes: Some(vec![content_type(), message_digest(&m)]), ..another };
    let (_, found) = domain.to_sign(&whole(&[one.signer_info(), silent.signer_info()]));
    assert!(found.expansion.is_some(), "{found:?}");

    let mut altered = one.build();
    let at = altered.windows(6).rposition(|window| window == b"owner@").unwrap();
    altered[at] = b'0';
    let message = around(&cms_part("signed-data", &altered));
    assert_not_honoured(&domain, &message, Invalid, "not of this key");

    domain.world.root("stranger");
    let stranger = domain.world.person_of("stranger", "evil", &Draft::user("agent@evil.example", "EC:P-256"));
    let attributes = vec![attribute(EXPANSION_HISTORY, &[&history(&stranger)])];
    let message = around(&cms_part("signed-data", &signed_by_list(&stranger, &m, attributes)));
    assert_not_honoured(&domain, &message, UnknownSigner, "");
}

/// A list's signature is no author's, whatever it says; what is inside is judged by itself.
#[test]
fn what_a_list_sends_on_is_judged_by_the_signatures_inside() {
    let domain = Domain::new();
    let opened = domain.world.open(&around(&domain.l(&entity(&text_letter()))));
    assert_eq!(only(&opened).state, List);
    assert!(opened.edits.is_empty() && only(&opened).signer_subject.is_none());

    let signed = domain.s(&entity(&text_letter()));
    let opened = domain.world.open(&around(&domain.l(&signed)));
    let states: Vec<_> = opened.layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [List, Valid]);
    assert_eq!(entity(&opened.message.unwrap()), signed);

    // What the domain sent, as the partner gets it: all of it is the gateway's and goes, the author's stays.
    let sent = domain.send(&domain.l(&domain.e(&signed)), false);
    let opened = domain.world.open(&sent);
    let states: Vec<_> = opened.layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [Valid, Valid, Valid]);
    assert_eq!(domain.shape(&opened.message.unwrap()), "Sm");
}

#[test]
fn openssl_verifies_and_prints_what_is_said_again() {
    let domain = Domain::new();
    let sent = domain.send(&domain.l(&domain.e(&domain.s(&entity(&text_letter())))), false);
    domain.world.write("sent.der", &object_of(&sent));
    domain.world.openssl("cms -verify -inform DER -in sent.der -CAfile root.pem -out inner.txt");
    assert!(String::from_utf8_lossy(&domain.world.read("inner.txt")).contains("smime-type=signed-data"));
    let printed = domain.world.openssl("cms -cmsout -print -inform DER -in sent.der -noout");
    let printed = String::from_utf8_lossy(&printed).into_owned();
    for wanted in ["id-smime-aa-mlExpandHistory", "id-smime-aa-contentHint"] {
        assert!(printed.contains(wanted), "{wanted}: {printed}");
    }
    assert!(!printed.contains("id-smime-aa-signatureType"), "the next list would copy it: {printed}");
}
