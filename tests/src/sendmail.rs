//! A private Sendmail: the extracted package's binary with a configuration of a few lines.

use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::port::free_port;
use crate::process::Daemon;
use crate::process::directory;
use crate::process::need_root;
use crate::smtp::SmtpClient;
use crate::wait::PATIENCE;
use crate::wait::wait_for;

/// Where Sendmail, in its own mount namespace, finds the directory of the milter's unix socket.
const SOCKETS: &str = "/mnt";

/// A Sendmail on 127.0.0.1 that passes every message through a milter and on to one next hop, before
/// it answers. Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Sendmail {
    /// Its port; `{daemon_name}` is ORIGINATING.
    pub port: u16,
    // Before the directory: what runs in it must end first.
    _daemon: Daemon,
    dir: TempDir,
}

impl Sendmail {
    /// Starts it with a milter (in Postfix's syntax) and the port of the next hop.
    ///
    /// # Panics
    /// If not run by root, if `./setup test` has not fetched Sendmail, or if it does not greet.
    #[track_caller]
    pub fn start(milter: &str, next_hop: u16) -> Self {
        Self::run(Some(milter), next_hop)
    }

    /// Starts it without a milter.
    ///
    /// # Panics
    /// As [`Sendmail::start`].
    #[track_caller]
    pub fn plain(next_hop: u16) -> Self {
        Self::run(None, next_hop)
    }

    /// Whether `./setup test` has fetched it.
    pub fn is_there() -> bool {
        find().is_some()
    }

    #[track_caller]
    fn run(milter: Option<&str>, next_hop: u16) -> Self {
        need_root();
        let root = extracted();
        let dir = directory("sendmail");
        let (path, port) = (dir.path(), free_port());
        std::fs::create_dir(path.join("queue")).unwrap();
        std::fs::set_permissions(path.join("queue"), Permissions::from_mode(0o700)).unwrap();
        std::fs::write(path.join("service.switch"), "hosts files\naliases files\n").unwrap();
        std::fs::write(path.join("sendmail.cf"), configuration(path, port, milter, next_hop)).unwrap();
        // Without a full host name of its own it waits for DNS for a minute.
        // And it refuses sockets below directories that everybody may write to, such as /tmp.
        let bind = socket_directory(milter).map(|from| format!("mount --bind {from} {SOCKETS} && "));
        let script = format!("{}hostname mx.alpha.example && exec \"$0\" \"$@\"", bind.unwrap_or_default());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "sh", "-c", &script]);
        command.arg(root.join("usr/libexec/sendmail/sendmail")).arg("-bD");
        command.arg("-C").arg(path.join("sendmail.cf")).arg("-X").arg(path.join("traffic"));
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
        let mut daemon = Daemon::start(&mut command, &path.join("log"), path);
        let stream = wait_for("Sendmail to greet", PATIENCE, || {
            if let Some(status) = daemon.ended() {
                panic!("Sendmail ended with {status}: {}", daemon.log());
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        let (client, greeting) = SmtpClient::over(stream);
        assert_eq!(greeting.code, 220, "{greeting}\n{}", daemon.log());
        client.quit();
        Self { port, _daemon: daemon, dir }
    }

    /// Everything that was said over SMTP, on both sides.
    pub fn traffic(&self) -> String {
        let traffic = std::fs::read(self.dir.path().join("traffic")).unwrap_or_default();
        String::from_utf8_lossy(&traffic).into_owned()
    }

    /// Names of the files in its queue; none if everything was delivered.
    pub fn queue(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("queue")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

/// Where `./setup test` puts the contents of the packages.
#[track_caller]
fn extracted() -> PathBuf {
    find().expect("target/sendmail holds the extracted package: run `./setup test`")
}

fn find() -> Option<PathBuf> {
    let ours = std::env::current_exe().unwrap();
    let mut candidates = ours.ancestors().map(|path| path.join("sendmail"));
    candidates.find(|path| path.join("usr/libexec/sendmail/sendmail").exists())
}

/// The directory of a milter's unix socket; none for inet.
fn socket_directory(milter: Option<&str>) -> Option<&str> {
    Some(milter?.strip_prefix("unix:")?.rsplit_once('/')?.0)
}

/// Sendmail's way to say where the milter is.
fn input_filter(milter: &str) -> String {
    let socket = match milter.strip_prefix("unix:") {
        Some(path) => format!("unix:{SOCKETS}/{}", path.rsplit('/').next().unwrap()),
        None => {
            let (host, port) = milter.trim_start_matches("inet:").rsplit_once(':').unwrap();
            format!("inet:{port}@{host}")
        }
    };
    format!("O InputMailFilters=gatepost\nXgatepost, S={socket}, F=T, T=C:10s;S:10s;R:30s;E:60s")
}

/// A sendmail.cf that knows one way: to the next hop. Macros are those of Sendmail's own defaults.
fn configuration(dir: &Path, port: u16, milter: Option<&str>, next_hop: u16) -> String {
    let dir = dir.display();
    let filter = milter.map(input_filter).unwrap_or_default();
    format!(
        "V10
Cwlocalhost
Djmx.alpha.example
DnMAILER-DAEMON
DZ8.17
O QueueDirectory={dir}/queue
O PidFile={dir}/pid
O ServiceSwitchFile={dir}/service.switch
O HelpFile=/dev/null
O StatusFile
O DaemonPortOptions=Name=ORIGINATING, Family=inet, Addr=127.0.0.1, Port={port}
O DeliveryMode=interactive
O Timeout.ident=0
O EightBitMode=pass8
O Milter.macros.connect=j, _, {{daemon_name}}, {{if_name}}, {{if_addr}}
O Milter.macros.helo={{tls_version}}, {{cipher}}, {{cipher_bits}}, {{cert_subject}}, {{cert_issuer}}
O Milter.macros.envfrom=i, {{auth_type}}, {{auth_authen}}, {{auth_ssf}}, {{mail_mailer}}, {{mail_host}}, {{mail_addr}}
O Milter.macros.envrcpt={{rcpt_mailer}}, {{rcpt_host}}, {{rcpt_addr}}
O Milter.macros.eom={{msg_id}}
{filter}
Troot
HReceived: from $s by $j with $r id $i; $b
Scanonify=3
R<>\t$@ < @ >
R$* < $+ > $*\t$2
Sfinal=4
R$* < @ >\t$@
Sparse=0
R$+\t$#esmtp $@ [127.0.0.1] $: $1
Mesmtp,\tP=[IPC], F=mDFMuXa8, E=\\r\\n, L=990, T=DNS/RFC822/SMTP, A=TCP $h {next_hop}
Mlocal,\tP=/bin/false, F=lsDFMAw5:/|@q, T=DNS/RFC822/X-Unix, A=false
Mprog,\tP=/bin/false, F=lsDFMoqeu9, D=/, T=X-Unix/X-Unix/X-Unix, A=false
"
    )
}
