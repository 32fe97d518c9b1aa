//! Opening never panics, as a message and as packets inside one; what was not opened is not changed.
#![no_main]

use std::sync::Arc;
use std::sync::LazyLock;

use keydir::Answer;
use libfuzzer_sys::fuzz_target;
use mail::Address;
use mail::Message;
use mail::Spill;
use sealing::Binding;
use sealing::openpgp::GenerateOptions;
use sealing::openpgp::Keys;
use sealing::LayerState;
use sealing::Limits;
use sealing::openpgp::SecretCert;
use sealing::openpgp::armor;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::KeyHandle;

const NOW: i64 = 1_787_900_000;

struct OneKey(Arc<SecretCert>);

impl Keys for OneKey {
    fn certificates(&self, _: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        Answer::Found(vec![self.0.cert().clone()])
    }

    fn secrets(&self, _: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        Answer::Found(vec![self.0.clone()])
    }

    fn cover(&self, _: &[KeyHandle]) -> Answer<()> {
        Answer::Found(())
    }

    fn authorised(&self, _: &Fingerprint, _: &Address) -> Answer<Binding> {
        Answer::Found(Binding::User)
    }
}

static KEYS: LazyLock<OneKey> = LazyLock::new(|| {
    let options = GenerateOptions::new(vec!["<a@alpha.example>".into()], NOW - 86_400);
    let (cert, _) = sealing::openpgp::generate(&options).unwrap();
    OneKey(Arc::new(SecretCert::new(cert).unwrap()))
});

fn look(message: &Message) {
    let limits = Limits { opened_bytes: 1 << 20, ..Limits::default() };
    let opened = sealing::open(message, sealing::Keys { openpgp: &*KEYS, smime: &sealing::smime::NoKeys }, NOW, &Spill::default(), &limits).unwrap();
    if opened.layers.iter().all(|layer| layer.state != LayerState::Opened) {
        assert!(opened.edits.is_empty() && opened.message.is_none());
    }
    let _ = sealing::recognise(message);
}

fuzz_target!(|bytes: &[u8]| {
    look(&Message::parse(bytes));
    let armored = armor::armor(bytes, armor::Kind::Message).unwrap();
    let head = "From: a@alpha.example\r\nMIME-Version: 1.0\r\n\
                Content-Type: multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"\r\n\r\n--b\r\n\
                Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    look(&Message::parse(&[head.as_bytes(), &armored, b"--b--\r\n"].concat()));
    let head = "From: a@alpha.example\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n";
    look(&Message::parse(&[head.as_bytes(), bytes, b"\r\n-----END PGP SIGNATURE-----\r\n"].concat()));
});
