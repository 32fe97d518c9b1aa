//! Opening a message in S/MIME never panics; what was not opened is not changed; what a tag protects comes out
//! as it was sealed or not at all. Mutations of a good message get behind key and signature.
#![no_main]

use std::sync::Arc;
use std::sync::LazyLock;

use keydir::Anchors;
use keydir::Answer;
use keydir::Certificate;
use libfuzzer_sys::fuzz_target;
use mail::Address;
use mail::Message;
use mail::Spill;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::EcGroup;
use openssl::ec::EcKey;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::X509;
use openssl::x509::X509Name;
use openssl::x509::extension::BasicConstraints;
use openssl::x509::extension::SubjectAlternativeName;
use sealing::Binding;
use sealing::HeaderProtection;
use sealing::LayerKind;
use sealing::LayerState;
use sealing::Limits;
use sealing::openpgp;
use sealing::openpgp::SecretCert;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::Keys;
use sealing::smime::Nesting;
use sealing::smime::RecipientId;
use sealing::smime::Seal;
use sealing::smime::SecretKey;
use sealing::smime::SignedForm;
use sealing::smime::Signer;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::KeyHandle;

const NOW: i64 = 1_787_900_000;
const TEXT: &str = "What the tag protects.";

/// One key, trusted as its own authority.
struct OneKey {
    secret: Arc<SecretKey>,
    anchors: Arc<Anchors>,
}

impl Keys for OneKey {
    fn secrets(&self, _: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        Answer::Found(vec![self.secret.clone()])
    }

    fn cover(&self, _: &[RecipientId]) -> Answer<()> {
        Answer::Found(())
    }

    fn anchors(&self) -> Arc<Anchors> {
        self.anchors.clone()
    }

    fn certificates(&self, _: &RecipientId) -> Answer<Vec<Certificate>> {
        Answer::Found(vec![self.secret.certificate().clone()])
    }

    fn assigned(&self, _: &Certificate, _: &Address) -> Answer<Binding> {
        Answer::Found(Binding::Domain)
    }
}

/// Nobody in OpenPGP.
struct NoOpenpgp;

impl openpgp::Keys for NoOpenpgp {
    fn certificates(&self, _: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        Answer::None { why: Vec::new() }
    }

    fn secrets(&self, _: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        Answer::None { why: Vec::new() }
    }

    fn cover(&self, _: &[KeyHandle]) -> Answer<()> {
        Answer::None { why: Vec::new() }
    }

    fn authorised(&self, _: &Fingerprint, _: &Address) -> Answer<Binding> {
        Answer::None { why: Vec::new() }
    }
}

static KEYS: LazyLock<OneKey> = LazyLock::new(|| {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "Test only").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(77).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(NOW - 86_400).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(NOW + 86_400).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    let names = SubjectAlternativeName::new().email("a@alpha.example").build(&builder.x509v3_context(None, None));
    builder.append_extension(names.unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().build().unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = Certificate::from_der(&builder.build().to_der().unwrap()).unwrap();
    let mut anchors = Anchors::none();
    let _ = anchors.add_anchor(certificate.clone());
    OneKey { secret: Arc::new(SecretKey::new(certificate, key).unwrap()), anchors: Arc::new(anchors) }
});

/// The good message: encrypted and signed, signed in both forms.
static GOOD: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let text = format!("From: a@alpha.example\r\nContent-Type: text/plain\r\n\r\n{TEXT}\r\n");
    let message = Message::parse(text.as_bytes());
    let to = [(KEYS.secret.certificate().clone(), KeyTransport::Oaep)];
    [(&to[..], SignedForm::Clear), (&[], SignedForm::Clear), (&[], SignedForm::Opaque)].map(|(recipients, form)| {
        let signer = Signer {
            identity: &KEYS.secret,
            chain: &[],
            encryption: None,
            signature_type: None,
            form,
            nesting: Nesting::Flat,
            pss: false,
        };
        let seal = Seal {
            recipients,
            cipher: ContentCipher::Aes256Gcm,
            signer: Some(signer),
            header: HeaderProtection::Off,
            expansion: None,
            whole: false,
            now: NOW,
        };
        let edits = sealing::smime::seal(&message, &seal, &Spill::default()).unwrap();
        mail::apply(&message, &edits, &Spill::default()).unwrap().to_vec().unwrap()
    })
});

fn look(bytes: &[u8]) {
    let limits = Limits { opened_bytes: 1 << 20, ..Limits::default() };
    let message = Message::parse(bytes);
    let keys = sealing::Keys { openpgp: &NoOpenpgp, smime: &*KEYS };
    let opened = sealing::open(&message, keys, NOW, &Spill::default(), &limits).unwrap();
    assert_eq!(opened.edits.is_empty(), opened.message.is_none());
    let to_sign = sealing::to_sign(&message, &opened, keys, NOW, &Spill::default(), &limits).unwrap();
    assert!(to_sign.expansion.is_none() || to_sign.message.is_some());
    let first = opened.layers.iter().find(|layer| layer.kind == LayerKind::Encrypted);
    if first.is_some_and(|layer| layer.state == LayerState::Opened && !layer.malleable) {
        let plain = opened.message.unwrap().to_vec().unwrap();
        assert!(plain.windows(TEXT.len()).any(|window| window == TEXT.as_bytes()));
    }
    let _ = sealing::recognise(&message);
}

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    for kind in ["enveloped-data", "signed-data", "compressed-data"] {
        let head = format!(
            "From: a@alpha.example\r\nContent-Type: application/pkcs7-mime; smime-type={kind}\r\n\
             Content-Transfer-Encoding: binary\r\n\r\n"
        );
        look(&[head.as_bytes(), bytes].concat());
    }
    // The first two octets say where, the rest what stands there instead.
    let [high, low, patch @ ..] = bytes else { return };
    for good in &*GOOD {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % good.len();
        let end = (at + patch.len()).min(good.len());
        look(&[&good[..at], patch, &good[end..]].concat());
    }
});
