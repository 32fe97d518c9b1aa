//! Certificates of strangers.

use std::process::Command;
use std::process::Stdio;

use rcgen::CertificateParams;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::SanType;

/// A stranger's GnuPG with its own home.
pub(super) struct Gpg(tempfile::TempDir);

impl Gpg {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn run(&self, words: &[&str], input: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(self.0.path()).args([
            "--batch",
            "--yes",
            "--quiet",
            "--pinentry-mode=loopback",
        ]);
        gpg.args(["--passphrase", "", "--trust-model=always", "--no-auto-key-locate"]).args(words);
        let mut child =
            gpg.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gpg");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A new key that signs and encrypts; its fingerprint.
    pub(super) fn generate(&self, user_id: &str) -> String {
        let words = ["--status-fd", "1", "--quick-generate-key", user_id, "future-default", "default", "1y"];
        let status = String::from_utf8(self.run(&words, b"")).unwrap();
        let created = status.lines().find(|line| line.contains("KEY_CREATED")).unwrap();
        created.split(' ').nth(3).unwrap().to_owned()
    }

    pub(super) fn export(&self, fingerprint: &str) -> Vec<u8> {
        self.run(&["--export", fingerprint], b"")
    }

    /// `signer` certifies the User IDs of another key.
    pub(super) fn certify(&self, signer: &str, fingerprint: &str) {
        self.run(&["--default-key", signer, "--quick-sign-key", fingerprint], b"");
    }

    /// The key is revoked with the certificate that gpg made with it.
    pub(super) fn revoke(&self, fingerprint: &str) {
        let file = self.0.path().join(format!("openpgp-revocs.d/{fingerprint}.rev"));
        let text = std::fs::read_to_string(file).unwrap().replace(":-----BEGIN", "-----BEGIN");
        self.run(&["--import"], text.as_bytes());
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut gpgconf = Command::new("gpgconf");
        let _ = gpgconf.arg("--homedir").arg(self.0.path()).args(["--kill", "all"]).status();
    }
}

/// An S/MIME certificate for an address, self-signed, DER.
pub(super) fn smime(address: &str) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::KeyAgreement, KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}
