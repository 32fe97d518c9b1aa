//! Measures sealing and opening against what else one could do, on this machine, in one run.
//!
//! Prints one JSON object for each figure: `name`, `bytes`, `ns` of processor time per operation (user
//! and system, children included) and, where there is something to compare with, `base`, `base_ns`,
//! `ratio` with its quartiles `low` and `high`, and the `goal` that the ratio must not exceed, if any. Both
//! sides take turns; figures are medians over the rounds, the ratio that of each round. Build it in
//! release; `gpg` must be installed.
//!
//! Usage: `seal_bench [ROUNDS [NAME]]`: only the figures whose name begins with NAME.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark: a failed assumption ends it"
)]

use std::hint::black_box;
use std::io::Read;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

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
use nix::sys::resource::UsageWho;
use nix::sys::resource::getrusage;
use nix::sys::time::TimeValLike;
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

const ADDRESS: &str = "bob@beta.example";

fn main() {
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

/// One line of the output.
struct Figure {
    name: String,
    bytes: u64,
}

impl Figure {
    fn new(name: String, bytes: u64) -> Figure {
        Figure { name, bytes }
    }

    /// Measures and prints it, if it is among those asked for.
    fn measure(&self, base: &str, goal: Option<f64>, ours: impl FnMut(), theirs: impl FnMut()) {
        if !is_wanted(&self.name) {
            return;
        }
        let Figure { name, bytes } = self;
        let turns = Turns::of(ours, theirs);
        let [ns, base_ns] = [&turns.ours, &turns.base].map(|all| quantile(all, 0.5));
        let ratios: Vec<f64> = turns.ours.iter().zip(&turns.base).map(|(ours, base)| ours / base).collect();
        let [low, ratio, high] = [0.25, 0.5, 0.75].map(|part| quantile(&ratios, part));
        let goal = goal.map(|goal| format!(", \"goal\": {goal}")).unwrap_or_default();
        println!(
            "{{\"name\": \"{name}\", \"bytes\": {bytes}, \"ns\": {ns:.0}, \"base\": \"{base}\", \
             \"base_ns\": {base_ns:.0}, \"ratio\": {ratio:.4}, \"low\": {low:.4}, \"high\": {high:.4}{goal}}}"
        );
    }
}

/// Whether a figure was asked for.
fn is_wanted(name: &str) -> bool {
    std::env::args().nth(2).is_none_or(|wanted| name.starts_with(&wanted))
}

/// The value below which this part of them lies.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// Nanoseconds of one call in each round, of us and of what we are compared with.
struct Turns {
    ours: Vec<f64>,
    base: Vec<f64>,
}

impl Turns {
    fn of(mut ours: impl FnMut(), mut base: impl FnMut()) -> Turns {
        let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(9);
        let mut turns = Turns { ours: Vec::new(), base: Vec::new() };
        ours();
        base();
        for _ in 0..rounds {
            turns.ours.push(turn(&mut ours));
            turns.base.push(turn(&mut base));
        }
        turns
    }
}

/// Processor time of one call, over at least 60 ms.
fn turn(work: &mut impl FnMut()) -> f64 {
    let (start, before, mut calls) = (Instant::now(), processor_time(), 0_u32);
    while start.elapsed() < Duration::from_millis(60) {
        work();
        calls += 1;
    }
    (processor_time() - before) / f64::from(calls)
}

/// Nanoseconds of user and system time of this process and the children it waited for.
fn processor_time() -> f64 {
    let used = |who| {
        let usage = getrusage(who).unwrap();
        (usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds()) as f64
    };
    used(UsageWho::RUSAGE_SELF) + used(UsageWho::RUSAGE_CHILDREN)
}

/// A message of about this many bytes that does not compress to nothing.
fn message(bytes: usize) -> Message {
    let mut text = format!(
        "From: alice@alpha.example\r\nTo: {ADDRESS}\r\nSubject: figures\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    );
    let mut state = 1_u64;
    while text.len() < bytes {
        for _ in 0..9 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("{:07} ", (state >> 33) % 9_999_999));
        }
        text.truncate(text.len() - 1);
        text.push_str("\r\n");
    }
    Message::parse(text.as_bytes())
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

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
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
        Seal { recipients: &self.usable, signer: None, aead, hide_recipients: false, now: now() }
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
        use std::io::Write as _;

        let mut child = Command::new("gpg")
            .args(["--homedir", self.home.path().to_str().unwrap(), "--batch", "--quiet", "--no-autostart"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("gpg is needed for the comparison");
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut out = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input));
            stdout.read_to_end(&mut out).unwrap();
        });
        assert!(child.wait().unwrap().success());
        out
    }
}
