//! A stranger's GnuPG, with its own empty home.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::Ran;
use crate::process::directory;
use crate::process::run;

/// A GnuPG home directory. Dropping it ends its agent and removes it.
#[derive(Debug)]
pub struct Gpg {
    dir: TempDir,
}

/// The first armored OpenPGP message in some bytes, from its first dash to its last.
pub fn armored_message(bytes: &[u8]) -> Option<&[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN PGP MESSAGE-----";
    const END: &[u8] = b"-----END PGP MESSAGE-----";
    let find = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle);
    bytes.get(find(BEGIN)?..find(END)? + END.len())
}

/// What gpg made of a message.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The plaintext; empty if there is none.
    pub plaintext: Vec<u8>,
    /// gpg's status lines without the `[GNUPG:] ` in front (doc/DETAILS of GnuPG).
    pub status: Vec<String>,
    /// What gpg tells people.
    pub stderr: String,
    /// Exit code.
    pub code: i32,
}

impl Opened {
    /// True if a status line starts with this keyword.
    pub fn says(&self, keyword: &str) -> bool {
        self.status.iter().any(|line| line.split(' ').next() == Some(keyword))
    }

    /// True if it was decrypted and the integrity check passed.
    pub fn decrypted(&self) -> bool {
        self.says("DECRYPTION_OKAY") && self.says("GOODMDC")
    }

    /// The key ids of the (sub)keys that it is encrypted to, as the message tells everybody.
    pub fn encrypted_to(&self) -> Vec<&str> {
        let lines = self.status.iter().filter_map(|line| line.strip_prefix("ENC_TO "));
        lines.filter_map(|line| line.split(' ').next()).collect()
    }

    /// The fingerprint of the primary key of a valid signature.
    pub fn valid_signer(&self) -> Option<&str> {
        let valid = self.status.iter().find_map(|line| line.strip_prefix("VALIDSIG "))?;
        valid.split(' ').next_back()
    }
}

impl Gpg {
    /// A new home without keys.
    #[expect(clippy::new_without_default, reason = "it starts something; Default would hide that")]
    pub fn new() -> Self {
        Self { dir: directory("gpg") }
    }

    /// The home directory.
    pub fn home(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Runs gpg with these arguments. Passphrases are empty and nobody is asked.
    #[track_caller]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(self.dir.path());
        gpg.args(["--batch", "--yes", "--no-tty", "--quiet", "--pinentry-mode=loopback", "--passphrase", ""]);
        run(gpg.args(["--trust-model=always", "--no-auto-key-locate"]).args(arguments), input)
    }

    /// Imports certificates or secret keys, armored or binary.
    ///
    /// # Panics
    /// If gpg refuses them.
    #[track_caller]
    pub fn import(&self, keys: &[u8]) -> &Self {
        self.run(&["--import"], keys).success();
        self
    }

    /// Generates an Ed25519 key with an X25519 subkey for `user_id` and gives its fingerprint.
    #[track_caller]
    pub fn generate(&self, user_id: &str) -> String {
        self.run(&["--quick-generate-key", user_id, "future-default", "default", "1y"], b"").success();
        self.fingerprint(user_id)
    }

    /// The fingerprint of the primary key of `user_id`.
    ///
    /// # Panics
    /// If gpg knows no such key.
    #[track_caller]
    pub fn fingerprint(&self, user_id: &str) -> String {
        let listing = self.run(&["--with-colons", "--list-keys", user_id], b"").success().text();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// The fingerprint of the first certificate in some bytes, armored or binary.
    ///
    /// # Panics
    /// If gpg finds none.
    #[track_caller]
    pub fn fingerprint_in(&self, certificate: &[u8]) -> String {
        let listing = self.run(&["--with-colons", "--show-keys"], certificate).success().text();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// Signs as `signer` and encrypts to `recipients` (User IDs or fingerprints), armored.
    #[track_caller]
    pub fn seal(&self, signer: Option<&str>, recipients: &[&str], plaintext: &[u8]) -> Vec<u8> {
        let mut arguments = vec!["--armor", "--encrypt"];
        arguments.extend(recipients.iter().flat_map(|recipient| ["--recipient", recipient]));
        arguments.extend(signer.iter().flat_map(|signer| ["--sign", "--local-user", signer]));
        self.run(&arguments, plaintext).success().stdout
    }

    /// The key id of the encryption subkey of `user_id`.
    ///
    /// # Panics
    /// If gpg knows no such key.
    #[track_caller]
    pub fn encryption_key(&self, user_id: &str) -> String {
        let listing = self.run(&["--with-colons", "--list-keys", user_id], b"").success().text();
        let fields = listing.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let mut subkeys = fields.filter(|f| f[0] == "sub" && f[11].contains('e'));
        subkeys.next().unwrap()[4].to_owned()
    }

    /// The armored certificate of `user_id`.
    #[track_caller]
    pub fn certificate(&self, user_id: &str) -> Vec<u8> {
        self.run(&["--armor", "--export", user_id], b"").success().stdout
    }

    /// The armored secret key of `user_id`.
    #[track_caller]
    pub fn secret_key(&self, user_id: &str) -> Vec<u8> {
        self.run(&["--armor", "--export-secret-keys", user_id], b"").success().stdout
    }

    /// Decrypts, and verifies what was signed inside.
    #[track_caller]
    pub fn decrypt(&self, ciphertext: &[u8]) -> Opened {
        self.open(&["--decrypt"], ciphertext)
    }

    /// Verifies a detached signature over exactly these bytes.
    #[track_caller]
    pub fn verify(&self, signature: &[u8], signed: &[u8]) -> Opened {
        let file = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        std::fs::write(file.path(), signature).unwrap();
        self.open(&["--verify", file.path().to_str().unwrap(), "-"], signed)
    }

    fn open(&self, arguments: &[&str], input: &[u8]) -> Opened {
        let status_file = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        let path = status_file.path().to_str().unwrap();
        let ran = self.run(&[&["--status-file", path], arguments].concat(), input);
        let status = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        let status = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")).map(str::to_owned);
        Opened { plaintext: ran.stdout, status: status.collect(), stderr: ran.stderr, code: ran.code }
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut gpgconf = Command::new("gpgconf");
        run(gpgconf.arg("--homedir").arg(self.dir.path()).args(["--kill", "all"]), b"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpg_opens_what_gpg_sealed() {
        let bob = Gpg::new();
        let fingerprint = bob.generate("bob@beta.example");
        let sealed =
            bob.run(&["-a", "-s", "-e", "-r", "bob@beta.example", "-u", "bob@beta.example"], b"hello");
        let opened = bob.decrypt(&sealed.success().stdout);
        assert_eq!(opened.plaintext, b"hello");
        assert!(opened.decrypted(), "{opened:?}");
        assert_eq!(opened.valid_signer(), Some(fingerprint.as_str()));
        let signature = bob.run(&["-a", "--detach-sign"], b"text").success().stdout;
        assert!(bob.verify(&signature, b"text").says("VALIDSIG"));
        assert!(bob.verify(&signature, b"tixt").says("BADSIG"));
    }
}
