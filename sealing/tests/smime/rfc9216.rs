//! The sample certificates of RFC 9216: four people with keys of two kinds, and two authorities that certify
//! each other. Files are named after the sections they stand in.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use keydir::Anchors;
use keydir::Answer;
use keydir::Certificate;
use keydir::Use;
use mail::Address;
use mail::Message;
use mail::Spill;
use mail::apply;
use openssl::pkey::PKey;
use sealing::Binding;
use sealing::HeaderProtection;
use sealing::LayerKind;
use sealing::LayerState;
use sealing::Limits;
use sealing::custody::read_pkcs12;
use sealing::smime;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::Nesting;
use sealing::smime::RecipientId;
use sealing::smime::Seal;
use sealing::smime::SecretKey;
use sealing::smime::SignedForm;
use sealing::smime::Signer;

use crate::world::NobodysOpenpgp;

/// 2026-08-28.
const NOW: i64 = 1_787_900_000;

fn file(section: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rfc9216").join(format!("{section}.pem"));
    fs::read(path).unwrap()
}

fn certificate(section: &str) -> Certificate {
    Certificate::read_all(&file(section)).unwrap().remove(0)
}

fn key(certificate_section: &str, key_section: &str) -> SecretKey {
    let key = PKey::private_key_from_pem(&file(key_section)).unwrap();
    SecretKey::new(certificate(certificate_section), key).unwrap()
}

/// The RSA authority alone, or the Ed25519 authority alone.
fn anchors(section: &str) -> Anchors {
    let mut anchors = Anchors::none();
    anchors.add_anchor(certificate(section)).unwrap();
    anchors
}

/// Name, chapter and authority of each person.
const PEOPLE: [(&str, u8, &str); 4] =
    [("alice", 4, "3.1"), ("bob", 5, "3.1"), ("carlos", 7, "6.1"), ("dana", 8, "6.1")];

#[test]
fn sections_3_to_8_are_read_and_chain_to_their_own_authority_only() {
    for (name, chapter, root) in PEOPLE {
        for (section, use_) in [(1, Use::Sign), (3, Use::Encrypt)] {
            let leaf = certificate(&format!("{chapter}.{section}"));
            assert_eq!(leaf.addresses(), [format!("{name}@smime.example")]);
            anchors(root).verify(&leaf, &[], NOW, use_).unwrap_or_else(|error| panic!("{name}: {error}"));
            let other = if root == "3.1" { "6.1" } else { "3.1" };
            assert!(anchors(other).verify(&leaf, &[], NOW, use_).is_err(), "{name}");
            assert!(leaf.may_sign(NOW).is_ok() == (use_ == Use::Sign), "{name}");
            assert!(leaf.may_encrypt(NOW).is_ok() == (use_ == Use::Encrypt), "{name}");
        }
    }
}

#[test]
fn sections_3_3_and_6_3_lead_from_one_authority_to_the_other() {
    let crossed = [certificate("3.3"), certificate("6.3")];
    for (name, chapter, root) in PEOPLE {
        let other = if root == "3.1" { "6.1" } else { "3.1" };
        let leaf = certificate(&format!("{chapter}.1"));
        let chain = anchors(other).verify(&leaf, &crossed, NOW, Use::Sign);
        assert_eq!(chain.unwrap_or_else(|error| panic!("{name}: {error}")).certificates().len(), 3, "{name}");
    }
}

#[test]
fn sections_4_5_5_5_7_5_and_8_5_open_with_their_password_and_no_other() {
    for (name, chapter, _) in PEOPLE {
        let pem = String::from_utf8(file(&format!("{chapter}.5"))).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = openssl::base64::decode_block(&body).unwrap();
        assert!(read_pkcs12(&der, "wrong").is_err(), "{name}");
        let content = read_pkcs12(&der, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(content.certificate.addresses(), [format!("{name}@smime.example")]);
    }
}

/// Knows one secret key and trusts both authorities.
struct World {
    secret: Arc<SecretKey>,
    anchors: Arc<Anchors>,
}

impl smime::Keys for World {
    fn secrets(&self, named: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        match named.iter().any(|id| id.means(self.secret.certificate())) {
            true => Answer::Found(vec![self.secret.clone()]),
            false => Answer::None { why: Vec::new() },
        }
    }

    fn cover(&self, _: &[RecipientId]) -> Answer<()> {
        Answer::Found(())
    }

    fn anchors(&self) -> Arc<Anchors> {
        self.anchors.clone()
    }

    fn certificates(&self, _: &RecipientId) -> Answer<Vec<Certificate>> {
        Answer::None { why: Vec::new() }
    }

    fn assigned(&self, _: &Certificate, _: &Address) -> Answer<Binding> {
        Answer::None { why: Vec::new() }
    }
}

#[test]
fn the_people_write_to_each_other_signed_and_encrypted() {
    let mut both = anchors("3.1");
    both.add_anchor(certificate("6.1")).unwrap();
    let both = Arc::new(both);
    // Alice (RSA) to Bob (RSA), and Carlos (Ed25519) to Dana (X25519).
    for (from, signer, to, recipient) in [
        ("alice", key("4.1", "4.2"), "bob", key("5.3", "5.4")),
        ("carlos", key("7.1", "7.2"), "dana", key("8.3", "8.4")),
    ] {
        let text = format!(
            "From: {from}@smime.example\r\nTo: {to}@smime.example\r\nSubject: x\r\n\
             Content-Type: text/plain\r\n\r\nthe vault opens at nine\r\n"
        );
        let message = Message::parse(text.as_bytes());
        let recipients = [(recipient.certificate().clone(), KeyTransport::Oaep)];
        let signer = Signer {
            identity: &signer,
            chain: &[],
            encryption: None,
            signature_type: None,
            form: SignedForm::Opaque,
            nesting: Nesting::Flat,
            pss: false,
        };
        let spec = Seal {
            recipients: &recipients,
            cipher: ContentCipher::Aes256Gcm,
            signer: Some(signer),
            header: HeaderProtection::Off,
            expansion: None,
            whole: false,
            now: NOW,
        };
        let spill = Spill::default();
        let edits = smime::seal(&message, &spec, &spill).unwrap();
        let sealed = apply(&message, &edits, &spill).unwrap();
        assert!(!String::from_utf8(sealed.to_vec().unwrap()).unwrap().contains("vault"));
        let world = World { secret: Arc::new(recipient), anchors: both.clone() };
        let keys = sealing::Keys { openpgp: &NobodysOpenpgp, smime: &world };
        let opened = sealing::open(&sealed, keys, NOW, &spill, &Limits::default()).unwrap();
        let states: Vec<_> = opened.layers.iter().map(|layer| (layer.kind, layer.state)).collect();
        assert_eq!(
            states,
            [(LayerKind::Encrypted, LayerState::Opened), (LayerKind::Signed, LayerState::Valid)],
            "{from}: {:?}",
            opened.layers
        );
        let plain = opened.message.unwrap();
        assert_eq!(plain.body().to_vec().unwrap(), b"the vault opens at nine\r\n");
    }
}
