//! gpg 2.2, sq 0.27 and rnp open and verify every form that we emit, and we open what they emit.
//!
//! The real programs run in temporary homes. A program that is missing fails the test.
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

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;

use mail::Message;
use sealing::LayerState;
use sealing::openpgp::KeySuite;
use sealing::openpgp::KeyVersion;
use sealing::openpgp::Seal;
use sealing::openpgp::SecretCert;
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use tempfile::TempDir;

use support::*;

const SUITES: [KeySuite; 4] = [KeySuite::Curve25519, KeySuite::P256, KeySuite::Rsa2048, KeySuite::Rsa4096];

/// Somebody else's OpenPGP program with a home of its own.
trait Program {
    /// Whether it tries its keys when the recipient is hidden; rnp 0.16 does not.
    fn opens_hidden(&self) -> bool {
        true
    }
    /// Takes a certificate, or a key if `secret` are given.
    fn import(&self, bytes: &[u8]);
    /// Decrypts; the text, and whether a good signature by `signer` was found.
    fn decrypt(&self, message: &[u8], own: &SecretCert, signer: &Cert) -> (Vec<u8>, bool);
    fn verify(&self, data: &[u8], signature: &[u8], signer: &Cert) -> bool;
    /// Makes a key for this address and exports it with its secrets.
    fn generate(&self, address: &str) -> Cert;
    fn encrypt(&self, data: &[u8], to: &Cert, signer: Option<&Cert>) -> Vec<u8>;
    fn sign_detached(&self, data: &[u8], signer: &Cert) -> Vec<u8>;
    fn sign_clear(&self, data: &[u8], signer: &Cert) -> Vec<u8>;
}

struct Home(TempDir);

impl Home {
    fn new() -> Home {
        // gpg-agent's socket path must be short.
        Home(tempfile::Builder::new().prefix("gp").tempdir_in("/tmp").unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", self.path()).env("GNUPGHOME", self.path()).env("LC_ALL", "C");
        command.stdin(std::process::Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"))
    }

    fn must(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

struct Gpg(Home);

impl Gpg {
    fn run(&self, arguments: &[&str]) -> Output {
        let fixed = [
            "--batch",
            "--yes",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            "--trust-model",
            "always",
        ];
        self.0.run("gpg", &[&fixed[..], arguments].concat())
    }

    fn must(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(arguments);
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        self.0.run("gpgconf", &["--kill", "all"]);
    }
}

fn good(status: &[u8], signer: &Cert) -> bool {
    let status = String::from_utf8_lossy(status);
    status
        .lines()
        .any(|line| line.starts_with("[GNUPG:] VALIDSIG") && line.ends_with(&signer.fingerprint().to_hex()))
}

impl Program for Gpg {
    fn import(&self, bytes: &[u8]) {
        let file = self.0.file("import", bytes);
        self.must(&["--import", file.to_str().unwrap()]);
    }

    fn decrypt(&self, message: &[u8], _own: &SecretCert, signer: &Cert) -> (Vec<u8>, bool) {
        let file = self.0.file("message", message);
        let output = self.run(&["--status-fd", "2", "--decrypt", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stderr).contains("[GNUPG:] GOODMDC"));
        (output.stdout, good(&output.stderr, signer))
    }

    fn verify(&self, data: &[u8], signature: &[u8], signer: &Cert) -> bool {
        let (data, signature) = (self.0.file("data", data), self.0.file("sig", signature));
        let paths = [signature.to_str().unwrap(), data.to_str().unwrap()];
        let output = self.run(&["--status-fd", "2", "--verify", paths[0], paths[1]]);
        output.status.success() && good(&output.stderr, signer)
    }

    fn generate(&self, address: &str) -> Cert {
        self.must(&["--quick-gen-key", address, "default", "default", "1y"]);
        Cert::from_bytes(&self.must(&["--export-secret-keys", address])).unwrap()
    }

    fn encrypt(&self, data: &[u8], to: &Cert, signer: Option<&Cert>) -> Vec<u8> {
        let file = self.0.file("plain", data);
        let (to, signer) = (to.fingerprint().to_hex(), signer.map(|signer| signer.fingerprint().to_hex()));
        let mut arguments = vec!["--armor", "-r", &to, "--output", "-"];
        if let Some(signer) = &signer {
            arguments.extend(["--sign", "-u", signer]);
        }
        arguments.extend(["--encrypt", file.to_str().unwrap()]);
        self.must(&arguments)
    }

    fn sign_detached(&self, data: &[u8], signer: &Cert) -> Vec<u8> {
        let file = self.0.file("plain", data);
        let signer = signer.fingerprint().to_hex();
        self.must(&["--armor", "-u", &signer, "--output", "-", "--detach-sign", file.to_str().unwrap()])
    }

    fn sign_clear(&self, data: &[u8], signer: &Cert) -> Vec<u8> {
        let file = self.0.file("plain", data);
        let signer = signer.fingerprint().to_hex();
        self.must(&["-u", &signer, "--output", "-", "--clearsign", file.to_str().unwrap()])
    }
}

struct Sq(Home);

impl Sq {
    fn key(&self, cert: &Cert) -> String {
        let path = self.0.0.path().join(cert.fingerprint().to_hex());
        path.to_str().unwrap().to_owned()
    }
}

impl Program for Sq {
    fn import(&self, bytes: &[u8]) {
        let cert = Cert::from_bytes(bytes).unwrap();
        std::fs::write(self.key(&cert), bytes).unwrap();
    }

    fn decrypt(&self, message: &[u8], own: &SecretCert, signer: &Cert) -> (Vec<u8>, bool) {
        let file = self.0.file("message", message);
        let (own, signer) = (self.key(own.cert()), self.key(signer));
        let file = file.to_str().unwrap();
        let signed = self.0.run("sq", &["decrypt", "--recipient-key", &own, "--signer-cert", &signer, file]);
        if signed.status.success() {
            return (signed.stdout, true);
        }
        (self.0.must("sq", &["decrypt", "--recipient-key", &own, file]), false)
    }

    fn verify(&self, data: &[u8], signature: &[u8], signer: &Cert) -> bool {
        let (data, signature) = (self.0.file("data", data), self.0.file("sig", signature));
        let signer = self.key(signer);
        let paths = [signature.to_str().unwrap(), data.to_str().unwrap()];
        self.0
            .run("sq", &["verify", "--signer-cert", &signer, "--detached", paths[0], paths[1]])
            .status
            .success()
    }

    fn generate(&self, address: &str) -> Cert {
        let path = self.0.0.path().join("new");
        self.0.must(
            "sq",
            &["key", "generate", "--userid", &format!("<{address}>"), "--export", path.to_str().unwrap()],
        );
        let bytes = std::fs::read(path).unwrap();
        self.import(&bytes);
        Cert::from_bytes(&bytes).unwrap()
    }

    fn encrypt(&self, data: &[u8], to: &Cert, signer: Option<&Cert>) -> Vec<u8> {
        let file = self.0.file("plain", data);
        let (to, signer) = (self.key(to), signer.map(|signer| self.key(signer)));
        let mut arguments = vec!["encrypt", "--recipient-cert", &to];
        if let Some(signer) = &signer {
            arguments.extend(["--signer-key", signer]);
        }
        arguments.push(file.to_str().unwrap());
        self.0.must("sq", &arguments)
    }

    fn sign_detached(&self, data: &[u8], signer: &Cert) -> Vec<u8> {
        let file = self.0.file("plain", data);
        self.0.must("sq", &["sign", "--detached", "--signer-key", &self.key(signer), file.to_str().unwrap()])
    }

    fn sign_clear(&self, data: &[u8], signer: &Cert) -> Vec<u8> {
        let file = self.0.file("plain", data);
        self.0.must(
            "sq",
            &["sign", "--cleartext-signature", "--signer-key", &self.key(signer), file.to_str().unwrap()],
        )
    }
}

struct Rnp(Home);

impl Rnp {
    fn run(&self, arguments: &[&str]) -> Output {
        self.0.run(
            "rnp",
            &[&["--homedir", self.0.path(), "--password", "", "--notty", "--output", "-"], arguments]
                .concat(),
        )
    }

    fn must(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(arguments);
        assert!(output.status.success(), "rnp {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn keys(&self, arguments: &[&str]) -> Vec<u8> {
        let fixed = ["--homedir", self.0.path(), "--password", "", "--notty"];
        self.0.must("rnpkeys", &[&fixed[..], arguments].concat())
    }
}

impl Program for Rnp {
    fn opens_hidden(&self) -> bool {
        false
    }

    fn import(&self, bytes: &[u8]) {
        let file = self.0.file("import", bytes);
        self.keys(&["--import-keys", file.to_str().unwrap()]);
    }

    fn decrypt(&self, message: &[u8], _own: &SecretCert, _signer: &Cert) -> (Vec<u8>, bool) {
        let file = self.0.file("message", message);
        let output = self.run(&["--decrypt", file.to_str().unwrap()]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words}");
        (output.stdout, words.contains("Good signature"))
    }

    fn verify(&self, data: &[u8], signature: &[u8], _signer: &Cert) -> bool {
        // rnp finds the data by the signature's name.
        let (_, signature) = (self.0.file("data", data), self.0.file("data.sig", signature));
        let output = self.run(&["--verify", signature.to_str().unwrap()]);
        output.status.success() && String::from_utf8_lossy(&output.stderr).contains("Good signature")
    }

    fn generate(&self, address: &str) -> Cert {
        self.keys(&["--generate-key", "--userid", &format!("<{address}>")]);
        Cert::from_bytes(&self.keys(&["--export-key", "--secret", address, "--output", "-"])).unwrap()
    }

    fn encrypt(&self, data: &[u8], to: &Cert, signer: Option<&Cert>) -> Vec<u8> {
        let file = self.0.file("plain", data);
        let (to, signer) = (to.fingerprint().to_hex(), signer.map(|signer| signer.fingerprint().to_hex()));
        let mut arguments = vec!["--armor", "--encrypt", "-r", &to];
        if let Some(signer) = &signer {
            arguments.extend(["--sign", "-u", signer]);
        }
        arguments.push(file.to_str().unwrap());
        self.must(&arguments)
    }

    fn sign_detached(&self, data: &[u8], signer: &Cert) -> Vec<u8> {
        let file = self.0.file("plain", data);
        self.must(&[
            "--armor",
            "--sign",
            "--detach",
            "-u",
            &signer.fingerprint().to_hex(),
            file.to_str().unwrap(),
        ])
    }

    fn sign_clear(&self, data: &[u8], signer: &Cert) -> Vec<u8> {
        let file = self.0.file("plain", data);
        self.must(&["--clearsign", "-u", &signer.fingerprint().to_hex(), file.to_str().unwrap()])
    }
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The parts of a message of two, byte by byte.
fn parts(message: &Message) -> [Vec<u8>; 2] {
    let children = message.entity().children(&mail::Limits::default()).unwrap();
    [children[0].raw().to_vec().unwrap(), children[1].content().to_vec().unwrap()]
}

fn eight_bit_letter() -> Message {
    letter(
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nFrom Köln \n-- \nAlice\n",
    )
}

fn they_open_what_we_emit(program: &dyn Program) {
    for suite in SUITES {
        let mut world = World { for_gpg: true, ..World::at(now()) };
        let alice = world.add(ALICE, KeyVersion::V4, suite);
        let bob = world.add(BOB, KeyVersion::V4, suite);
        program.import(&alice.cert().to_vec().unwrap());
        program.import(&bob.to_secret_bytes().unwrap());
        let to = [world.usable(BOB)];
        for message in [text_letter(), eight_bit_letter()] {
            for (sign, hide) in [(false, false), (true, false), (true, true)] {
                if hide && !program.opens_hidden() {
                    continue;
                }
                let name = format!("{suite:?} sign {sign} hide {hide}");
                let spec = Seal {
                    recipients: &to,
                    signer: sign.then_some(&*alice),
                    aead: true,
                    hide_recipients: hide,
                    header: sealing::HeaderProtection::Off,
                    whole: false,
                    now: world.now,
                };
                let sealed = sealed(&message, &spec);
                let [_, payload] = parts(&sealed);
                let (text, good) = program.decrypt(&payload, &bob, alice.cert());
                let ours = world.open(&sealed).message.unwrap();
                assert_eq!(
                    String::from_utf8_lossy(&text),
                    String::from_utf8_lossy(&entity_bytes(&ours)),
                    "{name}"
                );
                assert_eq!(good, sign, "{name}");
            }
            let spec = Seal {
                recipients: &[],
                signer: Some(&alice),
                aead: false,
                hide_recipients: false,
                header: sealing::HeaderProtection::Off,
                whole: false,
                now: world.now,
            };
            let [data, signature] = parts(&sealed(&message, &spec));
            assert!(program.verify(&data, &signature, alice.cert()), "{suite:?}");
            let changed = [&data[..], b"x"].concat();
            assert!(!program.verify(&changed, &signature, alice.cert()), "{suite:?}");
        }
    }
}

fn we_open_what_they_emit(program: &dyn Program) {
    let theirs = program.generate(ALICE);
    for suite in SUITES {
        let mut world = World { for_gpg: true, ..World::at(now() + 2) };
        let bob: Arc<SecretCert> = world.add(BOB, KeyVersion::V4, suite);
        world.add_cert(&theirs);
        program.import(&bob.cert().to_vec().unwrap());
        let entity = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n";
        for signer in [None, Some(&theirs)] {
            let armored = program.encrypt(entity, bob.cert(), signer);
            let opened = world.open(&encrypted_mail(&armored));
            let states: Vec<_> = opened.layers.iter().map(|layer| layer.state).collect();
            let expected = [LayerState::Opened, LayerState::Valid];
            assert_eq!(
                states,
                expected[..if signer.is_some() { 2 } else { 1 }],
                "{suite:?}: {:?}",
                opened.layers
            );
            assert_eq!(entity_bytes(&opened.message.unwrap()), entity);
            let inline = world.open(&text_mail(&armored));
            assert_eq!(inline.layers.len(), states.len(), "{suite:?}: {:?}", inline.layers);
            assert!(inline.message.is_some());
        }
    }
    let world = World::at(now() + 2);
    world.add_cert(&theirs);
    let data = b"Content-Type: text/plain\r\n\r\nhello\r\n";
    let signature = program.sign_detached(data, &theirs);
    let layers = world.open(&signed_mail(data, &signature)).layers;
    assert_eq!(layers[0].state, LayerState::Valid, "{layers:?}");
    let layers = world.open(&signed_mail(b"Content-Type: text/plain\r\n\r\nhullo\r\n", &signature)).layers;
    assert_eq!(layers[0].state, LayerState::Invalid, "{layers:?}");
    let clear = program.sign_clear(b"hello\n-- \n- dash\n", &theirs);
    let layers = world.open(&text_mail(&clear)).layers;
    assert_eq!(layers[0].state, LayerState::Valid, "{layers:?}");
}

/// Their key in our custody: what they encrypt to it we open.
fn we_use_keys_that_they_made(program: &dyn Program) {
    let theirs = program.generate(BOB);
    let mut world = World { for_gpg: true, ..World::at(now() + 2) };
    world.add_cert(&theirs);
    let bob = Arc::new(SecretCert::new(theirs.clone()).unwrap());
    world.secrets.push(bob.clone());
    let to = [world.usable(BOB)];
    let spec = Seal {
        recipients: &to,
        signer: Some(&bob),
        aead: false,
        hide_recipients: false,
        header: sealing::HeaderProtection::Off,
        whole: false,
        now: world.now,
    };
    let message = Message::parse(text_of(&text_letter()).replacen(ALICE, BOB, 1).as_bytes());
    let sealed = sealed(&message, &spec);
    let states: Vec<_> = world.open(&sealed).layers.iter().map(|layer| layer.state).collect();
    assert_eq!(states, [LayerState::Opened, LayerState::Valid]);
    let entity = b"Content-Type: text/plain\r\n\r\nhi\r\n";
    let armored = program.encrypt(entity, &theirs, None);
    assert_eq!(entity_bytes(&world.open(&encrypted_mail(&armored)).message.unwrap()), entity);
}

fn mime(content: &[&[u8]]) -> Message {
    let head = format!("From: {ALICE}\r\nTo: {BOB}\r\nMIME-Version: 1.0\r\n");
    let content: Vec<u8> = content.concat();
    let text = String::from_utf8(content).unwrap().replace("\r\n", "\n").replace('\n', "\r\n");
    Message::parse([head.as_bytes(), text.as_bytes()].concat().as_slice())
}

fn encrypted_mail(armored: &[u8]) -> Message {
    mime(&[
        b"Content-Type: multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"\n\n--b\n\
          Content-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: application/octet-stream\n\n",
        armored,
        b"\n--b--\n",
    ])
}

fn signed_mail(data: &[u8], signature: &[u8]) -> Message {
    mime(&[
        b"Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\n\n--b\n",
        data,
        b"\n--b\nContent-Type: application/pgp-signature\n\n",
        signature,
        b"\n--b--\n",
    ])
}

fn text_mail(armored: &[u8]) -> Message {
    mime(&[b"Content-Type: text/plain\n\n", armored])
}

#[test]
fn gpg_opens_and_verifies_every_form_we_emit() {
    they_open_what_we_emit(&Gpg(Home::new()));
}

#[test]
fn sq_opens_and_verifies_every_form_we_emit() {
    they_open_what_we_emit(&Sq(Home::new()));
}

#[test]
fn rnp_opens_and_verifies_every_form_we_emit() {
    they_open_what_we_emit(&Rnp(Home::new()));
}

#[test]
fn we_open_and_verify_what_gpg_emits() {
    we_open_what_they_emit(&Gpg(Home::new()));
}

#[test]
fn we_open_and_verify_what_sq_emits() {
    we_open_what_they_emit(&Sq(Home::new()));
}

#[test]
fn we_open_and_verify_what_rnp_emits() {
    we_open_what_they_emit(&Rnp(Home::new()));
}

#[test]
fn keys_made_by_gpg_sq_and_rnp_serve_in_our_custody() {
    we_use_keys_that_they_made(&Gpg(Home::new()));
    we_use_keys_that_they_made(&Sq(Home::new()));
    we_use_keys_that_they_made(&Rnp(Home::new()));
}

#[test]
fn mail_that_gpg_hides_the_recipient_of_is_opened() {
    let gpg = Gpg(Home::new());
    let mut world = World { for_gpg: true, ..World::at(now() + 2) };
    let bob = world.add(BOB, KeyVersion::V4, KeySuite::Rsa2048);
    world.add(ALICE, KeyVersion::V4, KeySuite::Rsa2048);
    gpg.import(&bob.cert().to_vec().unwrap());
    let entity = b"Content-Type: text/plain\r\n\r\nhi\r\n";
    let file = gpg.0.file("plain", entity);
    let fingerprint = bob.fingerprint().to_hex();
    let armored =
        gpg.must(&["--armor", "-R", &fingerprint, "--output", "-", "--encrypt", file.to_str().unwrap()]);
    assert_eq!(entity_bytes(&world.open(&encrypted_mail(&armored)).message.unwrap()), entity);
}
