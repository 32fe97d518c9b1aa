//! A gateway for alpha.example with keys, an authority and a key log, and the sidecar that shows what it publishes.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::Answer;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::KeyDirectory;
use tests::Ran;
use tests::TlsIdentity;
use tests::curl;
use tests::free_port;
use tests::keydir_binary;
use tests::run;

/// The name on the sidecar's TLS certificate.
pub(super) const HOST: &str = "keys.alpha.example";
/// Of her there are an OpenPGP key and an S/MIME certificate.
pub(super) const ALICE: &str = "alice@alpha.example";
/// Nobody.
pub(super) const NOBODY: &str = "nobod@alpha.example";
/// Somebody of the same length in a domain that is not ours.
pub(super) const FOREIGN: &str = "alice@other.example";

const LIMITS: &str = "[limits]\nrequests_per_minute = 100000\nburst = 100000\n";

/// Everything that runs.
pub(super) struct Doors {
    pub(super) gateway: Gatepost,
    pub(super) directory: KeyDirectory,
    pub(super) port: u16,
    pub(super) ldap: u16,
    pub(super) ldaps: u16,
    /// Fingerprint of Alice's S/MIME certificate.
    pub(super) smime: String,
}

impl Doors {
    /// The gateway runs, so that absence can be proved and OCSP answered.
    #[track_caller]
    pub(super) fn open() -> Self {
        let mut directory = KeyDirectory::unpublished();
        let (port, ldap, ldaps) = (free_port(), free_port(), free_port());
        let sections = format!(
            "[keydir]\npublication = \"{}\"\nrecipient_delimiter = \"+\"\n\
             [ca]\norganisation = \"Alpha\"\nurl = \"http://127.0.0.1:{port}/ca\"\n",
            directory.publication().display()
        );
        let mut gateway = GatepostPlan::new("alpha.example").policy(&sections).prepare();
        gateway.generate(&["--user", ALICE]);
        gateway.command(&["ca", "init"]).success();
        let issued = gateway.command(&["ca", "issue", "user", ALICE, "--json"]).success();
        let issued: Value = serde_json::from_slice(&issued.stdout).unwrap();
        let smime = issued[0]["fingerprint"].as_str().unwrap().to_owned();
        gateway.command(&["keys", "publish"]).success();
        gateway.start();
        let tls = TlsIdentity::new(&[HOST]).write(directory.path());
        let sections = format!(
            "{LIMITS}{tls}[ldap]\nlisten = [\"ldap:127.0.0.1:{ldap}\", \"ldaps:127.0.0.1:{ldaps}\"]\n"
        );
        directory.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), &sections);
        Self { gateway, directory, port, ldap, ldaps, smime }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Answer {
        curl(&[&self.url(path)])
    }

    /// Without its date, and with addresses of the same length written alike.
    #[track_caller]
    pub(super) fn bare(&self, path: &str, address: &str) -> Answer {
        let mut answer = self.get(path);
        assert!(answer.headers.remove("date").is_some(), "{answer:?}");
        let encoded = address.replace('@', "%40");
        answer.body = answer.text().replace(address, "ADDRESS").replace(&encoded, "ADDRESS").into_bytes();
        answer
    }

    /// A file of the test's own.
    pub(super) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The keys of the log, as anybody gets them.
    #[track_caller]
    pub(super) fn keys(&self) -> (String, String) {
        let keys: Value = serde_json::from_slice(&self.get("/log/keys.json").body).unwrap();
        let text = |name: &str| keys[name].as_str().unwrap().to_owned();
        (text("log_key"), text("vrf_key"))
    }

    /// Verifies a proof with `gatepost-keydir log verify`.
    #[track_caller]
    pub(super) fn verify(&self, proof: &[u8], mailbox: &str, more: &[&str]) -> Ran {
        let (log, vrf) = self.keys();
        let mut command = Command::new(keydir_binary());
        command.args(["log", "verify"]).arg(self.file("proof.gkl", proof)).arg(mailbox);
        run(command.args(["--json", "--log-key", &log, "--vrf-key", &vrf]).args(more), b"")
    }
}
