//! Domain signatures as RFC 3183 nests them, for the partner whose gateway asks for it; for everybody else one
//! that ordinary clients show.

use tests::Pki;
use tests::messages;
use tests::pki::Leaf;

use super::domains::{ALICE, BOB, send, world};
use super::people::{find, openssl_signed, smime_part, verify};

const STRICT: &str = "[policy]\nsign = \"always\"\nencrypt = \"never\"\n\
    [partner.\"beta.example\"]\ndomain_signature = \"rfc3183\"\n";
/// id-aa-signatureType, RFC 3183 section 3.2.
const SIGNATURE_TYPE: &str = "1.2.840.113549.1.9.16.2.28";
/// id-sti-domainSig.
const DOMAIN: &str = "1.2.840.113549.1.9.16.9.2";

/// What openssl prints about the signature of a message.
fn printed(pki: &Pki, message: &[u8]) -> String {
    std::fs::write(pki.path("printed.eml"), message).unwrap();
    let structure = pki.openssl(&["cms", "-cmsout", "-print", "-noout", "-in", "printed.eml"]);
    pki.openssl(&["cms", "-cmsout", "-in", "printed.eml", "-outform", "DER", "-out", "printed.der"]);
    let types = pki.openssl(&["asn1parse", "-inform", "DER", "-in", "printed.der"]);
    format!("{}{}", String::from_utf8_lossy(&structure), String::from_utf8_lossy(&types))
}

#[test]
fn a_partner_that_asks_for_it_gets_an_empty_layer_inside_of_the_domains() {
    let (pki, alpha, tap, beta) = world(STRICT);
    let message = messages::plain(ALICE, BOB, "offer", "the vault opens at nine\r\n");
    let mail = send(&alpha, &beta, &message);
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{mail:?}");
    assert!(mail.fields("Authentication-Results").iter().any(|r| r.contains("smime=pass")), "{mail:?}");

    let wire = tap.messages().pop().unwrap();
    let about = printed(&pki, &wire);
    assert!(about.contains(SIGNATURE_TYPE) && about.contains(DOMAIN), "{about}");
    let inside = verify(&pki, &wire).unwrap();
    let text = String::from_utf8_lossy(&inside).into_owned();
    assert!(text.contains("smime-type=signed-data") && !text.contains("vault"), "{text}");
    // The empty layer holds the message and nobody's signature, which openssl refuses for that reason.
    let refused = verify(&pki, &inside).unwrap_err();
    assert!(refused.contains("no signers"), "{refused}");
    let object = pki.openssl(&["cms", "-cmsout", "-in", "inside.eml", "-outform", "DER"]);
    assert!(find(&object, b"the vault opens at nine"));
}

#[test]
fn what_its_author_signed_is_encapsulated_and_arrives_as_signed() {
    let (pki, alpha, tap, beta) = world(STRICT);
    let addresses = [ALICE];
    let alice = pki.issue("alice", &Leaf::user(&addresses));
    let message = openssl_signed(&pki, &alice, ALICE, BOB, "the vault opens at nine\r\n");
    let mail = send(&alpha, &beta, &message);
    let wire = tap.messages().pop().unwrap();
    assert!(printed(&pki, &wire).contains(DOMAIN));
    let inside = verify(&pki, &wire).unwrap();
    assert!(verify(&pki, &inside).is_ok(), "the author's signature is inside");
    let (mine, theirs) = (smime_part(&message), smime_part(&mail.as_sent(3)));
    assert_eq!(String::from_utf8_lossy(&theirs), String::from_utf8_lossy(&mine));
    let results = mail.fields("Authentication-Results");
    assert_eq!(results[0].matches("smime=pass").count(), 2, "the domain's and the author's: {results:?}");
}

#[test]
fn everybody_else_gets_a_signature_directly_over_the_message() {
    let (pki, alpha, tap, beta) = world("[policy]\nsign = \"always\"\nencrypt = \"never\"\n");
    let message = messages::plain(ALICE, BOB, "offer", "the vault opens at nine\r\n");
    send(&alpha, &beta, &message);
    let wire = tap.messages().pop().unwrap();
    assert!(String::from_utf8_lossy(&wire).contains("multipart/signed"));
    assert!(printed(&pki, &wire).contains(SIGNATURE_TYPE));
    let inside = verify(&pki, &wire).unwrap();
    assert!(find(&inside, b"the vault opens at nine"), "{}", String::from_utf8_lossy(&inside));
    let opaque = "[policy]\nsign = \"always\"\nencrypt = \"never\"\nsmime_signature = \"opaque\"\n";
    alpha.gatepost.write_config(&format!("{opaque}\n[smime]\nanchors = [\"{}\"]\n", pki.root().display()));
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], &message);
    let inside = verify(&pki, &trial.only().message).unwrap();
    assert!(find(&inside, b"the vault opens at nine"));
}

#[test]
fn a_signature_of_the_author_that_does_not_hold_is_not_vouched_for() {
    let (pki, alpha, _tap, _beta) = world(STRICT);
    let addresses = [ALICE];
    let alice = pki.issue("alice", &Leaf::user(&addresses));
    let message = openssl_signed(&pki, &alice, ALICE, BOB, "the vault opens at nine\r\n");
    let altered = String::from_utf8(message).unwrap().replacen("nine", "five", 1);
    let trial = alpha.gatepost.filter_ours(ALICE, &[BOB], altered.as_bytes());
    let copy = trial.only();
    assert_eq!(copy.action, "pass", "RFC 3183 section 3: {copy:?}");
}
