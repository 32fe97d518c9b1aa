//! opendkim as a signing milter, with a key of its own.

use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::process::Command;

use tempfile::TempDir;

use crate::port::free_port;
use crate::process::Daemon;
use crate::process::directory;
use crate::process::run;
use crate::wait::PATIENCE;
use crate::wait::wait_for;

/// The selector under which the key would be published.
const SELECTOR: &str = "gate";

/// A running opendkim that signs mail of one domain, header and body in `simple` form: every changed
/// byte shows.
#[derive(Debug)]
pub struct OpenDkim {
    domain: String,
    port: u16,
    record: String,
    _daemon: Daemon,
    _dir: TempDir,
}

impl OpenDkim {
    /// Generates an RSA-2048 key and starts signing.
    ///
    /// # Panics
    /// If opendkim is not installed or does not come up.
    #[track_caller]
    pub fn start(domain: &str) -> Self {
        let dir = directory("dkim");
        let mut genkey = Command::new("opendkim-genkey");
        run(genkey.args(["-b", "2048", "-d", domain, "-s", SELECTOR, "-D"]).arg(dir.path()), b"").success();
        let zone = std::fs::read_to_string(dir.path().join(format!("{SELECTOR}.txt"))).unwrap();
        let port = free_port();
        let path = dir.path().display();
        let config = format!(
            "Domain {domain}\nSelector {SELECTOR}\nKeyFile {path}/{SELECTOR}.private\nMode s\n\
             Canonicalization simple/simple\nSocket inet:{port}@127.0.0.1\nSyslog no\nRequireSafeKeys no\n\
             PidFile {path}/pid\nTemporaryDirectory {path}\n"
        );
        std::fs::write(dir.path().join("conf"), config).unwrap();
        let mut command = Command::new("opendkim");
        command.args(["-f", "-x"]).arg(dir.path().join("conf"));
        let daemon = Daemon::start(&mut command, &dir.path().join("log"), dir.path());
        wait_for("opendkim to listen", PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        // The quoted strings of a TXT record make one text.
        let record = zone.split('"').skip(1).step_by(2).collect();
        Self { domain: domain.to_owned(), port, record, _daemon: daemon, _dir: dir }
    }

    /// Its address in Postfix's syntax.
    pub fn milter(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port)
    }

    /// The DNS name and text of the public key (RFC 6376 section 3.6.1), as verifiers would look it up.
    pub fn record(&self) -> (String, String) {
        (format!("{SELECTOR}._domainkey.{}", self.domain), self.record.clone())
    }
}
