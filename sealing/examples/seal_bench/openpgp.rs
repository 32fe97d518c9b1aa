//! OpenPGP: against gpg, Sequoia's own reader and OpenSSL.

use std::hint::black_box;
use std::io::Read;
use std::process::Command;
use std::sync::Arc;

use base64_simd::Out;
use base64_simd::STANDARD;
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
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::rsa::Padding;
use openssl::rsa::Rsa;
use sealing::Binding;
use sealing::Limits;
use sealing::openpgp as sealing_openpgp;
use sealing_openpgp::GenerateOptions;
use sealing_openpgp::KeySuite;
use sealing_openpgp::Keys;
use sealing_openpgp::Seal;
use sealing_openpgp::SecretCert;
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::Fingerprint;
use pgp::KeyHandle;
use pgp::crypto::Decryptor as _;
use pgp::crypto::SessionKey;
use pgp::crypto::Signer as _;
use pgp::packet::PKESK;
use pgp::packet::SKESK;
use pgp::parse::Parse;
use pgp::parse::stream::DecryptionHelper;
use pgp::parse::stream::DecryptorBuilder;
use pgp::parse::stream::MessageStructure;
use pgp::parse::stream::VerificationHelper;
use pgp::policy::StandardPolicy;
use pgp::serialize::SerializeInto;
use pgp::types::HashAlgorithm;
use pgp::types::SymmetricAlgorithm;

use crate::ADDRESS;
use crate::figure::Figure;
use crate::figure::is_wanted;
use crate::message;
use crate::now;
use crate::spawn;

/// Every figure of this standard.
pub(crate) fn measure() {
    let person = Person::new(KeySuite::Curve25519);
    let gpg = Gpg::new(&person);
    let spill = Spill { limit: 64 << 20, ..Spill::default() };
    let small = message(2_000);
    let large = message(1_000_000);

    for (name, message, base, options, goals) in [
        ("seal 2 kB", &small, "spawning gpg -e", &[][..], [0.05, 0.05]),
        ("seal 1 MB", &large, "spawning gpg -e -z0", &["-z0"], [0.4, 0.12]),
    ] {
        for (aead, goal) in [false, true].into_iter().zip(goals) {
            let spec = person.seal(aead);
            let seal = |spec| drop(black_box(sealing_openpgp::seal(message, spec, &spill).unwrap()));
            let signed = Seal { signer: Some(&person.secret), ..spec };
            for (spec, signed, goal) in [(&spec, "", Some(goal)), (&signed, " signed", None)] {
                let figure = Figure::new(format!("{name} {}{signed}", version(aead)), message.len());
                figure.measure(base, goal, || seal(spec), || gpg.encrypt(message, options));
            }
        }
    }
    // In a small message there is next to no armor to read: what it costs is the key agreement.
    for (name, message, goal) in [("open 2 kB", &small, None), ("open 1 MB", &large, Some(0.3))] {
        for aead in [false, true] {
            let edits = sealing_openpgp::seal(message, &person.seal(aead), &spill).unwrap();
            let sealed = mail::apply(message, &edits, &spill).unwrap();
            let armored = armored_part(&sealed);
            let name = format!("{name} {}", version(aead));
            let base = "sequoia with its own armor reader";
            let figure = Figure::new(name.clone(), message.len());
            figure.measure(
                base,
                goal,
                || person.open(&sealed, &spill),
                || person.decrypt_with_sequoia(&armored),
            );
            if goal.is_some() && !aead {
                let figure = Figure::new(format!("{name}, raw parts alone"), message.len());
                let mut raw = RawOpening::new(message.len() as usize);
                figure.measure(base, None, || raw.run(), || person.decrypt_with_sequoia(&armored));
            }
        }
    }
    for (suite, bits) in [(KeySuite::Rsa2048, 2048), (KeySuite::Rsa3072, 3072), (KeySuite::Rsa4096, 4096)] {
        // Such keys take seconds to make.
        if is_wanted(&format!("RSA-{bits} sign")) || is_wanted(&format!("RSA-{bits} decrypt")) {
            rsa(suite, bits);
        }
    }
}

fn version(aead: bool) -> &'static str {
    if aead { "SEIPDv2" } else { "SEIPDv1" }
}

/// RSA private operations against OpenSSL's, with keys of the same size.
fn rsa(suite: KeySuite, bits: u32) {
    let person = Person::new(suite);
    let raw = Rsa::generate(bits).unwrap();
    let mut out = vec![0; raw.size() as usize];
    let digest = [7; 64];
    let mut key = person.secret.signing_key(now()).unwrap().clone();
    Figure::new(format!("RSA-{bits} sign"), 64).measure(
        "raw OpenSSL",
        Some(1.1),
        || drop(black_box(key.sign(HashAlgorithm::SHA512, &digest).unwrap())),
        || {
            black_box(raw.private_encrypt(black_box(&digest), &mut out, Padding::PKCS1).unwrap());
        },
    );

    let mut given = vec![0; raw.size() as usize];
    raw.public_encrypt(&[7; 35], &mut given, Padding::PKCS1).unwrap();
    let mut key = person.secret.decryption_keys(None).last().unwrap().clone();
    let ciphertext = key.public().encrypt(&SessionKey::from(vec![7; 35])).unwrap();
    Figure::new(format!("RSA-{bits} decrypt"), 35).measure(
        "raw OpenSSL",
        Some(1.1),
        || drop(black_box(key.decrypt(&ciphertext, None).unwrap())),
        || {
            black_box(raw.private_decrypt(black_box(&given), &mut out, Padding::PKCS1).unwrap());
        },
    );
}

/// What opening SEIPDv1 cannot do without: base64, CFB, and the SHA-1 of Sequoia, which looks for
/// collisions. No copies, no MIME, no packets, no key.
struct RawOpening {
    text: Vec<u8>,
    binary: Vec<u8>,
    plain: Vec<u8>,
}

impl RawOpening {
    fn new(length: usize) -> RawOpening {
        RawOpening {
            text: vec![b'A'; length.div_ceil(3) * 4],
            binary: vec![0; length + 3],
            plain: vec![0; length + 3],
        }
    }

    fn run(&mut self) {
        let decoded = STANDARD.decode(&self.text, Out::from_slice(&mut self.binary)).unwrap();
        let mut cipher = CipherCtx::new().unwrap();
        cipher.decrypt_init(Some(Cipher::aes_256_cfb128()), Some(&[7; 32]), Some(&[0; 16])).unwrap();
        let mut hash = HashAlgorithm::SHA1.context().unwrap().for_digest();
        for (sealed, plain) in decoded.chunks(32 * 1024).zip(self.plain.chunks_mut(32 * 1024)) {
            let length = cipher.cipher_update(sealed, Some(plain)).unwrap();
            hash.update(&plain[..length]);
        }
        black_box(hash.into_digest().unwrap());
    }
}

fn armored_part(sealed: &Message) -> Vec<u8> {
    let parts = sealed.entity().children(&mail::Limits::default()).unwrap();
    parts[1].content().to_vec().unwrap()
}

/// Somebody with a key in a store.
struct Person {
    secret: Arc<SecretCert>,
    usable: [Usable; 1],
}

impl Person {
    fn new(suite: KeySuite) -> Person {
        let now = now();
        let options = GenerateOptions {
            suite,
            features_for_gpg22: false,
            ..GenerateOptions::new(vec![format!("<{ADDRESS}>")], now - 10)
        };
        let (cert, _) = sealing_openpgp::generate(&options).unwrap();
        let store = Store::open_in_memory().unwrap();
        let bytes = cert.clone().strip_secret_key_material().to_vec().unwrap();
        store
            .import(&Import {
                bytes: &bytes,
                subjects: None,
                origin: Origin::Generated,
                trust: Trust::Own,
                custody: Custody::Local,
                now,
            })
            .unwrap();
        let subject = Subject::address(ADDRESS).unwrap();
        let Answer::Found(usable) = store.find(&subject, Scheme::Openpgp, Purpose::Encrypt, now) else {
            panic!("the key just made cannot be used")
        };
        Person { secret: Arc::new(SecretCert::new(cert).unwrap()), usable: [usable] }
    }

    fn seal(&self, aead: bool) -> Seal<'_> {
        Seal {
            recipients: &self.usable,
            signer: None,
            aead,
            hide_recipients: false,
            header: sealing::HeaderProtection::Off,
            whole: false,
            now: now(),
        }
    }

    fn open(&self, sealed: &Message, spill: &Spill) {
        let opened = sealing::open(
            sealed,
            sealing::Keys { openpgp: self, smime: &sealing::smime::NoKeys },
            now(),
            spill,
            &Limits::default(),
        )
        .unwrap();
        assert!(opened.message.is_some());
        black_box(opened);
    }

    /// What one gets by handing the armored text to Sequoia.
    fn decrypt_with_sequoia(&self, armored: &[u8]) {
        let policy = StandardPolicy::new();
        let builder = DecryptorBuilder::from_bytes(armored).unwrap();
        let mut decryptor = builder.with_policy(&policy, None, self).unwrap();
        let mut out = Vec::new();
        decryptor.read_to_end(&mut out).unwrap();
        black_box(out);
    }
}

impl Keys for Person {
    fn certificates(&self, _: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        Answer::Found(vec![self.secret.cert().clone()])
    }

    fn secrets(&self, _: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        Answer::Found(vec![self.secret.clone()])
    }

    fn cover(&self, _: &[KeyHandle]) -> Answer<()> {
        Answer::Found(())
    }

    fn authorised(&self, _: &Fingerprint, _: &Address) -> Answer<Binding> {
        Answer::Found(Binding::User)
    }
}

impl VerificationHelper for &Person {
    fn get_certs(&mut self, _: &[KeyHandle]) -> pgp::Result<Vec<Cert>> {
        Ok(Vec::new())
    }

    fn check(&mut self, _: MessageStructure<'_>) -> pgp::Result<()> {
        Ok(())
    }
}

impl DecryptionHelper for &Person {
    fn decrypt(
        &mut self,
        pkesks: &[PKESK],
        _: &[SKESK],
        algorithm: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> pgp::Result<Option<Cert>> {
        for key in self.secret.decryption_keys(None) {
            for pkesk in pkesks {
                if pkesk.decrypt(&mut key.clone(), algorithm).is_some_and(|(a, k)| decrypt(a, &k)) {
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }
}

/// gpg with the person's certificate in a home of its own.
struct Gpg {
    home: tempfile::TempDir,
    recipient: String,
}

impl Gpg {
    fn new(person: &Person) -> Gpg {
        let home = tempfile::tempdir().unwrap();
        let gpg = Gpg { home, recipient: person.secret.fingerprint().to_hex() };
        gpg.run(&["--import"], &person.secret.cert().to_vec().unwrap());
        gpg
    }

    fn encrypt(&self, message: &Message, more: &[&str]) {
        let arguments = [&["--armor", "--trust-model", "always", "-r", &self.recipient, "-e"], more].concat();
        black_box(self.run(&arguments, &message.to_vec().unwrap()));
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut gpg = Command::new("gpg");
        gpg.args(["--homedir", self.home.path().to_str().unwrap(), "--batch", "--quiet", "--no-autostart"]);
        spawn(gpg.args(arguments), input)
    }
}
