//! Where the domain's signature goes: the seven worked examples of RFC 3183 section 5.1, numbered as there. S is
//! SignedData, E is EnvelopedData; every S that is there already is valid and none is the domain's. The gateway
//! opens as the domain's confidentiality authority, with what is to be signed in mind, and then seals.

use std::io::Write;

use mail::Message;
use mail::Spill;
use sealing::Layer;
use sealing::LayerKind;
use sealing::LayerState;
use sealing::LayerState::List;
use sealing::LayerState::NoKey;
use sealing::LayerState::Valid;
use sealing::Limits;
use sealing::Opened;
use sealing::ToSign;
use sealing::cms;
use sealing::cms::ContentKind;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::Nesting;
use sealing::smime::Seal;
use sealing::smime::SignatureType;
use sealing::smime::SignedForm;
use sealing::smime::Signer;

use crate::forge::*;
use crate::matrix::cms_part;
use crate::matrix::multipart_signed;
use crate::matrix::object_of;
use crate::world::*;

/// Alice's domain, its partner's, and a mailing list in between.
pub struct Domain {
    pub world: World,
    pub alice: Person,
    pub authority: Person,
    pub list: Person,
    pub partner: Person,
}

impl Domain {
    pub fn new() -> Domain {
        let mut world = World::new();
        let alice = world.person("alice", &Draft::user(ALICE, "EC:P-256"));
        let authority = world.person("authority", &Draft::domain("alpha.example"));
        let list = world.person("list", &Draft::user("agent@lists.alpha.example", "EC:P-256"));
        let partner = world
            .person("partner", &Draft::user("domain-confidentiality-authority@beta.example", "EC:P-256"));
        let own =
            world.person("own", &Draft::user("domain-confidentiality-authority@alpha.example", "EC:P-256"));
        world.ours.push(own);
        Domain { world, alice, authority, list, partner }
    }

    /// S(content), by the author.
    pub fn s(&self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let signer = cms::Signer::new(&self.alice.secret, now());
        cms::sign_opaque(&mut out, &signer, |sink| sink.write_all(content)).unwrap();
        cms_part("signed-data", &out)
    }

    /// S(content), by the agent of a mailing list that expanded the message.
    pub fn l(&self, content: &[u8]) -> Vec<u8> {
        let attributes = vec![attribute(EXPANSION_HISTORY, &[&history(&self.list)]), content_hints()];
        cms_part("signed-data", &signed_by_list(&self.list, content, attributes))
    }

    /// The same as multipart/signed.
    fn clear(&self, content: &[u8]) -> Vec<u8> {
        let signer = cms::Signer::new(&self.alice.secret, now());
        let signature = cms::sign_detached(&signer, |sink| sink.write_all(content)).unwrap();
        multipart_signed(content, &signature)
    }

    /// E(content), to our confidentiality authority.
    pub fn e(&self, content: &[u8]) -> Vec<u8> {
        self.e_to(&[&self.world.ours[0]], content)
    }

    fn e_to(&self, people: &[&Person], content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let certificates = people.iter().map(|person| person.certificate());
        let to =
            certificates.map(|certificate| cms::Recipient { certificate, transport: KeyTransport::Oaep });
        let write = |sink: &mut dyn Write| sink.write_all(content);
        cms::encrypt(
            &mut out,
            &to.collect::<Vec<_>>(),
            ContentCipher::Aes256Gcm,
            ContentKind::Data,
            content.len() as u64,
            write,
        )
        .unwrap();
        cms_part("authEnveloped-data", &out)
    }

    /// What the gateway finds to be signed.
    pub fn to_sign(&self, message: &Message) -> (Opened, ToSign) {
        let keys = sealing::Keys { openpgp: &NobodysOpenpgp, smime: &self.world };
        let opened = self.world.open(message);
        let spill = Spill::default();
        let found = sealing::to_sign(message, &opened, keys, now(), &spill, &Limits::default()).unwrap();
        (opened, found)
    }

    /// What the gateway sends: what it opened, in the domain's signature, encrypted if policy says so.
    pub fn send(&self, message: &[u8], encrypt: bool) -> Message {
        let message = around(message);
        let (opened, found) = self.to_sign(&message);
        let good = |layer: &Layer| matches!(layer.state, Valid | List | LayerState::Opened);
        assert!(opened.layers.iter().all(good), "{:?}", opened.layers);
        let signer = Signer {
            signature_type: Some(SignatureType::Domain),
            nesting: Nesting::Rfc3183,
            ..signer(&self.authority, SignedForm::Opaque)
        };
        let to = [(self.partner.certificate().clone(), KeyTransport::Oaep)];
        let to = if encrypt || found.encrypted_inside { &to[..] } else { &[] };
        let spec = spec(to, ContentCipher::Aes256Gcm, Some(signer), now());
        let spec = Seal { expansion: found.expansion.as_ref(), ..spec };
        sealed_at(found.message.as_ref().unwrap_or(&message), &spec)
    }

    /// The layers from outside: `E` encrypted, `D` signed by the domain, `S` by the author, `0` by nobody,
    /// `L` by whoever tells the history of mailing lists, `m` the message itself. In clear `s`.
    pub fn shape(&self, message: &Message) -> String {
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
                            match (&signer.signature_types[..], &signer.expansion) {
                                ([], None) => 'S',
                                ([], Some(expansion)) if expansion.lists.len() == 1 => 'L',
                                ([oid], None) if *oid == SignatureType::Domain.oid() => 'D',
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
    fn example(&self, message: &[u8], unless_policy_encrypts: &str, encrypted: &str) {
        let sent = self.send(message, false);
        assert_eq!(self.shape(&sent), unless_policy_encrypts);
        let received = self.world.opened_by(&[&self.partner, &self.world.ours[0]], &sent);
        let signatures: Vec<_> =
            received.layers.iter().filter(|layer| layer.kind == LayerKind::Signed).collect();
        assert!(
            !signatures.is_empty() && signatures.iter().all(|layer| layer.state == Valid),
            "{signatures:?}"
        );
        assert_eq!(self.shape(&self.send(message, true)), encrypted);
    }
}

/// SignedData by a mailing list's agent, with these attributes beside the usual ones.
pub fn signed_by_list(agent: &Person, content: &[u8], more: Vec<Vec<u8>>) -> Vec<u8> {
    let mut attributes = vec![content_type(), message_digest(content)];
    attributes.extend(more);
    // DER order, in which they are signed.
    attributes.sort_unstable();
    Forge { attributes: Some(attributes), ..Forge::over(&agent.secret, content) }.build()
}

/// A MLExpansionHistory with one entry, and with a receipt policy that is nobody's business but the recipients':
/// receipts go to the owner of the list instead of the author (RFC 2634 section 4.4).
pub fn history(agent: &Person) -> Vec<u8> {
    let owner = sequence(&[&tlv(0x81, &[b"owner@lists.alpha.example"])]);
    sequence(&[&entry(agent, &tlv(0xa1, &[&owner]))])
}

/// One MLData.
pub fn entry(agent: &Person, policy: &[u8]) -> Vec<u8> {
    sequence(&[&issuer_serial(&agent.secret), &tlv(0x18, &[b"20261121120000Z"]), policy])
}

/// ContentHints (RFC 2634 section 2.9): what the outermost attributes tell about the content.
fn content_hints() -> Vec<u8> {
    attribute(CONTENT_HINTS, &[&sequence(&[&tlv(0x0c, &[b"from the list"]), &oid(DATA)])])
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
    domain.example(&domain.clear(&entity(&text_letter())), "Dsm", "EDsm");
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
    domain.example(&domain.e(&domain.s(&entity(&text_letter()))), "DSm", "EDSm");
    domain.example(&domain.e(&domain.clear(&entity(&text_letter()))), "Dsm", "EDsm");
    domain.example(&domain.e(&entity(&text_letter())), "D0m", "ED0m");
}

#[test]
fn example_4_what_a_mailing_list_said_stays_outside_of_the_domains_signature() {
    let domain = Domain::new();
    let m = domain.l(&domain.e(&domain.s(&entity(&text_letter()))));
    domain.example(&m, "LDSm", "LEDSm");
    // Every signed attribute is said again, octet by octet: the history with its receipt policy, the hints.
    for encrypt in [false, true] {
        let object = object_of(&domain.send(&m, encrypt));
        for attribute in [attribute(EXPANSION_HISTORY, &[&history(&domain.list)]), content_hints()] {
            let there = object.windows(attribute.len()).filter(|window| *window == attribute).count();
            assert_eq!(there, 1);
        }
    }
}

#[test]
fn example_5_signatures_outside_of_the_encryption_are_taken_off_with_it() {
    let domain = Domain::new();
    let m = domain.s(&domain.s(&domain.e(&domain.s(&entity(&text_letter())))));
    domain.example(&m, "DSm", "EDSm");
}

#[test]
fn example_6_signatures_below_the_mailing_lists_go_with_the_encryption() {
    let domain = Domain::new();
    let m = domain.l(&domain.s(&domain.e(&domain.s(&entity(&text_letter())))));
    domain.example(&m, "LDSm", "LEDSm");
}

/// The inner E is opened to be verified and stays; because of it the message leaves encrypted even where policy would
/// not ask.
#[test]
fn example_7_what_is_encrypted_inside_stays_and_leaves_encrypted() {
    let domain = Domain::new();
    let inside = domain.e_to(&[&domain.world.ours[0], &domain.partner], &domain.s(&entity(&text_letter())));
    domain.example(&domain.s(&domain.e(&domain.s(&inside))), "EDSESm", "EDSESm");
    domain.example(&domain.s(&domain.e(&domain.clear(&inside))), "EDsESm", "EDsESm");
    domain.example(&domain.e(&inside), "ED0ESm", "ED0ESm");
    domain.example(&domain.l(&domain.e(&domain.s(&inside))), "LEDSESm", "LEDSESm");
}

/// RFC 3183 section 5, step 3b: nothing is encrypted, only what the list said changes its place.
#[test]
fn a_mailing_lists_signature_without_encryption_goes_around_the_domains_too() {
    let domain = Domain::new();
    domain.example(&domain.l(&domain.s(&entity(&text_letter()))), "LDSm", "LEDSm");
    domain.example(&domain.l(&entity(&text_letter())), "LD0m", "LED0m");
    domain.example(&domain.s(&domain.l(&domain.s(&entity(&text_letter())))), "LDSm", "LEDSm");
}

/// Example 7 with an inner E that only others can open: its signatures cannot be verified, and the layers tell it.
#[test]
fn what_is_encrypted_to_others_inside_is_told_and_stays() {
    let domain = Domain::new();
    let inside = domain.e_to(&[&domain.partner], &domain.s(&entity(&text_letter())));
    let (opened, found) = domain.to_sign(&around(&domain.s(&domain.e(&domain.s(&inside)))));
    assert!(found.encrypted_inside);
    assert_eq!(opened.layers.last().unwrap().state, NoKey, "{:?}", opened.layers);
    assert_eq!(domain.shape(&found.message.unwrap()), "SESm");
    // The outermost one: nothing is taken off.
    let (opened, found) = domain.to_sign(&around(&domain.s(&inside)));
    assert_eq!(opened.layers.last().unwrap().state, NoKey, "{:?}", opened.layers);
    assert!(found.encrypted_inside && found.message.is_none());
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
