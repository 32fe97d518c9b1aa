//! Mail that a mailing list inside the domain expanded before it leaves: what the list said stands outside of the
//! domain's signature again (RFC 3183 section 5.1, example 4, and without encryption).

use std::fs;

use tests::Pki;
use tests::messages::crlf;
use tests::pki::Issued;
use tests::pki::Leaf;

use super::domains::{ALICE, BOB, send, world};
use super::people::{decrypt, find, openssl_signed, smime_part, verify};
use super::submissions::{confidentiality, to_own_domain};

const TEXT: &str = "the vault opens at nine\r\n";
const AGENT: &str = "agent@lists.alpha.example";
const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
/// mlExpansionHistory, RFC 2634 section 4.4.
const HISTORY: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x03";
const SHA256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

fn tlv(identifier: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let length = match content.len() {
        short @ ..0x80 => vec![u8::try_from(short).unwrap()],
        0x80..0x100 => vec![0x81, length[3]],
        0x100..0x10000 => vec![0x82, length[2], length[3]],
        _ => [&[0x84], &length[..]].concat(),
    };
    [&[identifier], &length[..], &content].concat()
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[kind, &tlv(0x31, &[value])])
}

/// What the list's agent makes of an entity: SignedData with the history of the lists, named by its key.
fn expanded(pki: &Pki, agent: &Issued, entity: &[u8]) -> Vec<u8> {
    let (certificate, key) = (agent.certificate.to_string_lossy(), agent.key.to_string_lossy());
    fs::write(pki.path("entity"), entity).unwrap();
    let digest = pki.openssl(&["dgst", "-sha256", "-binary", "entity"]);
    let printed = pki.openssl(&["x509", "-in", &certificate, "-noout", "-ext", "subjectKeyIdentifier"]);
    let printed = String::from_utf8(printed).unwrap();
    let octets = printed.lines().last().unwrap().trim().split(':');
    let key_id: Vec<u8> = octets.map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    let entry = tlv(0x30, &[&tlv(4, &[&key_id]), &tlv(0x18, &[b"20261102083000Z"])]);
    let mut attributes = [
        attribute(CONTENT_TYPE, DATA),
        attribute(MESSAGE_DIGEST, &tlv(4, &[&digest])),
        attribute(HISTORY, &tlv(0x30, &[&entry])),
    ];
    attributes.sort_unstable();
    let attributes = attributes.concat();
    fs::write(pki.path("attributes"), tlv(0x31, &[&attributes])).unwrap();
    let signature = pki.openssl(&["dgst", "-sha256", "-sign", &key, "attributes"]);
    let certificate = pki.openssl(&["x509", "-in", &certificate, "-outform", "DER"]);
    let sha256 = tlv(0x30, &[SHA256]);
    let signer = [
        &[2, 1, 3][..],
        &tlv(0x80, &[&key_id]),
        &sha256,
        &tlv(0xa0, &[&attributes]),
        &tlv(0x30, &[RSA]),
        &tlv(4, &[&signature]),
    ];
    let content = tlv(0x30, &[DATA, &tlv(0xa0, &[&tlv(4, &[entity])])]);
    let signed = tlv(
        0x30,
        &[
            &[2, 1, 3],
            &tlv(0x31, &[&sha256]),
            &content,
            &tlv(0xa0, &[&certificate]),
            &tlv(0x31, &[&tlv(0x30, &signer)]),
        ],
    );
    fs::write(pki.path("list.der"), tlv(0x30, &[SIGNED_DATA, &tlv(0xa0, &[&signed])])).unwrap();
    let text = String::from_utf8(pki.openssl(&["base64", "-in", "list.der"])).unwrap();
    crlf(&format!(
        "From: {ALICE}\nTo: {BOB}\nSubject: offer\nDate: Mon, 02 Nov 2026 09:30:00 +0100\n\
         Message-ID: <list-1@lists.alpha.example>\nMIME-Version: 1.0\n\
         Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\n\
         Content-Transfer-Encoding: base64\n\n{text}"
    ))
}

fn user(pki: &Pki, stem: &str, address: &str) -> Issued {
    let addresses = [address];
    pki.issue(stem, &Leaf::user(&addresses))
}

/// The outermost SignedData as openssl prints it: it has the history and no type of signature. Gives what is in it.
#[track_caller]
fn without_list(pki: &Pki, wire: &[u8]) -> Vec<u8> {
    fs::write(pki.path("wire.eml"), wire).unwrap();
    let printed = pki.openssl(&["cms", "-cmsout", "-print", "-noout", "-in", "wire.eml"]);
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(printed.contains("id-smime-aa-mlExpandHistory"), "{printed}");
    assert!(!printed.contains("id-smime-aa-signatureType"), "{printed}");
    assert!(printed.contains("domain-signing-authority"), "{printed}");
    verify(pki, wire).unwrap()
}

#[test]
fn what_a_list_expanded_leaves_with_the_domains_signature_inside_of_what_the_list_said() {
    let policy = "[policy]\nsign = \"always\"\nencrypt = \"never\"\nown_signatures = \"reject\"\n\
                  [partner.\"beta.example\"]\ndomain_signature = \"rfc3183\"\n";
    let (pki, alpha, tap, beta) = world(policy);
    let (agent, alice) = (user(&pki, "agent", AGENT), user(&pki, "alice", ALICE));
    let signed = smime_part(&openssl_signed(&pki, &alice, ALICE, BOB, TEXT));
    let mail = send(&alpha, &beta, &expanded(&pki, &agent, &signed));

    let inside = without_list(&pki, &tap.messages().pop().unwrap());
    fs::write(pki.path("domain.eml"), &inside).unwrap();
    let printed = pki.openssl(&["cms", "-cmsout", "-print", "-noout", "-in", "domain.eml"]);
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(printed.contains("id-smime-aa-signatureType"), "{printed}");
    let signed_by_alice = verify(&pki, &inside).unwrap();
    assert!(verify(&pki, &signed_by_alice).is_ok(), "the author's is the innermost");

    let results = mail.fields("Authentication-Results");
    assert_eq!(results[0].matches("smime=pass").count(), 3, "{results:?}\n{}", beta.gatepost.log());
    assert!(find(mail.text().as_bytes(), b"multipart/signed"), "{}", mail.text());
    assert!(find(mail.text().as_bytes(), b"the vault opens at nine"));
}

/// Example 4: SignedData of the list, encrypted to our confidentiality authority, signed by the author.
#[test]
fn what_is_encrypted_below_the_list_is_signed_by_the_domain_and_encrypted_again() {
    let policy = "[policy]\nsign = \"always\"\nown_signatures = \"reject\"\n\
                  [partner.\"beta.example\"]\ndomain_signature = \"rfc3183\"\n";
    let (pki, alpha, tap, beta) = world(policy);
    let (agent, alice) = (user(&pki, "agent", AGENT), user(&pki, "alice", ALICE));
    let signed = smime_part(&openssl_signed(&pki, &alice, ALICE, BOB, TEXT));
    let encrypted = to_own_domain(&pki, BOB, &String::from_utf8(signed).unwrap());
    let mail = send(&alpha, &beta, &expanded(&pki, &agent, &smime_part(&encrypted)));

    assert!(!find(&tap.bytes(), b"vault"));
    let inside = without_list(&pki, &tap.messages().pop().unwrap());
    let opened = decrypt(&pki, &confidentiality(&pki, "beta.example"), &inside).unwrap();
    let signed_by_alice = verify(&pki, &opened).unwrap();
    assert!(verify(&pki, &signed_by_alice).is_ok(), "the author's is the innermost");
    let results = mail.fields("Authentication-Results");
    assert_eq!(results[0].matches("smime=pass").count(), 3, "{results:?}\n{}", beta.gatepost.log());
    assert!(find(mail.text().as_bytes(), b"the vault opens at nine"), "{}", mail.text());
}

#[test]
fn a_list_that_nobody_trusts_keeps_the_domain_from_signing() {
    let policy = "[policy]\nsign = \"always\"\nencrypt = \"never\"\nown_signatures = \"reject\"\n\
                  [partner.\"beta.example\"]\ndomain_signature = \"rfc3183\"\n";
    let (pki, alpha, _tap, _beta) = world(policy);
    let strangers = Pki::new();
    let agent = user(&strangers, "agent", AGENT);
    let alice = user(&pki, "alice", ALICE);
    let signed = smime_part(&openssl_signed(&pki, &alice, ALICE, BOB, TEXT));
    let outcome = alpha.submit(ALICE, &[BOB], &expanded(&strangers, &agent, &signed));
    assert!(outcome.end.is_permanent() && outcome.end.text().contains("5.7.7"), "{outcome:?}");
}
