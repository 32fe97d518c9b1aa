//! An authority in a temporary directory, and the tools that judge it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use keydir::AuthoritySettings;
use keydir::Certificate;
use keydir::LeafRequest;
use keydir::LocalAuthority;
use keydir::Profile;
use keydir::SignatureAlgorithm;
use keydir::Signs;
use keydir::SignsError;
use openssl::ec::EcGroup;
use openssl::ec::EcKey;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::sign::Signer;

pub(crate) const DAY: i64 = 86_400;

/// A secret key in the memory of the test.
#[derive(Clone)]
pub(crate) struct Key(pub(crate) PKey<Private>);

impl Key {
    pub(crate) fn p256() -> Self {
        Self::curve(Nid::X9_62_PRIME256V1)
    }

    pub(crate) fn p384() -> Self {
        Self::curve(Nid::SECP384R1)
    }

    pub(crate) fn rsa(bits: u32) -> Self {
        Self(PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self(PKey::generate_ed25519().unwrap())
    }

    pub(crate) fn x25519() -> Self {
        Self(PKey::generate_x25519().unwrap())
    }

    pub(crate) fn info(&self) -> Vec<u8> {
        self.0.public_key_to_der().unwrap()
    }

    fn curve(nid: Nid) -> Self {
        let group = EcGroup::from_curve_name(nid).unwrap();
        Self(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
    }
}

impl Signs for Key {
    fn public_key(&self) -> Result<Vec<u8>, SignsError> {
        Ok(self.info())
    }

    fn sign(&self, algorithm: SignatureAlgorithm, data: &[u8]) -> Result<Vec<u8>, SignsError> {
        let digest = match algorithm {
            SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::RsaSha256 => MessageDigest::sha256(),
            SignatureAlgorithm::EcdsaSha384 => MessageDigest::sha384(),
            SignatureAlgorithm::EcdsaSha512 => MessageDigest::sha512(),
            SignatureAlgorithm::Ed25519 => {
                let mut signer = Signer::new_without_digest(&self.0).map_err(SignsError::new)?;
                return signer.sign_oneshot_to_vec(data).map_err(SignsError::new);
            }
        };
        let mut signer = Signer::new(digest, &self.0).map_err(SignsError::new)?;
        signer.sign_oneshot_to_vec(data).map_err(SignsError::new)
    }
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) authority: LocalAuthority,
    pub(crate) root_key: Key,
    pub(crate) issuing_key: Key,
    pub(crate) root: Certificate,
    pub(crate) issuing: Certificate,
    pub(crate) now: i64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Key::p384(), Key::p384(), &settings())
    }

    pub(crate) fn with(root_key: Key, issuing_key: Key, settings: &AuthoritySettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = LocalAuthority::open(&dir.path().join("ca.db")).unwrap();
        let now = now();
        let (root, issuing) = authority.init(settings, &root_key, &issuing_key, now, |_, _| Ok(())).unwrap();
        let world = Self { dir, authority, root_key, issuing_key, root, issuing, now };
        world.write("root.pem", world.root.pem());
        world.write("issuing.pem", world.issuing.pem());
        world
    }

    pub(crate) fn leaf(&self, profile: Profile, subject: &str, key: &Key) -> Certificate {
        let info = key.info();
        let request = LeafRequest { profile, subject, name: None, public_key: &info, now: self.now };
        self.authority.issue(&self.issuing_key, &request).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs `openssl` in the directory; gives whether it succeeded and everything it printed.
    pub(crate) fn openssl(&self, arguments: &str) -> (bool, String) {
        let words = arguments.split_whitespace();
        self.run(Command::new("openssl").args(words))
    }

    pub(crate) fn run(&self, command: &mut Command) -> (bool, String) {
        let output: Output = command.current_dir(self.dir.path()).output().expect("the tool is installed");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// A certificate that somebody with the issuing key made by hand, with these extensions.
    pub(crate) fn rogue(&self, subject: &str, extensions: &str) -> Certificate {
        self.write("issuing.key", self.issuing_key.0.private_key_to_pem_pkcs8().unwrap());
        self.write("rogue.ext", format!("[x]\n{extensions}\n"));
        let made = self.run(Command::new("openssl").args([
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-utf8",
            "-keyout",
            "rogue.key",
            "-out",
            "rogue.csr",
            "-subj",
            subject,
        ]));
        assert!(made.0, "{}", made.1);
        let made = self.openssl(
            "x509 -req -in rogue.csr -CA issuing.pem -CAkey issuing.key -days 30 -extfile rogue.ext \
             -extensions x -out rogue.pem",
        );
        assert!(made.0, "{}", made.1);
        Certificate::read_all(&fs::read(self.path("rogue.pem")).unwrap()).unwrap().remove(0)
    }
}

pub(crate) fn settings() -> AuthoritySettings {
    AuthoritySettings {
        crl_url: Some("http://pki.alpha.example/{issuer}.crl".to_owned()),
        ocsp_url: Some("http://pki.alpha.example/ocsp".to_owned()),
        issuer_url: Some("http://pki.alpha.example/{issuer}.cer".to_owned()),
        ..AuthoritySettings::new("Alpha", &["alpha.example", "münchen.example"])
    }
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
