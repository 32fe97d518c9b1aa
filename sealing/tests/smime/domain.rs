//! Where the domain's signature goes: the worked examples of RFC 3183 section 5.1, numbered as there. S is
//! SignedData, E is EnvelopedData; every S that is there already is valid and none is the domain's. The gateway
//! opens (as the domain's confidentiality authority) and then seals, as the path does.
//!
//! Examples 4 and 6 are about a message that a mailing list agent expanded before: its outermost S bears an
//! mlExpansionHistory attribute, which the RFC wants taken off and written again around the domain's signature.
//! This gateway expands no lists and signs no attributes in the name of a list: it treats such a layer as any other
//! signature, so that example 6 has the outcome of example 2.
//!
//! A clear signature is written `s`. An opaque one that we find inside of what we decrypt is taken off once it is
//! verified, so in examples 3 and 5 the author signs in clear.

use std::io::Write;

use mail::Message;
use mail::Spill;
use sealing::LayerState::Valid;
use sealing::Limits;
use sealing::cms;
use sealing::cms::ContentKind;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::Nesting;
use sealing::smime::SignatureType;
use sealing::smime::SignedForm;
use sealing::smime::Signer;

use crate::matrix::cms_part;
use crate::matrix::multipart_signed;
use crate::matrix::object_of;
use crate::world::*;

struct Domain {
    world: World,
    alice: Person,
    authority: Person,
    partner: Person,
}

impl Domain {
    fn new() -> Domain {
        let mut world = World::new();
        let alice = world.person("alice", &Draft::user(ALICE, "EC:P-256"));
        let authority = world.person("authority", &Draft::domain("alpha.example"));
        let partner = world
            .person("partner", &Draft::user("domain-confidentiality-authority@beta.example", "EC:P-256"));
        let own =
            world.person("own", &Draft::user("domain-confidentiality-authority@alpha.example", "EC:P-256"));
        world.ours.push(own);
        Domain { world, alice, authority, partner }
    }

    /// S(content), by the author.
    fn s(&self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let signer = cms::Signer::new(&self.alice.secret, now());
        cms::sign_opaque(&mut out, &signer, |sink| sink.write_all(content)).unwrap();
        cms_part("signed-data", &out)
    }

    /// The same as multipart/signed.
    fn clear(&self, content: &[u8]) -> Vec<u8> {
        let signer = cms::Signer::new(&self.alice.secret, now());
        let signature = cms::sign_detached(&signer, |sink| sink.write_all(content)).unwrap();
        multipart_signed(content, &signature)
    }

    /// E(content), to our confidentiality authority.
    fn e(&self, content: &[u8]) -> Vec<u8> {
        self.e_to(self.world.ours[0].certificate(), content)
    }

    fn e_to(&self, certificate: &keydir::Certificate, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let to = cms::Recipient { certificate, transport: KeyTransport::Oaep };
        let write = |sink: &mut dyn Write| sink.write_all(content);
        cms::encrypt(
            &mut out,
            &[to],
            ContentCipher::Aes256Gcm,
            ContentKind::Data,
            content.len() as u64,
            write,
        )
        .unwrap();
        cms_part("authEnveloped-data", &out)
    }

    /// What the gateway sends: what it opened, in the domain's signature, encrypted if policy says so.
    fn send(&self, message: &[u8], encrypt: bool) -> Message {
        let message = around(message);
        let opened = self.world.open(&message);
        assert!(opened.layers.iter().all(|layer| layer.why.is_none()), "{:?}", opened.layers);
        let signer = Signer {
            signature_type: Some(SignatureType::Domain),
            nesting: Nesting::Rfc3183,
            ..signer(&self.authority, SignedForm::Opaque)
        };
        let to: &[&Person] = if encrypt { &[&self.partner] } else { &[] };
        sealed(&result(&message, &opened), Some(signer), to, ContentCipher::Aes256Gcm, KeyTransport::Oaep)
    }

    /// The layers from outside: `E` encrypted, `D` signed by the domain, `S` by the author, `0` by nobody,
    /// `m` the message itself.
    fn shape(&self, message: &Message) -> String {
        let mut shape = String::new();
        let mut current = message.clone();
        loop {
            if current.entity().content_type().is("multipart", "signed") {
                shape.push('s');
                let signed = current.entity().children(&mail::Limits::default()).unwrap().remove(0).raw();
                current = around(&signed.to_vec().unwrap());
                continue;
            }
            if !current.entity().content_type().is("application", "pkcs7-mime") {
                assert!(text_of(&current).contains("the vault opens at nine"), "{}", text_of(&current));
                shape.push('m');
                return shape;
            }
            let object = object_of(&current);
            let (spill, limits) = (Spill::default(), Limits::default());
            let content = match cms::peek(&object) {
                Some(ContentKind::SignedData) => {
                    let verified = cms::verify_opaque(&mut &object[..], &[], &spill, &limits).unwrap();
                    shape.push(match &verified.signers[..] {
                        [] => '0',
                        [signer] => {
                            assert_eq!(signer.holds, Ok(()));
                            match &signer.signature_types[..] {
                                [] => 'S',
                                [oid] if *oid == SignatureType::Domain.oid() => 'D',
                                other => panic!("{other:?}"),
                            }
                        }
                        more => panic!("{more:?}"),
                    });
                    verified.content.unwrap()
                }
                _ => {
                    shape.push('E');
                    let mut people = [&self.partner.secret, &self.world.ours[0].secret].into_iter().cloned();
                    let keys = |named: &[cms::RecipientId]| {
                        let found = people.find(|key| named.iter().any(|id| id.means(key.certificate())));
                        keydir::Answer::Found(vec![found.unwrap()])
                    };
                    let mut keys = keys;
                    cms::decrypt(&mut &object[..], &mut keys, &spill, &limits).unwrap().content
                }
            };
            current = around(&content.to_vec().unwrap());
        }
    }

    /// The shape of what is sent without and with encryption, and that the partner's gateway believes it.
    #[track_caller]
    fn example(&self, message: &[u8], signed_only: &str, encrypted: &str) {
        let sent = self.send(message, false);
        assert_eq!(self.shape(&sent), signed_only);
        let signatures = self.world.open(&sent).layers;
        assert!(
            !signatures.is_empty() && signatures.iter().all(|layer| layer.state == Valid),
            "{signatures:?}"
        );
        assert_eq!(self.shape(&self.send(message, true)), encrypted);
    }
}

#[test]
fn a_message_that_nobody_signed_gets_an_empty_layer_first() {
    let domain = Domain::new();
    domain.example(&entity(&text_letter()), "D0m", "ED0m");
}

#[test]
fn example_1_one_signature_gets_the_domains_around() {
    let domain = Domain::new();
    domain.example(&domain.s(&entity(&text_letter())), "DSm", "EDSm");
}

#[test]
fn example_2_three_signatures_get_the_domains_around() {
    let domain = Domain::new();
    let m = domain.s(&domain.s(&domain.s(&entity(&text_letter()))));
    domain.example(&m, "DSSSm", "EDSSSm");
}

#[test]
fn example_3_what_is_encrypted_to_the_domain_is_opened_and_signed_inside() {
    let domain = Domain::new();
    let m = domain.e(&domain.clear(&entity(&text_letter())));
    domain.example(&m, "Dsm", "EDsm");
    let opaque = domain.e(&domain.s(&entity(&text_letter())));
    domain.example(&opaque, "D0m", "ED0m");
}

#[test]
fn example_5_signatures_outside_of_the_encryption_are_taken_off_with_it() {
    let domain = Domain::new();
    let m = domain.s(&domain.s(&domain.e(&domain.clear(&entity(&text_letter())))));
    domain.example(&m, "Dsm", "EDsm");
}

/// Example 7: what is encrypted to somebody else stays, and leaves encrypted even where policy would not ask.
#[test]
fn example_7_what_is_encrypted_to_others_inside_stays_and_leaves_encrypted() {
    let domain = Domain::new();
    let m = domain
        .s(&domain
            .e(&domain.s(&domain.e_to(domain.partner.certificate(), &domain.s(&entity(&text_letter()))))));
    let opened = domain.world.open(&around(&m));
    let result = opened.message.unwrap();
    assert!(!text_of(&result).contains("vault"));
    assert_eq!(
        sealing::recognise(&result).protection,
        sealing::Protection::Encrypted,
        "{}",
        domain.shape(&result)
    );
}

/// RFC 3183 section 3.2: one type for each signature; who signs for a domain says so.
#[test]
fn the_signature_type_is_in_the_signature_and_openssl_prints_it() {
    let domain = Domain::new();
    let sent = domain.send(&domain.s(&entity(&text_letter())), false);
    domain.world.write("sent.der", &object_of(&sent));
    let printed = domain.world.openssl("cms -cmsout -print -inform DER -in sent.der -noout");
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(printed.contains("1.2.840.113549.1.9.16.2.28"), "{printed}");
    let parsed =
        String::from_utf8_lossy(&domain.world.openssl("asn1parse -inform DER -in sent.der")).into_owned();
    assert!(parsed.contains("1.2.840.113549.1.9.16.9.2"), "{parsed}");
}
