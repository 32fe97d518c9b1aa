//! A directory server of our own: Debian's slapd on a loopback port, with its data in a temporary directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::port::free_port;
use crate::process::{Daemon, Ran, directory, run};
use crate::wait::{PATIENCE, wait_for};

/// Who may change everything.
const ADMIN: &str = "cn=admin,dc=beta,dc=example";
/// That one's password.
const PASSWORD: &str = "not a secret";

/// slapd with `dc=beta,dc=example` and `ou=people` below it. Dropping it kills it.
#[derive(Debug)]
pub struct Slapd {
    // Before the directory: what runs in it must end first.
    _daemon: Daemon,
    port: u16,
    tls_port: u16,
    dir: TempDir,
}

impl Slapd {
    /// Starts it; `extra` are further lines of the database's part of slapd.conf.
    ///
    /// # Panics
    /// If it does not answer in time.
    #[track_caller]
    pub fn start(extra: &str) -> Self {
        let dir = directory("slapd");
        fs::create_dir(dir.path().join("data")).unwrap();
        certify(dir.path());
        let at = dir.path().display();
        let conf = format!(
            "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {at}/pid
argsfile {at}/args
TLSCACertificateFile {at}/root.pem
TLSCertificateFile {at}/server.pem
TLSCertificateKeyFile {at}/server.key
database mdb
suffix \"dc=beta,dc=example\"
rootdn \"{ADMIN}\"
rootpw \"{PASSWORD}\"
directory {at}/data
{extra}
"
        );
        fs::write(dir.path().join("slapd.conf"), conf).unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let mut command = Command::new("/usr/sbin/slapd");
        command.arg("-f").arg(dir.path().join("slapd.conf"));
        command.args(["-h", &format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"), "-d", "none"]);
        let mut daemon = Daemon::start(&mut command, &dir.path().join("log"), dir.path());
        wait_for("slapd to answer", PATIENCE, || {
            if let Some(status) = daemon.ended() {
                panic!("slapd ended with {status}: {}", daemon.log());
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let slapd = Self { _daemon: daemon, port, tls_port, dir };
        slapd.change(
            "dn: dc=beta,dc=example\nchangetype: add\nobjectClass: dcObject\nobjectClass: organization\no: Beta\n\n\
             dn: ou=people,dc=beta,dc=example\nchangetype: add\nobjectClass: organizationalUnit\n",
        );
        slapd
    }

    /// `ldap://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// `ldaps://localhost:PORT`
    pub fn tls_url(&self) -> String {
        format!("ldaps://localhost:{}", self.tls_port)
    }

    /// `ldap://localhost:PORT`, for StartTLS with the name in the certificate.
    pub fn named_url(&self) -> String {
        format!("ldap://localhost:{}", self.port)
    }

    /// The trust anchor for its certificate.
    pub fn anchor(&self) -> PathBuf {
        self.dir.path().join("root.pem")
    }

    /// Who may read everything, and a file with the password.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn credentials(&self) -> (&'static str, PathBuf) {
        let file = self.dir.path().join("password");
        fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        (ADMIN, file)
    }

    /// Applies LDIF change records with ldapmodify(1).
    ///
    /// # Panics
    /// If the server refuses.
    #[track_caller]
    pub fn change(&self, ldif: &str) -> Ran {
        let mut command = Command::new("ldapmodify");
        command.args(["-x", "-H", &self.url(), "-D", ADMIN, "-w", PASSWORD]);
        run(&mut command, ldif.as_bytes()).success()
    }

    /// Adds a person below `ou=people`.
    #[track_caller]
    pub fn add_person(&self, uid: &str, mail: &[&str]) {
        let mail: String = mail.iter().map(|address| format!("mail: {address}\n")).collect();
        self.change(&format!(
            "dn: uid={uid},ou=people,dc=beta,dc=example\nchangetype: add\nobjectClass: inetOrgPerson\n\
             cn: {uid} of Beta\nsn: Beta\n{mail}"
        ));
    }
}

/// A root and a certificate for localhost.
fn certify(dir: &Path) {
    let openssl = |words: &[&str]| run(Command::new("openssl").current_dir(dir).args(words), b"").success();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    let root = ["req", "-x509", "-subj", "/CN=Directory root", "-keyout", "root.key", "-out", "root.pem"];
    openssl(&[&root[..], &key].concat());
    let server = [
        "req",
        "-x509",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.pem",
        "-CA",
        "root.pem",
        "-CAkey",
        "root.key",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    openssl(&[&server[..], &key].concat());
}
