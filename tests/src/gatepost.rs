//! A gatepost of our own: configuration, state, keys and daemon in one temporary directory.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::port::free_port;
use crate::postfix::share_with_postfix;
use crate::process::Daemon;
use crate::process::Ran;
use crate::process::directory;
use crate::process::run;
use crate::wait::PATIENCE;
use crate::wait::wait_for;

/// How a gatepost is to be configured; [`GatepostPlan::prepare`] writes it down.
#[derive(Clone, Debug)]
pub struct GatepostPlan {
    domain: String,
    unix: bool,
    reinject: u16,
    limit: String,
    gateway: String,
    policy: String,
    environment: Vec<(String, String)>,
}

impl GatepostPlan {
    /// A gateway for one domain, called `mx.DOMAIN`, with the default policy, on an inet socket.
    pub fn new(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            unix: false,
            reinject: 9,
            limit: "50 MiB".to_owned(),
            gateway: String::new(),
            policy: String::new(),
            environment: Vec::new(),
        }
    }

    /// Listens on a unix socket instead.
    pub fn unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Copies go to this port on 127.0.0.1.
    pub fn reinject(mut self, port: u16) -> Self {
        self.reinject = port;
        self
    }

    /// The MTA's message size limit, such as `50 MiB` (which is Postfix's in these tests).
    pub fn limit(mut self, size: &str) -> Self {
        self.limit = size.to_owned();
        self
    }

    /// Appends lines to the `[gateway]` section.
    pub fn gateway(mut self, lines: &str) -> Self {
        self.gateway.push_str(lines);
        self.gateway.push('\n');
        self
    }

    /// Appends policy sections (TOML, with their headings).
    pub fn policy(mut self, toml: &str) -> Self {
        self.policy.push_str(toml);
        self.policy.push('\n');
        self
    }

    /// Sets an environment variable of the daemon and the commands.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the configuration and creates the master key (`gatepost keys init`). Nothing runs yet,
    /// so that keys can be generated and exchanged first.
    ///
    /// # Panics
    /// If the binary is missing or `keys init` fails.
    #[track_caller]
    pub fn prepare(self) -> Gatepost {
        let dir = directory("gate");
        let state = dir.path().join("state");
        let sockets = dir.path().join("sockets");
        for path in [&state, &sockets] {
            std::fs::create_dir(path).unwrap();
        }
        if self.unix {
            share_with_postfix(&sockets);
        }
        let metrics = free_port();
        let listen = match self.unix {
            true => format!("unix:{}/milter", sockets.display()),
            false => format!("inet:127.0.0.1:{}", free_port()),
        };
        let gatepost = Gatepost {
            listen,
            metrics,
            environment: self.environment.clone(),
            policy: self.policy.clone(),
            head: String::new(),
            daemon: None,
            dir,
        };
        let gatepost = Gatepost { head: self.gateway_section(&gatepost), ..gatepost };
        gatepost.write_config(&self.policy);
        gatepost.command(&["keys", "init"]).success();
        gatepost
    }

    fn gateway_section(&self, gatepost: &Gatepost) -> String {
        let (domain, dir) = (&self.domain, gatepost.dir.path().display());
        let Self { reinject, limit, gateway, .. } = self;
        let Gatepost { listen, metrics, .. } = gatepost;
        format!(
            "[gateway]
name = \"mx.{domain}\"
domains = [\"{domain}\"]
listen = [\"{listen}\"]
state = \"{dir}/state\"
master_key = \"{dir}/master.key\"
trusted_networks = [\"127.0.0.0/8\", \"::1/128\"]
reinject = \"127.0.0.1:{reinject}\"
metrics = \"127.0.0.1:{metrics}\"
message_size_limit = \"{limit}\"
{gateway}
"
        )
    }
}

/// A gatepost daemon with its own state. Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Gatepost {
    listen: String,
    metrics: u16,
    head: String,
    policy: String,
    environment: Vec<(String, String)>,
    // Before the directory: what runs in it must end first.
    daemon: Option<Daemon>,
    dir: TempDir,
}

impl Gatepost {
    /// The milter's address in Postfix's syntax.
    pub fn milter(&self) -> &str {
        &self.listen
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("gatepost.toml")
    }

    /// The state directory: certificates, secrets, notary, spool.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The port of /metrics, /healthz and /readyz.
    pub fn metrics_port(&self) -> u16 {
        self.metrics
    }

    /// Replaces the policy sections of the configuration file; takes effect at the next start or
    /// after [`Gatepost::reload`].
    pub fn write_config(&self, policy: &str) {
        std::fs::write(self.config(), format!("{}\n{policy}", self.head)).unwrap();
    }

    /// The policy sections it was prepared with.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Starts the daemon and waits until /readyz says 200. Does nothing if it runs.
    ///
    /// # Panics
    /// If it ends or does not become ready; the panic message holds its log.
    #[track_caller]
    pub fn start(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        let mut command = self.gatepost(&["run"]);
        let mut daemon = Daemon::start(&mut command, &self.dir.path().join("log"), self.dir.path());
        wait_for("gatepost to become ready", PATIENCE, || {
            if let Some(status) = daemon.ended() {
                panic!("gatepost ended with {status}: {}", daemon.log());
            }
            self.get("/readyz").filter(|(code, _)| *code == 200)
        });
        self.daemon = Some(daemon);
    }

    /// SIGKILL. The state stays.
    pub fn kill9(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// SIGTERM: waits until it has drained and ended.
    ///
    /// # Panics
    /// If it does not run, or does not end in time.
    #[track_caller]
    pub fn term(&mut self) -> ExitStatus {
        self.daemon.take().expect("gatepost is running").term(PATIENCE)
    }

    /// SIGHUP: reads its configuration again.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    pub fn reload(&self) {
        self.running().signal(rustix::process::Signal::HUP);
    }

    /// Ends it gracefully if it runs, and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        if self.daemon.is_some() {
            self.term();
        }
        self.start();
    }

    /// From the next start on the daemon and the commands take it to be `offset` away from now, such as `-2d`.
    ///
    /// # Panics
    /// If `./setup test` has not installed libfaketime.
    #[track_caller]
    pub fn set_clock(&mut self, offset: &str) {
        let architecture = std::env::consts::ARCH;
        let library = format!("/usr/lib/{architecture}-linux-gnu/faketime/libfaketimeMT.so.1");
        assert!(Path::new(&library).exists(), "{library} is missing: run `./setup test`");
        let changed = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME", offset),
            // Only the time of day: patience, time stamps of files and other processes are as they are.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        self.environment.retain(|(known, _)| changed.iter().all(|(name, _)| known != name));
        let changed = changed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.environment.extend(changed);
    }

    /// The running process.
    ///
    /// # Panics
    /// If it was not started or was stopped.
    #[track_caller]
    pub fn running(&self) -> &Daemon {
        self.daemon.as_ref().expect("gatepost is running")
    }

    /// The exit status, if the daemon was started and has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.daemon.as_mut().and_then(Daemon::ended)
    }

    /// Everything the daemon has logged, over all starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits for a log line that contains all of `parts`, and gives it.
    ///
    /// # Panics
    /// If there is none in time; the panic message holds the log.
    #[track_caller]
    pub fn wait_log(&self, parts: &[&str]) -> String {
        let start = std::time::Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.to_owned();
            }
            assert!(start.elapsed() < PATIENCE, "no log line with {parts:?} in:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `gatepost WORDS --config FILE`.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Ran {
        self.command_with(words, b"")
    }

    /// Runs `gatepost WORDS --config FILE` with something on standard input.
    #[track_caller]
    pub fn command_with(&self, words: &[&str], input: &[u8]) -> Ran {
        run(&mut self.gatepost(words), input)
    }

    /// Runs the same as the argument of another command, such as strace(1) with its options.
    #[track_caller]
    pub fn command_under(&self, wrapper: &[String], words: &[&str]) -> Ran {
        let gatepost = self.gatepost(words);
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).arg(gatepost.get_program()).args(gatepost.get_args());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(&mut command, b"")
    }

    /// Generates a key: `words` are the arguments after `keys generate`, such as `["--domain", "…"]`.
    #[track_caller]
    pub fn generate(&self, words: &[&str]) {
        self.command(&[&["keys", "generate"], words].concat()).success();
    }

    /// Exports a certificate, armored: `words` are the arguments after `keys export`.
    #[track_caller]
    pub fn export(&self, words: &[&str]) -> Vec<u8> {
        self.command(&[&["keys", "export"], words].concat()).success().stdout
    }

    /// Imports certificates or keys: `words` are the arguments after `keys import`, without the file.
    #[track_caller]
    pub fn import(&self, words: &[&str], bytes: &[u8]) -> Ran {
        let file = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        self.command(&[&["keys", "import"], words, &[file.path().to_str().unwrap()]].concat()).success()
    }

    /// The notary records of a queue id or Message-ID.
    #[track_caller]
    pub fn notary(&self, handle: &str) -> Value {
        let ran = self.command(&["notary", "show", handle, "--json"]).success();
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
    }

    /// GET on the metrics listener: status code and body; `None` if nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.metrics)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of one metric series, written as in /metrics: `name{label="value"}`.
    ///
    /// # Panics
    /// If the listener does not answer.
    #[track_caller]
    pub fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").expect("/metrics answers");
        let line =
            text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    fn gatepost(&self, words: &[&str]) -> Command {
        let mut command = Command::new(gatepost_binary());
        command.args(words).arg("--config").arg(self.config());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The `gatepost` binary of the build that this test belongs to; built first if sources are newer.
///
/// `GATEPOST_BIN` names another one.
///
/// # Panics
/// If it cannot be built.
pub fn gatepost_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| binary("gatepost", "gatepost-milter", "GATEPOST_BIN"))
}

/// The same for `gatepost-keydir`; `GATEPOST_KEYDIR_BIN` names another one.
///
/// # Panics
/// If it cannot be built.
pub fn keydir_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| binary("gatepost-keydir", "gatepost-sidecar", "GATEPOST_KEYDIR_BIN"))
}

fn binary(name: &str, package: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // target/PROFILE/demo or target/PROFILE/deps/e2e-HASH
    let ours = std::env::current_exe().unwrap();
    let profile = ours.ancestors().skip(1).find(|path| !path.ends_with("deps")).unwrap();
    let binary = profile.join(name);
    if is_stale(&binary) {
        build(profile, name, package);
    }
    binary
}

/// True if the binary is missing or older than one of the sources that cargo noted for it.
fn is_stale(binary: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let (Ok(built), Ok(noted)) = (modified(binary), std::fs::read_to_string(binary.with_extension("d")))
    else {
        return true;
    };
    let sources = noted.split_once(": ").map_or("", |(_, sources)| sources);
    let newer = |time: SystemTime| time > built;
    sources.split_whitespace().any(|source| modified(Path::new(source)).map_or(true, newer))
}

fn build(profile: &Path, binary: &str, package: &str) {
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--package", package, "--bin", binary, "--profile", name])
        .arg("--target-dir")
        .arg(profile.parent().unwrap());
    run(&mut command, b"").success();
}
