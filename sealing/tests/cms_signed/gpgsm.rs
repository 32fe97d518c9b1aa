//! gpgsm verifies what we sign, and we verify what it signs.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use ::openssl::bn::BigNumContext;
use ::openssl::ec::EcGroup;
use ::openssl::ec::EcKey;
use ::openssl::ec::EcPoint;
use ::openssl::nid::Nid;
use ::openssl::pkey::PKey;
use ::openssl::pkey::Public;
use keydir::Certificate;
use sealing::cms::SecretKey;
use sealing::cms::Signer;
use tempfile::TempDir;

use crate::openssl::sign_both;
use crate::pki::*;

/// gpgsm with a home of its own, which trusts one authority.
struct Gpgsm(TempDir);

impl Gpgsm {
    fn new(ca: &Ca) -> Gpgsm {
        // gpg-agent's socket path must be short.
        let home = tempfile::Builder::new().prefix("gs").tempdir_in("/tmp").unwrap();
        let gpgsm = Gpgsm(home);
        gpgsm.put("gpgsm.conf", b"batch\nno-tty\nno-secmem-warning\ndisable-crl-checks\ndisable-dirmngr\npinentry-mode loopback\n");
        gpgsm.put("gpg-agent.conf", b"allow-loopback-pinentry\n");
        let digest = ca.cert.digest(::openssl::hash::MessageDigest::sha1()).unwrap();
        gpgsm.put("trustlist.txt", format!("{} S relax\n", hex(&digest)).as_bytes());
        gpgsm.put("content", CONTENT);
        gpgsm.import(&ca.cert.to_der().unwrap());
        gpgsm
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(program)
            .args(arguments)
            .env("GNUPGHOME", self.0.path())
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gpgsm and gpg are needed");
        // It may end before it reads everything.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    fn gpgsm(&self, arguments: &[&str]) -> Output {
        self.run("gpgsm", arguments, b"")
    }

    fn import(&self, der: &[u8]) {
        let output = self.run("gpgsm", &["--import"], der);
        assert!(output.status.success(), "{output:?}");
    }

    /// Imports certificate and key; gpgsm 2.2 reads only the oldest form of PKCS #12, and one file in some hundreds not
    /// at all: then the same key in a file with other salts.
    fn import_identity(&self, desk: &Desk, identity: &SecretKey) -> Output {
        let first = self.try_import(desk, identity);
        let misread = String::from_utf8_lossy(&first.stderr).contains("shrouded_key_bag.decrypted-text");
        if misread { self.try_import(desk, identity) } else { first }
    }

    fn try_import(&self, desk: &Desk, identity: &SecretKey) -> Output {
        desk.put_identity("own", identity);
        desk.openssl_ok(
            "pkcs12 -export -in own.pem -inkey own.key -passout pass:test -out own.p12 -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
        );
        let path = desk.path("own.p12");
        self.run("gpgsm", &["--passphrase-fd", "0", "--import", path.to_str().unwrap()], b"test\n")
    }

    /// The status lines of a verification, and what came out.
    fn verify(&self, arguments: &[&str]) -> (String, bool) {
        let output = self.gpgsm(&[&["--status-fd", "1"], arguments].concat());
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        let good =
            output.status.success() && status.contains("[GNUPG:] GOODSIG") && status.contains("TRUST_FULLY");
        (format!("{status}{}", String::from_utf8_lossy(&output.stderr)), good)
    }

    /// Signs the content.
    fn sign(&self, certificate: &Certificate, more: &[&str]) -> Vec<u8> {
        let digest =
            ::openssl::hash::hash(::openssl::hash::MessageDigest::sha1(), certificate.der()).unwrap();
        let user = hex(&digest);
        let arguments =
            [&["--yes", "-o", "signed", "-u", &user, "--passphrase-fd", "0"], more, &["content"]].concat();
        let output = self.run("gpgsm", &arguments, b"test\n");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(self.path("signed")).unwrap()
    }

    /// Lets gpg make a key on a curve, for gpgsm 2.2 can neither make nor import one; the agent is the same.
    fn generate_ec(&self, name: &str, curve: Nid, label: &str) -> PKey<Public> {
        let generate = [
            "--batch",
            "--passphrase",
            "",
            "--pinentry-mode",
            "loopback",
            "--quick-gen-key",
            name,
            label,
            "sign",
            "never",
        ];
        let output = self.run("gpg", &generate, b"");
        assert!(output.status.success(), "{output:?}");
        let list =
            self.run("gpg", &["--batch", "--with-colons", "--with-key-data", "--list-keys", name], b"");
        let list = String::from_utf8(list.stdout).unwrap();
        let point = list.lines().find_map(|line| line.strip_prefix("pkd:1:")).unwrap();
        let point = unhex(point.split(':').nth(1).unwrap());
        let group = EcGroup::from_curve_name(curve).unwrap();
        let point = EcPoint::from_bytes(&group, &point, &mut BigNumContext::new().unwrap()).unwrap();
        PKey::from_ec_key(EcKey::from_public_key(&group, &point).unwrap()).unwrap()
    }
}

impl Drop for Gpgsm {
    fn drop(&mut self) {
        let _ = self.run("gpgconf", &["--kill", "all"], b"");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn gpgsm_verifies_every_form_we_emit() {
    let ca = Ca::new();
    let gpgsm = Gpgsm::new(&ca);
    for kind in [Kind::Rsa(2048), Kind::Rsa(3072), Kind::Rsa(4096), Kind::P256, Kind::P384, Kind::Ed25519] {
        let alice = ca.identity(ALICE, kind);
        for pss in [false, true] {
            if pss && !matches!(kind, Kind::Rsa(_)) {
                continue;
            }
            let (clear, whole) = sign_both(&Signer { pss, ..Signer::new(&alice, now()) });
            gpgsm.put("clear.p7s", &clear);
            gpgsm.put("whole.p7m", &whole);
            let (text, good) = gpgsm.verify(&["--verify", "clear.p7s", "content"]);
            // gpgsm 2.2 knows no Ed25519 in CMS.
            assert_eq!(good, kind != Kind::Ed25519, "{kind:?}, pss {pss}: {text}");
            let _ = std::fs::remove_file(gpgsm.path("out"));
            let (text, good) = gpgsm.verify(&["-o", "out", "--verify", "whole.p7m"]);
            assert_eq!(good, kind != Kind::Ed25519, "{kind:?}, pss {pss}: {text}");
            if good {
                assert_eq!(std::fs::read(gpgsm.path("out")).unwrap(), CONTENT);
            }
        }
    }
}

#[test]
fn we_verify_what_gpgsm_signs_with_rsa() {
    let ca = Ca::new();
    let desk = Desk::new(&ca);
    let gpgsm = Gpgsm::new(&ca);
    for bits in [2048, 3072, 4096] {
        let alice = ca.identity(ALICE, Kind::Rsa(bits));
        let import = gpgsm.import_identity(&desk, &alice);
        assert!(import.status.success(), "{import:?}");
        let forms = [&[][..], &["--digest-algo", "SHA512"], &["--include-certs", "0"]];
        // The agent takes its time for each of them; the size of the key changes nothing.
        for more in &forms[..if bits == 2048 { 3 } else { 1 }] {
            check_both_forms(&gpgsm, alice.certificate(), more);
        }
    }
}

#[test]
fn we_verify_what_gpgsm_signs_on_curves() {
    let ca = Ca::new();
    // gpgsm 2.2 signs a digest only if it is as long as the key.
    for (curve, label, digest) in [
        (Nid::X9_62_PRIME256V1, "nistp256", "SHA256"),
        (Nid::SECP384R1, "nistp384", "SHA384"),
        (Nid::BRAINPOOL_P256R1, "brainpoolP256r1", "SHA256"),
    ] {
        let gpgsm = Gpgsm::new(&ca);
        let key = gpgsm.generate_ec("carol", curve, label);
        let carol = ca.issue("carol@alpha.example", &key);
        gpgsm.import(carol.der());
        check_both_forms(&gpgsm, &carol, &["--digest-algo", digest]);
    }
}

fn check_both_forms(gpgsm: &Gpgsm, certificate: &Certificate, more: &[&str]) {
    let known = std::slice::from_ref(certificate);
    let signature = gpgsm.sign(certificate, &[more, &["--detach-sign"]].concat());
    assert_holds(&detached(&signature, CONTENT, known).unwrap(), certificate);
    let verified = detached(&signature, &CONTENT[1..], known).unwrap();
    assert_eq!(refusal(&verified), "the content was altered");
    let verified = opaque(&gpgsm.sign(certificate, &[more, &["--sign"]].concat()), known).unwrap();
    assert_holds(&verified, certificate);
    assert_eq!(content(&verified), CONTENT);
    assert!(verified.signers[0].signing_time.is_some());
}

#[test]
fn what_gpgsm_calls_altered_is_altered_for_us_too() {
    let ca = Ca::new();
    let gpgsm = Gpgsm::new(&ca);
    let alice = ca.identity(ALICE, Kind::P256);
    let (clear, _) = sign_both(&Signer::new(&alice, now()));
    gpgsm.put("clear.p7s", &clear);
    gpgsm.put("content", &CONTENT.to_ascii_uppercase());
    assert!(!gpgsm.verify(&["--verify", "clear.p7s", "content"]).1);
}
