//! A small world for tests: a certificate store, secret keys, and messages between them.

use std::sync::Arc;

use keydir::Answer;
use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::Purpose;
use keydir::Scheme;
use keydir::Store;
use keydir::Subject;
use keydir::Trust;
use keydir::Usable;
use mail::Address;
use mail::Message;
use mail::Spill;
use sealing::Binding;
use sealing::Limits;
use sealing::Opened;
use sealing::openpgp::GenerateOptions;
use sealing::openpgp::KeySuite;
use sealing::openpgp::KeyVersion;
use sealing::openpgp::Keys;
use sealing::openpgp::Seal;
use sealing::openpgp::SecretCert;
use sealing::openpgp::generate;
use sealing::openpgp::seal;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::KeyHandle;
use sequoia_openpgp::serialize::SerializeInto;

/// 2026-08-28, when the tests take place.
pub const NOW: i64 = 1_787_900_000;
/// The keys are a day older.
pub const BORN: i64 = NOW - 86_400;

pub const ALICE: &str = "alice@alpha.example";
pub const BOB: &str = "bob@beta.example";

/// Everybody's certificates, and the secret keys that "we" hold.
pub struct World {
    pub store: Store,
    pub secrets: Vec<Arc<SecretCert>>,
    /// Key look-ups fail.
    pub broken: bool,
    /// Unix seconds.
    pub now: i64,
    /// New keys announce only what gpg 2.2 can read.
    pub for_gpg: bool,
}

impl World {
    pub fn new() -> World {
        World::at(NOW)
    }

    pub fn at(now: i64) -> World {
        World {
            store: Store::open_in_memory().unwrap(),
            secrets: Vec::new(),
            broken: false,
            now,
            for_gpg: false,
        }
    }

    /// Makes a key for an address; its secret half is ours.
    pub fn add(&mut self, address: &str, version: KeyVersion, suite: KeySuite) -> Arc<SecretCert> {
        let options = GenerateOptions {
            version,
            suite,
            features_for_gpg22: self.for_gpg,
            ..GenerateOptions::new(vec![format!("Test only <{address}>")], self.now - 86_400)
        };
        let (cert, _) = generate(&options).unwrap();
        self.add_cert(&cert);
        let secret = Arc::new(SecretCert::new(cert).unwrap());
        self.secrets.push(secret.clone());
        secret
    }

    /// Alice and Bob, with Curve25519 keys.
    pub fn alice_and_bob() -> (World, Arc<SecretCert>, Arc<SecretCert>) {
        let mut world = World::new();
        let alice = world.add(ALICE, KeyVersion::V4, KeySuite::Curve25519);
        let bob = world.add(BOB, KeyVersion::V4, KeySuite::Curve25519);
        (world, alice, bob)
    }

    /// Puts a certificate into the store, without its secrets.
    pub fn add_cert(&self, cert: &Cert) {
        let bytes = cert.clone().strip_secret_key_material().to_vec().unwrap();
        let import = Import {
            bytes: &bytes,
            subjects: None,
            origin: Origin::Imported,
            trust: Trust::Verified,
            custody: Custody::None,
            now: self.now,
        };
        self.store.import(&import).unwrap();
    }

    /// Forgets the secret key of this certificate.
    pub fn lose(&mut self, cert: &SecretCert) {
        self.secrets.retain(|secret| secret.fingerprint() != cert.fingerprint());
    }

    pub fn usable(&self, address: &str) -> Usable {
        let subject = Subject::address(address).unwrap();
        match self.store.find(&subject, Scheme::Openpgp, Purpose::Encrypt, self.now) {
            Answer::Found(usable) => usable,
            other => panic!("no key for {address}: {other:?}"),
        }
    }

    pub fn open(&self, message: &Message) -> Opened {
        sealing::open(
            message,
            sealing::Keys { openpgp: self, smime: &sealing::smime::NoKeys },
            self.now,
            &Spill::default(),
            &Limits::default(),
        )
        .unwrap()
    }
}

impl Keys for World {
    fn certificates(&self, handle: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        if self.broken {
            return Answer::CouldNotTell { why: "locked".into() };
        }
        match self.store.by_handle(&handle.to_hex()) {
            Answer::Found(known) => Answer::Found(known.into_iter().map(|known| known.cert).collect()),
            Answer::None { why } => Answer::None { why },
            Answer::CouldNotTell { why } => Answer::CouldNotTell { why },
        }
    }

    fn secrets(&self, handle: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        if self.broken {
            return Answer::CouldNotTell { why: "locked".into() };
        }
        let holds = |secret: &&Arc<SecretCert>| {
            handle.is_none_or(|handle| secret.cert().keys().any(|ka| ka.key().key_handle().aliases(handle)))
        };
        let found: Vec<_> = self.secrets.iter().filter(holds).cloned().collect();
        if found.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(found) }
    }

    fn cover(&self, _: &[KeyHandle]) -> Answer<()> {
        Answer::Found(())
    }

    fn authorised(&self, fingerprint: &Fingerprint, from: &Address) -> Answer<Binding> {
        let record = self.store.get(&fingerprint.to_hex()).unwrap();
        let subjects = record.map(|record| record.subjects).unwrap_or_default();
        let address = Subject::address(&from.to_string());
        let domain = Subject::domain(from.domain());
        if address.is_some_and(|address| subjects.contains(&address)) {
            Answer::Found(Binding::User)
        } else if domain.is_some_and(|domain| subjects.contains(&domain)) {
            Answer::Found(Binding::Domain)
        } else {
            Answer::None { why: Vec::new() }
        }
    }
}

/// How most tests seal.
pub fn plain_seal<'a>(recipients: &'a [Usable], signer: Option<&'a SecretCert>) -> Seal<'a> {
    Seal {
        recipients,
        signer,
        aead: false,
        hide_recipients: false,
        header: sealing::HeaderProtection::Off,
        whole: false,
        now: NOW,
    }
}

/// Seals and applies.
pub fn sealed(message: &Message, spec: &Seal<'_>) -> Message {
    let spill = Spill::default();
    let edits = seal(message, spec, &spill).unwrap();
    mail::apply(message, &edits, &spill).unwrap()
}

/// A message from Alice to Bob with this Content-* header and body, line ends made CRLF.
pub fn letter(content: &str) -> Message {
    let text = format!(
        "From: Alice <{ALICE}>\nTo: {BOB}\nSubject: lunch\nMIME-Version: 1.0\nMessage-ID: <1@alpha.example>\n{content}"
    );
    Message::parse(text.replace('\n', "\r\n").as_bytes())
}

pub fn text_letter() -> Message {
    letter("Content-Type: text/plain; charset=us-ascii\n\nHello Bob,\n\nat noon?\n")
}

/// The Content-* fields and the body: what sealing protects.
pub fn entity_bytes(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in message.header().fields() {
        if field.name().to_ascii_lowercase().starts_with(b"content-") {
            bytes.extend_from_slice(field.raw());
        }
    }
    bytes.extend_from_slice(b"\r\n");
    message.body().write_to(&mut bytes).unwrap();
    bytes
}

/// The header without the fields that sealing may change.
pub fn other_fields(message: &Message) -> Vec<Vec<u8>> {
    let ours = |name: &[u8]| name.starts_with(b"content-") || name == b"mime-version";
    let fields = message.header().fields();
    fields
        .filter(|field| !ours(&field.name().to_ascii_lowercase()))
        .map(|field| field.raw().to_vec())
        .collect()
}

pub fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(&message.to_vec().unwrap()).into_owned()
}
