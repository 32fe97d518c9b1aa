//! Large mail goes through S/MIME in small memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a failed assumption is a failed test"
)]

#[path = "cms_signed/pki.rs"]
mod pki;

use std::io::Write;
use std::sync::Arc;

use keydir::Anchors;
use keydir::Answer;
use keydir::Certificate;
use mail::Address;
use mail::BodyWriter;
use mail::Message;
use mail::Spill;
use sealing::Binding;
use sealing::HeaderProtection;
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

use pki::*;

const SIZE: u64 = 50_000_000;
/// What stays in memory of the few bodies that there are at one time, buffers, and what the library needs.
const ALLOWED: u64 = 16 * 1024;

/// A line of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs the work and gives the KiB that memory grew at its peak.
fn growth<T>(work: impl FnOnce() -> T) -> (u64, T) {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let out = work();
    (status("VmHWM:").saturating_sub(before), out)
}

/// Alice, who writes to herself.
struct World {
    alice: Arc<SecretKey>,
    anchors: Arc<Anchors>,
}

impl World {
    fn new() -> World {
        let ca = Ca::new();
        let mut anchors = Anchors::none();
        anchors.add_anchor(ca.certificate()).unwrap();
        World { alice: Arc::new(ca.identity(ALICE, Kind::P256)), anchors: Arc::new(anchors) }
    }

    fn sealed(&self, message: &Message, way: &Way) -> Message {
        let to = [(self.alice.certificate().clone(), KeyTransport::Oaep)];
        let signer = Signer {
            identity: &self.alice,
            chain: &[],
            encryption: None,
            signature_type: None,
            form: way.form,
            nesting: way.nesting,
            pss: false,
        };
        let spec = Seal {
            recipients: if way.encrypted { &to } else { &[] },
            cipher: way.cipher,
            signer: Some(signer),
            header: HeaderProtection::Baseline,
            expansion: None,
            whole: false,
            now: now(),
        };
        let edits = sealing::smime::seal(message, &spec, &Spill::default()).unwrap();
        mail::apply(message, &edits, &Spill::default()).unwrap()
    }

    fn open(&self, sealed: &Message) -> sealing::Opened {
        let keys = sealing::Keys { openpgp: self, smime: self };
        sealing::open(sealed, keys, now(), &Spill::default(), &Limits::default()).unwrap()
    }
}

/// How a message is sealed.
#[derive(Debug)]
struct Way {
    encrypted: bool,
    cipher: ContentCipher,
    form: SignedForm,
    nesting: Nesting,
    states: &'static [LayerState],
}

const WAYS: [Way; 5] = [
    Way {
        encrypted: true,
        cipher: ContentCipher::Aes256Gcm,
        form: SignedForm::Clear,
        nesting: Nesting::Flat,
        states: &[LayerState::Opened, LayerState::Valid],
    },
    Way {
        encrypted: true,
        cipher: ContentCipher::Aes256Cbc,
        form: SignedForm::Opaque,
        nesting: Nesting::Flat,
        states: &[LayerState::Opened, LayerState::Valid],
    },
    Way {
        encrypted: true,
        cipher: ContentCipher::Aes256Gcm,
        form: SignedForm::Opaque,
        nesting: Nesting::Rfc3183,
        states: &[LayerState::Opened, LayerState::Valid],
    },
    Way {
        encrypted: false,
        cipher: ContentCipher::Aes256Gcm,
        form: SignedForm::Clear,
        nesting: Nesting::Flat,
        states: &[LayerState::Valid],
    },
    Way {
        encrypted: false,
        cipher: ContentCipher::Aes256Gcm,
        form: SignedForm::Opaque,
        nesting: Nesting::Flat,
        states: &[LayerState::Valid],
    },
];

/// A text and an attachment that is never in memory as a whole.
fn large() -> Message {
    let head = format!(
        "From: {ALICE}\r\nSubject: large\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--b\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    let mut text = BodyWriter::new(&Spill::default());
    text.write_all(head.as_bytes()).unwrap();
    let line = [&[b'A'; 76][..], b"\r\n"].concat();
    (0..SIZE / 78 + 1).for_each(|_| text.write_all(&line).unwrap());
    text.write_all(b"\r\n--b--\r\n").unwrap();
    let text = text.finish().unwrap();
    Message::read(&mut text.reader(0..text.len()), &Spill::default()).unwrap()
}

// One test: memory belongs to the whole process.
#[test]
fn fifty_megabytes_are_sealed_and_opened_within_16_mib() {
    let world = World::new();
    let message = large();
    assert!(message.len() > SIZE);
    for way in WAYS {
        let (grown, sealed) = growth(|| world.sealed(&message, &way));
        assert!(grown < ALLOWED, "sealing grew by {grown} KiB, {way:?}");
        let (grown, opened) = growth(|| world.open(&sealed));
        assert!(grown < ALLOWED, "opening grew by {grown} KiB, {way:?}");
        let states: Vec<LayerState> = opened.layers.iter().map(|layer| layer.state).collect();
        assert_eq!(states, way.states, "{:?}, {way:?}", opened.layers);
        let plain = opened.message.unwrap_or(sealed);
        assert!(plain.len() > SIZE);
    }
}

impl Keys for World {
    fn secrets(&self, _: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        Answer::Found(vec![self.alice.clone()])
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

impl openpgp::Keys for World {
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
