//! S/MIME: against `openssl cms`, and against what the primitives alone cost.

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;

use keydir::Answer;
use keydir::Certificate;
use mail::Edit;
use mail::Message;
use mail::Spill;
use openssl::rsa::Padding;
use sealing::HeaderProtection;
use sealing::LayerState;
use sealing::Limits;
use sealing::cms;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::Nesting;
use sealing::smime::Seal;
use sealing::smime::SecretKey;
use sealing::smime::SignedForm;
use sealing::smime::Signer;

use crate::ADDRESS;
use crate::AUTHOR;
use crate::certified::Authority;
use crate::certified::NoOpenpgp;
use crate::certified::Recipient;
use crate::figure::Figure;
use crate::figure::is_wanted;
use crate::message;
use crate::now;
use crate::raw::Raw;
use crate::spawn;

/// Names of sizes, bytes, and what encryption may cost of spawning openssl.
const SIZES: [(&str, usize, Option<f64>); 4] = [
    ("2 kB", 2_000, Some(0.01)),
    ("50 kB", 50_000, None),
    ("1 MB", 1_000_000, Some(0.04)),
    ("10 MB", 10_000_000, None),
];
/// What the MIME body in GCM may cost of the primitives, where these are not lost in the key's work.
const BODY_GOAL: (usize, f64) = (1_000_000, 1.6);
/// What a private operation may cost of OpenSSL's.
const PRIVATE_GOAL: f64 = 1.1;

/// Every figure of this standard.
pub(crate) fn measure() {
    let desk = Desk::new();
    for (size, bytes, goal) in SIZES {
        desk.encrypt(size, &message(bytes), goal);
        desk.sign_and_open(size, &message(bytes));
    }
    for bits in [2048, 3072, 4096] {
        // Such keys take seconds to make.
        if is_wanted(&format!("RSA-{bits} sign")) || is_wanted(&format!("RSA-{bits} decrypt")) {
            private_operations(&desk.authority.issue(ADDRESS, bits), bits);
        }
    }
}

/// Alice who signs, Bob to whom she writes, and their keys in files.
struct Desk {
    authority: Authority,
    alice: Arc<SecretKey>,
    bob: Recipient,
    recipients: [(Certificate, KeyTransport); 1],
    spill: Spill,
    files: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let authority = Authority::new();
        let [alice, bob] = [AUTHOR, ADDRESS].map(|address| authority.issue(address, 2048));
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("ca.pem"), authority.certificate().pem()).unwrap();
        for (name, person) in [("alice", &alice), ("bob", &bob)] {
            let key = person.key().private_key_to_pem_pkcs8().unwrap();
            let both = [person.certificate().pem().as_bytes(), &key].concat();
            std::fs::write(files.path().join(name), both).unwrap();
        }
        Desk {
            recipients: [(bob.certificate().clone(), KeyTransport::Pkcs1v15)],
            bob: Recipient::new(bob, &authority),
            alice,
            authority,
            spill: Spill { limit: 64 << 20, ..Spill::default() },
            files,
        }
    }

    fn encrypt(&self, size: &str, message: &Message, goal: Option<f64>) {
        let input = message.to_vec().unwrap();
        for (cipher, name, option) in [
            (ContentCipher::Aes256Gcm, "GCM", "-aes-256-gcm"),
            (ContentCipher::Aes256Cbc, "CBC", "-aes-256-cbc"),
        ] {
            let figure = Figure::new(format!("encrypt {size} {name}"), message.len());
            figure.measure(
                "spawning openssl cms -encrypt",
                goal,
                || self.seal(message, cipher, None),
                || drop(black_box(self.openssl(&["-encrypt", option, "bob"], &input))),
            );
        }
        let goal = (message.len() >= BODY_GOAL.0 as u64).then_some(BODY_GOAL.1);
        let mut raw = Raw::new(input);
        Figure::new(format!("encrypt {size} GCM"), message.len()).measure(
            "raw GCM and base64",
            goal,
            || self.seal(message, ContentCipher::Aes256Gcm, None),
            || raw.seal(),
        );
    }

    fn sign_and_open(&self, size: &str, message: &Message) {
        let input = message.to_vec().unwrap();
        let seal = || self.seal(message, ContentCipher::Aes256Gcm, Some(self.signer()));
        let mut raw = Raw::new(input.clone());
        let figure = Figure::new(format!("sign and encrypt {size}"), message.len());
        figure.measure("spawning openssl cms -sign, -encrypt", None, seal, || {
            let signed = self.openssl(&["-sign", "-signer", "alice"], &input);
            black_box(self.openssl(&["-encrypt", "-aes-256-gcm", "bob"], &signed));
        });
        figure.measure("raw GCM, SHA-256 and base64", None, seal, || raw.sign_and_seal());

        let sealed = self.sealed(message);
        let bytes = sealed.to_vec().unwrap();
        let figure = Figure::new(format!("open and verify {size}"), message.len());
        figure.measure(
            "spawning openssl cms -decrypt, -verify",
            None,
            || self.open(&sealed),
            || {
                let signed = self.openssl(&["-decrypt", "-recip", "bob"], &bytes);
                black_box(self.openssl(&["-verify", "-CAfile", "ca.pem"], &signed));
            },
        );
        let raw = || raw.open();
        figure.measure("raw GCM, SHA-256 and base64", None, || self.open(&sealed), raw);
    }

    fn signer(&self) -> Signer<'_> {
        Signer {
            identity: &self.alice,
            chain: &[],
            encryption: None,
            signature_type: None,
            form: SignedForm::Clear,
            nesting: Nesting::Flat,
            pss: false,
        }
    }

    fn seal(&self, message: &Message, cipher: ContentCipher, signer: Option<Signer<'_>>) {
        black_box(self.edits(message, cipher, signer));
    }

    fn sealed(&self, message: &Message) -> Message {
        let edits = self.edits(message, ContentCipher::Aes256Gcm, Some(self.signer()));
        mail::apply(message, &edits, &self.spill).unwrap()
    }

    fn edits(&self, message: &Message, cipher: ContentCipher, signer: Option<Signer<'_>>) -> Vec<Edit> {
        let seal = Seal {
            recipients: &self.recipients,
            cipher,
            signer,
            header: HeaderProtection::Off,
            expansion: None,
            whole: false,
            now: now(),
        };
        sealing::smime::seal(message, &seal, &self.spill).unwrap()
    }

    fn open(&self, sealed: &Message) {
        let keys = sealing::Keys { openpgp: &NoOpenpgp, smime: &self.bob };
        let opened = sealing::open(sealed, keys, now(), &self.spill, &Limits::default()).unwrap();
        let states: Vec<LayerState> = opened.layers.iter().map(|layer| layer.state).collect();
        assert_eq!(states, [LayerState::Opened, LayerState::Valid]);
        black_box(opened);
    }

    fn openssl(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        spawn(openssl.current_dir(self.files.path()).arg("cms").args(arguments), input)
    }
}

/// RSA private operations, with everything around them in the CMS object, against OpenSSL's alone.
fn private_operations(person: &Arc<SecretKey>, bits: u32) {
    let raw = person.key().rsa().unwrap();
    let mut out = vec![0; raw.size() as usize];
    let content = [7; 64];
    let signer = cms::Signer::new(person, now());
    Figure::new(format!("RSA-{bits} sign"), 64).measure(
        "raw OpenSSL",
        Some(PRIVATE_GOAL),
        || drop(black_box(cms::sign_detached(&signer, |sink| sink.write_all(&content)).unwrap())),
        || {
            black_box(raw.private_encrypt(black_box(&content), &mut out, Padding::PKCS1).unwrap());
        },
    );

    let recipient = cms::Recipient { certificate: person.certificate(), transport: KeyTransport::Oaep };
    let (mut sealed, length) = (Vec::new(), content.len() as u64);
    cms::encrypt(
        &mut sealed,
        &[recipient],
        ContentCipher::Aes256Gcm,
        cms::ContentKind::Data,
        length,
        |sink| sink.write_all(&content),
    )
    .unwrap();
    let mut given = vec![0; raw.size() as usize];
    raw.public_encrypt(&[7; 32], &mut given, Padding::PKCS1_OAEP).unwrap();
    let (spill, limits) = (Spill::default(), Limits::default());
    Figure::new(format!("RSA-{bits} decrypt"), length).measure(
        "raw OpenSSL",
        Some(PRIVATE_GOAL),
        || {
            let ours = Answer::Found(vec![person.clone()]);
            black_box(cms::decrypt(&mut sealed.as_slice(), |_| ours, &spill, &limits).unwrap());
        },
        || {
            black_box(raw.private_decrypt(black_box(&given), &mut out, Padding::PKCS1_OAEP).unwrap());
        },
    );
}
