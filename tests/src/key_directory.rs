//! A key directory of our own: a publication made of certificates, and a gatepost-keydir that serves it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::time::SystemTime;

use keydir::Change;
use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::PublicationError;
use keydir::PublicationRules;
use keydir::Publisher;
use keydir::Store;
use keydir::Trust;
use tempfile::TempDir;

use crate::gatepost::keydir_binary;
use crate::process::Daemon;
use crate::process::Ran;
use crate::process::directory;
use crate::process::run;
use crate::wait::PATIENCE;
use crate::wait::wait_for;

/// A publication directory, what it is made of, and the sidecar that serves it.
#[derive(Debug)]
pub struct KeyDirectory {
    store: Store,
    rules: PublicationRules,
    daemon: Option<Daemon>,
    /// The directory that the sidecar reads.
    place: PathBuf,
    dir: TempDir,
}

impl KeyDirectory {
    /// An empty publication for some domains, with `+` before sub-addresses and both schemes.
    pub fn new(domains: &[&str]) -> Self {
        let rules = PublicationRules {
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            recipient_delimiter: Some("+".to_owned()),
            smime: true,
            openpgp: true,
            ..PublicationRules::default()
        };
        Self::with_rules(rules)
    }

    /// An empty publication.
    pub fn with_rules(rules: PublicationRules) -> Self {
        let dir = directory("keydir");
        std::fs::create_dir(dir.path().join("publication")).unwrap();
        std::fs::create_dir(dir.path().join("publication/submissions")).unwrap();
        let place = dir.path().join("publication");
        let directory = Self { store: Store::open_in_memory().unwrap(), rules, daemon: None, place, dir };
        directory.refresh();
        directory
    }

    /// What a gateway publishes.
    pub fn of(place: &Path) -> Self {
        let store = Store::open_in_memory().unwrap();
        let dir = directory("keydir");
        Self { store, rules: PublicationRules::default(), daemon: None, place: place.to_owned(), dir }
    }

    /// A directory in which a gateway is to publish.
    pub fn unpublished() -> Self {
        let dir = directory("keydir");
        let place = dir.path().join("publication");
        std::fs::create_dir(&place).unwrap();
        let rules = PublicationRules::default();
        Self { store: Store::open_in_memory().unwrap(), rules, daemon: None, place, dir }
    }

    /// Publishes OpenPGP certificates, armored or binary, as our own.
    ///
    /// # Panics
    /// If they are refused.
    #[track_caller]
    pub fn publish(&self, certificates: &[u8]) -> &Self {
        let import = Import {
            bytes: certificates,
            subjects: None,
            origin: Origin::Imported,
            trust: Trust::Own,
            custody: Custody::None,
            now: now(),
        };
        self.store.import(&import).unwrap();
        self.refresh();
        self
    }

    /// Brings the publication up to date.
    ///
    /// # Panics
    /// If it cannot be written.
    #[track_caller]
    pub fn refresh(&self) {
        let mut publisher = Publisher::open(&self.publication().join("publication.db")).unwrap();
        let mut commit = |_: &mut [Change]| Ok::<_, PublicationError>(());
        publisher.refresh(&self.store, &self.rules, now(), &mut commit).unwrap();
    }

    /// The store that the publication is made of.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The directory that the sidecar reads.
    pub fn publication(&self) -> PathBuf {
        self.place.clone()
    }

    /// A directory for the test's own files.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("keydir.toml")
    }

    /// Writes the configuration: `listen` and other lines of `[directory]`, then whole sections.
    pub fn configure(&self, lines: &str, sections: &str) {
        let place = self.publication();
        let text = format!("[directory]\npublication = \"{}\"\n{lines}\n{sections}\n", place.display());
        std::fs::write(self.config(), text).unwrap();
    }

    /// Starts the sidecar with this configuration and waits until it serves.
    ///
    /// # Panics
    /// If it does not come up; the message holds its log.
    #[track_caller]
    pub fn serve(&mut self, lines: &str, sections: &str) -> &mut Self {
        self.configure(lines, sections);
        let mut command = Command::new(keydir_binary());
        self.start(command.arg("serve").arg("--config").arg(self.config()));
        self
    }

    /// Starts the sidecar by a command of the test's own and waits until it serves.
    #[track_caller]
    pub fn start(&mut self, command: &mut Command) {
        let before = self.log().len();
        let (log, dir) = (self.dir.path().join("log"), self.dir.path().join("scratch"));
        let mut daemon = Daemon::start(command.env("GATEPOST_LOG", "debug"), &log, &dir);
        wait_for("gatepost-keydir to serve", PATIENCE, || {
            assert!(daemon.ended().is_none(), "{}", daemon.log());
            daemon.log().get(before..).is_some_and(|log| log.contains("serving on ")).then_some(())
        });
        self.daemon = Some(daemon);
    }

    /// The running sidecar.
    ///
    /// # Panics
    /// If it was not started.
    #[track_caller]
    pub fn running(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("gatepost-keydir is running")
    }

    /// Ends the sidecar with SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.daemon.take().expect("gatepost-keydir is running").term(PATIENCE)
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// Runs `gatepost-keydir WORDS --config FILE`.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Ran {
        run(Command::new(keydir_binary()).args(words).arg("--config").arg(self.config()), b"")
    }
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(elapsed.as_secs()).unwrap()
}

/// A certificate for TLS by an authority of its own, and its key.
#[derive(Debug)]
pub struct TlsIdentity {
    authority: String,
    certificate: String,
    key: String,
}

impl TlsIdentity {
    /// For these names.
    pub fn new(names: &[&str]) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.distinguished_name.push(DnType::CommonName, "Web Root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root_key = KeyPair::generate().unwrap();
        let authority = root.self_signed(&root_key).unwrap().pem();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&root, &root_key);
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        Self { authority, certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Writes `web.pem`, `web.key` and the authority's `ca.pem` to a directory, and gives the `[[tls]]` section.
    pub fn write(&self, dir: &Path) -> String {
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            path.display().to_string()
        };
        file("ca.pem", &self.authority);
        let (certificate, key) = (file("web.pem", &self.certificate), file("web.key", &self.key));
        format!("[[tls]]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
    }
}

/// What an HTTP server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status line.
    pub line: String,
    /// The status code; 0 if there was no answer.
    pub status: u16,
    /// Header fields with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The content.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header field, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks with curl. Nothing in the path is tidied.
#[track_caller]
pub fn curl(arguments: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--path-as-is", "--max-time", "60"]);
    let ran = run(command.args(arguments), b"");
    parse(&ran.stdout)
}

fn parse(mut raw: &[u8]) -> Answer {
    loop {
        let split = raw.windows(4).position(|window| window == b"\r\n\r\n").map(|at| raw.split_at(at));
        let Some((head, rest)) = split else {
            return Answer { line: String::new(), status: 0, headers: BTreeMap::new(), body: raw.to_vec() };
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        if status == 100 {
            raw = &rest[4..];
            continue;
        }
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        return Answer { line, status, headers, body: rest[4..].to_vec() };
    }
}
