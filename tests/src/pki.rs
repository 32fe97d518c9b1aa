//! A certificate authority made by openssl(1), for S/MIME certificates that we did not make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root authority in a temporary directory.
#[derive(Debug)]
pub struct Pki {
    dir: tempfile::TempDir,
}

/// What a certificate is for.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    /// Common name.
    pub name: &'a str,
    /// rfc822Names.
    pub addresses: &'a [&'a str],
    /// Key, as `openssl req -newkey` takes it: `rsa:2048`, `ec:P-256`, `ed25519`.
    pub key: &'a str,
    /// keyUsage, as openssl's configuration writes it.
    pub usage: &'a str,
    /// Days it is valid from now on; negative: it has expired.
    pub days: i32,
    /// More extensions, one in a line, as openssl's configuration writes them.
    pub extensions: &'a str,
}

impl<'a> Leaf<'a> {
    /// A certificate for one mailbox, for signing and encryption, RSA-2048.
    pub fn user(address: &'a [&'a str]) -> Self {
        Self {
            name: address.first().copied().unwrap_or_default(),
            addresses: address,
            key: "rsa:2048",
            usage: "critical,digitalSignature,keyEncipherment",
            days: 90,
            extensions: "",
        }
    }
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM, PKCS#8, unencrypted.
    pub key: PathBuf,
    /// PKCS#12 with the password `secret`.
    pub p12: PathBuf,
}

impl Pki {
    /// Makes a root.
    ///
    /// # Panics
    /// If openssl fails.
    #[track_caller]
    pub fn new() -> Self {
        let pki = Self { dir: tempfile::tempdir().expect("temporary directory") };
        pki.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            "-days",
            "3650",
            "-subj",
            "/CN=Test root",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]);
        fs::write(pki.path("index.txt"), "").expect("index");
        fs::write(
            pki.path("ca.cnf"),
            format!(
                "[ca]\ndefault_ca=root\n[root]\ndatabase={0}/index.txt\ncertificate={0}/root.pem\nprivate_key={0}/root.key\ndefault_md=sha256\ndefault_crl_days=1\n",
                pki.dir.path().display()
            ),
        )
        .expect("configuration");
        pki
    }

    /// The root's certificate, PEM.
    pub fn root(&self) -> PathBuf {
        self.path("root.pem")
    }

    /// Issues a certificate.
    ///
    /// # Panics
    /// If openssl fails.
    #[track_caller]
    pub fn issue(&self, stem: &str, leaf: &Leaf<'_>) -> Issued {
        let file = |extension: &str| format!("{stem}.{extension}");
        let (key, request, certificate, p12) = (file("key"), file("csr"), file("pem"), file("p12"));
        let mut words = vec!["req", "-new", "-nodes", "-keyout", &key, "-out", &request, "-newkey"];
        let curve;
        match leaf.key.split_once(':') {
            Some(("ec", name)) => {
                curve = format!("ec_paramgen_curve:{name}");
                words.extend(["ec", "-pkeyopt", &curve]);
            }
            _ => words.push(leaf.key),
        }
        let subject = format!("/CN={}", leaf.name);
        words.extend(["-subj", &subject]);
        self.openssl(&words);
        let names: Vec<String> = leaf.addresses.iter().map(|address| format!("email:{address}")).collect();
        let extensions = format!(
            "basicConstraints=critical,CA:FALSE\nkeyUsage={}\nextendedKeyUsage=emailProtection\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName={}\n{}\n",
            leaf.usage,
            names.join(","),
            leaf.extensions
        );
        fs::write(self.path(&file("ext")), extensions).expect("extensions");
        let days = leaf.days.to_string();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "root.pem",
            "-CAkey",
            "root.key",
            "-days",
            &days,
            "-extfile",
            &file("ext"),
            "-out",
            &certificate,
        ]);
        self.openssl(&[
            "pkcs12",
            "-export",
            "-in",
            &certificate,
            "-inkey",
            &key,
            "-certfile",
            "root.pem",
            "-passout",
            "pass:secret",
            "-out",
            &p12,
        ]);
        Issued { certificate: self.path(&certificate), key: self.path(&key), p12: self.path(&p12) }
    }

    /// Puts a certificate into the database from which `openssl ocsp` answers.
    ///
    /// # Panics
    /// If openssl fails.
    #[track_caller]
    pub fn record(&self, issued: &Issued) {
        self.openssl(&["ca", "-config", "ca.cnf", "-valid", &issued.certificate.to_string_lossy()]);
    }

    /// Revokes a certificate and gives the new revocation list, PEM.
    ///
    /// # Panics
    /// If openssl fails.
    #[track_caller]
    pub fn revoke(&self, issued: &Issued) -> PathBuf {
        let certificate = issued.certificate.to_string_lossy();
        self.openssl(&["ca", "-config", "ca.cnf", "-revoke", &certificate]);
        self.openssl(&["ca", "-config", "ca.cnf", "-gencrl", "-out", "root.crl"]);
        self.path("root.crl")
    }

    /// Runs openssl(1) in the directory and gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn openssl(&self, words: &[&str]) -> Vec<u8> {
        let ran = Command::new("openssl").args(words).current_dir(self.dir.path()).output().expect("openssl");
        assert!(ran.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    /// A file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}
